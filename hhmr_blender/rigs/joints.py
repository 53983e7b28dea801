"""Joints <-> bones of a hand: fingertips, the rigid fit of a palm, swings of finger bones. No bpy."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from .hand import Hand
from .tables import CHAINS

Array = NDArray[np.float64]

TIP_LENGTH = 0.85
"""Last phalanx to fingertip, of the phalanx before it, where a rig says nothing about its fingertips."""
TWO_PHALANGES = 1.4
"""The same for a second bone that stands for both outer phalanges."""
MEETS = 0.15
"""Of a phalanx: a tail that is further from the next bone's head was set by an importer."""
ONE_PHALANX = 0.9
"""Of the first bone's length: a second and last bone that is shorter ends at the next joint, not the tip."""


def rest_joints(hand: Hand, heads: Mapping[str, Array], tails: Mapping[str, Array]) -> Array:
    """Joints of a hand at rest, [21, 3] in the skeleton's space; NaN where the bone is missing."""
    joints = np.full((21, 3), np.nan)
    for joint, bone in enumerate(hand.bones):
        if bone:
            joints[joint] = heads[bone]
    for chain in CHAINS:
        phalanges = [joint for joint in chain[:3] if hand.bones[joint]]
        if len(phalanges) < 2 or hand.bones[chain[3]]:
            continue
        before, last = joints[phalanges[-2]], phalanges[-1]
        meeting = tails[hand.bones[phalanges[-2]]]
        end = fingertip(before, meeting, joints[last], tails[hand.bones[last]], last == chain[1])
        short = np.linalg.norm(end - joints[last]) < ONE_PHALANX * np.linalg.norm(joints[last] - before)
        joints[last + 1 if last < chain[2] and short else chain[3]] = end
    return joints


def owner(hand: Hand, joint: int) -> str:
    """Bone that carries a joint: its own, or the last one of its finger before it; "" if none."""
    if joint and not hand.bones[joint]:
        chain = next(chain for chain in CHAINS if joint in chain)
        before = [hand.bones[one] for one in chain[: chain.index(joint)] if hand.bones[one]]
        return before[-1] if before else ""
    return hand.bones[joint]


def segments(hand: Hand, rest: Array) -> list[tuple[int, int]]:
    """What the finger bones span: joint at which each begins -> joint that it points at, roots first.

    They are neighbours in a finger of three bones; a finger of two skips a joint.
    """
    found = []
    for level in range(3):
        for chain in CHAINS:
            ends = [joint for joint in chain[level + 1 :] if np.isfinite(rest[joint]).all()]
            if hand.bones[chain[level]] and ends:
                found.append((chain[level], ends[0]))
    return found


def fingertip(before: Array, meeting: Array, head: Array, tail: Array, two: bool = False) -> Array:
    """Fingertip of a last phalanx from `head` to `tail`; the phalanx before it is from `before` to `meeting`.

    An importer may set tails without a meaning: then the bone before does not end where the last begins, or
    the last is not about as long, and as straight on, as fingers are at rest. The last of `two` bones stands
    for two phalanges.
    """
    phalanx, bone = head - before, tail - head
    length, reach = float(np.linalg.norm(phalanx)), float(np.linalg.norm(bone))
    if not np.isfinite(length) or length == 0:
        return tail
    meets = np.linalg.norm(meeting - head) < MEETS * length
    straight = float(phalanx @ bone) > 0.7 * length * reach
    if meets and straight and 0.3 * length < reach < 2.5 * length:
        return tail
    return head + (TWO_PHALANGES if two else TIP_LENGTH) * phalanx


def rigid_fit(source: Array, target: Array) -> tuple[Array, float, Array]:
    """Similarity (rotation [3, 3], scale, offset [3]) from source [n, 3] onto target (Umeyama 1991)."""
    mean_source, mean_target = source.mean(axis=0), target.mean(axis=0)
    centred, aim = source - mean_source, target - mean_target
    u, s, vt = np.linalg.svd(aim.T @ centred)
    flip = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = (u * flip) @ vt
    scale = float((s * flip).sum() / (centred**2).sum())
    return rotation, scale, mean_target - scale * rotation @ mean_source


def smallest_swing(a: Array, b: Array) -> Array:
    """Rotation [3, 3] by the smallest angle that turns direction a into direction b."""
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
    cosine = float(a @ b)
    axis = np.cross(a, b)
    if cosine < -1 + 1e-9:  # opposite: half a turn about any axis across it
        across = np.cross(a, np.eye(3)[int(np.abs(a).argmin())])
        across /= np.linalg.norm(across)
        return 2 * np.outer(across, across) - np.eye(3)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + cross + cross @ cross / (1 + cosine)
