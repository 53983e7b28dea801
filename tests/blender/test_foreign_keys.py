"""The way back onto any mesh: shape keys that show what came, or whole hands beside it."""

from __future__ import annotations

import json

import bmesh
import bpy
import numpy as np
import pytest

from hhmr_blender.apply import shape_keys
from hhmr_blender.capture.mesh import mix, shape
from hhmr_blender.problems import Problem
from tests.blender.foreign_hands import (
    REQUEST,
    V,
    answer,
    bare_hand,
    bend,
    capture,
    keep_palm,
    names,
    place,
    plays_back,
    seen,
    world,
)
from tests.blender.skinned import evaluated, pose, skinned_hand


def test_keys_show_what_came_on_a_bare_mesh_wherever_it_stands() -> None:
    ob = bare_hand()
    parent = bpy.data.objects.new("parent", None)
    parent.rotation_euler, parent.scale = (1, 0.5, 0), (1, 2, 1)
    ob.parent, ob.location, ob.scale = parent, (0.1, 2, 0.3), (-1, 0.5, 1)
    keep_palm(ob)
    hand = capture(ob)
    ob.location = (5, 5, 5)  # moved meanwhile: the keys are the mesh's own
    bound = bend(hand)
    ob.location = (0.1, 2, 0.3)
    bpy.context.view_layer.update()
    plays_back(ob, hand, bound, atol=2e-6)


@pytest.mark.parametrize("preserve", [False, True])
@pytest.mark.parametrize("mirrored", [False, True])
def test_keys_play_back_right_in_the_pose_they_were_made_for(preserve: bool, mirrored: bool) -> None:
    ob, rig = skinned_hand()
    ob.modifiers[0].use_deform_preserve_volume = preserve
    rig.scale, rig.location = ((-1, 1, 1) if mirrored else (1.5, 1.5, 1.5)), (0.3, 0, 1)
    pose(rig, 3, 0.3)
    keep_palm(ob)
    hand = capture(ob)
    plays_back(ob, hand, bend(hand), atol=1e-5)


def test_what_is_kept_stays_to_the_bit() -> None:
    ob, rig = skinned_hand()
    pose(rig, 4)
    kept = keep_palm(ob)
    before = shape(ob)
    hand = capture(ob)
    place(ob, hand, answer(hand, bend(hand)))
    for entry in shape_keys.hypotheses(ob):
        shape_keys.show(ob, entry.name)
        np.testing.assert_array_equal(shape(ob)[kept], before[kept])
        assert np.abs(shape(ob)[~kept] - before[~kept]).max() > 0.01


def test_vertices_without_weights_and_crushed_ones_stay_finite() -> None:
    ob, rig = skinned_hand()
    kept = keep_palm(ob)
    pose(rig, 5)
    rig.pose.bones["mixamorig:RightHandIndex2"].scale = (0, 0, 0)
    for group in ob.vertex_groups:
        group.remove(list(range(20)))
    hand = capture(ob)
    bound = bend(hand)
    place(ob, hand, answer(hand, bound))
    at_rest = shape(ob)
    assert np.isfinite(at_rest).all() and np.abs(at_rest - mix(ob)).max() < 10
    np.testing.assert_array_equal(at_rest[kept], mix(ob)[kept])


def test_keys_come_on_top_of_those_that_are_mixed_now() -> None:
    """Both alone and by their values, and the user's own key goes on working."""
    ob, rig = skinned_hand()
    ob.shape_key_add(name="Basis")
    mine = ob.shape_key_add(name="smile", from_mix=False)
    moved = shape(ob) + np.random.default_rng(0).normal(0, 0.003, (V, 3))
    mine.points.foreach_set("co", moved.astype(np.float32).ravel())
    mine.value = 0.5
    pose(rig, 6, 0.3)
    keep_palm(ob)
    hand = capture(ob)
    bound = bend(hand)
    plays_back(ob, hand, bound, atol=1e-5)
    shape_keys.blend(ob, on=True)
    for i, entry in enumerate(shape_keys.hypotheses(ob)):
        for other in shape_keys.hypotheses(ob):
            ob.data.shape_keys.key_blocks[other.name].value = float(other.name == entry.name)
        np.testing.assert_allclose(world(ob, evaluated(ob)), bound[i] + hand.origin, atol=1e-5)
    assert names(ob)[:3] == ["Basis", "smile", shape_keys.BEFORE] and mine.value == 0.5
    shape_keys.blend(ob, on=False)
    shape_keys.remove(ob, [entry.name for entry in shape_keys.hypotheses(ob)])
    assert names(ob) == ["Basis", "smile"]


