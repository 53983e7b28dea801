"""The hands of a skeleton by what its joints are called: finger words or numbers, side, order down the chain.

Mocap files call fingers by words (Mixamo, Perception Neuron, Xsens, Unreal, VRM: "RightHandIndex1",
"index_01_r"), by numbers (Rokoko "RightFinger2Proximal", 3ds Max "Bip01 R Finger1", MakeHuman "finger2-1.R")
or by ordinals (Xsens "RightSecondPP"). Which joint of a chain is which follows from their order and lengths.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from ..hand.skeleton import FINGER_JOINTS, FINGERS
from .bvh import Bvh
from .recording import side_named

WORDS = (
    ("thumb",),
    ("index", "pointer", "forefinger"),
    ("mid",),
    ("ring",),
    ("pinky", "pinkie", "little"),
)
ORDINALS = ("first", "second", "third", "fourth", "fifth")
NOT_A_HAND = ("toe", "foot", "twist", "string", "spring")
NUMBERED = re.compile(r"(?:finger|fngr|digit)[ _.\-]*(\d)")
TOKEN = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
PALM = re.compile(r"palm|metacarp|fingerbase|knuckle")
FEWEST_FINGERS = 3
CLIMBS = 3  # joints between a hand's wrist and the one that most of its fingers hang on
TIP = (0.3, 2.5)  # of the phalanx before it: a last bone beyond that was set without a meaning


@dataclass(frozen=True)
class Hand:
    """Nodes of a hand: the wrist, and of each finger (0 thumb to 4 pinky) those down its chain."""

    wrist: int
    side: str  # "" where no name says it
    fingers: dict[int, list[int]]


def find_hands(bvh: Bvh) -> list[Hand]:
    """Hands with three fingers or more of two joints or more, in the order of the file."""
    labels = [_label(name) for name in bvh.names]
    begin = {node for node in range(len(labels)) if _begins(bvh, labels, node)}
    heads: dict[int, list[int]] = {}  # node -> the chain heads below it
    for node in sorted(begin):
        for one in bvh.above(node):
            heads.setdefault(one, []).append(node)
    many = {node for node, found in heads.items() if _distinct(labels, found) >= FEWEST_FINGERS}
    wrists = many - {above for node in many for above in bvh.above(node)}
    hands = []
    for node in sorted(wrists):
        wrist = _climbed(bvh, node, wrists, heads, labels)
        chains: dict[int, list[int]] = {}
        for head, finger in _numbered({head: labels[head] for head in heads[wrist]}).items():
            chain = _chain(bvh, head, begin)
            if len(chain) > max(2, len(chains.get(finger, []))):
                chains[finger] = chain
        if len(chains) >= FEWEST_FINGERS:
            hands.append(Hand(wrist, _side(bvh, wrist, chains), chains))
    return hands


def nodes_of(hand: Hand, places: dict[int, np.ndarray]) -> list[int]:
    """Node of each of the 21 joints, -1 where there is none; `places` as `placed` gives them."""
    at = {node: place[0] for node, place in places.items()}
    nodes = [hand.wrist] + [-1] * 20
    for finger, chain in hand.fingers.items():
        joints = FINGER_JOINTS[FINGERS[finger]]
        for joint, node in zip(joints, _joints(_apart(chain, at), at, hand.wrist, finger == 0)):
            nodes[joint] = node
    return nodes


def _joints(chain: list[int], at: dict[int, np.ndarray], wrist: int, thumb: bool) -> list[int]:
    """The four nodes of a finger's joints, -1 for none, of a chain whose last node is where it ends."""

    def apart(one: int, other: int) -> float:
        return float(np.linalg.norm(at[one] - at[other]))

    # A finger's knuckle is further from the wrist than its phalanx is long; where a metacarpal begins is not.
    # A thumb's first joint is as near; only what lies right beside the wrist is none of its three.
    near = 0.25 if thumb else 1.0
    while len(chain) > 4 - (not thumb) and apart(chain[0], wrist) < near * apart(chain[0], chain[1]):
        chain = chain[1:]
    if len(chain) == 3:  # two bones: the outer one stands for two phalanges
        return [-1, *chain] if thumb else [chain[0], chain[1], -1, chain[2]]
    chain = (chain + [-1] * 4)[:4]
    if chain[3] >= 0:
        share = apart(chain[3], chain[2]) / max(apart(chain[2], chain[1]), 1e-12)
        chain[3] = chain[3] if TIP[0] < share < TIP[1] else -1
    return chain


