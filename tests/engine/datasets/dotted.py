"""A dataset of nothing but hands before a camera, and photos with dots where three of their joints are."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import numpy as np

from hhmr_engine.data.sampler import sample_angles
from hhmr_engine.datasets.sample import HandSample
from hhmr_engine.hand import dof
from hhmr_engine.hand.rotation import rotation_matrix
from hhmr_engine.hand.skinning import skin
from hhmr_engine.hand.template import HandTemplate

DOTTED = (0, 8, 20)  # wrist, index tip, pinky tip: red, green, blue


@dataclass
class ListedHands:
    """Samples as a HandDataset."""

    samples: list[HandSample]
    name: str = "dotted"
    split: str = "train"
    skipped: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> HandSample:
        return self.samples[index]


def dotted_hands(
    template: HandTemplate,
    count: int,
    seed: int = 0,
    size: tuple[int, int] = (320, 240),
    name: str = "dotted",
) -> ListedHands:
    """Every third hand is a left one. Pixels are a little wider than high, and slanted."""
    rng = np.random.default_rng(seed)
    vertices, _ = skin(template, dof.rotations(template, sample_angles(count, rng, template)))
    width, height = size
    k = np.array(
        [[1.1 * height, 2.0, 0.48 * width], [0, 1.15 * height, 0.53 * height], [0, 0, 1]], np.float32
    )
    samples = []
    for number, hand in enumerate(vertices):
        hand = (hand - hand.mean(0)) @ rotation_matrix(rng.normal(0, 1.5, 3)).T.astype(np.float32)
        hand = hand + np.array([*rng.uniform(-0.06, 0.06, 2), rng.uniform(0.35, 0.5)], np.float32)
        side = "left" if number % 3 == 2 else "right"
        if side == "left":
            hand = hand * np.array([-1, 1, 1], np.float32)
        joints = template.regressor @ hand
        flat = joints @ k.T
        dots = (flat[:, :2] / flat[:, 2:])[list(DOTTED)]
        samples.append(
            HandSample(
                key=f"train/{number:05}",
                side=side,
                joints=joints,
                vertices=hand,
                intrinsics=k,
                image=partial(photo, dots, size, number),
                sequence=f"s{number // 10}",
                frame=number % 10,
            )
        )
    return ListedHands(samples, name)


def photo(dots: np.ndarray, size: tuple[int, int], number: int) -> np.ndarray:
    """[H,W,3] dark, with a soft dot in each colour; the brightness of the ground is the photo's own."""
    width, height = size
    y, x = np.mgrid[:height, :width] + 0.5
    away = (x - dots[:, 0, None, None]) ** 2 + (y - dots[:, 1, None, None]) ** 2
    light = 20 + number % 10 + 200 * np.exp(-away / (2 * (0.012 * height) ** 2))
    return light.transpose(1, 2, 0).round().astype(np.uint8)
