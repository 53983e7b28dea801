"""Our skinning against Blender's own, and its inverse."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
from mathutils import Matrix

from hhmr_blender.capture import skin
from hhmr_blender.capture.mesh import shape
from tests.blender.skinned import evaluated, pose, skinned_hand

NOISE = 2e-6
"""Metres: Blender sums in float32, too, but in another order."""


def ours(ob: bpy.types.Object) -> np.ndarray:
    bpy.context.view_layer.update()
    return skin.move(skin.transforms(ob, shape(ob), skin.weights(ob)), shape(ob))


def agree(ob: bpy.types.Object) -> None:
    seen = evaluated(ob)
    assert np.linalg.norm(seen - shape(ob), axis=1).max() > 0.01, "nothing was deformed"
    np.testing.assert_allclose(ours(ob), seen, atol=NOISE)


@pytest.mark.parametrize("preserve", [False, True])
def test_as_blender_does_it(preserve: bool) -> None:
    ob, rig = skinned_hand()
    ob.modifiers[0].use_deform_preserve_volume = preserve
    pose(rig)
    agree(ob)


@pytest.mark.parametrize("preserve", [False, True])
def test_objects_that_are_moved_scaled_and_mirrored(preserve: bool) -> None:
    ob, rig = skinned_hand()
    ob.modifiers[0].use_deform_preserve_volume = preserve
    rig.location, rig.rotation_euler, rig.scale = (0.2, -0.1, 0.3), (0.3, 1, 2), (1.5, 1.5, 1.5)
    ob.matrix_parent_inverse = Matrix.Translation((0.1, 0, 0))
    ob.scale = (-1, 1.2, 0.9)
    pose(rig, 1)
    agree(ob)


@pytest.mark.parametrize("preserve", [False, True])
def test_bones_that_are_scaled_and_moved(preserve: bool) -> None:
    ob, rig = skinned_hand()
    ob.modifiers[0].use_deform_preserve_volume = preserve
    pose(rig, 2)
    for i, bone in enumerate(rig.pose.bones):
        bone.scale = (1 + 0.05 * (i % 3), 1.1, 0.9)
        bone.location = (0.001 * i, 0, 0.002)
    agree(ob)


def test_groups_that_deform_nothing_and_vertices_in_none() -> None:
    ob, rig = skinned_hand()
    ob.vertex_groups.new(name="of no bone").add(list(range(200)), 1.0, "REPLACE")
    rig.data.bones[3].use_deform = False
    ob.vertex_groups[rig.data.bones[0].name].remove(list(range(len(ob.data.vertices))))
    for group in ob.vertex_groups:
        group.remove(list(range(50)))
    pose(rig, 3)
    agree(ob)
    np.testing.assert_array_equal(ours(ob)[:50], shape(ob)[:50])


@pytest.mark.parametrize("invert", [False, True])
@pytest.mark.parametrize("preserve", [False, True])
def test_a_modifier_that_is_masked(invert: bool, preserve: bool) -> None:
    ob, rig = skinned_hand()
    half = ob.vertex_groups.new(name="half")
    half.add(list(range(600)), 0.3, "REPLACE")
    half.add(list(range(600, 1000)), 1.0, "REPLACE")
    modifier = ob.modifiers[0]
    modifier.vertex_group, modifier.invert_vertex_group = "half", invert
    modifier.use_deform_preserve_volume = preserve
    pose(rig, 4)
    agree(ob)


@pytest.mark.parametrize("multi", [False, True])
def test_two_armatures_in_a_row(multi: bool) -> None:
    ob, rig = skinned_hand()
    other = rig.copy()
    bpy.context.collection.objects.link(other)
    second = ob.modifiers.new("Second", "ARMATURE")
    second.object, second.use_multi_modifier = other, multi
    half = ob.vertex_groups.new(name="half")
    half.add(list(range(600)), 0.6, "REPLACE")
    second.vertex_group = "half"
    pose(rig, 5)
    pose(other, 6)
    agree(ob)


def test_an_armature_that_deforms_its_child_without_a_modifier() -> None:
    ob, rig = skinned_hand()
    ob.modifiers.clear()
    ob.parent_type = "ARMATURE"
    pose(rig, 7)
    agree(ob)


def test_what_is_hidden_from_the_viewport_deforms_nothing() -> None:
    ob, rig = skinned_hand()
    ob.modifiers[0].show_viewport = False
    pose(rig)
    np.testing.assert_array_equal(ours(ob), shape(ob))


def test_weights_are_read_in_edit_mode_too() -> None:
    ob, _rig = skinned_hand()
    ob.vertex_groups.new(name="of no vertex")
    read = skin.weights(ob)
    for i in (0, 700, 1608):
        assert {
            (int(g), float(w)) for g, w in zip(read.group[read.vertex == i], read.weight[read.vertex == i])
        } == {(element.group, element.weight) for element in ob.data.vertices[i].groups}
    bpy.ops.object.mode_set(mode="EDIT")
    again = skin.weights(ob)
    for a, b in zip((read.vertex, read.group, read.weight), (again.vertex, again.group, again.weight)):
        np.testing.assert_array_equal(a, b)


def test_inverses_undo_and_never_explode(rng: np.random.Generator) -> None:
    matrices = rng.normal(0, 1, (1000, 3, 3)).astype(np.float32)
    matrices[0] = 0
    matrices[1] = np.diag([1, 1, 0])
    matrices[2] = 1e-6 * np.eye(3)
    undone = skin.inverses(matrices)
    good = np.abs(np.linalg.det(matrices)) > 0.05
    np.testing.assert_allclose(
        undone[good] @ matrices[good], np.tile(np.eye(3), (good.sum(), 1, 1)), atol=1e-4
    )
    assert np.isfinite(undone).all()
    np.testing.assert_allclose(undone[2], 1e6 * np.eye(3), rtol=1e-5)
    np.testing.assert_array_equal(undone[0], 0)
    np.testing.assert_allclose(undone[1], np.diag([1, 1, 0]), atol=2e-3)
