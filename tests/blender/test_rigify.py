"""A whole Rigify character, by the buttons and the real engine: read, complete, write, pose asset, apply."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import bpy
import numpy as np
import pytest
from mathutils import Euler

from hhmr_blender.apply import catalog, freedom, pose, pose_list
from hhmr_blender.apply.controls import finger_ik, metacarpals
from hhmr_blender.capture import armature as capture
from hhmr_blender.rigs.tables import CHAINS
from hhmr_blender.session import session
from tests.blender.asking import no_problem
from tests.blender.rig_building import build, select_bones
from tests.blender.rigs_at_hand import clear, curl, rigify_arm, rigify_human, round_trip, turn

COUNT = 4


@pytest.fixture
def engine(engine_python: Path, tmp_path: Path) -> Iterator[None]:
    """The engine of the checkout, with the weights that ship."""
    chosen = bpy.context.preferences.addons["hhmr_blender"].preferences
    chosen.command, chosen.device, chosen.log_file = str(engine_python), "cpu", str(tmp_path / "engine.log")
    bpy.context.scene.hhmr.count = COUNT
    yield
    session.shut_down()
    chosen.command = chosen.log_file = ""


def values(ob: bpy.types.Object) -> dict[str, tuple[float, ...]]:
    return {bone.name: freedom.values(bone) for bone in ob.pose.bones}


def apply(ob: bpy.types.Object, action: bpy.types.Action) -> None:
    select_bones(ob, set())
    ob.pose.apply_pose_from_action(action, evaluation_time=0)
    bpy.context.view_layer.update()


@pytest.mark.parametrize("side", ["R", "L"])
def test_round_trip_of_an_arm_with_its_palm(side: str, rng: np.random.Generator) -> None:
    """Read from the deforming bones, written to the controls, the arch of the palm as well."""
    ob = rigify_arm(side)
    hand = capture.choose(ob, "AUTO", None)
    assert hand.rig.id == "rigify_deform" and hand.controls[5] == f"f_index.01.{side}"
    assert metacarpals(ob, hand) == {17: f"palm.{side}"}
    assert round_trip(ob, hand, rng, 5) < 0.1


def test_what_a_master_adds_is_taken_off(rng: np.random.Generator) -> None:
    """The finger's master control is turned and scaled, which curls it: the pose comes out all the same."""
    ob = rigify_arm()
    hand = capture.choose(ob, "AUTO", None)
    curl(ob, hand, rng)
    wanted = capture.posed_joints(ob, hand)
    clear(ob)
    master = ob.pose.bones["f_index.01_master.R"]
    master.scale, master.rotation_quaternion = (1, 0.9, 1), Euler((0.2, 0, 0.1)).to_quaternion()
    bpy.context.view_layer.update()
    assert pose.write(ob, hand, wanted, bpy.context.view_layer).sentence() == ""
    a, b = CHAINS[1][:3], CHAINS[1][1:]
    posed = capture.posed_joints(ob, hand)
    pointing = [(posed[j] - posed[i]) / np.linalg.norm(posed[j] - posed[i]) for i, j in zip(a, b)]
    meant = [(wanted[j] - wanted[i]) / np.linalg.norm(wanted[j] - wanted[i]) for i, j in zip(a, b)]
    np.testing.assert_allclose(pointing, meant, atol=1e-3)


def test_finger_ik_is_switched_off_and_said(rng: np.random.Generator) -> None:
    ob = rigify_arm(finger_ik=True)
    hand = capture.choose(ob, "AUTO", None)
    curl(ob, hand, rng)
    turn(ob.pose.bones["palm.R"], Euler((0, 0, 0)).to_quaternion())
    bpy.context.view_layer.update()
    wanted = capture.posed_joints(ob, hand)
    clear(ob)
    switches = finger_ik(ob, hand)
    assert set(switches) == {0, 1, 2, 3, 4}
    switches[1]["FK_IK"] = switches[2]["FK_IK"] = 1.0
    ob.update_tag()
    kept = {0, 1, 5, 9, 13, 17, *CHAINS[2]}
    told = pose.write(ob, hand, wanted, bpy.context.view_layer, kept).sentence()
    assert told == "Finger IK was switched to FK ('f_index.01_ik.R')."
    assert switches[1]["FK_IK"] == 0 and switches[2]["FK_IK"] == 1  # the middle finger was kept
    off = np.linalg.norm(capture.posed_joints(ob, hand) - wanted, axis=1)
    assert off[[6, 7, 8]].max() < 1e-4


