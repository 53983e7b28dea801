"""Self-intersection of hand meshes: which faces pass through which, and the per cent of faces that do (SI).

Two figures: over all faces, which the creases at the finger roots dominate, and with adjacent segments left
out, which is what a user sees as a finger going through another or through the palm.

Broad phase: bounding boxes in each hand's principal axes, first of groups of neighbouring faces. Exact phase:
signs of determinants in float64 (lines in Pluecker coordinates), so that a finger that only just touches is
not a matter of a tolerance. Triangles are closed sets: touching counts, and so does overlapping in one plane.
Two faces that share a vertex never count, nor do faces without area.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_PACK = 8  # neighbouring faces that share a box in the broad phase
_EDGES = ([0, 1, 2], [1, 2, 0])


class SelfIntersection:
    """Self-intersection of all hands that share one topology.

    `faces [F, 3]`; `weights [V, bones]` and `parents [bones]` (-1: root) say what an adjacent segment is:
    a face belongs to the bone that moves it most, and two faces are adjacent when their bones are the same or
    parent and child, where the palm (the root and its children) is one bone.
    """

    def __init__(self, faces: NDArray, weights: NDArray, parents: NDArray) -> None:
        self.faces = np.asarray(faces, np.int64)
        self.segments = face_segments(self.faces, weights)
        self._sharing = sharing_vertex(self.faces)
        near = adjacent_bones(parents)
        self._adjacent = near[self.segments[:, None], self.segments[None, :]] | self._sharing
        self._groups: dict[bool, Groups] = {}

    def pairs(self, vertices: NDArray, adjacent: bool = False) -> NDArray[np.int64]:
        """Intersecting faces `[P, 3]` as (hand, face, face), sorted, of `vertices [n, V, 3]`.

        `adjacent=True` looks at adjacent segments too.
        """
        skip = self._sharing if adjacent else self._adjacent
        if adjacent not in self._groups and len(vertices):
            # Segments hardly bend, so the groups of any one hand serve all others.
            members = _pack(vertices[0][self.faces].mean(1), self.segments)
            self._groups[adjacent] = Groups(members, _needed(members, skip))
        return intersecting_pairs(vertices, self.faces, skip, self._groups.get(adjacent))

    def percentage(self, vertices: NDArray, adjacent: bool = False) -> NDArray[np.float32]:
        """Per cent of faces `[n]` that intersect another, of `vertices [n, V, 3]`."""
        touched = np.zeros((len(vertices), len(self.faces)), bool)
        pairs = self.pairs(vertices, adjacent)
        touched[pairs[:, 0], pairs[:, 1]] = True
        touched[pairs[:, 0], pairs[:, 2]] = True
        return (100.0 * touched.mean(1)).astype(np.float32)

    def penetrating_pairs(self, vertices: NDArray) -> NDArray[np.int64]:
        """Segments that pass through each other, `[P, 3]` as (hand, bone, bone), each once and sorted."""
        pairs = self.pairs(vertices)
        bones = np.sort(self.segments[pairs[:, 1:]], axis=1)
        return np.unique(np.concatenate([pairs[:, :1], bones], axis=1), axis=0)


@dataclass(frozen=True)
class Groups:
    """Neighbouring faces that share a box in the broad phase. Which ones does not change what is found."""

    members: NDArray[np.int64]  # [G, _PACK] face ids, padded with F
    needed: NDArray[np.bool_]  # [G, G] upper triangle: whether any two of their faces are to be compared


def face_segments(faces: NDArray, weights: NDArray) -> NDArray[np.int64]:
    """The bone `[F]` that moves each face most: the largest sum of its corners' skinning weights."""
    return np.asarray(weights, np.float32)[faces].sum(1).argmax(1)


def adjacent_bones(parents: NDArray) -> NDArray[np.bool_]:
    """`[bones, bones]`: the same or parent and child, the palm (the root and its children) being one bone.

    The palm is one because a crease at the root of a finger is pressed against the neighbour's metacarpal.
    """
    parents = np.asarray(parents, np.int64)
    bone = np.arange(len(parents))
    root = parents < 0
    palm = root | root[parents]
    near = (bone[:, None] == bone) | (parents[:, None] == bone)
    near |= palm[parents][:, None] & palm
    near |= palm[:, None] & palm
    return near | near.T


def sharing_vertex(faces: NDArray) -> NDArray[np.bool_]:
    """`[F, F]`: whether two faces share a vertex (a face shares with itself)."""
    faces = np.asarray(faces, np.int64)
    sharing = np.zeros((len(faces), len(faces)), bool)
    corner = np.argsort(faces.ravel(), kind="stable")
    starts = np.searchsorted(faces.ravel()[corner], np.arange(faces.max(initial=-1) + 2))
    for first, last in zip(starts[:-1], starts[1:]):
        around = corner[first:last] // 3
        sharing[np.ix_(around, around)] = True
    return sharing


