"""Joints -> bones: round trips on every rig, what holds a bone back, and what may not be touched."""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np
import pytest
from mathutils import Euler, Matrix, Quaternion

from hhmr_blender.apply import freedom, pose
from hhmr_blender.apply.controls import metacarpals
from hhmr_blender.capture import armature as capture
from hhmr_blender.problems import Problem
from hhmr_blender.rigs.tables import CHAINS
from tests.blender.rig_building import build, joints_at_rest
from tests.blender.rigs_at_hand import BY_NAME, bent, by_name, clear, curl, imported, round_trip

INDEX = ("index_01_r", "index_02_r", "index_03_r")


@pytest.mark.parametrize("rig", BY_NAME)
@pytest.mark.parametrize("side", ["right", "left"])
def test_round_trip_of_every_rig(rig: str, side: str, rng: np.random.Generator) -> None:
    ob = by_name(rig, side)
    hand = capture.choose(ob, "AUTO", None)
    assert hand.side == side and rig in (hand.rig.id, hand.rig.write_to)
    assert round_trip(ob, hand, rng, 5) < 0.1


@pytest.mark.parametrize("name", ["godot_xr_hand/hand_{}.gltf", "webxr_generic_hand/{}.glb"])
@pytest.mark.parametrize("side", ["right", "left"])
def test_round_trip_of_real_hands(name: str, side: str, data_root: Path, rng: np.random.Generator) -> None:
    word = side[0] if "gltf" in name else side
    ob = imported(data_root / "hands" / name.format(word))
    hand = next(one for one in capture.hands(ob) if one.side == side)
    assert bool(metacarpals(ob, hand)) == (name[:5] == "godot")
    assert round_trip(ob, hand, rng, 20) < 0.1


def test_bones_that_do_not_hang_together_go_along(data_root: Path, rng: np.random.Generator) -> None:
    """A WebXR file: a pose comes back the same after another one, and what is kept is not touched."""
    ob = imported(data_root / "hands" / "webxr_generic_hand" / "right.glb")
    hand = capture.hands(ob)[0]
    rest = capture.posed_joints(ob, hand)
    first, other = bent(rest, rng), bent(rest, rng)
    write(ob, hand, first)
    before = {bone.name: freedom.values(bone) for bone in pose.turned_bones(ob, hand)}
    write(ob, hand, other)
    write(ob, hand, first)
    for name, values in before.items():
        np.testing.assert_allclose(freedom.values(ob.pose.bones[name]), values, atol=1e-4)
    written = {bone.name: freedom.values(bone) for bone in pose.turned_bones(ob, hand)}
    write(ob, hand, other, kept=range(21))
    assert {bone.name: freedom.values(bone) for bone in pose.turned_bones(ob, hand)} == written


def unreal() -> tuple[bpy.types.Object, capture.Hand]:
    ob = build("ue4_mannequin")
    return ob, capture.choose(ob, "AUTO", None)


def index_bent(ob: bpy.types.Object, hand: capture.Hand, angle: float, axis: str = "X") -> np.ndarray:
    """Joints with the index's second bone bent about one of its axes; the rig is at rest again after it."""
    bone = ob.pose.bones[INDEX[1]]
    mode, bone.rotation_mode = bone.rotation_mode, "QUATERNION"
    bone.rotation_quaternion = Matrix.Rotation(angle, 3, axis).to_quaternion()
    bpy.context.view_layer.update()
    joints = capture.posed_joints(ob, hand)
    clear(ob)
    bone.rotation_mode = mode
    return joints


def write(ob: bpy.types.Object, hand: capture.Hand, joints: np.ndarray, kept=()) -> pose.Written:
    return pose.write(ob, hand, joints, bpy.context.view_layer, kept)


def off(ob: bpy.types.Object, hand: capture.Hand, joints: np.ndarray) -> np.ndarray:
    return np.linalg.norm(capture.posed_joints(ob, hand) - joints, axis=1)


# ---------------------------------------------------------------- what may not be touched


