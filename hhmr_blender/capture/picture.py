"""An image of Blender -> the upright 8 bit picture that the engine gets, whatever it is made of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import bpy
import numpy as np
from mathutils import Color, Matrix
from numpy.typing import NDArray

from ..problems import Problem
from .camera import Placement, background, pixels

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]

LONGEST = 4096
"""Pixels along a side that are sent: more show no more of a hand."""
SMALLEST = 16
LARGEST = 120_000_000
"""Pixels that are read: Blender hands them out as four floats each."""
STRIP = 4_000_000
"""Pixels that are worked on at once."""


@dataclass(frozen=True)
class Picture:
    """What is sent: x right, y down, the corner of the first pixel is (0, 0)."""

    pixels: Bytes
    """[h, w, 3]"""
    focal: float
    """Pixels."""
    matrix: Matrix
    """From the axes of a camera with this focal length that looks at its middle, to those of the scene's."""
    box: Floats | None
    """[4] x, y, width, height: where the hand is."""


def take(image: bpy.types.Image, camera: bpy.types.Object, place: Placement) -> Picture:
    """The picture, turned and sized as it lies in the camera's frame, with the box that was drawn on it.

    Raises Problem where there is nothing to read.
    """
    box = chosen_box(image)
    with _still(image, camera) as still:
        width, height = _readable(still, image.name)
        # Pixels of the result are square in the camera's frame, also where the image's are stretched there.
        focal = min(width / place.width, height / place.height)
        about = place.axis
        reach = [2 * max(part, 1 - part) for part in about]  # of the picture, with the axis in its middle
        focal *= min(1.0, LONGEST / (focal * max(reach[0] * place.width, reach[1] * place.height)))
        size = (max(1, round(focal * place.width)), max(1, round(focal * place.height)))
        sent = _read(still, size)
    if box is not None:
        box = box * np.tile(np.divide(size, (width, height)), 2)
    if place.flip_x:
        sent = sent[:, ::-1]
        box = box if box is None else np.array([size[0] - box[0] - box[2], *box[1:]])
    if place.flip_y:
        sent = sent[::-1]
        box = box if box is None else np.array([box[0], size[1] - box[1] - box[3], *box[2:]])
    axis = np.multiply(about, size)
    sent, corner = _about(sent, *axis)
    if box is not None:
        box = (box + [*corner, 0, 0]).astype(np.float32)
    # What is left to pixels being whole is no turn of the camera: it looks a little askew.
    askew = Matrix.Identity(4)
    for i, off in enumerate(np.divide(sent.shape[1::-1], 2) - (axis + corner)):
        askew[i][i] = focal * (place.width, place.height)[i] / size[i]
        askew[i][2] = (1, -1)[i] * -askew[i][i] * off / focal
    matrix = Matrix.Rotation(place.roll, 4, "Z") @ askew
    return Picture(np.ascontiguousarray(sent), focal, matrix, box)


def chosen_box(image: bpy.types.Image) -> NDArray[np.float64] | None:
    """The box drawn on an image, as far as it lies in it: [4], its own pixels from its upper left corner.

    Raises Problem where none of it does.
    """
    x, y, width, height = tuple(image.hhmr_box)
    if width <= 0 or height <= 0:
        return None
    limits = pixels(image)
    right, bottom = min(x + width, limits[0]), min(y + height, limits[1])
    if limits[0] and (right <= x or bottom <= y):
        raise Problem("bad_box", f"The box lies outside '{image.name}': draw it again, or clear it.")
    return np.array([x, y, right - x, bottom - y], float)


@contextmanager
def _still(image: bpy.types.Image, camera: bpy.types.Object) -> Iterator[bpy.types.Image]:
    """The image, or of a sequence the picture that the camera shows in this frame."""
    if image.source != "SEQUENCE":
        yield image
        return
    shown = background(camera, image)
    if shown is None:
        raise Problem(
            "bad_photo",
            f"'{image.name}' is a sequence: make it the camera's background, so that it is known which "
            "picture is meant, or choose a single one.",
        )
    path = bpy.path.abspath(image.filepath_from_user(image_user=shown.image_user))
    try:
        still = bpy.data.images.load(path)
    except RuntimeError as fault:
        raise _missing(image.name, path) from fault
    still.colorspace_settings.name = image.colorspace_settings.name
    still.alpha_mode = image.alpha_mode
    try:
        yield still
    finally:
        bpy.data.images.remove(still)


def _missing(name: str, path: str) -> Problem:
    return Problem("bad_photo", f"'{name}' can't be read from {path or 'its file'}: choose its file again.")


