"""Turned squares of a photo: cut out as the networks' input, and points in them brought back to the photo."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from .photo import Photo


@dataclass(frozen=True)
class Crop:
    """A square of a photo: `x, y` its middle and `side` in the photo's pixels.

    `angle` in radians: how far the crop's own up is turned clockwise, as seen, from the photo's up.
    """

    x: float
    y: float
    side: float
    angle: float = 0.0

    @property
    def rotation(self) -> NDArray[np.float64]:
        """[2, 2]: directions in the crop -> directions in the photo."""
        c, s = math.cos(self.angle), math.sin(self.angle)
        return np.array([[c, -s], [s, c]])

    def to_photo(self, points: NDArray) -> NDArray[np.float64]:
        """Points `[..., 2]`, in parts of the crop's side from its first corner, in the photo's pixels."""
        return (np.asarray(points, np.float64) - 0.5) * self.side @ self.rotation.T + (self.x, self.y)

    def from_photo(self, points: NDArray) -> NDArray[np.float64]:
        """The inverse of `to_photo`."""
        return (np.asarray(points, np.float64) - (self.x, self.y)) @ self.rotation / self.side + 0.5

    def moved(self, right: float, down: float, scale: float = 1.0, turn: float = 0.0) -> Crop:
        """Shifted along its own axes by parts of its side, then scaled and turned about its middle."""
        x, y = self.to_photo(np.array([0.5 + right, 0.5 + down]))
        return Crop(float(x), float(y), self.side * scale, self.angle + turn)


def whole(photo: Photo, padding: float = 0.0, angle: float = 0.0) -> Crop:
    """The square round all of the photo, with `padding` of its longer side on each edge."""
    width, height = photo.size
    return Crop(width / 2, height / 2, max(width, height) * (1 + 2 * padding), angle)


def cut(photo: Photo, crops: list[Crop], side: int, edge: str) -> Tensor:
    """The crops as `[B, 3, side, side]` float32 in [0, 1].

    `edge`: what lies outside the photo, "zeros" (black) or "border" (its edge goes on).
    """
    return torch.stack([_cut(photo, crop, side, edge) for crop in crops])


def _cut(photo: Photo, crop: Crop, side: int, edge: str) -> Tensor:
    # The smallest level that still has a pixel for each of the crop's: bilinear sampling skips none.
    step = crop.side / (side * photo.factor)
    number = min(max(int(math.log2(max(step, 1.0))), 0), len(photo.levels) - 1)
    level = photo.levels[number]
    scale = photo.factor * 2**number

    centres = (np.arange(side) + 0.5) / side
    places = crop.to_photo(np.stack(np.meshgrid(centres, centres), -1)) / scale
    height, width = level.shape[:2]
    low = np.clip(np.floor(places.min((0, 1))) - 2, 0, (width - 1, height - 1)).astype(int)
    high = np.clip(np.ceil(places.max((0, 1))) + 2, low + 1, (width, height)).astype(int)
    window = level[low[1] : high[1], low[0] : high[0]]
    grid = 2 * (places - low) / (high - low) - 1
    pixels = torch.from_numpy(window.astype(np.float32) / 255).permute(2, 0, 1)[None]
    sampled = F.grid_sample(
        pixels, torch.from_numpy(grid)[None].float(), "bilinear", edge, align_corners=False
    )
    return sampled[0]
