"""Joints out of armatures, and poses back onto them."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
from mathutils import Euler, Matrix, Quaternion, Vector

from hhmr_blender.apply import pose
from hhmr_blender.capture import armature as capture
from hhmr_blender.problems import Problem
from hhmr_blender.rigs.tables import CHAINS, JOINTS, RIGS
from tests.blender.rig_building import build, joints_at_rest, places, select_bones


def curl(ob: bpy.types.Object, hand, rng: np.random.Generator) -> None:
    """A random pose of the finger bones, within what bones do."""
    for chain in CHAINS:
        for joint in chain[:3]:
            if not hand.controls[joint]:
                continue
            bone = ob.pose.bones[hand.controls[joint]]
            turn = Euler(rng.uniform(-0.7, 0.7, 3)).to_quaternion()
            if bone.rotation_mode == "QUATERNION":
                bone.rotation_quaternion = turn
            else:
                bone.rotation_euler = turn.to_euler(bone.rotation_mode)
    bpy.context.view_layer.update()


def clear(ob: bpy.types.Object) -> None:
    for bone in ob.pose.bones:
        bone.matrix_basis = Matrix.Identity(4)
    bpy.context.view_layer.update()


def problem_of(ob: bpy.types.Object, keep: str = "ALL", side: str = "AUTO") -> str:
    with pytest.raises(Problem) as caught:
        capture.capture(ob, keep, side)
    return caught.value.code


@pytest.mark.parametrize("rig", ["mixamo", "ue4_mannequin", "rigify_metarig", "vroid"])
@pytest.mark.parametrize("side", ["right", "left"])
def test_joints_of_a_rig_at_rest(rig: str, side: str) -> None:
    ob = build(rig, (side,))
    ob.matrix_world = Matrix.LocRotScale((1, 2, 3), Quaternion((1, 1, 0, 0)).normalized(), (2, 2, 2))
    bpy.context.view_layer.update()
    found = capture.capture(ob, "ALL", "AUTO")
    places = joints_at_rest(side) + ([0.3, 0, 0] if side == "left" else [-0.3, 0, 0])
    matrix = np.array(ob.matrix_world, dtype=float)
    assert found.hand.side == side and found.hand.rig.id == rig
    np.testing.assert_allclose(found.joints, places @ matrix[:3, :3].T + matrix[:3, 3], atol=1e-5)


def test_joints_follow_the_pose(rng: np.random.Generator) -> None:
    ob = build("mixamo")
    hand = capture.choose(ob, "AUTO", None)
    curl(ob, hand, rng)
    found = capture.capture(ob, "ALL", "AUTO").joints
    for joint in range(21):
        head = ob.matrix_world @ ob.pose.bones[hand.bones[joint]].head
        np.testing.assert_allclose(found[joint], head, atol=1e-6)


def test_selected_bones_keep_their_fingers_and_the_palm() -> None:
    ob = build("ue4_mannequin")
    select_bones(ob, {"index_01_r", "index_02_r", "index_03_r", "thumb_02_r"})
    joints = capture.capture(ob, "SELECTED", "AUTO").joints
    assert known(joints) == {
        "wrist", "thumb_cmc", "index_mcp", "middle_mcp", "ring_mcp", "pinky_mcp",
        "index_pip", "index_dip", "index_tip", "thumb_mcp", "thumb_ip",
    }  # fmt: skip


@pytest.mark.parametrize("rig", RIGS, ids=lambda rig: rig.id)
def test_joints_of_every_rig_as_characters_come(rig) -> None:
    """With arms, metacarpals, twist and prop bones, rolls, and tails that mean nothing; both sides."""
    ob = build(rig.id, ("right", "left"), dressed=True)
    for side in ("right", "left"):
        found = capture.capture(ob, "ALL", side.upper())
        assert (found.side, found.hand.rig.id) == (side, rig.id)
        np.testing.assert_allclose(found.joints, places(side), atol=1e-6)


def known(joints: np.ndarray) -> set[str]:
    return {JOINTS[i] for i in np.flatnonzero(np.isfinite(joints).all(axis=1))}


PALM_NAMES = {"wrist", "thumb_cmc", "index_mcp", "middle_mcp", "ring_mcp", "pinky_mcp"}


def test_locked_fingers_are_kept_and_the_palm() -> None:
    ob = build("rigify_metarig")
    joints = capture.capture(ob, "FINGERS", "AUTO", {"INDEX", "PINKY"}).joints
    kept = {name for name in JOINTS if name.startswith(("index", "pinky"))}
    assert known(joints) == PALM_NAMES | kept
    assert known(capture.capture(ob, "FINGERS", "AUTO").joints) == PALM_NAMES
    every = capture.capture(ob, "FINGERS", "AUTO", capture.FINGER_NAMES).joints
    np.testing.assert_array_equal(every, capture.capture(ob, "ALL", "AUTO").joints)


def test_the_fingers_of_the_tab_are_those_that_are_read() -> None:
    items = bpy.context.scene.hhmr.bl_rna.properties["fingers"].enum_items
    assert tuple(item.identifier for item in items) == capture.FINGER_NAMES


def test_both_hands_of_a_character() -> None:
    ob = build("mixamo", ("right", "left"))
    right, left = capture.capture_both(ob, "FINGERS", {"THUMB"})
    assert (right.side, left.side) == ("right", "left")
    assert known(right.joints) == known(left.joints) > PALM_NAMES
    select_bones(ob, {"mixamorig:LeftHandIndex2"})
    (one,) = capture.capture_both(ob, "SELECTED")
    assert one.side == "left" and known(one.joints) == PALM_NAMES | {"index_pip", "index_dip"}
    select_bones(ob, set())
    with pytest.raises(Problem, match="No bone of a hand is selected"):
        capture.capture_both(ob, "SELECTED")
    assert [one.side for one in capture.capture_both(build("vroid"), "ALL")] == ["right"]


def test_a_mirrored_character_shows_the_other_hand() -> None:
    ob = build("mixamo", ("right",))
    ob.scale = (-1, 1, 1)
    bpy.context.view_layer.update()
    found = capture.capture(ob, "ALL", "LEFT")
    assert (found.side, found.hand.side) == ("left", "right")
    np.testing.assert_allclose(found.joints, places("right") * [-1, 1, 1], atol=1e-6)
    assert problem_of(ob, side="RIGHT") == "no_rig_hand"


def test_parents_and_constraints_of_the_object_count() -> None:
    ob = build("ue4_mannequin")
    parent, target = (bpy.data.objects.new(name, None) for name in ("parent", "target"))
    for empty in (parent, target):
        bpy.context.collection.objects.link(empty)
    parent.matrix_world = Matrix.LocRotScale((1, 2, 3), Euler((0.3, 1, 2)), (2, 0.5, 3))
    target.location = (0, 0, 5)
    ob.parent = parent
    ob.rotation_euler = (0.4, 0.5, 0.6)
    limit = ob.constraints.new("COPY_LOCATION")
    limit.target = target
    bpy.context.view_layer.update()
    joints = capture.capture(ob, "ALL", "AUTO").joints
    matrix = np.array(parent.matrix_world @ Euler((0.4, 0.5, 0.6)).to_matrix().to_4x4(), dtype=float)
    wanted = places("right") @ matrix[:3, :3].T + [0, 0, 5]
    np.testing.assert_allclose(joints, wanted, atol=1e-5)


def test_drivers_and_constraints_of_bones_count() -> None:
    ob = build("ue4_mannequin")
    bone = ob.pose.bones["index_02_r"]
    bone.rotation_mode = "XYZ"
    bone.driver_add("rotation_euler", 0).driver.expression = "0.7"
    copy = ob.pose.bones["middle_02_r"].constraints.new("COPY_ROTATION")
    copy.target, copy.subtarget = ob, "index_02_r"
    copy.owner_space = copy.target_space = "LOCAL"
    bpy.context.view_layer.update()
    joints = capture.capture(ob, "ALL", "AUTO").joints
    for name, at in (("index_03_r", 7), ("middle_03_r", 11)):
        np.testing.assert_allclose(joints[at], ob.matrix_world @ ob.pose.bones[name].head, atol=1e-6)
        assert np.linalg.norm(joints[at] - places("right")[at]) > 0.01


def test_joints_are_read_at_the_frame_that_is_set() -> None:
    ob = build("mixamo")
    hand = capture.choose(ob, "AUTO", None)
    bone = ob.pose.bones["mixamorig:RightHandIndex1"]
    bone.rotation_mode = "XYZ"
    for frame, angle in ((1, 0.0), (11, 1.0)):
        bone.rotation_euler = (angle, 0, 0)
        bone.keyframe_insert("rotation_euler", frame=frame)
    seen = []
    for frame in (1, 6, 11):
        bpy.context.scene.frame_set(frame)
        seen.append(capture.posed_joints(ob, hand)[8])
        tip = ob.matrix_world @ bone.matrix @ bone.bone.matrix_local.inverted() @ Vector(places("right")[8])
        np.testing.assert_allclose(seen[-1], tip, atol=1e-6)
    np.testing.assert_allclose(seen[0], places("right")[8], atol=1e-6)
    assert np.linalg.norm(seen[1] - seen[0]) > 0.01 and np.linalg.norm(seen[2] - seen[1]) > 0.01


def test_a_disabled_armature_has_an_old_pose_and_a_hidden_one_has_not() -> None:
    ob = build("mixamo")
    ob.hide_set(True)
    bone = ob.pose.bones["mixamorig:RightHandIndex1"]
    bone.rotation_quaternion = Euler((1, 0, 0)).to_quaternion()
    bpy.context.view_layer.update()
    assert np.abs(capture.capture(ob, "ALL", "AUTO").joints[8] - places("right")[8]).max() > 0.01
    ob.hide_viewport = True
    assert problem_of(ob) == "disabled"
    ob.hide_viewport = False
    away = bpy.data.collections.new("away")
    bpy.context.scene.collection.children.link(away)
    for collection in ob.users_collection:
        collection.objects.unlink(ob)
    away.objects.link(ob)
    bpy.context.view_layer.layer_collection.children["away"].exclude = True
    assert problem_of(ob) == "disabled"


def test_an_armature_in_edit_mode_has_no_pose() -> None:
    build("mixamo")
    bpy.ops.object.mode_set(mode="EDIT")
    assert problem_of(bpy.context.object) == "edit_mode"


def test_two_hands_need_a_side_or_a_selection() -> None:
    ob = build("mixamo", ("right", "left"))
    assert problem_of(ob) == "two_hands"
    assert capture.capture(ob, "ALL", "LEFT").hand.side == "left"
    select_bones(ob, {"mixamorig:LeftHandIndex2"})
    assert capture.capture(ob, "SELECTED", "AUTO").hand.side == "left"
    select_bones(ob, {"mixamorig:LeftHandIndex2", "mixamorig:RightHandIndex2"})
    assert problem_of(ob, "SELECTED") == "two_hands"


def test_no_hand_half_a_hand_no_bones() -> None:
    bpy.ops.object.armature_add()
    assert problem_of(bpy.context.object) == "no_rig_hand"
    half = build("mixamo", joints=(0, 1, 2, 3, 4, 5, 6, 7, 8))
    assert problem_of(half) == "half_hand"
    assert problem_of(half, "SELECTED") == "no_bones"
    assert problem_of(half, side="LEFT") == "no_rig_hand"
    select_bones(half, {"mixamorig:RightHandIndex1"})
    joints = capture.capture(half, "SELECTED", "AUTO").joints  # asked for by name, half a hand is welcome
    assert np.isfinite(joints).all(axis=1).sum() == 4
    bpy.ops.mesh.primitive_cube_add()
    assert problem_of(bpy.context.object) == "no_armature"


def test_a_bone_without_length_is_named() -> None:
    ob = build("mixamo")
    bone = ob.pose.bones["mixamorig:RightHandIndex1"]
    bone.scale = (0, 0, 0)
    bpy.context.view_layer.update()
    with pytest.raises(Problem, match="RightHandIndex1") as caught:
        capture.capture(ob, "ALL", "AUTO")
    assert caught.value.code == "zero_length"


@pytest.mark.parametrize("rig", ["mixamo", "ue4_mannequin", "rigify_metarig"])
@pytest.mark.parametrize("mode", ["QUATERNION", "XYZ", "AXIS_ANGLE"])
def test_pose_goes_out_and_comes_back(rig: str, mode: str, rng: np.random.Generator) -> None:
    """20 random poses: read, cleared, written back; also from another place, turned and in another size."""
    ob = build(rig)
    ob.matrix_world = Matrix.LocRotScale((1, 2, 3), Quaternion((1, 1, 0, 0)).normalized(), (0.01, 0.01, 0.01))
    bpy.context.view_layer.update()
    hand = capture.choose(ob, "AUTO", None)
    for _ in range(20):
        for bone in ob.pose.bones:
            bone.rotation_mode = "QUATERNION"
        curl(ob, hand, rng)
        wanted = capture.posed_joints(ob, hand)
        clear(ob)
        for bone in ob.pose.bones:
            bone.rotation_mode = mode
        moved = np.array(Matrix.LocRotScale((5, 1, 0), Euler((1, 2, 3)), (3, 3, 3)))
        pose.write(ob, hand, wanted @ moved[:3, :3].T + moved[:3, 3], bpy.context.view_layer)
        error = np.linalg.norm(capture.posed_joints(ob, hand) - wanted, axis=1) / 0.01
        assert error.max() < 1e-5  # metres at the size of a hand


def test_the_palm_stays_in_place(rng: np.random.Generator) -> None:
    ob = build("mixamo")
    hand = capture.choose(ob, "AUTO", None)
    before = {name: ob.pose.bones[name].matrix.copy() for name in (hand.bones[0],)}
    pose.write(ob, hand, joints_at_rest() @ np.diag([1, 1, 1]) + 4, bpy.context.view_layer)
    assert all(ob.pose.bones[name].matrix == matrix for name, matrix in before.items())


def test_a_generated_rigify_rig_is_posed_by_its_controls(rng: np.random.Generator) -> None:
    import addon_utils  # on the path from `import bpy` on

    addon_utils.enable("rigify", default_set=True)
    bpy.ops.object.armature_human_metarig_add()
    metarig = bpy.context.object
    bpy.ops.object.mode_set(mode="EDIT")
    arm = ("shoulder", "upper_arm", "forearm", "hand", "palm", "f_", "thumb")
    for bone in list(metarig.data.edit_bones):
        if not (bone.name.startswith(arm) and bone.name.endswith(".R")):
            metarig.data.edit_bones.remove(bone)
    bpy.ops.object.mode_set(mode="OBJECT")
    bpy.ops.pose.rigify_generate()
    rig = next(ob for ob in bpy.data.objects if ob.type == "ARMATURE" and ob is not metarig)
    hand = capture.choose(rig, "AUTO", None)
    assert hand.rig.id == "rigify_deform" and hand.controls[5] == "f_index.01.R"
    for _ in range(3):
        curl(rig, hand, rng)
        wanted = capture.posed_joints(rig, hand)
        clear(rig)
        pose.write(rig, hand, wanted, bpy.context.view_layer)
        assert np.linalg.norm(capture.posed_joints(rig, hand) - wanted, axis=1).max() < 1e-4


def test_pose_operator_is_one_undo_step(hand: bpy.types.Object, rng: np.random.Generator) -> None:
    rig = build("mixamo")
    found = capture.choose(rig, "AUTO", None)
    curl(rig, found, rng)
    bpy.context.view_layer.objects.active = hand
    rig.select_set(True)
    bpy.ops.ed.undo_push(message="before")
    before = capture.posed_joints(rig, found)
    assert bpy.ops.hhmr.to_armature("EXEC_DEFAULT", True) == {"FINISHED"}
    rig = bpy.data.objects["mixamo"]
    after = capture.posed_joints(rig, found)
    assert np.abs(after - before).max() > 0.005
    np.testing.assert_allclose(after, joints_at_rest() + [-0.3, 0, 0], atol=1e-5)
    bpy.ops.ed.undo()
    bpy.context.view_layer.update()
    np.testing.assert_allclose(capture.posed_joints(bpy.data.objects["mixamo"], found), before, atol=1e-6)


def test_left_hand_does_not_pose_a_right_one() -> None:
    rig = build("mixamo")
    bpy.ops.hhmr.add_hand(side="LEFT")
    rig.select_set(True)
    with pytest.raises(RuntimeError, match="no left hand"):
        bpy.ops.hhmr.to_armature()
