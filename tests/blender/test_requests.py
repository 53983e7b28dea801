"""Buttons -> the real engine in its own process -> shape keys."""

from __future__ import annotations

import bmesh
import bpy
import numpy as np
import pytest

from hhmr_blender.apply import shape_keys
from hhmr_blender.capture import armature
from hhmr_blender.capture.mesh import shape
from hhmr_blender.template import template
from tests.blender.asking import cut_fingers, engine, keep_palm, keys, no_problem, press, running  # noqa: F401  (fixtures)
from tests.blender.rig_building import build, select_bones
from tests.blender.test_armature import curl


def test_complete_a_selection(hand: bpy.types.Object) -> None:
    chosen = keep_palm(hand)
    press(bpy.ops.hhmr.complete)
    assert no_problem() and len(keys(hand)) == 5
    entries = shape_keys.hypotheses(hand)
    assert [entry.score for entry in entries] == sorted((entry.score for entry in entries), reverse=True)
    shown = shape(hand)
    assert np.linalg.norm(shown - template().vertices, axis=1)[chosen].max() < 5e-4
    fingers = [shape_of(hand, entry.name)[~chosen] for entry in entries]
    assert np.linalg.norm(fingers[0] - fingers[1], axis=-1).mean() > 0.002


def shape_of(ob: bpy.types.Object, name: str) -> np.ndarray:
    flat = np.empty(3 * len(ob.data.vertices), np.float32)
    ob.data.shape_keys.key_blocks[name].points.foreach_get("co", flat)
    return flat.reshape(-1, 3)


def test_same_seed_same_hands_other_seed_others(hand: bpy.types.Object) -> None:
    found = []
    for seed in (5, 5, 6):
        bpy.ops.hhmr.add_hand()
        ob = bpy.context.object
        keep_palm(ob)
        bpy.context.scene.hhmr.seed = seed
        press(bpy.ops.hhmr.complete)
        found.append([shape_of(ob, name) for name in keys(ob)[1:]])
    np.testing.assert_array_equal(found[0], found[1])
    # The likeliest hand is among all of them; no other is.
    same = [[np.array_equal(one, other) for other in found[2]] for one in found[0]]
    assert np.sum(same) == 1


def test_left_hand_stays_left() -> None:
    bpy.ops.hhmr.add_hand(side="LEFT")
    ob = bpy.context.object
    chosen = keep_palm(ob)
    press(bpy.ops.hhmr.complete)
    left = template().side_vertices("left")
    assert np.linalg.norm(shape(ob) - left, axis=1)[chosen].max() < 5e-4


def test_complete_a_cut_hand_that_was_moved_and_turned(hand: bpy.types.Object) -> None:
    cut_fingers(hand)
    hand.location, hand.rotation_euler, hand.scale = (1, 2, 3), (0.3, 0.5, 1), (0.5, 0.5, 0.5)
    bpy.context.view_layer.update()
    press(bpy.ops.hhmr.complete, keep="REST")
    whole = bpy.context.object
    assert no_problem() and whole != hand and len(keys(whole)) == 5 and keys(hand) == []
    np.testing.assert_allclose(whole.matrix_world, hand.matrix_world, atol=1e-6)
    kept = template().vertices[:, 1] <= 0.12
    assert np.linalg.norm(shape(whole) - template().vertices, axis=1)[kept].max() < 5e-4


def test_complete_in_edit_mode(hand: bpy.types.Object) -> None:
    bpy.ops.object.mode_set(mode="EDIT")
    bpy.ops.mesh.select_all(action="DESELECT")
    mesh = bmesh.from_edit_mesh(hand.data)
    mesh.select_mode = {"VERT"}
    for vertex in mesh.verts:
        vertex.select = vertex.co.y < 0.1
    mesh.select_flush_mode()
    bmesh.update_edit_mesh(hand.data)
    press(bpy.ops.hhmr.complete)
    assert no_problem() and hand.mode == "EDIT" and len(keys(hand)) == 5


