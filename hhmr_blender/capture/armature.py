"""Joints of an armature's hand: pose bones -> [21, 3] in world space, NaN where unknown."""

from __future__ import annotations

from dataclasses import dataclass

import bpy
import numpy as np
from numpy.typing import NDArray

from ..problems import Problem
from ..rigs import joints as rig_joints
from ..rigs.detect import Hand, find_hands
from ..rigs.tables import CHAINS, JOINTS, PALM

Array = NDArray[np.float64]

SHORTEST = 1e-4
"""Of the palm's length: a shorter finger segment says nothing about its direction."""


@dataclass(frozen=True)
class ArmatureHand:
    """A hand of an armature, and the joints of it that are kept."""

    hand: Hand
    joints: NDArray[np.float32]
    """[21, 3] metres in world space, NaN = unknown."""


def capture(ob: bpy.types.Object, keep: str, side: str) -> ArmatureHand:
    """Joints of a hand as it is posed now; `keep` is ALL or SELECTED, `side` is AUTO, RIGHT or LEFT.

    With SELECTED, the wrist and the finger roots, which place the hand, and every finger segment whose bone
    (or whose control) is selected. Raises Problem: no hand, half of one, two of them, a segment of no length.
    """
    picked = selected_bones(ob) if keep == "SELECTED" else None
    hand = choose(ob, side, picked)
    joints = posed_joints(ob, hand)
    _check_lengths(ob, hand, joints)
    if picked is not None:
        joints[~_kept(hand, picked)] = np.nan
    return ArmatureHand(hand, joints.astype(np.float32))


def hands(ob: bpy.types.Object) -> list[Hand]:
    """Hands of an armature, partial ones too. Raises Problem where it is no armature."""
    armature = ob.data
    if not isinstance(armature, bpy.types.Armature):
        raise Problem("no_armature", f"'{ob.name}' is not an armature: select the rig of the character.")
    return find_hands({bone.name: bone.parent.name if bone.parent else None for bone in armature.bones})


def choose(ob: bpy.types.Object, side: str, picked: set[str] | None) -> Hand:
    """The one hand that is meant. Raises Problem where there is none, or where it can't be known which."""
    found = hands(ob)
    if not found:
        raise Problem(
            "no_hand",
            f"No hand was found in '{ob.name}': its bones are named like none of the rigs known here "
            "(Rigify, Mixamo, Unreal and others).",
        )
    if side != "AUTO":
        found = [hand for hand in found if hand.side == side.lower()]
        if not found:
            raise Problem("no_hand", f"'{ob.name}' has no {side.lower()} hand: choose the other side.")
    if picked is not None:
        found = [hand for hand in found if any(hand.joint_of(bone) is not None for bone in picked)]
        if not found:
            raise Problem(
                "no_bones",
                f"No bone of a hand is selected in '{ob.name}': in Pose Mode, select the fingers to keep.",
            )
    elif any(hand.whole for hand in found):
        found = [hand for hand in found if hand.whole]
    if len(found) > 1:
        raise Problem("two_hands", f"'{ob.name}' has two hands: which one?")
    hand = found[0]
    if picked is None and not hand.whole:
        raise Problem(
            "half_hand",
            f"'{ob.name}' has only {hand.phalanges} of the 15 finger bones of a {hand.side} hand "
            f"({hand.rig.label} names): in Pose Mode select those to keep, and use Selected Bones.",
        )
    if sum(bool(hand.bones[joint]) for joint in PALM) < 3:
        raise Problem(
            "half_hand",
            f"'{ob.name}' has too little of a palm to place a hand: it needs the wrist and the first bones "
            "of two fingers.",
        )
    return hand


def posed_joints(ob: bpy.types.Object, hand: Hand) -> Array:
    """Joints of a hand as it is posed, [21, 3] in world space; NaN where a bone is missing."""
    assert ob.pose is not None
    rest = rest_joints(ob, hand)
    world = np.full((21, 3), np.nan)
    matrix = np.array(ob.matrix_world, dtype=float)
    for joint in range(21):
        bone = rig_joints.owner(hand, joint)
        if not bone:
            continue
        pose_bone = ob.pose.bones[bone]
        moved = np.array(pose_bone.matrix, dtype=float) @ np.linalg.inv(
            np.array(pose_bone.bone.matrix_local, dtype=float)
        )
        world[joint] = (matrix @ moved @ np.append(rest[joint], 1.0))[:3]
    return world


def rest_joints(ob: bpy.types.Object, hand: Hand) -> Array:
    """Joints of a hand in the rest pose, [21, 3] in armature space."""
    armature = ob.data
    assert isinstance(armature, bpy.types.Armature)
    bones = [armature.bones[name] for name in hand.bones if name]
    heads = {bone.name: np.array(bone.head_local, dtype=float) for bone in bones}
    tails = {bone.name: np.array(bone.tail_local, dtype=float) for bone in bones}
    return rig_joints.rest_joints(hand, heads, tails)


def selected_bones(ob: bpy.types.Object) -> set[str]:
    """Names of the selected pose bones (Blender 5.0 moved the flag from the bone to the pose bone)."""
    if ob.pose is None:
        return set()
    return {
        bone.name for bone in ob.pose.bones if (bone.select if hasattr(bone, "select") else bone.bone.select)
    }


def _kept(hand: Hand, picked: set[str]) -> NDArray[np.bool_]:
    """Joints [21] that the selected bones hold: both ends of each, and the palm."""
    kept = np.zeros(21, bool)
    kept[list(PALM)] = True
    for bone in picked:
        joint = hand.joint_of(bone)
        if joint is None or joint == 0:
            continue
        kept[joint] = True
        chain = next(chain for chain in CHAINS if joint in chain)
        if joint != chain[3]:
            kept[joint + 1] = True
    return kept


def _check_lengths(ob: bpy.types.Object, hand: Hand, joints: Array) -> None:
    if not np.isfinite(joints[[joint for joint in range(21) if hand.bones[joint]]]).all():
        raise Problem("nan", f"The pose of '{ob.name}' holds values that are no numbers: clear its pose.")
    palm = max(float(np.linalg.norm(joints[joint] - joints[0])) for joint in PALM[1:] if hand.bones[joint])
    for chain in CHAINS:
        for a, b in zip(chain[:-1], chain[1:]):
            if np.linalg.norm(joints[b] - joints[a]) <= SHORTEST * palm:
                bone = rig_joints.owner(hand, a)
                raise Problem(
                    "zero_length",
                    f"The bone '{bone}' of '{ob.name}' has no length "
                    f"({JOINTS[a]} and {JOINTS[b]} are in one place): give it a length, or clear its scale.",
                )
