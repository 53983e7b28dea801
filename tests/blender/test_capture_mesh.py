"""What of a hand is kept, and which meshes are no hand."""

from __future__ import annotations

import bmesh
import bpy
import numpy as np
import pytest

from hhmr_blender.capture.mesh import ATTRIBUTE, capture, shape
from hhmr_blender.problems import Problem
from hhmr_blender.template import template


def select(ob: bpy.types.Object, chosen: np.ndarray) -> None:
    for domain in (ob.data.edges, ob.data.polygons):
        domain.foreach_set("select", np.zeros(len(domain), bool))
    ob.data.vertices.foreach_set("select", chosen)


def fingers(ob: bpy.types.Object) -> np.ndarray:
    """Vertices beyond the knuckles."""
    return shape(ob)[:, 1] > 0.11


def cut(ob: bpy.types.Object, gone: np.ndarray) -> None:
    mesh = bmesh.new()
    mesh.from_mesh(ob.data)
    mesh.verts.ensure_lookup_table()
    bmesh.ops.delete(mesh, geom=[mesh.verts[int(i)] for i in np.flatnonzero(gone)], context="VERTS")
    mesh.to_mesh(ob.data)
    mesh.free()


def problem_of(ob: bpy.types.Object, keep: str = "REST", group: str = "") -> str:
    with pytest.raises(Problem) as caught:
        capture(ob, keep, group)
    assert caught.value.text[0].isupper() or caught.value.text[0] in "'0123456789"
    return caught.value.code


def test_selection_in_edit_mode_is_kept(hand: bpy.types.Object) -> None:
    bpy.ops.object.mode_set(mode="EDIT")
    mesh = bmesh.from_edit_mesh(hand.data)
    mesh.select_mode = {"VERT"}
    for vertex in mesh.verts:
        vertex.select = vertex.co.y < 0.1
    mesh.select_flush_mode()
    bmesh.update_edit_mesh(hand.data)
    part = capture(hand, "SELECTION")
    assert hand.mode == "EDIT"
    known = np.isfinite(part.vertices).all(axis=1)
    assert part.whole and part.side == "right"
    np.testing.assert_array_equal(known, template().vertices[:, 1] < 0.1)
    np.testing.assert_allclose(part.vertices[known], template().vertices[known], atol=1e-7)


def test_edit_mode_sees_what_was_just_moved(hand: bpy.types.Object) -> None:
    bpy.ops.object.mode_set(mode="EDIT")
    mesh = bmesh.from_edit_mesh(hand.data)
    mesh.verts.ensure_lookup_table()
    mesh.select_mode = {"VERT"}
    for vertex in mesh.verts:
        vertex.select = vertex.index == 7
    mesh.verts[7].co.z += 0.5
    bmesh.update_edit_mesh(hand.data)
    part = capture(hand, "SELECTION")
    assert part.kept == 1
    assert part.vertices[7, 2] == pytest.approx(template().vertices[7, 2] + 0.5)


def test_vertex_group_is_kept_above_half_a_weight(hand: bpy.types.Object) -> None:
    group = hand.vertex_groups.new(name="good")
    group.add(list(range(100)), 1.0, "REPLACE")
    group.add([100], 0.4, "REPLACE")
    part = capture(hand, "GROUP", "good")
    assert part.kept == 100 and np.isfinite(part.vertices[:100]).all() and np.isnan(part.vertices[100:]).all()


def test_cut_hand_still_knows_its_vertices(hand: bpy.types.Object) -> None:
    gone = fingers(hand)
    cut(hand, gone)
    for keep in ("REST", "SELECTION"):
        select(hand, np.zeros(len(hand.data.vertices), bool))
        part = capture(hand, keep)
        assert not part.whole and part.kept == (~gone).sum()
        np.testing.assert_array_equal(np.isnan(part.vertices).any(axis=1), gone)
        np.testing.assert_allclose(part.vertices[~gone], template().vertices[~gone], atol=1e-7)


def test_left_hand_is_the_mirror_with_normals_outward() -> None:
    bpy.ops.hhmr.add_hand(side="LEFT")
    left = bpy.context.object
    bpy.ops.hhmr.add_hand(side="RIGHT")
    right = bpy.context.object
    np.testing.assert_allclose(shape(left) * [-1, 1, 1], shape(right), atol=1e-7)
    select(left, ~fingers(left))
    assert capture(left, "SELECTION").side == "left"
    for one, sign in ((left, -1), (right, 1)):
        normals = np.array([p.normal[:] for p in one.data.polygons]) * [sign, 1, 1]
        centres = np.array([p.center[:] for p in one.data.polygons]) * [sign, 1, 1]
        back = centres[:, 2].argmax()
        assert normals[back, 2] > 0
    assert all(p.use_smooth for p in left.data.polygons)


