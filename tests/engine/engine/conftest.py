"""An engine with weights that are quickly made."""

from __future__ import annotations

from pathlib import Path

import pytest

from hhmr_engine.engine import Engine
from tests.engine.small_network import small_weights


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def engine(weights: Path) -> Engine:
    return Engine(weights=weights, threads=1)
