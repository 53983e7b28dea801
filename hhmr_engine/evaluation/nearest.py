"""Nearest neighbours as a baseline: the training hands that fit best to the points that are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..hand.template import HandTemplate


@dataclass(frozen=True)
class NearestSettings:
    """average: how many of the nearest make the one answer; scale: whether a hand may be resized to fit."""

    average: int = 4
    scale: bool = True

    def __str__(self) -> str:
        return f"mean of {self.average}, {'resized' if self.scale else 'of their own size'}"


class NearestHands:
    """Looks a hand up among others: vertices [M,V,3] and joints [M,21,3], metres."""

    def __init__(self, template: HandTemplate, vertices: np.ndarray) -> None:
        self.vertices = np.asarray(vertices, np.float32)
        self.joints = (template.regressor @ self.vertices).astype(np.float32)
        self.nodes = template.nodes

    def __call__(self, told: np.ndarray, count: int, resized: bool = True) -> tuple[np.ndarray, np.ndarray]:
        """The `count` nearest, laid onto `told`: joints [21,3] or vertices [V,3], NaN = unknown.

        Returns vertices [count,V,3] and joints [count,21,3], the nearest first.
        """
        known = np.isfinite(told).all(1)
        if len(told) == 21:
            points = self.joints[:, known]
        else:
            kept = self.nodes[known[self.nodes]]
            points, known = self.vertices[:, kept], kept
        goal = told[known]
        scale, rotation, shift = similarities(points, goal, resized)
        laid = scale[:, None, None] * points @ rotation + shift[:, None]
        best = np.argsort(np.linalg.norm(laid - goal, axis=2).mean(1), kind="stable")[:count]
        both = np.concatenate([self.vertices[best], self.joints[best]], 1)
        both = scale[best, None, None] * both @ rotation[best] + shift[best, None]
        split = self.vertices.shape[1]
        return both[:, :split].astype(np.float32), both[:, split:].astype(np.float32)


def similarities(
    points: np.ndarray, goal: np.ndarray, scale: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Least squares of points [M,P,3] to [P,3]: scale [M], rotation [M,3,3] (points @ it), shift [M,3]."""
    points, goal = points.astype(np.float64), goal.astype(np.float64)
    middle, centre = points.mean(1), goal.mean(0)
    x, y = points - middle[:, None], goal - centre
    u, singular, vt = np.linalg.svd(x.transpose(0, 2, 1) @ y)
    sign = np.ones_like(singular)
    sign[:, 2] = np.sign(np.linalg.det(u @ vt))
    rotation = (u * sign[:, None]) @ vt
    factor = (singular * sign).sum(1) / (x**2).sum((1, 2)) if scale else np.ones(len(points))
    shift = centre - factor[:, None] * (middle[:, None] @ rotation)[:, 0]
    return factor, rotation, shift
