"""Buttons -> the real engine in its own process -> shape keys."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import bmesh
import bpy
import numpy as np
import pytest

from hhmr_blender import pump
from hhmr_blender.apply import shape_keys
from hhmr_blender.capture import armature
from hhmr_blender.capture.mesh import shape
from hhmr_blender.client.jobs import EngineClient
from hhmr_blender.problems import MENDS
from hhmr_blender.session import session
from hhmr_blender.template import template
from tests.blender.rig_building import build, select_bones
from tests.blender.test_armature import curl

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


def keys(ob: bpy.types.Object) -> list[str]:
    return [key.name for key in ob.data.shape_keys.key_blocks] if ob.data.shape_keys else []


def no_problem() -> bool:
    return session.notice is not None and session.notice.code == ""


def test_complete_a_selection(hand: bpy.types.Object) -> None:
    chosen = keep_palm(hand)
    press(bpy.ops.hhmr.complete)
    assert no_problem() and len(keys(hand)) == 5
    entries = shape_keys.hypotheses(hand)
    assert [entry.score for entry in entries] == sorted((entry.score for entry in entries), reverse=True)
    shown = shape(hand)
    assert np.linalg.norm(shown - template().vertices, axis=1)[chosen].max() < 5e-4
    fingers = [shape_of(hand, entry.name)[~chosen] for entry in entries]
    assert np.linalg.norm(fingers[0] - fingers[1], axis=-1).mean() > 0.002


def shape_of(ob: bpy.types.Object, name: str) -> np.ndarray:
    flat = np.empty(3 * len(ob.data.vertices), np.float32)
    ob.data.shape_keys.key_blocks[name].points.foreach_get("co", flat)
    return flat.reshape(-1, 3)


def test_same_seed_same_hands_other_seed_others(hand: bpy.types.Object) -> None:
    found = []
    for seed in (5, 5, 6):
        bpy.ops.hhmr.add_hand()
        ob = bpy.context.object
        keep_palm(ob)
        bpy.context.scene.hhmr.seed = seed
        press(bpy.ops.hhmr.complete)
        found.append(shape(ob))
    np.testing.assert_array_equal(found[0], found[1])
    assert np.abs(found[0] - found[2]).max() > 1e-3


def test_left_hand_stays_left() -> None:
    bpy.ops.hhmr.add_hand(side="LEFT")
    ob = bpy.context.object
    chosen = keep_palm(ob)
    press(bpy.ops.hhmr.complete)
    left = template().side_vertices("left")
    assert np.linalg.norm(shape(ob) - left, axis=1)[chosen].max() < 5e-4


def test_complete_a_cut_hand_that_was_moved_and_turned(hand: bpy.types.Object) -> None:
    cut_fingers(hand)
    hand.location, hand.rotation_euler, hand.scale = (1, 2, 3), (0.3, 0.5, 1), (0.5, 0.5, 0.5)
    bpy.context.view_layer.update()
    press(bpy.ops.hhmr.complete, keep="REST")
    whole = bpy.context.object
    assert no_problem() and whole != hand and len(keys(whole)) == 5 and keys(hand) == []
    np.testing.assert_allclose(whole.matrix_world, hand.matrix_world, atol=1e-6)
    kept = template().vertices[:, 1] <= 0.12
    assert np.linalg.norm(shape(whole) - template().vertices, axis=1)[kept].max() < 5e-4


def test_complete_in_edit_mode(hand: bpy.types.Object) -> None:
    bpy.ops.object.mode_set(mode="EDIT")
    bpy.ops.mesh.select_all(action="DESELECT")
    mesh = bmesh.from_edit_mesh(hand.data)
    mesh.select_mode = {"VERT"}
    for vertex in mesh.verts:
        vertex.select = vertex.co.y < 0.1
    mesh.select_flush_mode()
    bmesh.update_edit_mesh(hand.data)
    press(bpy.ops.hhmr.complete)
    assert no_problem() and hand.mode == "EDIT" and len(keys(hand)) == 5


def test_generate_at_the_cursor() -> None:
    bpy.context.scene.cursor.location = (1, 2, 3)
    bpy.context.scene.hhmr.new_side = "LEFT"
    press(bpy.ops.hhmr.generate)
    ob = bpy.context.object
    assert no_problem() and len(keys(ob)) == 5 and ob.data["hhmr_side"] == "left"
    assert tuple(ob.location) == (1, 2, 3)
    reach = np.linalg.norm(shape(ob), axis=1)
    assert reach.max() < 0.4  # a hand, with its wrist near its origin
    thumb_side = (template().regressor @ shape(ob))[[1, 17], 0]
    assert thumb_side[0] > thumb_side[1]  # of a left hand that points along y


def test_undo_and_redo_are_one_step(hand: bpy.types.Object) -> None:
    keep_palm(hand)
    bpy.ops.ed.undo_push(message="before")
    press(bpy.ops.hhmr.complete)
    name = hand.name
    after = shape(bpy.data.objects[name])
    bpy.ops.ed.undo()
    ob = bpy.data.objects[name]
    assert keys(ob) == [] and not ob.show_only_shape_key
    bpy.ops.ed.redo()
    ob = bpy.data.objects[name]
    assert len(keys(ob)) == 5 and len(shape_keys.hypotheses(ob)) == 4
    np.testing.assert_array_equal(shape(ob), after)


def test_undo_in_edit_mode(hand: bpy.types.Object) -> None:
    bpy.ops.object.mode_set(mode="EDIT")
    bpy.ops.mesh.select_all(action="DESELECT")
    mesh = bmesh.from_edit_mesh(hand.data)
    mesh.verts.ensure_lookup_table()
    mesh.verts[0].select = True
    for vertex in mesh.verts:
        vertex.select = vertex.co.y < 0.1
    mesh.select_flush_mode()
    bmesh.update_edit_mesh(hand.data)
    bpy.ops.ed.undo_push(message="before")
    press(bpy.ops.hhmr.complete)
    name = hand.name
    assert len(keys(bpy.data.objects[name])) == 5
    bpy.ops.ed.undo()
    ob = bpy.data.objects[name]
    assert ob.mode == "EDIT" and keys(ob) == [] and not ob.show_only_shape_key
    bpy.ops.object.mode_set(mode="OBJECT")
    np.testing.assert_allclose(shape(ob), template().vertices, atol=1e-7)


def test_undo_of_a_new_hand(hand: bpy.types.Object) -> None:
    cut_fingers(hand)
    bpy.ops.ed.undo_push(message="before")
    count = len(bpy.data.objects)
    press(bpy.ops.hhmr.complete, keep="REST")
    assert len(bpy.data.objects) == count + 1
    bpy.ops.ed.undo()
    assert len(bpy.data.objects) == count and bpy.context.object.name == "HHMR Hand"


def test_waiting_for_scripts(hand: bpy.types.Object) -> None:
    keep_palm(hand)
    assert bpy.ops.hhmr.complete(wait=True) == {"FINISHED"}
    assert len(keys(hand)) == 5
    hand.data.vertices.foreach_set("select", np.zeros(len(hand.data.vertices), bool))
    with pytest.raises(RuntimeError, match="Nothing is selected"):
        bpy.ops.hhmr.complete(wait=True)


def test_hand_from_an_armature(rng: np.random.Generator) -> None:
    rig = build("mixamo")
    rig.location, rig.scale = (5, 0, 1), (2, 2, 2)
    bpy.context.view_layer.update()
    hand = armature.choose(rig, "AUTO", None)
    wanted = armature.posed_joints(rig, hand)
    press(bpy.ops.hhmr.from_armature)
    ob = bpy.context.object
    assert no_problem() and ob != rig and len(keys(ob)) == 5
    assert shape_keys.provenance(ob.data).request["armature"] == rig.name
    np.testing.assert_allclose(ob.location, wanted[0], atol=1e-5)
    joints = template().regressor @ shape(ob) + np.array(ob.location)
    assert np.linalg.norm(joints - wanted, axis=1).max() < 0.005  # of a hand twice the size
    assert bpy.ops.hhmr.to_armature() == {"FINISHED"}  # finds the armature that it came from
    assert np.linalg.norm(armature.posed_joints(rig, hand) - wanted, axis=1).max() < 0.03


def test_fingers_of_an_armature_that_are_not_selected_are_made(rng: np.random.Generator) -> None:
    rig = build("ue4_mannequin")
    bpy.context.scene.hhmr.bones = "SELECTED"
    select_bones(rig, {"index_01_r", "index_02_r", "index_03_r"})
    before = {bone.name: bone.matrix.copy() for bone in rig.pose.bones}
    press(bpy.ops.hhmr.from_armature)
    ob = bpy.context.object
    joints = np.array([template().regressor @ shape_of(ob, name) for name in keys(ob)[1:]])
    spread = joints.std(axis=0).max(axis=1)
    assert spread[[6, 7, 8]].max() < 0.003 < spread[[12, 16, 20]].min()
    assert bpy.ops.hhmr.to_armature() == {"FINISHED"}
    moved = {bone.name for bone in rig.pose.bones if bone.matrix != before[bone.name]}
    assert {"middle_01_r", "ring_02_r", "pinky_03_r", "thumb_01_r"} <= moved
    assert not any(name.startswith(("hand", "index")) for name in moved)


def test_a_rig_of_four_fingers_that_gives_all_it_has_is_posed(rng: np.random.Generator) -> None:
    joints = tuple(joint for joint in range(21) if not 13 <= joint <= 16)  # as cartoon hands: no ring finger
    rig = build("mixamo", joints=joints)
    hand = armature.choose(rig, "AUTO", None)
    curl(rig, hand, rng)
    before = armature.posed_joints(rig, hand)
    press(bpy.ops.hhmr.from_armature)
    assert np.isfinite(before).all(axis=1).sum() == 17
    assert bpy.ops.hhmr.to_armature() == {"FINISHED"}
    moved = np.linalg.norm(armature.posed_joints(rig, hand) - before, axis=1)[list(joints)]
    assert 1e-5 < np.median(moved) < 0.02


# ---------------------------------------------------------------- while a job is under way


def begin(ob: bpy.types.Object) -> None:
    keep_palm(ob)
    assert bpy.ops.hhmr.complete() == {"FINISHED"}
    assert session.busy


def test_one_request_at_a_time(hand: bpy.types.Object) -> None:
    begin(hand)
    assert not bpy.ops.hhmr.complete.poll()
    assert pump.wait(TIMEOUT) and bpy.ops.hhmr.complete.poll()


def test_cancel(hand: bpy.types.Object) -> None:
    bpy.context.scene.hhmr.steps = 250
    begin(hand)
    bpy.ops.hhmr.cancel()
    assert pump.wait(TIMEOUT)
    assert keys(hand) == [] and session.notice is not None and session.notice.text == "Cancelled."
    press(bpy.ops.hhmr.complete)
    assert len(keys(hand)) == 5


def test_target_deleted_meanwhile(hand: bpy.types.Object) -> None:
    begin(hand)
    bpy.data.objects.remove(hand)
    assert pump.wait(TIMEOUT)
    assert session.notice is not None and session.notice.code == "target_gone"
    assert len(bpy.data.objects) == 0


def test_target_renamed_and_in_edit_mode_meanwhile(hand: bpy.types.Object) -> None:
    begin(hand)
    hand.name = "renamed"
    bpy.ops.object.mode_set(mode="EDIT")
    assert pump.wait(TIMEOUT)
    assert no_problem() and len(keys(hand)) == 5 and hand.mode == "EDIT"


def test_undo_meanwhile_takes_the_target_away() -> None:
    bpy.ops.ed.undo_push(message="empty")
    bpy.ops.hhmr.add_hand("EXEC_DEFAULT", True)
    begin(bpy.context.object)
    bpy.ops.ed.undo()
    assert len(bpy.data.objects) == 0
    assert pump.wait(TIMEOUT)
    assert session.notice is not None and session.notice.code == "target_gone"
    assert len(bpy.data.objects) == 0


def test_undo_meanwhile_of_something_else(hand: bpy.types.Object) -> None:
    bpy.ops.ed.undo_push(message="hand")
    bpy.ops.object.empty_add("EXEC_DEFAULT", True)
    hand = bpy.data.objects["HHMR Hand"]
    bpy.context.view_layer.objects.active = hand
    begin(hand)
    bpy.ops.ed.undo()
    assert pump.wait(TIMEOUT)
    assert no_problem() and len(keys(bpy.data.objects["HHMR Hand"])) == 5


def test_another_file_is_opened_meanwhile(hand: bpy.types.Object) -> None:
    begin(hand)
    client = session.client
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    assert not session.busy and session.client is None and client is not None and client.state == "stopped"
    assert pump.wait(1) and len(bpy.data.objects) == 0


def test_the_add_on_is_disabled_meanwhile(hand: bpy.types.Object) -> None:
    import addon_utils

    begin(hand)
    client = session.client
    addon_utils.disable("hhmr_blender")
    try:
        assert client is not None and client.state == "stopped" and not hasattr(bpy.types.Scene, "hhmr")
    finally:
        addon_utils.enable("hhmr_blender")


# ---------------------------------------------------------------- engines that fail


def fails(hand: bpy.types.Object, command: str, code: str) -> str:
    bpy.context.preferences.addons["hhmr_blender"].preferences.command = command
    begin(hand)
    assert pump.wait(TIMEOUT)
    assert session.notice is not None and session.notice.code == code
    assert MENDS[code], "a problem of the engine needs a button"
    assert keys(hand) == [] and len(bpy.data.objects) == 1
    return session.notice.text


def test_no_engine_installed(hand: bpy.types.Object) -> None:
    assert "not installed" in fails(hand, "", "no_engine")


def test_no_such_interpreter(hand: bpy.types.Object) -> None:
    fails(hand, "/nowhere/python3", "bad_command")


def test_command_line_that_cannot_be_read(hand: bpy.types.Object) -> None:
    fails(hand, "ssh 'box", "bad_command")


def test_engine_that_talks_nonsense(hand: bpy.types.Object, engine_python: Path) -> None:
    fails(hand, f"{engine_python} -c 'print(42)'", "engine_failed")


def test_engine_that_dies_at_once(hand: bpy.types.Object, engine_python: Path) -> None:
    fails(hand, f"{engine_python} -c 'raise SystemExit(3)'", "engine_failed")


def test_engine_of_another_protocol(hand: bpy.types.Object, engine_python: Path, tmp_path: Path) -> None:
    program = tmp_path / "old.py"
    program.write_text(
        'import sys\nprint(\'{"type":"hello","protocol":[0,9]}\', flush=True)\nsys.stdin.read()\n'
    )
    assert "outdated" in fails(hand, f"{engine_python} {program}", "outdated")


def test_engine_killed_in_the_middle_of_a_job(
    hand: bpy.types.Object, engine_python: Path, tmp_path: Path
) -> None:
    program = tmp_path / "dies.py"
    program.write_text(
        "import os, signal, sys\n"
        'print(\'{"type":"hello","protocol":[1,0]}\', flush=True)\n'
        "while b'\"run\"' not in sys.stdin.buffer.readline(): pass\n"
        "os.kill(os.getpid(), 9)\n"
    )
    fails(hand, f"{engine_python} {program}", "engine_failed")


def test_log_that_cannot_be_written_stops_nothing(hand: bpy.types.Object) -> None:
    bpy.context.preferences.addons["hhmr_blender"].preferences.log_file = "/dev/full"
    keep_palm(hand)
    press(bpy.ops.hhmr.complete)
    assert len(keys(hand)) == 5
    assert sys.platform != "linux" or "log" in session.engine().log_note


def test_an_idle_tick_does_nothing(hand: bpy.types.Object) -> None:
    keep_palm(hand)
    press(bpy.ops.hhmr.complete)
    pump.poll()
    drawn, notice, client, names = pump._drawn, session.notice, session.client, keys(hand)
    for _ in range(20):
        pump.poll()
    assert pump._drawn is drawn  # nothing was redrawn
    assert session.run is None and session.notice is notice and session.client is client
    assert client.state == "ready" and not client.busy and keys(hand) == names
