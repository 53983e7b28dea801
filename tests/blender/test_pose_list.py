"""Hypotheses on the rig: a list to choose from, that survives what Blender does to a file."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bpy
import numpy as np
import pytest
from mathutils import Matrix

from hhmr_blender import panels
from hhmr_blender.apply import pose, pose_list
from hhmr_blender.apply.controls import metacarpals
from hhmr_blender.capture import armature as capture
from hhmr_blender.session import Target, session
from tests.blender.rig_building import build
from tests.blender.rigs_at_hand import clear, curl
from tests.blender.test_panels import CheckingLayout, window

COUNT = 3
HELD = [0, 1, 5, 9, 13, 17, 6, 7, 8]
"""The palm and the index finger."""


def answer(ob: bpy.types.Object, hand: capture.Hand, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """What an engine could answer: other poses of everything but the palm and the index finger."""
    before = {bone.name: bone.matrix_basis.copy() for bone in ob.pose.bones}
    poses = []
    for _ in range(COUNT):
        curl(ob, hand, rng)
        for name in (*metacarpals(ob, hand).values(), *hand.controls[5:8]):
            ob.pose.bones[name].matrix_basis = before[name]
        bpy.context.view_layer.update()
        poses.append(capture.posed_joints(ob, hand))
    for bone in ob.pose.bones:
        bone.matrix_basis = before[bone.name]
    bpy.context.view_layer.update()
    return {
        "joints": np.array(poses, np.float32),
        "score": np.array([0.9, 0.5, 0.1], np.float32),
        "residual": np.full(COUNT, 0.0003, np.float32),
        "self_intersection": np.full(COUNT, 1.5, np.float32),
        "draw": np.array([4, 0, 9], np.int32),
    }


def take(ob: bpy.types.Object, arrays: dict[str, np.ndarray], kept: Any = None, **more: Any) -> str:
    request = {"source": "armature", "seed": 7, "side": "right", "kept": HELD if kept is None else kept}
    target = Target("FREE", Matrix.Identity(4), ob.session_uid, ob.name)
    return pose_list.take(bpy.context, target, {**request, **more}, {"engine": "1"}, arrays)


@pytest.fixture
def rig(rng: np.random.Generator) -> tuple[bpy.types.Object, capture.Hand, dict[str, np.ndarray]]:
    """A posed rig, active, with a list of three poses; the first is shown."""
    ob = build("ue4_mannequin")
    hand = capture.choose(ob, "AUTO", None)
    curl(ob, hand, rng)
    arrays = answer(ob, hand, rng)
    take(ob, arrays)
    return ob, hand, arrays


def rotations(ob: bpy.types.Object) -> dict[str, tuple[float, ...]]:
    return {bone.name: tuple(bone.rotation_quaternion) for bone in ob.pose.bones}


def names(ob: bpy.types.Object) -> list[str]:
    return [item.name for item in ob.hhmr_poses]


def off(ob: bpy.types.Object, hand: capture.Hand, joints: np.ndarray) -> float:
    return float(np.linalg.norm(capture.posed_joints(ob, hand) - joints, axis=1).max())


def test_the_first_is_shown_and_kept_fingers_stay(rng: np.random.Generator) -> None:
    ob = build("ue4_mannequin")
    hand = capture.choose(ob, "AUTO", None)
    curl(ob, hand, rng)
    arrays, before = answer(ob, hand, rng), rotations(ob)
    told = take(ob, arrays)
    assert told == "'ue4_mannequin' is posed by the first; the others are listed under Poses."
    assert names(ob) == ["Right as It Was", "Right 1 (0.90)", "Right 2 (0.50)", "Right 3 (0.10)"]
    assert ob.hhmr_pose_index == 1 and off(ob, hand, arrays["joints"][0]) < 1e-5
    after = rotations(ob)
    same = {name for name in after if after[name] == before[name]}
    assert same == {"hand_r", "index_01_r", "index_02_r", "index_03_r"}


def test_a_click_poses_the_rig(rig) -> None:
    ob, hand, arrays = rig
    for i in (2, 0, 1):
        ob.hhmr_pose_index = i + 1  # as the list does it
        bpy.context.view_layer.update()
        assert off(ob, hand, arrays["joints"][i]) < 1e-5


def test_as_it_was_is_as_it_was(rng: np.random.Generator) -> None:
    ob = build("ue4_mannequin")
    hand = capture.choose(ob, "AUTO", None)
    curl(ob, hand, rng)
    arrays, before = answer(ob, hand, rng), rotations(ob)
    take(ob, arrays)
    assert rotations(ob) != before
    assert bpy.ops.hhmr.show_pose(index=0) == {"FINISHED"}
    assert rotations(ob) == before


def test_undo_of_a_click_and_of_all(rig) -> None:
    ob, _, _ = rig
    bpy.ops.ed.undo_push(message="first")
    first = rotations(ob)
    bpy.ops.hhmr.show_pose("EXEC_DEFAULT", True, index=3)
    assert rotations(bpy.data.objects["ue4_mannequin"]) != first
    bpy.ops.ed.undo()
    ob = bpy.data.objects["ue4_mannequin"]
    assert rotations(ob) == first and ob.hhmr_pose_index == 1 and len(ob.hhmr_poses) == 4
    bpy.ops.ed.redo()
    ob = bpy.data.objects["ue4_mannequin"]
    assert ob.hhmr_pose_index == 3 and rotations(ob) != first


def test_list_survives_saving_and_moving_the_character(rig, tmp_path: Path) -> None:
    ob, hand, arrays = rig
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "saved.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "saved.blend"))
    ob = bpy.data.objects["ue4_mannequin"]
    ob.matrix_world = Matrix.LocRotScale((3, 2, 1), Matrix.Rotation(1, 3, "X").to_quaternion(), (2, 2, 2))
    bpy.context.view_layer.update()
    bpy.context.view_layer.objects.active = ob
    bpy.ops.hhmr.show_pose(index=2)
    wanted = arrays["joints"][1] @ np.array(ob.matrix_world, float)[:3, :3].T + np.array(ob.location)
    assert off(ob, hand, wanted) < 2e-5


def test_kept_poses_stay_when_others_come(rig, rng: np.random.Generator) -> None:
    ob, hand, arrays = rig
    bpy.ops.hhmr.keep_pose(index=2)
    take(ob, answer(ob, hand, rng))
    assert names(ob)[0] == "Right 2 (0.50)" and len(ob.hhmr_poses) == 5 and ob.hhmr_poses[0].kept
    bpy.ops.hhmr.show_pose(index=0)
    assert off(ob, hand, arrays["joints"][1]) < 1e-5
    with pytest.raises(RuntimeError, match="Only a hypothesis"):
        bpy.ops.hhmr.keep_pose(index=1)


def test_discard_the_rest(rig) -> None:
    ob, _, _ = rig
    bpy.ops.hhmr.show_pose(index=3)
    ob.pose.bones["thumb_01_r"].rotation_quaternion = (1, 0, 0, 0)  # a change by hand
    shown = rotations(ob)
    assert bpy.ops.hhmr.discard_poses() == {"FINISHED"}
    assert names(ob) == ["Right as It Was", "Right 3 (0.10)"] and ob.hhmr_pose_index == 1
    assert rotations(ob) == shown
    assert bpy.ops.hhmr.discard_poses() == {"CANCELLED"}


def test_key_and_auto_key(rig) -> None:
    ob, hand, _ = rig
    bpy.context.scene.frame_set(5)
    assert bpy.ops.hhmr.key_pose() == {"FINISHED"}
    bpy.context.scene.tool_settings.use_keyframe_insert_auto = True
    bpy.context.scene.frame_set(9)
    bpy.ops.hhmr.show_pose(index=2)
    posed = rotations(ob)
    bpy.context.scene.frame_set(5)
    assert rotations(ob) != posed
    bpy.context.scene.frame_set(9)
    for name, values in rotations(ob).items():
        np.testing.assert_allclose(values, posed[name], atol=1e-6)


def test_all_joints_given_leaves_the_rig_until_a_click(rig, rng: np.random.Generator) -> None:
    ob, hand, _ = rig
    arrays, before = answer(ob, hand, rng), rotations(ob)
    assert take(ob, arrays, kept=[]) == "3 poses of 'ue4_mannequin' are listed under Poses."
    assert rotations(ob) == before and ob.hhmr_pose_index == 0
    bpy.ops.hhmr.show_pose(index=1)
    assert off(ob, hand, arrays["joints"][0]) < 1e-5


def test_joints_carried_by_a_mesh_pose_its_rig(rng: np.random.Generator) -> None:
    """A request from a skinned mesh: the joints are the rig's own, those that stay were kept."""
    ob = build("ue4_mannequin")
    hand = capture.choose(ob, "AUTO", None)
    bpy.ops.mesh.primitive_cube_add()
    mesh = bpy.context.object
    mesh.modifiers.new("Armature", "ARMATURE").object = ob
    arrays = answer(ob, hand, rng)
    arrays["carried"], arrays["joints"] = arrays["joints"], arrays["joints"] * 0
    target = Target("SURFACE", Matrix.Identity(4), mesh.session_uid, mesh.name)
    pose_list.take(bpy.context, target, {"source": "surface", "kept": 30, "seed": 0}, {}, arrays)
    assert set(pose_list.poses(ob)[1].held) == set(HELD)
    assert pose_list.rig_of(bpy.context) == ob  # with the mesh active
    bpy.ops.hhmr.show_pose(index=2)
    assert off(ob, hand, arrays["carried"][1]) < 1e-5


