"""Joints <-> bones of a hand: fingertips, the rigid fit of a palm, swings of finger bones. No bpy."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from .detect import Hand
from .tables import CHAINS

Array = NDArray[np.float64]

TIP_LENGTH = 0.85
"""Last phalanx to fingertip, of the phalanx before it, where a rig says nothing about its fingertips."""


def rest_joints(hand: Hand, heads: Mapping[str, Array], tails: Mapping[str, Array]) -> Array:
    """Joints of a hand at rest, [21, 3] in the skeleton's space; NaN where the bone is missing."""
    joints = np.full((21, 3), np.nan)
    for joint, bone in enumerate(hand.bones):
        if bone:
            joints[joint] = heads[bone]
    for chain in CHAINS:
        distal = hand.bones[chain[2]]
        if distal and not hand.bones[chain[3]]:
            joints[chain[3]] = _tip(joints[chain[1]], heads[distal], tails[distal])
    return joints


def owner(hand: Hand, joint: int) -> str:
    """Bone that carries a joint: its own, or for a fingertip without a bone the last phalanx; "" if none."""
    for chain in CHAINS:
        if joint == chain[3] and not hand.bones[joint]:
            return hand.bones[chain[2]]
    return hand.bones[joint]


def _tip(before: Array, head: Array, tail: Array) -> Array:
    """Fingertip of a last phalanx: its tail, unless an importer set that without a meaning.

    At rest the last two phalanges of a finger run on nearly straight and are of like length.
    """
    phalanx, bone = head - before, tail - head
    length, reach = float(np.linalg.norm(phalanx)), float(np.linalg.norm(bone))
    if not np.isfinite(length) or length == 0:
        return tail
    straight = float(phalanx @ bone) > 0.7 * length * reach
    if straight and 0.3 * length < reach < 2.5 * length:
        return tail
    return head + TIP_LENGTH * phalanx


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
