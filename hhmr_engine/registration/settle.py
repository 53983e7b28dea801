"""Keeping what is kept of a foreign mesh exactly, after it was carried along."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import cKDTree

from ..hand.hierarchy import mesh_edges
from .surface import in_one_place

NEIGHBOURS = 8


def settle(
    points: np.ndarray, carried: np.ndarray, keep: np.ndarray, triangles: np.ndarray, reach: float
) -> np.ndarray:
    """carried [n,M,3] with the kept vertices of points [M,3] put back, and their surroundings moved along.

    keep [M] bool; triangles [F,3]; over `reach`, measured along the edges, the correction fades out.
    """
    points, first, welded = in_one_place(points)
    carried, keep = carried[:, first], np.bincount(welded, keep) > 0
    kept = np.flatnonzero(keep)
    if len(kept) == 0:
        return carried[:, welded]
    result = carried.copy()
    displacement = points[kept] - carried[:, kept]
    distance = _distance(points, welded[triangles], kept, reach)
    near = np.flatnonzero((distance < reach) & ~keep)
    if len(near):
        share = 1 - distance[near] / reach
        count = min(NEIGHBOURS, len(kept))
        gap, source = cKDTree(points[kept]).query(points[near], count)
        gap, source = gap.reshape(len(near), count), source.reshape(len(near), count)
        pull = 1 / (gap**2 + (1e-2 * reach) ** 2)
        weight = pull * (share * share * (3 - 2 * share) / pull.sum(1))[:, None]
        for k in range(count):
            result[:, near] += weight[:, k, None].astype(np.float32) * displacement[:, source[:, k]]
    result[:, kept] = points[kept]
    return result[:, welded]


def _distance(points: np.ndarray, triangles: np.ndarray, sources: np.ndarray, limit: float) -> np.ndarray:
    """Shortest way along edges from the nearest source to every vertex [M]; inf beyond the limit."""
    a, b = mesh_edges(triangles).T
    length = np.linalg.norm(points[a] - points[b], axis=1) + 1e-12
    graph = coo_matrix((length, (a, b)), shape=(len(points), len(points))).tocsr()
    return dijkstra(graph, directed=False, indices=sources, limit=limit, min_only=True)
