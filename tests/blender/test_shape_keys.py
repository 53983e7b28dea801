"""Hypotheses as shape keys: written, shown, kept, discarded, blended."""

from __future__ import annotations

import json

import bmesh
import bpy
import numpy as np
import pytest

from hhmr_blender.apply import result, shape_keys
from hhmr_blender.capture.mesh import shape
from hhmr_blender.problems import Problem
from hhmr_blender.session import Target
from hhmr_blender.template import template

REQUEST = {"task": "inpaint", "side": "right", "seed": 3, "count": 4}
ENGINE = {"engine": "0.1.0"}


def answer(count: int = 4, seed: int = 0) -> dict[str, np.ndarray]:
    """What an engine sends: hypotheses around the rest pose."""
    rng = np.random.default_rng(seed)
    base = template().vertices
    return {
        "vertices": (base + rng.normal(0, 0.002, (count, *base.shape))).astype(np.float32),
        "score": np.linspace(0.93, 0.5, count).astype(np.float32),
        "residual": np.full(count, 0.0004, np.float32),
        "self_intersection": np.full(count, 0.25, np.float32),
        "draw": np.arange(count, dtype=np.int32)[::-1].copy(),
    }


def on(ob: bpy.types.Object, kind: str = "KEYS") -> Target:
    return Target(kind, ob.matrix_world.copy(), ob.session_uid, ob.name)


def place(target: Target, arrays: dict[str, np.ndarray]) -> bpy.types.Object:
    return result.place(bpy.context, target, REQUEST, ENGINE, arrays)


def names(ob: bpy.types.Object) -> list[str]:
    return [key.name for key in ob.data.shape_keys.key_blocks] if ob.data.shape_keys else []


def test_keys_on_the_hand_itself(hand: bpy.types.Object) -> None:
    arrays = answer()
    assert place(on(hand), arrays) == hand
    assert names(hand) == ["Basis", "HHMR 1 (0.93)", "HHMR 2 (0.79)", "HHMR 3 (0.64)", "HHMR 4 (0.50)"]
    for key in list(hand.data.shape_keys.key_blocks)[1:]:
        assert (key.value, key.slider_min, key.slider_max) == (0, 0, 1)
    for i in range(4):
        bpy.ops.hhmr.show(name=names(hand)[1 + i])
        np.testing.assert_array_equal(shape(hand), arrays["vertices"][i])
        evaluated = hand.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
        seen = np.empty(3 * len(evaluated.vertices), np.float32)
        evaluated.vertices.foreach_get("co", seen)
        np.testing.assert_allclose(seen.reshape(-1, 3), arrays["vertices"][i], atol=1e-7)


def test_provenance_is_json_on_the_key(hand: bpy.types.Object) -> None:
    place(on(hand), answer())
    stored = json.loads(hand.data.shape_keys[shape_keys.PROVENANCE])
    assert stored["request"] == REQUEST and stored["engine"] == ENGINE
    assert stored["hypotheses"][0] == {
        "name": "HHMR 1 (0.93)",
        "score": 0.93,
        "residual_mm": 0.4,
        "self_intersection": 0.25,
        "draw": 3,
        "kept": False,
    }


def test_vertices_in_another_order_get_their_own_positions(hand: bpy.types.Object) -> None:
    order = np.random.default_rng(2).permutation(len(template().vertices))
    hand.data.attributes["hhmr_vertex"].data.foreach_set("value", order.astype(np.int32))
    arrays = answer()
    place(on(hand), arrays)
    np.testing.assert_array_equal(shape(hand), arrays["vertices"][0][order])


def test_the_users_keys_and_modifiers_stay(hand: bpy.types.Object) -> None:
    hand.shape_key_add(name="Basis")
    mine = hand.shape_key_add(name="smile", from_mix=False)
    mine.value, mine.slider_max = 0.25, 2
    hand.modifiers.new("s", "SUBSURF")
    place(on(hand), answer())
    assert names(hand)[:2] == ["Basis", "smile"] and len(names(hand)) == 6
    mine = hand.data.shape_keys.key_blocks["smile"]
    assert mine.value == pytest.approx(0.25) and mine.slider_max == 2
    assert hand.active_shape_key.name == "HHMR 1 (0.93)"


