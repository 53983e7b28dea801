"""Joints of an armature's hand: pose bones -> [21, 3] in world space, NaN where unknown."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import bpy
import numpy as np
from numpy.typing import NDArray

from ..problems import Problem
from ..rigs import joints as rig_joints
from ..rigs.detect import find_hands
from ..rigs.hand import SIDES, Hand
from ..rigs.tables import CHAINS, JOINTS, PALM
from . import mapping

Array = NDArray[np.float64]

SHORTEST = 1e-4
"""Of the palm's length: a shorter finger segment says nothing about its direction."""
FINGER_NAMES = ("THUMB", "INDEX", "MIDDLE", "RING", "PINKY")


@dataclass(frozen=True)
class ArmatureHand:
    """A hand of an armature, and the joints of it that are kept."""

    hand: Hand
    joints: NDArray[np.float32]
    """[21, 3] metres in world space, NaN = unknown."""
    side: str
    """As it is seen: that of `hand`, unless the object is mirrored."""


def capture(ob: bpy.types.Object, keep: str, side: str, fingers: Collection[str] = ()) -> ArmatureHand:
    """Joints of a hand as it is posed now; `keep` is ALL, FINGERS or SELECTED, `side` AUTO, RIGHT or LEFT.

    With FINGERS, the wrist and the finger roots, which place the hand, and the named `fingers` (THUMB to
    PINKY). With SELECTED, the same palm and every finger segment whose bone (or whose control) is selected.
    Raises Problem: no hand, half of one, two of them, one that is not sure, a segment of no length.
    """
    _check_readable(ob)
    picked = selected_bones(ob) if keep == "SELECTED" else None
    return _captured(ob, choose(ob, side, picked), keep, fingers, picked)


def capture_both(ob: bpy.types.Object, keep: str, fingers: Collection[str] = ()) -> list[ArmatureHand]:
    """Both hands of a character, as `capture` reads each; one where there is only one, or one is selected."""
    _check_readable(ob)
    picked = selected_bones(ob) if keep == "SELECTED" else None
    found = [hand for hand in hands(ob) if hand.whole]
    if picked is not None:
        found = [hand for hand in found if _touched(hand, picked)]
    if len({hand.side for hand in found}) < len(found):
        raise _several(ob, found)
    chosen = [choose(ob, seen_side(ob, hand).upper(), picked) for hand in found] or [
        choose(ob, "AUTO", picked)  # says what is wrong
    ]
    return [_captured(ob, hand, keep, fingers, picked) for hand in chosen]


def hands(ob: bpy.types.Object) -> list[Hand]:
    """Hands of an armature, partial ones too: those stored in its mapping, else those that are found.

    Raises Problem where it is no armature, or where its mapping names bones that it has no more.
    """
    armature = ob.data
    if ob.type == "EMPTY" and ob.instance_collection is not None:
        raise Problem(
            "no_armature",
            f"'{ob.name}' only shows a collection: make a library override of it (Object > Library "
            "Override), or link its armature, and choose that.",
        )
    if not isinstance(armature, bpy.types.Armature):
        raise Problem("no_armature", f"'{ob.name}' is not an armature: select the rig of the character.")
    stored = mapping.stored_hands(ob)
    if len(stored) == len(SIDES):
        return stored
    known = {hand.side for hand in stored}
    found = [hand for hand in detected_hands(armature) if hand.side not in known]
    return sorted([*stored, *found], key=lambda hand: SIDES.index(hand.side))


def detected_hands(armature: bpy.types.Armature) -> list[Hand]:
    """Hands that the names and the rest pose of the bones show, whatever is stored."""
    parents = {bone.name: bone.parent.name if bone.parent else None for bone in armature.bones}
    heads = {bone.name: np.array(bone.head_local, dtype=float) for bone in armature.bones}
    tails = {bone.name: np.array(bone.tail_local, dtype=float) for bone in armature.bones}
    return find_hands(parents, heads, tails)


def detected_for(ob: bpy.types.Object) -> list[Hand]:
    """Hands to store in an armature's mapping, one a side: of several characters that with selected bones.

    Raises Problem where there is none that is whole.
    """
    _check_readable(ob)
    assert isinstance(ob.data, bpy.types.Armature)
    found = [hand for hand in detected_hands(ob.data) if hand.whole]
    if not found:
        raise Problem(
            "no_rig_hand", f"No hand was found in '{ob.name}': choose its bones in the fields under Mapping."
        )
    picked = selected_bones(ob)
    found.sort(key=lambda hand: not _touched(hand, picked))
    chosen = [next((hand for hand in found if hand.side == side), None) for side in SIDES]
    return [hand for hand in chosen if hand is not None]


def seen_side(ob: bpy.types.Object, hand: Hand) -> str:
    """Side of a hand as it is seen: an object with a negative scale shows the other one."""
    if ob.matrix_world.determinant() >= 0:
        return hand.side
    return SIDES[1 - SIDES.index(hand.side)]


