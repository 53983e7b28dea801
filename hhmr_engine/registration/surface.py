"""A foreign mesh made fit for matching: checked, welded, wound outwards, and sampled evenly by area."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import breadth_first_order, connected_components
from scipy.spatial import cKDTree

from ..hand.hierarchy import mesh_edges
from ..hand.template import HandTemplate

WELD = 1e-5  # of the bounding box' diagonal: vertices nearer than that are one
LARGE = 100_000  # vertices above which a mesh is simplified by clustering
CELL = 3e-3  # of the diagonal: the size of clusters, not a millimetre on a hand
FLAT = 0.02  # smallest over largest extent below which a surface is no body (a one-sided scan has 0.1)
ASTRAY = 0.002  # of the edges that may be wound the wrong way in a mesh that is taken as it is
ROUGH = np.radians(30)  # mean angle between neighbouring faces above which a surface is a noisy scan
ROUNDS = 8  # of smoothing at most
TAUBIN = (0.6, -0.62)
SMOOTH = 9  # samples whose normals are averaged: a few millimetres


@dataclass(frozen=True)
class Surface:
    """A welded triangle mesh, wound outwards.

    vertices [W,3] and triangles [T,3]; source [W]: the input vertex that each welded vertex was.
    """

    vertices: NDArray[np.float64]
    triangles: NDArray[np.int64]
    source: NDArray[np.int64]

    def cross(self) -> NDArray[np.float64]:
        """Normals of the triangles [T,3], twice as long as their areas."""
        a, b, c = (self.vertices[self.triangles[:, k]] for k in range(3))
        return np.cross(b - a, c - a)

    @property
    def area(self) -> float:
        return 0.5 * float(np.linalg.norm(self.cross(), axis=1).sum())

    @property
    def whole_area(self) -> float:
        """The area with what is missing on the far side of a one-sided scan: normals of a body cancel out,
        those of one side of a hand add up to three quarters."""
        cross = self.cross()
        total = float(np.linalg.norm(cross, axis=1).sum())
        return self.area * (1 + 1.3 * float(np.linalg.norm(cross.sum(0))) / total)


@dataclass(frozen=True)
class Samples:
    """Points [N,3] spread evenly over a surface, unit normals [N,3] pointing out, and `vertex` [N]: the
    welded vertex nearest to each on its triangle."""

    points: NDArray[np.float64]
    normals: NDArray[np.float64]
    vertex: NDArray[np.int64]


def clean(vertices: NDArray, triangles: NDArray) -> Surface:
    """Weld and orient vertices [M,3] and triangles [F,3] of any scale.

    Raises ValueError with one sentence when they cannot be a surface.
    """
    vertices, triangles = _checked(vertices, triangles)
    used = np.unique(triangles)
    if len(used) < 10:
        raise ValueError(f"the surface has only {len(used)} vertices: select at least 10 of a hand.")
    low, high = vertices[used].min(0), vertices[used].max(0)
    diagonal = float(np.linalg.norm(high - low))
    _check_body(vertices[used])
    cell = (WELD if len(used) <= LARGE else CELL) * diagonal
    grid = np.round((vertices[used] - low) / cell).astype(np.int64)
    key = (grid[:, 0] << 42) + (grid[:, 1] << 21) + grid[:, 2]
    _, first, group = np.unique(key, return_index=True, return_inverse=True)
    welded = np.zeros(len(vertices), np.int64)
    welded[used] = group.reshape(-1)
    faces = welded[triangles]
    a, b, c = faces.T
    faces = faces[(a != b) & (b != c) & (a != c)]
    if len(faces) == 0:
        raise ValueError("all triangles of the surface are smaller than can be told apart.")
    return _smoothed(_oriented(Surface(vertices[used[first]], faces, used[first])))


def _checked(vertices: NDArray, triangles: NDArray) -> tuple[NDArray, NDArray]:
    vertices, triangles = np.asarray(vertices, np.float64), np.asarray(triangles)
    if vertices.ndim != 2 or vertices.shape[1] != 3:
        raise ValueError(f"the surface's vertices must be [M,3], not {list(vertices.shape)}.")
    if len(vertices) < 10:
        raise ValueError(f"the surface has only {len(vertices)} vertices: select at least 10 of a hand.")
    if triangles.size == 0:
        raise ValueError("the surface has no faces: select faces, not only vertices or edges.")
    if triangles.ndim != 2 or triangles.shape[1] != 3 or triangles.dtype.kind not in "iu":
        raise ValueError(f"the surface's triangles must be whole numbers [F,3], not {list(triangles.shape)}.")
    if triangles.min() < 0 or triangles.max() >= len(vertices):
        raise ValueError("a triangle of the surface names a vertex that does not exist.")
    if not np.isfinite(vertices[triangles]).all():
        raise ValueError("the surface has coordinates that are not numbers: remove those vertices.")
    return vertices, triangles.astype(np.int64)


def _check_body(points: NDArray) -> None:
    """Refuse what lies in one place, on one line or in one plane."""
    extent = np.sqrt(np.linalg.eigvalsh(np.cov((points - points.mean(0)).T)).clip(0))
    if extent[2] <= 0 or not np.isfinite(extent).all():
        raise ValueError("all vertices of the surface lie in one place: select a part of a hand.")
    if extent[1] < FLAT * extent[2]:
        raise ValueError("all vertices of the surface lie on one line: select a part of a hand.")
    if extent[0] < FLAT * extent[1]:
        raise ValueError("all vertices of the surface lie in one plane: select a part of a hand.")


def in_one_place(points: NDArray) -> tuple[NDArray, NDArray[np.int64], NDArray[np.int64]]:
    """Different points, where each of them is first, and which of them every point [M] is."""
    different, first, which = np.unique(points, axis=0, return_index=True, return_inverse=True)
    return different, first, which.reshape(-1)


def hand_area(template: HandTemplate) -> float:
    """Area of the template's surface, square metres."""
    return Surface(template.vertices.astype(np.float64), template.faces, np.arange(0)).area


