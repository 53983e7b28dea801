"""Every figure that is asked of the engine: network and Gaussian on the same hands in the same run."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ..data.retarget import load_poses
from ..engine import Engine
from .asking import METHODS, Asker
from .curves import MISSING, NOISE, Curve, missing_joints, noisy_joints
from .generation import Generation, generation, of_data
from .meshes import LEFT_OUT, kept_without, mesh_inpainting, random_cuts
from .report import Row
from .skeletons import BENT, FullSkeleton, HiddenFingers, full_skeleton, hidden_fingers
from .testset import (
    DATA_SEED,
    REFERENCE_SEED,
    TestHands,
    generator,
    recorded_hands,
    stream_hands,
    synthetic_hands,
)

COMPARED = ("network", "gaussian")
JOINTS = "distance from the given joints, mm"
CROSSING = "self-intersecting faces, %"
BEYOND = f"draws that bend a joint more than {BENT:g} degrees beyond its limits, %"


@dataclass(frozen=True)
class Size:
    """How many hands each figure is measured on."""

    per_source: int = 15  # recordings
    synthetic: int = 30
    full: int = 40  # of the recordings
    knuckles: int = 30
    cut: int = 12
    curve: int = 8
    generated: int = 1000
    reference: int = 5000

    def batches(self, recorded: int) -> int:
        """Requests of eight draws that all figures take together, of `recorded` hands."""
        full, knuckles = min(self.full, recorded), min(self.knuckles, recorded)
        skeletons = len(METHODS) * (self.synthetic + full + recorded) + len(COMPARED) * knuckles
        meshes = 2 * self.cut * (len(COMPARED) + 1)
        curves = len(COMPARED) * self.curve * (len(MISSING) + len(NOISE))
        return skeletons + meshes + len(COMPARED) * -(-self.generated // 8) + curves


QUICK = Size(per_source=1, synthetic=2, full=3, knuckles=2, cut=1, curve=1, generated=16, reference=600)


@dataclass(frozen=True)
class Figures:
    """What was measured: the rows of the table, the curves, and everything by name for the JSON."""

    rows: list[Row]
    curves: dict[str, dict[str, Curve]]  # "missing" | "noise" -> method
    details: dict[str, Any]


def measure(engine: Engine, data: Path, cache: Path | None, size: Size) -> Figures:
    """All figures. `data` holds the recordings, `cache` as for load_poses. RequestError without weights."""
    template = engine.arrays
    recordings = load_poses(template, data, cache)
    synthetic = synthetic_hands(template, size.synthetic)
    recorded = recorded_hands(template, recordings, size.per_source)
    reference = stream_hands(template, recordings, size.reference, REFERENCE_SEED)
    fresh = stream_hands(template, recordings, max(size.reference // 10, 24), DATA_SEED)
    engine.network()
    with tqdm(total=size.batches(len(recorded)), unit="request", disable=None) as bar:
        asker = Asker(engine, bar)
        full = _full(asker, {"synthetic": synthetic, "recordings": recorded.first(size.full)})
        hidden = _hidden(asker, recorded, recorded.first(size.knuckles), template.regressor @ reference)
        meshes = _meshes(asker, recorded.first(size.cut))
        made = {m: generation(asker, reference, m, size.generated) for m in COMPARED}
        made["data"] = of_data(template, fresh, reference)
        refused, asker.refused = asker.refused, 0
        curves = {
            "missing": {m: missing_joints(asker, recorded.first(size.curve), m) for m in COMPARED},
            "noise": {m: noisy_joints(asker, recorded.first(size.curve), m) for m in COMPARED},
        }
    own = float(engine.intersection.percentage(recorded.vertices).mean())
    rows = [
        *_full_rows(full, recorded),
        *(row for name, by_method in hidden.items() for row in _hidden_rows(name, by_method, own)),
        *(row for name, by_method in meshes.items() for row in _mesh_rows(name, by_method, own)),
        *_generation_rows(made),
    ]
    details = {
        "hands": {"synthetic": len(synthetic), "recordings": len(recorded)},
        "refused": refused,
        "raw_residual_mm": _raw_residuals(recorded),
        "self_intersection_of_truth": own,
        "full": _plain(full),
        "hidden": _plain(hidden),
        "meshes": _plain(meshes),
        "generation": _plain({"": made})[""],
        "curves": _plain(curves),
    }
    return Figures(rows, curves, details)


def _full(asker: Asker, sets: dict[str, TestHands]) -> dict[str, dict[str, FullSkeleton]]:
    return {name: {m: full_skeleton(asker, hands, m) for m in METHODS} for name, hands in sets.items()}


def _hidden(
    asker: Asker, hands: TestHands, fewer: TestHands, reference: np.ndarray
) -> dict[str, dict[str, HiddenFingers]]:
    every = {m: hidden_fingers(asker, hands, reference, m) for m in METHODS}
    knuckles = {m: hidden_fingers(asker, fewer, reference, m, knuckles_seen=True) for m in COMPARED}
    return {"all four joints of each": every, "their knuckles known": knuckles}


def _meshes(asker: Asker, hands: TestHands) -> dict[str, dict[str, Any]]:
    template = asker.engine.arrays
    cuts = {
        "thumb, index and middle cut off": kept_without(template, LEFT_OUT),
        "any three fingers cut off": random_cuts(template, len(hands), generator("hhmr-test-cuts-1")),
    }
    return {
        name: {m: mesh_inpainting(asker, hands, kept, m) for m in COMPARED} for name, kept in cuts.items()
    }


def _full_rows(full: dict[str, dict[str, FullSkeleton]], recorded: TestHands) -> list[Row]:
    rows = []
    for name, by_method in full.items():
        section = f"Full 3D skeleton -> mesh, {name}"
        for field, what in (
            ("sample", "PA-MPVPE of one draw, mm"),
            ("mean", "PA-MPVPE of the mean of eight, mm"),
        ):
            values = _values(by_method, field)
            holds = values["network"] <= min(1.5, values["gaussian"])
            rows.append(Row(section, what, "<= 1.5 and <= Gaussian", **values, holds=holds))
        for field, what in (("first", "PA-MPVPE of the best score, mm"), ("joints", JOINTS)):
            rows.append(Row(section, what, "", **_values(by_method, field), holds=None))
    residual = float(np.mean(list(_raw_residuals(recorded).values())))
    rows.append(
        Row(rows[-1].section, "(the fitted meshes' own distance from the raw joints, mm)", network=residual)
    )
    return rows


def _hidden_rows(name: str, by_method: dict[str, HiddenFingers], own: float) -> list[Row]:
    """own: self-intersection of the true hands, per cent."""
    section = f"Recordings, middle, ring and pinky hidden: {name}"

    def row(field: str, what: str, wanted: str = "", limit: float = math.nan, share: float = math.nan) -> Row:
        values = _values(by_method, field)
        bounds = [limit, share * values["gaussian"]]
        checks = [values["network"] <= b for b in bounds if not math.isnan(b)]
        return Row(section, what, wanted, **values, holds=all(checks) if checks else None)

    error = ratio_error(by_method["network"].energies, by_method["gaussian"].energies)
    energy = f"energy score of the hidden joints, mm (ratio +- {error:.3f})"
    return [
        row("visible", "visible joints, mm", "<= 1.0", limit=1.0),
        row("energy", energy, "<= 0.9 of Gaussian", share=0.9),
        row("best", "hidden joints, best of eight, mm"),
        row("first", "hidden joints, best score, mm"),
        row("sample", "hidden joints, mean of the draws, mm"),
        row("apd", "APD of the hidden joints, mm"),
        row("self_intersection", f"{CROSSING} (true hands {own:.2f})", "<= Gaussian", share=1.0),
        row("bent", BEYOND, "<= Gaussian", share=1.0),
        row("nearest", "nearest training hand, mm", "<= Gaussian", share=1.0),
        row("rank", "rank correlation of score and accuracy"),
    ]


def ratio_error(values: tuple[float, ...], base: tuple[float, ...]) -> float:
    """Standard error of mean(values) / mean(base), measured on the same hands; NaN when they are not."""
    if len(values) != len(base) or len(base) < 2:
        return math.nan
    a, b = np.array(values), np.array(base)
    return float(np.std(a - b * (a.mean() / b.mean()), ddof=1) / math.sqrt(len(b)) / b.mean())


def _mesh_rows(name: str, by_method: dict[str, Any], own: float) -> list[Row]:
    section = f"Mesh inpainting on recordings, {name}"
    net = by_method["network"]

    def row(field: str, what: str, wanted: str = "", holds: bool | None = None) -> Row:
        return Row(section, what, wanted, **_values(by_method, field), holds=holds)

    free = net.unguided_apd
    return [
        row("kept", "kept vertices before they are put back, mm", "<= 0.5", net.kept <= 0.5),
        row("edges", "edge error within 10 mm of the seam, %", "<= 8", net.edges <= 8),
        row("across", "edge error of the edges that cross it, %"),
        row("dihedral", "dihedral angles there, 99th percentile / template's", "<= 1.2", net.dihedral <= 1.2),
        row("dihedral_of_true", "the same / the true hands'"),
        row("apd", "APD of what was cut off, mm", f">= 0.9 of unguided ({free:.1f})", net.apd >= 0.9 * free),
        row("self_intersection", f"{CROSSING} (true hands {own:.2f})"),
    ]


def _generation_rows(made: dict[str, Generation]) -> list[Row]:
    section, net, data = "Generation", made["network"], made["data"]

    def row(field: str, what: str, wanted: str = "", holds: bool | None = None) -> Row:
        values = _values({m: made[m] for m in COMPARED}, field)
        return Row(section, f"{what} (data {getattr(data, field):.2f})", wanted, **values, holds=holds)

    near = abs(net.apd / data.apd - 1) <= 0.1
    right, mcp = _values(made, "right_way"), _values(made, "right_way_mcp")
    return [
        row("apd", "APD, mm", "within 10 % of the data's", near),
        Row(
            section,
            "right-handed hands (thumb x index . palm normal > 0)",
            f"all {net.count:,}",
            **right,
            holds=net.right_way == net.count,
        ),
        Row(section, "the same by the thumb's MCP instead of its root", "", **mcp, holds=None),
        row("self_intersection", CROSSING),
        row("nearest", "nearest training hand, mm"),
        row("precision", "precision"),
        row("recall", "recall"),
    ]


def _values(by_method: dict[str, Any], field: str) -> dict[str, float]:
    return {m: float(getattr(by_method[m], field)) for m in METHODS if m in by_method}


def _raw_residuals(recorded: TestHands) -> dict[str, float]:
    """Source -> mean residual in mm of its fitted meshes to the joints as recorded."""
    names = np.unique(recorded.source)
    return {str(n): float(recorded.raw_residual[recorded.source == n].mean()) for n in names}


def _plain(nested: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Dataclasses at the second level as dictionaries."""
    return {name: {m: asdict(value) for m, value in by_method.items()} for name, by_method in nested.items()}