def _readable(image: bpy.types.Image, name: str) -> tuple[int, int]:
    """Width and height of what can be read. Raises Problem."""
    if image.source == "VIEWER":
        text = f"'{name}' can't be read: save it as a picture (Image > Save As) and choose that."
        raise Problem("bad_photo", text)
    if image.source == "MOVIE":
        raise Problem("bad_photo", f"'{name}' is a movie: save the frame as a picture and choose that.")
    if image.source == "TILED":
        raise Problem("bad_photo", f"'{name}' is made of tiles (UDIM): choose a single picture.")
    width, height = pixels(image)
    if width * height == 0 or len(image.pixels) != width * height * image.channels:
        raise _missing(name, bpy.path.abspath(image.filepath))
    if min(width, height) < SMALLEST:
        raise Problem("bad_photo", f"'{name}' has only {width} x {height} pixels: choose a larger picture.")
    if width * height > LARGEST:
        text = f"'{name}' has {width * height / 1e6:.0f} megapixels: shrink it (Image > Resize) below "
        raise Problem("bad_photo", f"{text}{LARGEST / 1e6:.0f}.")
    return width, height


def _read(image: bpy.types.Image, size: tuple[int, int]) -> Bytes:
    """Pixels [h, w, 3] from the upper left corner on, averaged to a size (w, h) that is no larger."""
    (width, height), channels = pixels(image), image.channels
    flat = np.empty(width * height * channels, np.float32)
    image.pixels.foreach_get(flat)
    rows = flat.reshape(height, width, channels)[::-1]
    across = np.linspace(0, width, size[0] + 1)
    down = np.linspace(0, height, size[1] + 1)
    made = np.empty((size[1], size[0], 3), np.uint8)
    step = max(1, STRIP * size[1] // (width * height))
    for first in range(0, size[1], step):
        edges = down[first : first + step + 1]
        upper, lower = int(edges[0]), int(np.ceil(edges[-1]))
        strip = _average(_opaque(rows[upper:lower], image), edges - upper, axis=0)
        strip = _shown(_average(strip, across, axis=1), image)
        made[first : first + step] = np.rint(255 * strip.clip(0, 1))
    return made


def _average(values: Floats, edges: NDArray[np.float64], axis: int) -> Floats:
    """Means of `values` between `edges`, in samples along an axis, which may lie inside a sample."""
    if len(edges) == values.shape[axis] + 1:
        return values
    values = np.moveaxis(values, axis, 0)
    sums = np.concatenate([np.zeros_like(values[:1], float), np.cumsum(values, axis=0, dtype=float)])
    whole = edges.astype(int).clip(0, len(values) - 1)
    at = sums[whole] + (edges - whole)[:, None, None] * values[whole]
    means = np.diff(at, axis=0) / np.diff(edges)[:, None, None]
    return np.moveaxis(means, 0, axis).astype(np.float32)


def _opaque(values: Floats, image: bpy.types.Image) -> Floats:
    """RGB [h, w, 3] of values [h, w, channels], on white where they are transparent."""
    channels = values.shape[2]
    colour = values[..., :3] if channels >= 3 else np.repeat(values[..., :1], 3, axis=2)
    colour = np.nan_to_num(colour, posinf=1.0)
    if channels != 4 or image.alpha_mode not in ("STRAIGHT", "PREMUL"):
        return colour
    alpha = values[..., 3:].clip(0, 1)
    # Blender holds bytes with straight alpha and floats premultiplied, whatever the file has.
    return (colour if image.is_float else colour * alpha) + (1 - alpha)


def _shown(colour: Floats, image: bpy.types.Image) -> Floats:
    """Colours as a photo's file has them (sRGB). Those of an 8 bit image are that already."""
    space = image.colorspace_settings
    linear = not space.is_data if image.is_float else space.name.startswith("Linear")
    if not linear:
        return colour
    # Floats are in the scene's working space, whatever the file was in.
    axes = (
        [Color(axis).from_scene_linear_to_rec709_linear() for axis in np.eye(3)] if image.is_float else None
    )
    colour = colour if axes is None else colour @ np.array(axes, np.float32)
    colour = colour.clip(0, 1)
    return np.where(colour <= 0.0031308, 12.92 * colour, 1.055 * colour ** (1 / 2.4) - 0.055)


def _about(sent: Bytes, x: float, y: float) -> tuple[Bytes, tuple[int, int]]:
    """The picture with its edges repeated until (x, y), where the camera looks, is its middle.

    Returns it and where the corner of the picture has come to lie. The engine's cameras have no shift.
    """
    height, width = sent.shape[:2]
    left, right = _margins(x, width)
    upper, lower = _margins(y, height)
    if not (left or right or upper or lower):
        return sent, (0, 0)
    return np.pad(sent, ((upper, lower), (left, right), (0, 0)), mode="edge"), (left, upper)


def _margins(middle: float, length: int) -> tuple[int, int]:
    """What to add before and after, so that a position is the middle: to half a pixel."""
    missing = round(length - 2 * middle)
    return max(missing, 0), max(-missing, 0)