def test_twist_stays_as_it_is_and_swing_does_not_depend_on_what_was_shown_before(
    rng: np.random.Generator,
) -> None:
    ob, hand = unreal()
    curl(ob, hand, rng)
    first = capture.posed_joints(ob, hand)
    twists = {bone.name: twist(bone) for bone in pose.turned_bones(ob, hand)}
    assert max(map(abs, twists.values())) > 0.2
    rotations = {bone.name: bone.rotation_quaternion.copy() for bone in ob.pose.bones}
    write(ob, hand, joints_at_rest() - [0.3, 0, 0])
    assert all(abs(twist(ob.pose.bones[name]) - angle) < 1e-3 for name, angle in twists.items())
    write(ob, hand, first)
    for bone in pose.turned_bones(ob, hand):
        assert bone.rotation_quaternion.rotation_difference(rotations[bone.name]).angle < 1e-3


def twist(bone: bpy.types.PoseBone) -> float:
    swing, angle = bone.rotation_quaternion.to_swing_twist("Y")
    return (angle + np.pi) % (2 * np.pi) - np.pi


def test_kept_bones_stay_to_the_last_bit(rng: np.random.Generator) -> None:
    ob = by_name("ue5_metahuman", "right")
    hand = capture.choose(ob, "AUTO", None)
    curl(ob, hand, rng)
    kept = {0, 1, 5, 9, 13, 17, *CHAINS[1], *CHAINS[4]}
    before = {bone.name: tuple(bone.rotation_quaternion) for bone in ob.pose.bones}
    write(ob, hand, capture.posed_joints(ob, hand) + rng.normal(0, 0.005, (21, 3)), kept)
    turned = {bone.name for bone in ob.pose.bones if tuple(bone.rotation_quaternion) != before[bone.name]}
    assert turned == {hand.controls[joint] for i in (0, 2, 3) for joint in CHAINS[i][:3]}


def test_a_hand_of_other_proportions_does_not_twist_the_palm(rng: np.random.Generator) -> None:
    """The same hand, broader: at rest there is nothing to arch, whatever its knuckles' distance is."""
    ob = by_name("ue5_metahuman", "right")
    hand = capture.choose(ob, "AUTO", None)
    other = joints_at_rest() * [1.2, 1, 1]
    pose.write(ob, hand, other, bpy.context.view_layer, rest=other)
    for name in metacarpals(ob, hand).values():
        assert ob.pose.bones[name].rotation_quaternion.angle < 1e-3
    pose.write(ob, hand, other, bpy.context.view_layer)
    for name in metacarpals(ob, hand).values():
        assert ob.pose.bones[name].rotation_quaternion.angle > 0.01


# ---------------------------------------------------------------- what holds a bone back


def test_joint_limit_is_met_and_what_is_lost_is_said() -> None:
    ob, hand = unreal()
    joints = index_bent(ob, hand, 1.0)
    bone = ob.pose.bones[INDEX[1]]
    bone.rotation_mode = "XYZ"
    limit = bone.constraints.new("LIMIT_ROTATION")
    limit.owner_space, limit.use_limit_x, limit.max_x = "LOCAL", True, 0.6
    limit.use_limit_y = limit.use_limit_z = True
    written = write(ob, hand, joints)
    np.testing.assert_allclose(bone.rotation_euler, (0.6, 0, 0), atol=1e-3)
    assert [loss.bone for loss in written.losses] == [INDEX[1]]
    assert abs(written.losses[0].degrees - np.degrees(0.4)) < 0.1
    assert written.sentence() == "Joint limits hold a bone back, 'index_02_r' by 23°."
    limit.mute = True
    assert write(ob, hand, joints).sentence() == "" and off(ob, hand, joints).max() < 1e-5


def test_limit_that_is_wide_enough_costs_nothing(rng: np.random.Generator) -> None:
    ob, hand = unreal()
    joints = index_bent(ob, hand, 1.0)
    bone = ob.pose.bones[INDEX[1]]
    bone.use_ik_limit_x, bone.ik_max_x, bone.ik_min_x = True, 1.5, -0.2
    assert write(ob, hand, joints).losses == () and off(ob, hand, joints).max() < 1e-5
    bone.ik_max_x = 0.5
    assert abs(write(ob, hand, joints).losses[0].degrees - np.degrees(0.5)) < 0.1
    assert abs(bone.rotation_quaternion.angle - 0.5) < 1e-3


