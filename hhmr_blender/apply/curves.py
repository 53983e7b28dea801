"""Keys in layered actions, as every Blender from 4.5 on has them."""

from __future__ import annotations

import bpy
import numpy as np
from numpy.typing import NDArray


def copied(rig: bpy.types.Object, base: bpy.types.Action | None, name: str) -> bpy.types.Action:
    """A copy of the action that a rig plays, or an empty one, that is saved even while nothing plays it."""
    action = base.copy() if base is not None else bpy.data.actions.new(name)
    action.name = name
    action.use_fake_user = True
    if action.asset_data is not None:
        action.asset_clear()
    return action


def assign(rig: bpy.types.Object, action: bpy.types.Action) -> None:
    """Have an object play an action, by the slot that is meant for it."""
    data = rig.animation_data or rig.animation_data_create()
    slot = _slot(rig, action)
    data.action = action
    data.action_slot = slot


def write(
    rig: bpy.types.Object,
    action: bpy.types.Action,
    path: str,
    group: str,
    frames: range,
    values: NDArray[np.float64],
) -> None:
    """Keys at every frame for the components of a property, values [T, C], in place of those it has there."""
    bag = _channelbag(action, _slot(rig, action))
    for index in range(values.shape[1]):
        curve = bag.fcurves.find(path, index=index)
        if curve is None:
            curve = bag.fcurves.new(path, index=index)
            curve.group = bag.groups.get(group) or bag.groups.new(group)
        points = curve.keyframe_points
        for point in reversed(list(points)):
            if frames[0] <= point.co.x <= frames[-1]:
                points.remove(point, fast=True)
        for frame, value in zip(frames, values[:, index]):
            points.insert(frame, float(value), options={"FAST"})
        curve.update()


def _slot(rig: bpy.types.Object, action: bpy.types.Action) -> bpy.types.ActionSlot:
    """The slot of an action for an object: named as the one it uses, else any, else a new one."""
    data = rig.animation_data
    used = data.action_slot.identifier if data is not None and data.action_slot is not None else ""
    slots = [slot for slot in action.slots if slot.target_id_type in ("OBJECT", "UNSPECIFIED")]
    wanted = used or f"OB{rig.name}"
    return next((slot for slot in slots if slot.identifier == wanted), None) or (
        slots[0] if slots else action.slots.new(id_type="OBJECT", name=rig.name)
    )


def _channelbag(action: bpy.types.Action, slot: bpy.types.ActionSlot) -> bpy.types.ActionChannelbag:
    layer = action.layers[0] if action.layers else action.layers.new("Layer")
    strip = layer.strips[0] if layer.strips else layer.strips.new(type="KEYFRAME")
    return strip.channelbag(slot, ensure=True)  # type: ignore[attr-defined]
