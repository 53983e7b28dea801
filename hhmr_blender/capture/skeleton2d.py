"""Empties before the camera -> where the joints of a hand are seen."""

from __future__ import annotations

import bpy
import numpy as np
from numpy.typing import NDArray

from ..problems import Problem
from .camera import View

Floats = NDArray[np.float64]

JOINT = "hhmr_joint"
"""Custom property of an empty: the number of its joint."""
ROOT = "hhmr_skeleton_root"
"""Custom property of the empty that holds them."""
FOUND = "hhmr_found"
"""Custom property of a joint that was found in a picture: where it was put, in its parent's space."""
SIGMA = "hhmr_sigma"
"""And how sure that is: one standard deviation, in the same space."""

FEWEST = 4
BY_HAND = 0.005
"""Noise of a joint that was dragged to where it belongs, in parts of the hand's size in the picture."""
GUESSED = 0.015
"""And of one whose skeleton was made by hand altogether."""
STILL = 1e-5
"""Metres at distance 1: what has moved less was not dragged."""


def root_of(ob: bpy.types.Object | None) -> bpy.types.Object | None:
    """The 2D skeleton that an object is, is a joint of, or was fitted to."""
    if ob is None:
        return None
    if ob.get(ROOT):
        return ob
    root = ob.hhmr_skeleton if ob.get(JOINT) is None else ob.parent
    return root if root is not None and root.get(ROOT) and root.users_scene else None


def hand_of(root: bpy.types.Object) -> bpy.types.Object | None:
    """The hand that was fitted to a skeleton, if it still is in a scene."""
    return next((ob for ob in bpy.data.objects if ob.hhmr_skeleton == root and ob.users_scene), None)


def joints(root: bpy.types.Object) -> dict[int, bpy.types.Object]:
    """The skeleton's empties by joint: those that are not hidden one by one, and still in a scene."""
    found = {int(ob[JOINT]): ob for ob in root.children if ob.get(JOINT) is not None and ob.users_scene}
    return {n: ob for n, ob in found.items() if 0 <= n < 21 and not (ob.hide_viewport or ob.hide_get())}


def read(root: bpy.types.Object, view: View) -> tuple[Floats, Floats]:
    """Rays [21, 2] to the joints, NaN where unknown, and their noise [21], inf where unknown.

    Raises Problem where too few are left to be a hand.
    """
    known = joints(root)
    places = np.full((21, 3), np.nan)
    for joint, empty in known.items():
        places[joint] = empty.matrix_world.translation
    rays = view.rays(places)
    seen = np.isfinite(rays).all(axis=1)
    if seen.sum() < FEWEST:
        text = f"Only {seen.sum()} joints of '{root.name}' are shown before the camera: {FEWEST} are needed."
        raise Problem("few_joints", text)
    extent = np.ptp(rays[seen], axis=0).max()
    depth = np.abs(view.depth(root.matrix_world.translation)) or 1.0
    sigma = np.full(21, np.inf)
    for joint in np.flatnonzero(seen):
        sigma[joint] = _noise(known[joint], depth, extent)
    return rays, sigma


def _noise(empty: bpy.types.Object, depth: float, extent: float) -> float:
    if empty.get(FOUND) is None:
        return GUESSED * extent
    moved = np.linalg.norm(np.subtract(empty.location[:2], empty[FOUND])) / depth
    return BY_HAND * extent if moved > STILL else float(empty[SIGMA]) / depth