def test_a_hinge_turns_about_its_axis_alone() -> None:
    ob, hand = unreal()
    joints = index_bent(ob, hand, 0.8, "X")
    bone = ob.pose.bones[INDEX[1]]
    bone.rotation_mode = "YZX"
    bone.rotation_euler = (0, 0.1, 0.2)
    locked = tuple(bone.rotation_euler)[1:]
    bone.lock_rotation = (False, True, True)
    written = write(ob, hand, joints)
    assert tuple(bone.rotation_euler)[1:] == locked and abs(bone.rotation_euler[0] - 0.8) < 0.05
    assert "Locked rotation channels hold a bone back, 'index_02_r'" in written.sentence()
    # Nothing else that the free channel can hold comes nearer.
    best = min(off_by(ob, hand, bone, x, joints) for x in np.linspace(0, 1.6, 81))
    assert written.losses[0].degrees <= best + 0.02


def off_by(ob, hand, bone, x: float, joints: np.ndarray) -> float:
    bone.rotation_euler[0] = x
    bpy.context.view_layer.update()
    now = capture.posed_joints(ob, hand)
    a, b = now[7] - now[6], joints[7] - joints[6]
    return float(np.degrees(np.arccos(a @ b / np.linalg.norm(a) / np.linalg.norm(b))))


@pytest.mark.parametrize("mode", ["QUATERNION", "XYZ", "AXIS_ANGLE"])
def test_a_locked_bone_stays(mode: str) -> None:
    ob, hand = unreal()
    joints = index_bent(ob, hand, 1.0)
    bone = ob.pose.bones[INDEX[1]]
    bone.rotation_mode, bone.lock_rotation = mode, (True, True, True)
    before = bone.matrix_basis.copy()
    assert write(ob, hand, joints).losses[0].reason == "lock"
    np.testing.assert_allclose(bone.matrix_basis, before, atol=1e-6)


def test_a_driven_bone_is_left_to_its_driver() -> None:
    ob, hand = unreal()
    joints = index_bent(ob, hand, 1.0)
    bone = ob.pose.bones[INDEX[1]]
    driver = bone.driver_add("rotation_quaternion", 1).driver
    driver.expression = "0.1"
    bpy.context.view_layer.update()
    before = tuple(bone.rotation_quaternion)
    written = write(ob, hand, joints)
    assert tuple(bone.rotation_quaternion) == before
    assert written.sentence().startswith("Drivers hold a bone back, 'index_02_r' by ")


def test_a_driven_angle_leaves_the_others() -> None:
    ob, hand = unreal()
    joints = index_bent(ob, hand, 1.0)
    bone = ob.pose.bones[INDEX[1]]
    bone.rotation_mode = "XYZ"
    bone.driver_add("rotation_euler", 2).driver.expression = "0.0"
    bpy.context.view_layer.update()
    assert write(ob, hand, joints).losses == () and off(ob, hand, joints).max() < 1e-4


def constrained(influence: float) -> tuple[bpy.types.Object, capture.Hand, bpy.types.PoseBone, np.ndarray]:
    ob, hand = unreal()
    joints = index_bent(ob, hand, 1.0)
    bone = ob.pose.bones[INDEX[1]]
    follow = bone.constraints.new("COPY_ROTATION")
    follow.name, follow.target, follow.subtarget = "Follow", ob, "middle_01_r"
    follow.influence = influence
    bpy.context.view_layer.update()
    return ob, hand, bone, joints


def test_a_bone_that_a_constraint_holds_is_not_turned_and_named() -> None:
    ob, hand, bone, joints = constrained(1.0)
    written = write(ob, hand, joints)
    assert tuple(bone.rotation_quaternion) == (1, 0, 0, 0)
    assert "The constraint 'Follow' holds a bone back" in written.sentence()
    bone.constraints[0].mute = True
    assert write(ob, hand, joints).sentence() == "" and off(ob, hand, joints).max() < 1e-5


def test_what_a_constraint_adds_is_taken_off() -> None:
    """As fingers that curl with a property of the hand do: the pose comes out all the same."""
    ob, hand, bone, joints = constrained(1.0)
    add = bone.constraints[0]
    add.mix_mode, add.subtarget = "BEFORE", "hand_r"
    add.owner_space = add.target_space = "LOCAL"
    ob.pose.bones["hand_r"].rotation_quaternion = Euler((0.3, 0.2, 0)).to_quaternion()
    bpy.context.view_layer.update()
    carried = np.array(ob.pose.bones["hand_r"].matrix @ ob.data.bones["hand_r"].matrix_local.inverted())
    joints = joints @ carried[:3, :3].T + carried[:3, 3]
    assert write(ob, hand, joints).sentence() == "" and off(ob, hand, joints).max() < 1e-5


