"""A hypothesis as a pose: joints -> rotations of an armature's finger bones."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import bpy
import numpy as np
from mathutils import Matrix
from numpy.typing import NDArray

from ..capture.armature import posed_joints, rest_joints
from ..problems import Problem
from ..rigs.hand import Hand
from ..rigs.joints import rigid_fit, smallest_swing
from ..rigs.tables import CHAINS, PALM
from . import freedom
from .controls import finger_ik, metacarpals
from .freedom import Freedom

Array = NDArray[np.float64]

STIFF = (0, 1, 5, 9)
"""What places the palm where ring and pinky have metacarpal bones of their own to arch it."""
ON_TARGET = 1e-4
"""Radians: 3 micrometres at the end of a phalanx."""
TOLD = np.radians(0.5)
"""A bone that stays further behind than this is mentioned."""
CORRECTIONS = 3


@dataclass(frozen=True)
class Loss:
    """A bone that could not be turned as far as was wanted."""

    bone: str
    degrees: float
    reason: str
    """driver, lock, limit, or the name of the constraint (or nothing known) that holds it."""


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


@dataclass
class _Turn:
    """One bone to turn: from joint `a`, or its own head, towards joint `b`."""

    bone: bpy.types.PoseBone
    a: int
    b: int
    at_rest: Array
    """[3] its direction at rest, in armature space."""
    free: Freedom
    wanted: Array = field(init=False)
    before: tuple[float, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.before = freedom.values(self.bone)


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
    stiff = STIFF if arch else PALM
    wanted = _armature_space(ob, _fitted(joints, posed_joints(ob, hand), stiff))
    if arch and rest is not None:
        wanted = _rest_relative(ob, hand, wanted, _fitted(rest, at_rest, stiff), at_rest)
    switched = _switch_to_fk(ob, hand, levels)
    view_layer.update()
    losses: list[Loss] = []
    for level in levels:
        losses += _turn_level(ob, hand, level, wanted, view_layer)
    return Written(tuple(losses), tuple(switched))


def insert_keys(ob: bpy.types.Object, hand: Hand) -> None:
    """Keyframe the bones of a hand that `write` turns at the current frame; a Problem where it can't be."""
    try:
        for bone in turned_bones(ob, hand):
            bone.keyframe_insert(freedom.channel(bone), group=bone.name)
        for bone in finger_ik(ob, hand).values():
            bone.keyframe_insert('["FK_IK"]', group=bone.name)
    except RuntimeError as fault:  # its action is linked, or its keys are protected
        raise Problem(
            "no_keys", f"'{ob.name}' takes no keys: {str(fault).strip().splitlines()[-1]}"
        ) from fault


def turned_bones(ob: bpy.types.Object, hand: Hand) -> list[bpy.types.PoseBone]:
    """Bones of a hand that `write` may turn, from the root outward."""
    assert ob.pose is not None
    names = [*metacarpals(ob, hand).values()]
    names += [hand.controls[joint] for chain in CHAINS for joint in chain[:3]]
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
) -> list[_Turn]:
    """Metacarpals of ring and pinky: those of index and middle hardly move in a hand."""
    assert ob.pose is not None
    turns = []
    for joint, name in metacarpals(ob, hand).items():
        if {0, joint} <= set(kept):
            continue
        bone = ob.pose.bones[name]
        direction = at_rest[joint] - np.array(bone.bone.head_local, dtype=float)
        if np.linalg.norm(direction) > 0:
            turns.append(_Turn(bone, -1, joint, direction, freedom.freedom(bone, driven)))
    return turns


def _level(
    ob: bpy.types.Object,
    hand: Hand,
    at_rest: Array,
    kept: Collection[int],
    driven: set[tuple[str, int]],
    level: int,
) -> list[_Turn]:
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
            turns.append(_Turn(bone, a, b, at_rest[b] - at_rest[a], freedom.freedom(bone, driven)))
    return turns


def _armature_space(ob: bpy.types.Object, world: Array) -> Array:
    inverse = np.linalg.inv(np.array(ob.matrix_world, dtype=float))
    return world @ inverse[:3, :3].T + inverse[:3, 3]


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


def _switch_to_fk(ob: bpy.types.Object, hand: Hand, levels: list[list[_Turn]]) -> list[str]:
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


