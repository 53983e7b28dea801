"""An animated rig with locked fingers -> the real engine -> actions whose fingers move as one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import bpy
import numpy as np
import pytest
from mathutils import Euler, Quaternion

from hhmr_blender import pump
from hhmr_blender.apply import motion
from hhmr_blender.apply.motion import Channel, continuous
from hhmr_blender.capture import armature as capture
from hhmr_blender.session import session
from tests.blender.rig_building import build

START, END = 3, 22
FRAMES = range(START, END + 1)


@pytest.fixture(scope="module")
def running() -> Iterator[list]:
    left: list = []
    yield left
    for client in left:
        client.stop()


@pytest.fixture(autouse=True)
def engine(running: list, engine_python: Path, tmp_path: Path) -> Iterator[None]:
    """The engine of the checkout, with the weights that ship."""
    chosen = bpy.context.preferences.addons["hhmr_blender"].preferences
    chosen.command, chosen.device, chosen.log_file = str(engine_python), "cpu", str(tmp_path / "engine.log")
    session.client = running.pop() if running else None
    settings = bpy.context.scene.hhmr
    settings.bones, settings.fingers, settings.steps, settings.motion_count = "FINGERS", {"INDEX"}, 3, 2
    settings.motion_range, settings.motion_start, settings.motion_end = "OWN", START, END
    yield
    if session.client is not None and session.client.state == "ready" and not session.busy:
        running.append(session.client)
        session.client = None
    chosen.command = chosen.log_file = ""


def finger(rig: str, joint: int) -> str:
    """Name of the bone of a joint of the right hand."""
    from hhmr_blender.rigs.tables import RIGS

    return next(one for one in RIGS if one.id == rig).bones("right")[joint]


def animated(rig: str = "mixamo", mode: str = "QUATERNION", sides: tuple[str, ...] = ("right",)):
    """A rig that closes its index finger and turns its wrist; the other fingers have no keys."""
    ob = build(rig, sides)
    for bone in ob.pose.bones:
        bone.rotation_mode = mode
    for frame, bend in ((START, 0.0), ((START + END) // 2, 1.1), (END, 0.2)):
        for joint in (5, 6, 7):
            _turn(ob.pose.bones[finger(rig, joint)], Euler((-bend, 0.0, 0.0)), frame)
        _turn(ob.pose.bones[finger(rig, 0)], Euler((0.3 * bend, 0.2 * bend, 0.0)), frame)
    bpy.context.scene.frame_set(START + 2)
    return ob


def _turn(bone: bpy.types.PoseBone, euler: Euler, frame: int) -> None:
    if bone.rotation_mode == "QUATERNION":
        bone.rotation_quaternion = euler.to_quaternion()
        bone.keyframe_insert("rotation_quaternion", frame=frame, group=bone.name)
    else:
        bone.rotation_euler = euler.to_quaternion().to_euler(bone.rotation_mode)
        bone.keyframe_insert("rotation_euler", frame=frame, group=bone.name)


def press(**properties) -> None:
    assert bpy.ops.hhmr.complete_motion(**properties) == {"FINISHED"}
    assert pump.wait(300)
    assert session.notice is not None and session.notice.code == "", session.notice


def keyed(action: bpy.types.Action) -> dict[tuple[str, int], np.ndarray]:
    """Path and index of every curve of an action -> its keys [k, 2]."""
    bag = action.layers[0].strips[0].channelbag(action.slots[0])
    return {
        (curve.data_path, curve.array_index): np.array([point.co for point in curve.keyframe_points])
        for curve in bag.fcurves
    }


def joints_over_time(ob: bpy.types.Object) -> np.ndarray:
    """[T, 21, 3] as the rig plays it; the scene is put back."""
    hand = capture.hands(ob)[0]
    scene, found = bpy.context.scene, []
    now = scene.frame_current
    for frame in FRAMES:
        scene.frame_set(frame)
        found.append(capture.posed_joints(ob, hand))
    scene.frame_set(now)
    return np.array(found)


def test_fingers_move_with_the_hand_and_what_is_kept_stays() -> None:
    ob = animated()
    own, told = ob.animation_data.action, joints_over_time(ob)
    before = keyed(own)
    press()
    scene = bpy.context.scene
    assert scene.frame_current == START + 2
    playing = ob.animation_data.action
    assert playing.name == "HHMR motion 1" and [a.name for a in motion.motions(ob)] == [
        "HHMR motion 1",
        "HHMR motion 2",
    ]
    for action in motion.motions(ob):
        assert action.use_fake_user
        curves = keyed(action)
        for path, keys in before.items():  # of the index and the wrist
            np.testing.assert_array_equal(curves[path], keys)
        added = {path for path, _ in set(curves) - set(before)}
        fingers = [joint for joint in range(1, 20) if joint % 4 and joint not in (5, 6, 7)]
        wanted = {f'pose.bones["{finger("mixamo", joint)}"].rotation_quaternion' for joint in fingers}
        assert added == wanted
        for path in set(curves) - set(before):
            assert curves[path][:, 0].tolist() == list(FRAMES)
    assert {path: keys.tolist() for path, keys in keyed(own).items()} == {
        path: keys.tolist() for path, keys in before.items()
    }

    made = joints_over_time(ob)
    kept = [0, 1, 5, 6, 7, 8, 9, 13, 17]
    np.testing.assert_allclose(made[:, kept], told[:, kept], atol=1e-5)
    others = [joint for joint in range(21) if joint not in kept]
    assert np.abs(made[:, others] - told[:, others]).max() > 0.005
    lengths = np.linalg.norm(np.diff(made[:, 9:13], axis=1), axis=-1)
    np.testing.assert_allclose(lengths, lengths[:1].repeat(len(lengths), 0), atol=1e-5)
    jerk = np.linalg.norm(np.diff(made[:, others], n=3, axis=0), axis=-1).mean()
    assert jerk < 1.2 * np.linalg.norm(np.diff(told[:, [6, 7, 8]], n=3, axis=0), axis=-1).mean()


def test_quaternions_do_not_flip() -> None:
    ob = animated()
    press()
    curves = keyed(ob.animation_data.action)
    for path in {path for path, _ in curves if len(curves[path, 0]) == len(FRAMES)}:
        turns = np.stack([curves[path, i][:, 1] for i in range(4)], 1)
        assert ((turns[1:] * turns[:-1]).sum(1) > 0.95).all(), path


@pytest.mark.parametrize(("name", "mode"), [("rotation_quaternion", "QUATERNION"), ("rotation_euler", "XYZ")])
def test_of_all_ways_to_write_a_rotation_the_nearest_is_taken(name: str, mode: str) -> None:
    ob = build("mixamo")
    bone = ob.pose.bones[finger("mixamo", 5)]
    bone.rotation_mode = mode
    angles = np.linspace(0.0, 3 * np.pi, 40)
    turns = [Quaternion((1, 0.2, 0.1), angle) for angle in angles]
    if name == "rotation_quaternion":
        rng = np.random.default_rng(0)
        values = np.array([np.array(turn) * rng.choice([-1, 1]) for turn in turns])
    else:
        values = np.array([list(turn.to_euler("XYZ")) for turn in turns])
    found = continuous(values, Channel(bone, name), values[0])
    assert np.abs(np.diff(found, axis=0)).max() < 0.5
    for value, turn in zip(found, turns):
        again = Quaternion(value) if name == "rotation_quaternion" else Euler(value).to_quaternion()
        assert abs(again.dot(turn)) > 0.999


def test_another_motion_can_be_swapped_in_and_the_one_before_again() -> None:
    ob = animated(mode="XYZ")
    own, told = ob.animation_data.action, joints_over_time(ob)
    press()
    first = joints_over_time(ob)
    assert bpy.ops.hhmr.show_motion(action="HHMR motion 2") == {"FINISHED"}
    assert np.abs(joints_over_time(ob) - first).max() > 0.003
    assert motion.before(ob) == own
    bpy.ops.hhmr.show_motion(action=own.name)
    np.testing.assert_allclose(joints_over_time(ob), told, atol=1e-6)
    bpy.ops.hhmr.show_motion(action="HHMR motion 2")
    assert bpy.ops.hhmr.discard_motions() == {"FINISHED"}
    assert [action.name for action in motion.motions(ob)] == ["HHMR motion 2"]


def test_one_undo_step_takes_all_of_it_back() -> None:
    ob = animated()
    own = ob.animation_data.action.name
    bpy.ops.ed.undo_push(message="Before")
    press()
    assert "HHMR motion 1" in bpy.data.actions
    bpy.ops.ed.undo()
    ob = bpy.data.objects["mixamo"]
    assert ob.animation_data.action.name == own and "HHMR motion 1" not in bpy.data.actions


def test_a_rig_without_an_action_gets_one_and_old_motions_go() -> None:
    ob = build("ue4_mannequin")
    press()
    assert ob.animation_data.action.name == "HHMR motion 1" and motion.before(ob) is None
    assert len(motion.motions(ob)) == 2
    press()
    # The one that plays is where the new ones start from; those that nobody chose are gone.
    assert len(motion.motions(ob)) == 3


def test_keys_outside_the_range_stay_and_those_within_go() -> None:
    ob = animated()
    bone = ob.pose.bones[finger("mixamo", 10)]
    for frame in (START - 2, START + 1.5, END + 5):
        bone.rotation_quaternion = Euler((0.1 * frame, 0, 0)).to_quaternion()
        bone.keyframe_insert("rotation_quaternion", frame=frame)
    press()
    keys = keyed(ob.animation_data.action)[f'pose.bones["{bone.name}"].rotation_quaternion', 0][:, 0]
    assert keys.tolist() == [START - 2, *FRAMES, END + 5]


def test_both_hands() -> None:
    ob = animated(sides=("right", "left"))
    press(side="BOTH")
    curves = {path for path, _ in keyed(ob.animation_data.action)}
    for side in ("Right", "Left"):
        assert any(f"{side}HandPinky3" in path for path in curves)


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"bones": "ALL"}, "all_kept"),
        ({"motion_start": 9, "motion_end": 3}, "no_frames"),
        ({"motion_end": 3000}, "no_frames"),
    ],
)
def test_what_cannot_be_done_is_said(settings: dict[str, object], code: str) -> None:
    ob = animated()
    own = ob.animation_data.action
    for name, value in settings.items():
        setattr(bpy.context.scene.hhmr, name, value)
    with pytest.raises(RuntimeError):
        bpy.ops.hhmr.complete_motion()
    assert session.notice is not None and session.notice.code == code
    assert ob.animation_data.action == own and bpy.context.scene.frame_current == START + 2


def test_a_rig_that_is_deleted_meanwhile() -> None:
    ob = animated()
    assert bpy.ops.hhmr.complete_motion() == {"FINISHED"}
    bpy.data.objects.remove(ob)
    assert pump.wait(300)
    assert session.notice is not None and session.notice.code == "target_gone"
    assert "HHMR motion 1" not in bpy.data.actions
