"""A user's own hand in place of the one that ships: made, completed, and refused where it is none."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import bpy
import numpy as np
import pytest

from hhmr_blender import template
from hhmr_blender.engine_command import engine_command, preferences
from hhmr_blender.session import session
from tests.blender.asking import keys, no_problem, press

ROOT = Path(__file__).resolve().parents[2]
MAKE = """
import sys
from pathlib import Path
from hhmr_engine.data.import_hand import import_mano
from tests.engine.hand.made_up_mano import made_up_mano, write_mano
folder = Path(sys.argv[1])
write_mano(folder / "MANO_RIGHT.pkl", made_up_mano())
import_mano(folder / "MANO_RIGHT.pkl", hands=2000).save(folder / "own.npz")
"""


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory, engine_python: Path) -> Path:
    """A hand of 778 vertices, made by the engine's Python of a made-up MANO."""
    folder = tmp_path_factory.mktemp("own")
    subprocess.run([str(engine_python), "-c", MAKE, str(folder)], cwd=ROOT, check=True)
    return folder / "own.npz"


@pytest.fixture
def chosen() -> Iterator[bpy.types.AddonPreferences]:
    found = preferences()
    assert found is not None
    yield found
    found.command = found.hand = found.weights = ""


def test_a_hand_of_ones_own_is_added_and_completed(
    own: Path, chosen: bpy.types.AddonPreferences, engine_python: Path
) -> None:
    chosen.command, chosen.hand = str(engine_python), str(own)
    assert not chosen.hand_problem and engine_command().command[-2:] == ["--template", str(own)]
    for side in ("RIGHT", "LEFT"):
        bpy.ops.hhmr.add_hand(side=side)
        ob = bpy.context.object
        assert len(ob.data.vertices) == 778 and {len(p.vertices) for p in ob.data.polygons} == {3}
    assert template.edges().max() < 778 and (template.edges()[:, 0] < template.edges()[:, 1]).all()
    bpy.context.scene.hhmr.method = "gaussian"
    bpy.context.scene.hhmr.count = 4
    press(bpy.ops.hhmr.generate)
    made = bpy.context.object
    assert no_problem(), session.notice
    assert len(keys(made)) == 5 and len(made.data.vertices) == 778


def test_without_it_the_hand_that_ships_is_back(
    own: Path, chosen: bpy.types.AddonPreferences, engine_python: Path
) -> None:
    chosen.command, chosen.hand = str(engine_python), str(own)
    assert len(template.template().vertices) == 778
    chosen.hand = ""
    assert len(template.template().vertices) == 1609
    assert "--template" not in engine_command().command


@pytest.mark.parametrize("content", [b"", b"no zip", None])
def test_what_is_no_hand_is_said_in_a_sentence(
    content: bytes | None, chosen: bpy.types.AddonPreferences, tmp_path: Path
) -> None:
    path = tmp_path / "own.npz"
    if content is None:
        np.savez(path, vertices=np.zeros((3, 3)))
    else:
        path.write_bytes(content)
    chosen.hand = str(path)
    assert "import-hand" in chosen.hand_problem and len(template.template().vertices) == 1609
