"""Hands of any mesh: what is taken for the hand and what of it is kept, and the way back onto it."""

from __future__ import annotations

import json
from pathlib import Path

import bmesh
import bpy
import numpy as np
import pytest
from mathutils import Matrix

from hhmr_blender.apply import result, shape_keys
from hhmr_blender.capture import armature, foreign, landmarks
from hhmr_blender.capture.mesh import mix, shape
from hhmr_blender.problems import MENDS, Problem
from hhmr_blender.session import Target
from hhmr_blender.template import fingers, template
from tests.blender.skinned import evaluated, pose, select, skinned_hand
from tests.blender.test_panels import drawn

V = len(template().vertices)
REQUEST = {"task": "inpaint", "side": "right", "seed": 3, "count": 3}


def capture(
    ob: bpy.types.Object, keep: str = "SELECTION", group: str = "", side: str = "AUTO"
) -> foreign.ForeignHand:
    bpy.context.view_layer.update()
    return foreign.capture(ob, keep, group, side, landmarks.landmarks(ob))


def problem_of(ob: bpy.types.Object, keep: str = "SELECTION", group: str = "") -> str:
    with pytest.raises(Problem) as caught:
        capture(ob, keep, group)
    assert caught.value.text[0].isupper() or caught.value.text[0] in "'0123456789"
    return caught.value.code


def bare_hand() -> bpy.types.Object:
    """A hand whose vertices and faces are numbered anew: nobody knows it by its topology."""
    order = np.random.default_rng(5).permutation(V)
    place = np.argsort(order)
    mesh = bpy.data.meshes.new("scan")
    mesh.from_pydata(template().vertices[order].tolist(), [], place[template().quads].tolist())
    built = bmesh.new()  # what from_pydata leaves of a selection crashes Blender 5.0
    built.from_mesh(mesh)
    mesh = bpy.data.meshes.new("scan")
    built.to_mesh(mesh)
    built.free()
    return linked(mesh)


def linked(mesh: bpy.types.Mesh) -> bpy.types.Object:
    ob = bpy.data.objects.new(mesh.name, mesh)
    bpy.context.collection.objects.link(ob)
    bpy.context.view_layer.objects.active = ob
    select(ob, np.zeros(len(mesh.vertices), bool))
    return ob


def world(ob: bpy.types.Object, points: np.ndarray) -> np.ndarray:
    matrix = np.array(ob.matrix_world, dtype=float)
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def keep_palm(ob: bpy.types.Object) -> np.ndarray:
    chosen = shape(ob)[:, 1] < 0.1
    select(ob, chosen)
    return chosen


def bend(hand: foreign.ForeignHand, count: int = 3) -> np.ndarray:
    """Hypotheses of a surface: what is not kept is turned about, twisted and shifted, each in its own way."""
    rng = np.random.default_rng(1)
    bound = np.repeat(hand.surface[None], count, axis=0)
    for one in bound:
        turn = np.array(Matrix.Rotation(rng.uniform(-1, 1), 3, rng.normal(size=3).tolist()))
        one[~hand.keep] = one[~hand.keep] @ turn.T + rng.normal(0, 0.02, 3)
    return bound.astype(np.float32)


def answer(hand: foreign.ForeignHand, bound: np.ndarray, gone: tuple[int, ...] = ()) -> dict[str, np.ndarray]:
    """What an engine sends; of `gone` fingers the surface is not there."""
    n = len(bound)
    vertices = np.tile(template().vertices, (n, 1, 1)) + np.arange(n, dtype=np.float32)[:, None, None] * 1e-3
    covered = np.ones(V, bool)
    for finger in gone:
        covered[fingers()[finger]] = False
    return {
        "vertices": vertices,
        "joints": (template().regressor @ vertices).astype(np.float32),
        "bound": bound,
        "covered": covered,
        "score": np.linspace(0.9, 0.5, n).astype(np.float32),
        "residual": np.full(n, 0.001, np.float32),
        "self_intersection": np.zeros(n, np.float32),
        "draw": np.arange(n, dtype=np.int32),
    }


def place(ob: bpy.types.Object, hand: foreign.ForeignHand, arrays: dict[str, np.ndarray]) -> bpy.types.Object:
    target = Target("SURFACE", Matrix(), ob.session_uid, ob.name, hand=hand)
    return result.place(bpy.context, target, REQUEST, {}, arrays)


def names(ob: bpy.types.Object) -> list[str]:
    return [key.name for key in ob.data.shape_keys.key_blocks] if ob.data.shape_keys else []


def seen(ob: bpy.types.Object, name: str) -> np.ndarray:
    """What Blender shows of a hypothesis, in the world."""
    shape_keys.show(ob, name)
    return world(ob, evaluated(ob))


