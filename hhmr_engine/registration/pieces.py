"""What sticks out of a surface: fingers, a thumb, a wrist; found by geodesic distance, not by any pose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components, dijkstra

from ..hand.hierarchy import mesh_edges
from .surface import Samples, Surface

STICKS_OUT = 0.012  # metres at hand scale: what rises less above where it joins another piece is part of it
LANDMARKS = 16  # from which the surface's middle is found


@dataclass(frozen=True)
class Skin:
    """A surface as a graph of cells, one around each sampled vertex.

    edges [E,2] between cells; cell [N] of each sample and sample [C] in each cell; protrusion [C] that a cell
    is part of, -1 where they have run together; area (of both sides of a
    one-sided scan) in square metres at hand scale.
    """

    edges: NDArray[np.int64]
    cell: NDArray[np.int64]
    sample: NDArray[np.int64]
    protrusion: NDArray[np.int64]
    area: float

    def off_palm(self, finger: NDArray[np.int64]) -> tuple[NDArray[np.int64], list[NDArray[np.int64]]]:
        """What matches fingers [N] (-1: palm), in connected pieces of one protrusion each.

        Returns the piece of every sample [N], -1 on the palm and where protrusions have run together; and for
        each piece the samples where it ends.
        """
        group = np.where(finger[self.sample] >= 0, self.protrusion, -1)
        inside = self.edges[(group[self.edges[:, 0]] == group[self.edges[:, 1]])]
        _, label = connected_components(_graph(inside, len(group)), directed=False)
        label = np.where(group >= 0, label, -1)
        ids, piece = np.unique(np.append(label, -1), return_inverse=True)
        piece = piece[:-1] - 1
        both = np.concatenate([self.edges, self.edges[:, ::-1]])
        ends = both[piece[both[:, 0]] != piece[both[:, 1]], 0]
        roots = [self.sample[np.unique(ends[piece[ends] == i])] for i in range(len(ids) - 1)]
        return piece[self.cell], roots


def skin_of(surface: Surface, samples: Samples, unit: float) -> Skin:
    """`unit`: the surface's units per metre at hand scale."""
    centres, first, cell = np.unique(samples.vertex, return_index=True, return_inverse=True)
    edges = mesh_edges(surface.triangles)
    length = np.linalg.norm(surface.vertices[edges[:, 0]] - surface.vertices[edges[:, 1]], axis=1)
    graph = _graph(edges, len(surface.vertices), length)
    _, _, nearest = dijkstra(graph, False, centres, return_predecessors=True, min_only=True)
    owner = np.full(len(surface.vertices) + 1, -1)  # the last is for vertices that no sample reaches
    owner[centres] = np.arange(len(centres))
    ends = owner[nearest.clip(min=-1)][edges]
    ends = np.unique(np.sort(ends[(ends[:, 0] != ends[:, 1]) & (ends >= 0).all(1)], 1), axis=0)
    places = surface.vertices[centres] / unit
    protrusion = protrusions(places, ends)
    return Skin(ends, cell.reshape(-1), first, protrusion, surface.whole_area / unit**2)


def protrusions(places: NDArray, edges: NDArray) -> NDArray[np.int64]:
    """The protrusion [C] of every node of a graph on a surface, -1 where they have run together.

    The merge tree of the distance from the middle along edges [E,2], places [C,3] in metres: from the tips
    inwards, a protrusion ends where it meets another one.
    """
    height = _from_middle(places, edges)
    both = np.concatenate([edges, edges[:, ::-1]])
    both = both[np.argsort(both[:, 0], kind="stable")]
    start = np.searchsorted(both[:, 0], np.arange(len(places) + 1))
    neighbours = both[:, 1].tolist()
    tree = _MergeTree(height)
    for node in np.argsort(-height, kind="stable").tolist():
        tree.add(node, neighbours[start[node] : start[node + 1]])
    return tree.names()


class _MergeTree:
    """Union-find over nodes that come in order of falling height."""

    def __init__(self, height: NDArray) -> None:
        self.height = height.tolist()
        self.parent = [-1] * len(height)
        self.open = [True] * len(height)  # of a root: it has not yet met another that sticks out
        self.name = [-1] * len(height)  # of a node: the summit that it was added under
        self.part_of: dict[int, int] = {}  # small summits, of larger ones

    def add(self, node: int, neighbours: list[int]) -> None:
        roots = sorted(
            {self._root(n) for n in neighbours if self.parent[n] >= 0}, key=lambda r: -self.height[r]
        )
        self.parent[node] = node
        if not roots:
            self.name[node] = node
            return
        level = self.height[node]
        tall = [r for r in roots if self.open[r] and self.height[r] - level > STICKS_OUT]
        is_open = all(self.open[r] for r in roots) and len(tall) < 2
        top = roots[0]
        for root in roots:
            if self.open[root] and root not in tall and root != (top if is_open else -1):
                self.part_of[root] = top if is_open else -1
            self.parent[root] = top
        self.parent[node] = top
        self.open[top] = is_open
        self.name[node] = top if is_open else -1

    def names(self) -> NDArray[np.int64]:
        return np.array([self._whole(name) for name in self.name])

    def _whole(self, name: int) -> int:
        while name in self.part_of:
            name = self.part_of[name]
        return name

    def _root(self, node: int) -> int:
        while self.parent[node] != node:
            self.parent[node] = self.parent[self.parent[node]]
            node = self.parent[node]
        return node


def _from_middle(places: NDArray, edges: NDArray) -> NDArray[np.float64]:
    """Distances [C] along edges from the node that is nearest to all; what hangs on nothing counts as far."""
    length = np.linalg.norm(places[edges[:, 0]] - places[edges[:, 1]], axis=1)
    graph = _graph(edges, len(places), length)
    marks = np.linspace(0, len(places) - 1, min(LANDMARKS, len(places))).astype(int)
    far = 10 * float(length.sum() / max(1, len(length))) * len(places) ** 0.5 + 1
    distance = np.minimum(dijkstra(graph, False, marks), far)
    middle = int(distance.mean(0).argmin())
    return np.minimum(dijkstra(graph, False, middle), far)


def _graph(edges: NDArray, count: int, length: NDArray | None = None) -> csr_array:
    values = np.ones(len(edges), np.int8) if length is None else np.maximum(length, 1e-12)
    return csr_array((values, (edges[:, 0], edges[:, 1])), shape=(count, count))
