"""Bones of a hand turned level by level, and what the rig makes of it: followed, corrected, lost."""

from __future__ import annotations

from dataclasses import dataclass, field

import bpy
import numpy as np
from mathutils import Matrix
from numpy.typing import NDArray

from ..capture.armature import posed_joints
from ..rigs.hand import Hand
from ..rigs.joints import smallest_swing
from . import freedom
from .freedom import Freedom
from .loose import carried, follow, loose_bones, rotation_of

Array = NDArray[np.float64]

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


@dataclass
class Turn:
    """One bone to turn: from joint `a`, or its own head, towards joint `b`."""

    bone: bpy.types.PoseBone
    a: int
    b: int
    at_rest: Array
    """[3] its direction at rest, in armature space."""
    free: Freedom
    wanted: Array = field(init=False)
    """[3] the direction that it should have, in armature space."""


class Turning:
    """A hand whose bones are being turned, from the root outward; up to date with what was turned so far."""

    def __init__(self, ob: bpy.types.Object, hand: Hand, view_layer: bpy.types.ViewLayer) -> None:
        self._ob, self._hand, self._view_layer = ob, hand, view_layer
        self._loose = loose_bones(ob, hand)
        self._owners = {one.bone.name: one.owner for one in self._loose}
        self._moved: set[str] = set()
        """Bones of this level: those that were turned, and those that the level before has brought along."""
        self._brought: set[str] = set()

    def level(self, turns: list[Turn], wanted: Array) -> list[Loss]:
        """Turn bones that don't hang on one another towards joints [21, 3] in armature space.

        What other parts of the rig add is taken off again. A bone that can't follow is left as it was.
        """
        for turn in turns:
            head = np.array(turn.bone.head, dtype=float) if turn.a < 0 else wanted[turn.a]
            turn.wanted = wanted[turn.b] - head
        turns = [turn for turn in turns if np.isfinite(turn.wanted).all() and turn.wanted.any()]
        before = [(off, freedom.values(turn.bone)) for turn, off in zip(turns, self._off(turns))]
        for turn in turns:
            _swing(turn, self._owners.get(turn.bone.name))
        self._moved = self._brought | {turn.bone.name for turn in turns}
        self._settle()
        found = self._corrected(turns) if turns else []
        stuck = [
            (turn.bone, values)
            for turn, off, (was_off, values) in zip(turns, found, before)
            if off > TOLD and off > was_off - TOLD and turn.free.whole
        ]
        for bone, values in stuck:
            freedom.set_values(bone, values)
        if stuck:
            self._settle()
        return [_loss(turn, off) for turn, off in zip(turns, found) if off > TOLD]

    def _settle(self) -> None:
        """Have Blender evaluate what was turned, and bring along what hangs on it only by its meaning."""
        self._view_layer.update()
        self._brought = follow(self._loose, self._moved)
        if self._brought:
            self._view_layer.update()

    def _corrected(self, turns: list[Turn]) -> list[float]:
        """Turn bones further by what is missing while that helps; returns what is missing, in radians."""
        off = self._off(turns)
        for _ in range(CORRECTIONS):
            late = [i for i, turn in enumerate(turns) if off[i] > ON_TARGET and turn.free.whole]
            if not late:
                break
            directions = self._directions(turns)
            last = [freedom.values(turns[i].bone) for i in late]
            for i in late:
                _correct(turns[i].bone, smallest_swing(directions[i], turns[i].wanted))
            self._settle()
            tried = self._off(turns)
            vain = [(i, values) for i, values in zip(late, last) if tried[i] > 0.9 * off[i]]
            for i, values in vain:
                freedom.set_values(turns[i].bone, values)
            if vain:
                self._settle()
            off = self._off(turns) if vain else tried
            if len(vain) == len(late):
                break
        return off

    def _directions(self, turns: list[Turn]) -> list[Array]:
        """Where bones point as the rig evaluates them, in armature space."""
        posed = armature_space(self._ob, posed_joints(self._ob, self._hand))
        return [
            posed[turn.b] - (np.array(turn.bone.head, dtype=float) if turn.a < 0 else posed[turn.a])
            for turn in turns
        ]

    def _off(self, turns: list[Turn]) -> list[float]:
        """Radians between where bones point and where they should."""
        found = []
        for turn, direction in zip(turns, self._directions(turns)):
            across = np.linalg.norm(np.cross(direction, turn.wanted))
            angle = float(np.arctan2(across, direction @ turn.wanted))
            found.append(angle if np.isfinite(angle) else 0.0)
        return found


def armature_space(ob: bpy.types.Object, world: Array) -> Array:
    """Points [n, 3] in the world, as the armature has them."""
    inverse = np.linalg.inv(np.array(ob.matrix_world, dtype=float))
    return world @ inverse[:3, :3].T + inverse[:3, 3]


def _loss(turn: Turn, off: float) -> Loss:
    reason = turn.free.reason or freedom.acting_constraint(turn.bone) or "?"
    return Loss(turn.bone.name, float(np.degrees(off)), reason)


def _swing(turn: Turn, owner: bpy.types.PoseBone | None) -> None:
    """Shortest swing from the rest direction to the wanted one, after the twist that the bone has now.

    A loose bone swings from where its owner carries it, where no limit is on its channels.
    """
    if turn.free.none:
        return
    at_rest = np.array(turn.bone.bone.matrix_local.to_3x3(), dtype=float)
    along = at_rest.T @ turn.at_rest
    base = _carried(turn.bone)
    follows = base
    if owner is not None and turn.free.whole:
        follows = rotation_of(carried(turn.bone, owner))
    wanted = follows.T @ turn.wanted
    now = follows.T @ base @ np.array(freedom.rotation(turn.bone), dtype=float)
    ideal = smallest_swing(along, wanted) @ freedom.twist_about(now, along)
    if turn.free.whole:
        freedom.set_rotation(turn.bone, base.T @ follows @ ideal)
    else:
        freedom.set_angles(turn.bone, turn.free, freedom.within(turn.free, ideal, along, wanted, now))


def _correct(bone: bpy.types.PoseBone, delta: Array) -> None:
    """Turn a bone by a rotation [3, 3] given in armature space."""
    base = _carried(bone)
    now = np.array(freedom.rotation(bone), dtype=float)
    freedom.set_rotation(bone, base.T @ delta @ base @ now)


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
    return rotation_of(matrix)
