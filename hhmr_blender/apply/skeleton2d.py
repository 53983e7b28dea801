"""A 2D skeleton as empties before the camera, to be dragged to where the joints are seen."""

from __future__ import annotations

from contextlib import suppress

import bpy
import numpy as np
from mathutils import Matrix
from numpy.typing import NDArray

from ..capture.camera import View
from ..capture.skeleton2d import FOUND, JOINT, ROOT, SIGMA
from ..rigs.tables import CHAINS, JOINTS

Floats = NDArray[np.float64]

COLOURS = (
    (0.9, 0.9, 0.9),
    (0.95, 0.45, 0.2),
    (0.95, 0.8, 0.2),
    (0.35, 0.85, 0.35),
    (0.3, 0.65, 1.0),
    (0.75, 0.5, 1.0),
)
"""Of the wrist, the thumb and the fingers."""
DOT = 0.018
"""Size of an empty, in parts of the hand's."""


def add(
    name: str,
    view: View,
    rays: Floats,
    depth: float,
    context: bpy.types.Context,
    sigma: Floats | None = None,
    unknown: tuple[int, ...] = (),
) -> bpy.types.Object:
    """New empties where rays [21, 2] meet the plane at a depth before the camera, under one that returns.

    `sigma` [21]: noise of rays that were found in a picture. `unknown` joints are made hidden.
    """
    extent = float(np.ptp(rays, axis=0).max()) * depth
    root = bpy.data.objects.new(name, None)
    root.empty_display_type, root.empty_display_size = "PLAIN_AXES", 1e-3 * extent
    root[ROOT] = True
    made = [root]
    wrist = rays[0] * depth  # Blender draws a line from each joint to its parent: along the fingers, then
    for joint, (x, y) in enumerate(rays * depth - wrist):
        empty = bpy.data.objects.new(f"{name} {JOINTS[joint]}", None)
        empty.empty_display_type, empty.empty_display_size = "SPHERE", DOT * extent
        empty.show_in_front = True
        empty.color[:3] = COLOURS[finger(joint)]  # type: ignore[index]
        empty[JOINT] = joint
        if sigma is not None and np.isfinite(sigma[joint]):
            empty[FOUND], empty[SIGMA] = (float(x), float(y)), float(sigma[joint]) * depth
        empty.parent = root
        empty.location = (x, y, 0.0)
        for lock in ("lock_location", "lock_rotation", "lock_scale"):
            setattr(empty, lock, (lock != "lock_location",) * 2 + (True,))  # it stays in its plane
        made.append(empty)
    collection = context.collection or context.scene.collection
    for empty in made:
        collection.objects.link(empty)
    root.parent = view.camera
    root.matrix_world = view.matrix @ Matrix.Translation((*wrist, -depth))
    for joint in unknown:
        with suppress(RuntimeError):  # in a collection that is excluded from this view layer
            made[1 + joint].hide_set(True)
    return root


def finger(joint: int) -> int:
    """0 for the wrist, 1 for a joint of the thumb, to 5 for one of the pinky."""
    return 0 if joint == 0 else 1 + next(i for i, chain in enumerate(CHAINS) if joint in chain)
