"""A hand by its structure, whatever its bones are called: chains of bones under one, and how they lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from . import sides
from .chains import FEWEST, MOST, Chain, Skeleton, ancestors, fingers_under, skeleton_of
from .hand import SIDES, SURE, Hand
from .joints import Array, fingertip, rest_joints, rigid_fit
from .names import HAND_WORDS, OTHER_WORDS, finger_of, says, side_of
from .readings import joints_of
from .tables import CHAINS, UNKNOWN

SPREAD = 60.0
"""Degrees that a finger may point away from the others."""
PALM_PLACES = np.array([[0, 0, 0], [-28, 111, -4], [0, 110, 0], [21, 103, 0], [40, 93, -4]], float)
"""Wrist and finger roots of the template's hand, millimetres."""
PALM_LENGTH = 110.0
UNLIKE = 0.2
"""Of the palm's length: finger roots that are further off than that are no palm."""
ASTRIDE = 0.15
"""Of the palm's length: nearer to the middle of its body than that, a hand is on neither side."""


def find_hands(
    parents: Mapping[str, str | None], heads: Mapping[str, Array], tails: Mapping[str, Array]
) -> list[Hand]:
    """Best hand of each side by structure alone, right first, with its confidence and its doubt."""
    skeleton = skeleton_of(parents, heads, tails)
    found = []
    for wrist in skeleton.parents:
        chains = fingers_under(skeleton, wrist)
        if FEWEST <= len(chains) <= MOST:
            found += _hand(skeleton, wrist, chains)
    return _sided(found, skeleton)


# ---------------------------------------------------------------- which finger, which joint


def _hand(skeleton: Skeleton, wrist: str, chains: list[Chain]) -> list[Hand]:
    """The hand that hangs under a wrist, if its chains lie like fingers."""
    names = [wrist, *(bone for chain in chains for bone in chain)]
    if says(wrist, OTHER_WORDS) or sum(says(name, OTHER_WORDS) for name in names) > len(names) / 3:
        return []
    start = skeleton.heads[wrist]
    fingers, certain, doubt = _labelled(skeleton, start, _five(chains))
    if not _lie_like_fingers(skeleton, start, fingers):
        return []
    bones = [""] * 21
    bones[0] = wrist
    for finger, joints in joints_of(skeleton, start, fingers).items():
        for joint, bone in zip(CHAINS[finger], joints):
            bones[joint] = bone
    if not any(says(name, HAND_WORDS) or finger_of([name]) is not None for name in names):
        certain = min(certain, 0.8)
    hand = Hand(UNKNOWN, side_of(names), tuple(bones), tuple(bones), 0, certain, doubt)
    return [hand] if hand.whole and _off_a_palm(skeleton, hand) < UNLIKE else []


def _five(chains: list[Chain]) -> list[Chain]:
    """The chains that are fingers: named so, else without the shortest of six."""
    named = [chain for chain in chains if finger_of(chain) is not None]
    if len(named) >= FEWEST:
        return named
    return sorted(chains, key=len)[-5:] if len(chains) > 5 else chains


