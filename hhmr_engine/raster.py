"""A small software rasteriser in numpy: triangles to a z-buffer, and what a picture needs after it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Fragments:
    """The visible points of a mesh, one for each covered pixel."""

    pixel: NDArray[np.int64]  # [K] row * width + column
    face: NDArray[np.int64]  # [K]
    weight: NDArray[np.float32]  # [K, 3] barycentric
    depth: NDArray[np.float32]  # [K]

    def interpolate(self, attribute: NDArray, faces: NDArray) -> NDArray[np.float32]:
        """A per-vertex `attribute [V, C]` at every visible point, `[K, C]`."""
        corner = faces[self.face]
        result = self.weight[:, :1] * attribute[corner[:, 0]]
        for k in (1, 2):
            result += self.weight[:, k, None] * attribute[corner[:, k]]
        return result


def rasterise(points: NDArray, faces: NDArray, width: int, height: int) -> Fragments:
    """The nearest front-facing triangle at every pixel centre.

    `points [V, 3]`: x to the right and y down in pixels, depth away from the viewer; a face is seen from
    the side from which its corners run counter-clockwise (clockwise in these y-down pixels).
    """
    points = np.asarray(points, np.float64)
    corners = points[faces]
    x, y, depth = corners[..., 0], corners[..., 1], corners[..., 2]
    area = (x[:, 1] - x[:, 0]) * (y[:, 2] - y[:, 0]) - (x[:, 2] - x[:, 0]) * (y[:, 1] - y[:, 0])
    shown = np.flatnonzero(area < 0.0)
    x, y, depth, area = x[shown], y[shown], depth[shown], area[shown]

    # Edge k lies opposite to corner k; its function a*x + b*y + c is that corner's barycentric weight.
    following, last = [1, 2, 0], [2, 0, 1]
    a = (y[:, following] - y[:, last]) / area[:, None]
    b = (x[:, last] - x[:, following]) / area[:, None]
    c = (x[:, following] * y[:, last] - x[:, last] * y[:, following]) / area[:, None]

    triangle, row, column = _cover(a, b, c, y, width, height)
    centre_x, centre_y = column + 0.5, row + 0.5
    plane = [(g * depth).sum(1)[triangle] for g in (a, b, c)]
    fragment_depth = plane[0] * centre_x + plane[1] * centre_y + plane[2]
    nearest = _nearest(row * width + column, fragment_depth, width * height)

    triangle, centre_x, centre_y = triangle[nearest], centre_x[nearest, None], centre_y[nearest, None]
    weight = np.clip(a[triangle] * centre_x + b[triangle] * centre_y + c[triangle], 0.0, 1.0)
    pixel = row[nearest] * width + column[nearest]
    return Fragments(
        pixel, shown[triangle], weight.astype(np.float32), fragment_depth[nearest].astype(np.float32)
    )


def _cover(
    a: NDArray, b: NDArray, c: NDArray, y: NDArray, width: int, height: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Triangle, row and column of every pixel centre inside a triangle: first rows, then spans."""
    top = np.clip(np.ceil(y.min(1) - 0.5), 0, height).astype(np.int64)
    bottom = np.clip(np.floor(y.max(1) - 0.5), -1, height - 1).astype(np.int64)
    triangle, row = _ranges(top, bottom)
    rest = b[triangle] * (row[:, None] + 0.5) + c[triangle]
    slope = a[triangle]
    with np.errstate(divide="ignore", invalid="ignore"):
        bound = -rest / slope
    left = np.where(slope > 0.0, bound, -np.inf).max(1)
    right = np.where(slope < 0.0, bound, np.inf).min(1)
    right = np.where(((slope == 0.0) & (rest < 0.0)).any(1), -np.inf, right)
    first = np.clip(np.ceil(left - 0.5), 0, width).astype(np.int64)
    last = np.clip(np.floor(right - 0.5), -1, width - 1).astype(np.int64)
    span, column = _ranges(first, last)
    return triangle[span], row[span], column


def _ranges(first: NDArray, last: NDArray) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Every whole number of the ranges `first..last`, and which range it belongs to."""
    count = np.maximum(last - first + 1, 0)
    owner = np.repeat(np.arange(len(count)), count)
    start = np.cumsum(count) - count
    return owner, np.arange(len(owner)) - start[owner] + first[owner]


def _nearest(pixel: NDArray, depth: NDArray, size: int) -> NDArray[np.int64]:
    """The fragment with the smallest depth of every covered pixel.

    Depth, as a whole number, above the fragment's number in one key: one unordered minimum finds both.
    """
    if not len(pixel):
        return np.empty(0, np.int64)
    low, high = float(depth.min()), float(depth.max())
    scale = (2**30) / max(high - low, 1e-12)
    key = ((depth.astype(np.float64) - low) * scale).astype(np.int64) << 32 | np.arange(len(depth))
    buffer = np.full(size, np.iinfo(np.int64).max)
    np.minimum.at(buffer, pixel, key)
    return buffer[buffer < np.iinfo(np.int64).max] & 0xFFFFFFFF


def blur(image: NDArray, radius: int) -> NDArray[np.float32]:
    """`image [H, W]` blurred by two box filters of the radius in pixels; outside counts as zero."""
    result = np.asarray(image, np.float32)
    width = 2 * radius + 1
    for _ in range(2):
        for _ in range(2):
            # Down the rows, then the transposed picture: each sum runs along whole rows of memory.
            total = np.cumsum(np.pad(result, ((radius + 1, radius), (0, 0))), axis=0)
            result = ((total[width:] - total[:-width]) * np.float32(1.0 / width)).T
    return result


def shrink(image: NDArray, factor: int) -> NDArray[np.float32]:
    """`image [H, W, C]` averaged over blocks of `factor` by `factor` pixels."""
    total = image[::factor, ::factor].astype(np.float32)
    for row in range(factor):
        for column in range(factor):
            if row or column:
                total += image[row::factor, column::factor]
    return total / (factor * factor)
