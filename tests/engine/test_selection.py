"""A score says how far a hand is likely to be from the truth, and the choice is of good hands that differ."""

from __future__ import annotations

import numpy as np
import pytest

from hhmr_engine.evaluation.skeletons import rank_correlation
from hhmr_engine.selection import CROSSING, HALF, apart, choose, expected_error, score

ZERO = np.zeros(3)


def test_a_score_is_the_expected_error_and_halves_with_every_ten_millimetres() -> None:
    values = score(np.array([0.0, HALF, 2 * HALF]))
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, [1.0, 0.5, 0.25])


def test_distance_is_believed_and_faults_are_added() -> None:
    np.testing.assert_allclose(expected_error(np.array([0.0, 3.0, 7.0]), ZERO, 1.0, ZERO), [0, 3, 7])
    np.testing.assert_allclose(expected_error(ZERO, ZERO + 4.5, 1.0, ZERO), 3.5)
    np.testing.assert_allclose(expected_error(ZERO, ZERO, 1.0, ZERO + 20.0), 20 * CROSSING)


def test_a_residual_within_the_noise_is_no_fault() -> None:
    errors = expected_error(ZERO, np.array([0.0, 2.9, 3.1]), 3.0, ZERO)
    assert errors[0] == errors[1] == 0 and errors[2] > 0


def test_scores_stay_between_nothing_and_one() -> None:
    errors = expected_error(np.array([0.0, 1e4, 30.0]), np.array([0.0, 1e3, 50.0]), 1.0, np.full(3, 100.0))
    assert ((score(errors) >= 0) & (score(errors) <= 1)).all()


def _hands(places: list[float]) -> np.ndarray:
    """[n,21,3] hands that are as different as these numbers."""
    return np.array(places)[:, None, None] * np.array([1.0, 0, 0]) * np.ones((1, 21, 1))


def test_apart_is_the_mean_distance_to_the_others() -> None:
    np.testing.assert_allclose(apart(_hands([0.0, 1.0, 5.0]), 8), [3.0, 2.5, 4.5])
    assert apart(_hands([2.0]), 8).tolist() == [0.0]


def test_a_hands_distance_does_not_depend_on_how_many_come_after_it() -> None:
    hands = np.random.default_rng(1).normal(size=(24, 21, 3)).astype(np.float32)
    every = apart(hands, 8)
    for count in (8, 9, 16):
        assert np.array_equal(apart(hands[:count], 8), every[:count])
    np.testing.assert_allclose(every[8], np.linalg.norm(hands[:8] - hands[8], axis=-1).mean(), rtol=1e-5)


def test_among_draws_of_the_truths_own_distribution_the_score_tells_which_are_near_it() -> None:
    """Poses of few degrees of freedom, as what is hidden of a hand has.

    The truth is one more draw. A score that forgot the other draws would be at 0 and 1.
    """
    rng = np.random.default_rng(0)
    shapes = rng.normal(size=(4, 21, 3))
    ranks, ratios = [], []
    for _ in range(300):
        hands = np.einsum("nk,kjc->njc", 10 * rng.normal(size=(9, 4)), shapes)
        errors = np.linalg.norm(hands[:8] - hands[8], axis=-1).mean(-1)
        scores = score(expected_error(apart(hands[:8], 8), np.zeros(8), 1.0, np.zeros(8)))
        ranks.append(rank_correlation(scores, -errors))
        ratios.append(errors[choose(scores, hands[:8], 1, True)[0]] / errors.mean())
    assert np.mean(ranks) > 0.35 and np.mean(ratios) < 0.85


def test_without_diversity_the_first_draws_best_first() -> None:
    scores = np.array([0.2, 0.9, 0.5, 1.0, 1.0])
    assert choose(scores, _hands([0, 1, 2, 3, 4]), 3, diverse=False).tolist() == [1, 2, 0]


def test_with_diversity_the_best_and_the_most_different() -> None:
    """Twins of the best are left out; so is the most different hand of all, which is the worst."""
    scores = np.array([0.9, 0.95, 0.94, 0.8, 0.7, 0.75, 0.65, 0.01])
    hands = _hands([0.0, 0.01, 0.02, 5.0, -5.0, 0.03, 0.04, 50.0])
    assert choose(scores, hands, 3, diverse=True).tolist() == [1, 3, 4]


@pytest.mark.parametrize("count", [1, 4, 7, 8])
def test_as_many_as_asked_for_and_none_twice(count: int) -> None:
    rng = np.random.default_rng(0)
    scores, hands = rng.random(8), rng.normal(size=(8, 21, 3))
    for diverse in (False, True):
        chosen = choose(scores, hands, count, diverse)
        assert len(set(chosen.tolist())) == len(chosen) == count
        assert (np.diff(scores[chosen]) <= 0).all()
    assert choose(scores, hands, 1, True)[0] == scores.argmax()


def test_identical_draws_are_still_as_many_as_asked_for() -> None:
    chosen = choose(np.ones(8), np.zeros((8, 21, 3)), 4, diverse=True)
    assert len(set(chosen.tolist())) == 4
