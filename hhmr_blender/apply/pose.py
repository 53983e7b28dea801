"""A hypothesis as a pose: joints -> rotations of an armature's finger bones."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import bpy
import numpy as np
from numpy.typing import NDArray

from ..capture.armature import posed_joints, rest_joints
from ..problems import Problem
from ..rigs.hand import Hand
from ..rigs.joints import rigid_fit
from ..rigs.tables import CHAINS, PALM
from . import freedom
from .controls import finger_ik, metacarpals, stiff_joints
from .loose import loose_bones
from .turning import Loss, Turn, Turning, armature_space

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Written:
    """What came of writing a pose."""

    losses: tuple[Loss, ...] = ()
    switched: tuple[str, ...] = ()
    """Bones whose switch from FK to IK was turned to FK."""

    def sentence(self) -> str:
        """What the animator should know, or ""."""
        said = [_sentence(reason, self.losses) for reason in dict.fromkeys(one.reason for one in self.losses)]
        if self.switched:
            said.append(f"Finger IK was switched to FK ({_listed(self.switched)}).")
        return " ".join(said)


def write(
    ob: bpy.types.Object,
    hand: Hand,
    joints: Array,
    view_layer: bpy.types.ViewLayer,
    kept: Collection[int] = (),
    rest: Array | None = None,
) -> Written:
    """Turn the finger bones of a hand so that they point as joints [21, 3] do, in any space and scale.

    The wrist stays where it is: the joints are fitted to the palm. First the metacarpals of ring and pinky
    arch it, then each finger bone, from the root outward, gets the shortest swing from where its parent
    carries its rest pose, with the twist that it has now, since joints say nothing of twist. Locked and
    driven channels and joint limits are respected; only rotations are written. Bones between two `kept`
    joints are left as they are. `rest` [21, 3] is the hand at rest that the joints belong to, where that is
    not this armature's own: the palm of another hand has other proportions.

    Raises Problem before anything is changed.
    """
    assert ob.pose is not None
    at_rest = rest_joints(ob, hand)
    _check(ob, hand, at_rest, joints)
    driven = freedom.driven_channels(ob)
    arch = _arch(ob, hand, at_rest, kept, driven)
    levels = [arch, *(_level(ob, hand, at_rest, kept, driven, level) for level in range(3))]
    stiff = stiff_joints(hand) if arch else PALM
    wanted = armature_space(ob, _fitted(joints, posed_joints(ob, hand), stiff))
    if arch and rest is not None:
        wanted = _rest_relative(ob, hand, wanted, _fitted(rest, at_rest, stiff), at_rest)
    switched = _switch_to_fk(ob, hand, levels)
    view_layer.update()
    losses: list[Loss] = []
    turning = Turning(ob, hand, view_layer)
    for level in levels:
        losses += turning.level(level, wanted)
    return Written(tuple(losses), tuple(switched))


def insert_keys(ob: bpy.types.Object, hand: Hand) -> None:
    """Keyframe the bones of a hand that `write` turns at the current frame; a Problem where it can't be."""
    try:
        for bone in turned_bones(ob, hand):
            bone.keyframe_insert(freedom.channel(bone), group=bone.name)
        for one in loose_bones(ob, hand):
            one.bone.keyframe_insert("location", group=one.bone.name)
        for bone in finger_ik(ob, hand).values():
            bone.keyframe_insert('["FK_IK"]', group=bone.name)
    except RuntimeError as fault:  # its action is linked, or its keys are protected
        raise Problem(
            "no_keys", f"'{ob.name}' takes no keys: {str(fault).strip().splitlines()[-1]}"
        ) from fault


def turned_bones(ob: bpy.types.Object, hand: Hand) -> list[bpy.types.PoseBone]:
    """Bones of a hand that `write` may turn or move, from the root outward."""
    assert ob.pose is not None
    names = [*metacarpals(ob, hand).values()]
    names += [hand.controls[joint] for chain in CHAINS for joint in chain[:3]]
    names += [one.bone.name for one in loose_bones(ob, hand)]
    return [ob.pose.bones[name] for name in dict.fromkeys(names) if name]


def check_editable(ob: bpy.types.Object) -> None:
    """Raise Problem where an armature can't be posed so that it stays posed."""
    if not ob.is_editable:
        text = f"'{ob.name}' is linked from a library: make a library override of it first."
        raise Problem("linked", text)
    if ob.override_library is not None and ob.override_library.is_system_override:
        text = (
            f"'{ob.name}' is an override that is not editable: make it so (Object > Library Override > Make)."
        )
        raise Problem("linked", text)


