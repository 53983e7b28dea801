"""Geodesics and the pyramid of graphs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components, dijkstra

from hhmr_engine.hand.hierarchy import Hierarchy, build_hierarchy, geodesic_distance, mesh_edges
from hhmr_engine.hand.template import HandTemplate

SIZES = (208, 52, 13)


@pytest.fixture(scope="module")
def levels(template: HandTemplate) -> Hierarchy:
    return build_hierarchy(template.vertices, template.faces, SIZES)


def _graph(vertices: np.ndarray, edges: np.ndarray) -> csr_matrix:
    length = np.linalg.norm(vertices[edges[:, 0]] - vertices[edges[:, 1]], axis=1)
    return csr_matrix((length, edges.T), (len(vertices), len(vertices)))


def test_geodesics_are_dijkstras(template: HandTemplate) -> None:
    edges, sources = mesh_edges(template.faces), np.array([3, 700, 1500])
    ours = geodesic_distance(template.vertices, edges, sources)
    theirs = dijkstra(_graph(template.vertices, edges), directed=False, indices=sources, min_only=True)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_what_cannot_be_reached_is_infinitely_far() -> None:
    corners = np.eye(6, 3, dtype=np.float32)
    distance = geodesic_distance(corners, mesh_edges(np.array([[0, 1, 2], [3, 4, 5]])), np.array([0]))
    assert np.isfinite(distance[:3]).all() and np.isinf(distance[3:]).all()


def test_every_level_is_connected_and_scaled(levels: Hierarchy) -> None:
    for size, laplacian in zip(SIZES, levels.laplacians, strict=True):
        assert laplacian.shape == (size, size)
        joined = np.abs(laplacian - np.diag(np.diag(laplacian))) > 1e-6
        assert connected_components(csr_matrix(joined))[0] == 1
        values = np.linalg.eigvalsh(laplacian.astype(np.float64))
        assert abs(values[0] + 1) < 1e-4 and abs(values[-1] - 1) < 1e-4  # Chebyshev's interval


def test_down_and_up_keep_what_is_constant(levels: Hierarchy) -> None:
    for down, up in zip(levels.down, levels.up, strict=True):
        assert (down >= 0).all() and (up >= 0).all()
        np.testing.assert_allclose(down.sum(1), 1, atol=1e-5)
        np.testing.assert_allclose(up.sum(1), 1, atol=1e-5)


def test_levels_nest_and_spread_over_the_hand(levels: Hierarchy, template: HandTemplate) -> None:
    """The network's nodes are the template's; coarse nodes copy themselves upwards."""
    np.testing.assert_array_equal(levels.nodes, template.nodes)
    assert len(set(levels.nodes.tolist())) == SIZES[0]
    for size, up in zip(SIZES[1:], levels.up, strict=True):
        np.testing.assert_allclose(up[:size], np.eye(size), atol=1e-3)
    fine = template.vertices[levels.nodes]
    back = levels.up[0] @ levels.down[0] @ fine
    assert np.linalg.norm(back - fine, axis=1).mean() < 9e-3
