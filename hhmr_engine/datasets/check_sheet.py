"""Samples of datasets with what is annotated drawn over them: whether a mesh lies on its hand is seen."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw
from scipy.ndimage import binary_erosion

from ..hand.skeleton import JOINT_PARENTS
from ..overlay import Window, window_round
from ..raster import rasterise
from ..sheet import INK, PAPER, letters, png_bytes
from .sample import HandSample

TILE, CAPTION, COLUMNS = 300, 22, 4
_MESH, _BONE, _JOINT = (40, 200, 90), (255, 250, 240), (240, 120, 20)
_OPACITY = 0.25


def sheet(samples: list[tuple[str, HandSample]], faces: np.ndarray | None) -> bytes:
    """PNG of samples under their names; faces [F,3] of MANO's mesh, without which vertices are dots."""
    rows = -(-len(samples) // COLUMNS)
    paper = Image.new("RGB", (COLUMNS * TILE, rows * (TILE + CAPTION)), PAPER)
    draw = ImageDraw.Draw(paper)
    for number, (name, sample) in enumerate(samples):
        x, y = number % COLUMNS * TILE, number // COLUMNS * (TILE + CAPTION)
        paper.paste(_tile(sample, faces), (x, y))
        draw.text((x + 6, y + TILE + 3), name, INK, letters(13))
    return png_bytes(paper)


def _tile(sample: HandSample, faces: np.ndarray | None) -> Image.Image:
    points = sample.joints if sample.vertices is None else np.concatenate([sample.joints, sample.vertices])
    seen = _project(points, sample.intrinsics)
    box = seen[:, :2]
    if sample.box is not None:
        box = np.stack([sample.box[:2], sample.box[:2] + sample.box[2:]])
    try:
        photo = None if sample.image is None else Image.fromarray(sample.image())
    except ValueError:
        photo = None
    if not np.isfinite(box).any() and photo is not None:
        box = np.array([[0, 0], photo.size])
    window = window_round(box, (TILE, TILE))
    tile = Image.new("RGB", (TILE, TILE), PAPER) if photo is None else _cut(photo, window)
    if sample.vertices is not None:
        placed = np.concatenate([window.place(seen[21:, :2]), seen[21:, 2:]], 1)
        tile = _with_dots(tile, placed) if faces is None else _with_mesh(tile, placed, faces)
    _draw_skeleton(ImageDraw.Draw(tile), window.place(seen[:21, :2]))
    if sample.box is not None:
        corners = window.place(np.stack([sample.box[:2], sample.box[:2] + sample.box[2:]]))
        ImageDraw.Draw(tile).rectangle([*corners[0], *corners[1]], outline=_JOINT, width=2)
    return tile


def _project(points: np.ndarray, intrinsics: np.ndarray | None) -> np.ndarray:
    """[N,3] pixels and depth; without a camera along z, in millimetres."""
    if intrinsics is None:
        return 1000 * points
    seen = points.astype(np.float64) @ intrinsics.T.astype(np.float64)
    return np.concatenate([seen[:, :2] / seen[:, 2:], seen[:, 2:]], 1)


def _cut(photo: Image.Image, window: Window) -> Image.Image:
    left, top = window.middle - TILE / 2 / window.scale
    corner = (1 / window.scale, 0, float(left), 0, 1 / window.scale, float(top))
    return photo.transform((TILE, TILE), Image.Transform.AFFINE, corner, Image.Resampling.BILINEAR)


def _with_mesh(tile: Image.Image, points: np.ndarray, faces: np.ndarray) -> Image.Image:
    """The mesh, both sides of it, half transparent, with its outline."""
    found = rasterise(points, np.concatenate([faces, faces[:, ::-1]]), TILE, TILE)
    covered = np.zeros((TILE, TILE), bool)
    covered.reshape(-1)[found.pixel] = True
    picture = np.array(tile, np.float32)
    picture[covered] += _OPACITY * (np.array(_MESH, np.float32) - picture[covered])
    picture[covered & ~binary_erosion(covered, iterations=2)] = _MESH
    return Image.fromarray(picture.clip(0, 255).astype(np.uint8))


def _with_dots(tile: Image.Image, points: np.ndarray) -> Image.Image:
    draw = ImageDraw.Draw(tile)
    for x, y in points[:, :2]:
        draw.point((float(x), float(y)), _MESH)
    return tile


def _draw_skeleton(draw: ImageDraw.ImageDraw, points: np.ndarray) -> None:
    for joint, parent in enumerate(JOINT_PARENTS):
        if parent >= 0 and np.isfinite(points[[joint, parent]]).all():
            draw.line([tuple(points[parent]), tuple(points[joint])], _BONE, 2)
    for x, y in points[np.isfinite(points).all(1)]:
        draw.ellipse([x - 3, y - 3, x + 3, y + 3], _JOINT)
