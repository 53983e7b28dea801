"""Rotations and similarities: against scipy, at zero, and never a reflection."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from hhmr_engine.hand.rotation import procrustes, rotation_matrix

VECTORS = np.random.default_rng(0).normal(0, 1.5, (50, 3))


def test_rodrigues_agrees_with_scipy() -> None:
    expected = Rotation.from_rotvec(VECTORS).as_matrix()
    for vectors in (VECTORS, torch.from_numpy(VECTORS)):
        np.testing.assert_allclose(rotation_matrix(vectors), expected, atol=1e-12)


@pytest.mark.parametrize("size", [0.0, 1e-9, 1e-4, 1.0, np.pi])
def test_gradients_hold_from_no_turn_to_half_a_turn(size: float) -> None:
    vector = size * torch.tensor([[0.6, 0.0, 0.8]], dtype=torch.float64)
    assert torch.autograd.gradcheck(rotation_matrix, vector.requires_grad_(True))


def _cloud() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(1).normal(0, 1, (4, 9, 3)))


def test_procrustes_finds_the_similarity() -> None:
    source = _cloud()
    turn = torch.from_numpy(rotation_matrix(VECTORS[:4]))
    size = torch.tensor([1e-3, 0.7, 1.0, 400.0], dtype=torch.float64)
    shift = torch.from_numpy(VECTORS[4:8])
    target = size[:, None, None] * source @ turn.mT + shift[:, None]
    target[:, 8] += 1000 * size[:, None]  # an outlier that weighs nothing
    weights = torch.ones(4, 9, dtype=torch.float64)
    weights[:, 8] = 0
    s, rotation, t = procrustes(source, target, weights)
    torch.testing.assert_close(s, size)
    torch.testing.assert_close(rotation, turn)
    torch.testing.assert_close(t, shift)
    assert procrustes(source, target, weights, scale=False)[0].tolist() == [1.0] * 4


@pytest.mark.parametrize("flat", [False, True])
def test_procrustes_never_reflects(flat: bool) -> None:
    source = _cloud()
    if flat:
        source[..., 2] = 0
    mirrored = source * torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)
    rotation = procrustes(source, mirrored, torch.ones(4, 9, dtype=torch.float64))[1]
    torch.testing.assert_close(torch.linalg.det(rotation), torch.ones(4, dtype=torch.float64))
