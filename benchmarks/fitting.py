"""Measure fitting to 2D skeletons of unknown rotation and size: the engine against the skinned hand's fit.

python -m benchmarks.fitting --data ../shared/data [--method gaussian] [--count 500] [--samples 100] [--write]
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from tqdm import tqdm

from hhmr_engine.data.retarget import load_poses
from hhmr_engine.engine import DEFAULT_WEIGHTS, Engine
from hhmr_engine.evaluation.baselines2d import TUNED, SkinnedFit
from hhmr_engine.evaluation.fits import (
    BOUNDS,
    DRAWS,
    HYPOTHESES,
    NAMES,
    SETS,
    Line,
    of_baseline,
    of_engine,
    of_lbfgs,
    rows,
)
from hhmr_engine.evaluation.fitting2d import COUNT, seen_hands
from hhmr_engine.evaluation.report import HOLDS, number, table, write_between
from hhmr_engine.training.train import data_cache

DOCS = Path(__file__).resolve().parents[1] / "docs"


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
        with tqdm(total=len(hands), unit="hand", disable=None) as bar:
            ours = of_engine(engine, hands, arguments.method, arguments.samples, bar)
        lines = rows(ours, baseline, BOUNDS.get((kind, hidden)))
        if hidden != "fingers" and arguments.lbfgs:
            lines += of_lbfgs(fit, hands.first(arguments.lbfgs))
        parts.append(f"#### {NAMES[kind, hidden]}\n\n{as_table(lines)}")
        report[f"{kind}, {hidden}"] = {line.what: (line.own, line.theirs) for line in lines}
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


def as_table(lines: list[Line]) -> str:
    cells = [
        (
            line.what,
            line.wanted,
            *map(number, (line.own, line.theirs, line.own / line.theirs)),
            HOLDS[line.holds],
        )
        for line in lines
    ]
    return table(("", "wanted", "ours", "fit of the skinned hand", "ratio", "holds"), cells)


if __name__ == "__main__":
    main()