def test_shape_is_what_the_eye_sees(hand: bpy.types.Object) -> None:
    """As the depsgraph evaluates it: values, muted keys, relative keys, vertex groups, only one shown."""
    rng = np.random.default_rng(1)
    hand.shape_key_add(name="Basis")
    for name, value in (("a", 0.7), ("b", -0.2), ("muted", 1.0), ("masked", 0.5)):
        key = hand.shape_key_add(name=name, from_mix=False)
        moved = template().vertices + rng.normal(0, 0.01, template().vertices.shape)
        key.points.foreach_set("co", moved.astype(np.float32).ravel())
        key.slider_min, key.value = -1, value
    keys = hand.data.shape_keys.key_blocks
    keys["muted"].mute = True
    keys["b"].relative_key = keys["a"]
    hand.vertex_groups.new(name="half").add(list(range(800)), 0.5, "REPLACE")
    keys["masked"].vertex_group = "half"
    for only in (False, True):
        hand.show_only_shape_key = only
        hand.active_shape_key_index = 2
        evaluated = hand.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
        seen = np.empty(3 * len(evaluated.vertices), np.float32)
        evaluated.vertices.foreach_get("co", seen)
        np.testing.assert_allclose(shape(hand), seen.reshape(-1, 3), atol=1e-6)


def test_topology_tells_a_hand_that_lost_its_numbers(hand: bpy.types.Object) -> None:
    for side in ("RIGHT", "LEFT"):
        bpy.ops.hhmr.add_hand(side=side)
        ob = bpy.context.object
        ob.data.attributes.remove(ob.data.attributes[ATTRIBUTE])
        del ob.data["hhmr_side"]
        select(ob, ~fingers(ob))
        assert capture(ob, "SELECTION").side == side.lower()


def test_cube_is_no_hand() -> None:
    bpy.ops.mesh.primitive_cube_add()
    assert problem_of(bpy.context.object) == "not_a_hand"


def test_other_mesh_of_as_many_vertices_is_no_hand(hand: bpy.types.Object) -> None:
    mesh = bpy.data.meshes.new("shuffled")
    order = np.random.default_rng(0).permutation(len(template().vertices))
    mesh.from_pydata(template().vertices.tolist(), [], order[template().quads].tolist())
    assert problem_of(bpy.data.objects.new("shuffled", mesh)) == "not_a_hand"


def test_no_mesh_at_all() -> None:
    bpy.ops.object.empty_add()
    assert problem_of(bpy.context.object) == "not_a_hand"


def test_nothing_selected(hand: bpy.types.Object) -> None:
    select(hand, np.zeros(len(hand.data.vertices), bool))
    assert problem_of(hand, "SELECTION") == "empty_selection"


def test_everything_kept(hand: bpy.types.Object) -> None:
    assert problem_of(hand, "REST") == "nothing_missing"


def test_group_that_is_missing_or_empty(hand: bpy.types.Object) -> None:
    assert problem_of(hand, "GROUP", "nowhere") == "empty_group"
    hand.vertex_groups.new(name="empty")
    assert problem_of(hand, "GROUP", "empty") == "empty_group"


def test_positions_that_are_no_numbers(hand: bpy.types.Object) -> None:
    hand.data.vertices[5].co.x = float("nan")
    select(hand, ~fingers(hand))
    assert problem_of(hand, "SELECTION") == "nan"


def test_no_faces(hand: bpy.types.Object) -> None:
    mesh = bpy.data.meshes.new("points")
    mesh.from_pydata([(0, 0, 0)] * 5, [], [])
    assert problem_of(bpy.data.objects.new("points", mesh)) == "no_faces"
    assert problem_of(bpy.data.objects.new("nothing", bpy.data.meshes.new("nothing"))) == "no_faces"


def test_a_million_vertices_are_refused_at_once() -> None:
    mesh = bpy.data.meshes.new("huge")
    mesh.vertices.add(1_000_000)
    mesh.loops.add(3)
    mesh.loops.foreach_set("vertex_index", [0, 1, 2])
    mesh.polygons.add(1)
    mesh.polygons.foreach_set("loop_start", [0])
    assert problem_of(bpy.data.objects.new("huge", mesh)) == "not_a_hand"


def test_extruded_and_subdivided_hands_say_so(hand: bpy.types.Object) -> None:
    mesh = bmesh.new()
    mesh.from_mesh(hand.data)
    bmesh.ops.subdivide_edges(mesh, edges=mesh.edges[:], cuts=1)
    mesh.to_mesh(hand.data)
    mesh.free()
    assert problem_of(hand) == "changed_hand"


def test_doubled_numbers_say_so(hand: bpy.types.Object) -> None:
    cut(hand, fingers(hand))
    hand.data.attributes[ATTRIBUTE].data[0].value = hand.data.attributes[ATTRIBUTE].data[1].value
    assert problem_of(hand) == "changed_hand"
