"""Fitting to 2D skeletons: the engine beside the skinned hand's fit on the very same hands, line by line."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from ..engine import Engine
from .baselines2d import SkinnedFit
from .figures import ratio_error
from .fitting2d import SeenHands, camera_errors
from .pictured import Errors, Spread, columns, errors, placed, request_of, spread

HYPOTHESES, DRAWS, SEED = 8, 64, 7
SETS = (("synthetic", "none"), ("recordings", "third"), ("recordings", "fingers"))
NAMES = {
    ("synthetic", "none"): "Synthetic hands, all joints given",
    ("recordings", "third"): "Recordings, 7 of 21 joints hidden, any",
    ("recordings", "fingers"): "Recordings, two whole fingers hidden",
}
BOUNDS = {("synthetic", "none"): 0.95, ("recordings", "third"): 0.80}
ONE_RESTART, BEST_OF, COVERED = 0.60, 0.75, (85.0, 95.0)


@dataclass(frozen=True)
class Baseline:
    """MPVPE (and MPJPE) of every hand, millimetres: of the lowest cost, of one restart (mean over them)."""

    chosen: np.ndarray  # [N]
    joints: np.ndarray  # [N] MPJPE of the lowest cost
    start: np.ndarray  # [N] the restart whose start fits best, alone
    single: np.ndarray  # [N] one restart: the mean over all
    best: np.ndarray  # [N] best of the restarts by the truth
    cost: float  # mean over hands of the lowest
    seconds: float  # for a hand


@dataclass(frozen=True)
class Ours:
    errors: dict[str, np.ndarray]  # every field of Errors [N]
    spread: Spread


@dataclass(frozen=True)
class Line:
    """A figure of ours, beside the fit's where there is such a thing."""

    what: str
    own: float
    theirs: float = math.nan
    wanted: str = ""
    holds: bool | None = None


def of_baseline(fit: SkinnedFit, hands: SeenHands, solver: str = "lm") -> Baseline:
    started = time.perf_counter()
    found = fit.fit(hands, solver)
    seconds = (time.perf_counter() - started) / len(hands)
    of_all = [
        camera_errors(found.vertices[:, k], found.joints[:, k], hands.vertices, hands.joints)
        for k in range(found.cost.shape[1])
    ]
    each, joints = (1e3 * np.stack(parts, 1) for parts in zip(*of_all))
    rows = np.arange(len(hands)), found.cost.argmin(1)
    return Baseline(
        chosen=each[rows],
        joints=joints[rows],
        start=each[:, 0],
        single=each.mean(1),
        best=each.min(1),
        cost=float(found.cost.min(1).mean()),
        seconds=seconds,
    )


def of_engine(engine: Engine, hands: SeenHands, method: str, samples: int, bar: tqdm) -> Ours:
    """Eight hypotheses of every hand, 64 of the first `samples`; the bar counts hands."""
    answers: list[Errors] = []
    drawn: list[np.ndarray] = []
    for row in range(len(hands)):
        bar.update()
        truth = hands.vertices[row], hands.joints[row]
        found = engine.run(request_of(hands, row, count=HYPOTHESES, seed=SEED, method=method))
        answers.append(errors(found, *truth, hands.joints2d[row], float(hands.hand_size[row])))
        if row < samples:
            many = engine.run(request_of(hands, row, count=DRAWS, seed=SEED, method=method))
            drawn.append(placed(many, truth[0]))
    few = hands.first(len(drawn))
    middle = few.vertices.mean(1, keepdims=True)
    return Ours(columns(answers), spread(np.stack(drawn), few.joints - middle, few.visible))


def rows(ours: Ours, baseline: Baseline, bound: float | None) -> list[Line]:
    """bound: of the ratio to the fit; without one nothing is asked of these hands."""
    own = {name: float(values.mean()) for name, values in ours.errors.items()}
    start, joints, best = (float(v.mean()) for v in (baseline.start, baseline.joints, baseline.best))
    share = own["best"] / own["one"]
    return [
        *against_the_fit(ours, baseline, bound),
        Line("the first by score against the restart whose start fits best", own["first"], start),
        Line("MPJPE of the first by score, mm", own["first_joints"], joints),
        Line(f"MPJPE of the mean of {HYPOTHESES}, mm", own["mean_joints"], joints),
        Line("PA-MPVPE of the first by score, mm", own["aligned"]),
        Line("MPVPE of one draw, mm", own["one"]),
        Line(f"MPVPE of the best of {HYPOTHESES} (of 4 restarts), mm", own["best"], best),
        asked(f"best of {HYPOTHESES} / one", share, f"<= {BEST_OF}", share <= BEST_OF, bound),
        *coverages(ours.spread, bound),
        Line("off the given joints, % of hand size (the noise is 1.9)", own["residual"]),
        Line("s a hand", own["seconds"], baseline.seconds),
    ]


def against_the_fit(ours: Ours, baseline: Baseline, bound: float | None) -> list[Line]:
    lines = []
    for which, theirs, limit in (
        ("the best of 4 restarts by cost", baseline.chosen, bound),
        ("one restart", baseline.single, ONE_RESTART),
    ):
        for name, what in (("first", "the first by score"), ("mean", f"the mean of {HYPOTHESES}")):
            own, other = float(ours.errors[name].mean()), float(theirs.mean())
            off = ratio_error(tuple(ours.errors[name]), tuple(theirs))
            text = f"MPVPE of {what}, mm, against {which} (ratio +- {off:.3f})"
            limit = limit or math.nan
            lines.append(asked(text, own, f"ratio <= {limit:.2f}", own / other <= limit, bound, other))
    return lines


def coverages(spread: Spread, bound: float | None) -> list[Line]:
    low, high = COVERED
    inside = f"truth inside the central 90 % of {DRAWS}, %"
    wanted, holds = f"{low:g} to {high:g}", low <= spread.depth <= high
    lines = [
        asked(f"joints' depth from the wrist: {inside}", spread.depth, wanted, holds, bound),
        Line(f"all coordinates of the joints: {inside}", spread.all),
    ]
    if not math.isnan(spread.hidden_depth):
        lines.append(Line(f"hidden joints' depth from the wrist: {inside}", spread.hidden_depth))
    return lines


def asked(
    what: str, own: float, wanted: str, holds: bool, bound: float | None, theirs: float = math.nan
) -> Line:
    """A figure with what is wanted of it, where anything is."""
    return Line(what, own, theirs) if bound is None else Line(what, own, theirs, wanted, holds)


def of_lbfgs(fit: SkinnedFit, hands: SeenHands) -> list[Line]:
    """Torch's L-BFGS beside the solver that is used: the same cost, the same error?"""
    used, other = of_baseline(fit, hands), of_baseline(fit, hands, "lbfgs")
    what = f"the fit by Levenberg-Marquardt, beside it by L-BFGS, {len(hands)} hands"
    lower = used.cost <= 1.001 * other.cost
    return [
        Line(f"{what}: MAP cost", used.cost, other.cost, "no higher", lower),
        Line(f"{what}: MPVPE, mm", float(used.chosen.mean()), float(other.chosen.mean())),
        Line(f"{what}: MPVPE of one restart, mm", float(used.single.mean()), float(other.single.mean())),
        Line(f"{what}: s a hand", used.seconds, other.seconds),
    ]
