"""Armatures with the hand bones of a rig family, at the template hand's joints."""

from __future__ import annotations

import bpy
import numpy as np

from hhmr_blender.rigs.tables import CHAINS, RIGS
from hhmr_blender.template import template

BLENDER_5 = bpy.app.version >= (5, 0, 0)


def joints_at_rest(side: str = "right") -> np.ndarray:
    hand = template()
    return hand.regressor @ hand.side_vertices(side)


def build(rig_id: str, sides: tuple[str, ...] = ("right",), joints: tuple[int, ...] = tuple(range(21))):
    """Armature with the hand bones of a rig, at the template's joints; only the named joints get a bone."""
    rig = next(one for one in RIGS if one.id == rig_id)
    armature = bpy.data.armatures.new(rig_id)
    ob = bpy.data.objects.new(rig_id, armature)
    bpy.context.collection.objects.link(ob)
    bpy.context.view_layer.objects.active = ob
    ob.select_set(True)
    bpy.ops.object.mode_set(mode="EDIT")
    for side in sides:
        places = joints_at_rest(side) + ([0.3, 0, 0] if side == "left" else [-0.3, 0, 0])
        names = rig.bones(side)
        wrist = armature.edit_bones.new(names[0])
        wrist.head, wrist.tail = places[0], places[9]
        for chain in CHAINS:
            parent = wrist
            for i, joint in enumerate(chain):
                if not names[joint] or joint not in joints:
                    continue
                bone = armature.edit_bones.new(names[joint])
                bone.head = places[joint]
                bone.tail = places[joint + 1] if i < 3 else 2 * places[joint] - places[joint - 1]
                bone.parent = parent
                parent = bone
    bpy.ops.object.mode_set(mode="OBJECT")
    return ob


def select_bones(ob: bpy.types.Object, names: set[str]) -> None:
    for bone in ob.pose.bones:
        (bone if BLENDER_5 else bone.bone).select = bone.name in names
