"""The mapping that is stored on an armature object: joints -> bones to read and controls to write.

It is one string of JSON, since that is what library overrides keep.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

import bpy

from ..problems import Problem
from ..rigs.hand import SIDES, Hand
from ..rigs.tables import JOINTS, MAPPED, ONE_HANDED, RIGS, UNKNOWN

KNOWN = {rig.id: rig for rig in (*RIGS, *ONE_HANDED, UNKNOWN)}
Names = dict[str, str]


@dataclass
class Stored:
    """The bones of one hand: joint -> name, only where there is one."""

    rig: str = ""
    note: str = ""
    read: Names = field(default_factory=dict)
    write: Names = field(default_factory=dict)
    """Controls, where they are not the bones that are read."""


def stored(ob: bpy.types.Object, side: str) -> Stored:
    """What is stored for a side; empty where nothing is."""
    return _load(ob).get(side, Stored())


def stored_hands(ob: bpy.types.Object) -> list[Hand]:
    """Hands that an armature's mapping names, right first. Raises Problem where it can't be used."""
    found = []
    for side, hand in sorted(_load(ob).items(), key=lambda item: SIDES.index(item[0])):
        _check(ob, side, hand)
        bones = tuple(hand.read.get(joint, "") for joint in JOINTS)
        controls = tuple(hand.write.get(joint) or bone for joint, bone in zip(JOINTS, bones))
        found.append(Hand(KNOWN.get(hand.rig, MAPPED), side, bones, controls))
    return found


def store(ob: bpy.types.Object, hand: Hand) -> None:
    """Write a hand into the mapping of its side."""
    note = " ".join(text for text in (hand.doubt, hand.remark) if text)
    read = {joint: bone for joint, bone in zip(JOINTS, hand.bones) if bone}
    write = {joint: own for joint, own, bone in zip(JOINTS, hand.controls, hand.bones) if own and own != bone}
    _save(ob, _load(ob) | {hand.side: Stored(hand.rig.id, note, read, write)})


def name(ob: bpy.types.Object, side: str, shows: str, joint: str, bone: str) -> None:
    """Name the bone of a joint; `shows` is READ or WRITE."""
    hand = stored(ob, side)
    names = hand.read if shows == "READ" else hand.write
    names[joint] = bone
    if not bone:
        del names[joint]
    _save(ob, _load(ob) | {side: hand})


def clear(ob: bpy.types.Object, side: str) -> None:
    """Forget the mapping of a side: the hand is found anew each time."""
    _save(ob, _load(ob) | {side: Stored()})


def swap(ob: bpy.types.Object) -> None:
    """Exchange what is stored for right and left."""
    right, left = (stored(ob, side) for side in SIDES)
    _save(ob, {"right": left, "left": right})


def _load(ob: bpy.types.Object) -> dict[str, Stored]:
    try:
        found = json.loads(ob.hhmr_mapping or "{}")
    except ValueError:  # a script wrote there
        return {}
    return {side: Stored(**hand) for side, hand in found.items()}


def _save(ob: bpy.types.Object, hands: dict[str, Stored]) -> None:
    kept = {side: asdict(hand) for side, hand in hands.items() if hand.read or hand.write}
    ob.hhmr_mapping = json.dumps(kept, ensure_ascii=False) if kept else ""


def _check(ob: bpy.types.Object, side: str, hand: Stored) -> None:
    """Every name has to be a bone's, and no bone two joints'."""
    assert isinstance(ob.data, bpy.types.Armature)
    known = ob.data.bones
    used = list(hand.read.values())
    gone = list(dict.fromkeys(bone for bone in (*used, *hand.write.values()) if bone not in known))
    if gone:
        named = ", ".join(f"'{bone}'" for bone in gone[:3]) + (" and others" if len(gone) > 3 else "")
        raise Problem(
            "stale_mapping",
            f"The mapping of the {side} hand of '{ob.name}' names bones that are not there: {named}. Press "
            "Detect, or choose others under Mapping.",
        )
    twice = next((bone for bone in used if used.count(bone) > 1), None)
    if twice is not None:
        at = " and ".join(joint for joint, bone in hand.read.items() if bone == twice)
        raise Problem(
            "stale_mapping", f"The mapping of '{ob.name}' has '{twice}' at {at}: a bone is one joint only."
        )