def test_new_request_replaces_what_is_not_kept(hand: bpy.types.Object) -> None:
    first = answer()
    place(on(hand), first)
    bpy.ops.hhmr.keep(name="HHMR 2 (0.79)")
    place(on(hand), answer(3, seed=1))
    assert names(hand)[1] == "HHMR 2 (0.79)" and len(names(hand)) == 5
    assert [entry.kept for entry in shape_keys.hypotheses(hand)] == [True, False, False, False]
    bpy.ops.hhmr.show(name="HHMR 2 (0.79)")
    np.testing.assert_array_equal(shape(hand), first["vertices"][1])


def test_discard_the_rest(hand: bpy.types.Object) -> None:
    place(on(hand), answer())
    bpy.ops.hhmr.show(name="HHMR 3 (0.64)")
    seen = shape(hand)
    assert bpy.ops.hhmr.discard_rest() == {"FINISHED"}
    assert names(hand) == ["Basis", "HHMR 3 (0.64)"]
    np.testing.assert_array_equal(shape(hand), seen)
    assert bpy.ops.hhmr.discard_rest() == {"CANCELLED"}


def test_discard_keeps_the_kept_and_shows_one_of_them(hand: bpy.types.Object) -> None:
    hand.shape_key_add(name="Basis")
    hand.shape_key_add(name="mine")
    place(on(hand), answer())
    bpy.ops.hhmr.keep(name="HHMR 2 (0.79)")
    bpy.ops.hhmr.keep(name="HHMR 4 (0.50)")
    bpy.ops.hhmr.keep(name="HHMR 4 (0.50)")
    bpy.ops.hhmr.discard_rest()
    assert names(hand) == ["Basis", "mine", "HHMR 2 (0.79)"]
    assert hand.active_shape_key.name == "HHMR 2 (0.79)" and hand.show_only_shape_key


def test_blend_mixes_from_what_is_shown(hand: bpy.types.Object) -> None:
    arrays = answer()
    place(on(hand), arrays)
    bpy.ops.hhmr.show(name="HHMR 2 (0.79)")
    bpy.ops.hhmr.blend()
    np.testing.assert_allclose(shape(hand), arrays["vertices"][1], atol=1e-6)
    keys = hand.data.shape_keys.key_blocks
    keys["HHMR 2 (0.79)"].value = keys["HHMR 1 (0.93)"].value = 0.5
    np.testing.assert_allclose(shape(hand), arrays["vertices"][:2].mean(axis=0), atol=1e-6)
    bpy.ops.hhmr.blend()
    assert hand.show_only_shape_key and keys["HHMR 1 (0.93)"].value == 0


def test_a_renamed_key_is_the_users_own(hand: bpy.types.Object) -> None:
    place(on(hand), answer())
    hand.data.shape_keys.key_blocks["HHMR 2 (0.79)"].name = "fist"
    bpy.ops.hhmr.show(name="HHMR 1 (0.93)")
    bpy.ops.hhmr.discard_rest()
    assert names(hand) == ["Basis", "HHMR 1 (0.93)", "fist"]


def test_edit_mode_is_left_and_entered_again(hand: bpy.types.Object) -> None:
    bpy.ops.object.mode_set(mode="EDIT")
    arrays = answer()
    place(on(hand), arrays)
    assert hand.mode == "EDIT"
    edited = np.array([vertex.co[:] for vertex in bmesh.from_edit_mesh(hand.data).verts])
    np.testing.assert_allclose(edited, arrays["vertices"][0], atol=1e-7)
    bpy.ops.object.mode_set(mode="OBJECT")
    bpy.ops.hhmr.show(name="HHMR 4 (0.50)")
    np.testing.assert_array_equal(shape(hand), arrays["vertices"][3])


def test_what_was_edited_is_not_lost(hand: bpy.types.Object) -> None:
    bpy.ops.object.mode_set(mode="EDIT")
    mesh = bmesh.from_edit_mesh(hand.data)
    mesh.verts.ensure_lookup_table()
    mesh.verts[3].co.z = 9
    bmesh.update_edit_mesh(hand.data)
    place(on(hand), answer())
    assert hand.data.shape_keys.key_blocks["Basis"].points[3].co.z == 9


def test_shared_mesh_changes_for_the_target_only(hand: bpy.types.Object) -> None:
    twin = bpy.data.objects.new("twin", hand.data)
    bpy.context.collection.objects.link(twin)
    arrays = answer()
    place(on(hand), arrays)
    np.testing.assert_allclose(shape(twin), template().vertices, atol=1e-7)
    np.testing.assert_array_equal(shape(hand), arrays["vertices"][0])


