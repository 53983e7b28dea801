"""How the scene's camera sees, and where a picture lies in its frame, held against Blender's own words."""

from __future__ import annotations

import math

import bpy
import numpy as np
import pytest
from bpy_extras.object_utils import world_to_camera_view
from mathutils import Euler, Matrix, Vector

from hhmr_blender.capture import camera, picture
from hhmr_blender.problems import Problem


def add_camera(**settings) -> bpy.types.Object:
    """The scene's camera, turned, somewhere; settings of its data by name."""
    data = bpy.data.cameras.new("Camera")
    for name, value in settings.items():
        setattr(data, name, value)
    ob = bpy.data.objects.new("Camera", data)
    bpy.context.scene.collection.objects.link(ob)
    bpy.context.scene.camera = ob
    ob.matrix_world = Matrix.LocRotScale(Vector((1, -2, 3)), Euler((1.1, 0.4, -0.7)), None)
    bpy.context.view_layer.update()
    return ob


def add_image(width: int, height: int, name: str = "picture") -> bpy.types.Image:
    """A picture of noise."""
    image = bpy.data.images.new(name, width, height)
    colours = np.random.default_rng(0).integers(0, 256, (height, width, 4)) / 255
    colours[..., 3] = 1
    image.pixels.foreach_set(colours.astype(np.float32).ravel())
    return image


def set_render(width: int, height: int, aspect: tuple[float, float] = (1.0, 1.0)) -> None:
    render = bpy.context.scene.render
    render.resolution_x, render.resolution_y = width, height
    render.pixel_aspect_x, render.pixel_aspect_y = aspect


CAMERAS = {
    "plain": {},
    "long": {"lens": 135.0},
    "portrait sensor": {"sensor_fit": "VERTICAL", "sensor_height": 30.0},
    "forced width": {"sensor_fit": "HORIZONTAL", "sensor_width": 22.2},
    "shifted": {"shift_x": 0.21, "shift_y": -0.13},
}
RENDERS = [
    ((1920, 1080), (1.0, 1.0)),
    ((300, 500), (1.0, 1.0)),
    ((720, 576), (1.0, 1.09)),
    ((99, 100), (1, 1)),
]


@pytest.mark.parametrize("render", RENDERS, ids=str)
@pytest.mark.parametrize("name", CAMERAS)
def test_what_the_engine_is_told_projects_where_blender_does(name: str, render: tuple) -> None:
    """The picture has the render's aspect: the same point falls on the same part of both."""
    ob = add_camera(**CAMERAS[name])
    set_render(*render[0], render[1])
    (width, height), (ax, ay) = render
    image = add_image(round(120 * width * ax / height / ay), 120)
    seen = camera.view(bpy.context.scene)
    place = camera.placement(seen, image)
    taken = picture.take(image, ob, place)
    points = ob.matrix_world @ Vector((0.05, -0.02, -0.6)), ob.matrix_world @ Vector((-0.1, 0.07, -0.9))
    for point in points:
        u, v, _ = world_to_camera_view(bpy.context.scene, ob, point)
        expected = np.array([u, 1 - v]) * image.size
        np.testing.assert_allclose(pixel(point, seen, taken) - corner(taken, image), expected, atol=0.6)


def pixel(point: Vector, seen: camera.View, taken: picture.Picture) -> np.ndarray:
    """Where the engine's camera sees a point of the world: focal length, and the middle of what was sent."""
    x, y, z = (seen.matrix @ taken.matrix).inverted() @ point
    height, width = taken.pixels.shape[:2]
    return np.array([width / 2 + taken.focal * x / -z, height / 2 - taken.focal * y / -z])


def corner(taken: picture.Picture, image: bpy.types.Image) -> np.ndarray:
    """Where the picture's corner lies in what was sent: its noise is looked for."""
    own = picture._read(image, tuple(image.size))
    where = [
        (x, y)
        for y in range(taken.pixels.shape[0] - own.shape[0] + 1)
        for x in range(taken.pixels.shape[1] - own.shape[1] + 1)
        if np.array_equal(taken.pixels[y, x : x + own.shape[1]], own[0])
        and np.array_equal(taken.pixels[y : y + own.shape[0], x : x + own.shape[1]], own)
    ]
    assert len(where) == 1
    return np.array(where[0], float)


def test_a_shifted_lens_keeps_the_camera_looking_at_the_middle_of_what_is_sent() -> None:
    ob = add_camera(shift_x=0.25)
    set_render(200, 100)
    image = add_image(200, 100)
    taken = picture.take(image, ob, camera.placement(camera.view(bpy.context.scene), image))
    assert taken.pixels.shape == (100, 300, 3)  # the axis is 50 pixels left of the picture's middle
    np.testing.assert_array_equal(taken.pixels[:, 0], taken.pixels[:, 99])
    np.testing.assert_allclose(taken.matrix, Matrix.Identity(4), atol=1e-6)


