"""Bones of a hand that don't hang on one another, as in WebXR files: they are moved along as if they did.

Only these get a location written: in such a rig that is what a bent finger is.
"""

from __future__ import annotations

from dataclasses import dataclass

import bpy
import numpy as np
from mathutils import Matrix
from numpy.typing import NDArray

from ..rigs.hand import Hand
from ..rigs.tables import CHAINS
from . import freedom

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Loose:
    """A bone, the one before it in its finger, and how it is turned beyond what that one gives it."""

    bone: bpy.types.PoseBone
    owner: bpy.types.PoseBone
    own: Array
    """[3, 3]"""


def loose_bones(ob: bpy.types.Object, hand: Hand) -> list[Loose]:
    """Finger bones that neither hang on the bone before them nor follow it by a constraint, root first."""
    assert ob.pose is not None
    found = []
    for chain in CHAINS:
        joints = [joint for joint in chain if hand.bones[joint]]
        for before, joint in zip(joints[:-1], joints[1:]):
            bone = ob.pose.bones[hand.controls[joint] or hand.bones[joint]]
            above = {one.name for one in bone.parent_recursive}
            if above & {hand.controls[before], hand.bones[before]} or freedom.acting_constraint(bone):
                continue
            owner = ob.pose.bones[hand.controls[before] or hand.bones[before]]
            posed = np.array(bone.matrix.to_quaternion().to_matrix(), dtype=float)
            found.append(Loose(bone, owner, rotation_of(carried(bone, owner)).T @ posed))
    return found


def carried(bone: bpy.types.PoseBone, owner: bpy.types.PoseBone) -> Matrix:
    """Where a bone would be, in armature space, if it hung on another and had no rotation of its own."""
    return owner.matrix @ owner.bone.matrix_local.inverted() @ bone.bone.matrix_local


def rotation_of(matrix: Matrix) -> Array:
    """Rotation [3, 3] of a transform."""
    return np.array(matrix.to_quaternion().to_matrix(), dtype=float)


def follow(found: list[Loose], moved: set[str]) -> set[str]:
    """Bring bones whose owners are among those moved to where those take them; returns the bones' names.

    The owners must be up to date: one level of a hand at a time.
    """
    due = [one for one in found if one.owner.name in moved]
    for one in due:
        place = carried(one.bone, one.owner)
        wanted = Matrix.LocRotScale(
            place.to_translation(), Matrix((rotation_of(place) @ one.own).tolist()).to_quaternion(), None
        )
        parent = one.bone.parent
        above = {} if parent is None else {"parent_matrix": parent.matrix}
        if parent is not None:
            above["parent_matrix_local"] = parent.bone.matrix_local
        local = one.bone.bone.convert_local_to_pose(wanted, one.bone.bone.matrix_local, invert=True, **above)
        one.bone.location = local.to_translation()
        freedom.set_rotation(one.bone, rotation_of(local))
    return {one.bone.name for one in due}
