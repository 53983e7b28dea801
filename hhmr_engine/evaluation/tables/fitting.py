"""Hands from 2D skeletons of unknown rotation and size, against a fit of the skinned hand with a PCA prior.

The paper's Table 5 without the photo. benchmarks/fitting.py measures the same on 500 hands of a kind.
"""

from __future__ import annotations

from dataclasses import replace

from ..baselines2d import TUNED, FitSettings, SkinnedFit
from ..fits import BOUNDS, DRAWS, HYPOTHESES, NAMES, SETS, Line, of_baseline, of_engine, rows
from ..fitting2d import SeenHands, seen_hands
from ..pictured import CAMERA, request_of
from ..tuning import Tuned, tune
from .contenders import Contenders
from .pictures import Case, cases_sheet
from .table import Check, Context, Table

HEAD = ("", "ours", "fit of the skinned hand", "ratio")
KNOBS: dict[str, tuple] = {"prior": (2.0,), "components": (18,), "restarts": (8,)}


def fitting(context: Context) -> Table:
    arrays, contenders = context.engine.arrays, Contenders(context)
    context.engine.network()
    table_rows: list[tuple[str | float, ...]] = []
    checks, notes, pictures = [], [], {}
    tuned: dict[str, Tuned[FitSettings]] = {}
    for kind, hidden in SETS:
        hands = seen_hands(arrays, context.data, context.cache, kind, hidden).first(context.size(40, 1))
        if kind not in tuned:
            tuned[kind] = _tuned(contenders, kind, hidden)
            notes.append(tuned[kind].told(f"The fit, {kind}", "tuning hands, by MPVPE in mm"))
        context.expect(len(hands))
        samples = context.size(16, 1)
        baseline = of_baseline(_fit(contenders, tuned[kind].best), hands)
        ours = of_engine(context.engine, hands, "network", samples, context.bar)
        name = NAMES[kind, hidden]
        for line in rows(ours, baseline, BOUNDS.get((kind, hidden))):
            table_rows.append((f"{name}: {line.what}", line.own, line.theirs, line.own / line.theirs))
            if line.wanted:
                checks.append(_check(name, line))
        worst = ours.errors["first"].argsort()[::-1][: context.size(3, 1)]
        if kind == "recordings":
            cases = [_case(context, hands, int(row), float(ours.errors["first"][row])) for row in worst]
            title = f"Worst cases: {name}"
            pictures[f"fitting_{hidden}_worst.png"] = cases_sheet(cases, arrays.faces, title)
    notes.append(
        f"{len(hands)} hands of each kind, {HYPOTHESES} hypotheses; {DRAWS} draws of {samples} of them for"
        " what lies in the central 90 %. benchmarks.fitting measures 500 of each."
    )
    return Table("fitting", "Fitting to 2D skeletons", HEAD, table_rows, checks, notes, pictures)


def _tuned(contenders: Contenders, kind: str, hidden: str) -> Tuned[FitSettings]:
    """From settings that were found on more tuning hands, one step along each knob."""
    context = contenders.context
    hands = seen_hands(context.engine.arrays, context.data, context.cache, kind, hidden, tuning=True)
    hands = hands.first(context.size(40, 1))

    def cost(settings: FitSettings) -> float:
        return float(of_baseline(_fit(contenders, settings), hands).chosen.mean())

    return tune(replace(TUNED[kind]), KNOBS if not context.quick else {}, cost)


def _fit(contenders: Contenders, settings: FitSettings) -> SkinnedFit:
    context, model = contenders.context, contenders.posed(settings.pose, settings.components)
    return SkinnedFit(context.engine.arrays, context.recordings, settings, model)


def _check(name: str, line: Line) -> Check:
    is_ratio = line.wanted.startswith("ratio")
    value = line.own / line.theirs if is_ratio else line.own
    return Check(f"{name}: {line.what}", value, line.wanted, line.holds)


def _case(context: Context, hands: SeenHands, row: int, error: float) -> Case:
    found = context.engine.run(request_of(hands, row, count=HYPOTHESES, seed=7))
    return Case(
        f"{hands.source[row]}; first {error:.0f} mm",
        hands.vertices[row] * CAMERA,
        hands.joints[row] * CAMERA,
        found.vertices[:6],
        found.joints[:6],
    )
