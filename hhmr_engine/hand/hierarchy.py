"""Geodesics on a mesh, and the pyramid of graphs on which the network works."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np


@dataclass(frozen=True)
class Hierarchy:
    """Nested levels of vertices, finest first.

    nodes [N0] vertex ids in farthest-point order; level i is the first `sizes[i]` of them, so levels nest.
    laplacians[i] [Ni,Ni]: scaled Laplacian 2 L / lambda_max - I of the level's graph (engine.md, formula 4).
    down[i] [Ni+1,Ni] averages over cells, up[i] [Ni,Ni+1] interpolates; the rows of both sum to 1.
    """

    nodes: np.ndarray
    laplacians: tuple[np.ndarray, ...]
    down: tuple[np.ndarray, ...]
    up: tuple[np.ndarray, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        return tuple(len(laplacian) for laplacian in self.laplacians)


def mesh_edges(faces: np.ndarray) -> np.ndarray:
    """Unique undirected edges [E,2] of triangles [F,3], the smaller vertex first, in order."""
    start, end = faces.reshape(-1).astype(np.int64), faces[:, [1, 2, 0]].reshape(-1).astype(np.int64)
    count = int(faces.max(initial=0)) + 1
    key = np.unique(np.minimum(start, end) * count + np.maximum(start, end))
    return np.stack([key // count, key % count], 1).astype(faces.dtype)


def geodesic_distance(vertices: np.ndarray, edges: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """Shortest way along edges from the nearest of `sources` (vertex ids) to every vertex: [V], metres.

    Bellman-Ford over all edges at once; unreachable vertices are inf.
    """
    length = np.linalg.norm(vertices[edges[:, 0]] - vertices[edges[:, 1]], axis=1)
    start, end = np.concatenate([edges, edges[:, ::-1]]).T
    order = np.argsort(end, kind="stable")
    start, end, length = start[order], end[order], np.concatenate([length, length])[order]
    reached, first = np.unique(end, return_index=True)
    distance = np.full(len(vertices), np.inf)
    distance[sources] = 0
    while True:
        best = np.minimum.reduceat(distance[start] + length, first)
        if not (best < distance[reached] - 1e-12).any():
            return distance
        distance[reached] = np.minimum(distance[reached], best)


def farthest_points(vertices: np.ndarray, faces: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """`count` vertex ids in farthest-point order by geodesic distance, and their distances [count,V]."""
    edges = mesh_edges(faces)
    chosen = [int(np.linalg.norm(vertices - vertices.mean(0), axis=1).argmin())]
    distances = [geodesic_distance(vertices, edges, np.array(chosen))]
    nearest = distances[0].copy()
    while len(chosen) < count:
        chosen.append(int(np.where(np.isinf(nearest), -1, nearest).argmax()))
        distances.append(geodesic_distance(vertices, edges, np.array(chosen[-1:])))
        nearest = np.minimum(nearest, distances[-1])
    return np.array(chosen), np.stack(distances)


def build_hierarchy(vertices: np.ndarray, faces: np.ndarray, sizes: tuple[int, ...]) -> Hierarchy:
    """Levels of `sizes` nodes; a first size of V keeps the full mesh.

    Two nodes of a level are joined where their geodesic Voronoi cells touch, so every level of a connected
    mesh is connected. Built once for a mesh: treat what it holds as read-only.
    """
    return _build(vertices.astype(np.float32).tobytes(), faces.astype(np.int32).tobytes(), tuple(sizes))


@lru_cache(maxsize=8)
def _build(vertex_bytes: bytes, face_bytes: bytes, sizes: tuple[int, ...]) -> Hierarchy:
    vertices = np.frombuffer(vertex_bytes, np.float32).reshape(-1, 3)
    faces = np.frombuffer(face_bytes, np.int32).reshape(-1, 3)
    # Where every vertex is a node, only the next level's nodes need to be spread: the others follow in order.
    spread = sizes[0] if sizes[0] < len(vertices) or len(sizes) == 1 else sizes[1]
    nodes, distances = farthest_points(vertices, faces, spread)
    edges = mesh_edges(faces)
    cells = {size: distances[:size].argmin(0) for size in sizes if size <= spread}
    if spread < sizes[0]:
        nodes = np.concatenate([nodes, np.setdiff1d(np.arange(len(vertices)), nodes)])
        cells[sizes[0]] = np.argsort(nodes)
    laplacians = tuple(_scaled_laplacian(cells[size], size, edges) for size in sizes)
    down, up = [], []
    for fine, coarse in zip(sizes, sizes[1:], strict=False):
        between = distances[:coarse, nodes[:fine]]  # [coarse,fine]
        cell = np.zeros((coarse, fine))
        cell[between.argmin(0), np.arange(fine)] = 1
        down.append((cell / cell.sum(1, keepdims=True)).astype(np.float32))
        up.append(_interpolation(between.T))
    return Hierarchy(nodes.astype(np.int32), laplacians, tuple(down), tuple(up))


def _scaled_laplacian(cell: np.ndarray, size: int, edges: np.ndarray) -> np.ndarray:
    """cell [V]: which of `size` nodes each vertex is nearest to."""
    adjacency = np.zeros((size, size))
    a, b = cell[edges].T
    adjacency[a, b] = adjacency[b, a] = 1
    np.fill_diagonal(adjacency, 0)
    root = 1 / np.sqrt(adjacency.sum(1).clip(1))
    laplacian = np.eye(size) - root[:, None] * adjacency * root
    largest = np.linalg.eigvalsh(laplacian)[-1]
    return (2 * laplacian / largest - np.eye(size)).astype(np.float32)


def _interpolation(distance: np.ndarray, neighbours: int = 3) -> np.ndarray:
    """[fine,coarse] inverse-distance weights of the nearest coarse nodes; a coarse node copies itself."""
    near = np.argsort(distance, 1)[:, :neighbours]
    weight = 1 / (np.take_along_axis(distance, near, 1) ** 2 + 1e-8)
    matrix = np.zeros_like(distance)
    np.put_along_axis(matrix, near, weight / weight.sum(1, keepdims=True), 1)
    return matrix.astype(np.float32)