# ---------------------------------------------------------------- where the rig stands, and whose it is


@pytest.mark.parametrize(
    "scale", [(0.01, 0.01, 0.01), (-1, 1, 1), (1, 2, 1)], ids=["small", "mirrored", "uneven"]
)
def test_round_trip_under_a_parent(scale: tuple[float, float, float], rng: np.random.Generator) -> None:
    ob, hand = unreal()
    bpy.ops.object.empty_add(location=(1, 2, 3), rotation=(0.3, 0.4, 0.5))
    ob.parent = bpy.context.object
    ob.matrix_basis = Matrix.LocRotScale((0.1, 0, 0), Quaternion((1, 1, 0, 0)).normalized(), scale)
    bpy.context.view_layer.update()
    assert round_trip(ob, hand, rng, 5) < 0.1


def from_library(tmp_path: Path) -> bpy.types.Object:
    unreal()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "character.blend"))
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    with bpy.data.libraries.load(str(tmp_path / "character.blend"), link=True) as (source, wanted):
        wanted.objects = source.objects
    ob = wanted.objects[0]
    bpy.context.collection.objects.link(ob)
    bpy.context.view_layer.update()
    return ob


def test_a_linked_rig_is_refused_and_an_override_is_posed(tmp_path: Path, rng: np.random.Generator) -> None:
    ob = from_library(tmp_path)
    hand = capture.choose(ob, "AUTO", None)
    with pytest.raises(Problem, match="library override") as caught:
        write(ob, hand, joints_at_rest())
    assert caught.value.code == "linked"
    override = ob.override_create(remap_local_usages=True)
    bpy.context.view_layer.update()
    assert round_trip(override, hand, rng, 2) < 0.1
    pose.insert_keys(override, hand)
    assert override.animation_data.action is not None


def test_keys_are_on_the_rotations_of_the_hand_alone() -> None:
    ob, hand = unreal()
    bpy.context.scene.frame_set(12)
    pose.insert_keys(ob, hand)
    from bpy_extras import anim_utils

    curves = anim_utils.action_get_channelbag_for_slot(
        ob.animation_data.action, ob.animation_data.action_slot
    ).fcurves
    paths = {curve.data_path for curve in curves}
    assert paths == {bone.path_from_id("rotation_quaternion") for bone in pose.turned_bones(ob, hand)}
    assert {curve.keyframe_points[0].co[0] for curve in curves} == {12}


# ---------------------------------------------------------------- the arithmetic of limits


@pytest.mark.parametrize("order", ["XYZ", "XZY", "YXZ", "YZX", "ZXY", "ZYX"])
def test_euler_angles_are_blenders(order: str, rng: np.random.Generator) -> None:
    angles = rng.uniform(-3, 3, 3)
    np.testing.assert_allclose(
        freedom.euler_matrix(order, angles), Euler(angles.tolist(), order).to_matrix(), atol=1e-6
    )


def test_best_rotation_within_limits_beats_every_other(rng: np.random.Generator) -> None:
    """Against a fine grid of all rotations that are allowed."""
    low, high = np.array([-0.2, -0.1, -0.3]), np.array([0.9, 0.1, 0.3])
    free = freedom.Freedom("XYZ", low, high, "limit")
    along = np.array([0.0, 1.0, 0.0])
    grid = np.stack(np.meshgrid(*(np.linspace(a, b, 9) for a, b in zip(low, high))), -1).reshape(-1, 3)
    reach = np.array([freedom.euler_matrix("XYZ", angles) @ along for angles in grid])
    for _ in range(20):
        wanted = freedom.euler_matrix("XYZ", rng.uniform(-1.2, 1.2, 3)) @ along
        ideal = np.array(
            Quaternion(np.cross(along, wanted).tolist(), float(np.arccos(along @ wanted))).to_matrix(), float
        )
        angles = freedom.within(free, ideal, along, wanted, np.eye(3))
        assert (angles >= low - 1e-12).all() and (angles <= high + 1e-12).all()
        assert freedom.euler_matrix("XYZ", angles) @ along @ wanted >= (reach @ wanted).max() - 1e-4
