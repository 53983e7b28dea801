"""What several tests of the engine share: the engine itself and hands that it made, without weights."""

from __future__ import annotations

import pytest

from hhmr_engine.engine import Engine, Hypotheses, Request


@pytest.fixture(scope="session")
def engine() -> Engine:
    return Engine(threads=1)


@pytest.fixture(scope="session")
def eight_hands(engine: Engine) -> Hypotheses:
    """Eight right hands of the Gaussian baseline, which needs no weight file."""
    return engine.run(Request("generate", count=8, seed=1, method="gaussian"))


@pytest.fixture(scope="session")
def left_hands(engine: Engine) -> Hypotheses:
    return engine.run(Request("generate", side="left", count=3, seed=2, method="gaussian"))
