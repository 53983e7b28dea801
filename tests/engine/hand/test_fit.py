"""The fit of the skinned hand: known hands are found again, with rotations that a rig can take."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from hhmr_engine.hand.dof import LIMITS
from hhmr_engine.hand.fit import FittedHand, fit_skinned, levenberg_marquardt, placed_bones
from hhmr_engine.hand.frame import palm_frame
from hhmr_engine.hand.skinning import blend, rest_shape
from hhmr_engine.hand.template import UNIT, HandTemplate
from tests.engine.hand.posed import Posed

COUNT = 4


@pytest.fixture(scope="module")
def truth(tensors: HandTemplate, posed: Posed) -> Tensor:
    """[COUNT,V,3] posed hands of their own proportions in the palm frame."""
    vertices = torch.from_numpy(posed.vertices[:COUNT])
    return palm_frame(tensors, tensors.regressor @ vertices).to_palm(vertices)


@pytest.fixture(scope="module")
def fitted(tensors: HandTemplate, truth: Tensor) -> FittedHand:
    none = truth.new_zeros(0)
    nodes = truth[:, tensors.nodes]
    return fit_skinned(tensors, nodes, none.reshape(0, len(tensors.nodes)), none.reshape(0, 3), none)


def test_known_hands_are_found_again(fitted: FittedHand, truth: Tensor) -> None:
    off = (fitted.vertices - truth).norm(dim=-1) * UNIT
    assert float(off.mean()) < 1e-3 and float(off.max()) < 8e-3


def test_angles_are_those_of_a_hand(fitted: FittedHand, posed: Posed) -> None:
    limits = torch.from_numpy(LIMITS)
    assert (fitted.angles > limits[:, 0] - 0.1).all() and (fitted.angles < limits[:, 1] + 0.1).all()
    error = (fitted.angles - torch.from_numpy(posed.angles[:COUNT])).abs().rad2deg()
    assert float(error.mean()) < 8


def test_rotations_are_rotations(fitted: FittedHand) -> None:
    r = fitted.rotations
    assert r.shape == (COUNT, 20, 3, 3)
    torch.testing.assert_close(r @ r.mT, torch.eye(3).expand_as(r), atol=1e-4, rtol=0)
    assert (torch.linalg.det(r) > 0).all()


def test_what_was_observed_pulls_more_than_the_network(tensors: HandTemplate, truth: Tensor) -> None:
    """A fingertip that was given is met, though the network put it 8 mm elsewhere."""
    nodes = truth[:1, tensors.nodes]
    rows = (tensors.regressor @ tensors.decoder)[[8]]
    target = rows @ truth[0, tensors.nodes] + torch.tensor([0.0, 0.0, -8e-3 / UNIT])
    free = fit_skinned(tensors, nodes, rows, target, torch.tensor([100.0]))
    held = fit_skinned(tensors, nodes, rows, target, torch.tensor([0.3e-3 / UNIT]))
    gap = [float((rows @ hand.vertices[0, tensors.nodes] - target).norm()) * UNIT for hand in (free, held)]
    assert gap[0] > 6e-3 and gap[1] < 2e-3


def test_least_squares_over_some_parameters_leaves_the_others() -> None:
    """A linear problem is solved in a few rounds, every row by itself."""
    rng = torch.Generator().manual_seed(1)
    matrix = torch.randn(12, 5, generator=rng)
    start = torch.randn(3, 5, generator=rng)
    goal = torch.randn(3, 12, generator=rng)
    free = torch.tensor([1, 3])
    found, cost = levenberg_marquardt(lambda p, aim: p @ matrix.T - aim, start, goal, free, 12)
    rest = goal - start[:, [0, 2, 4]] @ matrix[:, [0, 2, 4]].T
    best = torch.linalg.lstsq(matrix[:, free], rest.T).solution.T
    torch.testing.assert_close(found[:, free], best, atol=0.03, rtol=0.03)
    assert (found[:, [0, 2, 4]] == start[:, [0, 2, 4]]).all()
    torch.testing.assert_close(cost, ((found @ matrix.T - goal) ** 2).sum(1))
    alone, _ = levenberg_marquardt(lambda p, aim: p @ matrix.T - aim, start[1:2], goal[1:2], free, 12)
    torch.testing.assert_close(alone[0], found[1], atol=1e-3, rtol=1e-2)


def test_bones_of_the_parameters_make_the_vertices(tensors: HandTemplate, fitted: FittedHand) -> None:
    linear, shift, _ = placed_bones(tensors, fitted.parameters)
    rest, _, _ = rest_shape(tensors, fitted.parameters[:, 24:34])
    torch.testing.assert_close(blend(tensors.weights, linear, shift, rest), fitted.vertices)
