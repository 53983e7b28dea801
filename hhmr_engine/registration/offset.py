"""The last millimetre: a smooth displacement of the fitted hand onto the surface."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, diags_array, eye_array
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree

from ..hand.hierarchy import geodesic_distance, mesh_edges
from ..hand.normals import vertex_normals
from ..hand.template import HandTemplate
from .surface import Samples

REACH = 0.006  # metres at hand scale
STIFFNESS = (8.0, 3.0, 1.0)  # weight of the displacement's Laplacian, round by round
REST = 1e-3  # weight of no displacement at all
FREE = 0.05  # the same for fingers that have no surface: they keep their shape
FADE = 0.012  # metres at hand scale from where the surface ends: farther out its displacement says nothing
SEEN = 0.3  # weight of a vertex that the surface is there for


def fitted_closely(
    template: HandTemplate, points: NDArray, samples: Samples, size: float, free: NDArray
) -> NDArray[np.float64]:
    """points [V,3] moved onto the samples where those are within reach, smoothly in between; free [V] bool
    ones belong to no sample.

    Minimises |displacement - what its vertex lacks along the surface's normal|^2 + stiffness |Laplacian|^2.
    What is nearest to one finger pulls at no other: a finger that is not there would cling to its neighbour.
    Nor does it reach far beyond the surface's end, where it would squeeze the finger that is missing.
    """
    edges = mesh_edges(template.faces)
    laplacian = _graph_laplacian(len(points), edges)
    bending = (laplacian.T @ laplacian).tocsc()
    tree = cKDTree(samples.points)
    moved = points.astype(np.float64)
    finger = _fingers(template)
    own = finger[cKDTree(moved).query(samples.points)[1]]
    for stiffness in STIFFNESS:
        normals = vertex_normals(moved[None], template.faces)[0]
        distance, near = tree.query(moved, 4)
        gap = samples.points[near] - moved[:, None]
        agree = (samples.normals[near] * normals[:, None]).sum(2) > 0.5
        agree &= (own[near] == finger[:, None]) | (own[near] < 0) | (finger[:, None] < 0)
        trust = agree / (1e-6 + distance**2)
        total = trust.sum(1)
        mean_gap = ((gap * samples.normals[near]).sum(2) * trust).sum(1) / np.maximum(total, 1e-12)
        normal = (samples.normals[near] * trust[..., None]).sum(1) / np.maximum(total, 1e-12)[:, None]
        wanted = mean_gap[:, None] * normal
        weight = ~free * (total > 0) * (1 + (distance[:, 0] / (REACH * size)) ** 2) ** -2.0
        system = diags_array(weight + np.where(free, FREE, REST)) + stiffness * bending
        displacement = splu(system.tocsc()).solve(weight[:, None] * wanted)
        beyond = geodesic_distance(template.vertices, edges, np.flatnonzero(weight > SEEN))
        share = 1 - np.minimum(beyond / FADE, 1)
        moved = moved + (share * share * (3 - 2 * share))[:, None] * displacement
    return moved


def _fingers(template: HandTemplate) -> NDArray:
    """Finger [V] of every vertex beyond the metacarpals, 0 (thumb) to 4; -1 on the palm."""
    beyond = template.weights.reshape(-1, 5, 4)[:, :, 1:].sum(2)
    return np.where(beyond.max(1) > 0.5, beyond.argmax(1), -1)


def _graph_laplacian(count: int, edges: NDArray) -> coo_array:
    """I - D^-1 A [count,count]."""
    rows, columns = np.concatenate([edges, edges[:, ::-1]]).T
    degree = np.bincount(rows, minlength=count)
    adjacency = coo_array((1.0 / degree[rows], (rows, columns)), shape=(count, count))
    return (eye_array(count) - adjacency).tocsr()
