"""Rigs for round trips: every family by name, with its metacarpals and controls, and real ones."""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np
from mathutils import Euler, Matrix, Quaternion

from hhmr_blender.apply import pose
from hhmr_blender.apply.controls import metacarpals
from hhmr_blender.apply.loose import loose_bones
from hhmr_blender.capture import armature as capture
from hhmr_blender.rigs.tables import CHAINS, CONTROLS, RIGS, Rig
from tests.blender.rig_building import build

PALM_MM = 95.0
"""From the wrist to the root of the middle finger, of a hand."""
BY_NAME = tuple(rig.id for rig in (*RIGS, *CONTROLS))


def by_name(rig_id: str, side: str) -> bpy.types.Object:
    """Armature with a rig's hand by name; a rig of controls has the deforming bones that follow them."""
    control = next((rig for rig in CONTROLS if rig.id == rig_id), None)
    rig = next(rig for rig in RIGS if rig_id in (rig.id, rig.write_to))
    ob = build(rig.id, (side,))
    bpy.ops.object.mode_set(mode="EDIT")
    _add_metacarpals(ob.data, rig, side)
    if control is not None:
        _add_controls(ob.data, rig, control, side)
    bpy.ops.object.mode_set(mode="OBJECT")
    if control is not None:
        for deform, bone in zip(rig.bones(side), control.bones(side)):
            if deform != bone and bone and deform and not deform.startswith(("hand", "DEF-hand")):
                follow = ob.pose.bones[deform].constraints.new("COPY_TRANSFORMS")
                follow.target, follow.subtarget = ob, bone
    return ob


def _add_metacarpals(armature: bpy.types.Armature, rig: Rig, side: str) -> None:
    bones = armature.edit_bones
    names = rig.bones(side)
    for name, chain in zip(rig.metacarpals(side), CHAINS[1:]):
        if name in bones:
            continue
        finger = bones[names[chain[0]]]
        bone = bones.new(name)
        bone.head = bones[names[0]].head.lerp(finger.head, 0.25)
        bone.tail = finger.head
        bone.parent, finger.parent = bones[names[0]], bone


def _add_controls(armature: bpy.types.Armature, rig: Rig, control: Rig, side: str) -> None:
    """Controls where the deforming bones are, hanging on one another as those do."""
    bones = armature.edit_bones
    deform, controls = rig.bones(side), control.bones(side)
    for chain in CHAINS:
        parent = bones[deform[chain[0]]].parent
        for joint in chain[:3]:
            old, name = bones[deform[joint]], controls[joint]
            if name in bones:  # it deforms, too
                bones[name].parent = parent
            else:
                bone = bones.new(name)
                bone.head, bone.tail, bone.roll, bone.parent = old.head, old.tail, old.roll, parent
            parent = bones[name]


def rigify_arm(side: str = "R", finger_ik: bool = False) -> bpy.types.Object:
    """A generated Rigify rig with one arm."""
    import addon_utils  # on the path from `import bpy` on

    addon_utils.enable("rigify", default_set=True)
    bpy.ops.object.armature_human_metarig_add()
    metarig = bpy.context.object
    bpy.ops.object.mode_set(mode="EDIT")
    arm = ("shoulder", "upper_arm", "forearm", "hand", "palm", "f_", "thumb")
    for bone in list(metarig.data.edit_bones):
        if not (bone.name.startswith(arm) and bone.name.endswith(f".{side}")):
            metarig.data.edit_bones.remove(bone)
    bpy.ops.object.mode_set(mode="OBJECT")
    if finger_ik:
        for bone in metarig.pose.bones:
            if bone.rigify_type == "limbs.super_finger":
                bone.rigify_parameters.make_extra_ik_control = True
    bpy.ops.pose.rigify_generate()
    return next(ob for ob in bpy.data.objects if ob.type == "ARMATURE" and ob is not metarig)


def rigify_human() -> bpy.types.Object:
    """A generated Rigify character; takes 5 to 10 s."""
    import addon_utils  # on the path from `import bpy` on

    addon_utils.enable("rigify", default_set=True)
    bpy.ops.object.armature_human_metarig_add()
    metarig = bpy.context.object
    bpy.ops.pose.rigify_generate()
    return next(ob for ob in bpy.data.objects if ob.type == "ARMATURE" and ob is not metarig)


def imported(path: Path) -> bpy.types.Object:
    """Armature of a glTF file."""
    bpy.ops.import_scene.gltf(filepath=str(path))
    return next(ob for ob in bpy.data.objects if ob.type == "ARMATURE")


def turn(bone: bpy.types.PoseBone, rotation: Quaternion) -> None:
    """Set a bone's rotation, whatever its mode."""
    if bone.rotation_mode == "QUATERNION":
        bone.rotation_quaternion = rotation
    elif bone.rotation_mode == "AXIS_ANGLE":
        axis, angle = rotation.to_axis_angle()
        bone.rotation_axis_angle = (angle, *axis)
    else:
        bone.rotation_euler = rotation.to_euler(bone.rotation_mode)


def bent(rest: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Joints [21, 3] at rest with random angles at every finger joint: a pose without an armature."""
    joints = rest.copy()
    for chain in CHAINS:
        rotation = np.eye(3)
        for a, b in zip(chain[:-1], chain[1:]):
            rotation = rotation @ np.array(Euler(rng.uniform(-0.7, 0.7, 3)).to_matrix(), dtype=float)
            joints[b] = joints[a] + rotation @ (rest[b] - rest[a])
    return joints


def curl(ob: bpy.types.Object, hand: capture.Hand, rng: np.random.Generator) -> None:
    """A random pose of every bone that is written to: fingers with their twist, the palm's arch without.

    Joints don't say how a metacarpal is twisted, and Rigify's palm passes a part of that on.
    """
    arch = metacarpals(ob, hand).values()
    for bone in pose.turned_bones(ob, hand):
        if bone.name in arch:
            axis = (rng.normal(), 0, rng.normal())
            turn(bone, Quaternion(axis, rng.uniform(-0.3, 0.3)))
        else:
            turn(bone, Euler(rng.uniform(-0.7, 0.7, 3)).to_quaternion())
    bpy.context.view_layer.update()


def clear(ob: bpy.types.Object) -> None:
    for bone in ob.pose.bones:
        bone.matrix_basis = Matrix.Identity(4)
    bpy.context.view_layer.update()


def round_trip(ob: bpy.types.Object, hand: capture.Hand, rng: np.random.Generator, poses: int) -> float:
    """Random poses read, cleared and written back: the largest error, millimetres at the size of a hand.

    Where bones don't hang on one another random rotations are no pose: there, bent joints are written.
    """
    rest = capture.posed_joints(ob, hand)
    known = [joint for joint in range(21) if np.isfinite(rest[joint]).all()]
    loose = {one.bone.name for one in loose_bones(ob, hand)}
    size = float(np.linalg.norm(rest[9] - rest[0]))
    worst = 0.0
    for _ in range(poses):
        if loose:
            wanted = bent(rest, rng)
        else:
            curl(ob, hand, rng)
            wanted = capture.posed_joints(ob, hand)
        clear(ob)
        pose.write(ob, hand, wanted, bpy.context.view_layer)
        off = np.linalg.norm(capture.posed_joints(ob, hand) - wanted, axis=1)[known].max()
        worst = max(worst, PALM_MM * float(off) / size)
        leak = [
            bone.name
            for bone in ob.pose.bones
            if (any(bone.location) and bone.name not in loose) or (np.array(bone.scale) != 1).any()
        ]
        assert not leak, f"location or scale was written to {leak}"
        clear(ob)
    return worst
