"""Measure hands from held-out renders: what photo, 2D skeleton and guidance are each worth, and occlusion.

python -m benchmarks.pictures --data ../shared/data [--weights F] [--count 200] [--write]

The paper's Table 5. Where the hand is, is known in every row, as it is from the paper's crops.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from hhmr_engine.engine import DEFAULT_WEIGHTS, Engine, Hypotheses, Request
from hhmr_engine.evaluation.fitting2d import camera_errors
from hhmr_engine.evaluation.metrics import average_pairwise_distance
from hhmr_engine.evaluation.pictured import CAMERA, Errors, columns, errors
from hhmr_engine.evaluation.rendered import COUNT, Render, rendered_hands
from hhmr_engine.evaluation.report import number, table, write_between
from hhmr_engine.training.train import data_cache

DOCS = Path(__file__).resolve().parents[1] / "docs"
HYPOTHESES, SEED = 8, 7
VARIANTS: dict[str, dict[str, bool | str]] = {
    "photo only": {"skeleton": False, "guidance": "none"},
    "photo + 2D": {"guidance": "none"},
    "photo + guidance": {"skeleton": False},
    "photo + 2D + guidance": {},
}
LAST_TO_FIRST, OCCLUDED, VARIETY = 0.75, 1.15, 3.0

Ask = Callable[..., Hypotheses]  # of a Render and changes of the request


@dataclass(frozen=True)
class Half:
    """A hand half covered beside the same one whole; millimetres."""

    whole: float  # error of the joints that stay visible, nothing covered
    covered: float  # the same with the other half covered
    apd_hidden: float
    apd_visible: float
    crossing_whole: float  # per cent of faces
    crossing_covered: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--weights", type=Path, default=DEFAULT_WEIGHTS, help="default: those that ship")
    parser.add_argument("--data", type=Path, required=True, help="folder that holds poses/")
    parser.add_argument("--count", type=int, default=COUNT, help="renders; fewer: to try, not to quote")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("out/pictures.json"))
    parser.add_argument("--write", action="store_true", help="write the tables into docs/results.md")
    arguments = parser.parse_args()

    engine = Engine(weights=arguments.weights, threads=arguments.threads)
    engine.network()
    renders = rendered_hands(engine.arrays, arguments.data, data_cache(), arguments.count)

    def ask(render: Render, **changes: bool | str) -> Hypotheses:
        request = {"count": HYPOTHESES, "seed": SEED, "diverse": False, **changes}
        return engine.run(request_of(render, **request))

    measured = {
        (name, augment): columns(
            judged(ask(plain, **options, augment=augment), plain)
            for plain, _ in tqdm(renders, unit="render", desc=name, disable=None)
        )
        for augment in (False, True)
        for name, options in VARIANTS.items()
    }
    halves = [half(ask, plain, covered) for plain, covered in tqdm(renders, desc="covered", disable=None)]
    head = (
        f"Weights `{engine.info()['weights_sha256']}`, {time.strftime('%Y-%m-%d')}. {len(renders)} renders,"
        f" {HYPOTHESES} hypotheses each; of the first by score where nothing else is said."
    )
    text = f"{head}\n\n{what_each_is_worth(measured)}\n\n{occlusion(halves)}"
    print(text)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    means = {f"{n}{', augmented' if a else ''}": _means(values) for (n, a), values in measured.items()}
    arguments.out.write_text(json.dumps(means, indent=1), encoding="utf-8")
    if arguments.write:
        write_between(DOCS / "results.md", "pictures", text)


def request_of(render: Render, **options: object) -> Request:
    given = {"side": "right", "photo": render.pixels, "focal": render.focal}
    skeleton = {"joints2d": render.joints2d, "sigma2d": render.sigma2d}
    return Request("reconstruct", **{**given, **skeleton, **options})  # type: ignore[arg-type]


def judged(found: Hypotheses, render: Render) -> Errors:
    return errors(found, render.vertices, render.joints, render.joints2d, render.hand_size)


def half(ask: Ask, plain: Render, covered: Render) -> Half:
    """Errors are taken after place and size of the joints that both show; so is the variety."""
    seen = covered.visible
    truth = plain.joints[seen]
    result = {}
    for name, render in (("whole", plain), ("covered", covered)):
        found = ask(render)
        own = (found.joints * CAMERA)[:, seen]
        result[name] = 1e3 * float(camera_errors(own, own, truth, truth)[1].mean())
        result[f"crossing_{name}"] = float(found.self_intersection.mean())
    joints = 1e3 * found.joints
    middle = joints[:, seen].mean(1)
    hidden = ~seen & plain.visible
    return Half(
        **result,
        apd_hidden=average_pairwise_distance(joints[:, hidden], middle) if hidden.any() else math.nan,
        apd_visible=average_pairwise_distance(joints[:, seen], middle),
    )


def what_each_is_worth(measured: dict[tuple[str, bool], dict[str, np.ndarray]]) -> str:
    cells = []
    for (name, augment), values in measured.items():
        own = _means(values)
        ratio = own["first"] / float(measured["photo only", augment]["first"].mean())
        last = name == list(VARIANTS)[-1]
        holds = ("yes" if ratio <= LAST_TO_FIRST else "**no**") if last else ""
        wanted = f"<= {LAST_TO_FIRST}" if last else ""
        figures = (own["first"], own["first_joints"], own["aligned"], own["mean"], own["best"], ratio)
        cells.append((f"{name}{', augmented' if augment else ''}", *map(number, figures), wanted, holds))
    head = (
        "mm, camera frame",
        "MPVPE",
        "MPJPE",
        "PA-MPVPE",
        "mean of 8",
        "best of 8",
        "ratio",
        "wanted",
        "holds",
    )
    return table(head, cells)


def occlusion(halves: list[Half]) -> str:
    mean = {name: float(np.nanmean([getattr(h, name) for h in halves])) for name in Half.__annotations__}
    ratio, variety = mean["covered"] / mean["whole"], mean["apd_hidden"] / mean["apd_visible"]
    lines = [
        ("visible joints, nothing covered, mm", "", mean["whole"], None),
        ("the same joints, the other half covered, mm", "", mean["covered"], None),
        ("ratio", f"<= {OCCLUDED}", ratio, ratio <= OCCLUDED),
        ("APD of the visible joints, mm", "", mean["apd_visible"], None),
        ("APD of the hidden joints, mm", "", mean["apd_hidden"], None),
        ("hidden / visible", f">= {VARIETY:g}", variety, variety >= VARIETY),
        ("self-intersecting faces, nothing covered, %", "", mean["crossing_whole"], None),
        ("self-intersecting faces, half covered, %", "", mean["crossing_covered"], None),
    ]
    cells = [
        (what, wanted, number(value), {True: "yes", False: "**no**", None: ""}[holds])
        for what, wanted, value, holds in lines
    ]
    return table(("photo + 2D + guidance", "wanted", "measured", "holds"), cells)


def _means(values: dict[str, np.ndarray]) -> dict[str, float]:
    return {name: float(column.mean()) for name, column in values.items()}


if __name__ == "__main__":
    main()
