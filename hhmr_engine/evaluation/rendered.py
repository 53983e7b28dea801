"""Held-out hands in rendered pictures, whole and half covered: the test set of photos with a known truth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from ..data.retarget import load_poses
from ..hand.frame import palm_frame
from ..hand.template import HandTemplate
from ..pictures import HandPictures, Pictures, PictureSettings
from ..pictures.camera import Framing
from .fitting2d import NOISE
from .testset import generator, recorded_hands, synthetic_hands

SEED = "hhmr-test-renders-1"
COUNT = 200
# The lens looks nearly at the hand, so that pictures with the principal point in their middle stay small.
SETTINGS = PictureSettings(held=0.1, occluder=0.0, framing=Framing(off_axis=0.02))
GREY = 128
FEWEST = 6  # joints that a half covered hand must show
COVERED = (8, 12)  # joints behind the cover: about half of 21


@dataclass(frozen=True)
class Render:
    """One picture and what is known of it: metres in the camera's axes (x right, y down, z away), pixels."""

    pixels: np.ndarray  # [H,W,3] uint8, the principal point in its middle
    focal: float
    vertices: np.ndarray  # [V,3]
    joints: np.ndarray  # [21,3]
    joints2d: np.ndarray  # [21,2] with noise; NaN: hidden
    sigma2d: np.ndarray  # [21]
    hand_size: float  # pixels

    @property
    def visible(self) -> np.ndarray:
        """[21] bool."""
        return np.isfinite(self.joints2d[:, 0])


def rendered_hands(
    template: HandTemplate, data: Path, cache: Path | None = None, count: int = COUNT
) -> list[tuple[Render, Render]]:
    """Up to `count` renders, each as it is and with about half of the joints covered.

    Sampled hands by the test seed and recordings of the test split, in turn. Covered joints are not given; a
    hand that would be left with fewer than FEWEST is passed over.
    """
    half = -(-count // 2)
    sampled = synthetic_hands(template, half).vertices
    recorded = recorded_hands(template, load_poses(template, data, cache), 1 + half // 5).first(half).vertices
    meshes = np.stack([sampled[: len(recorded)], recorded], 1).reshape(-1, *sampled.shape[1:])[:count]
    tensors, points = template.torch(), torch.from_numpy(meshes)
    rng = generator(SEED)
    drawer = HandPictures(template, seed=int(rng.integers(2**31)), settings=SETTINGS)
    pictures = drawer.draw(palm_frame(tensors, tensors.regressor @ points).to_palm(points))
    patterns = drawer.backgrounds.numpy()
    pairs = []
    for row in range(len(meshes)):
        plain = _render(template, pictures, row, rng)
        covered = _covered(plain, patterns[rng.integers(len(patterns))], rng)
        if covered.visible.sum() >= FEWEST:
            pairs.append((plain, covered))
    return pairs


def _render(template: HandTemplate, pictures: Pictures, row: int, rng: np.random.Generator) -> Render:
    """A crop laid into a larger picture, in whose middle the principal point is."""
    crop = pictures.pixels[row].permute(1, 2, 0).numpy()
    centre = pictures.centre[row].numpy()
    side = len(crop)
    half = int(np.ceil(np.maximum(centre, side - centre).max()))
    corner = np.round(half - centre).astype(int)
    pixels = np.full((2 * half, 2 * half, 3), GREY, np.uint8)
    pixels[corner[1] : corner[1] + side, corner[0] : corner[0] + side] = crop
    exact = pictures.joints2d[row].numpy() + corner
    size = float(np.ptp(exact, axis=0).max())
    noisy = exact + NOISE * size * rng.standard_normal((21, 2))
    vertices = pictures.vertices[row].numpy()
    return Render(
        pixels=pixels,
        focal=float(pictures.focal[row]),
        vertices=vertices,
        joints=template.regressor @ vertices,
        joints2d=np.where(pictures.visible[row].numpy()[:, None], noisy, np.nan).astype(np.float32),
        sigma2d=np.full(21, NOISE * size, np.float32),
        hand_size=size,
    )


def _covered(plain: Render, pattern: np.ndarray, rng: np.random.Generator) -> Render:
    """The same with a board before about half of the hand: one side of a line, in any direction."""
    middle = np.array(plain.pixels.shape[1::-1]) / 2
    exact = plain.focal * plain.joints[:, :2] / plain.joints[:, 2:] + middle
    angle = rng.uniform(0, 2 * np.pi)
    across = np.array([np.cos(angle), np.sin(angle)])
    order = np.sort(exact @ across)
    behind = rng.integers(COVERED[0], COVERED[1] + 1)
    edge = (order[-behind] + order[-behind - 1]) / 2
    height, width = plain.pixels.shape[:2]
    y, x = np.mgrid[:height, :width] + 0.5
    board = x * across[0] + y * across[1] > edge
    rows, columns = np.arange(height) % len(pattern), np.arange(width) % pattern.shape[1]
    pixels = np.where(board[..., None], pattern[rows][:, columns], plain.pixels)
    hidden = exact @ across > edge
    return replace(plain, pixels=pixels, joints2d=np.where(hidden[:, None], np.nan, plain.joints2d))
