"""One hand as a picture: where the camera stands, how light falls on skin, dots for given joints."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .hand.normals import vertex_normals
from .hand.skeleton import JOINT_PARENTS
from .raster import Fragments, blur, rasterise, shrink

OVERSAMPLE = 2
_CAMERA = 6.0  # distance of the camera in the sheet's largest half height: a long lens
_PADDING = 14  # pixels around the largest hand

# sRGB
SKIN, CLAY, DOT = (224, 175, 150), (146, 163, 184), (255, 132, 20)
_BONE = (90, 60, 40)

# Directions to the lights (x right, y up, z to the viewer) and their colours.
_KEY, _KEY_COLOUR = np.array([-0.52, 0.62, 0.58]), np.array([1.32, 1.24, 1.14])
_RIM, _RIM_COLOUR = np.array([0.85, 0.25, -0.30]), np.array([0.50, 0.56, 0.64])
_SKY, _GROUND = np.array([0.36, 0.38, 0.42]), np.array([0.20, 0.15, 0.13])
_WRAP = np.array([0.45, 0.26, 0.20])  # light that wanders under the skin comes out red
_REACH = 22  # pixels around a hand that its shadow and its darkening reach
_OCCLUSION = np.array([1.00, 1.55, 1.75], np.float32)  # absorption in creases: red goes last

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Scene:
    """Hands on screen: n hands in W views, in oversampled pixels, y down, depth away from the viewer."""

    points: NDArray  # [n, W, V, 3]
    normals: NDArray  # [n, W, V, 3], y up, z to the viewer
    faces: NDArray  # [F, 3]
    given: NDArray | None  # [n, W, 21, 3] in the same pixels, NaN unknown
    size: tuple[int, int]  # of a finished view, in pixels


def arrange(
    vertices: NDArray,
    joints: NDArray,
    faces: NDArray,
    given: NDArray | None,
    mirrored: bool,
    views: tuple[tuple[float, float], ...],
    size: tuple[int, int],
) -> Scene:
    """Hands upright, fingers up, palm to the viewer before each view's (yaw, pitch) in degrees turns them.

    All hands at one scale, each in the middle of its view of `size` pixels. `vertices [n, V, 3]`,
    `joints [n, 21, 3]`, `given [21, 3]` in one frame; `mirrored` for left hands.
    """
    vertices, faces = close_openings(vertices, faces)
    axes = _palm_axes(joints, mirrored)
    centre = 0.5 * (vertices.max(1) + vertices.min(1))[:, None]
    normals = vertex_normals(vertices, faces)
    half = 0.5 * float(np.ptp((vertices - centre) @ axes, axis=1).max())
    turned, points, dots = [], [], []
    for yaw, pitch in np.radians(views):
        view = axes @ _turn(yaw, pitch).T
        turned.append(normals @ view)
        points.append(_project((vertices - centre) @ view, half))
        if given is not None:
            dots.append(_project((given - centre) @ view, half))
    screen = np.stack(points, 1)
    low, high = screen[..., :2].min(2, keepdims=True), screen[..., :2].max(2, keepdims=True)
    room = np.array(size) * OVERSAMPLE - 2.0 * _PADDING * OVERSAMPLE
    scale = float((room / np.maximum((high - low).max((0, 1, 2)), 1e-12)).min())
    middle = np.concatenate([0.5 * (low + high), np.zeros_like(low[..., :1])], -1)
    offset = np.array([*size, 0.0]) * OVERSAMPLE / 2.0
    flip = np.array([scale, -scale, scale])

    def to_pixels(array: NDArray) -> NDArray:
        return (array - middle) * flip + offset

    shown = to_pixels(np.stack(dots, 1)) if dots else None
    return Scene(to_pixels(screen), np.stack(turned, 1), faces, shown, size)


def _palm_axes(joints: NDArray, mirrored: bool) -> NDArray:
    """`[n, 3, 3]`, columns: to the right, up along the fingers, out of the palm."""
    up = joints[:, [5, 9, 13, 17]].mean(1) - joints[:, 0]
    across = joints[:, 5] - joints[:, 17]
    out = np.cross(across, up) * (-1.0 if mirrored else 1.0)
    right = np.cross(up, out)
    axes = np.stack([right, up, out], axis=2)
    return axes / np.maximum(np.linalg.norm(axes, axis=1, keepdims=True), 1e-12)


def _turn(yaw: float, pitch: float) -> NDArray:
    """Rotation about the vertical, then about the horizontal axis of the picture."""
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    return np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]]) @ np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])


def _project(points: NDArray, half: float) -> NDArray:
    """Perspective that leaves the size at the hand's middle; depth grows away from the viewer."""
    distance = _CAMERA * max(half, 1e-12)
    nearness = distance / np.maximum(distance - points[..., 2:], 0.2 * distance)
    return np.concatenate([points[..., :2] * nearness, -points[..., 2:]], axis=-1)


