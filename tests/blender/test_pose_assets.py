"""Pose assets: what Blender's own pose library can do with them, the catalog's file, the picture."""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np
import pytest

from hhmr_blender.apply import catalog, hand_picture, pose, pose_list
from hhmr_blender.apply.controls import finger_ik
from hhmr_blender.capture import armature as capture
from hhmr_blender.problems import Problem
from hhmr_blender.session import session
from tests.blender.rig_building import build, joints_at_rest, select_bones
from tests.blender.rigs_at_hand import curl, rigify_arm
from tests.blender.test_pose_list import answer, off, rotations, take

Rig = tuple[bpy.types.Object, capture.Hand, dict[str, np.ndarray]]


@pytest.fixture
def rig(rng: np.random.Generator) -> Rig:
    """A posed rig, active, with a list of three poses; the first is shown."""
    ob = build("rigify_metarig", ("right", "left"))
    hand = capture.choose(ob, "RIGHT", None)
    curl(ob, hand, rng)
    arrays = answer(ob, hand, rng)
    take(ob, arrays)
    return ob, hand, arrays


def saved(which: str = "ALL") -> list[bpy.types.Action]:
    assert bpy.ops.hhmr.save_pose_assets(which=which) == {"FINISHED"}
    return sorted((one for one in bpy.data.actions if one.asset_data), key=lambda one: one.name)


def apply(ob: bpy.types.Object, action: bpy.types.Action) -> None:
    """As the pose library does it, to all bones: where some are selected, it is to those alone."""
    select_bones(ob, set())
    ob.pose.apply_pose_from_action(action, evaluation_time=0)
    ob.update_tag()
    bpy.context.view_layer.update()


def test_every_hypothesis_is_an_asset_and_the_rig_stays(rig: Rig) -> None:
    ob, _, _ = rig
    before = rotations(ob)
    actions = saved()
    assert rotations(ob) == before and ob.animation_data is None
    assert [one.name for one in actions] == [
        f"rigify_metarig Right {i} ({score})" for i, score in ((1, "0.90"), (2, "0.50"), (3, "0.10"))
    ]
    for action in actions:
        data = action.asset_data
        assert action.use_fake_user and data.author == "HHMR for Blender" and "seed 7" in data.description
        assert {tag.name for tag in data.tags} == {"HHMR", "hand", "right"}
        assert data.catalog_id == catalog.UUID
    assert "Save the file" in session.notice.text


def test_blenders_pose_library_applies_them(rig: Rig) -> None:
    ob, hand, arrays = rig
    actions = saved()
    for action, joints in zip(actions, arrays["joints"]):
        bpy.ops.hhmr.show_pose(index=0)
        apply(ob, action)
        assert off(ob, hand, joints) < 1e-5


def test_half_a_blend_is_half_way(rig: Rig) -> None:
    ob, hand, arrays = rig
    (action, *_) = saved()
    bone = ob.pose.bones[hand.controls[13]]
    whole = bone.rotation_quaternion.copy()
    bpy.ops.hhmr.show_pose(index=0)
    start = bone.rotation_quaternion.copy()
    ob.pose.blend_pose_from_action(action, blend_factor=0.5, evaluation_time=0)
    turned = start.rotation_difference(bone.rotation_quaternion).angle
    assert abs(turned - start.rotation_difference(whole).angle / 2) < 0.1 * turned


def test_flipped_it_poses_the_other_hand_as_a_mirror(rig: Rig) -> None:
    ob, hand, _ = rig
    (action, *_) = saved()
    left = capture.choose(ob, "LEFT", None)
    flipped = action.copy()
    flipped.flip_with_pose(ob)
    apply(ob, flipped)
    apply(ob, action)
    mirrored = capture.posed_joints(ob, hand) * [-1, 1, 1]
    np.testing.assert_allclose(capture.posed_joints(ob, left), mirrored, atol=1e-5)


def test_assets_survive_saving_and_fall_into_the_catalog(rig: Rig, tmp_path: Path) -> None:
    ob, hand, arrays = rig
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    saved("SHOWN")
    assert "in the catalog HHMR" in session.notice.text
    bpy.ops.wm.save_mainfile()
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "scene.blend"))
    (action,) = (one for one in bpy.data.actions if one.asset_data)
    lines = (tmp_path / catalog.FILE).read_text().splitlines()
    assert f"{action.asset_data.catalog_id}:HHMR:HHMR" in lines and "VERSION 1" in lines
    picture = np.array(action.preview.image_pixels_float[:]).reshape(hand_picture.SIZE, hand_picture.SIZE, 4)
    assert 0.1 < (picture[..., 3] > 0.5).mean() < 0.9
    ob = bpy.data.objects["rigify_metarig"]
    apply(ob, action)
    assert off(ob, hand, arrays["joints"][0]) < 1e-5


def test_pressed_again_they_are_listed_and_not_doubled(
    rig: Rig, rng: np.random.Generator, tmp_path: Path
) -> None:
    """As the sentence says: save the file and press again."""
    ob, hand, _ = rig
    other = tmp_path / catalog.FILE
    other.write_text("VERSION 1\n6e5d9a40-9a38-4a7e-8b9e-0c8a0d7f0c11:HHMR:Hands\n")
    first = saved()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    again = saved()
    assert [one.name for one in again] == [one.name for one in first] and len(bpy.data.actions) == 3
    assert again[0].asset_data.catalog_id == "6e5d9a40-9a38-4a7e-8b9e-0c8a0d7f0c11"
    take(ob, answer(ob, hand, rng))  # of the same names, and other poses
    assert len(saved()) == 6