def plays_back(ob: bpy.types.Object, hand: foreign.ForeignHand, bound: np.ndarray, atol: float) -> None:
    before = world(ob, evaluated(ob))
    assert place(ob, hand, answer(hand, bound)) == ob
    rest = np.ones(hand.count, bool)
    rest[hand.chosen] = False
    for i, entry in enumerate(shape_keys.hypotheses(ob)):
        now = seen(ob, entry.name)
        np.testing.assert_allclose(now[hand.chosen], bound[i] + hand.origin, atol=atol)
        np.testing.assert_allclose(now[rest], before[rest], atol=1e-6)


# ---------------------------------------------------------------- what is taken


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


# ---------------------------------------------------------------- which piece is the hand


def join(*objects: bpy.types.Object) -> bpy.types.Object:
    for ob in bpy.context.selected_objects:
        ob.select_set(False)
    for ob in objects:
        ob.select_set(True)
    bpy.context.view_layer.objects.active = objects[0]
    bpy.ops.object.join()
    return objects[0]


def ball(radius: float, place: tuple[float, float, float]) -> bpy.types.Object:
    bpy.ops.mesh.primitive_ico_sphere_add(subdivisions=2, radius=radius, location=place)
    return bpy.context.object


def test_nails_and_rings_go_with_the_hand_and_what_is_elsewhere_does_not() -> None:
    ob = bare_hand()
    middle = template().regressor @ template().vertices
    nail = ball(0.008, tuple(middle[12]))
    nail.name = "nail"
    small = len(nail.data.vertices)
    lamp = ball(0.01, (2, 0, 0))
    far = len(lamp.data.vertices)
    join(ob, nail, lamp)
    select(ob, np.arange(V + small + far) < 300)
    chosen = capture(ob).chosen
    np.testing.assert_array_equal(chosen, np.arange(V + small))


def test_vertices_that_importers_split_still_hang_together() -> None:
    ob = bare_hand()
    edges = [edge for edge in ob.data.edges if abs(shape(ob)[list(edge.vertices), 1] - 0.12).min() < 0.004]
    split = bmesh.new()
    split.from_mesh(ob.data)
    split.edges.ensure_lookup_table()
    bmesh.ops.split_edges(split, edges=[split.edges[edge.index] for edge in edges])
    split.to_mesh(ob.data)
    split.free()
    assert len(ob.data.vertices) > V + 50
    select(ob, np.arange(len(ob.data.vertices)) < 300)
    assert len(capture(ob).chosen) == len(ob.data.vertices)


def test_of_two_hands_without_bones_the_one_that_is_selected() -> None:
    other = bare_hand()
    other.data.transform(Matrix.Translation((0.5, 0, 0)))
    ob = join(bare_hand(), other)
    select(ob, np.zeros(2 * V, bool))
    assert problem_of(ob) == "two_parts"
    select(ob, np.arange(2 * V) >= V + 100)
    np.testing.assert_array_equal(capture(ob).chosen, np.arange(V, 2 * V))


def test_on_a_whole_body_what_is_kept_is_taken_alone_unless_the_rest_is_hidden() -> None:
    hand = bare_hand()
    body = ball(1.0, (0, -1.0, 0))
    ob = join(hand, body)
    bpy.ops.object.mode_set(mode="EDIT")  # one piece: bridge the two by a face
    edited = bmesh.from_edit_mesh(ob.data)
    edited.verts.ensure_lookup_table()
    edited.faces.new([edited.verts[0], edited.verts[V], edited.verts[V + 1]])
    bmesh.update_edit_mesh(ob.data)
    bpy.ops.object.mode_set(mode="OBJECT")
    count = len(ob.data.vertices)
    kept = (np.arange(count) < V) & (shape(ob)[:, 1] < 0.1)
    select(ob, kept)
    found = capture(ob)
    assert found.alone and found.keep.all() and len(found.chosen) == kept.sum()
    ob.data.vertices.foreach_set("hide", np.arange(count) >= V)
    found = capture(ob)
    assert not found.alone and len(found.chosen) == V and found.keep.sum() == kept.sum()


# ---------------------------------------------------------------- on an armature


def test_of_a_character_the_hand_with_its_joints() -> None:
    ob, rig = skinned_hand()
    torso = ball(0.6, (0, -1.5, 0))
    torso.vertex_groups.new(name="spine").add(list(range(len(torso.data.vertices))), 1.0, "REPLACE")
    join(ob, torso)
    pose(rig)
    select(ob, np.arange(len(ob.data.vertices)) < 200)
    hand = capture(ob)
    np.testing.assert_array_equal(hand.chosen, np.arange(V))
    joints = armature.posed_joints(rig, armature.hands(rig)[0])
    np.testing.assert_allclose(hand.joints + hand.origin, joints, atol=1e-6)
    np.testing.assert_allclose(hand.surface + hand.origin, world(ob, evaluated(ob))[:V], atol=3e-6)


