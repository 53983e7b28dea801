"""Pieces of a mesh: which vertices hang together. numpy alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Mask = NDArray[np.bool_]

MIX = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], np.uint64)
"""Odd factors that spread bits: places are told apart by 64 bits made of their coordinates."""


def islands(points: Floats, triangles: Ints) -> Ints:
    """Island [n] of every vertex, named by its first one; vertices in the very same place hang together.

    Importers split vertices at the seams of textures: without welding, a hand falls to pieces there.
    """
    first = _same_place(points)
    a, b = (first[triangles[:, [0, 1]]].T, first[triangles[:, [1, 2]]].T)
    pairs = np.concatenate([a, b], axis=1)
    root = np.arange(len(points), dtype=np.int32)
    while True:
        ends = root[pairs]
        apart = ends[0] != ends[1]
        if not apart.any():
            return root[first]
        pairs, ends = pairs[:, apart], ends[:, apart]
        root[ends.max(axis=0)] = ends.min(axis=0)  # a root hangs itself on a smaller one: no circles
        while not np.array_equal(root, root[root]):
            root = root[root]


def boxes(points: Floats, labels: Ints) -> tuple[Ints, Floats, Floats]:
    """Labels that occur, ascending [k], and the lowest and highest corners of their bounding boxes [k, 3]."""
    order = np.argsort(labels, kind="stable")
    found, starts = np.unique(labels[order], return_index=True)
    ordered = points[order]
    return found, np.minimum.reduceat(ordered, starts), np.maximum.reduceat(ordered, starts)


def diagonal(points: Floats) -> float:
    """Of the bounding box of points [n, 3]."""
    return float(np.linalg.norm(points.max(axis=0) - points.min(axis=0)))


def _same_place(points: Floats) -> Ints:
    """First vertex [n] that is in the same place as each one."""
    bits = np.ascontiguousarray(points + np.float32(0), np.float32).view(np.uint32).astype(np.uint64)
    mixed = bits * MIX
    mixed ^= mixed >> np.uint64(29)
    code = mixed[:, 0] + (mixed[:, 1] << np.uint64(1)) + (mixed[:, 2] << np.uint64(2))
    _, first, inverse = np.unique(code, return_index=True, return_inverse=True)
    return first[inverse].astype(np.int32)
