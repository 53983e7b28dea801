"""Figures of hypotheses before a camera, on ensembles whose figures are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hhmr_engine.engine import Engine, Hypotheses
from hhmr_engine.evaluation.fitting2d import SeenHands, camera_errors, project, seen_hands
from hhmr_engine.evaluation.pictured import CAMERA, average, columns, errors, placed, request_of, spread


@pytest.fixture(scope="module")
def hands(engine: Engine) -> SeenHands:
    return seen_hands(engine.arrays).first(3)


@pytest.fixture(scope="module")
def found(engine: Engine, hands: SeenHands) -> Hypotheses:
    return engine.run(request_of(hands, 0, method="gaussian", count=4))


def test_the_engine_answers_in_the_axes_that_are_compared(found: Hypotheses, hands: SeenHands) -> None:
    own = errors(found, hands.vertices[0], hands.joints[0], hands.joints2d[0], float(hands.hand_size[0]))
    assert own.best <= min(own.first, own.one) and own.aligned <= own.first
    assert own.first < 40  # a hand seen from behind, or upside down, is far worse
    assert 0 < own.residual < 5
    seen = project((found.joints * CAMERA)[:1], hands.focal[:1])
    assert np.abs(seen - found.joints2d[0]).max() < 0.5


def test_the_truth_has_no_error(found: Hypotheses, hands: SeenHands) -> None:
    exact = replace(
        found,
        vertices=2 * np.repeat(hands.vertices[:1] * CAMERA, 4, 0),
        joints=2 * np.repeat(hands.joints[:1] * CAMERA, 4, 0),
        joints2d=np.repeat(hands.joints2d[:1], 4, 0),
    )
    own = errors(exact, hands.vertices[0], hands.joints[0], hands.joints2d[0], 100.0)
    assert max(own.one, own.first, own.mean, own.best, own.first_joints, own.aligned, own.residual) < 1e-3
    table = columns([own, own])
    assert table["first"].shape == (2,)


def test_hidden_joints_are_no_part_of_the_residual(found: Hypotheses, hands: SeenHands) -> None:
    assert found.joints2d is not None
    given = found.joints2d[0].copy()
    given[3:] = np.nan
    own = errors(found, hands.vertices[0], hands.joints[0], given, 100.0)
    assert own.residual == pytest.approx(0, abs=1e-4)


def test_the_mean_of_hands_forgets_their_size_and_place(hands: SeenHands) -> None:
    vertices = np.stack([hands.vertices[0], 3 * hands.vertices[0] + 1])
    joints = np.stack([hands.joints[0], 3 * hands.joints[0] + 1])
    error, _ = camera_errors(*average(vertices, joints), hands.vertices[0], hands.joints[0])
    assert 1e3 * error < 1e-2


def test_a_perfect_sampler_covers_ninety_per_cent_and_a_sure_one_less() -> None:
    rng = np.random.default_rng(0)
    middle = 30 * rng.standard_normal((60, 1, 21, 3))
    truth = (middle + rng.standard_normal((60, 1, 21, 3)))[:, 0]
    samples = middle + rng.standard_normal((60, 64, 21, 3))
    visible = rng.random((60, 21)) < 0.7
    honest = spread(samples, truth, visible)
    assert honest.all == pytest.approx(90, abs=2) and honest.depth == pytest.approx(90, abs=3)
    assert honest.hidden_depth == pytest.approx(90, abs=4)
    sure = spread(middle + 0.3 * (samples - middle), truth, visible)
    assert sure.all < 60
    assert np.isnan(spread(samples, truth, np.ones((60, 21), bool)).hidden_depth)


def test_samples_are_brought_to_the_truths_size(found: Hypotheses, hands: SeenHands) -> None:
    samples = placed(found, hands.vertices[0])
    truth = hands.joints[0] - hands.vertices[0].mean(0)
    assert samples.shape == (4, 21, 3)
    assert 1e3 * np.linalg.norm(samples - truth, axis=-1).mean() < 40