def _labelled(skeleton: Skeleton, wrist: Array, chains: list[Chain]) -> tuple[dict[int, Chain], float, str]:
    """Finger (0 to 4) -> chain, how sure, and what is not: by words where all have them, else by place."""
    words = [finger_of(chain) for chain in chains]
    if None not in words and len(set(words)) == len(words):
        return {word: chain for word, chain in zip(words, chains) if word is not None}, 1.0, ""
    ends = [_ends(skeleton, chain) for chain in chains]
    likeness = [_thumbness(i, ends, wrist) for i in range(len(chains))]
    order = np.argsort(likeness)[::-1]
    lead = float(likeness[order[0]] - likeness[order[1]])
    thumb, *others = (chains[i] for i in order)
    roots = _roots(skeleton, wrist, others)
    across = _across(roots, np.mean(roots, axis=0) - wrist)
    aside = skeleton.heads[thumb[len(thumb) // 2]] @ across
    place = [float(root @ across) for root in roots]
    row = sorted(range(len(others)), key=lambda i: abs(place[i] - aside))
    labels = (1, 2, 3, 4) if len(others) == 4 else (1, 2, 4)
    found = {0: thumb} | {label: others[i] for label, i in zip(labels, row)}
    sure = min(1.0, max(0.0, lead)) * (1.0 if not min(place) < aside < max(place) else 0.6)
    doubt = "" if sure >= SURE else f"It is not clear that '{thumb[0]}' is the thumb."
    return found, sure, doubt


def _roots(skeleton: Skeleton, wrist: Array, chains: list[Chain]) -> list[Array]:
    """Where the first phalanges of four fingers, or three, begin."""
    joints = joints_of(skeleton, wrist, dict(enumerate(chains, 1)))
    return [skeleton.heads[joints[i][0]] for i in range(1, len(chains) + 1)]


def _off_a_palm(skeleton: Skeleton, hand: Hand) -> float:
    """How far the wrist and the finger roots are from lying like a palm, of its length; either side's."""
    joints = rest_joints(hand, skeleton.heads, skeleton.tails)[[0, *sides.ROOTS]]
    known = np.isfinite(joints).all(axis=1)
    if known.sum() < 4:
        return np.inf
    off = []
    for mirror in (1, -1):
        palm = PALM_PLACES[known] * [mirror, 1, 1]
        rotation, scale, offset = rigid_fit(palm, joints[known])
        apart = scale * palm @ rotation.T + offset - joints[known]
        off.append(float(np.sqrt((apart**2).sum(axis=1).mean())) / max(scale * PALM_LENGTH, 1e-12))
    return min(off)


def _ends(skeleton: Skeleton, chain: Chain) -> tuple[Array, Array]:
    """Where a chain begins and, about, where it ends."""
    before, last = chain[-2:]
    heads, tails = skeleton.heads, skeleton.tails
    end = fingertip(heads[before], tails[before], heads[last], tails[last], len(chain) == 2)
    return heads[chain[0]], end


def _thumbness(i: int, ends: list[tuple[Array, Array]], wrist: Array) -> float:
    """How much a chain is unlike the others as a thumb is: turned away, near the wrist, short, at an end."""
    ways = [_unit(end - root) for root, end in ends]
    others = [j for j in range(len(ends)) if j != i]
    mean = _unit(np.mean([ways[j] for j in others], axis=0))
    within = float(np.mean([_angle(ways[j], mean) for j in others]))
    starts = [float(np.linalg.norm(root - wrist)) for root, _ in ends]
    reaches = [float(np.linalg.norm(end - wrist)) for _, end in ends]
    long = float(np.mean([reaches[j] for j in others]))
    near = float(np.mean([starts[j] for j in others])) - starts[i]
    short = long - reaches[i]
    near = max(0.0, near)  # fingers with metacarpals begin nearer still
    return (_angle(ways[i], mean) - within) / 25 + 1.5 * (near + short) / long


def _across(points: list[Array], forward: Array) -> Array:
    """Direction in which points lie in a row, square to `forward`."""
    way = _unit(forward)
    spread = np.array(points) - np.mean(points, axis=0)
    spread -= np.outer(spread @ way, way)
    across: Array = np.linalg.svd(spread)[2][0]
    return across


def _lie_like_fingers(skeleton: Skeleton, wrist: Array, fingers: dict[int, Chain]) -> bool:
    """Whether the four point one way, away from the wrist, and are as long as fingers are."""
    ends = [_ends(skeleton, chain) for finger, chain in fingers.items() if finger]
    mean = _unit(np.mean([_unit(end - root) for root, end in ends], axis=0))
    forward = np.mean([end - wrist for _, end in ends], axis=0)
    if any(_angle(end - root, mean) > SPREAD for root, end in ends):
        return False
    reach = np.array([np.linalg.norm(end - wrist) for _, end in ends])
    length = np.array([np.linalg.norm(end - root) for root, end in ends])
    return bool(
        _angle(forward, mean) < SPREAD and reach.max() < 2 * reach.min() and (length / reach).min() > 0.2
    )


# ---------------------------------------------------------------- sides


def _sided(found: list[Hand], skeleton: Skeleton) -> list[Hand]:
    """The best hand of each side: by names, by shape, by place in the body, in that order."""
    hands = []
    for hand in found:
        joints = rest_joints(hand, skeleton.heads, skeleton.tails)
        hands.append(_with_side(hand, joints, skeleton))
    best = []
    for side in SIDES:
        mine = [hand for hand in hands if hand.side == side]
        if mine:
            best.append(max(mine, key=lambda hand: (hand.confidence, hand.phalanges)))
    return best


def _with_side(hand: Hand, joints: Array, skeleton: Skeleton) -> Hand:
    turn = sides.turn(joints)
    shape = "left" if turn < 0 else "right"
    above = ancestors(hand.bones[0], skeleton.parents)
    named = hand.side or next((side for side in (side_of([bone]) for bone in above) if side), "")
    if named:
        odd = abs(turn) > 3 * sides.CLEAR and shape != named
        doubt = sides.odd(named) if odd else hand.doubt
        return replace(hand, side=named, confidence=min(hand.confidence, 0.7 if odd else 1), doubt=doubt)
    if abs(turn) > sides.CLEAR:
        return replace(hand, side=shape, confidence=min(hand.confidence, 0.9))
    middle = skeleton.heads[above[-1]][0] if above else joints[0][0]
    aside = joints[9 if np.isfinite(joints[9]).all() else 5][0] - middle
    palm = float(np.nanmax(np.linalg.norm(joints[[5, 9, 13, 17]] - joints[0], axis=1)))
    place = "left" if aside > 0 else "right"
    if abs(aside) > ASTRIDE * palm and above:
        doubt = f"Nothing but its place in the body says that it is the {place} hand."
        return replace(hand, side=place, confidence=min(hand.confidence, 0.6), doubt=hand.doubt or doubt)
    doubt = "Nothing tells whether it is a right or a left hand: it lies flat."
    return replace(hand, side=shape, confidence=min(hand.confidence, 0.3), doubt=doubt)


def _angle(a: Array, b: Array) -> float:
    """Degrees between two directions."""
    return float(np.degrees(np.arccos(np.clip(_unit(a) @ _unit(b), -1, 1))))


def _unit(vector: Array) -> Array:
    return vector / max(float(np.linalg.norm(vector)), 1e-12)