def test_generate_at_the_cursor() -> None:
    bpy.context.scene.cursor.location = (1, 2, 3)
    bpy.context.scene.hhmr.new_side = "LEFT"
    press(bpy.ops.hhmr.generate)
    ob = bpy.context.object
    assert no_problem() and len(keys(ob)) == 5 and ob.data["hhmr_side"] == "left"
    assert tuple(ob.location) == (1, 2, 3)
    reach = np.linalg.norm(shape(ob), axis=1)
    assert reach.max() < 0.4  # a hand, with its wrist near its origin
    thumb_side = (template().regressor @ shape(ob))[[1, 17], 0]
    assert thumb_side[0] > thumb_side[1]  # of a left hand that points along y


def test_waiting_for_scripts(hand: bpy.types.Object) -> None:
    keep_palm(hand)
    assert bpy.ops.hhmr.complete(wait=True) == {"FINISHED"}
    assert len(keys(hand)) == 5
    hand.data.vertices.foreach_set("select", np.zeros(len(hand.data.vertices), bool))
    with pytest.raises(RuntimeError, match="Nothing is selected"):
        bpy.ops.hhmr.complete(wait=True)


def test_hand_from_an_armature(rng: np.random.Generator) -> None:
    rig = build("mixamo")
    rig.location, rig.scale = (5, 0, 1), (2, 2, 2)
    bpy.context.view_layer.update()
    hand = armature.choose(rig, "AUTO", None)
    wanted = armature.posed_joints(rig, hand)
    bpy.context.scene.hhmr.method = "network"  # it follows the joints it is given
    press(bpy.ops.hhmr.from_armature)
    ob = bpy.context.object
    assert no_problem() and ob != rig and len(keys(ob)) == 5
    assert shape_keys.provenance(ob.data).request["armature"] == rig.name
    np.testing.assert_allclose(ob.location, wanted[0], atol=1e-5)
    joints = template().regressor @ shape(ob) + np.array(ob.location)
    assert np.linalg.norm(joints - wanted, axis=1).max() < 0.005  # of a hand twice the size
    assert bpy.ops.hhmr.to_armature() == {"FINISHED"}  # finds the armature that it came from
    assert np.linalg.norm(armature.posed_joints(rig, hand) - wanted, axis=1).max() < 0.03


def test_fingers_of_an_armature_that_are_not_selected_are_made(rng: np.random.Generator) -> None:
    rig = build("ue4_mannequin")
    bpy.context.scene.hhmr.bones = "SELECTED"
    select_bones(rig, {"index_01_r", "index_02_r", "index_03_r"})
    before = {bone.name: bone.matrix.copy() for bone in rig.pose.bones}
    press(bpy.ops.hhmr.from_armature)
    ob = bpy.context.object
    joints = np.array([template().regressor @ shape_of(ob, name) for name in keys(ob)[1:]])
    spread = joints.std(axis=0).max(axis=1)
    assert spread[[6, 7, 8]].max() < 0.003 < spread[[12, 16, 20]].min()
    assert bpy.ops.hhmr.to_armature() == {"FINISHED"}
    moved = {bone.name for bone in rig.pose.bones if bone.matrix != before[bone.name]}
    assert {"middle_01_r", "ring_02_r", "pinky_03_r", "thumb_01_r"} <= moved
    assert not any(name.startswith(("hand", "index")) for name in moved)


def test_a_rig_of_four_fingers_that_gives_all_it_has_is_posed(rng: np.random.Generator) -> None:
    joints = tuple(joint for joint in range(21) if not 13 <= joint <= 16)  # as cartoon hands: no ring finger
    rig = build("mixamo", joints=joints)
    hand = armature.choose(rig, "AUTO", None)
    curl(rig, hand, rng)
    before = armature.posed_joints(rig, hand)
    press(bpy.ops.hhmr.from_armature)
    assert np.isfinite(before).all(axis=1).sum() == 17
    assert bpy.ops.hhmr.to_armature() == {"FINISHED"}
    moved = np.linalg.norm(armature.posed_joints(rig, hand) - before, axis=1)[list(joints)]
    assert 1e-5 < np.median(moved) < 0.02
