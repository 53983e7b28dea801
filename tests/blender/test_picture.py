"""Images of every kind, as bytes from the upper left corner on; what can't be read is said."""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np
import pytest

from hhmr_blender.capture import camera, picture
from hhmr_blender.problems import Problem
from tests.blender.test_camera import add_camera, add_image, background, set_render


def take(image: bpy.types.Image) -> picture.Picture:
    """What would be sent of a picture that fills the frame."""
    ob = bpy.context.scene.camera or add_camera()
    set_render(max(4, image.size[0]), max(4, image.size[1]))
    return picture.take(image, ob, camera.placement(camera.view(bpy.context.scene), image))


def problem_of(image: bpy.types.Image) -> str:
    with pytest.raises(Problem) as problem:
        take(image)
    assert problem.value.code in ("bad_photo", "bad_box")
    return problem.value.text


def colours(image: bpy.types.Image) -> np.ndarray:
    """[h, w, 4] from the upper left corner on."""
    flat = np.empty(len(image.pixels), np.float32)
    image.pixels.foreach_get(flat)
    return flat.reshape(image.size[1], image.size[0], -1)[::-1]


def saved(folder: Path, width: int = 64, height: int = 48, kind: str = "PNG") -> Path:
    """A picture's file, red to the right and green downwards, in which no two pixels are alike."""
    image = bpy.data.images.new("ramp", width, height)
    x, y = np.meshgrid(np.arange(width) / 255, np.arange(height)[::-1] / 255)
    ramp = np.stack([x, y, np.full_like(x, 0.5), np.ones_like(x)], axis=2).astype(np.float32)
    image.pixels.foreach_set(ramp.ravel())
    image.filepath_raw = str(folder / f"ramp.{kind.lower()}")
    image.file_format = kind
    image.save()
    bpy.data.images.remove(image)
    return folder / f"ramp.{kind.lower()}"


def is_ramp(pixels: np.ndarray, tolerance: int = 1) -> bool:
    x, y = np.meshgrid(np.arange(pixels.shape[1]), np.arange(pixels.shape[0]))
    expected = np.stack([x, y, np.full_like(x, 128)], axis=2)
    return bool((np.abs(pixels.astype(int) - expected) <= tolerance).all())


def test_bytes_come_upright_and_untouched(tmp_path: Path) -> None:
    image = bpy.data.images.load(str(saved(tmp_path)))
    taken = take(image)
    assert taken.pixels.dtype == np.uint8 and taken.pixels.flags.c_contiguous
    assert taken.pixels.shape == (48, 64, 3) and is_ramp(taken.pixels, 0)
    assert taken.box is None
    # 50 mm on a sensor of 36 mm.
    assert taken.focal == pytest.approx(64 * 50 / 36)


def test_a_packed_picture_whose_file_is_gone(tmp_path: Path) -> None:
    path = saved(tmp_path)
    image = bpy.data.images.load(str(path))
    image.pack()
    path.unlink()
    image.reload()
    assert is_ramp(take(image).pixels, 0)


def test_a_generated_picture_with_paint_on_it() -> None:
    image = add_image(40, 30)
    np.testing.assert_array_equal(take(image).pixels, np.rint(255 * colours(image)[..., :3]))


def test_float_pictures_are_brought_to_what_a_file_would_hold() -> None:
    image = bpy.data.images.new("float", 32, 32, float_buffer=True)
    linear = np.full((32, 32, 4), 1.0, np.float32)
    linear[..., :3] = (0.214041, 0.0, 7.0)  # sRGB 0.5, black, brighter than white
    linear[0, 0, 0] = np.nan
    image.pixels.foreach_set(linear.ravel())
    pixels = take(image).pixels
    assert (
        abs(int(pixels[0, 0, 0]) - 128) <= 1 and (pixels[..., 1] == 0).all() and (pixels[..., 2] == 255).all()
    )
    assert pixels[-1, 0, 0] == 0  # what is no number


def test_sixteen_bits(tmp_path: Path) -> None:
    image = bpy.data.images.new("deep", 64, 48, float_buffer=True)
    image.pixels.foreach_set(np.tile(np.float32([0.214041, 0.5, 0.0, 1.0]), 64 * 48))
    settings = bpy.context.scene.render.image_settings
    settings.file_format, settings.color_depth, settings.color_mode = "PNG", "16", "RGB"
    bpy.context.scene.view_settings.view_transform = "Standard"
    image.save_render(str(tmp_path / "deep.png"))
    deep = bpy.data.images.load(str(tmp_path / "deep.png"))
    assert deep.is_float
    first = take(deep).pixels[0, 0].astype(int)
    np.testing.assert_allclose(first, [128, 188, 0], atol=1)
    deep.colorspace_settings.name = "Non-Color"  # then Blender hands out what the file holds
    np.testing.assert_allclose(take(deep).pixels[0, 0].astype(int), first, atol=1)


def test_a_linear_byte_picture() -> None:
    image = bpy.data.images.new("bytes", 32, 32)
    image.colorspace_settings.name = "Linear Rec.709"
    image.pixels.foreach_set(np.tile(np.float32([0.2140, 0.2140, 0.2140, 1.0]), 32 * 32))
    assert abs(int(take(image).pixels[0, 0, 0]) - 128) <= 1


