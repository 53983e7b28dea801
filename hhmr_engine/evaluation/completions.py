"""Hands completed from what is known of them, by any method: one figure for every hand, so that methods can
be compared on the very same hands, and source by source."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields

import numpy as np

from ..request import Hypotheses
from . import metrics
from .asking import COUNT, Asker, millimetres
from .deterministic import Regressor
from .nearest import NearestHands
from .skeleton_fit import KinematicFit
from .testset import TestHands, in_palm_frame


@dataclass(frozen=True)
class Answer:
    """What a method says about one hand, in the frame of what it was told. Draws in their own order."""

    vertices: np.ndarray  # [n,V,3] metres
    joints: np.ndarray  # [n,21,3]
    crossing: np.ndarray  # [n] per cent of faces, adjacent segments left out
    score: np.ndarray | None = None  # [n]
    seconds: float = float("nan")


# What is known of N hands, joints [N,21,3] or vertices [N,V,3] with NaN, to answers for those that were not
# refused.
Method = Callable[[np.ndarray], Iterator[tuple[int, Answer]]]


def drawn(asker: Asker, method: str, count: int = COUNT, **changes: object) -> Method:
    """The engine's own draws; method is one of asking.METHODS, changes are fields of Request."""

    def complete(told: np.ndarray) -> Iterator[tuple[int, Answer]]:
        for row, found in asker.told(told, method, count=count, **changes):
            yield row, of_hypotheses(found)

    return complete


def of_hypotheses(found: Hypotheses) -> Answer:
    return Answer(found.vertices, found.joints, found.self_intersection, found.score, found.seconds)


def looked_up(asker: Asker, hands: NearestHands, count: int = COUNT, resized: bool = True) -> Method:
    """The nearest of other hands."""

    def complete(told: np.ndarray) -> Iterator[tuple[int, Answer]]:
        for row, points in enumerate(told):
            started = time.perf_counter()
            vertices, joints = hands(points, count, resized)
            seconds = time.perf_counter() - started
            yield row, Answer(vertices, joints, asker.engine.intersection.percentage(vertices), None, seconds)

    return complete


def regressed(asker: Asker, regressor: Regressor) -> Method:
    """One answer of a network that knows no noise."""

    def complete(told: np.ndarray) -> Iterator[tuple[int, Answer]]:
        for row, points in enumerate(told):
            started = time.perf_counter()
            vertices, joints = regressor(points)
            seconds = time.perf_counter() - started
            asker.bar.update()
            yield row, Answer(vertices, joints, asker.engine.intersection.percentage(vertices), None, seconds)

    return complete


def fitted(asker: Asker, fit: KinematicFit) -> Method:
    """One answer of inverse kinematics; all hands at once, joints only."""

    def complete(told: np.ndarray) -> Iterator[tuple[int, Answer]]:
        started = time.perf_counter()
        vertices, joints = fit(told)
        seconds = (time.perf_counter() - started) / len(told)
        for row in range(len(told)):
            mesh = vertices[row : row + 1]
            crossing = asker.engine.intersection.percentage(mesh)
            yield row, Answer(mesh, joints[row : row + 1], crossing, None, seconds)

    return complete


@dataclass(frozen=True)
class Completions:
    """Of N hands, mm unless said otherwise: of joints that were hidden, or of vertices that were cut off."""

    source: np.ndarray  # [N] str
    visible: np.ndarray  # [N,...] distance from what was given, in place, mean over draws
    energy: np.ndarray  # energy score
    one: np.ndarray  # error of a draw (metrics.of_a_draw)
    best: np.ndarray  # of the best draw
    middle: np.ndarray  # of the mean of all draws
    apd: np.ndarray  # average pairwise distance, wrists laid on each other; NaN for one answer
    crossing: np.ndarray  # per cent of faces, adjacent segments left out
    nearest: np.ndarray  # mean joint distance to the nearest reference hand; NaN without reference
    seconds: np.ndarray

    def __len__(self) -> int:
        return len(self.source)

    def of(self, source: str) -> Completions:
        rows = self.source == source
        return Completions(*(getattr(self, f.name)[rows] for f in fields(self)))

    def mean(self, name: str) -> float:
        values = getattr(self, name)
        return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def joined(parts: list[Completions]) -> Completions:
    return Completions(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Completions)))


def complete(
    asker: Asker, method: Method, hands: TestHands, seen: np.ndarray, reference: np.ndarray | None = None
) -> Completions:
    """Hands of which the joints `seen` [21] or [N,21], or the vertices [V] or [N,V], are told.

    reference [M,21,3]: joints of plausible hands, palm frame, metres.
    """
    points = hands.joints if seen.shape[-1] == 21 else hands.vertices
    seen = np.broadcast_to(seen, points.shape[:2])
    told = np.where(seen[..., None], points, np.nan)
    rows, figures, poses = [], [], []
    for row, answer in method(told):
        own = answer.joints if seen.shape[-1] == 21 else answer.vertices
        figures.append(_figures(own, points[row], seen[row], answer))
        poses.append(in_palm_frame(asker.engine.arrays, answer.joints))
        rows.append(row)
    columns = np.array(figures, np.float64).reshape(len(rows), -1).T
    nearest = np.full(len(rows), np.nan)
    if reference is not None and rows:
        each = millimetres(metrics.nearest_hand_distance(np.concatenate(poses), reference))
        counts = np.cumsum([len(p) for p in poses])[:-1]
        nearest = np.array([part.mean() for part in np.split(each, counts)])
    names = [f.name for f in fields(Completions) if f.name not in ("source", "nearest")]
    return Completions(source=hands.source[rows], nearest=nearest, **dict(zip(names, columns)))


def _figures(own: np.ndarray, truth: np.ndarray, seen: np.ndarray, answer: Answer) -> tuple[float, ...]:
    """own [n,P,3] beside the truth [P,3]: the fields of Completions but source and nearest."""
    own, truth = millimetres(own), millimetres(truth)
    wrists = millimetres(answer.joints[:, 0])
    hidden = ~seen
    errors = metrics.mean_point_error(own[:, hidden], truth[hidden])
    middle = metrics.mean_point_error(own[:, hidden].mean(0), truth[hidden])
    variety = metrics.average_pairwise_distance(own[:, hidden], wrists) if len(own) > 1 else float("nan")
    return (
        float(metrics.mean_point_error(own[:, seen], truth[seen]).mean()),
        float(metrics.energy_score(own[:, hidden], truth[hidden])),
        metrics.of_a_draw(errors),
        float(errors.min()),
        float(middle),
        variety,
        float(answer.crossing.mean()),
        answer.seconds,
    )