def _turn_level(
    ob: bpy.types.Object, hand: Hand, turns: list[_Turn], wanted: Array, view_layer: bpy.types.ViewLayer
) -> list[Loss]:
    """Turn bones that don't hang on one another, and take off again what other parts of the rig add."""
    for turn in turns:
        head = np.array(turn.bone.head, dtype=float) if turn.a < 0 else wanted[turn.a]
        turn.wanted = wanted[turn.b] - head
    turns = [turn for turn in turns if np.isfinite(turn.wanted).all() and turn.wanted.any()]
    if not turns:
        return []
    before = _off(ob, hand, turns)
    for turn in turns:
        _swing(turn)
    view_layer.update()
    off = _corrected(ob, hand, turns, view_layer)
    for i, turn in enumerate(turns):
        if off[i] > TOLD and off[i] > before[i] - TOLD and turn.free.whole:  # it does not follow its channels
            freedom.set_values(turn.bone, turn.before)
    view_layer.update()
    return [_loss(turn, angle) for turn, angle in zip(turns, off) if angle > TOLD]


def _corrected(
    ob: bpy.types.Object, hand: Hand, turns: list[_Turn], view_layer: bpy.types.ViewLayer
) -> list[float]:
    """Turn bones further by what is missing, as long as that helps; returns what is missing, in radians."""
    off = _off(ob, hand, turns)
    for _ in range(CORRECTIONS):
        late = [i for i, turn in enumerate(turns) if off[i] > ON_TARGET and turn.free.whole]
        if not late:
            break
        directions = _directions(ob, hand, turns)
        last = [freedom.values(turns[i].bone) for i in late]
        for i in late:
            _correct(turns[i], smallest_swing(directions[i], turns[i].wanted))
        view_layer.update()
        tried = _off(ob, hand, turns)
        vain = [(i, values) for i, values in zip(late, last) if tried[i] > 0.9 * off[i]]
        for i, values in vain:
            freedom.set_values(turns[i].bone, values)
        view_layer.update()
        off = _off(ob, hand, turns)
        if len(vain) == len(late):
            break
    return off


def _loss(turn: _Turn, off: float) -> Loss:
    reason = turn.free.reason or freedom.acting_constraint(turn.bone) or "?"
    return Loss(turn.bone.name, float(np.degrees(off)), reason)


def _swing(turn: _Turn) -> None:
    """Shortest swing from the rest direction to the wanted one, after the twist that the bone has now."""
    if turn.free.none:
        return
    own = np.array(turn.bone.bone.matrix_local.to_3x3(), dtype=float)
    along = own.T @ turn.at_rest
    wanted = _carried(turn.bone).T @ turn.wanted
    now = np.array(freedom.rotation(turn.bone), dtype=float)
    ideal = smallest_swing(along, wanted) @ freedom.twist_about(now, along)
    if turn.free.whole:
        freedom.set_rotation(turn.bone, ideal)
    else:
        freedom.set_angles(turn.bone, turn.free, freedom.within(turn.free, ideal, along, wanted, now))


def _correct(turn: _Turn, delta: Array) -> None:
    """Turn a bone by a rotation [3, 3] given in armature space."""
    base = _carried(turn.bone)
    now = np.array(freedom.rotation(turn.bone), dtype=float)
    freedom.set_rotation(turn.bone, base.T @ delta @ base @ now)


def _carried(bone: bpy.types.PoseBone) -> Array:
    """Rotation [3, 3] of a bone in armature space, if it had none of its own."""
    matrix = bone.bone.matrix_local
    if bone.parent is not None:
        matrix = bone.bone.convert_local_to_pose(
            Matrix.Identity(4),
            matrix,
            parent_matrix=bone.parent.matrix,
            parent_matrix_local=bone.parent.bone.matrix_local,
        )
    return np.array(matrix.to_quaternion().to_matrix(), dtype=float)


def _directions(ob: bpy.types.Object, hand: Hand, turns: list[_Turn]) -> list[Array]:
    """Where bones point as the rig evaluates them, in armature space."""
    posed = _armature_space(ob, posed_joints(ob, hand))
    return [
        posed[turn.b] - (np.array(turn.bone.head, dtype=float) if turn.a < 0 else posed[turn.a])
        for turn in turns
    ]


def _off(ob: bpy.types.Object, hand: Hand, turns: list[_Turn]) -> list[float]:
    """Radians between where bones point and where they should; 0 where nothing is wanted."""
    found = []
    for turn, direction in zip(turns, _directions(ob, hand, turns)):
        across = np.linalg.norm(np.cross(direction, turn.wanted))
        angle = float(np.arctan2(across, direction @ turn.wanted))
        found.append(angle if np.isfinite(angle) else 0.0)
    return found


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
