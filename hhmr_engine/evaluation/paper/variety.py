"""The paper's Table 1: how different, and how sound, hands made from nothing and from a part are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...request import MAX_COUNT, Request
from ..asking import METHODS, SEED, Asker, millimetres
from ..meshes import LEFT_OUT, kept_without
from ..metrics import average_pairwise_distance
from ..tables.table import Table, at_least, at_most
from ..testset import generator, synthetic_hands
from .figures import VARIETY
from .job import NAMES, Job, beside
from .measuring import Runs

GENERATED = 1000
PAIRED = 300  # of them: the mean over their pairs stands to 1 %
INCOMPLETE, COMPLETIONS = 100, 16
PCA_SEED = "hhmr-paper-pca-1"


@dataclass(frozen=True)
class Sound:
    """APD in mm, wrists laid on each other; self-intersecting faces, %: all, and adjacent left out."""

    apd: float
    si: float
    si_apart: float


def table(job: Job) -> Table:
    context = job.context
    count = context.size(GENERATED, 32)
    notes = [
        f"APD of {min(count, PAIRED)} generated hands and of {COMPLETIONS} completions of each, over all"
        " vertices, at each hand's own size. The paper does not say how many hands it took.",
        "SI: per cent of all faces that intersect another one; last column: adjacent segments of the hand"
        " left out, whose creases are no faults.",
    ]
    asker = context.asker()
    context.expect(2 * count // 8)
    own = {name: _generated(asker, name, count) for name in ("network", "gaussian")}
    made = {"generation, ours": own["network"], "generation, PCA": own["gaussian"]}
    try:
        pca = job.pca
    except (ValueError, OSError) as exc:
        pca = None
        notes.append(f"MANO's own components are left out: {exc}")
    if pca is None or len(context.engine.arrays.vertices) != len(pca.model.vertices):
        notes.append(
            "PCA: the principal components of posed hands on this template. With MANO_RIGHT.pkl beside the"
            " datasets and MANO's template, the sampled ones are MANO's own, as in the paper."
        )
    else:
        made["generation, PCA"] = _measure(asker, pca.sample(count, generator(PCA_SEED)))
        notes.append(
            "PCA generation: all 45 components and ten betas of MANO, each as widely as its file tells."
        )
    hands, whence = _hands(job)
    notes.append(
        f"Inpainting: {len(hands)} hands of {whence} without thumb, index and middle finger. PCA: the"
        " principal components of posed hands, given the same vertices."
    )
    for name in ("network", "gaussian"):
        made[f"inpainting, {'ours' if name == 'network' else 'PCA'}"] = _completed(job, hands, name)
    rows: list[tuple[str | float, ...]] = [
        (
            name,
            *beside(made[name].apd, VARIETY[name].apd),
            *beside(made[name].si, VARIETY[name].si),
            made[name].si_apart,
        )
        for name in VARIETY
    ]
    checks = []
    for what in ("generation", "inpainting"):
        (ours, base), (p_ours, p_base) = (
            (figures[f"{what}, ours"], figures[f"{what}, PCA"]) for figures in (made, VARIETY)
        )
        wider, cleaner = p_ours.apd / p_base.apd, p_ours.si / p_base.si
        checks.append(
            at_least(f"{what}: APD, ours / PCA", ours.apd / base.apd, wider, f"the paper: {wider:.3f}")
        )
        share = ours.si / base.si if base.si else float("nan")
        checks.append(at_most(f"{what}: SI, ours / PCA", share, cleaner, f"the paper: {cleaner:.3f}"))
    head = ("", "APD, mm", "paper", "ratio", "SI, %", "paper", "ratio", "SI apart, %")
    return Table("1", "Table 1: generation and inpainting", head, rows, checks, notes)


def _generated(asker: Asker, method: str, count: int) -> Sound:
    parts = []
    for k, start in enumerate(range(0, count, MAX_COUNT)):
        size = min(MAX_COUNT, count - start)
        parts.append(asker.ask(Request("generate", count=size, seed=SEED + k, **METHODS[method])).vertices)
    return _measure(asker, np.concatenate(parts))


def _measure(asker: Asker, vertices: np.ndarray) -> Sound:
    joints = asker.engine.arrays.regressor @ vertices
    some = slice(0, PAIRED)
    apd = average_pairwise_distance(millimetres(vertices[some]), millimetres(joints[some, 0]))
    return Sound(apd, *_crossing(asker, vertices))


def _crossing(asker: Asker, vertices: np.ndarray) -> tuple[float, float]:
    find = asker.engine.intersection.percentage
    return float(find(vertices, adjacent=True).mean()), float(find(vertices).mean())


def _hands(job: Job) -> tuple[np.ndarray, str]:
    """Whole hands [N,V,3] to cut, and where they are from."""
    template = job.context.engine.arrays
    count = job.context.size(INCOMPLETE, 3)
    runs = Runs(job.context, count)
    for name in NAMES:
        dataset = job.dataset(name)
        if isinstance(dataset, str):
            continue
        found = [
            sample.vertices
            for sample in runs.samples(dataset)
            if sample.side == "right"
            and sample.vertices is not None
            and sample.vertices.shape == template.vertices.shape
        ]
        if found:
            return np.stack(found), NAMES[name]
    return synthetic_hands(
        template, count
    ).vertices, "the pose sampler (no dataset has meshes of this template)"


def _completed(job: Job, hands: np.ndarray, method: str) -> Sound:
    asker = job.context.asker()
    kept = kept_without(asker.engine.arrays, LEFT_OUT)
    job.context.expect(len(hands) * COMPLETIONS // 8)
    figures = []
    for vertices in hands:
        told = np.where(kept[:, None], vertices, np.nan).astype(np.float32)
        request = Request("inpaint", vertices=told, count=COMPLETIONS, seed=SEED, **METHODS[method])
        found = asker.ask(request)
        apd = average_pairwise_distance(millimetres(found.vertices), millimetres(found.joints[:, 0]))
        figures.append((apd, *_crossing(asker, found.vertices)))
    return Sound(*np.mean(figures, 0).tolist())
