"""Armatures with the hand bones of a rig family, at the template hand's joints."""

from __future__ import annotations

import bpy
import numpy as np

from hhmr_blender.rigs.tables import CHAINS, RIGS, Rig
from hhmr_blender.template import template

BLENDER_5 = bpy.app.version >= (5, 0, 0)
NO_TAILS = {
    "mixamo", "ready_player_me", "human_ik", "ue4_mannequin", "ue5_metahuman", "character_creator",
    "character_creator_old", "smplx", "biped", "advanced_skeleton",
}  # fmt: skip
"""Rigs that come by importers which set tails without a meaning."""


def joints_at_rest(side: str = "right") -> np.ndarray:
    hand = template()
    return hand.regressor @ hand.side_vertices(side)


def places(side: str) -> np.ndarray:
    """Joints [21, 3] of a hand in the armatures that `build` makes: left is at +X, as Blender has it."""
    return joints_at_rest(side) + ([0.3, 0, 0] if side == "left" else [-0.3, 0, 0])


def build(
    rig_id: str,
    sides: tuple[str, ...] = ("right",),
    joints: tuple[int, ...] = tuple(range(21)),
    dressed: bool = False,
):
    """Armature with the hand bones of a rig, at the template's joints; only the named joints get a bone.

    `dressed` as characters come: arms, metacarpals, twist and prop bones, rolled bones, and where the rig
    comes by an importer, leaf bones and tails without a meaning.
    """
    rig = next(one for one in RIGS if one.id == rig_id)
    armature = bpy.data.armatures.new(rig_id)
    ob = bpy.data.objects.new(rig_id, armature)
    bpy.context.collection.objects.link(ob)
    bpy.context.view_layer.objects.active = ob
    ob.select_set(True)
    bpy.ops.object.mode_set(mode="EDIT")
    for side in sides:
        at = places(side)
        names = rig.bones(side)
        wrist = add(armature, names[0], None, at[0], at[9])
        for chain in CHAINS:
            parent = wrist
            for i, joint in enumerate(chain):
                if names[joint] and joint in joints:
                    end = at[joint + 1] if i < 3 else 2 * at[joint] - at[joint - 1]
                    parent = add(armature, names[joint], parent, at[joint], end)
        if dressed:
            _dress(armature, rig, side)
    bpy.ops.object.mode_set(mode="OBJECT")
    return ob


def add(armature: bpy.types.Armature, name: str, parent, head, tail):
    """A new bone, in Edit Mode."""
    bone = armature.edit_bones.new(name)
    bone.head, bone.tail, bone.parent = head, tail, parent
    return bone


def _dress(armature: bpy.types.Armature, rig: Rig, side: str) -> None:
    bones, names = armature.edit_bones, rig.bones(side)
    wrist = bones[names[0]]
    letter = rig.sides[0 if side == "right" else 1]
    back = wrist.head - (bones[names[9]].head - wrist.head) * 3
    spine = bones.get("Spine") or add(armature, "Spine", None, (0, -0.5, 0), (0, 0, 0))
    arm = add(armature, f"Forearm_{letter}", spine, back, wrist.head)
    wrist.parent = arm
    add(armature, f"Forearm_twist_{letter}", arm, arm.head.lerp(arm.tail, 0.5), arm.tail)
    add(armature, f"weapon_{letter}", wrist, wrist.tail, wrist.tail + wrist.vector)
    for name, chain in zip(rig.metacarpals(side), CHAINS[1:]):
        finger = bones[names[chain[0]]]
        finger.parent = add(armature, name, wrist, wrist.head.lerp(finger.head, 0.25), finger.head)
    if rig.id.startswith("rigify"):
        bones[names[1]].parent = bones[rig.metacarpals(side)[0]]
    rng = np.random.default_rng(0)
    for chain in CHAINS:
        first = bones[names[chain[0]]]
        add(armature, f"{first.name}_twist", first, first.head.lerp(first.tail, 0.5), first.tail)
        for joint in chain[:3]:
            bones[names[joint]].roll = rng.uniform(-np.pi, np.pi)
    if rig.id in NO_TAILS:
        for chain in CHAINS:
            last = bones[names[chain[3]] or names[chain[2]]]
            add(armature, f"{last.name}_end", last, last.tail, last.tail + last.vector)
            for joint in chain[:3]:
                bone = bones[names[joint]]
                bone.tail = bone.head + type(bone.head)((0.0, 0.05, 0.0))


def select_bones(ob: bpy.types.Object, names: set[str]) -> None:
    for bone in ob.pose.bones:
        (bone if BLENDER_5 else bone.bone).select = bone.name in names
