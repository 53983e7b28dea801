"""Which rig a skeleton is, and which of its bones are a hand."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from .tables import CHAINS, CONTROLS, JOINTS, RIGS, Rig

SIDES = ("right", "left")
PHALANGES = tuple(joint for chain in CHAINS for joint in chain[:3])
WANTED_PHALANGES = 12
"""Of 15: a rig may lack a phalanx here and there and is still that rig."""
FEWEST_PHALANGES = 4

_PREFIX = re.compile(r"^(.*:|mixamorig\d*_|Bip\d+[ _])", re.IGNORECASE)
_TOKEN = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_a-zA-Z]+")
_JAPANESE_SIDE = re.compile("^([右左])|([右左])$")
_SIDE = {"r": ">r", "right": ">r", "右": ">r", "l": ">l", "left": ">l", "左": ">l"}


@dataclass(frozen=True)
class Hand:
    """A hand found in a skeleton; names are the skeleton's own, "" where a bone is missing."""

    rig: Rig
    side: str
    bones: tuple[str, ...]
    controls: tuple[str, ...]
    """Bones that take the pose: the rig's controls, or the bones themselves where it has none."""
    score: int

    @property
    def phalanges(self) -> int:
        """How many of the 15 finger bones were found."""
        return sum(bool(self.bones[joint]) for joint in PHALANGES)

    @property
    def whole(self) -> bool:
        """Whether enough of the bones are there to call it a hand of that rig."""
        return bool(self.bones[0]) and self.phalanges >= WANTED_PHALANGES

    def joint_of(self, bone: str) -> int | None:
        """Joint that a bone of the hand, or its control, begins at."""
        for names in (self.bones, self.controls):
            if bone in names:
                return names.index(bone)
        return None


def canonical(name: str) -> tuple[str, ...]:
    """Name in tokens: split at separators, digits and humps, lower case, sides alike, no prefix."""
    name = _JAPANESE_SIDE.sub(r" \1\2 ", unicodedata.normalize("NFKC", name))
    tokens = [token.lower() for token in _TOKEN.findall(_PREFIX.sub("", name))]
    return tuple(_SIDE.get(token, token) for token in tokens)


def find_hands(parents: Mapping[str, str | None]) -> list[Hand]:
    """Best hand of each side of a skeleton (bone -> parent), right first; partial ones too: see `whole`."""
    names: dict[tuple[str, ...], str] = {}
    for name in parents:
        names.setdefault(canonical(name), name)
    found = []
    for side in SIDES:
        hands = [_match(rig, side, parents, names) for rig in RIGS]
        best = max(hands, key=lambda hand: (hand.whole, hand.score))  # the first of equals, in RIGS' order
        if best.bones[0] and best.phalanges >= FEWEST_PHALANGES:
            found.append(best)
    return found


def _match(rig: Rig, side: str, parents: Mapping[str, str | None], names: dict[tuple[str, ...], str]) -> Hand:
    bones = _resolve(rig.bones(side), parents, names)
    score = sum(_hangs_right(bones, joint, parents) for joint in range(1, len(JOINTS)))
    score += sum(bool(bone) for bone in _resolve(rig.metacarpals(side), parents, names))
    exact = sum(name in parents for name in rig.bones(side) if name)
    control = next((other for other in CONTROLS if other.id == rig.write_to), rig)
    controls = [own or bone for own, bone in zip(_resolve(control.bones(side), parents, names), bones)]
    return Hand(rig, side, tuple(bones), tuple(controls), 100 * score + exact)


def _resolve(
    wanted: list[str], parents: Mapping[str, str | None], names: dict[tuple[str, ...], str]
) -> list[str]:
    """The skeleton's own spelling of names, "" where it has none."""
    return [name if name in parents else names.get(canonical(name), "") if name else "" for name in wanted]


def _hangs_right(bones: list[str], joint: int, parents: Mapping[str, str | None]) -> bool:
    """Whether the nearest ancestor that belongs to the hand is the joint before it."""
    if not bones[joint]:
        return False
    before = next((bones[chain[i - 1]] for chain in CHAINS for i in (1, 2, 3) if chain[i] == joint), bones[0])
    ancestor = parents[bones[joint]]
    while ancestor is not None and ancestor not in bones:
        ancestor = parents[ancestor]
    return ancestor is not None and ancestor == before
