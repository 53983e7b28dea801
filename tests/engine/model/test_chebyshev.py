"""The graph convolution is a polynomial in the Laplacian: the Chebyshev one, dense or sparse."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from hhmr_engine.model.chebyshev import SPARSE_FROM, ChebyshevConvolution


def _laplacian(nodes: int) -> Tensor:
    """Scaled to [-1, 1], of a ring with some chords."""
    rng = np.random.default_rng(nodes)
    adjacency = np.zeros((nodes, nodes))
    ring = np.arange(nodes)
    adjacency[ring, (ring + 1) % nodes] = 1
    adjacency[rng.integers(0, nodes, nodes // 2), rng.integers(0, nodes, nodes // 2)] = 1
    adjacency = np.maximum(adjacency, adjacency.T) * (1 - np.eye(nodes))
    root = 1 / np.sqrt(adjacency.sum(1))
    laplacian = np.eye(nodes) - root[:, None] * adjacency * root
    return torch.from_numpy(2 * laplacian / np.linalg.eigvalsh(laplacian)[-1] - np.eye(nodes)).float()


@pytest.mark.parametrize("nodes", [40, SPARSE_FROM + 88])
@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_the_convolution_is_its_eigen_decomposition(nodes: int, order: int) -> None:
    """y = sum_k U cos(k arccos Lambda) U^T x W_k + b."""
    laplacian = _laplacian(nodes)
    layer = ChebyshevConvolution(laplacian, 4, 6, order)
    assert (layer.laplacian.layout == torch.sparse_csr) == (nodes > SPARSE_FROM)
    x = torch.randn(2, nodes, 4, generator=torch.Generator().manual_seed(0))
    values, vectors = torch.linalg.eigh(laplacian.double())
    angle = torch.acos(values.clamp(-1, 1))
    weights = layer.linear.weight.double().unflatten(1, (order, 4))
    expected = layer.linear.bias.double() + sum(
        vectors @ torch.diag(torch.cos(k * angle)) @ vectors.T @ x.double() @ weights[:, k].T
        for k in range(order)
    )
    torch.testing.assert_close(layer(x).double(), expected, atol=1e-4, rtol=1e-4)


def test_a_node_hears_of_as_many_neighbours_as_the_order_allows() -> None:
    """K = 3 reaches two edges far, no farther."""
    nodes = 20
    shift = torch.roll(torch.eye(nodes), 1, 0)
    layer = ChebyshevConvolution(-(shift + shift.T) / 2, 1, 1, 3)
    x = torch.zeros(1, nodes, 1)
    touched = layer(x + torch.nn.functional.one_hot(torch.tensor(10), nodes)[None, :, None]) - layer(x)
    assert touched[0, :, 0].abs().gt(1e-6).nonzero()[:, 0].tolist() == [8, 9, 10, 11, 12]


def test_an_order_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one order"):
        ChebyshevConvolution(torch.eye(3), 1, 1, 0)
