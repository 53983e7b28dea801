"""Motions -> a rig: one action for each hypothesis, with keys on the finger bones that were made.

An action is a copy of the one that the rig has, so what is kept keeps its keys; the rig's own is not touched.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import bpy
import numpy as np
from mathutils import Euler
from numpy.typing import NDArray

from ..capture import armature as capture
from ..capture.motion import staying
from ..problems import Problem
from ..rigs.hand import Hand
from ..rigs.joints import segments
from ..rigs.tables import CHAINS
from ..session import Target
from . import curves, freedom, pose
from .controls import finger_ik
from .loose import loose_bones

Array = NDArray[np.float64]

RIG, BEFORE, ABOUT = "hhmr_rig", "hhmr_before", "hhmr"
"""Custom properties of an action of ours: its rig, the action that the rig had, and where it comes from."""


@dataclass(frozen=True)
class Channel:
    """A property of a bone that gets keys."""

    bone: bpy.types.PoseBone
    name: str
    """Of the property, or '["FK_IK"]'."""

    @property
    def path(self) -> str:
        """From the armature object."""
        inside = self.bone.path_from_id()
        return inside + self.name if self.name.startswith("[") else f"{inside}.{self.name}"

    def read(self) -> Array:
        """Its value now, [C]."""
        value = self.bone["FK_IK"] if self.name.startswith("[") else getattr(self.bone, self.name)
        return np.atleast_1d(np.array(value, dtype=float))

    def write(self, value: Array) -> None:
        if self.name.startswith("["):
            self.bone["FK_IK"] = float(value[0])
        else:
            setattr(self.bone, self.name, value.tolist())


def take(
    context: bpy.types.Context, target: Target, request: dict[str, Any], arrays: dict[str, np.ndarray]
) -> str:
    """Write the motions that have come and show the best; returns what to say. Raises Problem before that."""
    rig = target.find()
    if rig is None:
        raise Problem(
            "target_gone", f"'{target.name}' was deleted while the motion was made: nothing was changed."
        )
    pose.check_editable(rig)
    if rig.animation_data is not None and rig.animation_data.use_tweak_mode:
        raise Problem("tweak_mode", f"A strip of '{rig.name}' is being tweaked: leave that first (Tab).")
    hand = next((one for one in capture.hands(rig) if one.bones[0] == request["wrist"]), None)
    frames = range(request["start"], request["start"] + arrays["motion"].shape[1])
    if hand is None or len(frames) != request["end"] - request["start"] + 1:
        raise Problem("target_changed", f"The bones of '{rig.name}' were changed meanwhile: try again.")
    joints = arrays["motion"].astype(float) + np.array(target.matrix.translation, dtype=float)
    channels = _channels(rig, hand, request["kept"])
    was = {channel.path: (channel.bone.name, channel.name, channel.read().tolist()) for channel in channels}
    was |= _was(rig)
    values, lost = _posed(context, rig, hand, joints, frames, request["kept"], channels)
    discard(rig, request["wrist"])
    base = rig.animation_data.action if rig.animation_data is not None else None
    actions = []
    for k, score in enumerate(arrays["score"]):
        action = curves.copied(rig, base, f"HHMR motion {k + 1}")
        for channel, each in zip(channels, values):
            curves.write(rig, action, channel.path, channel.bone.name, frames, each[k])
        about = {**request, "draw": int(arrays["draw"][k]), "score": round(float(score), 4), "was": was}
        action[ABOUT], action[RIG] = json.dumps(about), rig
        if base is not None:
            action[BEFORE] = base.get(BEFORE, base) if base.get(RIG) == rig else base
        actions.append(action)
    show(rig, actions[0])
    context.scene.frame_set(context.scene.frame_current, subframe=context.scene.frame_subframe)
    count = "1 motion" if len(actions) == 1 else f"{len(actions)} motions"
    return f"{count} of {len(frames)} frames on '{rig.name}': '{actions[0].name}' is shown. {lost}".strip()


def motions(rig: bpy.types.Object) -> list[bpy.types.Action]:
    """Actions of ours for a rig, best first."""
    return [action for action in bpy.data.actions if action.get(RIG) == rig]


def before(rig: bpy.types.Object) -> bpy.types.Action | None:
    """The action that a rig had before any of ours, if it is known and still there."""
    return next((action[BEFORE] for action in motions(rig) if action.get(BEFORE) is not None), None)


def show(rig: bpy.types.Object, action: bpy.types.Action) -> None:
    """Have a rig play an action of ours, or the one before them, with the fingers as they were then."""
    if action.get(RIG) != rig and rig.pose is not None:
        for bone, name, value in _was(rig).values():
            if bone in rig.pose.bones:
                Channel(rig.pose.bones[bone], name).write(np.array(value))
    curves.assign(rig, action)


def _was(rig: bpy.types.Object) -> dict[str, Any]:
    """Bone, property and value of what our actions of a rig key, from before them; by path."""
    found: dict[str, Any] = {}
    for action in motions(rig):
        found |= json.loads(action.get(ABOUT, "{}")).get("was", {})
    return found


def discard(rig: bpy.types.Object, wrist: str = "") -> int:
    """Remove our actions that the rig does not play, of one hand or of all; returns how many."""
    playing = rig.animation_data.action if rig.animation_data is not None else None
    gone = [action for action in motions(rig) if action != playing]
    if wrist:
        gone = [action for action in gone if json.loads(action.get(ABOUT, "{}")).get("wrist") == wrist]
    for action in gone:
        bpy.data.actions.remove(action)
    return len(gone)


def _channels(rig: bpy.types.Object, hand: Hand, kept: Collection[int]) -> list[Channel]:
    """What the pose writer changes of the fingers that were made."""
    assert rig.pose is not None
    made = [a for a, b in segments(hand, capture.rest_joints(rig, hand)) if not {a, b} <= set(kept)]
    names = {hand.controls[joint] for joint in made if hand.controls[joint]}
    bones = [rig.pose.bones[name] for name in hand.controls if name in names]
    found = [Channel(bone, freedom.channel(bone)) for bone in bones]
    found += [Channel(one.bone, "location") for one in loose_bones(rig, hand) if one.bone.name in names]
    fingers = {i for i, chain in enumerate(CHAINS) if set(chain) & set(made)}
    return found + [Channel(bone, '["FK_IK"]') for i, bone in finger_ik(rig, hand).items() if i in fingers]


def _posed(
    context: bpy.types.Context,
    rig: bpy.types.Object,
    hand: Hand,
    joints: Array,
    frames: range,
    kept: Sequence[int],
    channels: list[Channel],
) -> tuple[list[Array], str]:
    """Values [n, T, C] of every channel for joints [n, T, 21, 3] in world space, and what was lost."""
    rows: list[list[list[Array]]] = [[] for _ in joints]
    written, first = pose.Written(), [channel.read() for channel in channels]
    manager = context.window_manager
    manager.progress_begin(0, len(frames))
    try:
        with staying(context.scene):
            for t, frame in enumerate(frames):
                context.scene.frame_set(frame)
                now = [channel.read() for channel in channels]
                first = first if t else now
                for k, each in enumerate(joints):
                    one = pose.write(rig, hand, each[t], context.view_layer, kept)
                    written = one if len(one.losses) > len(written.losses) or one.switched else written
                    rows[k].append([channel.read() for channel in channels])
                    for channel, value in zip(channels, now):
                        channel.write(value)
                manager.progress_update(t)
    finally:
        manager.progress_end()
    values = []
    for i, channel in enumerate(channels):
        each = np.array([[row[i] for row in motion] for motion in rows])
        values.append(np.stack([continuous(motion, channel, first[i]) for motion in each]))
    return values, written.sentence()


def continuous(values: Array, channel: Channel, start: Array) -> Array:
    """The same rotations [T, C] without flips: of all ways to write each, the nearest to the one before."""
    result, last = values.copy(), start
    for value in result:
        if channel.name == "rotation_quaternion":
            value *= 1.0 if value @ last >= 0 else -1.0
        elif channel.name == "rotation_euler":
            order = channel.bone.rotation_mode
            euler = Euler(value.tolist(), order)  # type: ignore[arg-type]
            euler.make_compatible(Euler(last.tolist(), order))  # type: ignore[arg-type]
            value[:] = euler
        elif channel.name == "rotation_axis_angle":
            value *= 1.0 if value[1:] @ last[1:] >= 0 else -1.0
            value[0] += 2 * np.pi * np.round((last[0] - value[0]) / (2 * np.pi))
        last = value
    return result