def test_saving_is_one_undo_step(rig: Rig) -> None:
    bpy.ops.ed.undo_push(message="before")
    bpy.ops.hhmr.save_pose_assets("EXEC_DEFAULT", True)
    assert len(bpy.data.actions) == 3
    bpy.ops.ed.undo()
    assert len(bpy.data.actions) == 0


def test_an_action_in_use_stays_in_use(rig: Rig) -> None:
    ob, hand, _ = rig
    pose.insert_keys(ob, hand)
    mine, slot = ob.animation_data.action, ob.animation_data.action_slot.identifier
    saved()
    assert ob.animation_data.action == mine and ob.animation_data.action_slot.identifier == slot


def test_as_it_was_can_be_an_asset(rig: Rig) -> None:
    ob, _, _ = rig
    bpy.ops.hhmr.show_pose(index=0)
    before = rotations(ob)
    (action,) = saved("SHOWN")
    bpy.ops.hhmr.show_pose(index=2)
    apply(ob, action)
    for name, values in rotations(ob).items():
        np.testing.assert_allclose(values, before[name], atol=1e-6)


def test_rigify_controls_and_their_switch_are_in_the_asset(rng: np.random.Generator) -> None:
    ob = rigify_arm(finger_ik=True)
    hand = capture.choose(ob, "AUTO", None)
    switch = finger_ik(ob, hand)[3]
    curl(ob, hand, rng)
    arrays = answer(ob, hand, rng)
    switch["FK_IK"] = 1.0
    ob.update_tag()
    assert "Finger IK was switched to FK" in take(ob, arrays) and switch["FK_IK"] == 0
    bpy.context.view_layer.objects.active = ob
    action = saved()[1]
    switch["FK_IK"] = 1.0
    ob.update_tag()
    apply(ob, action)
    assert switch["FK_IK"] == 0 and off(ob, hand, arrays["joints"][1]) < 1e-4
    bpy.ops.hhmr.show_pose(index=0)
    assert switch["FK_IK"] == 1  # as it was


# ---------------------------------------------------------------- the catalog's file


def test_a_catalog_is_added_to_those_that_are_there(tmp_path: Path) -> None:
    path = tmp_path / catalog.FILE
    old = "# mine\n\nVERSION 1\n\n6e5d9a40-9a38-4a7e-8b9e-0c8a0d7f0c11:Poses/Feet:Feet\n"
    path.write_text(old)
    assert catalog.ensure(tmp_path) == catalog.UUID
    text = path.read_text()
    assert text.startswith(old) and text.endswith(f"{catalog.UUID}:HHMR:HHMR\n")
    assert catalog.ensure(tmp_path) == catalog.UUID and path.read_text() == text
    assert [one.name for one in tmp_path.iterdir()] == [catalog.FILE]


def test_a_catalog_of_that_name_is_used(tmp_path: Path) -> None:
    (tmp_path / catalog.FILE).write_text("VERSION 1\n6e5d9a40-9a38-4a7e-8b9e-0c8a0d7f0c11:HHMR:Hands\n")
    assert catalog.ensure(tmp_path) == "6e5d9a40-9a38-4a7e-8b9e-0c8a0d7f0c11"


@pytest.mark.parametrize("content", [b"VERSION 2\n", b"\xff\xfe\x00"])
def test_a_catalog_that_cannot_be_read_is_left_alone(content: bytes, tmp_path: Path) -> None:
    (tmp_path / catalog.FILE).write_bytes(content)
    with pytest.raises(Problem) as caught:
        catalog.ensure(tmp_path)
    assert caught.value.code == "no_catalog" and (tmp_path / catalog.FILE).read_bytes() == content


def test_poses_are_saved_where_the_catalog_cannot_be(rig: Rig, tmp_path: Path) -> None:
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    (tmp_path / catalog.FILE).mkdir()
    assert len(saved()) == 3 and "can't be written" in session.notice.text


def test_a_library_has_the_catalog_at_its_root(tmp_path: Path) -> None:
    blend = tmp_path / "library" / "hands" / "scene.blend"
    assert catalog.library_root(blend, [tmp_path / "other"]) == blend.parent
    assert catalog.library_root(blend, [tmp_path, tmp_path / "library"]) == tmp_path / "library"


# ---------------------------------------------------------------- the picture


@pytest.mark.parametrize("side", ["right", "left"])
def test_a_picture_shows_the_palm_with_its_thumb_where_it_belongs(side: str) -> None:
    """Fingers up, palm to the eye: a right hand's thumb is to the right; what was given is blue."""
    image = hand_picture.draw(joints_at_rest(side), side, given=range(21))
    assert image.shape == (128, 128, 4) and image.dtype == np.float32
    seen = image[..., 3] > 0.5
    assert (image[seen][:, 2] > image[seen][:, 0]).mean() > 0.95
    low = seen[: 128 // 2].any(axis=0)  # the thumb is the part of the lower half that lies apart
    wrist = np.flatnonzero(seen[8]).mean()
    reach = np.flatnonzero(low)
    to_right = (reach.max() - wrist) > (wrist - reach.min())
    assert to_right == (side == "right")
    made = hand_picture.draw(joints_at_rest(side), side)
    assert (made[seen][:, 0] > made[seen][:, 2]).mean() > 0.95


def test_a_picture_without_some_fingers(rng: np.random.Generator) -> None:
    joints = joints_at_rest().copy()
    joints[17:] = np.nan
    assert (hand_picture.draw(joints, "right")[..., 3] > 0).any()
    joints[1:] = np.nan
    with pytest.raises(ValueError, match="finger roots"):
        hand_picture.draw(joints, "right")
    assert pose_list.silent() is False
