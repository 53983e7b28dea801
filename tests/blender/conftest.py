"""A clean Blender for every test, with the add-on on."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("BLENDER_USER_RESOURCES", tempfile.mkdtemp(prefix="hhmr-blender-"))

import bpy
import numpy as np
import pytest

ADDON = "hhmr_blender"
EXIT_STATUS = pytest.StashKey[int]()


@pytest.fixture(autouse=True)
def clean_file() -> Iterator[None]:
    """An empty file with the add-on enabled; whatever a test started is stopped after it."""
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    if ADDON not in bpy.context.preferences.addons:
        import addon_utils  # on the path from `import bpy` on

        addon_utils.enable(ADDON, default_set=True)
    yield
    sys.modules[f"{ADDON}.session"].session.shut_down()


@pytest.fixture
def hand() -> bpy.types.Object:
    """A right HHMR hand at rest, active."""
    bpy.ops.hhmr.add_hand(side="RIGHT")
    return bpy.context.object


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def engine_python() -> Path:
    """The interpreter that the engine runs in: users have two Pythons."""
    return Path(os.environ.get("HHMR_ENGINE_PYTHON", sys.executable))


@pytest.hookimpl
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    session.config.stash[EXIT_STATUS] = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """After some of its operators Blender's module hangs or crashes at exit: leave before that."""
    sys.stdout.flush()
    sys.stderr.flush()
    if EXIT_STATUS in config.stash:
        os._exit(config.stash[EXIT_STATUS])