def choose(ob: bpy.types.Object, side: str, picked: set[str] | None) -> Hand:
    """The one hand that is meant; `side` as it is seen: AUTO, RIGHT, LEFT.

    Raises Problem where there is none, or where it can't be known which.
    """
    found = hands(ob)
    if not found:
        raise Problem(
            "no_rig_hand",
            f"No hand was found in '{ob.name}': its bones are named like none of the rigs known here "
            "(Rigify, Mixamo, Unreal and others), and no four or five chains of bones lie like fingers. "
            "Name its bones under Mapping.",
        )
    if side != "AUTO":
        found = [hand for hand in found if seen_side(ob, hand) == side.lower()]
        if not found:
            raise Problem("no_rig_hand", f"'{ob.name}' has no {side.lower()} hand: choose the other side.")
    if picked is not None:
        found = [hand for hand in found if _touched(hand, picked)]
        if not found:
            raise Problem(
                "no_bones",
                f"No bone of a hand is selected in '{ob.name}': in Pose Mode, select the fingers to keep.",
            )
    elif any(hand.whole for hand in found):
        found = [hand for hand in found if hand.whole]
    if len(found) > 1:
        raise _several(ob, found)
    hand = found[0]
    if not hand.sure:
        raise Problem(
            "unsure_hand",
            f"The hand of '{ob.name}' was found by its structure alone. {hand.doubt} Press Detect, look "
            "at the mapping, and try again.",
        )
    if picked is None and not hand.whole:
        raise Problem(
            "half_hand",
            f"'{ob.name}' has only {hand.phalanges} of the 15 finger bones of a {hand.side} hand "
            f"({hand.rig.label} names): in Pose Mode select those to keep, and choose Keep: Selected.",
        )
    if sum(bool(hand.bones[joint]) for joint in PALM) < 3:
        raise Problem(
            "half_hand",
            f"'{ob.name}' has too little of a palm to place a hand: it needs the wrist and the first bones "
            "of two fingers.",
        )
    return hand


def posed_joints(ob: bpy.types.Object, hand: Hand) -> Array:
    """Joints of a hand as it is posed now, [21, 3] in world space; NaN where a bone is missing."""
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


def _check_readable(ob: bpy.types.Object) -> None:
    """Raises Problem where an armature has no pose now: what is not evaluated keeps an old one."""
    if ob.type != "ARMATURE":
        return
    if ob.mode == "EDIT":
        raise Problem("edit_mode", f"'{ob.name}' is in Edit Mode, where it has no pose: leave it with Tab.")
    if not ob.evaluated_get(bpy.context.evaluated_depsgraph_get()).is_evaluated:
        raise Problem(
            "disabled",
            f"'{ob.name}' is disabled in viewports, or its collection is excluded, so that its pose is not "
            "known: enable it in the Outliner.",
        )


def _several(ob: bpy.types.Object, found: list[Hand]) -> Problem:
    """More hands than one: of both sides, or of several characters in one armature."""
    if len({hand.side for hand in found}) == len(found):
        return Problem("two_hands", f"'{ob.name}' has two hands: which one?")
    wrists = " and ".join(f"'{hand.bones[0]}'" for hand in found)
    return Problem(
        "many_hands",
        f"'{ob.name}' has several {found[0].side} hands ({wrists}): in Pose Mode select bones of the one "
        "that is meant and choose Keep: Selected, or name its bones under Mapping.",
    )


def _captured(
    ob: bpy.types.Object, hand: Hand, keep: str, fingers: Collection[str], picked: set[str] | None
) -> ArmatureHand:
    joints, rest = posed_joints(ob, hand), rest_joints(ob, hand)
    _check_lengths(ob, hand, joints, rest)
    kept = np.ones(21, bool)
    if picked is not None:
        kept = _held(hand, rest, {hand.joint_of(bone) for bone in picked})
    elif keep == "FINGERS":
        chains = [chain for name, chain in zip(FINGER_NAMES, CHAINS) if name in fingers]
        kept = _held(hand, rest, {joint for chain in chains for joint in chain})
    joints[~kept] = np.nan
    return ArmatureHand(hand, joints.astype(np.float32), seen_side(ob, hand))


def _touched(hand: Hand, picked: set[str]) -> bool:
    return any(hand.joint_of(bone) is not None for bone in picked)


def _held(hand: Hand, rest: Array, begun: Collection[int | None]) -> NDArray[np.bool_]:
    """Joints [21] that bones hold which begin at the given joints: both ends of each, and the palm."""
    kept = np.zeros(21, bool)
    kept[list(PALM)] = True
    kept[[joint for joint in begun if joint]] = True
    for a, b in rig_joints.segments(hand, rest):
        if a in begun:
            kept[b] = True
    return kept


def _check_lengths(ob: bpy.types.Object, hand: Hand, joints: Array, rest: Array) -> None:
    if not np.isfinite(joints[[joint for joint in range(21) if hand.bones[joint]]]).all():
        raise Problem("nan", f"The pose of '{ob.name}' holds values that are no numbers: clear its pose.")
    palm = max(float(np.linalg.norm(joints[joint] - joints[0])) for joint in PALM[1:] if hand.bones[joint])
    for a, b in rig_joints.segments(hand, rest):
        if np.linalg.norm(joints[b] - joints[a]) <= SHORTEST * palm:
            raise Problem(
                "zero_length",
                f"The bone '{hand.bones[a]}' of '{ob.name}' has no length "
                f"({JOINTS[a]} and {JOINTS[b]} are in one place): give it a length, or clear its scale.",
            )
