"""The real engine for tests that press buttons: one process that each leaves to the next."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import bmesh
import bpy
import numpy as np
import pytest

from hhmr_blender import pump
from hhmr_blender.client.jobs import EngineClient
from hhmr_blender.session import session
from hhmr_blender.template import template

TIMEOUT = 120


@pytest.fixture(scope="module")
def running() -> Iterator[list[EngineClient]]:
    """The engine that the test before has left running, if it has."""
    left: list[EngineClient] = []
    yield left
    for client in left:
        client.stop()


@pytest.fixture(autouse=True)
def engine(running: list[EngineClient], engine_python: Path, tmp_path: Path) -> Iterator[None]:
    """The engine of the checkout, with the baseline that needs no weights."""
    chosen = bpy.context.preferences.addons["hhmr_blender"].preferences
    chosen.command, chosen.device, chosen.log_file = str(engine_python), "cpu", str(tmp_path / "engine.log")
    session.client = running.pop() if running else None
    bpy.context.scene.hhmr.method = "gaussian"
    bpy.context.scene.hhmr.count = 4
    yield
    if session.client is not None and session.client.state == "ready" and not session.busy:
        running.append(session.client)
        session.client = None
    # Not the same preferences any more: a test disables the add-on.
    chosen = bpy.context.preferences.addons["hhmr_blender"].preferences
    chosen.command = chosen.log_file = ""


def keep_palm(ob: bpy.types.Object) -> np.ndarray:
    """Select the palm and the thumb; returns which vertices those are."""
    chosen = template().vertices[:, 1] < 0.1
    ob.data.vertices.foreach_set("select", chosen)
    return chosen


def cut_fingers(ob: bpy.types.Object) -> None:
    mesh = bmesh.new()
    mesh.from_mesh(ob.data)
    bmesh.ops.delete(mesh, geom=[v for v in mesh.verts if v.co.y > 0.12], context="VERTS")
    mesh.to_mesh(ob.data)
    mesh.free()


def press(operator, **properties) -> None:
    """Press a button and wait as Blender's timer would, with the result's own undo step."""
    assert operator(**properties) == {"FINISHED"}
    assert pump.wait(TIMEOUT)


def begin(ob: bpy.types.Object) -> None:
    keep_palm(ob)
    assert bpy.ops.hhmr.complete() == {"FINISHED"}
    assert session.busy


def keys(ob: bpy.types.Object) -> list[str]:
    return [key.name for key in ob.data.shape_keys.key_blocks] if ob.data.shape_keys else []


def no_problem() -> bool:
    return session.notice is not None and session.notice.code == ""
