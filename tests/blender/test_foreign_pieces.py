"""Any mesh: which piece of it is the hand, bare and on an armature."""

from __future__ import annotations

import bmesh
import bpy
import numpy as np
import pytest
from mathutils import Matrix

from hhmr_blender.capture import armature
from hhmr_blender.capture.mesh import shape
from hhmr_blender.problems import MENDS, Problem
from hhmr_blender.template import template
from tests.blender.foreign_hands import (
    V,
    ball,
    bare_hand,
    capture,
    join,
    problem_of,
    world,
)
from tests.blender.skinned import evaluated, pose, select, skinned_hand
from tests.blender.test_panels import drawn


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
