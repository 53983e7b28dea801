"""Measure every figure of docs/results.md but the times, for the network and the Gaussian on the same hands.

python -m benchmarks.figures --data ../shared/data --out out/figures.json [--weights F] [--quick] [--write]
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path

import torch

from hhmr_engine.engine import DEFAULT_WEIGHTS, Engine
from hhmr_engine.evaluation.chart import draw_curves
from hhmr_engine.evaluation.figures import QUICK, Size, measure
from hhmr_engine.evaluation.report import as_markdown, summary, write_between
from hhmr_engine.training.train import data_cache

DOCS = Path(__file__).resolve().parents[1] / "docs"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--weights", type=Path, default=DEFAULT_WEIGHTS, help="default: those that ship")
    parser.add_argument("--data", type=Path, required=True, help="folder that holds poses/")
    parser.add_argument("--out", type=Path, default=Path("out/figures.json"), help="everything as JSON")
    parser.add_argument("--quick", action="store_true", help="few hands: to try the command, not to quote")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="write the tables and curves into docs/")
    arguments = parser.parse_args()

    started = time.monotonic()
    engine = Engine(weights=arguments.weights, threads=arguments.threads)
    figures = measure(engine, arguments.data, data_cache(), QUICK if arguments.quick else Size())
    about = {
        "weights": engine.info()["weights_sha256"],
        "steps": weights_notes(arguments.weights).get("steps", "?"),
        "date": time.strftime("%Y-%m-%d"),
        "seconds": round(time.monotonic() - started),
        "torch": torch.__version__,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    report = {"about": about, "rows": [asdict(row) for row in figures.rows], **figures.details}
    arguments.out.write_text(json.dumps(report, indent=1), encoding="utf-8")
    hands = figures.details["hands"]
    head = (
        f"Weights `{about['weights']}` ({about['steps']} training steps), {about['date']},"
        f" {arguments.threads} thread(s), {about['seconds']} s in all."
        f" {hands['synthetic']} synthetic and {hands['recordings']} recorded hands, eight draws each;"
        f" {figures.details['refused']} requests were refused."
    )
    text = f"{head}\n\n{summary(figures.rows)}\n\n{as_markdown(figures.rows)}"
    print(text)
    picture = DOCS / "curves.png" if arguments.write else arguments.out.with_suffix(".png")
    draw_curves(figures.curves, picture)
    if arguments.write:
        write_between(DOCS / "results.md", "figures", text)


def weights_notes(path: Path) -> dict[str, str]:
    """What training wrote into the header of a weight file."""
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        return file.metadata() or {}


if __name__ == "__main__":
    main()