def test_cut_hand_gets_a_whole_one_beside_it(hand: bpy.types.Object) -> None:
    hand.matrix_world = ((0, -2, 0, 1), (2, 0, 0, 2), (0, 0, 2, 3), (0, 0, 0, 1))
    bpy.context.view_layer.update()
    other = bpy.data.collections.new("hands")
    bpy.context.scene.collection.children.link(other)
    other.objects.link(hand)
    bpy.context.scene.collection.objects.unlink(hand)
    mesh = bmesh.new()
    mesh.from_mesh(hand.data)
    bmesh.ops.delete(mesh, geom=[v for v in mesh.verts if v.co.y > 0.12], context="VERTS")
    mesh.to_mesh(hand.data)
    left = len(hand.data.vertices)
    bpy.ops.object.mode_set(mode="EDIT")
    arrays = answer()
    whole = place(on(hand, "BESIDE"), arrays)
    assert whole != hand and bpy.context.object == whole and whole.select_get() and not hand.select_get()
    assert whole.mode == hand.mode == "OBJECT" and whole.users_collection == (other,)
    assert len(hand.data.vertices) == left and names(hand) == []
    np.testing.assert_allclose(whole.matrix_world, hand.matrix_world, atol=1e-6)
    np.testing.assert_array_equal(shape(whole), arrays["vertices"][0])


def test_left_result_is_a_left_hand() -> None:
    arrays = answer()
    arrays["vertices"] = arrays["vertices"] * np.float32([-1, 1, 1])
    request = {**REQUEST, "side": "left"}
    target = Target("FREE", bpy.context.scene.cursor.matrix.copy())
    ob = result.place(bpy.context, target, request, ENGINE, arrays)
    assert ob.data["hhmr_side"] == "left"
    palm = max(ob.data.polygons, key=lambda face: face.center.z)
    assert palm.normal.z > 0


def snapshot() -> dict:
    return {
        ob.name: (names(ob), ob.mode, len(ob.data.vertices), ob.show_only_shape_key)
        for ob in bpy.data.objects
        if ob.type == "MESH"
    }


def refused(target: Target, arrays: dict[str, np.ndarray]) -> str:
    before = snapshot()
    with pytest.raises(Problem) as caught:
        place(target, arrays)
    assert snapshot() == before
    return caught.value.code


def test_target_that_is_gone(hand: bpy.types.Object) -> None:
    for kind in ("KEYS", "BESIDE"):
        target = on(hand, kind)
        copy = hand.copy()
        gone = Target(kind, target.matrix, copy.session_uid, copy.name)
        bpy.data.objects.remove(copy)
        assert refused(gone, answer()) == "target_gone"


def test_target_that_is_renamed_is_found(hand: bpy.types.Object) -> None:
    target = on(hand)
    hand.name = "other"
    assert place(target, answer()).name == "other"


def test_target_that_was_cut_meanwhile(hand: bpy.types.Object) -> None:
    target = on(hand)
    mesh = bmesh.new()
    mesh.from_mesh(hand.data)
    bmesh.ops.delete(mesh, geom=[v for v in mesh.verts if v.co.y > 0.12], context="VERTS")
    mesh.to_mesh(hand.data)
    assert refused(target, answer()) == "target_changed"


def test_linked_target(hand: bpy.types.Object, tmp_path) -> None:
    library = str(tmp_path / "library.blend")
    bpy.data.libraries.write(library, {hand})
    with bpy.data.libraries.load(library, link=True) as (there, here):
        here.objects = there.objects
    (linked,) = here.objects
    bpy.context.collection.objects.link(linked)
    assert refused(on(linked), answer()) == "linked"
    local = bpy.data.objects.new("local", linked.data)
    bpy.context.collection.objects.link(local)
    assert refused(on(local), answer()) == "linked"


def test_answers_that_are_no_hand(hand: bpy.types.Object) -> None:
    broken = answer()
    broken["vertices"][2, 5, 1] = np.nan
    assert refused(on(hand), broken) == "internal"
    short = answer()
    short["vertices"] = short["vertices"][:, :100]
    assert refused(on(hand), short) == "internal"


def test_damaged_provenance_is_no_error(hand: bpy.types.Object) -> None:
    place(on(hand), answer())
    for text in ("{", "[]", '{"hypotheses": [{"name": 1}]}'):
        hand.data.shape_keys[shape_keys.PROVENANCE] = text
        assert shape_keys.hypotheses(hand) == []
    place(on(hand), answer())
    assert len(shape_keys.hypotheses(hand)) == 4