def _label(name: str) -> str | None:
    """ "w0" to "w4" for a finger's word, "n0" to "n9" for its number, None for no finger."""
    lower = name.lower()
    if any(word in lower for word in NOT_A_HAND):
        return None
    found = [(lower.find(word), i) for i, words in enumerate(WORDS) for word in words if word in lower]
    if found:
        return f"w{min(found)[1]}"
    if number := NUMBERED.search(lower):
        return f"n{number[1]}"
    ordinal = [i for i, word in enumerate(ORDINALS, 1) if word in lower]
    return f"n{ordinal[0]}" if ordinal else None


def _begins(bvh: Bvh, labels: list[str | None], node: int) -> bool:
    """Whether a finger's chain begins at a node: it is named as a finger and goes on with none above it.

    Below a bone of the palm that is named after one finger, another one may branch off.
    """
    if labels[node] is None:
        return False
    above = next((one for one in bvh.above(node) if labels[one] is not None), None)
    if above is None:
        return True
    own = [child for child in bvh.children(above) if labels[child] == labels[above]]
    return labels[node] != labels[above] and bool(own)


def _distinct(labels: list[str | None], heads: list[int]) -> int:
    return len({labels[head] for head in heads})


def _climbed(
    bvh: Bvh, node: int, wrists: set[int], heads: dict[int, list[int]], labels: list[str | None]
) -> int:
    """The wrist: upwards while more fingers come in (a thumb beside the palm), and out of a palm's bone."""
    best = node
    elsewhere = {above for other in wrists - {node} for above in bvh.above(other)}
    for above in bvh.above(node)[:CLIMBS]:
        if above in elsewhere:
            break
        more = _distinct(labels, heads[above]) > _distinct(labels, heads[best])
        if more or PALM.search(bvh.names[best].lower()):
            best = above
    return best


def _numbered(labels: dict[int, str | None]) -> dict[int, int]:
    """Chain head -> finger: words as they are; the least number is the thumb, unless a word is."""
    words = {head: int(label[1]) for head, label in labels.items() if label and label[0] == "w"}
    numbers = {head: int(label[1]) for head, label in labels.items() if label and label[0] == "n"}
    if len(words) >= FEWEST_FINGERS or not numbers:
        return words
    start = min(numbers.values()) - (1 if 0 in words.values() else 0)
    found = words | {head: number - start for head, number in numbers.items()}
    return {head: finger for head, finger in found.items() if 0 <= finger <= 4}


def _chain(bvh: Bvh, head: int, begin: set[int]) -> list[int]:
    """Nodes from a finger's first one down to where it ends, along the longest way of its own."""
    chain = [head]
    while children := [child for child in bvh.children(chain[-1]) if child not in begin]:
        chain.append(max(children, key=lambda child: _depth(bvh, child)))
    return chain


def _depth(bvh: Bvh, node: int) -> int:
    """Nodes from this one down along the longest way."""
    deepest, level = 0, [node]
    while level:
        deepest, level = deepest + 1, [child for one in level for child in bvh.children(one)]
    return deepest


def _apart(chain: list[int], at: dict[int, np.ndarray]) -> list[int]:
    """A chain without nodes that lie where the next one does; an End Site that is none falls away."""
    steps = [float(np.linalg.norm(at[b] - at[a])) for a, b in zip(chain, chain[1:])]
    short = 0.02 * sum(steps)
    kept = [node for node, step in zip(chain, steps) if step > short]
    return [*kept, chain[-1]]


def _side(bvh: Bvh, wrist: int, fingers: dict[int, list[int]]) -> str:
    """What most names of the hand say, else the nearest name above it."""
    own = [bvh.names[node] for chain in fingers.values() for node in chain] + [bvh.names[wrist]]
    votes = [_side_of(name) for name in own]
    right, left = votes.count("right"), votes.count("left")
    if right != left:
        return "right" if right > left else "left"
    above = [_side_of(bvh.names[node]) for node in bvh.above(wrist)]
    return next((side for side in above if side), "")


def _side_of(name: str) -> str:
    found = {side_named(token) for token in TOKEN.findall(name)} - {""}
    if not found and re.match(r"[lr](?:thumb|index|mid|ring|pinky|little|finger|hand)", name.lower()):
        found = {side_named(name[0])}
    return found.pop() if len(found) == 1 else ""
