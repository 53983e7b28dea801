"""The banded smoother against the same matrix written out."""

from __future__ import annotations

import pytest
import torch

from hhmr_engine.diffusion.temporal import (
    DIFFERENCE,
    Smoother,
    smooth_columns,
    spread_back,
    third_differences,
)


def _differences(frames: int) -> torch.Tensor:
    """D as a dense matrix [T-3,T]."""
    d = torch.zeros(max(frames - 3, 0), frames, dtype=torch.float64)
    for row in range(len(d)):
        d[row, row : row + 4] = torch.tensor(DIFFERENCE, dtype=torch.float64)
    return d


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 5, 12])
def test_smoother_solves_the_dense_system(frames: int) -> None:
    torch.manual_seed(frames)
    size = 4
    half = torch.randn(frames, size, 2 * size, dtype=torch.float64)
    weights, right = half @ half.mT, torch.randn(frames, size, dtype=torch.float64)
    d = _differences(frames)
    dense = torch.block_diag(*weights) + torch.kron(d.T @ d, torch.eye(size, dtype=torch.float64))
    wanted = torch.linalg.solve(dense, right.flatten()).reshape(frames, size)
    torch.testing.assert_close(Smoother(weights).solve(right), wanted)


@pytest.mark.parametrize("frames", [1, 3, 4, 9])
def test_columns_and_differences(frames: int) -> None:
    torch.manual_seed(0)
    values = torch.randn(frames, 5, dtype=torch.float64)
    d = _differences(frames)
    torch.testing.assert_close(spread_back(third_differences(values), frames), d.T @ d @ values)
    dense = d.T @ d + 0.3 * torch.eye(frames, dtype=torch.float64)
    torch.testing.assert_close(smooth_columns(values, 0.3), torch.linalg.solve(dense, 0.3 * values))


def test_what_is_a_parabola_in_time_stays_as_it_is() -> None:
    time = torch.arange(20, dtype=torch.float64)[:, None]
    path = torch.cat([time**2, 3 * time, torch.ones_like(time)], 1)
    torch.testing.assert_close(smooth_columns(path, 1e-3), path)


def test_frames_that_know_nothing_lie_between_those_that_do() -> None:
    time = torch.linspace(0, 1, 30, dtype=torch.float64)[:, None]
    path = torch.sin(3 * time)
    weights = torch.full((30, 1, 1), 1e6, dtype=torch.float64)
    weights[8:22] = 1e-9
    found = Smoother(weights).solve((weights @ path[..., None])[..., 0])
    assert (found - path).abs().max() < 0.02
