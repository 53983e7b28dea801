"""Miniatures of all datasets, written once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.datasets.layouts import Miniature
from tests.engine.datasets.miniature import write_all


@pytest.fixture(scope="session")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all datasets and MANO_RIGHT.pkl: nothing may be written into it."""
    return tmp_path_factory.mktemp("datasets") / "all"


@pytest.fixture(scope="session")
def miniatures(datasets: Path) -> dict[str, Miniature]:
    return write_all(datasets)


@pytest.fixture(scope="session")
def mano(miniatures: dict[str, Miniature], datasets: Path) -> Path:
    return datasets / "mano" / "MANO_RIGHT.pkl"
