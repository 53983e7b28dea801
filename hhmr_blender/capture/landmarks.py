"""Empties that the user puts on a hand's wrist and fingertips, where registration alone goes wrong."""

from __future__ import annotations

import bpy
from mathutils import Vector

JOINTS = {"wrist": 0, "thumb": 4, "index": 8, "middle": 12, "ring": 16, "pinky": 20}
"""Property of the mesh's object -> joint."""


def landmarks(ob: bpy.types.Object) -> dict[int, bpy.types.Object]:
    """Empties that are set for a mesh and still in a scene, by joint."""
    chosen = ob.hhmr_landmarks
    found = {joint: getattr(chosen, name) for name, joint in JOINTS.items()}
    return {joint: empty for joint, empty in found.items() if empty is not None and empty.users_scene}


def add(ob: bpy.types.Object, collections: list[bpy.types.Collection]) -> list[bpy.types.Object]:
    """New empties for the landmarks that are not set, in a row beside the mesh: not yet on the hand."""
    there = landmarks(ob)
    corners = [ob.matrix_world @ Vector(corner) for corner in ob.bound_box]
    low, high = ([pick(corner[i] for corner in corners) for i in range(3)] for pick in (min, max))
    extent = max(b - a for a, b in zip(low, high))
    made = []
    for i, (name, joint) in enumerate(JOINTS.items()):
        if joint in there:
            continue
        empty = bpy.data.objects.new(f"{ob.name} {name}", None)
        empty.empty_display_type, empty.empty_display_size = "SPHERE", 0.03 * extent
        empty.show_name = empty.show_in_front = True
        empty.location = (high[0] + 0.5 * extent, low[1] + 0.2 * i * extent, (low[2] + high[2]) / 2)
        for collection in collections:
            collection.objects.link(empty)
        setattr(ob.hhmr_landmarks, name, empty)
        made.append(empty)
    return made
