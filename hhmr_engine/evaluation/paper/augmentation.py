"""Test-time augmentation as MeshGraphormer does it (Lin et al. 2021), which the paper follows: many crops.

The same photo is looked at through crops of five sizes and 19 angles; every answer is brought onto that of
the plain crop by Procrustes, joints and vertices by themselves, and all are averaged, the plain one twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from ...reconstruction import AUGMENTED
from .protocols import aligned

SCALES = (1.0, 0.7, 0.8, 0.9, 1.1)  # of the crop's side; the plain crop is the first of all
DEGREES = (0, *(sign * 10 * tens for tens in range(1, 10) for sign in (1, -1)))


def _of_meshgraphormer() -> NDArray[np.float32]:
    rows = [(0.0, 0.0, scale, np.radians(angle)) for scale, angle in product(SCALES, DEGREES)]
    return np.array(rows, np.float32)


# Crops [C,4] as Request has them: right, down, scale, turn. The plain one is the first.
CROPS: dict[str, NDArray[np.float32]] = {
    "none": np.array(AUGMENTED[:1], np.float32),
    "few": np.array(AUGMENTED, np.float32),  # those of the engine's own `augment`
    "paper": _of_meshgraphormer(),  # 95
}


@dataclass(frozen=True)
class Answer:
    """Hypotheses of one hand, camera axes (y down, z away), metres."""

    joints: NDArray  # [n,21,3]
    vertices: NDArray  # [n,V,3]

    def __len__(self) -> int:
        return len(self.joints)


def fused(answers: list[Answer]) -> Answer:
    """One hypothesis of each crop's [n,...], the plain crop's first, into n that are means over crops."""
    if len(answers) == 1:
        return answers[0]
    plain = answers[0]
    return Answer(
        _average(plain.joints, [a.joints for a in answers]),
        _average(plain.vertices, [a.vertices for a in answers]),
    )


def _average(plain: NDArray, each: list[NDArray]) -> NDArray[np.float32]:
    total = plain.astype(np.float64)
    for points in each:
        total += aligned(points, plain)
    return (total / (1 + len(each))).astype(np.float32)
