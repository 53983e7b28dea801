"""Empties before the camera: put where joints were found, dragged, hidden, and fitted by the real engine."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
from mathutils import Matrix, Vector

from hhmr_blender import pump
from hhmr_blender.apply import shape_keys
from hhmr_blender.capture import camera, skeleton2d
from hhmr_blender.capture.mesh import SIDE
from hhmr_blender.rigs.tables import JOINTS
from hhmr_blender.session import session
from tests.blender.asking import TIMEOUT, engine, press, running  # noqa: F401  (fixtures)
from tests.blender.test_camera import add_camera, set_render
from tests.blender.test_image_requests import ask, in_render, is_wound_outwards, photo, seen  # noqa: F401  (fixture)
from tests.blender.test_panels import drawn

INDEX_TIP, PINKY = 8, (18, 19, 20)


def joint(root: bpy.types.Object, number: int) -> bpy.types.Object:
    return next(ob for ob in root.children if ob.name.endswith(JOINTS[number]))


def dots(root: bpy.types.Object) -> np.ndarray:
    """[21, 2] in parts of the render."""
    bpy.context.view_layer.update()
    return np.array([seen(joint(root, i).matrix_world.translation) for i in range(21)])


@pytest.fixture
def skeleton() -> bpy.types.Object:
    """A skeleton made by hand before a turned camera with a shifted lens, active."""
    add_camera(shift_x=0.1)
    set_render(320, 240)
    bpy.ops.hhmr.add_skeleton()
    return bpy.context.object


def read(root: bpy.types.Object) -> tuple[np.ndarray, np.ndarray]:
    bpy.context.view_layer.update()
    return skeleton2d.read(root, camera.view(bpy.context.scene))


def test_a_new_skeleton_is_the_back_of_a_hand_in_the_middle(skeleton: bpy.types.Object) -> None:
    assert len(skeleton.children) == 21 and skeleton.parent == bpy.context.scene.camera
    places = dots(skeleton)
    np.testing.assert_allclose((places.min(axis=0) + places.max(axis=0)) / 2, 0.5, atol=1e-5)
    assert np.ptp(places[:, 1]) == pytest.approx(0.5, abs=1e-4)
    assert (
        places[0, 1] > places[12, 1] and places[4, 0] < places[20, 0]
    )  # upright, a right hand's thumb to the left
    assert "Hand 2D: 21 of 21 joints known" in drawn()
    # At the distance at which it is as large as our hand.
    bones = joint(skeleton, 9).matrix_world.translation - joint(skeleton, 0).matrix_world.translation
    assert 0.08 < bones.length < 0.11


def test_joints_stay_in_their_plane(skeleton: bpy.types.Object) -> None:
    for ob in skeleton.children:
        assert ob.lock_location[:] == (False, False, True) and all(ob.lock_rotation) and all(ob.lock_scale)
        assert ob.matrix_world.to_scale()[:] == pytest.approx((1, 1, 1), abs=1e-5)


def test_what_is_read(skeleton: bpy.types.Object) -> None:
    rays, sigma = read(skeleton)
    extent = np.ptp(rays, axis=0).max()
    np.testing.assert_allclose(sigma, skeleton2d.GUESSED * extent, rtol=1e-5)
    joint(skeleton, 3).hide_set(True)
    joint(skeleton, 4).hide_viewport = True
    bpy.data.objects.remove(joint(skeleton, 5))
    joint(skeleton, 6).location.z = 100  # behind the camera
    found, _ = read(skeleton)
    assert np.flatnonzero(np.isnan(found).any(axis=1)).tolist() == [3, 4, 5, 6]
    known = [0, 1, 2, *range(7, 21)]
    np.testing.assert_allclose(found[known], rays[known], atol=1e-9)


def test_wherever_the_camera_goes_the_skeleton_goes(skeleton: bpy.types.Object) -> None:
    before = dots(skeleton)
    bpy.context.scene.camera.matrix_world = Matrix.LocRotScale(Vector((9, 8, 7)), None, (2, 2, 2))
    np.testing.assert_allclose(dots(skeleton), before, atol=1e-5)


def test_too_few_joints(skeleton: bpy.types.Object) -> None:
    for ob in skeleton.children:
        ob.hide_set(not ob.name.endswith(("wrist", "thumb_tip", "ring_mcp")))
    with pytest.raises(RuntimeError, match="Only 3 joints of 'Hand 2D' are shown"):
        bpy.ops.hhmr.fit_skeleton()
    assert session.notice.code == "few_joints" and session.run is None


def test_without_a_skeleton_or_a_camera() -> None:
    for operator, code in (
        (bpy.ops.hhmr.fit_skeleton, "no_skeleton"),
        (bpy.ops.hhmr.add_skeleton, "no_camera"),
    ):
        with pytest.raises(RuntimeError):
            operator()
        assert session.notice.code == code and len(bpy.data.objects) == 0
    assert not bpy.ops.hhmr.edit_skeleton.poll()


@pytest.mark.slow
def test_a_skeleton_made_by_hand_becomes_hands(skeleton: bpy.types.Object) -> None:
    job = ask(bpy.ops.hhmr.fit_skeleton)
    assert set(job.arrays) == {"joints2d", "sigma2d", "size"}
    hand = bpy.context.object
    assert hand.hhmr_skeleton == skeleton and len(shape_keys.hypotheses(hand)) == 4
    off = np.linalg.norm((in_render(hand) - dots(skeleton)) * (320, 240), axis=-1)
    assert off.mean() < 0.03 * 120  # the skeleton is 120 pixels long
    # From the hand, its skeleton or a joint of it: the same hand takes the new ones.
    for active in (hand, skeleton, joint(skeleton, 7)):
        bpy.context.view_layer.objects.active = active
        press(bpy.ops.hhmr.fit_skeleton)
        assert [ob for ob in bpy.data.objects if ob.type == "MESH"] == [hand]
    bpy.data.objects.remove(hand)
    press(bpy.ops.hhmr.fit_skeleton)
    assert bpy.context.object.hhmr_skeleton == skeleton


@pytest.mark.slow
def test_a_joint_that_was_found_wrong_is_dragged_to_where_it_belongs(photo: bpy.types.Image) -> None:  # noqa: F811
    job = ask(bpy.ops.hhmr.reconstruct)
    hand = bpy.context.object
    given = job.result[1]["given2d"] / 100
    press_edit(hand)
    root = hand.hhmr_skeleton
    assert bpy.context.object == root
    np.testing.assert_allclose(dots(root), given, atol=2e-4)
    _, sigma = read(root)
    np.testing.assert_allclose(sigma, job.result[1]["sigma2d"] / job.result[1]["camera"][0], rtol=1e-3)
    # The tip of the index finger lies elsewhere; the pinky can't be seen.
    tip = joint(root, INDEX_TIP)
    tip.location.x += 0.1 * np.ptp([ob.location.y for ob in root.children])
    for number in PINKY:
        joint(root, number).hide_set(True)
    wanted = dots(root)
    spread = in_render(hand)[:, PINKY].std(axis=0).mean()
    before = np.linalg.norm(in_render(hand)[:, INDEX_TIP] - wanted[INDEX_TIP], axis=1)
    again = ask(bpy.ops.hhmr.fit_skeleton)
    assert "photo" not in again.arrays and again.message["side"] == "right"
    assert np.isnan(again.arrays["joints2d"]).any(axis=1).nonzero()[0].tolist() == list(PINKY)
    after = np.linalg.norm(in_render(hand)[:, INDEX_TIP] - wanted[INDEX_TIP], axis=1)
    assert after.mean() < 0.35 * before.mean()
    assert in_render(hand)[:, PINKY].std(axis=0).mean() > spread
    assert shape_keys.provenance(hand.data).request["image"] == photo.name
    # Edit Skeleton goes back to it: what was dragged is not forgotten.
    press_edit(hand)
    assert bpy.context.object == root and len(root.children) == 21
    np.testing.assert_allclose(dots(root), wanted, atol=1e-6)


def press_edit(hand: bpy.types.Object) -> None:
    bpy.context.view_layer.objects.active = hand
    assert bpy.ops.hhmr.edit_skeleton() == {"FINISHED"}


@pytest.mark.slow
def test_joints_that_were_not_found_are_made_hidden(skeleton: bpy.types.Object) -> None:
    for number in PINKY:
        joint(skeleton, number).hide_set(True)
    press(bpy.ops.hhmr.fit_skeleton)
    hand = bpy.context.object
    hand.hhmr_skeleton = None
    press_edit(hand)
    made = hand.hhmr_skeleton
    assert made != skeleton and [joint(made, n).hide_get() for n in (17, *PINKY)] == [False, True, True, True]


@pytest.mark.slow
def test_the_other_side_is_another_hand_in_the_same_place(skeleton: bpy.types.Object) -> None:
    bpy.context.scene.hhmr.photo_side = "RIGHT"
    press(bpy.ops.hhmr.fit_skeleton)
    hand = bpy.context.object
    bpy.context.scene.hhmr.photo_side = "LEFT"
    job = ask(bpy.ops.hhmr.fit_skeleton)
    assert bpy.context.object == hand and hand.data[SIDE] == "left" == job.result[0]["side"]
    assert is_wound_outwards(hand)
    bpy.ops.ed.undo_push(message="before")


@pytest.mark.slow
def test_undo_of_a_fit(skeleton: bpy.types.Object) -> None:
    press(bpy.ops.hhmr.fit_skeleton)
    name = bpy.context.object.name
    before = in_render(bpy.context.object)
    bpy.ops.ed.undo_push(message="before")
    joint(skeleton, INDEX_TIP).location.x += 0.03
    bpy.ops.ed.undo_push(message="dragged")
    press(bpy.ops.hhmr.fit_skeleton)
    assert np.abs(in_render(bpy.data.objects[name]) - before).max() > 0.01
    bpy.ops.ed.undo()
    np.testing.assert_allclose(in_render(bpy.data.objects[name]), before, atol=1e-6)
    assert pump.wait(TIMEOUT)
