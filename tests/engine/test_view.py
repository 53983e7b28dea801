"""2D joints as evidence: the operator's derivatives, its views, and what is found from exact joints."""

import numpy as np
import pytest
import torch

from hhmr_engine.hand.rotation import rotation_matrix, rotation_vector
from hhmr_engine.hand.template import load_template
from hhmr_engine.model.graph_unet import TURN, TURN_DEVIATION
from hhmr_engine.observation import node_prior
from hhmr_engine.training.seeing import Viewer, ViewSettings
from hhmr_engine.view import START_DIRECTIONS, JointCamera, View, project, sphere

TEMPLATE = load_template().torch()


@pytest.fixture(scope="module")
def camera() -> JointCamera:
    return JointCamera(TEMPLATE, node_prior(TEMPLATE).widened(TURN_DEVIATION, TURN))


def some_hands(camera: JointCamera, count: int, seed: int = 0) -> tuple[torch.Tensor, View]:
    """Coefficients of plausible hands, and views of them from all round."""
    generator = torch.Generator().manual_seed(seed)
    u = 0.7 * torch.randn(count, camera.prior.rank, generator=generator)
    u[:, -TURN:] = 0
    return u, Viewer(camera, ViewSettings()).views(count, generator)


def test_derivatives_are_those_of_the_projection(camera: JointCamera) -> None:
    u, view = (part.double() if isinstance(part, torch.Tensor) else part for part in some_hands(camera, 3))
    wide = JointCamera(TEMPLATE, camera.prior)
    wide.mean, wide.modes = camera.mean.double(), camera.modes.double()
    view = View(view.rotation.double(), view.position.double())
    joints = wide.joints(u)
    sigma = torch.full((3, 21), 0.01, dtype=torch.float64)
    exact = project(view.place(joints))
    jacobian, residual = wide.linearise(view, joints, exact, sigma)
    assert residual.abs().max() < 1e-9
    generator = torch.Generator().manual_seed(1)
    step = 1e-5 * torch.randn(3, jacobian.shape[-1], generator=generator, dtype=torch.float64)
    moved = view.moved(step[:, -6:-3] * wide.turn, step[:, -3:])
    there = u.clone()
    there[:, :-TURN] += step[:, :-6]
    change = (project(moved.place(wide.joints(there))) - exact) / sigma[..., None]
    predicted = (jacobian @ step[..., None])[..., 0].unflatten(1, (21, 2))
    assert (change - predicted).abs().max() < 2e-3 * change.abs().max()


def test_a_fit_from_all_round_explains_the_joints(camera: JointCamera) -> None:
    u, view = some_hands(camera, 6)
    target = project(view.place(camera.joints(u)))
    size = (target.amax(1) - target.amin(1)).amax(1)[:, None].expand(-1, 21)
    sigma = 0.01 * size
    starts = camera.starts(target, sigma)
    many = [part.repeat_interleave(START_DIRECTIONS, 0) for part in (target, sigma)]
    views, found, cost = camera.fit(starts, torch.zeros(len(starts), camera.prior.rank), *many)
    best = cost.view(6, -1).argmin(1) + torch.arange(6) * START_DIRECTIONS
    seen = project(views[best].place(camera.joints(found[best])))
    assert ((seen - target).norm(dim=-1) / size).max() < 0.02
    apart = rotation_vector(views[best].rotation.mT @ view.rotation).norm(dim=1)
    assert apart.median() < 0.2 and apart.max() < 0.7


def test_hidden_joints_tell_nothing(camera: JointCamera) -> None:
    u, view = some_hands(camera, 2)
    target = project(view.place(camera.joints(u)))
    target[:, 8:] = torch.nan
    evidence = camera.evidence(view, camera.joints(u), u, target, torch.full((2, 21), 0.01))
    assert torch.isfinite(evidence.precision).all() and torch.isfinite(evidence.information).all()
    assert torch.linalg.matrix_rank(evidence.precision[0], atol=1e-2) <= 16
    few = camera.evidence(view, camera.joints(u), u, target * torch.nan, torch.full((2, 21), 0.01))
    assert few.precision.abs().max() == 0


def test_settling_finds_the_place_again(camera: JointCamera) -> None:
    u, view = some_hands(camera, 4)
    joints = camera.joints(u)
    target = project(view.place(joints))
    lost = View(view.rotation, view.position * 1.4 + 0.5)
    settled = camera.settle(lost, joints, target, torch.full((4, 21), 1e-3))
    assert (settled.position - view.position).abs().max() < 1e-2 * view.position.abs().max()


def test_told_points_lie_on_the_lines_of_sight(camera: JointCamera) -> None:
    u, view = some_hands(camera, 3)
    target = project(view.place(camera.joints(u))) + 0.003
    target[0, 5] = torch.nan
    points, sigma, line = camera.on_lines_of_sight(view, camera.joints(u), target, torch.full((3, 21), 0.002))
    again = project(view.place(points))
    assert torch.isinf(sigma[0, 5]) and torch.isnan(points[0, 5]).all()
    assert torch.nan_to_num(again - target).abs().max() < 1e-5
    forward = (line[:, None] @ view.rotation.mT)[:, 0]  # along the camera's axis
    assert torch.allclose(forward, torch.tensor([0.0, 0, 1]).expand(3, -1), atol=1e-5)


def test_rotation_vectors_and_directions() -> None:
    generator = torch.Generator().manual_seed(0)
    vector = torch.randn(50, 3, generator=generator)
    vector = vector / vector.norm(dim=1, keepdim=True) * torch.linspace(0, 3.1, 50)[:, None]
    assert torch.allclose(rotation_vector(rotation_matrix(vector)), vector, atol=2e-3)
    directions = sphere(12).numpy()
    assert np.allclose(np.linalg.norm(directions, axis=1), 1, atol=1e-5)
    gaps = np.arccos(np.clip(directions @ directions.T - 2 * np.eye(12), -1, 1)).min(1)
    assert np.degrees(gaps).min() > 35
