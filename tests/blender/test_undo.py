"""What the engine made is one step to undo, and to redo."""

from __future__ import annotations

import bmesh
import bpy
import numpy as np

from hhmr_blender.apply import shape_keys
from hhmr_blender.capture.mesh import shape
from hhmr_blender.template import template
from tests.blender.asking import cut_fingers, engine, keep_palm, keys, press, running  # noqa: F401  (fixtures)


def test_undo_and_redo_are_one_step(hand: bpy.types.Object) -> None:
    keep_palm(hand)
    bpy.ops.ed.undo_push(message="before")
    press(bpy.ops.hhmr.complete)
    name = hand.name
    after = shape(bpy.data.objects[name])
    bpy.ops.ed.undo()
    ob = bpy.data.objects[name]
    assert keys(ob) == [] and not ob.show_only_shape_key
    bpy.ops.ed.redo()
    ob = bpy.data.objects[name]
    assert len(keys(ob)) == 5 and len(shape_keys.hypotheses(ob)) == 4
    np.testing.assert_array_equal(shape(ob), after)


def test_undo_in_edit_mode(hand: bpy.types.Object) -> None:
    bpy.ops.object.mode_set(mode="EDIT")
    bpy.ops.mesh.select_all(action="DESELECT")
    mesh = bmesh.from_edit_mesh(hand.data)
    mesh.verts.ensure_lookup_table()
    mesh.verts[0].select = True
    for vertex in mesh.verts:
        vertex.select = vertex.co.y < 0.1
    mesh.select_flush_mode()
    bmesh.update_edit_mesh(hand.data)
    bpy.ops.ed.undo_push(message="before")
    press(bpy.ops.hhmr.complete)
    name = hand.name
    assert len(keys(bpy.data.objects[name])) == 5
    bpy.ops.ed.undo()
    ob = bpy.data.objects[name]
    assert ob.mode == "EDIT" and keys(ob) == [] and not ob.show_only_shape_key
    bpy.ops.object.mode_set(mode="OBJECT")
    np.testing.assert_allclose(shape(ob), template().vertices, atol=1e-7)


def test_undo_of_a_new_hand(hand: bpy.types.Object) -> None:
    cut_fingers(hand)
    bpy.ops.ed.undo_push(message="before")
    count = len(bpy.data.objects)
    press(bpy.ops.hhmr.complete, keep="REST")
    assert len(bpy.data.objects) == count + 1
    bpy.ops.ed.undo()
    assert len(bpy.data.objects) == count and bpy.context.object.name == "HHMR Hand"
