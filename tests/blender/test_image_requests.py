"""A picture -> Reconstruct -> the real engine -> hands that the camera sees where the picture has them."""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np
import pytest
from bpy_extras.object_utils import world_to_camera_view
from mathutils import Euler, Matrix, Vector

from hhmr_blender import pump
from hhmr_blender.apply import shape_keys
from hhmr_blender.capture.mesh import SIDE, shape
from hhmr_blender.client.jobs import Job
from hhmr_blender.session import session
from hhmr_blender.template import template
from tests.blender.asking import TIMEOUT, engine, keys, no_problem, press, running  # noqa: F401  (fixtures)
from tests.blender.test_camera import add_camera, add_image, background, set_render
from tests.blender.test_panels import drawn
from tests.blender.test_picture import viewer

pytestmark = pytest.mark.slow

PHOTO = "photos/apache_digits/digit5_IMG_1153.jpg"


@pytest.fixture
def photo(data_root: Path) -> bpy.types.Image:
    """A right hand, 100 x 100 pixels, chosen; its camera, and a render of its shape."""
    add_camera()
    image = bpy.data.images.load(str(data_root / PHOTO))
    bpy.context.scene.hhmr.photo = image
    set_render(100, 100)
    return image


def ask(operator, **properties) -> Job:
    """Press a button and wait; what was asked and answered."""
    assert operator(**properties) == {"FINISHED"}
    assert session.run is not None
    job = session.run.job
    assert pump.wait(TIMEOUT) and no_problem(), session.notice
    return job


def in_render(ob: bpy.types.Object) -> np.ndarray:
    """Joints [n, 21, 2] of every hypothesis in parts of the render, from its upper left corner."""
    found = []
    for entry in shape_keys.hypotheses(ob):
        flat = np.empty(3 * len(ob.data.vertices), np.float32)
        ob.data.shape_keys.key_blocks[entry.name].points.foreach_get("co", flat)
        joints = template().regressor @ flat.reshape(-1, 3)
        found.append([seen(ob.matrix_world @ Vector(joint)) for joint in joints])
    return np.array(found)


def seen(point: Vector) -> tuple[float, float]:
    """Where the scene's camera sees a point of the world, in parts of the render."""
    bpy.context.view_layer.update()
    u, v, depth = world_to_camera_view(bpy.context.scene, bpy.context.scene.camera, point)
    assert depth > 0
    return u, 1 - v


CAMERAS = {
    "plain": {},
    "tele": {"lens": 120.0, "sensor_width": 24.0},
    "portrait sensor": {"sensor_fit": "VERTICAL", "sensor_height": 30.0},
    "shifted": {"shift_x": 0.21, "shift_y": 0.13},
}


@pytest.mark.parametrize("name", CAMERAS)
def test_hands_lie_over_the_picture(photo: bpy.types.Image, name: str) -> None:
    camera = bpy.context.scene.camera
    for setting, value in CAMERAS[name].items():
        setattr(camera.data, setting, value)
    camera.scale = (2, 2, 2)  # a camera's scale changes nothing that it sees
    job = ask(bpy.ops.hhmr.reconstruct)
    ob = bpy.context.object
    assert len(shape_keys.hypotheses(ob)) == 4 and ob.data[SIDE] == "right"
    height, width = job.arrays["photo"].shape[:2]
    corner = (width - 100, 0)  # a lens shifted right and up has its axis left of, and below, the middle
    _, answer = job.result
    off = in_render(ob) * 100 + corner - answer["joints2d"]
    assert np.abs(off).max() < 0.05
    hand = np.ptp(answer["given2d"], axis=0).max()
    assert np.linalg.norm(answer["joints2d"] - answer["given2d"], axis=-1).mean() < 0.04 * hand
    # It can be handled: not scaled, and its origin is at the wrist.
    wrist = template().regressor[0] @ shape(ob)
    assert np.linalg.norm(wrist) < 1e-4 and np.allclose(ob.scale, 1, atol=1e-5)
    backgrounds = camera.data.background_images
    assert len(backgrounds) == 1 and backgrounds[0].image == photo and camera.data.show_background_images


