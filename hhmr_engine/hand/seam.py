"""Keeping what was given exactly: a blend over the geodesic distance from it."""

from __future__ import annotations

import numpy as np

from .hierarchy import geodesic_distance, mesh_edges
from .template import HandTemplate

BLEND = 0.016  # metres over which the given part's displacement fades out
NEIGHBOURS = 8


class SeamBlend:
    """For one mask of kept vertices: how far into the generated part their displacement reaches."""

    def __init__(self, template: HandTemplate, kept: np.ndarray) -> None:
        """kept [V] bool, at least one True; template as arrays."""
        self.kept = np.flatnonzero(kept)
        distance = geodesic_distance(template.vertices, mesh_edges(template.faces), self.kept)
        self.near = np.flatnonzero((distance > 0) & (distance < BLEND))
        share = 1 - distance[self.near] / BLEND
        self.weight = (share * share * (3 - 2 * share))[:, None]
        gap = np.linalg.norm(template.vertices[self.near, None] - template.vertices[None, self.kept], axis=2)
        count = min(NEIGHBOURS, len(self.kept))
        none = np.zeros((0, count), int)
        self.source = np.argpartition(gap, count - 1, 1)[:, :count] if len(self.near) else none
        pull = 1 / (np.take_along_axis(gap, self.source, 1) ** 2 + 1e-7)
        self.pull = (pull / pull.sum(1, keepdims=True))[:, :, None]

    def __call__(self, vertices: np.ndarray, given: np.ndarray) -> np.ndarray:
        """vertices [n,V,3] with the kept ones replaced by given [V,3], and their surroundings moved along."""
        result = vertices.copy()
        displacement = given[self.kept] - vertices[:, self.kept]
        result[:, self.near] += self.weight * (displacement[:, self.source] * self.pull).sum(2)
        result[:, self.kept] = given[self.kept]
        return result
