"""The paper's Tables 2 to 4: hands from photos, by network, by number of hypotheses, by number of steps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from ...datasets.annotated import Annotated
from ...datasets.check_sheet import sheet
from ..tables.table import Check, Table, at_most
from .figures import GRAPH, HYPOTHESES, ONE, OTHERS, STEPS
from .job import ERRORS_HEAD, NAMES, QUICK_COUNT, UNPRINTED, Job, errors_beside
from .measuring import Measured, Setting
from .protocols import Scores
from .submissions import SERVERS, write_submission

QUICK_STEPS = (10, 25)
DRAWN = 12
MEANING = (
    "Millimetres after the servers' alignment (rotation, place and scale), means over all hands; of several"
    " hypotheses the minimum, which needs the truth."
)


def graph(job: Job) -> Table:
    """Table 2: with graph convolution, and with self-attention alone (`--compare attention=F`)."""
    dataset = job.dataset("freihand")
    rows: list[tuple[str | float, ...]] = []
    if isinstance(dataset, str):
        return _missing("2", "Table 2: graph convolution", dataset, [(n, p) for n, p in GRAPH.items()])
    notes = [MEANING, *_about(job, dataset)]
    setting = Setting(crops=job.crops)
    engines = {"graph convolution": job.context.engine, "self-attention only": job.context.other("attention")}
    best = {}
    for name, engine in engines.items():
        best[name] = (float("nan"),) * 2
        if engine is None:
            notes.append("Weights trained without graph convolution: --compare attention=FILE.")
        else:
            count = job.at_once(1) if engine is job.context.engine else 1
            best[name] = job.runs.measure(dataset, setting, count, engine).best(1)
        rows.append((name, *errors_beside(best[name], GRAPH[name])))
    ours, paper = (
        tuple(a / b for a, b in zip(*pair))
        for pair in (best.values(), [(p.mpjpe, p.mpvpe) for p in GRAPH.values()])
    )
    checks = [
        at_most(f"{what}, with / without", own, printed, f"the paper: {printed:.3f}")
        for what, own, printed in zip(("MPJPE", "MPVPE"), ours, paper)
    ]
    return Table("2", "Table 2: graph convolution", ("FreiHAND", *ERRORS_HEAD), rows, checks, notes)


def hypotheses(job: Job) -> Table:
    """Table 3: one hypothesis and the best of several, beside what others printed; files for the servers."""
    nothing = float("nan"), float("nan")
    rows: list[tuple[str | float, ...]] = [
        (name, *errors_beside(nothing, printed)) for name, printed in OTHERS.items()
    ]
    notes, checks = [MEANING], []
    pictures: dict[str, bytes] = {}
    counts = [n for n in HYPOTHESES if not job.context.quick or n <= QUICK_COUNT]
    for name in NAMES:
        dataset = job.dataset(name)
        if isinstance(dataset, str):
            if name in SERVERS:
                notes.append(dataset)
            continue
        most = job.at_once(max(counts)) if name in SERVERS else max(counts)
        measured = job.runs.measure(dataset, Setting(crops=job.crops), most)
        for n in counts:
            printed = HYPOTHESES[n] if name == "freihand" else UNPRINTED
            rows.append((f"ours, {NAMES[name]}, n = {n}", *errors_beside(measured.best(n), printed)))
        if name == "freihand":
            checks = _against_one(measured, {n: (p.mpjpe, p.mpvpe) for n, p in HYPOTHESES.items()}, counts)
        notes += _about(job, dataset, measured)
        notes.append(_as_server(name, measured.server))
        pictures[f"{name}.png"] = _drawn(job, dataset, measured)
        notes += _submission(job, name, measured)
    notes.append("Table 4 has the paper's own figures for n = 8 and 16 with one more digit.")
    if pictures:
        notes.append("Drawn: the six hands of the least and the six of the largest error, n = 1.")
    return Table("3", "Table 3: hands from photos", ("", *ERRORS_HEAD), rows, checks, notes, pictures)


def steps(job: Job) -> Table:
    """Table 4: the best of n hypotheses after T denoising steps."""
    rows: list[tuple[str | float, ...]] = []
    notes, checks = [MEANING], []
    wanted = [k for k in STEPS if not job.context.quick or (k[0] in QUICK_STEPS and k[1] <= QUICK_COUNT)]
    for name in SERVERS:
        dataset = job.dataset(name)
        if isinstance(dataset, str):
            notes.append(dataset)
            continue
        most = max(n for _, n in wanted)
        for number in dict.fromkeys(t for t, _ in wanted):
            measured = job.runs.measure(dataset, Setting(steps=number, crops=job.crops), most)
            if number == 10:
                one = ONE if name == "freihand" else UNPRINTED
                rows.append((f"{NAMES[name]}, T = 10, n = 1", *errors_beside(measured.best(1), one)))
                notes += _about(job, dataset, measured)
            for n in (n for t, n in wanted if t == number):
                printed = STEPS[number, n] if name == "freihand" else UNPRINTED
                cells = errors_beside(measured.best(n), printed)
                rows.append((f"{NAMES[name]}, T = {number}, n = {n}", *cells))
            if name == "freihand" and number == 10:
                paper = {1: (ONE.mpjpe, ONE.mpvpe)}
                paper |= {n: (STEPS[10, n].mpjpe, STEPS[10, n].mpvpe) for t, n in wanted if t == 10}
                checks = _against_one(measured, paper, list(paper))
    return Table("4", "Table 4: hypotheses and steps", ("", *ERRORS_HEAD), rows, checks, notes)


def _against_one(measured: Measured, paper: dict[int, tuple[float, float]], counts: list[int]) -> list[Check]:
    """How much the best of n gains, against the paper's."""
    one = measured.best(1)
    checks = []
    for n in counts[1:]:
        for k, what in enumerate(("MPJPE", "MPVPE")):
            printed = paper[n][k] / paper[1][k]
            own = measured.best(n)[k] / one[k]
            checks.append(at_most(f"{what}, best of {n} / one", own, printed, f"the paper: {printed:.3f}"))
    return checks