def intersecting_pairs(
    vertices: NDArray, faces: NDArray, skip: NDArray[np.bool_], groups: Groups | None = None
) -> NDArray[np.int64]:
    """Intersecting faces `[P, 3]` as (hand, face, face) of `vertices [n, V, 3]`, `skip [F, F]` left out.

    `groups` are found anew for every mesh when none are given.
    """
    vertices = np.asarray(vertices, np.float64)
    if vertices.ndim != 3 or vertices.shape[-1] != 3:
        raise ValueError(f"vertices must be [n, V, 3], not {list(vertices.shape)}")
    if not np.isfinite(vertices).all():
        raise ValueError("vertices must be finite numbers to look for self-intersection")
    found = [np.empty((0, 3), np.int64)]
    for hand, points in enumerate(vertices):
        a, b = _overlapping_boxes(points, faces, groups)
        keep = ~skip[a, b]
        a, b = a[keep], b[keep]
        hit = triangles_intersect(points[faces[a]], points[faces[b]])
        pair = np.sort(np.stack([a[hit], b[hit]], axis=1), axis=1)
        pair = pair[np.lexsort((pair[:, 1], pair[:, 0]))]
        found.append(np.concatenate([np.full((len(pair), 1), hand), pair], axis=1))
    return np.concatenate(found)


