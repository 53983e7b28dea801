"""What else a user may do while a job is under way."""

from __future__ import annotations

import bpy

from hhmr_blender import pump
from hhmr_blender.session import session
from tests.blender.asking import TIMEOUT, begin, engine, keys, no_problem, press, running  # noqa: F401  (fixtures)


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