@pytest.mark.parametrize("method", ["FIT", "CROP", "STRETCH"])
def test_a_picture_of_another_aspect_lies_as_the_background_shows_it(method: str) -> None:
    ob = add_camera()
    set_render(200, 100)
    image = add_image(120, 90)
    background(ob, image, frame_method=method)
    seen = camera.view(bpy.context.scene)
    place = camera.placement(seen, image)
    frame = {"FIT": (4 / 3, 1), "CROP": (2, 1.5), "STRETCH": (2, 1)}[method]
    np.testing.assert_allclose([place.width / seen.height, place.height / seen.height], frame, rtol=1e-6)
    taken = picture.take(image, ob, place)
    height, width = taken.pixels.shape[:2]
    assert width / height == pytest.approx(frame[0] / frame[1], rel=0.01)  # square pixels before the camera


def background(ob: bpy.types.Object, image: bpy.types.Image, **settings) -> bpy.types.CameraBackgroundImage:
    made = ob.data.background_images.new()
    made.image = image
    for name, value in settings.items():
        setattr(made, name, value)
    return made


def test_a_background_that_is_moved_scaled_turned_and_flipped() -> None:
    ob = add_camera()
    set_render(160, 120)
    image = add_image(160, 120)
    background(
        ob,
        image,
        offset=(0.1, -0.05),
        scale=1.5,
        rotation=math.radians(30),
        use_flip_x=True,
        frame_method="FIT",
    )
    seen = camera.view(bpy.context.scene)
    place = camera.placement(seen, image)
    assert place.flip_x and not place.flip_y and place.width == pytest.approx(1.5 * seen.width)
    taken = picture.take(image, ob, place)
    # The middle of the picture, 0.1 and -0.05 frame widths off, comes out where the engine's camera sees it.
    offset = Vector((0.1 * seen.width, -0.05 * seen.width, -1.0))
    middle = pixel(seen.matrix @ offset, seen, taken)
    # From there, 40 of the picture's pixels to the right as it is shown are 40 / 160 of its width, turned.
    turned = Matrix.Rotation(math.radians(-30), 4, "Z") @ Vector((0.25 * place.width, 0, 0))
    right = pixel(seen.matrix @ (offset + turned), seen, taken)
    np.testing.assert_allclose(right - middle, [0.25 * 160, 0], atol=0.01)


def test_the_picture_fits_into_the_frame_without_a_background() -> None:
    ob = add_camera()
    set_render(100, 200)
    image = add_image(100, 100)
    seen = camera.view(bpy.context.scene)
    place = camera.placement(seen, image)
    assert place.width == place.height == pytest.approx(seen.width)
    assert not camera.agrees(bpy.context.scene, image)
    bpy.context.scene.hhmr.photo = image
    bpy.ops.hhmr.match_render()
    assert camera.agrees(bpy.context.scene, image)
    assert tuple(bpy.context.scene.render.resolution_x for _ in "x") == (100,)
    assert ob == bpy.context.scene.camera


@pytest.mark.parametrize(("kind", "word"), [("ORTHO", "an orthographic"), ("PANO", "a panoramic")])
def test_cameras_without_perspective(kind: str, word: str) -> None:
    add_camera(type=kind)
    with pytest.raises(Problem, match=word) as problem:
        camera.view(bpy.context.scene)
    assert problem.value.code == "bad_camera"


@pytest.mark.parametrize("scale", [(1, 1, -1), (0, 1, 1)])
def test_mirrored_and_flat_cameras(scale: tuple[float, ...]) -> None:
    add_camera().scale = scale
    bpy.context.view_layer.update()
    with pytest.raises(Problem, match="apply its scale"):
        camera.view(bpy.context.scene)


def test_a_scene_without_a_camera_gets_one() -> None:
    with pytest.raises(Problem, match="no camera") as problem:
        camera.view(bpy.context.scene)
    assert problem.value.code == "no_camera"
    bpy.ops.hhmr.add_camera()
    assert camera.view(bpy.context.scene).width > 0


def test_a_scaled_camera_sees_what_an_unscaled_one_does() -> None:
    ob = add_camera()
    before = camera.view(bpy.context.scene).matrix.copy()
    ob.scale = (3, 3, 3)
    bpy.context.view_layer.update()
    np.testing.assert_allclose(camera.view(bpy.context.scene).matrix, before, atol=1e-6)
