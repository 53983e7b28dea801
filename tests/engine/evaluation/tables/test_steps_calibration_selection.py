"""The tables of what draws are worth: how few steps, how wide, which one first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tqdm import tqdm

from hhmr_engine.engine import Engine, Request
from hhmr_engine.evaluation.tables.calibration import Ensembles, calibration, ensembles, inner_share
from hhmr_engine.evaluation.tables.selection import Judged, selection
from hhmr_engine.evaluation.tables.steps import STEPS, steps
from hhmr_engine.evaluation.tables.table import Context, Table
from hhmr_engine.evaluation.testset import TestHands
from hhmr_engine.training.train import data_cache
from tests.engine.small_network import small_weights


def _context(engine: Engine, data: Path = Path()) -> Context:
    return Context(engine, data, data_cache(engine.arrays.name), True, tqdm(disable=True, total=0))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, data_root: Path) -> Context:
    """Of a network that knows nothing, with recordings."""
    return _context(Engine(weights=small_weights(tmp_path_factory.mktemp("weights")), threads=1), data_root)


def _drawn_from(spread: float, count: int = 150, seed: int = 0) -> Ensembles:
    """Truths of deviation 1 about middles that draws of another deviation share."""
    rng = np.random.default_rng(seed)
    middle = rng.normal(0, 20, (count, 1, 12, 3))
    draws = middle + spread * rng.normal(size=(count, 64, 12, 3))
    return Ensembles(draws, middle[:, 0] + rng.normal(size=(count, 12, 3)))


def test_draws_that_are_spread_as_the_truth_is_are_called_calibrated_and_others_are_not() -> None:
    right, narrow, wide = (_drawn_from(spread) for spread in (1.0, 0.5, 2.0))
    for level in (0.5, 0.9):
        assert abs(right.by_coordinates(level) - level) < 0.02
        assert abs(right.as_a_whole(level) - level) < 0.1
        assert narrow.by_coordinates(level) < level - 0.1 and narrow.as_a_whole(level) < 0.1
    assert wide.by_coordinates(0.5) > 0.7 and wide.as_a_whole(0.5) > 0.95
    assert right.energy < min(narrow.energy, wide.energy)
    np.testing.assert_allclose(right.spread, 3**0.5, rtol=0.02)
    assert np.ptp(np.histogram(right.ranks(), 13, (0, 65))[0]) < 0.3 * right.ranks().size / 13


def test_the_middle_of_all_draws_is_deeper_than_any_and_one_far_away_than_none() -> None:
    draws = np.random.default_rng(1).normal(size=(64, 4, 3))
    assert inner_share(draws, draws.mean(0)) == 0
    assert inner_share(draws, draws.mean(0) + 10) == 1


def test_the_gaussians_own_hands_are_where_its_draws_are(engine: Engine) -> None:
    """End to end: hands of the prior, told without three fingers, in any frame."""
    made = engine.run(Request("generate", count=24, seed=3, method="gaussian", diverse=False))
    turn = np.array([[0, -1, 0], [0, 0, -1], [1, 0, 0]], np.float32)
    vertices, joints = (2.0 * p @ turn.T + np.float32(0.3) for p in (made.vertices, made.joints))
    hands = TestHands(vertices, joints, np.full(24, "made"), np.full(24, np.nan))
    found = ensembles(_context(engine), hands, "gaussian")
    assert found.draws.shape == (24, 64, 12, 3)
    assert 0.38 < found.by_coordinates(0.5) < 0.65 and 0.82 < found.by_coordinates(0.9) < 0.97
    close = Ensembles(
        found.draws.mean(1, keepdims=True) + 0.4 * (found.draws - found.draws.mean(1, keepdims=True)),
        found.truth,
    )
    assert close.by_coordinates(0.9) < 0.7 and close.energy > found.energy


def test_a_score_that_knows_the_error_is_perfect_and_one_that_does_not_is_worth_nothing() -> None:
    rng = np.random.default_rng(2)
    error = rng.uniform(5, 30, (400, 8))
    knows, guesses = Judged(error - 3, error, error), Judged(rng.uniform(5, 30, (400, 8)), error, error)
    assert knows.within(error) == pytest.approx(1) and knows.across(error) == pytest.approx(1)
    assert knows.first(error) == pytest.approx(error.min(1).mean() / error.mean())
    assert abs(guesses.within(error)) < 0.05 and abs(guesses.across(error)) < 0.05
    assert abs(guesses.first(error) - 1) < 0.05


@pytest.mark.parametrize("maker", [steps, calibration, selection])
def test_each_table_runs(small: Context, maker) -> None:
    table: Table = maker(small)
    assert all(len(row) == len(table.head) for row in table.rows) and table.checks
    assert all(np.isfinite(check.value) for check in table.checks)
    if maker is steps:
        counts = [row[1] for row in table.rows if row[0] == "whole skeleton"]
        assert counts == [str(count) for count in STEPS]
    assert list(table.pictures) == (["calibration_ranks.png"] if maker is calibration else [])


@pytest.mark.slow
def test_draws_of_the_shipped_weights_are_wide_enough_and_their_score_tells(data_root: Path) -> None:
    """Four steps, 32 draws of 12 recorded hands: what holds of them loosely, whatever the weights."""
    from hhmr_engine.evaluation import metrics
    from hhmr_engine.evaluation.skeletons import hidden_joints
    from hhmr_engine.evaluation.testset import recorded_hands

    context = _context(Engine(threads=1), data_root)
    hands = recorded_hands(context.engine.arrays, context.recordings, 3).first(12)
    hidden = hidden_joints(False)
    draws, errors, scores = [], [], []
    for i, found in context.asker().joints(hands, ~hidden, "network", count=32, steps=4):
        draws.append(found.joints[:, hidden])
        errors.append(metrics.mean_point_error(found.joints, hands.joints[i]))
        scores.append(found.score)
    made = Ensembles(np.stack(draws), hands.joints[:, hidden])
    assert 0.35 < made.by_coordinates(0.5) < 0.7 and made.by_coordinates(0.9) > 0.75
    judged = Judged(-np.log2(np.array(scores)), np.array(errors), np.array(errors))
    assert judged.within(judged.error) > 0.25 and judged.first(judged.error) < 0.9
