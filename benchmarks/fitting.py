"""Measure fitting to 2D skeletons of unknown rotation and size: the engine against the skinned hand's fit.

python -m benchmarks.fitting --data ../shared/data [--method gaussian] [--count 500] [--samples 100] [--write]
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from hhmr_engine.data.retarget import load_poses
from hhmr_engine.engine import DEFAULT_WEIGHTS, Engine
from hhmr_engine.evaluation.baselines2d import TUNED, SkinnedFit
from hhmr_engine.evaluation.figures import ratio_error
from hhmr_engine.evaluation.fitting2d import COUNT, SeenHands, camera_errors, seen_hands
from hhmr_engine.evaluation.pictured import Errors, Spread, columns, errors, placed, request_of, spread
from hhmr_engine.evaluation.report import number, table, write_between
from hhmr_engine.training.train import data_cache

DOCS = Path(__file__).resolve().parents[1] / "docs"
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


Line = tuple[str, str, float, float, float, bool | None]  # what, wanted, ours, baseline, ratio, holds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--weights", type=Path, default=DEFAULT_WEIGHTS, help="default: those that ship")
    parser.add_argument("--data", type=Path, required=True, help="folder that holds poses/")
    parser.add_argument("--method", choices=("network", "gaussian"), default="network")
    parser.add_argument(
        "--count", type=int, default=COUNT, help="hands of each kind; fewer: to try, not to quote"
    )
    parser.add_argument("--samples", type=int, default=100, help="hands of which 64 draws are taken")
    parser.add_argument("--lbfgs", type=int, default=20, help="hands that L-BFGS is tried on as well")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("out/fitting.json"))
    parser.add_argument("--write", action="store_true", help="write the tables into docs/results.md")
    arguments = parser.parse_args()

    engine = Engine(weights=arguments.weights, threads=arguments.threads)
    recordings = load_poses(engine.arrays, arguments.data, data_cache())
    if arguments.method == "network":
        engine.network()
    parts, report = [], {}
    for kind, hidden in SETS:
        hands = seen_hands(engine.arrays, arguments.data, data_cache(), kind, hidden).first(arguments.count)
        fit = SkinnedFit(engine.arrays, recordings, TUNED[kind])
        baseline = of_baseline(fit, hands)
        ours = of_engine(engine, hands, arguments.method, arguments.samples)
        lines = rows(ours, baseline, BOUNDS.get((kind, hidden)))
        if hidden != "fingers" and arguments.lbfgs:
            lines += of_lbfgs(fit, hands.first(arguments.lbfgs))
        parts.append(f"#### {NAMES[kind, hidden]}\n\n{as_table(lines)}")
        report[f"{kind}, {hidden}"] = {what: (own, theirs) for what, _, own, theirs, _, _ in lines}
    about = engine.info()["weights_sha256"] if arguments.method == "network" else "no weights"
    head = (
        f"Method {arguments.method} (`{about}`), {time.strftime('%Y-%m-%d')}, {arguments.threads} thread(s)."
        f" {len(hands)} hands of each kind, {HYPOTHESES} hypotheses; {DRAWS} draws of {arguments.samples} of"
        " them for what lies in the central 90 %."
    )
    text = "\n\n".join([head, *parts])
    print(text)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(report, indent=1), encoding="utf-8")
    if arguments.write:
        write_between(DOCS / "results.md", "fitting", text)


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


def of_engine(engine: Engine, hands: SeenHands, method: str, samples: int) -> Ours:
    answers: list[Errors] = []
    drawn: list[np.ndarray] = []
    for row in tqdm(range(len(hands)), unit="hand", disable=None):
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
    own = {name: float(values.mean()) for name, values in ours.errors.items()}
    beside = (
        ("the best of 4 restarts by cost", baseline.chosen, bound),
        ("one restart", baseline.single, ONE_RESTART if bound else None),
    )
    lines: list[Line] = []
    for which, theirs, limit in beside:
        for name, what in (("first", "the first by score"), ("mean", f"the mean of {HYPOTHESES}")):
            off = ratio_error(tuple(ours.errors[name]), tuple(theirs))
            ratio = own[name] / float(theirs.mean())
            text = f"MPVPE of {what}, mm, against {which} (ratio +- {off:.3f})"
            wanted = f"<= {limit:.2f}" if limit else ""
            holds = ratio <= limit if limit else None
            lines.append((text, wanted, own[name], float(theirs.mean()), ratio, holds))
    start = float(baseline.start.mean())
    lines += [
        _beside("the first by score against the restart whose start fits best", own["first"], start),
        _beside("MPJPE of the first by score, mm", own["first_joints"], float(baseline.joints.mean())),
        _beside(f"MPJPE of the mean of {HYPOTHESES}, mm", own["mean_joints"], float(baseline.joints.mean())),
        _alone("PA-MPVPE of the first by score, mm", own["aligned"]),
        _beside(
            f"MPVPE of the best of {HYPOTHESES} (of 4 restarts), mm", own["best"], float(baseline.best.mean())
        ),
        _alone("MPVPE of one draw, mm", own["one"]),
    ]
    share = own["best"] / own["one"]
    lines.append(
        (
            f"best of {HYPOTHESES} / one",
            f"<= {BEST_OF}" if bound else "",
            share,
            math.nan,
            math.nan,
            share <= BEST_OF if bound else None,
        )
    )
    for name, what in (
        ("depth", "joints' depth from the wrist"),
        ("all", "all coordinates of the joints"),
        ("hidden_depth", "depth of hidden joints from the wrist"),
    ):
        value = getattr(ours.spread, name)
        if not math.isnan(value):
            low, high = COVERED
            holds = low <= value <= high if name == "depth" and bound else None
            text = f"{what}: truth inside the central 90 % of {DRAWS}, %"
            lines.append(
                (
                    text,
                    f"{low:g} to {high:g}" if name == "depth" and bound else "",
                    value,
                    math.nan,
                    math.nan,
                    holds,
                )
            )
    lines.append(_alone("off the given joints, % of hand size (the noise is 1.9)", own["residual"]))
    lines.append(_beside("s a hand", own["seconds"], baseline.seconds))
    return lines


def of_lbfgs(fit: SkinnedFit, hands: SeenHands) -> list[Line]:
    """Torch's L-BFGS beside the solver that is used: the same cost, the same error?"""
    used, other = of_baseline(fit, hands), of_baseline(fit, hands, "lbfgs")
    what = f"the fit by Levenberg-Marquardt beside torch's L-BFGS, {len(hands)} hands"
    return [
        (
            f"{what}: MAP cost",
            "<= 1",
            used.cost,
            other.cost,
            used.cost / other.cost,
            used.cost <= 1.001 * other.cost,
        ),
        _beside(f"{what}: MPVPE, mm", float(used.chosen.mean()), float(other.chosen.mean())),
        _beside(f"{what}: s a hand", used.seconds, other.seconds),
    ]


def _beside(what: str, own: float, theirs: float) -> Line:
    return (what, "", own, theirs, own / theirs, None)


def _alone(what: str, own: float) -> Line:
    return (what, "", own, math.nan, math.nan, None)


def as_table(lines: list[Line]) -> str:
    cells = [
        (what, wanted, *map(number, values), {True: "yes", False: "**no**", None: ""}[holds])
        for what, wanted, *values, holds in lines
    ]
    return table(("", "wanted", "ours", "fit of the skinned hand", "ratio", "holds"), cells)


if __name__ == "__main__":
    main()
