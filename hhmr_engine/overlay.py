"""The sheet of a picture's hands: the best one over the picture, then all from the camera and from the side.

The camera's view shows how well hands agree with what is seen, the side's how much they differ in depth. How
far away the whole hand is cannot be seen without its size, so from the side all palms are laid on each other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from .hand.normals import vertex_normals
from .hand.skeleton import JOINT_PARENTS, PALM_JOINTS
from .portrait import DOT, OVERSAMPLE, Colour, Scene, close_openings, draw_line, encode, linear, paint_on
from .sheet import (
    CARD,
    HEADER,
    INK,
    LABEL,
    MARGIN,
    PAPER,
    VIEW,
    columns_for,
    letters,
    paste_cards,
    png_bytes,
    write_header,
)

if TYPE_CHECKING:
    from .engine import Hypotheses
    from .vision.photo import Photo

_CAPTIONS = ("what is given", "the first hypothesis over it", "all from the side, palms together")
_PANEL_HEIGHT, _CAPTION = 460, 28
_LEAST_PANEL = 400  # pixels, its width
_ROOM = 1.25  # of a view, round the hands in it
_OPACITY = 0.7
_PROJECTED: Colour = (30, 110, 210)
_WHITE: Colour = (255, 255, 255)


@dataclass(frozen=True)
class Window:
    """A part of a plane, shown `size` pixels large."""

    middle: NDArray  # [2] in the plane's own unit
    scale: float  # pixels for each of the plane's units
    size: tuple[int, int]

    def place(self, points: NDArray) -> NDArray:
        """Points `[..., 2]` of the plane in the window's pixels."""
        return (points - self.middle) * self.scale + np.array(self.size) / 2


def window_round(points: NDArray, size: tuple[int, int]) -> Window:
    """The window with all known points `[..., 2]` in it, and room round them."""
    points = points.reshape(-1, 2)
    low, high = np.nanmin(points, 0), np.nanmax(points, 0)
    scale = float((np.array(size) / np.maximum(high - low, 1e-6)).min()) / _ROOM
    return Window((low + high) / 2, scale, size)


def overlay_png(found: Hypotheses, photo: Photo | None) -> bytes:
    """The sheet as the bytes of a PNG file; without a photo the hand stands on plain ground."""
    return png_bytes(overlay_sheet(found, photo))