def pieces(surface: Surface) -> NDArray[np.int64]:
    """The connected piece of every triangle [T], numbered from 0; corners that touch connect."""
    t, w = surface.triangles, len(surface.vertices)
    rows, columns = np.concatenate([t[:, 0], t[:, 1]]), np.concatenate([t[:, 1], t[:, 2]])
    graph = coo_array((np.ones(len(rows), np.int8), (rows, columns)), shape=(w, w))
    _, label = connected_components(graph, directed=False)
    return label[t[:, 0]]


def _oriented(surface: Surface) -> Surface:
    """Every piece wound alike, and outwards: positive volume about the area's centroid.

    Where the winding is already consistent the whole mesh turns at once: a nail's plate or a ring, an open
    sheet of its own, then keeps the side that its maker gave it.
    """
    first, second, same_way = _shared_edges(surface.triangles)
    if len(first) == 0 or same_way.mean() <= ASTRAY:
        return _turned(surface, np.full(len(surface.triangles), _volume(surface) < 0))
    flip, label = _parity(len(surface.triangles), first, second, same_way)
    turned = _turned(surface, flip)
    volume = np.bincount(label, _volumes(turned))
    return _turned(turned, (volume < 0)[label])


def _shared_edges(triangles: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """Pairs of triangles [E],[E] with a common edge, and whether both run along it the same way (which is
    wrong). Of a non-manifold edge the first two count."""
    count = int(triangles.max()) + 1
    start = triangles.reshape(-1)
    end = triangles[:, [1, 2, 0]].reshape(-1)
    key = np.minimum(start, end) * count + np.maximum(start, end)
    order = np.argsort(key, kind="stable")
    pair = np.flatnonzero(key[order][1:] == key[order][:-1])
    pair = pair[np.concatenate([[True], np.diff(pair) > 1])[: len(pair)]]
    one, other = order[pair], order[pair + 1]
    return one // 3, other // 3, start[one] == start[other]


def _parity(count: int, first: NDArray, second: NDArray, same_way: NDArray) -> tuple[NDArray, NDArray]:
    """Which triangles [T] to flip so that neighbours agree, walking breadth first; and their pieces [T]."""
    links = csr_array((np.ones(len(first), np.int8), (first, second)), shape=(count, count))
    _, label = connected_components(links, directed=False)
    seeds = np.unique(label, return_index=True)[1]
    ends = np.concatenate([first, np.full(len(seeds), count)]), np.concatenate([second, seeds])
    tree = csr_array((np.ones(len(ends[0]), np.int8), ends), shape=(count + 1, count + 1))
    order, parent = breadth_first_order(tree, count, directed=False)
    wrong = set(zip(first[same_way].tolist(), second[same_way].tolist(), strict=True))
    flip = [False] * (count + 1)
    above = parent.tolist()
    for triangle in order[1:].tolist():
        up = above[triangle]
        flip[triangle] = flip[up] ^ ((up, triangle) in wrong or (triangle, up) in wrong)
    return np.array(flip[:count]), label


def _smoothed(surface: Surface) -> Surface:
    """A scan's roughness taken out, without shrinking (Taubin 1995), until neighbouring faces agree."""
    first, second, _ = _shared_edges(surface.triangles)
    mean = None
    for _ in range(ROUNDS):
        cross = surface.cross()
        unit = cross / np.maximum(np.linalg.norm(cross, axis=1, keepdims=True), 1e-300)
        if len(first) == 0 or (unit[first] * unit[second]).sum(1).mean() > np.cos(ROUGH):
            break
        mean = _neighbours_mean(surface) if mean is None else mean
        vertices = surface.vertices
        for step in TAUBIN:
            vertices = vertices + step * (mean @ vertices - vertices)
        surface = replace(surface, vertices=vertices)
    return surface


def _neighbours_mean(surface: Surface) -> csr_array:
    """[W,W]: takes every vertex to the middle of its neighbours."""
    edges, count = mesh_edges(surface.triangles), len(surface.vertices)
    rows, columns = np.concatenate([edges, edges[:, ::-1]]).T
    degree = np.bincount(rows, minlength=count)
    return csr_array((1.0 / degree[rows], (rows, columns)), shape=(count, count))


def _volumes(surface: Surface) -> NDArray[np.float64]:
    """Signed volumes [T] of the tetrahedra from the area's centroid to each triangle, times six."""
    corners = surface.vertices[surface.triangles]
    cross = surface.cross()
    area = np.linalg.norm(cross, axis=1)
    middle = corners.mean(1)
    centroid = (middle * area[:, None]).sum(0) / area.sum()
    return ((middle - centroid) * cross).sum(1)


def _volume(surface: Surface) -> float:
    return float(_volumes(surface).sum())


def _turned(surface: Surface, flip: NDArray) -> Surface:
    triangles = np.where(flip[:, None], surface.triangles[:, ::-1], surface.triangles)
    return Surface(surface.vertices, triangles, surface.source)


def sample(surface: Surface, count: int) -> Samples:
    """`count` points by area, the same ones every time; normals averaged over the nearest samples, which
    takes out the roughness of a scan."""
    cross = surface.cross()
    area = np.linalg.norm(cross, axis=1)
    # Along the triangles by area, evenly; inside them by a low-discrepancy sequence (Roberts 2018).
    chosen = np.searchsorted(np.cumsum(area), (np.arange(count) + 0.5) / count * area.sum())
    chosen = chosen.clip(max=len(area) - 1)
    u, v = (np.outer([0.7548776662466927, 0.5698402909980532], np.arange(1, count + 1)) + 0.5) % 1.0
    beyond = u + v > 1
    u, v = np.where(beyond, 1 - u, u), np.where(beyond, 1 - v, v)
    weight = np.stack([1 - u - v, u, v], 1)
    corner = surface.triangles[chosen]
    points = (surface.vertices[corner] * weight[..., None]).sum(1)
    normals = cross[chosen] / area[chosen, None]
    near = cKDTree(points).query(points, min(SMOOTH, count))[1].reshape(count, -1)
    agreeing = (normals[near] * normals[:, None]).sum(2, keepdims=True) > 0
    mean = (normals[near] * agreeing).sum(1)
    mean /= np.linalg.norm(mean, axis=1, keepdims=True)
    return Samples(points, mean, np.take_along_axis(corner, weight.argmax(1)[:, None], 1)[:, 0])