def test_a_linked_rig_gets_a_sentence_and_nothing_else(rig, tmp_path: Path) -> None:
    arrays = rig[2]
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "character.blend"))
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    with bpy.data.libraries.load(str(tmp_path / "character.blend"), link=True) as (source, wanted):
        wanted.objects = source.objects
    ob = wanted.objects[0]
    bpy.context.collection.objects.link(ob)
    assert "library override" in take(ob, arrays)
    bpy.context.view_layer.objects.active = ob
    with pytest.raises(RuntimeError, match="library override"):
        bpy.ops.hhmr.show_pose(index=1)


def test_list_of_an_override_is_its_own_and_is_saved(tmp_path: Path, rng: np.random.Generator) -> None:
    build("ue4_mannequin")
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "character.blend"))
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    with bpy.data.libraries.load(str(tmp_path / "character.blend"), link=True) as (source, wanted):
        wanted.objects = source.objects
    bpy.context.collection.objects.link(wanted.objects[0])
    ob = wanted.objects[0].override_create(remap_local_usages=True)
    bpy.context.view_layer.update()
    hand = capture.choose(ob, "AUTO", None)
    arrays = answer(ob, hand, rng)
    take(ob, arrays)
    posed = rotations(ob)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "scene.blend"))
    ob = next(one for one in bpy.data.objects if one.type == "ARMATURE" and one.override_library)
    assert len(ob.hhmr_poses) == 4
    for name, values in rotations(ob).items():
        np.testing.assert_allclose(values, posed[name], atol=1e-6)
    bpy.context.view_layer.objects.active = ob
    bpy.ops.hhmr.show_pose(index=3)
    assert off(ob, hand, arrays["joints"][2]) < 1e-5


