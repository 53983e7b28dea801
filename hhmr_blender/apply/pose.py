"""A hypothesis as a pose: joints -> rotations of an armature's finger bones."""

from __future__ import annotations

from collections.abc import Collection

import bpy
import numpy as np
from mathutils import Matrix
from numpy.typing import NDArray

from ..capture.armature import posed_joints, rest_joints
from ..problems import Problem
from ..rigs.detect import Hand
from ..rigs.joints import rigid_fit, smallest_swing
from ..rigs.tables import CHAINS, PALM

Array = NDArray[np.float64]


def write(
    ob: bpy.types.Object,
    hand: Hand,
    joints: Array,
    view_layer: bpy.types.ViewLayer,
    kept: Collection[int] = (),
) -> None:
    """Turn the finger bones of a hand so that they point as joints [21, 3] do, in any space and scale.

    The palm stays where it is: the joints are fitted to it (wrist and finger roots). Then each bone, from the
    root outward, gets the smallest swing from where its parent carries its rest pose; joints say nothing of
    twist. Segments between two `kept` joints are left as they are. Raises Problem before anything is changed.
    """
    assert ob.pose is not None
    palm = [joint for joint in PALM if hand.bones[joint]]
    now = posed_joints(ob, hand)
    missing = [name for name in hand.controls if name and name not in ob.pose.bones]
    if missing or len(palm) < 3:
        raise Problem(
            "half_hand", f"'{ob.name}' lacks bones of the hand now: {', '.join(missing) or 'the palm'}."
        )
    rotation, scale, offset = rigid_fit(joints[palm], now[palm])
    world = scale * joints @ rotation.T + offset
    inverse = np.linalg.inv(np.array(ob.matrix_world, dtype=float))
    wanted = world @ inverse[:3, :3].T + inverse[:3, 3]

    rest = rest_joints(ob, hand)
    for level in range(3):
        for chain in CHAINS:
            a, b = chain[level], chain[level + 1]
            name = hand.controls[a]
            if not {a, b} <= set(kept) and name and np.isfinite(rest[[a, b]]).all():
                _swing(ob.pose.bones[name], rest[b] - rest[a], wanted[b] - wanted[a])
        view_layer.update()  # the next level hangs on this one, perhaps through constraints


def insert_keys(ob: bpy.types.Object, hand: Hand) -> None:
    """Keyframe the finger bones at the current frame, as auto keying would."""
    assert ob.pose is not None
    for chain in CHAINS:
        for joint in chain[:3]:
            if hand.controls[joint]:
                bone = ob.pose.bones[hand.controls[joint]]
                bone.keyframe_insert(_channel(bone), group=bone.name)


def _swing(bone: bpy.types.PoseBone, rest: Array, wanted: Array) -> None:
    """Rotate a bone so that what points along `rest` in the rest pose points along `wanted`."""
    at_rest = np.array(bone.bone.matrix_local.to_3x3(), dtype=float)
    carried = _carried(bone)
    base = np.array(carried.to_quaternion().to_matrix(), dtype=float)
    direction = base @ at_rest.T @ rest
    if np.linalg.norm(direction) == 0 or np.linalg.norm(wanted) == 0:
        return
    local = base.T @ smallest_swing(direction, wanted) @ base
    _set_rotation(bone, Matrix(local.tolist()))


def _carried(bone: bpy.types.PoseBone) -> Matrix:
    """Where a bone would be, in armature space, if it had no rotation of its own."""
    parent = bone.parent
    if parent is None:
        return bone.bone.matrix_local.copy()
    return bone.bone.convert_local_to_pose(
        Matrix.Identity(4),
        bone.bone.matrix_local,
        parent_matrix=parent.matrix,
        parent_matrix_local=parent.bone.matrix_local,
    )


def _set_rotation(bone: bpy.types.PoseBone, matrix: Matrix) -> None:
    if bone.rotation_mode == "QUATERNION":
        bone.rotation_quaternion = matrix.to_quaternion()
    elif bone.rotation_mode == "AXIS_ANGLE":
        axis, angle = matrix.to_quaternion().to_axis_angle()
        bone.rotation_axis_angle = (angle, *axis)  # type: ignore[assignment]
    else:
        bone.rotation_euler = matrix.to_euler(bone.rotation_mode, bone.rotation_euler)


def _channel(bone: bpy.types.PoseBone) -> str:
    modes = {"QUATERNION": "rotation_quaternion", "AXIS_ANGLE": "rotation_axis_angle"}
    return modes.get(bone.rotation_mode, "rotation_euler")
