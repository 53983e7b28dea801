"""Which bone of a finger's chain is which joint: metacarpals, phalanges, fingertips, by their lengths."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from .chains import Chain, Skeleton
from .joints import Array, fingertip
from .names import LEAF_WORDS, METACARPAL_WORDS, says

Reading = tuple[int | None, int | None, int | None, int | None]
"""Bones of a chain that begin at its four joints; None: none does."""

THUMB = (0.30, 0.24, 0.25, 0.21)
FINGER = (0.53, 0.19, 0.14, 0.14)
"""Wrist to root, and the three phalanges, as shares of their sum: of the template's and recorded hands."""


def joints_of(skeleton: Skeleton, wrist: Array, fingers: dict[int, Chain]) -> dict[int, list[str]]:
    """Finger -> its bones at the four joints, "" where none: fingers of as many bones are read alike."""
    found: dict[int, list[str]] = {}
    groups: dict[tuple[bool, int], list[int]] = {}
    for finger, chain in fingers.items():
        groups.setdefault((finger == 0, len(chain)), []).append(finger)
    for (thumb, count), members in groups.items():
        readings = _readings(count, thumb)
        costs = [sum(_cost(skeleton, wrist, fingers[one], way, thumb) for one in members) for way in readings]
        best = readings[int(np.argmin(costs))]
        for finger in members:
            found[finger] = [fingers[finger][at] if at is not None else "" for at in best]
    return found


def _readings(count: int, thumb: bool) -> list[Reading]:
    """Ways to read a chain of bones as root, two phalanges' heads and perhaps a tip."""
    found: list[Reading] = []
    for three in combinations(range(count), 3):
        tips = [None, *range(three[2] + 1, count)] if three[2] + 1 < count else [None]
        found += [(*three, tip) for tip in tips]
    for a, b in combinations(range(count), 2):
        for tip in [None, *range(b + 1, count)]:
            found.append((a, b, None, tip))
            if thumb:
                found.append((None, a, b, tip))
    return found


def _cost(skeleton: Skeleton, wrist: Array, chain: Chain, reading: Reading, thumb: bool) -> float:
    """How unlike a finger's the lengths of a reading are; what names forbid, and bones left out, cost."""
    used = [at for at in reading if at is not None]
    phalanges = [at for at in reading[:3] if at is not None]
    tip = reading[3]
    heads = [skeleton.heads[chain[at]] for at in phalanges]
    if tip is None:
        meeting, tail = (skeleton.tails[chain[at]] for at in phalanges[-2:])
        end = fingertip(heads[-2], meeting, heads[-1], tail, len(phalanges) == 2)
    else:
        end = skeleton.heads[chain[tip]]
    points = np.array([wrist, *heads, end])
    lengths = np.linalg.norm(np.diff(points, axis=0), axis=1)
    usual = _usual(THUMB if thumb else FINGER, reading)
    cost = float((np.log(np.maximum(lengths / lengths.sum(), 1e-6) / usual) ** 2).sum() / 0.35**2)
    cost += 4.0 * (3 - len(phalanges)) + 3.0 * (used[-1] - used[0] + 1 - len(used))
    cost += 1.0 * max(0, used[0] - 1) + 1.5 * (len(chain) - 1 - used[-1])
    cost += 50.0 * sum(says(chain[at], LEAF_WORDS) for at in phalanges)
    if not thumb:
        cost += 50.0 * sum(says(chain[at], METACARPAL_WORDS) for at in phalanges)
    return cost


def _usual(shares: tuple[float, float, float, float], reading: Reading) -> Array:
    """Shares of the stretches that a reading has; one that skips a joint spans both."""
    if reading[0] is None:
        found = [shares[0] + shares[1], shares[2], shares[3]]
    elif reading[2] is None:
        found = [shares[0], shares[1], shares[2] + shares[3]]
    else:
        found = list(shares)
    return np.array(found)