def close_openings(vertices: NDArray, faces: NDArray) -> tuple[NDArray, NDArray]:
    """A flat lid on every open loop such as the wrist's, with its own vertices so that the rim is sharp."""
    directed = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).astype(np.int64)
    size = vertices.shape[1]
    single = ~np.isin(directed @ [size, 1], directed @ [1, size])
    following = dict(directed[single].tolist())
    parts, lids = [vertices], [faces]
    while following:
        start, loop = next(iter(following)), []
        while start in following:
            loop.append(start)
            start = following.pop(start)
        rim = vertices[:, loop]
        base = sum(part.shape[1] for part in parts)
        ring = base + np.arange(len(loop))
        parts += [rim, rim.mean(1, keepdims=True)]
        lids.append(np.stack([np.roll(ring, -1), ring, np.full(len(loop), base + len(loop))], axis=1))
    return np.concatenate(parts, axis=1), np.concatenate(lids)


def paint(scene: Scene, hand: int, view: int, kept: NDArray | None, paper: Colour) -> NDArray[np.uint8]:
    """The picture `[H, W, 3]` of one hand from one side; `kept [V]` bool is painted as clay."""
    width, height = scene.size
    picture = np.empty((height, width, 3), np.float32)
    picture[:] = linear(paper)
    paint_on(picture, scene, hand, view, kept)
    if scene.given is not None:
        draw_joints(picture, scene.given[hand, view, :, :2] / OVERSAMPLE)
    return encode(picture)


def paint_on(picture: NDArray, scene: Scene, hand: int, view: int, kept: NDArray | None = None) -> None:
    """One hand and its shadow over `picture [H, W, 3]` of linear light (in place)."""
    # Only the part of the picture that the hand and its shadow reach.
    points = scene.points[hand, view, :, :2] / OVERSAMPLE
    low = np.clip(np.floor(points.min(0)) - _REACH, 0, scene.size).astype(int)
    high = np.clip(np.ceil(points.max(0)) + _REACH, 0, scene.size).astype(int)
    if (high > low).all():
        window = picture[low[1] : high[1], low[0] : high[0]]
        window[:] = _paint_window(scene, hand, view, kept, low, window)


def _paint_window(
    scene: Scene, hand: int, view: int, kept: NDArray | None, corner: NDArray, paper: NDArray
) -> NDArray:
    """The hand and its shadow on `paper [h, w, 3]`, linear light, whose first pixel is `corner` (x, y)."""
    height, width = OVERSAMPLE * paper.shape[0], OVERSAMPLE * paper.shape[1]
    origin = np.array([*(OVERSAMPLE * corner), 0.0])
    seen = rasterise(scene.points[hand, view] - origin, scene.faces, width, height)
    lit = seen.interpolate(_illuminate(scene.normals[hand, view]), scene.faces)
    light, gloss, facing = lit[:, :3], lit[:, 3:4], lit[:, 4:]

    # Colour beside coverage, so that the edge blends with the paper after both are averaged.
    depth = (seen.depth[:, None] - seen.depth.min(initial=np.inf)) / OVERSAMPLE
    colour = light * _albedo(seen, scene, kept) + gloss
    layer = np.zeros((height * width, 6), np.float32)
    layer[seen.pixel] = np.concatenate([colour, np.ones_like(gloss), depth, facing], axis=1)
    layer = layer.reshape(height, width, 6)
    shade = _occlusion(layer[::OVERSAMPLE, ::OVERSAMPLE, 3:])
    layer = shrink(layer[..., :4], OVERSAMPLE)
    colour, coverage = layer[..., :3] * np.exp(-shade[..., None] * _OCCLUSION), layer[..., 3:]
    ground = paper * (1.0 - 0.22 * _cast_shadow(coverage[..., 0])[..., None])
    return colour + (1.0 - coverage) * ground


def _albedo(seen: Fragments, scene: Scene, kept: NDArray | None) -> NDArray:
    if kept is None:
        return linear(SKIN)
    # The lids' own vertices come last and are of neither kind.
    share = np.zeros((scene.points.shape[2], 1), np.float32)
    share[: len(kept), 0] = kept
    edge = np.clip((seen.interpolate(share, scene.faces) - 0.5) * 4.0 + 0.5, 0.0, 1.0)
    return edge * linear(CLAY) + (1.0 - edge) * linear(SKIN)