def test_the_render_has_the_hand_where_the_picture_has_it(photo: bpy.types.Image) -> None:
    """Nothing of ours is asked where the camera sees what: a render's own pixels are."""
    scene = bpy.context.scene
    job = ask(bpy.ops.hhmr.reconstruct)
    scene.render.engine, scene.cycles.samples = "CYCLES", 4
    scene.render.film_transparent = True
    scene.render.resolution_x = scene.render.resolution_y = 200
    scene.render.filepath = bpy.app.tempdir + "overlay.png"
    bpy.ops.render.render(write_still=True)
    image = bpy.data.images.load(scene.render.filepath)
    alpha = np.array(image.pixels).reshape(200, 200, 4)[::-1, :, 3] > 0.5
    x, y = (job.result[1]["joints2d"][0] * 2).T  # of the hypothesis that is shown
    u, v = (axis.astype(int).clip(0, 199) for axis in (x, y))  # the wrist lies below the picture
    near = [alpha[max(0, b - 2) : b + 3, max(0, a - 2) : a + 3] for a, b in zip(u, v)]
    within = alpha[v, u]
    tips_of = np.arange(21) % 4 == 0
    tips_of[0] = False
    assert within[~tips_of].all()  # in the flesh
    assert all(part.any() for part in near)  # a fingertip's joint lies on its skin: at most two pixels beside
    tips = np.flatnonzero(alpha.any(axis=1))[0]
    assert abs(tips - y.min()) < 12  # the skin of the topmost fingertip is a few millimetres beyond its joint


def test_a_picture_of_another_shape_lies_where_the_background_shows_it(photo: bpy.types.Image) -> None:
    set_render(200, 100)
    job = ask(bpy.ops.hhmr.reconstruct)
    ob = bpy.context.object
    # It is fitted into the middle half of the render.
    np.testing.assert_allclose(in_render(ob) * (200, 100) - (50, 0), job.result[1]["joints2d"], atol=0.05)


def test_the_cameras_background_is_the_picture_where_none_is_chosen(photo: bpy.types.Image) -> None:
    bpy.context.scene.hhmr.photo = None
    shown = background(bpy.context.scene.camera, photo, frame_method="FIT", scale=0.5, offset=(0.2, 0.1))
    job = ask(bpy.ops.hhmr.reconstruct)
    x, y = 25 + 20, 25 - 10
    pixels = in_render(bpy.context.object) * 100
    height, width = job.arrays["photo"].shape[:2]
    corner = (
        width - 100,
        0,
    )  # of the picture in what was sent: its own pixels are half as large in the render
    np.testing.assert_allclose((pixels - (x, y)) * 2 + corner, job.result[1]["joints2d"], atol=0.1)
    assert len(bpy.context.scene.camera.data.background_images) == 1 and shown.scale == 0.5


def test_a_mirrored_picture_has_a_left_hand(photo: bpy.types.Image) -> None:
    background(bpy.context.scene.camera, photo, frame_method="FIT", use_flip_x=True)
    job = ask(bpy.ops.hhmr.reconstruct)
    ob = bpy.context.object
    assert ob.data[SIDE] == "left" == job.result[0]["side"]
    np.testing.assert_allclose(in_render(ob) * 100, job.result[1]["joints2d"], atol=0.05)
    assert is_wound_outwards(ob)


def is_wound_outwards(ob: bpy.types.Object) -> bool:
    """Whether the volume under the faces is positive."""
    mesh = ob.data
    mesh.calc_loop_triangles()
    places = shape(ob)
    corners = np.array([places[list(t.vertices)] for t in mesh.loop_triangles], float)
    return float(np.linalg.det(corners).sum()) > 0


def test_again_takes_the_place_of_what_was_made_before(photo: bpy.types.Image) -> None:
    press(bpy.ops.hhmr.reconstruct)
    ob = bpy.context.object
    kept = shape_keys.hypotheses(ob)[1].name
    bpy.ops.hhmr.keep(name=kept)
    before = in_render(ob)[1]
    ob.matrix_world = Matrix.LocRotScale(Vector((3, 1, 2)), Euler((1, 2, 3)), Vector((2, 2, 2)))
    bpy.context.view_layer.update()
    bpy.context.scene.hhmr.seed = 7
    bpy.context.scene.hhmr.count = 3
    job = ask(bpy.ops.hhmr.reconstruct)
    assert bpy.context.object == ob and [one.kept for one in shape_keys.hypotheses(ob)] == [True] + 3 * [
        False
    ]
    np.testing.assert_allclose(in_render(ob)[1:] * 100, job.result[1]["joints2d"], atol=0.1)
    assert np.abs(in_render(ob)[0] - before).max() > 0.05  # what was kept moved along with the object
    bpy.context.view_layer.objects.active = None
    press(bpy.ops.hhmr.reconstruct)
    assert bpy.context.object != ob and len([one for one in bpy.data.objects if one.type == "MESH"]) == 2


