"""Scores rank by what can be seen, and the choice is of plausible hands that differ."""

from __future__ import annotations

import numpy as np
import pytest

from hhmr_engine.selection import HALF, choose, score

ZERO = np.zeros(3)


def test_each_fault_halves_the_score_at_its_own_size() -> None:
    perfect = score(ZERO, 1.0, ZERO, ZERO)
    assert perfect.dtype == np.float32 and (perfect == 1).all()
    for key in HALF:
        fault = {"residual": ZERO + 1.0, "self_intersection": ZERO, "consistency": ZERO}
        fault[key] = fault[key] + HALF[key]
        np.testing.assert_allclose(score(fault["residual"], 1.0, *list(fault.values())[1:]), 0.5)


def test_a_residual_within_the_noise_is_no_fault() -> None:
    scores = score(np.array([0.0, 2.9, 3.1]), 3.0, ZERO, ZERO)
    assert scores[0] == scores[1] == 1 and scores[2] < 1


def test_scores_stay_between_nothing_and_one() -> None:
    scores = score(np.array([0.0, 1e3, 50.0]), 1.0, np.array([100.0, 0.0, 3.0]), np.array([0.1, 5.0, 2.0]))
    assert ((scores >= 0) & (scores <= 1)).all() and np.isfinite(scores).all()


def _hands(places: list[float]) -> np.ndarray:
    """[n,21,3] hands that are as different as these numbers."""
    return np.array(places)[:, None, None] * np.ones((1, 21, 3))


def test_without_diversity_the_first_draws_best_first() -> None:
    scores = np.array([0.2, 0.9, 0.5, 1.0, 1.0])
    assert choose(scores, _hands([0, 1, 2, 3, 4]), 3, diverse=False).tolist() == [1, 2, 0]


def test_with_diversity_the_best_and_the_most_different() -> None:
    """Twins of the best are left out; so is the most different hand of all, which is implausible."""
    scores = np.array([0.9, 0.95, 0.94, 0.8, 0.7, 0.75, 0.01, 0.02])
    hands = _hands([0.0, 0.01, 0.02, 5.0, -5.0, 0.03, 50.0, -50.0])
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
