"""Whether a score can be trusted: does it tell which of eight draws, and of which request, is near the truth.

A score stands for an error in millimetres that is to be expected (hhmr_engine/selection.py), so it is asked
twice. Within a hand: the rank correlation of the scores of its eight draws with their errors. Across hands:
the same of all draws of all hands, which also says how sure one may be of an answer. What a perfect network
would reach is measured too: another draw takes the place of the truth.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ... import selection as scores
from ...hand.skeleton import FINGER_JOINTS
from .. import metrics
from ..asking import COUNT, millimetres
from ..skeletons import hidden_joints, rank_correlation
from ..testset import TestHands, generator, recorded_hands, synthetic_hands
from .table import Check, Context, Table, at_least, at_most

HEAD = (
    *("", "hands", "rank correlation within a hand", "were a draw the truth", "across hands"),
    *("were a draw the truth", "first by score / mean of 8", "were a draw the truth"),
    *("error, mm", "expected by score, mm"),
)
SEED = "hhmr-test-selection-1"
RANK, FIRST = 0.6, 0.90


@dataclass(frozen=True)
class Judged:
    """Of eight draws of N hands [N,8], mm: error expected by score, the true one, that to another draw."""

    expected: np.ndarray
    error: np.ndarray
    ideal: np.ndarray

    @property
    def cells(self) -> tuple[float, ...]:
        parts = [self.within(self.error), self.within(self.ideal)]
        parts += [self.across(self.error), self.across(self.ideal)]
        parts += [self.first(self.error), self.first(self.ideal)]
        return (*parts, float(self.error.mean()), float(self.expected.mean()))

    def within(self, error: np.ndarray) -> float:
        """Mean over hands; NaN where nothing varies."""
        each = [rank_correlation(a, b) for a, b in zip(self.expected, error, strict=True)]
        return float(np.nanmean(each)) if np.isfinite(each).any() else float("nan")

    def across(self, error: np.ndarray) -> float:
        return rank_correlation(self.expected.ravel(), error.ravel())

    def first(self, error: np.ndarray) -> float:
        """Mean error of each hand's first by score over that of all."""
        rows = np.arange(len(error))
        return float(error[rows, self.expected.argmin(1)].mean() / error.mean())


def selection(context: Context) -> Table:
    context.engine.network()
    made = {name: _judged(context, hands, seen) for name, hands, seen in _conditions(context)}
    rows: list[tuple[str | float, ...]] = [
        (name, str(len(part.error)), *part.cells) for name, part in made.items()
    ]
    every = Judged(*(np.concatenate([getattr(p, n) for p in made.values()]) for n in Judged.__annotations__))
    rows.append(("all of them", str(len(every.error)), *every.cells))
    notes = [
        "Errors are mean distances of all 21 joints, in place, at our hand's size. Eight draws, unselected.",
        f"A score is 2^(-expected error / {scores.HALF:g} mm).",
    ]
    checks: list[Check] = []
    for name, part in made.items():
        if name.startswith("three"):
            checks.append(at_least(f"{name}: rank correlation within a hand", part.within(part.error), RANK))
            checks.append(at_least(f"{name}: across hands", part.across(part.error), RANK))
            checks.append(at_most(f"{name}: first by score / mean of 8", part.first(part.error), FIRST))
    checks.append(at_least("rank correlation across all requests", every.across(every.error), RANK))
    return Table("selection", "Selection by score", HEAD, rows, checks, notes)


def _conditions(context: Context) -> Iterator[tuple[str, TestHands, np.ndarray]]:
    """Name, hands, joints that are seen [N,21]."""
    arrays, size = context.engine.arrays, context.size
    recorded = recorded_hands(arrays, context.recordings, size(7, 1)).first(size(40, 2))
    synthetic = synthetic_hands(arrays, size(30, 2))
    rng = generator(SEED)
    for kind, hands in (("recordings", recorded), ("synthetic", synthetic)):
        few = hands.first(size(16, 1))
        fingers = np.tile(~hidden_joints(False), (len(hands), 1))
        yield f"three fingers hidden, {kind}", hands, fingers
        yield f"one to four fingers hidden, {kind}", few, np.stack([_fingers(rng) for _ in few.source])
        yield f"any joints hidden, {kind}", few, np.stack([_joints(rng) for _ in few.source])
    whole = recorded.first(size(16, 1))
    yield "whole skeleton, recordings", whole, np.ones((len(whole), 21), bool)


def _fingers(rng: np.random.Generator) -> np.ndarray:
    """[21] seen, without one to four fingers, their knuckles seen half of the time."""
    seen = np.ones(21, bool)
    for finger in rng.choice(5, rng.integers(1, 5), replace=False):
        seen[list(list(FINGER_JOINTS.values())[finger][rng.integers(0, 2) :])] = False
    return seen


def _joints(rng: np.random.Generator) -> np.ndarray:
    """[21] seen, without one to thirteen joints but the wrist."""
    seen = np.ones(21, bool)
    seen[rng.choice(np.arange(1, 21), rng.integers(1, 14), replace=False)] = False
    return seen


def _judged(context: Context, hands: TestHands, seen: np.ndarray) -> Judged:
    """Sixteen draws: the first eight are judged, each of the others takes the truth's place once."""
    context.expect(2 * len(hands))
    rows = []
    for i, found in context.asker().joints(hands, seen, "network", count=2 * COUNT):
        judged, others = millimetres(found.joints[:COUNT]), millimetres(found.joints[COUNT:])
        error = metrics.mean_point_error(judged, millimetres(hands.joints[i]))
        ideal = metrics.mean_point_error(judged, others[i % COUNT])
        rows.append((-scores.HALF * np.log2(found.score[:COUNT].astype(np.float64)), error, ideal))
    return Judged(*np.array(rows).reshape(-1, 3, COUNT).transpose(1, 0, 2))