def _about(job: Job, dataset: Annotated, measured: Measured | None = None) -> list[str]:
    """How many hands, seen how, and what was left out."""
    rows = job.runs.rows(dataset)
    crops = {"none": "one crop", "few": "4 crops fused", "paper": "95 crops fused, as MeshGraphormer does"}
    text = f"{NAMES[dataset.name]}: {len(rows)} of {len(dataset)} hands, {crops[job.crops]}."
    if dataset.skipped:
        text += " Left out: " + "; ".join(f"{count} ({why})" for why, count in dataset.skipped.items()) + "."
    if measured is not None and measured.refused:
        text += f" For {measured.refused} that could not be done, a hand at rest counts."
    return [text, *dataset.notes]


def _as_server(name: str, s: Scores) -> str:
    """The figures of one hypothesis as the servers print them."""
    parts = [
        f"joints {s.mpjpe:.2f} mm (AUC {s.joints_auc:.3f})",
        f"aligned {s.pa_mpjpe:.2f} ({s.pa_joints_auc:.3f})",
    ]
    if name == "ho3d":
        parts.append(f"by scale and translation {s.st_mpjpe:.2f} ({s.st_joints_auc:.3f})")
    parts += [
        f"mesh {s.mpvpe:.2f} ({s.vertices_auc:.3f})",
        f"aligned {s.pa_mpvpe:.2f} ({s.pa_vertices_auc:.3f})",
        f"F@5 {s.f5:.3f}, F@15 {s.f15:.3f}",
        f"aligned {s.pa_f5:.3f}, {s.pa_f15:.3f}",
    ]
    return f"{NAMES[name]}'s own measures, n = 1: {'; '.join(parts)}."


def _drawn(job: Job, dataset: Annotated, measured: Measured) -> bytes:
    """PNG: the hands found, over their photos; the best and the worst."""
    rows, errors = job.runs.rows(dataset), measured.mpjpe[:, 0]
    order = np.argsort(errors, kind="stable")
    chosen = order if len(order) <= DRAWN else np.concatenate([order[: DRAWN // 2], order[-DRAWN // 2 :]])
    tiles = []
    for k in chosen:
        sample = dataset[rows[k]]
        found = replace(sample, joints=measured.one.joints[k], vertices=measured.one.vertices[k], box=None)
        tiles.append((f"{sample.key}  {errors[k]:.1f} mm", found))
    return sheet(tiles, job.context.engine.arrays.faces)


def _submission(job: Job, name: str, measured: Measured) -> list[str]:
    """Write the server's file, and say what it would mind."""
    if name not in SERVERS or job.options.files is None:
        return []
    path = Path(f"{job.options.files}_{name}_pred.zip")
    try:
        faults = write_submission(path, name, measured.one.joints, measured.one.vertices)
    except ValueError as exc:
        return [f"No file for {NAMES[name]}'s server: {exc}"]
    return [f"For {NAMES[name]}'s server: {path.name}.", *faults]


def _missing(name: str, title: str, why: str, printed: list) -> Table:
    rows = [(n, *errors_beside((float("nan"),) * 2, p)) for n, p in printed]
    return Table(name, title, ("FreiHAND", *ERRORS_HEAD), rows, [], [why])