def _check(ob: bpy.types.Object, hand: Hand, at_rest: Array, joints: Array) -> None:
    assert ob.pose is not None
    missing = [name for name in (*hand.bones, *hand.controls) if name and name not in ob.pose.bones]
    known = np.isfinite(at_rest).all(axis=1) & np.isfinite(joints).all(axis=1)
    if missing or known[list(PALM)].sum() < 3:
        listed = ", ".join(dict.fromkeys(missing)) or "the palm"
        raise Problem("half_hand", f"'{ob.name}' lacks bones of the hand now: {listed}.")
    check_editable(ob)


def _arch(
    ob: bpy.types.Object, hand: Hand, at_rest: Array, kept: Collection[int], driven: set[tuple[str, int]]
) -> list[Turn]:
    """Metacarpals of ring and pinky: those of index and middle hardly move in a hand."""
    assert ob.pose is not None
    turns = []
    for joint, name in metacarpals(ob, hand).items():
        if {0, joint} <= set(kept):
            continue
        bone = ob.pose.bones[name]
        direction = at_rest[joint] - np.array(bone.bone.head_local, dtype=float)
        if np.linalg.norm(direction) > 0:
            turns.append(Turn(bone, -1, joint, direction, freedom.freedom(bone, driven)))
    return turns


def _level(
    ob: bpy.types.Object,
    hand: Hand,
    at_rest: Array,
    kept: Collection[int],
    driven: set[tuple[str, int]],
    level: int,
) -> list[Turn]:
    """Bones of one level of the five fingers, each towards the next joint that the rig knows."""
    assert ob.pose is not None
    turns = []
    for chain in CHAINS:
        a = chain[level]
        b = next((joint for joint in chain[level + 1 :] if np.isfinite(at_rest[joint]).all()), None)
        if b is None or not hand.controls[a] or not np.isfinite(at_rest[a]).all() or {a, b} <= set(kept):
            continue
        bone = ob.pose.bones[hand.controls[a]]
        if np.linalg.norm(at_rest[b] - at_rest[a]) > 0:
            turns.append(Turn(bone, a, b, at_rest[b] - at_rest[a], freedom.freedom(bone, driven)))
    return turns


def _fitted(joints: Array, onto: Array, by: tuple[int, ...]) -> Array:
    """Joints [21, 3] by the similarity that brings the palm onto another's."""
    known = [joint for joint in by if np.isfinite(joints[joint]).all() and np.isfinite(onto[joint]).all()]
    if len(known) < 3:
        known = [j for j in PALM if np.isfinite(joints[j]).all() and np.isfinite(onto[j]).all()]
    rotation, scale, offset = rigid_fit(joints[known], onto[known])
    return scale * joints @ rotation.T + offset


def _rest_relative(ob: bpy.types.Object, hand: Hand, wanted: Array, rest: Array, at_rest: Array) -> Array:
    """Finger roots moved from where the rig has them as they moved from their own rest pose."""
    assert ob.pose is not None
    wrist = ob.pose.bones[hand.bones[0]]
    carried = np.array(wrist.matrix @ wrist.bone.matrix_local.inverted(), dtype=float)
    moved = wanted.copy()
    for joint in PALM[2:]:
        moved[joint] += (at_rest[joint] - rest[joint]) @ carried[:3, :3].T
    return moved


def _switch_to_fk(ob: bpy.types.Object, hand: Hand, levels: list[list[Turn]]) -> list[str]:
    fingers = {
        next(i for i, chain in enumerate(CHAINS) if turn.b in chain) for turns in levels for turn in turns
    }
    switched = []
    for finger, bone in finger_ik(ob, hand).items():
        if finger in fingers and bone["FK_IK"] > 0:
            bone["FK_IK"] = 0.0
            switched.append(bone.name)
    if switched:
        ob.update_tag()
    return switched


def _sentence(reason: str, losses: tuple[Loss, ...]) -> str:
    mine = [one for one in losses if one.reason == reason]
    worst = max(mine, key=lambda one: one.degrees)
    bones = f"{len(mine)} bones" if len(mine) > 1 else "a bone"
    most = f"'{worst.bone}' by {worst.degrees:.0f}\u00b0"
    match reason:
        case "limit":
            return f"Joint limits hold {bones} back, {most}."
        case "lock":
            return f"Locked rotation channels hold {bones} back, {most}."
        case "driver":
            return f"Drivers hold {bones} back, {most}: mute them to pose these bones."
        case "?":
            return f"The rig does not let {bones} follow, {most}."
    return f"The constraint '{reason}' holds {bones} back, {most}: mute it to pose these bones."


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f"'{name}'" for name in names)