def _illuminate(normal: NDArray) -> NDArray[np.float32]:
    """Per vertex `[V, 5]`: the light that skin scatters (3), gloss, and how far it faces the viewer."""
    upward = 0.5 + 0.5 * normal[:, 1:2]
    light = upward * _SKY + (1.0 - upward) * _GROUND
    key = (normal @ _unit(_KEY))[:, None]
    light = light + np.maximum((key + _WRAP) / (1.0 + _WRAP), 0.0) ** 1.5 * _KEY_COLOUR
    facing = np.clip(normal[:, 2:3], 0.0, 1.0)
    rim = np.maximum(normal @ _unit(_RIM), 0.0)[:, None]
    light = light + rim * (1.0 - facing) * _RIM_COLOUR
    half = _unit(_unit(_KEY) + np.array([0.0, 0.0, 1.0]))
    gloss = 0.05 * np.maximum(normal @ half, 0.0)[:, None] ** 14
    return np.concatenate([light, gloss, facing], axis=1).astype(np.float32)


def _occlusion(layer: NDArray) -> NDArray:
    """How far, 0 to 1, each pixel lies behind what surrounds it: dark creases and contact shadows.

    Unsharp masking of the depth buffer (Luft, Colditz, Deussen 2006), at two sizes, fading where the
    surface turns away, which is an outline and no crease. `layer [H, W, 3]`: coverage, depth, facing.
    """
    inside, depth, facing = layer[..., 0], layer[..., 1], layer[..., 2]
    total = np.zeros_like(depth)
    for radius, strength in ((2, 0.5), (7, 0.7)):
        weight = np.maximum(blur(inside, radius), 1e-3)
        behind = depth - blur(depth * inside, radius) / weight
        total += strength * np.clip(behind / (1.6 * radius) - 0.04, 0.0, 1.0)
    return np.clip(total, 0.0, 1.0) * inside * np.clip(2.2 * facing - 0.3, 0.0, 1.0)


def _cast_shadow(coverage: NDArray) -> NDArray:
    """A soft shadow on the paper, below and to the right, away from the key light."""
    shifted = np.zeros_like(coverage)
    shifted[9:, 6:] = coverage[:-9, :-6]
    return blur(shifted, 7)


def draw_joints(picture: NDArray, points: NDArray) -> None:
    """Given joints as dots, and lines between those that are neighbours, over everything (in place)."""
    for joint, parent in enumerate(JOINT_PARENTS):
        if parent >= 0 and np.isfinite(points[[joint, parent]]).all():
            draw_line(picture, points[parent], points[joint], 1.1, linear(_BONE), 0.55)
    for point in points[np.isfinite(points).all(1)]:
        draw_line(picture, point, point, 4.2, linear((255, 255, 255)), 0.9)
        draw_line(picture, point, point, 3.2, linear(DOT), 1.0)


def draw_line(
    picture: NDArray, start: NDArray, end: NDArray, radius: float, colour: NDArray, alpha: float
) -> None:
    """A line with round ends, smooth at its edge; a dot when both ends are one point (in place)."""
    low = np.maximum(np.floor(np.minimum(start, end) - radius - 1), 0).astype(int)
    high = np.minimum(np.ceil(np.maximum(start, end) + radius + 2), picture.shape[1::-1]).astype(int)
    if (high <= low).any():
        return
    rows, columns = np.mgrid[low[1] : high[1], low[0] : high[0]]
    offset = np.stack([columns, rows], -1) + 0.5 - start
    along = end - start
    t = np.clip((offset @ along) / max(float(along @ along), 1e-9), 0.0, 1.0)
    distance = np.linalg.norm(offset - t[..., None] * along, axis=-1)
    amount = (alpha * np.clip(radius + 0.5 - distance, 0.0, 1.0))[..., None]
    patch = picture[low[1] : high[1], low[0] : high[0]]
    patch += amount * (colour - patch)


def _unit(vector: NDArray) -> NDArray:
    return vector / np.linalg.norm(vector)


def linear(colour: Colour | NDArray[np.uint8]) -> NDArray[np.float32]:
    """sRGB 0..255 as linear light."""
    value = np.asarray(colour, np.float32) / 255.0
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4).astype(np.float32)


def encode(picture: NDArray) -> NDArray[np.uint8]:
    """Linear light as sRGB bytes."""
    value = np.clip(picture, 0.0, 1.0)
    value = np.where(value <= 0.0031308, 12.92 * value, 1.055 * value ** (1.0 / 2.4) - 0.055)
    return (255.0 * value + 0.5).astype(np.uint8)
