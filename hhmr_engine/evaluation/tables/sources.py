"""Every source of recordings judged by weights that never saw it: skeleton to mesh, and three hidden fingers.

Weights given with --compare judge the sources that their own training's settings say were left out, and no
others; the Gaussian beside them is that of their own hand. Where there are none for a source its rows are of
the weights that are measured, which have seen its training frames, and nothing is asked of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...data.retarget import Retargeted
from ...engine import Engine
from .. import metrics
from ..asking import millimetres
from ..completions import Completions, Method, complete, joined
from ..figures import ratio_error
from ..recorded import in_our_places
from ..skeletons import hidden_joints
from ..testset import TestHands, held_out_rows, recorded_hands
from .contenders import BY_ENERGY, CALIBRATED, RECORDED, Contenders
from .inpainting import NETWORK, PCA, ratio_of
from .table import Check, Context, Table, at_most

HEAD = (
    *("source", "judged by", "hands", "as recorded, PA-MPVPE of one draw", "mean of 8", "PCA", "kinematics"),
    *("with its calibration, one draw", "mean of 8", "PCA", "kinematics"),
    *("three fingers hidden: visible", "energy", "PCA's", "best of 8", "PCA's"),
    *("nearest", "PCA's", "SI, %", "PCA's"),
)


@dataclass(frozen=True)
class Skeletons:
    """PA-MPVPE in mm of every hand, of whole skeletons."""

    one: np.ndarray  # of a draw, mean over draws
    mean: np.ndarray  # of the mean of the draws
    pca: np.ndarray
    kinematic: np.ndarray


@dataclass(frozen=True)
class Judged:
    """One source. raw: joints as recorded; ours: with wrist and thumb's root where our hand has them."""

    name: str
    left_out: bool
    raw: Skeletons
    ours: Skeletons
    hidden: dict[str, Completions]


def sources(context: Context) -> Table:
    contenders = Contenders(context)
    context.engine.network()
    count = context.size(16, 1)
    context.expect(5 * count * len(context.recordings))
    parts = [_judge(context, contenders, recording, count) for recording in context.recordings]
    judged = [part for part in parts if part is not None]
    out = [part for part in judged if part.left_out]
    rows = [_row(part.name, "others' weights" if part.left_out else "these", part) for part in judged]
    if out:
        rows.append(_row("all that were left out", "others' weights", _together(out)))
    of_joints = contenders.pca_of_joints.told("PCA, hidden fingers", f"{contenders.what}, by {BY_ENERGY}")
    notes = [
        "mm. The truth is our fitted mesh. As recorded: the joints that the device gave, where it has them;"
        " with its calibration: the same, wrist and thumb's root moved to where our hand has them.",
        "Of a source that was left out, PCA is the Gaussian of its judge's own hand, which has not seen it"
        " either where benchmarks/compared.py trained the judge, and the kinematics take other sources' hands"
        " as their prior. Every setting was tuned on validation frames of all sources, the kinematics with a"
        " prior of all.",
        *(note for kind in (RECORDED, CALIBRATED) for note in contenders.told_of(kind)),
        of_joints,
    ]
    missing = [part.name for part in judged if not part.left_out]
    if missing:
        notes.append(
            f"No weights were given that left out {', '.join(missing)}: train some with stream.left_out and"
            " name them with --compare fold_a=FILE."
        )
    return Table("sources", "Sources left out of the training", HEAD, rows, _checks(out), notes)


def _judge(context: Context, contenders: Contenders, recording: Retargeted, count: int) -> Judged | None:
    """A source by weights that never saw it, if there are any; None without test frames."""
    rows = held_out_rows(recording, count)
    if not len(rows):
        return None
    engine = context.judges.get(recording.name)
    hands = recorded_hands(context.engine.arrays, [recording], count)
    raw = recording.joints[rows]
    moved = in_our_places(context.engine.arrays, recording, raw)
    recorded = _skeletons(contenders, engine, hands, raw, RECORDED)
    ours = _skeletons(contenders, engine, hands, moved, CALIBRATED)
    seen, asker = ~hidden_joints(False), contenders.asker
    hidden = {
        NETWORK: complete(asker, contenders.network(engine=engine), hands, seen, contenders.reference),
        PCA: complete(
            asker,
            contenders.pca(contenders.pca_of_joints.best, engine=engine),
            hands,
            seen,
            contenders.reference,
        ),
    }
    return Judged(recording.name, engine is not None, recorded, ours, hidden)


def _skeletons(
    contenders: Contenders, engine: Engine | None, hands: TestHands, told: np.ndarray, kind: str
) -> Skeletons:
    def errors(method: Method) -> tuple[np.ndarray, np.ndarray]:
        """Of a draw and of the mean; NaN where refused."""
        each = np.full((2, len(hands)), np.nan)
        for row, answer in method(told):
            of_all = metrics.aligned_error(answer.vertices, hands.vertices[row])
            of_mean = metrics.aligned_error(answer.vertices.mean(0), hands.vertices[row])
            each[:, row] = metrics.of_a_draw(of_all), of_mean
        return millimetres(each[0]), millimetres(each[1])

    one, mean = errors(contenders.believing(contenders.rho(kind).best, engine))
    pca = errors(contenders.pca(contenders.pca_of_skeletons(kind).best, 1, engine))[0]
    return Skeletons(one, mean, pca, errors(contenders.inverse_kinematics(kind, engine))[0])


def _together(parts: list[Judged]) -> Judged:
    def whole(which: str) -> Skeletons:
        names = ("one", "mean", "pca", "kinematic")
        return Skeletons(*(np.concatenate([getattr(getattr(p, which), n) for p in parts]) for n in names))

    hidden = {name: joined([p.hidden[name] for p in parts]) for name in (NETWORK, PCA)}
    return Judged("", True, whole("raw"), whole("ours"), hidden)


def _row(name: str, by: str, part: Judged) -> tuple[str | float, ...]:
    net, pca = part.hidden[NETWORK], part.hidden[PCA]
    whole = [
        mean_of(getattr(s, n)) for s in (part.raw, part.ours) for n in ("one", "mean", "pca", "kinematic")
    ]
    pairs = [c.mean(n) for n in ("energy", "best", "nearest", "crossing") for c in (net, pca)]
    return (name, by, str(len(part.raw.one)), *whole, net.mean("visible"), *pairs)


def mean_of(values: np.ndarray) -> float:
    """Of those that were not refused; NaN when all were."""
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def _checks(out: list[Judged]) -> list[Check]:
    """Of all sources that were left out, together; nothing without any."""
    if not out:
        return []
    part = _together(out)
    hidden = part.hidden
    error = ratio_error(tuple(hidden[NETWORK].energy), tuple(hidden[PCA].energy))
    fingers = "three fingers hidden"
    return [
        at_most("3D skeleton as recorded -> mesh: PA-MPVPE, mm", mean_of(part.raw.mean), 2.0),
        at_most("with the source's calibration, mm", mean_of(part.ours.mean), 1.0),
        at_most(f"{fingers}: visible joints, mm", hidden[NETWORK].mean("visible"), 0.5),
        at_most(f"{fingers}: energy score / PCA's (+- {error:.3f})", ratio_of(hidden, "energy"), 0.85),
        at_most(f"{fingers}: best of 8 / PCA's", ratio_of(hidden, "best"), 0.80),
        at_most(f"{fingers}: nearest training hand / PCA's", ratio_of(hidden, "nearest"), 1.0),
        at_most(f"{fingers}: SI / PCA's", ratio_of(hidden, "crossing"), 1.0),
    ]