def test_undo_and_redo_are_one_step(photo: bpy.types.Image) -> None:
    bpy.ops.ed.undo_push(message="before")
    press(bpy.ops.hhmr.reconstruct)
    name = bpy.context.object.name
    bpy.ops.ed.undo()
    assert [one.type for one in bpy.data.objects] == ["CAMERA"]
    assert len(bpy.context.scene.camera.data.background_images) == 0
    bpy.ops.ed.redo()
    assert len(keys(bpy.data.objects[name])) == 5
    assert len(bpy.context.scene.camera.data.background_images) == 1


def test_side_palm_and_box_are_asked_for(photo: bpy.types.Image) -> None:
    chosen = bpy.context.scene.hhmr
    chosen.photo_side, chosen.palm, chosen.photo_behind = "LEFT", 0.2, False
    photo.hhmr_box = (10, 5, 80, 90)
    job = ask(bpy.ops.hhmr.reconstruct)
    ob = bpy.context.object
    assert ob.data[SIDE] == "left" and is_wound_outwards(ob)
    joints = template().regressor @ shape(ob)
    assert np.linalg.norm(joints[9] - joints[0]) == pytest.approx(0.2, rel=0.25)
    np.testing.assert_array_equal(job.arrays["box"], [10, 5, 80, 90])
    assert len(bpy.context.scene.camera.data.background_images) == 0


def test_the_panel_names_the_other_hands(photo: bpy.types.Image) -> None:
    press(bpy.ops.hhmr.reconstruct)
    ob = bpy.context.object
    assert not any("hands found" in text for text in drawn())
    known = shape_keys.provenance(ob.data)
    shape_keys._store(
        ob.data, shape_keys.Provenance({**known.request, "hands": 2}, known.engine, known.hypotheses)
    )
    assert "2 hands found:" in drawn() and "2" in drawn()
    count = len(bpy.data.objects)
    bpy.ops.hhmr.reconstruct(hand=2)
    pump.wait(TIMEOUT)
    assert session.notice.code == "no_hand" and len(bpy.data.objects) == count


def state() -> tuple:
    """All that a request that fails must leave as it was."""
    camera = bpy.context.scene.camera
    return (
        sorted((one.name, one.type) for one in bpy.data.objects),
        sorted(one.name for one in bpy.data.images),
        len(bpy.data.meshes),
        len(camera.data.background_images) if camera is not None else None,
        bpy.context.scene.render.resolution_x,
    )


def no_camera() -> None:
    bpy.data.objects.remove(bpy.context.scene.camera)


def orthographic() -> None:
    bpy.context.scene.camera.data.type = "ORTHO"


def no_picture() -> None:
    bpy.context.scene.hhmr.photo = None


def one_pixel() -> None:
    bpy.context.scene.hhmr.photo = bpy.data.images.new("dot", 1, 1)


def render_result() -> None:
    bpy.context.scene.hhmr.photo = viewer()


def missing() -> None:
    image = bpy.context.scene.hhmr.photo
    image.filepath = "//not there.jpg"
    image.reload()


def movie() -> None:
    bpy.context.scene.hhmr.photo.source = "MOVIE"


def outside() -> None:
    bpy.context.scene.hhmr.photo.hhmr_box = (300, 300, 50, 50)


BAD = {
    no_camera: "no_camera",
    orthographic: "bad_camera",
    no_picture: "no_photo",
    one_pixel: "bad_photo",
    render_result: "bad_photo",
    missing: "bad_photo",
    movie: "bad_photo",
    outside: "bad_box",
}


@pytest.mark.parametrize("spoil", BAD, ids=lambda one: one.__name__)
def test_what_can_not_be_done_is_said_in_one_sentence(photo: bpy.types.Image, spoil) -> None:
    spoil()
    before = state()
    with pytest.raises(RuntimeError) as fault:
        bpy.ops.hhmr.reconstruct()
    assert session.run is None and session.notice.code == BAD[spoil] and state() == before
    text = session.notice.text
    assert text in str(fault.value) and text.endswith(".") and len(text) < 200
    assert text in " ".join(drawn())


def test_a_picture_without_a_hand(photo: bpy.types.Image) -> None:
    bpy.context.scene.hhmr.photo = add_image(100, 100, "noise")
    before = state()
    bpy.ops.hhmr.reconstruct()
    assert pump.wait(TIMEOUT)
    assert session.notice.code == "no_hand" and state() == before
    assert "Draw Box" in drawn()


def test_a_hand_that_was_deleted_meanwhile(photo: bpy.types.Image) -> None:
    press(bpy.ops.hhmr.reconstruct)
    ob = bpy.context.object
    bpy.ops.hhmr.reconstruct()
    bpy.data.objects.remove(ob)
    before = state()
    assert pump.wait(TIMEOUT)
    assert session.notice.code == "target_gone" and state() == before
