"""What was given, where it is, and what it says about the pose, however it was placed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from hhmr_engine.data.sampler import sample_angles
from hhmr_engine.diffusion.gaussian import GaussianPrior
from hhmr_engine.hand import dof
from hhmr_engine.hand.build import random_shapes
from hhmr_engine.hand.frame import palm_frame
from hhmr_engine.hand.rotation import rotation_matrix
from hhmr_engine.hand.skinning import skin
from hhmr_engine.hand.template import UNIT, HandTemplate, load_template
from hhmr_engine.observation import (
    FRAME_DEVIATION,
    Observation,
    PointOperator,
    frame_jacobian,
    node_prior,
    observe_joints,
    observe_nothing,
    observe_vertices,
)

COUNT = 6


@dataclass(frozen=True)
class Placed:
    """COUNT posed hands of their own proportions, anywhere: vertices [N,V,3], joints [N,21,3], size [N]."""

    vertices: Tensor
    joints: Tensor
    size: Tensor


@pytest.fixture(scope="module")
def template() -> HandTemplate:
    return load_template().torch()


@pytest.fixture(scope="module")
def prior(template: HandTemplate) -> GaussianPrior:
    return node_prior(template)


@pytest.fixture(scope="module")
def placed(template: HandTemplate) -> Placed:
    rng = np.random.default_rng(3)
    angles = torch.from_numpy(sample_angles(COUNT, rng, load_template()))
    shapes = (torch.from_numpy(array) for array in random_shapes(rng, COUNT))
    vertices, _ = skin(template, dof.rotations(template, angles), *shapes)
    g = torch.Generator().manual_seed(0)
    turn = rotation_matrix(2 * torch.randn(COUNT, 3, generator=g))
    size = torch.tensor([1e-3, 0.3, 1.0, 1.7, 39.4, 1000.0])  # kilometres, ..., inches, millimetres
    vertices = size[:, None, None] * (vertices @ turn.mT + torch.randn(COUNT, 1, 3, generator=g))
    return Placed(vertices, template.regressor @ vertices, size)


def _estimate(observation: Observation, template: HandTemplate, prior: GaussianPrior) -> Tensor:
    """The Gaussian's best hand [V,3] in the user's space."""
    x = prior.sample(observation.evidence(prior), torch.zeros(1, prior.rank))
    palm = template.decoder @ x.unflatten(-1, (-1, 3))
    return observation.frame.to_world(observation.aligned(x, palm))[0]


@pytest.mark.parametrize("hand", range(COUNT))
def test_a_skeleton_anywhere_is_found_and_explained(
    template: HandTemplate, prior: GaussianPrior, placed: Placed, hand: int
) -> None:
    seen = observe_joints(template, placed.joints[hand], rho=1.0)
    off = (_estimate(seen, template, prior) - placed.vertices[hand]).norm(dim=1).mean() / placed.size[hand]
    assert float(off) < 2e-3
    true = palm_frame(template, placed.joints[hand][None])
    assert abs(float(seen.frame.scale / true.scale) - 1) < 0.02
    angle = torch.acos(((seen.frame.rotation[0].T @ true.rotation[0]).trace().clamp(max=3) - 1) / 2)
    assert float(angle.rad2deg()) < 3


@pytest.mark.parametrize("hand", range(COUNT))
def test_a_cut_mesh_anywhere_is_found_and_explained(
    template: HandTemplate, prior: GaussianPrior, placed: Placed, hand: int
) -> None:
    """Thumb, index and middle missing: what is left lies where it was, to a fraction of a millimetre."""
    vertices = placed.vertices[hand].clone()
    gone = template.weights[:, [2, 3, 5, 6, 7, 9, 10, 11]].sum(1) > 0.5
    vertices[gone] = torch.nan
    seen = observe_vertices(template, vertices, rho=1.0)
    assert torch.equal(seen.kept, ~gone)
    left = (_estimate(seen, template, prior) - placed.vertices[hand])[~gone].norm(dim=1) / placed.size[hand]
    assert float(left.mean()) < 1e-3
    # Of the joints those are observed too whose surroundings are whole.
    assert torch.isfinite(seen.joints[[0, 14, 15, 16, 17, 18, 19, 20]]).all()
    assert torch.isnan(seen.joints[[3, 4, 6, 7, 8, 10, 11, 12]]).all()
    assert torch.equal(torch.isnan(seen.joints).any(1), torch.isinf(seen.joint_sigma))


def test_evidence_is_the_brute_force_one(template: HandTemplate, prior: GaussianPrior) -> None:
    """A'^T (S + J F J^T)^-1 A': a small similarity of the frame marginalised as noise, in float64."""
    operator = PointOperator(template, prior, template.regressor)
    g = torch.Generator().manual_seed(1)
    target = operator.mean + 0.2 * torch.randn(21, 3, generator=g)
    sigma = 0.01 + 0.1 * torch.rand(21, generator=g)
    ours = operator.evidence(target, sigma)
    jacobian = frame_jacobian(target).flatten(0, 1).double()
    frame = torch.diag(torch.tensor(FRAME_DEVIATION, dtype=torch.float64) ** 2)
    noise = torch.diag(sigma.double().repeat_interleave(3) ** 2) + jacobian @ frame @ jacobian.T
    modes = operator.modes.flatten(0, 1).double()
    precision = modes.T @ torch.linalg.solve(noise, modes)
    information = modes.T @ torch.linalg.solve(noise, (target - operator.mean).flatten().double())
    assert (ours.precision - precision).abs().max() < 1e-3 * precision.abs().max()
    assert (ours.information - information).abs().max() < 2e-3 * information.abs().max()


def test_a_frame_that_is_a_little_off_hardly_changes_the_pose(
    template: HandTemplate, prior: GaussianPrior, placed: Placed
) -> None:
    """2 mm, 3 degrees and 2 % move the points; the estimate of the pose stays."""
    seen = observe_joints(template, placed.joints[2], rho=1.0)
    operator = seen.points
    assert operator is not None
    off = torch.tensor([0.03, -0.03, 0.02, 0.03, 0.04, -0.02, 0.02])
    moved = seen.target + (frame_jacobian(seen.target) @ off[:, None])[..., 0]
    poses = []
    for target in (seen.target, moved):
        poses.append(prior.sample(operator.evidence(target, seen.sigma), torch.zeros(1, prior.rank)))
    shifted = (moved - seen.target).norm(dim=1).mean()
    change = (operator.of_nodes(poses[1]) - operator.of_nodes(poses[0])).norm(dim=-1).mean()
    assert shifted * UNIT > 2e-3 and change < 0.2 * shifted
    # And what is left of the difference is put right when the hand is placed.
    again = operator.align(poses[0], moved, seen.sigma)
    assert (torch.cat([again[2][0], again[1][0], again[0]]) - off).abs().max() < 0.02


def test_unknown_points_are_no_points(template: HandTemplate, prior: GaussianPrior, placed: Placed) -> None:
    """sigma = inf in a batch is the same as leaving the row out."""
    operator = PointOperator(template, prior, template.regressor)
    target = operator.mean + 0.1
    sigma = torch.full((2, 21), 0.02)
    sigma[1, 9:] = torch.inf
    both = operator.evidence(torch.where(torch.isinf(sigma)[..., None], torch.nan, target), sigma)
    few = PointOperator(template, prior, template.regressor[:9]).evidence(target[:9], sigma[1, :9])
    whole = operator.evidence(target, sigma[0])
    for i, single in enumerate((whole, few)):
        torch.testing.assert_close(both.precision[i], single.precision, rtol=1e-3, atol=0.05)
        torch.testing.assert_close(both.information[i], single.information, rtol=1e-3, atol=0.5)


def test_noise_makes_an_observation_weaker(
    template: HandTemplate, prior: GaussianPrior, placed: Placed
) -> None:
    opened = []
    for rho in (1.0, 5.0, 20.0):
        seen = observe_joints(template, placed.joints[2], rho)
        evidence = seen.evidence(prior)
        opened.append(float(prior.open_deviation(prior.factor(torch.zeros(()), evidence))))
        assert abs(float(seen.sigma[0]) * UNIT * 1e3 - rho) < 1e-4
    assert opened[0] < opened[1] < opened[2]


def test_the_operator_is_the_matrix_it_says(template: HandTemplate, prior: GaussianPrior) -> None:
    operator = PointOperator(template, prior, template.regressor[[0, 8]])
    x = torch.randn(3, len(prior.mean), generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(
        (x @ operator.flat().T).unflatten(1, (-1, 3)), operator.of_nodes(x), atol=1e-4, rtol=0
    )


def test_the_jacobian_of_a_frame_is_its_derivative() -> None:
    points = torch.randn(5, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    step = 1e-6
    for k in range(7):
        off = torch.zeros(7, dtype=torch.float64)
        off[k] = step
        moved = torch.exp(off[6]) * points @ rotation_matrix(off[3:6]).T + off[:3]
        torch.testing.assert_close((moved - points) / step, frame_jacobian(points)[..., k], atol=1e-5, rtol=0)


def test_the_right_hand_explains_better_than_its_mirror(
    template: HandTemplate, prior: GaussianPrior, placed: Placed
) -> None:
    flip = torch.tensor([-1.0, 1.0, 1.0])
    for joints in placed.joints:
        energy, distance = observe_joints(template, joints, 1.0).energy(prior)
        other, _ = observe_joints(template, joints * flip, 1.0).energy(prior)
        assert energy < 0.5 * other and distance * UNIT < 1.5e-3


@pytest.mark.parametrize(
    ("known", "sentence"),
    [([], "fewer than three"), ([0, 9], "fewer than three"), ([10, 11, 12], "one line")],
)
def test_too_little_fixes_no_hand(template: HandTemplate, known: list[int], sentence: str) -> None:
    joints = torch.full((21, 3), torch.nan)
    joints[known] = torch.linspace(0, 1, 3)[: len(known), None] * torch.tensor([0.01, 0.02, 0.0])
    with pytest.raises(ValueError, match=sentence):
        observe_joints(template, joints, 1.0)


@pytest.mark.parametrize("vertices", [3, 40])
def test_a_scrap_of_mesh_is_enough_to_be_placed(
    template: HandTemplate, prior: GaussianPrior, placed: Placed, vertices: int
) -> None:
    scrap = torch.full((1609, 3), torch.nan)
    chosen = torch.linspace(0, 1608, vertices).long()
    scrap[chosen] = placed.vertices[2][chosen]
    seen = observe_vertices(template, scrap, 1.0)
    estimate = _estimate(seen, template, prior)
    assert torch.isfinite(estimate).all()
    assert (estimate - placed.vertices[2])[chosen].norm(dim=1).mean() < 6e-3


def test_nothing_observed_is_the_prior_in_the_templates_place(
    template: HandTemplate, prior: GaussianPrior
) -> None:
    seen = observe_nothing(template)
    assert not seen.evidence(prior).precision.any() and not seen.kept.any()
    mean = seen.frame.to_world(template.basis_mean[None])[0]
    assert (mean - template.vertices).norm(dim=1).mean() < 0.03
    assert seen.residual(prior.mean[None]).tolist() == [0.0]
