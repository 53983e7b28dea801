"""Hand objects: the template, or a hypothesis of it, as a mesh that knows its vertices."""

from __future__ import annotations

import bmesh
import bpy
import numpy as np
from numpy.typing import NDArray

from ..capture.mesh import ATTRIBUTE, SIDE
from ..template import template

TEMPLATE = "hhmr_template"
"""Custom property of the mesh: the template's name."""


def add(
    name: str, side: str, collections: list[bpy.types.Collection], vertices: NDArray[np.float32] | None = None
) -> bpy.types.Object:
    """New hand object in quads, smooth, of a side; vertices [V, 3] in template order, else the rest pose."""
    hand = template()
    mesh = bpy.data.meshes.new(name)
    positions = hand.side_vertices(side) if vertices is None else vertices
    _fill(mesh, positions.tolist(), hand.side_quads(side).tolist())
    mesh[SIDE] = side
    mesh[TEMPLATE] = hand.name
    ob = bpy.data.objects.new(name, mesh)
    for collection in collections:
        collection.objects.link(ob)
    return ob


def _fill(mesh: bpy.types.Mesh, positions: list[list[float]], quads: list[list[int]]) -> None:
    """By bmesh: after from_pydata, Blender 5.0 holds a selection of edges that crashes whoever touches it."""
    built = bmesh.new()
    numbers = built.verts.layers.int.new(ATTRIBUTE)
    for number, position in enumerate(positions):
        built.verts.new(position)[numbers] = number
    built.verts.ensure_lookup_table()
    for quad in quads:
        built.faces.new([built.verts[i] for i in dict.fromkeys(quad)]).smooth = True  # corners once
    built.to_mesh(mesh)
    built.free()


def select_only(ob: bpy.types.Object, view_layer: bpy.types.ViewLayer) -> None:
    """Make an object the active and only selected one, where the view layer shows it."""
    for other in view_layer.objects.selected:
        other.select_set(False, view_layer=view_layer)
    try:
        ob.select_set(True, view_layer=view_layer)
    except RuntimeError:  # its collection is excluded from this view layer
        return
    view_layer.objects.active = ob
