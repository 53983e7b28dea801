"""The mapping that is stored on an armature object: joints -> bones to read and controls to write."""

from __future__ import annotations

from typing import Any

import bpy

from ..problems import Problem
from ..rigs.hand import SIDES, Hand
from ..rigs.tables import JOINTS, MAPPED, ONE_HANDED, RIGS, UNKNOWN

KNOWN = {rig.id: rig for rig in (*RIGS, *ONE_HANDED, UNKNOWN)}


def stored_hands(ob: bpy.types.Object) -> list[Hand]:
    """Hands that an armature's mapping names, right first. Raises Problem where it can't be used."""
    assert isinstance(ob.data, bpy.types.Armature)
    found = []
    for side in SIDES:
        stored = getattr(ob.hhmr_mapping, side)
        bones = _names(stored.read)
        if any(bones):
            controls = [own or bone for own, bone in zip(_names(stored.write), bones)]
            _check(ob, side, bones, controls)
            rig = KNOWN.get(stored.rig, MAPPED)
            found.append(Hand(rig, side, tuple(bones), tuple(controls)))
    return found


def store(ob: bpy.types.Object, hand: Hand) -> None:
    """Write a hand into the mapping of its side; a control is named where it is not the bone itself."""
    stored = getattr(ob.hhmr_mapping, hand.side)
    stored.rig = hand.rig.id
    stored.note = " ".join(text for text in (hand.doubt, hand.remark) if text)
    for joint, bone, control in zip(JOINTS, hand.bones, hand.controls):
        setattr(stored.read, joint, bone)
        setattr(stored.write, joint, "" if control == bone else control)


def clear(ob: bpy.types.Object, side: str) -> None:
    """Forget the mapping of a side: the hand is found anew each time."""
    stored = getattr(ob.hhmr_mapping, side)
    stored.rig = stored.note = ""
    for joint in JOINTS:
        setattr(stored.read, joint, "")
        setattr(stored.write, joint, "")


def swap(ob: bpy.types.Object) -> None:
    """Exchange what is stored for right and left."""
    right, left = (_content(getattr(ob.hhmr_mapping, side)) for side in SIDES)
    for side, content in zip(SIDES, (left, right)):
        stored = getattr(ob.hhmr_mapping, side)
        stored.rig, stored.note = content[:2]
        for joint, bone, control in zip(JOINTS, content[2], content[3]):
            setattr(stored.read, joint, bone)
            setattr(stored.write, joint, control)


def _content(stored: Any) -> tuple[str, str, list[str], list[str]]:
    return stored.rig, stored.note, _names(stored.read), _names(stored.write)


def _names(stored: Any) -> list[str]:
    return [getattr(stored, joint) for joint in JOINTS]


def _check(ob: bpy.types.Object, side: str, bones: list[str], controls: list[str]) -> None:
    """Every name has to be a bone's, and no bone two joints'."""
    assert isinstance(ob.data, bpy.types.Armature)
    known = ob.data.bones
    gone = list(dict.fromkeys(name for name in (*bones, *controls) if name and name not in known))
    if gone:
        named = ", ".join(f"'{name}'" for name in gone[:3]) + (" and others" if len(gone) > 3 else "")
        raise Problem(
            "stale_mapping",
            f"The mapping of the {side} hand of '{ob.name}' names bones that are not there: {named}. Press "
            "Detect, or choose others under Mapping.",
        )
    used = [name for name in bones if name]
    twice = next((name for name in used if used.count(name) > 1), None)
    if twice is not None:
        at = " and ".join(joint for joint, name in zip(JOINTS, bones) if name == twice)
        raise Problem(
            "stale_mapping", f"The mapping of '{ob.name}' has '{twice}' at {at}: a bone is one joint only."
        )