def test_a_second_request_begins_with_what_the_first_shows() -> None:
    ob = bare_hand()
    keep_palm(ob)
    hand = capture(ob)
    first = bend(hand)
    place(ob, hand, answer(hand, first))
    again = capture(ob)
    np.testing.assert_allclose(again.surface + again.origin, first[0] + hand.origin, atol=1e-6)
    place(ob, again, answer(again, bend(again)))
    assert len(shape_keys.hypotheses(ob)) == 3 and len(names(ob)) == 4


def test_fingers_that_are_missing_stand_beside_in_place() -> None:
    ob = bare_hand()
    ob.location, ob.rotation_euler, ob.scale = (1, 2, 3), (1, 0, 0.5), (2, 2, 2)
    keep_palm(ob)
    hand = capture(ob)
    arrays = answer(hand, bend(hand), gone=(2, 4))
    whole = place(ob, hand, arrays)
    assert whole != ob and names(ob) == [] and len(shape_keys.hypotheses(whole)) == 3
    np.testing.assert_allclose(whole.matrix_world, ob.matrix_world, atol=1e-6)
    for i, entry in enumerate(shape_keys.hypotheses(whole)):
        np.testing.assert_allclose(seen(whole, entry.name), arrays["vertices"][i] + hand.origin, atol=2e-6)
    # A millimetre in a space where the hand is as large as the template's, which the answer's is.
    assert shape_keys.hypotheses(whole)[0].residual_mm == pytest.approx(1.0, abs=0.01)


def test_beside_a_mirrored_and_sheared_mesh_stands_a_straight_hand() -> None:
    ob = bare_hand()
    ob.scale, ob.rotation_euler = (-1, 3, 0.5), (0.5, 0.5, 0.5)
    keep_palm(ob)
    hand = capture(ob)
    arrays = answer(hand, bend(hand), gone=(1,))
    whole = place(ob, hand, arrays)
    np.testing.assert_allclose(seen(whole, names(whole)[1]), arrays["vertices"][0] + hand.origin, atol=2e-6)
    assert whole.matrix_world.determinant() > 0


def test_nothing_missing_says_so_and_changes_nothing() -> None:
    ob = bare_hand()
    hand = capture(ob, "REST")
    with pytest.raises(Problem, match="nothing is left to complete"):
        place(ob, hand, answer(hand, bend(hand)))
    assert names(ob) == [] and len(bpy.data.objects) == 1


def test_cut_meanwhile_says_so_and_changes_nothing() -> None:
    ob = bare_hand()
    keep_palm(ob)
    hand = capture(ob)
    mesh = bmesh.new()
    mesh.from_mesh(ob.data)
    mesh.verts.ensure_lookup_table()
    bmesh.ops.delete(mesh, geom=[mesh.verts[3]], context="VERTS")
    mesh.to_mesh(ob.data)
    mesh.free()
    with pytest.raises(Problem) as caught:
        place(ob, hand, answer(hand, bend(hand)))
    assert caught.value.code == "target_changed" and names(ob) == []


def test_edit_mode_is_left_and_entered_again() -> None:
    ob = bare_hand()
    keep_palm(ob)
    bpy.ops.object.mode_set(mode="EDIT")
    hand = capture(ob)
    bound = bend(hand)
    place(ob, hand, answer(hand, bound))
    assert ob.mode == "EDIT" and len(names(ob)) == 4
    bpy.ops.object.mode_set(mode="OBJECT")
    np.testing.assert_allclose(shape(ob), bound[0] + hand.origin, atol=1e-6)


def test_a_mesh_of_two_objects() -> None:
    ob = bare_hand()
    twin = bpy.data.objects.new("twin", ob.data)
    bpy.context.collection.objects.link(twin)
    keep_palm(ob)
    hand = capture(ob)
    place(ob, hand, answer(hand, bend(hand)))
    assert len(names(ob)) == 4 and not twin.show_only_shape_key


def test_subdivision_goes_on_working() -> None:
    ob = bare_hand()
    ob.modifiers.new("Subdivision", "SUBSURF").levels = 1
    keep_palm(ob)
    hand = capture(ob)
    place(ob, hand, answer(hand, bend(hand)))
    first = evaluated(ob)
    shape_keys.show(ob, names(ob)[2])
    assert len(first) > 3 * V and np.abs(evaluated(ob) - first).max() > 0.01


def test_provenance_says_what_was_kept_and_survives() -> None:
    ob = bare_hand()
    keep_palm(ob)
    hand = capture(ob)
    place(ob, hand, answer(hand, bend(hand)))
    stored = json.loads(ob.data.shape_keys[shape_keys.PROVENANCE])
    assert stored["request"] == REQUEST and len(stored["hypotheses"]) == 3
