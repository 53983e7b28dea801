"""What of a hand mesh is right: scene -> vertices in template order, NaN where they are missing."""

from __future__ import annotations

from dataclasses import dataclass

import bmesh
import bpy
import numpy as np
from numpy.typing import NDArray

from ..problems import Problem
from ..template import Template, template
from . import skin

ATTRIBUTE = "hhmr_vertex"
"""Integer point attribute: a vertex's number in the template."""
SIDE = "hhmr_side"
"""Custom property of the mesh: "right" or "left"."""

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class PartialHand:
    """The part of a hand to keep, in the object's own space."""

    vertices: Floats
    """[V, 3] in template order, NaN = missing."""
    side: str
    whole: bool
    """Whether the mesh still has every vertex of the template, so that it can take the shape keys itself."""
    kept: int
    """How many vertices are kept."""


def capture(ob: bpy.types.Object, keep: str, group: str = "") -> PartialHand:
    """Kept vertices of a hand as it looks now; `keep` is SELECTION, GROUP or REST.

    Raises Problem: not a hand, nothing kept, nothing missing, positions that are no numbers.
    """
    if ob.mode == "EDIT":
        ob.update_from_editmode()
    hand = template()
    ids, side = template_ids(ob, hand)
    positions = shape(ob)
    if not np.isfinite(positions).all():
        bad = int((~np.isfinite(positions).all(axis=1)).sum())
        raise Problem(
            "nan", f"{bad} vertices of '{ob.name}' have no position (NaN): delete them and try again."
        )
    kept = picked(ob, keep, group, whole=len(ids) == len(hand.vertices))
    if len(ids) == len(hand.vertices) and kept.all():
        raise Problem(
            "nothing_missing",
            "All of the hand would be kept, so nothing is left to complete: "
            "select only the part that is right, or delete the part that is wrong.",
        )
    vertices = np.full((len(hand.vertices), 3), np.nan, np.float32)
    vertices[ids[kept]] = positions[kept]
    return PartialHand(vertices, side, len(ids) == len(hand.vertices), int(kept.sum()))


def template_ids(ob: bpy.types.Object, hand: Template) -> tuple[Ints, str]:
    """Template number of every vertex [n], each at most once, and the side.

    Raises Problem where the mesh is no hand.
    """
    if ob.type != "MESH":
        raise Problem("not_a_hand", f"'{ob.name}' is not a mesh: select an HHMR hand, or add one.")
    mesh = ob.data
    assert isinstance(mesh, bpy.types.Mesh)
    count, wanted = len(mesh.vertices), len(hand.vertices)
    if count == 0 or len(mesh.polygons) == 0:
        raise Problem("no_faces", f"'{ob.name}' has no faces: add an HHMR hand and cut that instead.")
    if count > wanted:
        raise Problem(
            "changed_hand" if ATTRIBUTE in mesh.attributes else "not_a_hand",
            f"'{ob.name}' has {count:,} vertices and an HHMR hand has {wanted:,}: "
            "add an HHMR hand, and apply no subdivision or remesh to it.",
        )
    ids = _numbers(ob)
    if ids is None:
        return _ids_by_topology(ob, hand)
    if ids.min() < 0 or ids.max() >= wanted or len(np.unique(ids)) != count:
        raise Problem(
            "changed_hand",
            f"'{ob.name}' has vertices that the HHMR hand did not have (subdivided, extruded or joined?): "
            "undo that, or add a new HHMR hand.",
        )
    return ids, str(mesh.get(SIDE, "right"))


def shape(ob: bpy.types.Object) -> Floats:
    """Vertex positions [n, 3] in the object's space as they look now: with shape keys, without modifiers."""
    mesh = ob.data
    assert isinstance(mesh, bpy.types.Mesh)
    if mesh.shape_keys is None:
        return _read(mesh.vertices, len(mesh.vertices))
    blocks = mesh.shape_keys.key_blocks
    count = len(mesh.vertices)
    if ob.mode == "EDIT" or ob.show_only_shape_key:
        return _read(blocks[ob.active_shape_key_index or 0].points, count)
    return mix(ob)