def _overlapping_boxes(
    points: NDArray, faces: NDArray, groups: Groups | None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Every two faces once whose bounding boxes, in the points' principal axes, overlap."""
    centred = points - points.mean(0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    # float32 halves the memory that is read; rounding outwards keeps every pair.
    a, b, c = ((centred @ axes[:, ::-1])[faces[:, k]] for k in range(3))
    low = np.nextafter(np.minimum(np.minimum(a, b), c).astype(np.float32), np.float32(-np.inf))
    high = np.nextafter(np.maximum(np.maximum(a, b), c).astype(np.float32), np.float32(np.inf))

    if groups is None:
        members = _pack(low + high)
        groups = Groups(members, np.triu(np.ones((len(members), len(members)), bool)))
    packed = groups.members
    # The index past the last face is padding: an empty box that overlaps nothing.
    low = np.append(low, np.full((1, 3), np.inf, np.float32), axis=0)[packed].transpose(2, 1, 0).copy()
    high = np.append(high, np.full((1, 3), -np.inf, np.float32), axis=0)[packed].transpose(2, 1, 0).copy()
    first, second = _box_pairs(low.min(1), high.max(1), groups.needed)

    overlap = np.ones((_PACK, _PACK, len(first)), bool)
    overlap[:, :, first == second] = np.triu(np.ones((_PACK, _PACK), bool), 1)[:, :, None]
    for axis in range(3):
        overlap &= low[axis].take(first, 1)[:, None] <= high[axis].take(second, 1)[None]
        overlap &= high[axis].take(first, 1)[:, None] >= low[axis].take(second, 1)[None]
    within, pair = np.divmod(np.flatnonzero(overlap), max(len(first), 1))
    return packed[first[pair], within // _PACK], packed[second[pair], within % _PACK]


def _box_pairs(
    low: NDArray, high: NDArray, needed: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The needed pairs of groups whose boxes `[3, G]` overlap."""
    overlap = needed.copy()
    for axis in range(3):
        overlap &= low[axis][:, None] <= high[axis]
        overlap &= high[axis][:, None] >= low[axis]
    first, second = np.divmod(np.flatnonzero(overlap), overlap.shape[1])
    return first, second


def _needed(members: NDArray[np.int64], skip: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """`[G, G]` upper triangle: whether two groups have faces that `skip` does not leave out."""
    wanted = np.zeros((len(skip) + 1, len(skip) + 1), bool)  # the last is padding
    wanted[:-1, :-1] = ~skip
    rows = wanted[members].any(1)
    return np.triu(rows.T[members].any(1).T)


def _pack(centres: NDArray, segments: NDArray | None = None) -> NDArray[np.int64]:
    """Face ids `[G, _PACK]` in groups of neighbours (of one segment), padded with the number of faces."""
    centres = np.asarray(centres, np.float32)
    if segments is None:
        return _tile(centres)
    packed = []
    for segment in np.unique(segments):
        faces = np.append(np.flatnonzero(segments == segment), len(centres))
        packed.append(faces[_tile(centres[faces[:-1]])])
    return np.concatenate(packed)


def _tile(centres: NDArray) -> NDArray[np.int64]:
    """Rows `[G, _PACK]` of `centres [N, 3]` in groups of neighbours, padded with N.

    Sort, tile, recurse (Leutenegger et al. 1997), with twice the cuts along the first axis, since hands and
    fingers are long.
    """
    side = (len(centres) / _PACK) ** (1.0 / 3.0)
    along, across = max(1, round(2.0 * side)), max(1, round(side))
    cuts = (along, across, max(1, math.ceil(len(centres) / (_PACK * along * across))))
    padding = np.full((math.prod(cuts) * _PACK - len(centres), 3), np.inf, np.float32)
    centres = np.append(centres, padding, axis=0)
    order = np.arange(len(centres))[None, :]
    for axis, parts in enumerate(cuts):
        by_axis = np.argsort(centres[order, axis], axis=1, kind="stable")
        order = np.take_along_axis(order, by_axis, axis=1).reshape(len(order) * parts, -1)
    filled = order[(order < len(centres) - len(padding)).any(1)]
    return np.minimum(filled, len(centres) - len(padding))


def triangles_intersect(a: NDArray, b: NDArray) -> NDArray[np.bool_]:
    """Whether closed triangles `a [P, 3, 3]` and `b [P, 3, 3]` (corners, coordinates) meet: `[P]`."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    result = np.zeros(len(a), bool)
    height_a = _heights(a, b)
    kept = np.flatnonzero(~_one_side(height_a))
    a, b, height_a = a[kept], b[kept], height_a[kept]
    height_b = _heights(b, a)
    crossing = ~_one_side(height_b)
    kept, a, b, height_a, height_b = (x[crossing] for x in (kept, a, b, height_a, height_b))

    flat = (height_a == 0.0).all(1) | (height_b == 0.0).all(1)
    solid = ~flat
    result[kept[solid]] = _pierce(a[solid], b[solid], height_a[solid], height_b[solid])
    result[kept[flat]] = _overlap_in_plane(a[flat], b[flat])
    return result


def _heights(points: NDArray, triangle: NDArray) -> NDArray:
    """Signed heights `[P, 3]` of three points over the triangle's plane, times twice its area."""
    u, v = triangle[:, 1] - triangle[:, 0], triangle[:, 2] - triangle[:, 0]
    x, y, z = (u[:, i] * v[:, j] - u[:, j] * v[:, i] for i, j in ((1, 2), (2, 0), (0, 1)))
    d = points - triangle[:, :1]
    return d[..., 0] * x[:, None] + d[..., 1] * y[:, None] + d[..., 2] * z[:, None]


def _one_side(height: NDArray) -> NDArray[np.bool_]:
    return (height > 0.0).all(1) | (height < 0.0).all(1)


def _pierce(a: NDArray, b: NDArray, height_a: NDArray, height_b: NDArray) -> NDArray[np.bool_]:
    """Whether an edge of one passes through the other, for triangles that are not in one plane.

    `side[e, f]` is which way round edge e of a passes edge f of b; an edge's line meets a triangle when it
    passes the three edges the same way round.
    """
    origin = a[:, :1]
    a, b = a - origin, b - origin
    start, end = _EDGES
    direction_a, moment_a = a[:, end] - a[:, start], np.cross(a[:, start], a[:, end])
    direction_b, moment_b = b[:, end] - b[:, start], np.cross(b[:, start], b[:, end])
    side = np.einsum("pek,pfk->pef", direction_a, moment_b) + np.einsum("pek,pfk->pef", moment_a, direction_b)
    left, right = side >= 0.0, side <= 0.0
    edges_of_a = (left.all(2) | right.all(2)) & _straddles(height_a)
    edges_of_b = (left.all(1) | right.all(1)) & _straddles(height_b)
    return edges_of_a.any(1) | edges_of_b.any(1)


def _straddles(height: NDArray) -> NDArray[np.bool_]:
    """`[P, 3]`: whether an edge's ends are on both sides of, or one of them on, the other's plane."""
    start, end = height[:, _EDGES[0]], height[:, _EDGES[1]]
    return (np.sign(start) * np.sign(end) <= 0.0) & ((start != 0.0) | (end != 0.0))


def _overlap_in_plane(a: NDArray, b: NDArray) -> NDArray[np.bool_]:
    """Whether triangles in one plane overlap or touch: no edge of either separates them."""
    normal = np.abs(np.cross(a[:, 1] - a[:, 0], a[:, 2] - a[:, 0]))
    other = np.abs(np.cross(b[:, 1] - b[:, 0], b[:, 2] - b[:, 0]))
    drop = normal.argmax(1)
    kept = np.stack([(drop + 1) % 3, (drop + 2) % 3], axis=1)[:, None, :]
    a, b = np.take_along_axis(a, kept, 2), np.take_along_axis(b, kept, 2)
    has_area = (normal > 0.0).any(1) & (other > 0.0).any(1)
    return has_area & ~_separates(a, b) & ~_separates(b, a)


def _separates(a: NDArray, b: NDArray) -> NDArray[np.bool_]:
    """Whether an edge of `a [P, 3, 2]` has all of b strictly on its outer side."""
    start, end = a[:, _EDGES[0]], a[:, _EDGES[1]]
    along = end - start
    to_b = b[:, None, :, :] - start[:, :, None, :]
    turn = along[:, :, None, 0] * to_b[..., 1] - along[:, :, None, 1] * to_b[..., 0]
    u, v = a[:, 1] - a[:, 0], a[:, 2] - a[:, 0]
    inside = np.sign(u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0])
    return (turn * inside[:, None, None] < 0.0).all(2).any(1)
