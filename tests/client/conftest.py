"""The add-on's client without Blender: it imports no bpy, so these tests run with and without one."""

from __future__ import annotations

import importlib.util
import os
import sys
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = ROOT / "tests" / "fixtures" / "hostile_engines"

if importlib.util.find_spec("bpy") is None and "hhmr_blender" not in sys.modules:
    # The package without its __init__, which is all that needs bpy.
    bare = types.ModuleType("hhmr_blender")
    bare.__path__ = [str(ROOT / "hhmr_blender")]
    sys.modules["hhmr_blender"] = bare

if TYPE_CHECKING:
    from hhmr_blender.client.jobs import EngineClient


def wait_for(done: Callable[[], Any], poll: Callable[[], Any], patience: float = 30.0) -> None:
    """Poll every millisecond until `done()`."""
    deadline = time.monotonic() + patience
    while not done():
        assert time.monotonic() < deadline, "it takes too long"
        poll()
        time.sleep(0.001)


@pytest.fixture
def hostile(tmp_path: Path) -> Iterator[Callable[..., EngineClient]]:
    """`hostile("hangs")` -> an EngineClient for tests/fixtures/hostile_engines/hangs.py."""
    from hhmr_blender.client.jobs import EngineClient

    clients: list[EngineClient] = []

    def make(name: str, *arguments: str, **options: Any) -> EngineClient:
        command = [sys.executable, str(HOSTILE / f"{name}.py"), *arguments]
        options.setdefault("log_path", tmp_path / "engine.log")
        clients.append(EngineClient(lambda: (command, {}), **options))
        return clients[-1]

    yield make
    for client in clients:
        client.stop()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Callable[..., EngineClient]]:
    """`engine()` -> an EngineClient for the real serve loop around a scripted engine."""
    from hhmr_blender.client.jobs import EngineClient

    clients: list[EngineClient] = []

    def make(*arguments: str, **options: Any) -> EngineClient:

        script = ROOT / "tests" / "wire" / "scripted_engine.py"
        paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        python = os.environ.get("HHMR_ENGINE_PYTHON", sys.executable)
        command = [python, str(script), *arguments]
        options.setdefault("log_path", tmp_path / "engine.log")
        clients.append(EngineClient(lambda: (command, {"PYTHONPATH": paths}), **options))
        return clients[-1]

    yield make
    for client in clients:
        client.stop()


@pytest.fixture(name="wait_for")
def _wait_for() -> Callable[..., None]:
    return wait_for
