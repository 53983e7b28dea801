"""The fits that the engine is measured against: they know the hand, and they do their work."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from hhmr_engine.evaluation.baselines2d import FitSettings, SkinnedFit
from hhmr_engine.evaluation.fitting2d import PICTURE, SeenHands, camera_errors, project, seen_hands
from hhmr_engine.evaluation.hand_model2d import PosedJoints
from hhmr_engine.evaluation.landmark_fit import AdamFit
from hhmr_engine.hand.template import HandTemplate, load_template


@pytest.fixture(scope="module")
def template() -> HandTemplate:
    return load_template()


@pytest.fixture(scope="module")
def hands(template: HandTemplate) -> SeenHands:
    return seen_hands(template, tuning=True).first(6)


@pytest.fixture(scope="module")
def fit(template: HandTemplate) -> SkinnedFit:
    return SkinnedFit(template, [])


@pytest.mark.parametrize("pose", ["angles", "rotations"])
def test_few_operations_give_the_skinned_hands_joints(template: HandTemplate, pose: str) -> None:
    model = PosedJoints(template, [], pose, 24)
    z = torch.randn(5, model.size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    vertices, joints = model.skinned(z)
    assert vertices.shape == (5, len(template.vertices), 3)
    assert np.abs(model(z).numpy() - joints).max() < 1e-6
    assert np.ptp(joints, axis=0).max() > 0.01  # they are different hands


def test_the_fit_finds_the_hands(fit: SkinnedFit, hands: SeenHands) -> None:
    found = fit.fit(hands)
    assert found.vertices.shape[:2] == (6, 4) and found.cost.shape == (6, 4)
    best, joints = found.best()
    error, _ = camera_errors(best, joints, hands.vertices, hands.joints)
    assert 1e3 * error.mean() < 10
    off = np.linalg.norm(project(joints, hands.focal) - hands.joints2d, axis=-1).mean(1)
    assert (off / hands.hand_size).max() < 0.02  # nearer than the noise, which is 1.9 %
    alone = found.cost[:, :1]
    assert (found.cost.min(1) <= alone[:, 0]).all()


def test_hidden_joints_do_not_count(template: HandTemplate, fit: SkinnedFit, hands: SeenHands) -> None:
    told = hands.joints2d.copy()
    told[:, [7, 8, 11, 12]] = np.nan
    found = fit.fit(replace(hands, joints2d=told).first(2))
    assert np.isfinite(found.vertices).all() and np.isfinite(found.cost).all()


@pytest.mark.slow
def test_both_solvers_end_at_the_same_cost(template: HandTemplate, hands: SeenHands) -> None:
    one = SkinnedFit(template, [], FitSettings(restarts=1, iterations=80))
    newton, lbfgs = (one.fit(hands.first(5), solver).cost for solver in ("lm", "lbfgs"))
    assert np.median(newton - lbfgs) < 0.1  # now and then one of them stays in another minimum


def test_chosen_starts_begin_nearer_than_random_ones(template: HandTemplate, hands: SeenHands) -> None:
    start = [SkinnedFit(template, [], FitSettings(chosen=chosen)) for chosen in (True, False)]
    none = torch.zeros(24, start[0].size, dtype=torch.float64)
    near, far = (f.residuals(none, f.views(hands)).square().sum(1).mean() for f in start)
    assert near < 0.5 * far


def test_adam_lays_a_hand_on_its_landmarks(template: HandTemplate, hands: SeenHands) -> None:
    rng = np.random.default_rng(1)
    centre = np.array(PICTURE) / 2
    size, focal = float(hands.hand_size[0]), float(hands.focal[0])
    world = hands.joints[0] - hands.joints[0, 9] + rng.normal(0, 0.004, (21, 3))
    found = AdamFit(template, []).fit(hands.joints2d[0], world, size, focal, centre)
    off = np.linalg.norm(found.joints2d - hands.joints2d[0], axis=1).mean() / size
    assert off < 0.025
    joints = template.regressor @ found.vertices
    error, _ = camera_errors(found.vertices, joints, hands.vertices[0], hands.joints[0])
    assert 1e3 * error < 10
