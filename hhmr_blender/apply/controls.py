"""Controls of a rig's hand beside its finger bones: metacarpals, and switches between FK and IK."""

from __future__ import annotations

import bpy

from ..rigs.hand import Hand
from ..rigs.tables import CHAINS

ARCH = (13, 17)
"""Finger roots whose metacarpals arch the palm: ring and pinky."""


def metacarpals(ob: bpy.types.Object, hand: Hand) -> dict[int, str]:
    """Bones that take the arch of the palm: finger root (ring, pinky) -> bone; nothing where there are none.

    The bone is the one between the wrist and the finger, whatever it is called, unless another finger root
    hangs on it as well. A generated Rigify hand has one control for the whole palm, at the pinky.
    """
    assert isinstance(ob.data, bpy.types.Armature)
    bones = ob.data.bones
    if hand.rig.id == "rigify_deform":
        palm = f"palm.{hand.rig.sides[0 if hand.side == 'right' else 1]}"
        return {17: palm} if palm in bones else {}
    above = {chain[0]: _between(bones, hand.bones[chain[0]], hand.bones[0]) for chain in CHAINS}
    found: dict[int, str] = {}
    for joint in ARCH:
        others = {name for other, names in above.items() if other != joint for name in names}
        own = [name for name in above[joint] if name not in others]
        if own:
            found[joint] = own[-1]
    return found


def stiff_joints(hand: Hand) -> tuple[int, ...]:
    """Joints of the palm that stay where they are on the wrist while it arches."""
    return (0, 1, 5) if hand.rig.id == "rigify_deform" else (0, 1, 5, 9)


def finger_ik(ob: bpy.types.Object, hand: Hand) -> dict[int, bpy.types.PoseBone]:
    """Bones with Rigify's switch from FK (0) to IK (1): finger, 0 the thumb -> bone."""
    assert ob.pose is not None
    found: dict[int, bpy.types.PoseBone] = {}
    for finger, chain in enumerate(CHAINS):
        stem, dot, side = hand.controls[chain[0]].rpartition(".")
        bone = ob.pose.bones.get(f"{stem}_ik{dot}{side}")
        if bone is not None and "FK_IK" in bone:
            found[finger] = bone
    return found


def _between(bones: bpy.types.ArmatureBones, name: str, wrist: str) -> list[str]:
    """Bones from a finger root up to the wrist, both left out; none where it does not hang on the wrist."""
    found = []
    bone = bones[name].parent if name else None
    while bone is not None and bone.name != wrist:
        found.append(bone.name)
        bone = bone.parent
    return found if bone is not None else []
