"""Any mesh: what is taken for the hand and what of it is kept, and what is no hand."""

from __future__ import annotations

from pathlib import Path

import bmesh
import bpy
import numpy as np
import pytest

from hhmr_blender.capture import foreign
from hhmr_blender.capture.mesh import shape
from hhmr_blender.template import template
from tests.blender.foreign_hands import (
    V,
    bare_hand,
    capture,
    keep_palm,
    linked,
    problem_of,
    world,
)


def test_a_mesh_is_taken_as_the_world_sees_it() -> None:
    ob = bare_hand()
    ob.location, ob.rotation_euler, ob.scale = (1, 2, 3), (0.4, 1, 2), (2, 3, 0.5)
    kept = keep_palm(ob)
    hand = capture(ob)
    np.testing.assert_allclose(hand.surface + hand.origin, world(ob, shape(ob)), atol=1e-6)
    np.testing.assert_array_equal(hand.keep, kept)
    assert hand.side == "auto" and hand.joints is None and not hand.alone
    assert len(hand.triangles) == 2 * len(template().quads)


def volume(hand: foreign.ForeignHand) -> float:
    a, b, c = np.moveaxis(hand.surface[hand.triangles].astype(float), 1, 0)
    return float(np.einsum("ni,ni->n", a, np.cross(b, c)).sum())


def test_a_mirrored_object_is_wound_as_the_world_sees_it() -> None:
    ob = bare_hand()
    keep_palm(ob)
    whole = volume(capture(ob))
    ob.scale = (-1, 1, 1)
    assert volume(capture(ob)) == pytest.approx(whole, rel=1e-4)


def test_faces_of_many_corners() -> None:
    bpy.ops.mesh.primitive_cylinder_add(vertices=32, end_fill_type="NGON")
    hand = capture(bpy.context.object, "REST")
    assert len(hand.triangles) == 2 * 32 + 2 * 30 and hand.keep.all()


def test_modifiers_that_make_vertices_are_left_out() -> None:
    ob = bare_hand()
    ob.modifiers.new("Subdivision", "SUBSURF")
    ob.modifiers.new("Mirror", "MIRROR")
    ob.modifiers.new("Solidify", "SOLIDIFY")
    keep_palm(ob)
    assert len(capture(ob).surface) == V


def test_shape_keys_as_they_are_mixed() -> None:
    ob = bare_hand()
    ob.shape_key_add(name="Basis")
    key = ob.shape_key_add(name="mine")
    key.points[7].co.z += 1
    key.value = 0.5
    keep_palm(ob)
    hand = capture(ob)
    assert (hand.surface + hand.origin)[7, 2] == pytest.approx(ob.data.vertices[7].co.z + 0.5, abs=1e-5)


def test_edit_mode_sees_selection_and_what_was_just_moved() -> None:
    ob = bare_hand()
    bpy.ops.object.mode_set(mode="EDIT")
    edited = bmesh.from_edit_mesh(ob.data)
    edited.select_mode = {"VERT"}
    edited.verts.ensure_lookup_table()
    for vertex in edited.verts:
        vertex.select = vertex.co.y < 0.1
    edited.verts[7].co.z += 0.5
    edited.select_flush_mode()
    bmesh.update_edit_mesh(ob.data)
    hand = capture(ob)
    assert ob.mode == "EDIT"
    np.testing.assert_array_equal(hand.keep, shape(ob)[:, 1] < 0.1)
    assert (hand.surface + hand.origin)[7, 2] == pytest.approx(shape(ob)[7, 2], abs=1e-6)


def test_an_empty_selection_means_all_there_is() -> None:
    assert capture(bare_hand()).keep.all()


def test_vertex_group() -> None:
    ob = bare_hand()
    ob.vertex_groups.new(name="good").add(list(range(400)), 1.0, "REPLACE")
    assert capture(ob, "GROUP", "good").keep.sum() == 400
    assert problem_of(ob, "GROUP", "nowhere") == "empty_group"


# ---------------------------------------------------------------- what is no hand


def test_no_faces_and_too_few_vertices() -> None:
    mesh = bpy.data.meshes.new("points")
    mesh.from_pydata([(0, 0, i) for i in range(50)], [], [])
    assert problem_of(linked(mesh)) == "no_faces"
    bpy.ops.mesh.primitive_plane_add()
    assert problem_of(bpy.context.object) == "no_faces"
    bpy.ops.object.empty_add()
    assert problem_of(bpy.context.object) == "not_a_hand"


def test_positions_that_are_no_numbers() -> None:
    ob = bare_hand()
    kept = keep_palm(ob)
    ob.data.vertices[int(np.flatnonzero(kept)[0])].co.x = float("nan")
    assert problem_of(ob) == "nan"
    assert problem_of(ob, "REST") == "nan"


def test_scaled_to_nothing() -> None:
    ob = bare_hand()
    ob.scale = (1, 0, 1)
    assert problem_of(ob) == "flat"


def test_linked_meshes_are_refused_before_anything_is_asked(tmp_path: Path) -> None:
    ob = bare_hand()
    name = ob.name
    library = tmp_path / "library.blend"
    bpy.data.libraries.write(str(library), {ob})
    bpy.data.objects.remove(ob)
    with bpy.data.libraries.load(str(library), link=True) as (_, wanted):
        wanted.objects = [name]
    linked_ob = wanted.objects[0]
    for ob in (linked_ob, linked_ob.override_create()):
        bpy.context.collection.objects.link(ob)
        bpy.context.view_layer.objects.active = ob
        with pytest.raises(RuntimeError, match="linked from a library"):
            bpy.ops.hhmr.complete(keep="REST")


def test_two_million_vertices_are_taken_and_one_more_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    mesh = bpy.data.meshes.new("scan")
    columns = 1000
    grid = np.stack(np.meshgrid(np.arange(columns), np.arange(columns), [0]), axis=-1).reshape(-1, 3)
    mesh.vertices.add(len(grid))
    mesh.vertices.foreach_set("co", (grid / 5000).astype(np.float32).ravel())
    corner = (np.arange(columns - 1) + columns * np.arange(columns - 1)[:, None]).reshape(-1, 1)
    quads = (corner + [0, 1, columns + 1, columns]).astype(np.int32)
    mesh.loops.add(quads.size)
    mesh.loops.foreach_set("vertex_index", quads.ravel())
    mesh.polygons.add(len(quads))
    mesh.polygons.foreach_set("loop_start", np.arange(0, quads.size, 4, dtype=np.int32))
    mesh.update(calc_edges=True)
    ob = bpy.data.objects.new("scan", mesh)
    bpy.context.collection.objects.link(ob)
    hand = capture(ob, "REST")
    assert len(hand.surface) == len(grid) and len(hand.triangles) == 2 * len(quads)
    monkeypatch.setattr(foreign, "MOST", len(grid) - 1)
    assert problem_of(ob, "REST") == "too_large"