def test_a_hand_that_is_gone_is_said(rig) -> None:
    ob, _, _ = rig
    before = rotations(ob)
    ob.data.bones["hand_r"].name = "paw"
    ob.data.bones["index_01_r"].name = "claw"
    ob.hhmr_pose_index = 2
    assert session.notice is not None and session.notice.code == "no_rig_hand"
    assert set(rotations(ob).values()) == set(before.values())


def test_panel_lists_the_rows(rig) -> None:
    ob, _, _ = rig
    cls = panels.poses.HHMR_PT_poses
    assert cls.poll(bpy.context)
    layout = CheckingLayout()
    cls.draw(SimpleNamespace(layout=layout), window(280))
    for i, item in enumerate(ob.hhmr_poses):
        panels.poses.HHMR_UL_poses.draw_item(None, bpy.context, layout, ob, item, 0, ob, "", i)
    assert {"Self-intersection: 1.5 %", "Right 3 (0.10)", "Save as Pose Assets:"} <= set(layout.texts)
    bpy.ops.hhmr.add_hand()
    assert not cls.poll(bpy.context)


def test_what_holds_a_bone_back_is_said_with_the_pose(rig) -> None:
    ob, _, _ = rig
    ob.pose.bones["ring_01_r"].lock_rotation = (True, True, True)
    ob.hhmr_pose_index = 2
    assert session.notice is not None and "Locked rotation channels" in session.notice.text
    clear(ob)
    assert pose.Written().sentence() == ""
