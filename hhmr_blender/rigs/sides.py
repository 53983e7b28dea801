"""Right or left, by the shape of a hand: fingers bend, and the thumb lies, towards the palm."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .tables import CHAINS

Array = NDArray[np.float64]

ROOTS = (5, 9, 13, 17)
CLEAR = 8.0
"""Degrees of `turn` from which a hand shows its side."""


def turn(joints: Array) -> float:
    """How much a hand [21, 3] bends like a right one, degrees; negative: like a left one; NaN: unknown.

    About the axis from pinky to index a right hand's fingers bend by a positive rotation, a left hand's by a
    negative one: the mean angle from the palm to the fingers, and the angle at which the thumb stands off the
    palm's plane, since it lies on the palm's side.
    """
    roots = [joint for joint in ROOTS if np.isfinite(joints[joint]).all()]
    if len(roots) < 2 or not np.isfinite(joints[0]).all():
        return float("nan")
    forward = _unit(joints[roots].mean(axis=0) - joints[0])
    across = joints[roots[0]] - joints[roots[-1]]
    across = _unit(across - (across @ forward) * forward)
    found = [_bend(joints[list(chain)], forward, across) for chain in CHAINS[1:]]
    bends = [bend for bend in found if np.isfinite(bend)]
    angle = float(np.mean(bends)) if bends else 0.0
    thumb = [joint for joint in CHAINS[0] if np.isfinite(joints[joint]).all()]
    if thumb:
        reach = _unit(joints[thumb[-1]] - joints[0])
        angle += float(np.degrees(np.arcsin(np.clip(reach @ np.cross(across, forward), -1, 1))))
    return angle


def odd(named: str) -> str:
    """What to say of a hand whose bones are named for one side and lie like those of the other."""
    other = "left" if named == "right" else "right"
    return (
        f"Its bones are named {named}, and lie like those of a {other} hand: if it is one, press Detect and "
        "Swap Sides under Mapping."
    )


def _bend(finger: Array, forward: Array, across: Array) -> float:
    """Rotation about `across` that takes `forward` to a finger [4, 3], from root to end, degrees."""
    known = finger[np.isfinite(finger).all(axis=1)]
    if len(known) < 2:
        return float("nan")
    way = known[-1] - known[0]
    return float(np.degrees(np.arctan2(np.cross(forward, way) @ across, forward @ way)))


def _unit(vector: Array) -> Array:
    length = float(np.linalg.norm(vector))
    return vector / length if length > 0 else np.full(3, np.nan)