@pytest.mark.slow
def test_a_full_character(engine: None, tmp_path: Path, rng: np.random.Generator) -> None:
    """One finger and the thumb are posed; the rest is made, shown on the rig, saved, and applied again."""
    ob = rigify_human()
    hand = next(one for one in capture.hands(ob) if one.side == "right")
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "character.blend"))
    for name, angles in {"upper_arm_fk.R": (0.4, 0.2, 0.9), "hand_fk.R": (0.2, 0.5, -0.3)}.items():
        turn(ob.pose.bones[name], Euler(angles).to_quaternion())
    ob.pose.bones["upper_arm_parent.R"]["IK_FK"] = 1.0
    ob.update_tag()
    held = [hand.controls[joint] for chain in CHAINS[:2] for joint in chain[:3]]
    for name in held:
        turn(ob.pose.bones[name], Euler((0.3, 0, 0.05)).to_quaternion())
    bpy.context.view_layer.update()
    before, wrist = values(ob), ob.pose.bones["DEF-hand.R"].matrix.copy()

    bpy.context.view_layer.objects.active = ob
    select_bones(ob, set(held))
    bpy.context.scene.hhmr.bones = "SELECTED"
    assert bpy.ops.hhmr.from_armature(wait=True) == {"FINISHED"} and no_problem()
    assert len(ob.hhmr_poses) == COUNT + 1 and "hold" not in session.notice.text
    after = values(ob)
    turned = {name for name in after if after[name] != before[name]}
    assert turned == {hand.controls[joint] for chain in CHAINS[2:] for joint in chain[:3]}
    assert all(after[name][:3] == before[name][:3] for name in after), "a location was written"
    np.testing.assert_array_equal(ob.pose.bones["DEF-hand.R"].matrix, wrist)

    bpy.context.view_layer.objects.active = ob
    shown = []
    for i, row in enumerate(pose_list.poses(ob)):
        assert bpy.ops.hhmr.show_pose(index=i) == {"FINISHED"}
        shown.append(capture.posed_joints(ob, hand))
        if row.joints is not None:
            assert degrees_off(shown[-1], np.array(row.joints)).max() < 2.0
    assert values(ob) == after or len(shown) == COUNT + 1
    apart = [np.linalg.norm(one[9:] - shown[1][9:], axis=1).max() for one in shown[2:]]
    assert max(apart) > 0.01, "all hypotheses are one"

    assert bpy.ops.hhmr.save_pose_assets(which="ALL") == {"FINISHED"}
    assert f"{catalog.UUID}:HHMR:HHMR" in (tmp_path / catalog.FILE).read_text()
    bpy.ops.wm.save_mainfile()
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "character.blend"))
    ob = next(one for one in bpy.data.objects if one.type == "ARMATURE" and len(one.hhmr_poses))
    actions = sorted((one for one in bpy.data.actions if one.asset_data), key=lambda one: one.name)
    assert len(actions) == COUNT
    for action, joints in zip(actions, shown[1:]):
        for bone in pose.turned_bones(ob, hand):
            turn(bone, Euler((0, 0, 0)).to_quaternion())
        apply(ob, action)
        assert np.linalg.norm(capture.posed_joints(ob, hand) - joints, axis=1).max() < 1e-4
    left = next(one for one in capture.hands(ob) if one.side == "left")
    flipped = actions[0].copy()
    flipped.flip_with_pose(ob)
    rest = capture.posed_joints(ob, left)
    apply(ob, flipped)
    assert np.linalg.norm(capture.posed_joints(ob, left) - rest, axis=1).max() > 0.005


def degrees_off(posed: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Angles between the made fingers' segments and those of a hypothesis fitted to the palm."""
    from hhmr_blender.rigs.joints import rigid_fit
    from hhmr_blender.rigs.tables import PALM

    rotation, _, _ = rigid_fit(wanted[list(PALM)], posed[list(PALM)])
    angles = []
    for chain in CHAINS[2:]:
        for a, b in zip(chain[:-1], chain[1:]):
            one, other = posed[b] - posed[a], rotation @ (wanted[b] - wanted[a])
            cosine = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
            angles.append(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
    return np.array(angles)


def test_both_hands_one_after_the_other(engine: None) -> None:
    bpy.context.scene.hhmr.method = "gaussian"
    ob = build("mixamo", ("right", "left"))
    bpy.context.scene.hhmr.bones = "FINGERS"
    assert bpy.ops.hhmr.from_armature(side="BOTH", wait=True) == {"FINISHED"} and no_problem()
    rows = pose_list.poses(ob)
    assert [row.side for row in rows] == ["right"] * (COUNT + 1) + ["left"] * (COUNT + 1)
    assert session.notice.text.count("hands on") == 2 and not session.waiting
    made = [one for one in bpy.data.objects if one.type == "MESH"]
    assert {one.data["hhmr_side"] for one in made} == {"right", "left"}
    right, left = capture.hands(ob)
    before = capture.posed_joints(ob, left)
    bpy.context.view_layer.objects.active = ob
    bpy.ops.hhmr.show_pose(index=2)
    np.testing.assert_array_equal(capture.posed_joints(ob, left), before)
    bpy.ops.hhmr.show_pose(index=COUNT + 3)
    assert np.abs(capture.posed_joints(ob, left) - before).max() > 1e-3


def test_cancelled_both_hands_stay(engine: None) -> None:
    from hhmr_blender import pump

    bpy.context.scene.hhmr.method, bpy.context.scene.hhmr.steps = "gaussian", 250
    ob = build("mixamo", ("right", "left"))
    before = values(ob)
    bpy.ops.hhmr.from_armature(side="BOTH")
    assert session.busy and len(session.waiting) == 1
    bpy.ops.hhmr.cancel()
    assert pump.wait(60) and not session.waiting
    assert session.notice.text == "Cancelled." and values(ob) == before and len(ob.hhmr_poses) == 0


def test_both_hands_of_a_rig_with_one(engine: None) -> None:
    bpy.context.scene.hhmr.method = "gaussian"
    ob = build("mixamo")
    bpy.context.scene.hhmr.bones = "FINGERS"
    assert bpy.ops.hhmr.from_armature(side="BOTH", wait=True) == {"FINISHED"}
    assert {row.side for row in pose_list.poses(ob)} == {"right"}
