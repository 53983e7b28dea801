"""Error against how much of a skeleton is missing and how noisy it is: what the paper names as its limit."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from . import metrics
from .asking import Asker, millimetres
from .testset import TestHands, generator

MISSING = (0, 4, 8, 12, 16)  # of 21 joints, any of them
NOISE = (0.0, 2.0, 5.0, 10.0, 20.0)  # mm, standard deviation of every coordinate
SEED = "hhmr-test-curves-1"


@dataclass(frozen=True)
class Curve:
    """PA-MPVPE in mm over x, means over hands; `refused`: requests in which the engine saw no hand."""

    x: tuple[float, ...]
    sample: tuple[float, ...]  # first draw
    mean: tuple[float, ...]  # mean of eight draws
    refused: int


def missing_joints(asker: Asker, hands: TestHands, method: str) -> Curve:
    """x: share of the joints that are unknown, other ones for every hand, nested from point to point."""
    rng = generator(SEED)
    order = np.stack([rng.permutation(21) for _ in range(len(hands))])
    points = [_errors(asker, hands, order.argsort(1) >= hidden, method) for hidden in MISSING]
    return _curve(asker, tuple(hidden / 21 for hidden in MISSING), points)


def noisy_joints(asker: Asker, hands: TestHands, method: str) -> Curve:
    """x: noise of all 21 joints; the engine is told how large it is (`rho`), as a user would."""
    noise = generator(SEED).normal(0, 1e-3, hands.joints.shape).astype(np.float32)
    points = []
    for size in NOISE:
        told = replace(hands, joints=hands.joints + size * noise)
        points.append(_errors(asker, told, np.ones(21, bool), method, rho=max(1.0, size)))
    return _curve(asker, NOISE, points)


def _errors(
    asker: Asker, hands: TestHands, seen: np.ndarray, method: str, rho: float = 1.0
) -> tuple[float, float]:
    """Last draw and mean of the draws against the true vertices, aligned."""
    rows = []
    for i, found in asker.joints(hands, seen, method, rho=rho):
        both = np.stack([found.vertices[-1], found.vertices.mean(0)])
        rows.append(millimetres(metrics.aligned_error(both, hands.vertices[i])))
    sample, mean = np.mean(rows, 0).tolist() if rows else (float("nan"), float("nan"))
    return sample, mean


def _curve(asker: Asker, x: tuple[float, ...], points: list[tuple[float, float]]) -> Curve:
    refused, asker.refused = asker.refused, 0
    sample, mean = zip(*points, strict=True)
    return Curve(x, sample, mean, refused)