def test_two_hands_on_one_armature() -> None:
    ob, rig = skinned_hand(sides=("right", "left"))
    assert problem_of(ob) == "two_hands_mesh" and len(MENDS["two_hands_mesh"]) == 2
    np.testing.assert_array_equal(capture(ob, side="LEFT").chosen, np.arange(V, 2 * V))
    np.testing.assert_array_equal(capture(ob, side="RIGHT").chosen, np.arange(V))
    select(ob, np.arange(2 * V) >= 2 * V - 300)
    hand = capture(ob)
    np.testing.assert_array_equal(hand.chosen, np.arange(V, 2 * V))
    left = next(one for one in armature.hands(rig) if one.side == "left")
    np.testing.assert_allclose(hand.joints + hand.origin, armature.posed_joints(rig, left), atol=1e-6)
    ob.data.vertices.foreach_set("select", np.ones(2 * V, bool))
    assert problem_of(ob) == "two_hands_mesh"


def test_selected_beside_the_hand() -> None:
    ob, _rig = skinned_hand(sides=("right", "left"))
    select(ob, np.arange(2 * V) < 200)
    with pytest.raises(Problem) as caught:
        capture(ob, side="LEFT")
    assert caught.value.code == "empty_selection"


def test_a_ring_of_forearm_goes_with_the_hand() -> None:
    ob, rig = skinned_hand()
    wrist = armature.posed_joints(rig, armature.hands(rig)[0])[0]
    bpy.ops.mesh.primitive_cylinder_add(
        vertices=32, radius=0.03, depth=0.25, location=tuple(wrist + [0, -0.125, 0])
    )
    arm = bpy.context.object
    bpy.ops.object.mode_set(mode="EDIT")
    bpy.ops.transform.rotate(value=np.pi / 2, orient_axis="X")
    bpy.ops.mesh.subdivide(number_cuts=8)
    bpy.ops.object.mode_set(mode="OBJECT")
    n = len(arm.data.vertices)
    arm.vertex_groups.new(name="mixamorig:RightForeArm").add(list(range(n)), 1.0, "REPLACE")
    bpy.context.view_layer.objects.active = rig
    bpy.ops.object.mode_set(mode="EDIT")
    bone = rig.data.edit_bones.new("mixamorig:RightForeArm")
    bone.head, bone.tail = wrist + [0, -0.25, 0], wrist
    rig.data.edit_bones["mixamorig:RightHand"].parent = bone
    bpy.ops.object.mode_set(mode="OBJECT")
    # Skin at the wrist goes over from the hand to the forearm.
    ob.vertex_groups.new(name="mixamorig:RightForeArm").add(
        np.flatnonzero(shape(ob)[:, 1] < 0.02).tolist(), 0.3, "ADD"
    )
    join(ob, arm)
    taken = capture(ob, "REST").chosen
    behind = wrist[1] - world(ob, shape(ob))[V:, 1]
    taken_arm = np.isin(np.arange(V, V + n), taken)
    assert set(range(V)) <= set(taken.tolist())
    assert taken_arm[behind < 0.03].all() and not taken_arm[behind > 0.08].any()


def test_landmarks_count_where_they_lie_on_the_hand() -> None:
    ob = bare_hand()
    ob.location = (1, 1, 1)
    bpy.context.view_layer.update()
    assert bpy.ops.hhmr.add_landmarks() == {"FINISHED"}
    assert bpy.ops.hhmr.add_landmarks() == {"CANCELLED"}
    assert capture(ob).joints is None  # they still stand in their row
    places = template().regressor @ template().vertices + 1
    ob.hhmr_landmarks.wrist.location = places[0]
    ob.hhmr_landmarks.ring.location = places[16]
    bpy.data.objects.remove(ob.hhmr_landmarks.pinky)
    hand = capture(ob)
    assert hand.joints is not None
    np.testing.assert_array_equal(np.flatnonzero(np.isfinite(hand.joints).all(axis=1)), [0, 16])
    np.testing.assert_allclose(hand.joints[[0, 16]] + hand.origin, places[[0, 16]], atol=1e-6)


def test_the_tab_offers_side_and_landmarks_for_a_mesh_that_is_not_ours() -> None:
    bpy.ops.hhmr.add_hand()
    assert "add_landmarks" not in drawn()
    bare_hand()
    assert "add_landmarks" in drawn()


# ---------------------------------------------------------------- back onto the mesh


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


def test_provenance_says_what_was_kept_and_survives() -> None:
    ob = bare_hand()
    keep_palm(ob)
    hand = capture(ob)
    place(ob, hand, answer(hand, bend(hand)))
    stored = json.loads(ob.data.shape_keys[shape_keys.PROVENANCE])
    assert stored["request"] == REQUEST and len(stored["hypotheses"]) == 3
