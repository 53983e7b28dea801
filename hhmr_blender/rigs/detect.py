"""Which rig a skeleton is, and which of its bones are a hand: by names, then by structure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from . import sides, structure
from .chains import ancestors
from .hand import PHALANGES, SIDES, Hand
from .joints import Array, rest_joints
from .names import LEAF_WORDS, canonical, namespace, says
from .tables import CHAINS, CONTROLS, JOINTS, ONE_HANDED, RIGS, Rig

WANTED_PHALANGES = 12
"""Of 15: a rig may lack a phalanx here and there and is still that rig."""
FEWEST_PHALANGES = 4
OTHER_WAY = 25.0
"""Degrees: a hand at rest that bends so much the other way is hardly of the side that its names say."""

Names = dict[tuple[str, ...], str]


def find_hands(
    parents: Mapping[str, str | None],
    heads: Mapping[str, Array] | None = None,
    tails: Mapping[str, Array] | None = None,
) -> list[Hand]:
    """Hands of a skeleton (bone -> parent), right first; partial ones too: see `whole`.

    By names, for each character of a skeleton that holds several; where those say too little and the ends of
    the bones at rest are given, by structure.
    """
    named = _by_name(parents)
    if heads is None or tails is None:
        return named
    named = [_looked_at(hand, heads, tails) for hand in named]
    good = [hand for hand in named if hand.whole and hand.phalanges >= WANTED_PHALANGES]
    missing = [side for side in SIDES if side not in {hand.side for hand in good}]
    if not missing:
        return named
    shaped = structure.find_hands(parents, heads, tails)
    for side in missing:
        other = next((hand for hand in shaped if hand.side == side), None)
        partial = [hand for hand in named if hand.side == side]
        if other is not None and all(hand.phalanges < other.phalanges for hand in partial):
            named = [hand for hand in named if hand.side != side] + [other]
    return sorted(named, key=lambda hand: SIDES.index(hand.side))


def _by_name(parents: Mapping[str, str | None]) -> list[Hand]:
    """Best hand of each side of each character; where no character has one, of all names together."""
    characters: dict[tuple[str, str], list[str]] = {}
    for name in parents:
        characters.setdefault(namespace(name), []).append(name)
    found = []
    for (_, copy), members in characters.items():
        if len(members) > FEWEST_PHALANGES:
            found += _best_of({name[: len(name) - len(copy)]: name for name in members}, parents)
    if not any(hand.phalanges >= WANTED_PHALANGES for hand in found):
        found = _best_of({name: name for name in parents}, parents)
    return sorted(found, key=lambda hand: SIDES.index(hand.side))


def _best_of(members: dict[str, str], parents: Mapping[str, str | None]) -> list[Hand]:
    """Best hand of each side among the members of a skeleton: what each is called -> its name."""
    names: Names = {}
    for called, name in members.items():
        names.setdefault(canonical(called), name)
    found = []
    for side in SIDES:
        rigs = (*RIGS, *ONE_HANDED) if side == "right" else RIGS
        hands = [_match(rig, side, members, names, parents) for rig in rigs]
        known = [hand for hand in hands if hand is not None]
        best = max(known, key=lambda hand: (hand.whole, hand.score))  # the first of equals, in RIGS' order
        if best.bones[0] and best.phalanges >= FEWEST_PHALANGES:
            found.append(_with_leaves(best, parents))
    return found


def _match(
    rig: Rig, side: str, members: dict[str, str], names: Names, parents: Mapping[str, str | None]
) -> Hand | None:
    if not all(_resolve(rig.marked(side), members, names)):
        return None
    bones = _resolve(rig.bones(side), members, names)
    if not bones[0] and sum(bool(bones[joint]) for joint in PHALANGES) >= WANTED_PHALANGES:
        bones[0] = _common_ancestor([bones[chain[0]] for chain in CHAINS if bones[chain[0]]], parents)
    metacarpals = _resolve(rig.metacarpals(side), members, names)
    score = sum(_hangs_right(bones, joint, parents) for joint in range(1, len(JOINTS)))
    score += sum(1 if bone else -1 for bone in metacarpals)
    exact = sum(name in members for name in rig.bones(side) if name)
    control = next((other for other in CONTROLS if other.id == rig.write_to), rig)
    controls = [own or bone for own, bone in zip(_resolve(control.bones(side), members, names), bones)]
    return Hand(rig, side, tuple(bones), tuple(controls), 100 * score + exact)


def _resolve(wanted: list[str], members: dict[str, str], names: Names) -> list[str]:
    """The skeleton's own spelling of names, "" where it has none."""
    return [members.get(name) or names.get(canonical(name), "") if name else "" for name in wanted]


def _with_leaves(hand: Hand, parents: Mapping[str, str | None]) -> Hand:
    """A hand with the fingertip bones that importers add under last phalanges ("..._end")."""
    bones = list(hand.bones)
    last = {bones[chain[2]]: chain[3] for chain in CHAINS if bones[chain[2]] and not bones[chain[3]]}
    for bone, parent in parents.items():
        if parent in last and says(bone, LEAF_WORDS):
            bones[last[parent]] = bone
    return replace(hand, bones=tuple(bones))


def _hangs_right(bones: list[str], joint: int, parents: Mapping[str, str | None]) -> bool:
    """Whether the nearest ancestor that belongs to the hand is the joint before it."""
    if not bones[joint]:
        return False
    chain = next(chain for chain in CHAINS if joint in chain)
    before = [bones[one] for one in chain[: chain.index(joint)] if bones[one]]
    ancestor = parents[bones[joint]]
    while ancestor is not None and ancestor not in bones:
        ancestor = parents[ancestor]
    return ancestor is not None and ancestor == (before[-1] if before else bones[0])


def _common_ancestor(roots: list[str], parents: Mapping[str, str | None]) -> str:
    """Nearest bone that all roots hang under, at most three bones up; "" where there is none."""
    lines = [ancestors(root, parents)[:3] for root in roots]
    return next((bone for bone in lines[0] if all(bone in line for line in lines[1:])), "")


def _looked_at(hand: Hand, heads: Mapping[str, Array], tails: Mapping[str, Array]) -> Hand:
    """A hand that was found by name, and what its shape says about its side."""
    turn = sides.turn(rest_joints(hand, heads, tails))
    shape = "left" if turn < 0 else "right"
    if hand.rig in ONE_HANDED:
        known = bool(np.isfinite(turn)) and abs(turn) > sides.CLEAR
        doubt = "" if known else "Nothing tells whether it is a right or a left hand: it lies flat."
        return replace(hand, side=shape, confidence=1.0 if known else 0.4, doubt=doubt)
    if abs(turn) > OTHER_WAY and shape != hand.side:
        doubt = sides.odd(hand.side)
        return replace(hand, confidence=0.7, doubt=doubt)
    return hand
