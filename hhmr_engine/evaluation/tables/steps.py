"""How few denoising steps are enough: the same draws with 4, 10 and 50 of them, from the same noise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ...request import Request
from .. import metrics
from ..asking import COUNT, SEED, Asker, millimetres
from ..completions import complete, drawn
from ..figures import ratio_error
from ..meshes import LEFT_OUT, kept_without
from ..skeletons import hidden_joints
from ..testset import TestHands, in_palm_frame, only_held_out, recorded_hands, stream_hands, synthetic_hands
from .table import Check, Context, Table, at_most

STEPS = (4, 10, 50)
ALLOWED = ((10, 50, 1.02), (4, 10, 1.05))  # steps, of the figure with so many, at most
HEAD = (
    *("", "T", "hands", "energy score, mm", "one draw, mm", "best of 8, mm", "APD, mm"),
    *("precision", "recall", "s for 8"),
)
REFERENCE_SEED = "hhmr-test-steps-1"
NONE = float("nan")


@dataclass(frozen=True)
class Errors:
    """Of N hands [N], mm; seconds for eight draws."""

    energy: np.ndarray
    one: np.ndarray
    best: np.ndarray
    apd: np.ndarray
    seconds: np.ndarray

    def mean(self, name: str) -> float:
        values = getattr(self, name)
        return float(values.mean()) if len(values) else NONE


def steps(context: Context) -> Table:
    context.engine.network()
    rows: list[tuple[str | float, ...]] = []
    checks: list[Check] = []
    for name, made in _measured(context):
        for count, errors in made.items():
            figures = [errors.mean(figure) for figure in ("energy", "one", "best", "apd")]
            rows.append(
                (name, str(count), str(len(errors.one)), *figures, NONE, NONE, errors.mean("seconds"))
            )
        checks += _checks(name, made)
    rows += _generated(context)
    notes = [
        "Errors are of what is hidden: joints of three fingers, vertices of what was cut off; of a whole"
        " skeleton they are PA-MPVPE, with the energy score of all vertices.",
        "Every T starts from the same noise, so that ratios are far surer than the figures themselves.",
    ]
    return Table("steps", "Denoising steps", HEAD, rows, checks, notes)


def _measured(context: Context) -> Iterator[tuple[str, dict[int, Errors]]]:
    arrays, size = context.engine.arrays, context.size
    recorded = recorded_hands(arrays, context.recordings, size(4, 1)).first(size(24, 1))
    synthetic = synthetic_hands(arrays, size(12, 1))
    fingers, mesh = ~hidden_joints(False), kept_without(arrays, LEFT_OUT)
    few = recorded.first(size(8, 1))
    for name, hands, seen in (
        ("three fingers hidden, recordings", recorded, fingers),
        ("three fingers hidden, synthetic", synthetic, fingers),
        ("thumb, index and middle cut off a mesh", few, mesh),
    ):
        yield name, {count: _completed(context, hands, seen, count) for count in STEPS}
    yield "whole skeleton", {count: _whole(context, few, count) for count in STEPS}


def _completed(context: Context, hands: TestHands, seen: np.ndarray, count: int) -> Errors:
    context.expect(len(hands))
    asker = context.asker()
    made = complete(asker, drawn(asker, "network", steps=count), hands, seen)
    return Errors(made.energy, made.one, made.best, made.apd, made.seconds)


def _whole(context: Context, hands: TestHands, count: int) -> Errors:
    context.expect(len(hands))
    rows = []
    for i, found in context.asker().joints(hands, np.ones(21, bool), "network", steps=count):
        errors = millimetres(metrics.aligned_error(found.vertices, hands.vertices[i]))
        own, truth = millimetres(found.vertices), millimetres(hands.vertices[i])
        apd = metrics.average_pairwise_distance(own, millimetres(found.joints[:, 0]))
        energy = float(metrics.energy_score(own, truth))
        rows.append((energy, errors.mean(), errors.min(), apd, found.seconds))
    return Errors(*np.array(rows, np.float64).reshape(-1, 5).T)


def _generated(context: Context) -> list[tuple[str | float, ...]]:
    """Hands made from nothing beside as many held-out ones, and those beside as many others."""
    arrays, count = context.engine.arrays, context.size(128, 8)
    held = stream_hands(arrays, only_held_out(context.recordings), 2 * count, REFERENCE_SEED)
    poses = in_palm_frame(arrays, arrays.regressor @ held)
    rows = [_cloud("held-out hands", "", held[:count], poses[:count], poses[count:], NONE)]
    for number in STEPS:
        context.expect(-(-count // COUNT))
        asker = context.asker()
        found = [_asked(asker, start, count, number) for start in range(0, count, COUNT)]
        vertices, joints, seconds = (np.concatenate(parts) for parts in zip(*found))
        made = in_palm_frame(arrays, joints)
        rows.append(_cloud("from nothing", str(number), vertices, made, poses[count:], float(seconds.mean())))
    return rows


def _asked(asker: Asker, start: int, count: int, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    size = min(COUNT, count - start)
    found = asker.ask(Request("generate", count=size, seed=SEED + start, steps=number))
    return found.vertices, found.joints, np.array([found.seconds])


def _cloud(
    name: str, steps: str, vertices: np.ndarray, poses: np.ndarray, reference: np.ndarray, seconds: float
) -> tuple[str | float, ...]:
    """poses, reference [n,21,3] in the palm frame; APD is theirs."""
    apd = metrics.average_pairwise_distance(millimetres(poses), millimetres(poses[:, 0]))
    precision, recall = metrics.precision_recall(poses, reference)
    return (name, steps, str(len(vertices)), NONE, NONE, NONE, apd, precision, recall, seconds)


def _checks(name: str, made: dict[int, Errors]) -> list[Check]:
    checks = []
    for fewer, more, limit in ALLOWED:
        for figure, what in (("energy", "energy score"), ("one", "one draw"), ("best", "best of 8")):
            a, b = getattr(made[fewer], figure), getattr(made[more], figure)
            if not len(a):
                continue
            spread = f" (+- {ratio_error(tuple(a), tuple(b)):.3f})" if len(a) > 1 else ""
            what = f"{name}: {what}, T = {fewer} / T = {more}{spread}"
            checks.append(at_most(what, float(a.mean() / b.mean()), limit))
    return checks