def overlay_sheet(found: Hypotheses, photo: Photo | None) -> Image.Image:
    """One picture of all hypotheses of a picture, whose pixels `found` is in."""
    count = len(found.vertices)
    card = (2 * VIEW[0], VIEW[1] + LABEL)
    columns = columns_for(count, card)
    width = max(columns * (card[0] + MARGIN) + MARGIN, 3 * (_LEAST_PANEL + MARGIN) + MARGIN)
    top = HEADER + _PANEL_HEIGHT + MARGIN
    sheet = Image.new("RGB", (width, top + math.ceil(count / columns) * (card[1] + MARGIN)), PAPER)
    draw = ImageDraw.Draw(sheet)
    write_header(draw, found, [(DOT, "given joint"), (_PROJECTED, "the hypothesis' own")], width)

    size = ((width - MARGIN) // 3 - MARGIN, _PANEL_HEIGHT - _CAPTION)
    captions = (*_CAPTIONS[:2], f"{_CAPTIONS[2]}; {_distances(found)} away")
    for k, (picture, caption) in enumerate(zip(panels(found, photo, size), captions)):
        left = MARGIN + k * (size[0] + MARGIN)
        draw.rectangle((left, HEADER, left + size[0] - 1, HEADER + _PANEL_HEIGHT - 1), CARD)
        sheet.paste(Image.fromarray(encode(picture)), (left, HEADER))
        draw.text((left + 10, HEADER + size[1] + 5), caption, INK, letters(15))
    paste_cards(sheet, found, _arrange(found, VIEW), None, top, columns)
    return sheet


def panels(found: Hypotheses, photo: Photo | None, size: tuple[int, int]) -> list[NDArray[np.float32]]:
    """Linear light `[H, W, 3]`: what is given, the first hypothesis over it, all skeletons from the side."""
    assert found.given2d is not None and found.joints2d is not None
    window = window_round(_outline(found, 1), size)
    ground = np.full((size[1], size[0], 3), linear(CARD), np.float32)
    if photo is not None:
        ground = linear(np.asarray(crop(photo, window)))
    given = ground.copy()
    _draw_skeleton(given, window.place(found.given2d), linear(DOT), 2.0)
    _draw_dots(given, window.place(found.given2d), 4.0)

    covered = ground.copy()
    paint_on(covered, _from_camera(found, window, 1), 0, 0)
    covered = _OPACITY * covered + (1.0 - _OPACITY) * ground
    _draw_skeleton(covered, window.place(found.joints2d[0]), linear(_PROJECTED), 2.0)
    _draw_dots(covered, window.place(found.given2d), 3.4)

    side = np.full_like(ground, linear(CARD))
    joints = _from_the_right(found, found.joints)
    beside = window_round(_from_the_right(found, found.vertices), size)
    for k in reversed(range(len(joints))):
        _draw_skeleton(side, beside.place(joints[k]), linear(_hue(k)), 2.6 if k == 0 else 1.3)
    return [given, covered, side]


def crop(photo: Photo, window: Window) -> Image.Image:
    """What a window shows of a photo; beyond its edges, plain ground."""
    half = np.array(window.size) / window.scale / 2
    corners = np.concatenate([window.middle - half, window.middle + half])
    limits = np.array([*photo.size, *photo.size])
    low, high = np.split(np.clip(corners, 0, limits), 2)
    result = Image.new("RGB", window.size, CARD)
    place = np.round(window.place(np.stack([low, high]))).astype(int)
    extent = place[1] - place[0]
    if (extent > 0).all():
        held = Image.fromarray(photo.pixels)
        box = np.minimum(np.concatenate([low, high]) / photo.factor, [*held.size, *held.size])
        part = held.resize(tuple(extent), Image.Resampling.BICUBIC, tuple(box), reducing_gap=3.0)
        result.paste(part, tuple(place[0]))
    return result


def _project(points: NDArray, camera: NDArray) -> NDArray:
    """Points `[..., 3]` of Blender's camera axes: pixels of the picture, and metres away from the camera."""
    focal, centre = camera[0], camera[1:]
    depth = np.maximum(-points[..., 2:], 1e-3)
    return np.concatenate([points[..., :2] * [1, -1] * focal / depth + centre, depth], axis=-1)


def _from_the_right(found: Hypotheses, points: NDArray) -> NDArray:
    """Points `[n, P, 3]` of the hands from the camera's right: metres away from their palms, and down."""
    return -(points - _palms(found))[..., [2, 1]]


def _palms(found: Hypotheses) -> NDArray:
    """The middles of the palms `[n, 1, 3]`."""
    return found.joints[:, PALM_JOINTS].mean(1, keepdims=True)


def _distances(found: Hypotheses) -> str:
    """From the camera to the palms."""
    low, high = (f"{value:.2f}" for value in (-_palms(found)[:, 0, 2].max(), -_palms(found)[:, 0, 2].min()))
    return f"{low} m" if low == high else f"{low} to {high} m"


def _outline(found: Hypotheses, count: int | None = None) -> NDArray:
    """Points `[P, 2]` that a view of the first `count` must hold, no farther away than the hand is large."""
    assert found.camera is not None and found.given2d is not None and found.box is not None
    seen = _project(found.vertices[:count], found.camera)[..., :2].reshape(-1, 2)
    size = float(found.box[2:].max())
    seen = np.clip(seen, found.box[:2] - size, found.box[:2] + found.box[2:] + size)
    return np.concatenate([seen, found.given2d])


def _from_camera(found: Hypotheses, window: Window, count: int | None = None) -> Scene:
    """The first `count` hypotheses, or all, as the picture's camera sees them in a window."""
    assert found.camera is not None
    vertices, faces = close_openings(found.vertices[:count], found.faces)
    pixels = _project(vertices, found.camera)
    middle = float(pixels[..., 2].mean())
    depth = pixels[..., 2:] * (found.camera[0] / middle * window.scale)
    points = OVERSAMPLE * np.concatenate([window.place(pixels[..., :2]), depth], axis=-1)
    return Scene(points[:, None], vertex_normals(vertices, faces)[:, None], faces, None, window.size)


def _arrange(found: Hypotheses, size: tuple[int, int]) -> Scene:
    """All hypotheses from the camera, with the given joints, and from its right."""
    assert found.given2d is not None
    window = window_round(_outline(found), size)
    front = _from_camera(found, window)
    dots = np.full((len(found.vertices), 2, 21, 3), np.nan)
    dots[:, 0, :, :2] = OVERSAMPLE * window.place(found.given2d)

    vertices, faces = close_openings(found.vertices, found.faces)
    window = window_round(_from_the_right(found, found.vertices), size)
    beside = window.place(_from_the_right(found, vertices))
    points = OVERSAMPLE * np.concatenate([beside, -vertices[..., :1] * window.scale], axis=-1)
    normals = vertex_normals(vertices, faces)[..., [2, 1, 0]] * [-1, 1, 1]
    return Scene(
        np.concatenate([front.points, points[:, None]], 1),
        np.concatenate([front.normals, normals[:, None]], 1),
        faces,
        dots,
        size,
    )


def _draw_skeleton(picture: NDArray, points: NDArray, colour: NDArray, radius: float) -> None:
    """Lines between neighbouring joints `[21, 2]` that are both known, with a bright edge (in place)."""
    bones = [(points[parent], point) for parent, point in zip(JOINT_PARENTS, points) if parent >= 0]
    bones = [bone for bone in bones if np.isfinite(bone).all()]
    for start, end in bones:
        draw_line(picture, start, end, radius + 0.8, linear(_WHITE), 0.5)
    for start, end in bones:
        draw_line(picture, start, end, radius, colour, 0.9)


def _draw_dots(picture: NDArray, points: NDArray, radius: float) -> None:
    for point in points[np.isfinite(points).all(1)]:
        draw_line(picture, point, point, radius + 1.0, linear(_WHITE), 0.9)
        draw_line(picture, point, point, radius, linear(DOT), 1.0)


def _hue(k: int) -> Colour:
    """The projected skeleton's blue for the first; the others lie round the colour wheel."""
    if k == 0:
        return _PROJECTED
    angle = 2 * math.pi * (k * 0.618034 % 1.0)
    red, green, blue = (round(150 + 80 * math.cos(angle - turn)) for turn in (0.0, 2.1, 4.2))
    return red, green, blue
