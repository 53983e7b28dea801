"""Pieces of a mesh: which vertices hang together. numpy alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Mask = NDArray[np.bool_]

MIX = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], np.uint64)
"""Odd factors that spread bits: places are told apart by 64 bits made of their coordinates."""


def islands(points: Floats, edges: Ints, open_edges: Mask) -> Ints:
    """Island [n] of every vertex, named by one of its own; edges [E, 2], and which of them end a surface.

    Open edges in the very same place hang together: importers split vertices at the seams of textures, and
    without welding a hand falls to pieces there.
    """
    seam = np.unique(edges[open_edges])
    pairs = np.concatenate([edges.T, np.stack([seam, seam[_first_in_place(points[seam])]])], axis=1)
    a, b = pairs.astype(np.int32)
    root = np.arange(len(points), dtype=np.int32)
    while True:
        ends_a, ends_b = root[a], root[b]
        apart = ends_a != ends_b
        if not apart.any():
            return root
        a, b, ends_a, ends_b = a[apart], b[apart], ends_a[apart], ends_b[apart]
        root[np.maximum(ends_a, ends_b)] = np.minimum(ends_a, ends_b)  # on a smaller one: no circles
        above = root[root]
        while not np.array_equal(root, above):
            root, above = above, above[above]


def boxes(points: Floats, labels: Ints) -> tuple[Ints, Floats, Floats]:
    """Labels that occur, ascending [k], and the lowest and highest corners of their bounding boxes [k, 3]."""
    order = np.argsort(labels, kind="stable")
    ordered, labels = points[order], labels[order]
    starts = np.flatnonzero(np.diff(labels, prepend=-1))
    return labels[starts], np.minimum.reduceat(ordered, starts), np.maximum.reduceat(ordered, starts)


def diagonal(points: Floats) -> float:
    """Of the bounding box of points [n, 3]."""
    return float(np.linalg.norm(points.max(axis=0) - points.min(axis=0)))


def _first_in_place(points: Floats) -> Ints:
    """First of the points [n, 3] that are in the same place as each one, [n]."""
    bits = np.ascontiguousarray(points + np.float32(0), np.float32).view(np.uint32).astype(np.uint64)
    mixed = bits * MIX
    mixed ^= mixed >> np.uint64(29)
    code = mixed[:, 0] + (mixed[:, 1] << np.uint64(1)) + (mixed[:, 2] << np.uint64(2))
    _, first, inverse = np.unique(code, return_index=True, return_inverse=True)
    return first[inverse].astype(np.int32)