@pytest.mark.parametrize("is_float", [False, True])
def test_transparent_becomes_white(is_float: bool) -> None:
    image = bpy.data.images.new("alpha", 32, 32, alpha=True, float_buffer=is_float)
    half = 0.0 if is_float else 0.8  # floats are premultiplied
    image.pixels.foreach_set(np.tile(np.float32([half, half, half, 0.0]), 32 * 32))
    assert (take(image).pixels == 255).all()
    image.alpha_mode = "NONE"
    assert (take(image).pixels < 255).all()


def test_a_large_picture_is_averaged_before_it_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture, "LONGEST", 30)
    monkeypatch.setattr(picture, "STRIP", 500)
    image = add_image(90, 60)
    image.hhmr_box = (45, 30, 45, 30)
    taken = take(image)
    means = colours(image)[..., :3].reshape(20, 3, 30, 3, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(taken.pixels, 255 * means, atol=0.51)
    np.testing.assert_allclose(taken.box, [15, 10, 15, 10])
    assert taken.focal == pytest.approx(30 * 50 / 36)


def test_averages_between_samples() -> None:
    values = np.arange(7, dtype=np.float32)[:, None, None].repeat(3, axis=2)
    means = picture._average(values, np.array([0.0, 2.5, 5.25, 7.0]), axis=0)[:, 0, 0]
    expected = [(0 + 1 + 2 * 0.5) / 2.5, (2 * 0.5 + 3 + 4 + 5 * 0.25) / 2.75, (5 * 0.75 + 6) / 1.75]
    np.testing.assert_allclose(means, expected, rtol=1e-6)


def test_a_box_goes_along_with_the_picture() -> None:
    image = add_image(60, 40)
    image.hhmr_box = (50, 30, 30, 30)  # over the corner: what lies in the picture counts
    np.testing.assert_array_equal(take(image).box, [50, 30, 10, 10])
    ob = bpy.context.scene.camera
    background(ob, image, use_flip_x=True, use_flip_y=True, frame_method="FIT")
    np.testing.assert_array_equal(take(image).box, [0, 0, 10, 10])
    np.testing.assert_array_equal(take(image).pixels[0, 0], np.rint(255 * colours(image)[-1, -1, :3]))
    ob.data.background_images.clear()
    ob.data.shift_x = 0.25  # 15 pixels more on either side of the axis: 30 on one side of the picture
    np.testing.assert_array_equal(take(image).box, [80, 30, 10, 10])


def test_a_box_outside_the_picture() -> None:
    image = add_image(60, 40)
    image.hhmr_box = (100, 5, 20, 20)
    assert "outside 'picture'" in problem_of(image)
    bpy.context.scene.hhmr.photo = image
    bpy.ops.hhmr.clear_box()
    assert take(image).box is None


def test_what_can_not_be_read(tmp_path: Path) -> None:
    missing = bpy.data.images.load(str(saved(tmp_path)))
    (tmp_path / "ramp.png").unlink()
    missing.reload()
    assert str(tmp_path) in problem_of(missing) and "again" in problem_of(missing)
    (tmp_path / "text.jpg").write_text("no picture")
    assert "text.jpg" in problem_of(bpy.data.images.load(str(tmp_path / "text.jpg")))
    assert "1 x 1" in problem_of(bpy.data.images.new("dot", 1, 1))
    assert "save it as a picture" in problem_of(viewer())
    movie = bpy.data.images.new("movie", 32, 32)
    movie.source = "MOVIE"
    assert "is a movie" in problem_of(movie)
    assert "UDIM" in problem_of(bpy.data.images.new("tiles", 32, 32, tiled=True))


def viewer() -> bpy.types.Image:
    """The Render Result: it is there once something was rendered, and its pixels are not to be had."""
    found = next((one for one in bpy.data.images if one.source == "VIEWER"), None)
    if found is None:
        bpy.context.scene.render.engine = "CYCLES"
        bpy.context.scene.cycles.samples = 1
        set_render(16, 16)
        bpy.ops.render.render()
        found = bpy.data.images["Render Result"]
    return found


def test_a_picture_too_large_to_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture, "LARGEST", 1000)
    assert "megapixels" in problem_of(add_image(40, 40))


def test_a_sequence_gives_the_picture_of_the_frame(tmp_path: Path) -> None:
    for number in (1, 2):
        image = bpy.data.images.new("one", 32, 32)
        image.pixels.foreach_set(np.tile(np.float32([number / 5, 0, 0, 1]), 32 * 32))
        image.filepath_raw, image.file_format = str(tmp_path / f"shot_{number:04}.png"), "PNG"
        image.save()
    sequence = bpy.data.images.load(str(tmp_path / "shot_0001.png"))
    sequence.source = "SEQUENCE"
    assert "sequence" in problem_of(sequence)
    ob = bpy.context.scene.camera
    shown = background(ob, sequence, frame_method="FIT")
    # As Blender's own button does it, its dependency graph has to hear of the sequence.
    bpy.context.scene.collection.objects.link(bpy.data.objects.new("news", None))
    shown.image_user.frame_start, shown.image_user.frame_duration = 1, 2
    count = len(bpy.data.images)
    for number in (1, 2):
        bpy.context.scene.frame_set(number)
        assert take(sequence).pixels[0, 0, 0] == 51 * number
    assert len(bpy.data.images) == count
    (tmp_path / "shot_0002.png").unlink()
    assert "shot_0002" in problem_of(sequence) and len(bpy.data.images) == count