def mix(ob: bpy.types.Object) -> Floats:
    """Vertex positions [n, 3] by the values of the shape keys, also while one of them is shown alone."""
    mesh = ob.data
    assert isinstance(mesh, bpy.types.Mesh)
    count = len(mesh.vertices)
    if mesh.shape_keys is None:
        return _read(mesh.vertices, count)
    mixed = _read(mesh.shape_keys.reference_key.points, count)
    for key in mesh.shape_keys.key_blocks:
        if key.mute or key.value == 0 or key == key.relative_key:
            continue
        offset = _read(key.points, count) - _read(key.relative_key.points, count)
        if key.vertex_group:
            offset *= weights(ob, key.vertex_group)[:, None]
        mixed += key.value * offset
    return mixed


def weights(ob: bpy.types.Object, group: str) -> Floats:
    """Weight [n] of every vertex in a vertex group, 0 where it is not in it."""
    mesh = ob.data
    assert isinstance(mesh, bpy.types.Mesh)
    return skin.weights(ob).of([ob.vertex_groups[group].index], len(mesh.vertices))


def _numbers(ob: bpy.types.Object) -> Ints | None:
    """The template's numbers [n]; None where there are none. In Edit Mode only bmesh can read them."""
    mesh = ob.data
    assert isinstance(mesh, bpy.types.Mesh)
    if ob.mode == "EDIT":
        edited = bmesh.from_edit_mesh(mesh).verts
        layer = edited.layers.int.get(ATTRIBUTE)
        return None if layer is None else np.array([vertex[layer] for vertex in edited], np.int32)
    attribute = mesh.attributes.get(ATTRIBUTE)
    if attribute is None or attribute.data_type != "INT" or attribute.domain != "POINT":
        return None
    ids = np.empty(len(mesh.vertices), np.int32)
    attribute.data.foreach_get("value", ids)
    return ids


def _read(points: bpy.types.bpy_prop_collection, count: int) -> Floats:
    flat = np.empty(3 * count, np.float32)
    points.foreach_get("co", flat)
    return flat.reshape(count, 3)


def _ids_by_topology(ob: bpy.types.Object, hand: Template) -> tuple[Ints, str]:
    """A mesh that lost its numbers (exported and imported) is known by the faces, in their order."""
    mesh = ob.data
    assert isinstance(mesh, bpy.types.Mesh)
    corners = np.empty(len(mesh.loops), np.int32)
    mesh.loops.foreach_get("vertex_index", corners)
    if len(mesh.vertices) == len(hand.vertices):
        for faces in (hand.quads, hand.faces):
            if corners.size != faces.size or len(mesh.polygons) != len(faces):
                continue
            for side in ("right", "left"):
                wound = faces if side == "right" else faces[:, ::-1]
                if _same_faces(corners.reshape(faces.shape), wound):
                    return np.arange(len(hand.vertices), dtype=np.int32), side
    raise Problem(
        "not_a_hand",
        f"'{ob.name}' is not an HHMR hand: add one with Add > Mesh > HHMR Hand, and work on that.",
    )


def _same_faces(a: Ints, b: Ints) -> bool:
    """Whether two lists of faces [F, k] are the same, wherever each face begins."""

    def start_at_smallest(faces: Ints) -> Ints:
        first = faces.argmin(axis=1)[:, None]
        return np.take_along_axis(faces, (first + np.arange(faces.shape[1])) % faces.shape[1], axis=1)

    return np.array_equal(start_at_smallest(a), start_at_smallest(b))


def picked(ob: bpy.types.Object, keep: str, group: str, whole: bool) -> Mask:
    """Which of the mesh's vertices are right, [n]; `whole`: an empty selection can't mean all of them."""
    mesh = ob.data
    assert isinstance(mesh, bpy.types.Mesh)
    count = len(mesh.vertices)
    if keep == "REST":
        return np.ones(count, bool)
    if keep == "GROUP":
        if group not in ob.vertex_groups:
            raise Problem("empty_group", f"'{ob.name}' has no vertex group '{group}': choose one to keep.")
        kept = weights(ob, group) > 0.5
        if not kept.any():
            raise Problem(
                "empty_group", f"The vertex group '{group}' holds no vertex with a weight above 0.5."
            )
        return kept
    kept = np.empty(count, bool)
    mesh.vertices.foreach_get("select", kept)
    if kept.any():
        return kept
    if whole:
        raise Problem(
            "empty_selection", "Nothing is selected: in Edit Mode, select the part of the hand that is right."
        )
    return np.ones(count, bool)  # a cut hand says by itself what is right
