"""Somebody else's joints: whole hands from all that is known, and with three fingers hidden.

There is no mesh to compare with, so everything is measured at joints that are known: those that were given
(how well a hand goes through them), and those that were held back (whether it was among the answers).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from .. import metrics
from ..asking import millimetres
from ..completions import Method
from ..figures import ratio_error
from ..skeletons import hidden_joints, rank_correlation
from ..testset import in_palm_frame
from .contenders import BY_ENERGY, RECORDED, Contenders
from .pictures import Case, cases_sheet
from .table import Check, Context, Table, at_most

HEAD = (
    *("", "hands", "refused", "given joints, off by mm", "hidden joints: energy, mm", "best of 8, mm"),
    *("one draw, mm", "mean of 8, mm", "APD, mm", "nearest training hand, mm", "SI, %", "score and error"),
)
FEWEST = 6  # joints that must stay known, and FEWEST_HIDDEN that are held back
FEWEST_HIDDEN = 4
PALM = (0, 1, 2, 5, 9, 13, 17)
MOST = 120  # hands, evenly out of the file


@dataclass(frozen=True)
class Row:
    """Means over hands, mm."""

    hands: int
    refused: int
    figures: tuple[float, ...]
    energies: tuple[float, ...]
    best: np.ndarray  # of every hand
    rows: list[int]

    def cells(self, name: str) -> tuple[str | float, ...]:
        return (name, str(self.hands), str(self.refused), *self.figures)


def poses(context: Context) -> Table:
    assert context.poses is not None
    joints = _evenly(context.poses.joints, context.size(MOST, 3)).astype(np.float64)
    contenders = Contenders(context)
    context.engine.network()
    network = contenders.believing(contenders.rho(RECORDED).best)
    believed = contenders.pca_of_skeletons(RECORDED).best
    pca = contenders.pca(replace(contenders.pca_of_joints.best, rho=believed.rho, root=believed.root))
    methods = {"network": network, "PCA": pca, "8 nearest training hands": contenders.nearest()}
    context.expect(2 * len(joints))
    rows: list[tuple[str | float, ...]] = []
    none = np.zeros(joints.shape[:2], bool)
    for name, method in methods.items():
        rows.append(_measure(contenders, method, joints, none).cells(f"all known joints given: {name}"))
    hidden, held = _held_back(joints)
    checks: list[Check] = []
    pictures = {}
    if len(held):
        context.expect(2 * len(held))
        made = {n: _measure(contenders, m, joints[held], hidden[held]) for n, m in methods.items()}
        rows += [row.cells(f"middle, ring and pinky hidden: {name}") for name, row in made.items()]
        checks = _checks(made)
        pictures = _pictures(context, network, joints[held], hidden[held], made["network"])
    notes = [
        f"{len(joints)} of the {len(context.poses.joints)} hands of {context.poses.file}; left hands were"
        " mirrored. Millimetres in their own size.",
        f"Fingers were hidden of the {len(held)} hands of which enough is known then.",
        *contenders.told_of(RECORDED)[:2],
        contenders.pca_of_joints.told("PCA", f"{contenders.what}, by {BY_ENERGY}"),
    ]
    return Table("poses", "Somebody else's joints", HEAD, rows, checks, notes, pictures)


def _evenly(joints: np.ndarray, count: int) -> np.ndarray:
    rows = np.unique(np.linspace(0, len(joints) - 1, min(count, len(joints))).round().astype(int))
    return joints[rows]


def _held_back(joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[N,21] the known joints of three fingers, and the hands of which enough is known and held back."""
    known = np.isfinite(joints[..., 0])
    hidden = known & hidden_joints(False)
    left = known & ~hidden
    enough = (left.sum(1) >= FEWEST) & (left[:, PALM].sum(1) >= 3) & (hidden.sum(1) >= FEWEST_HIDDEN)
    return hidden, np.flatnonzero(enough)


def _measure(contenders: Contenders, method: Method, joints: np.ndarray, hidden: np.ndarray) -> Row:
    told = np.where(hidden[..., None], np.nan, joints)
    figures, energies, best, rows = [], [], [], []
    for row, answer in method(told):
        own, truth = millimetres(answer.joints), millimetres(joints[row])
        given, missing = np.isfinite(told[row, :, 0]), hidden[row]
        off = metrics.mean_point_error(own[:, given], truth[given]).mean()
        pose = in_palm_frame(contenders.context.engine.arrays, answer.joints)
        near = millimetres(metrics.nearest_hand_distance(pose, contenders.reference)).mean()
        of_hidden = [math.nan] * 5
        rank = math.nan
        if missing.any():
            errors = metrics.mean_point_error(own[:, missing], truth[missing])
            middle = metrics.mean_point_error(own[:, missing].mean(0), truth[missing])
            energy = float(metrics.energy_score(own[:, missing], truth[missing]))
            variety = metrics.average_pairwise_distance(own[:, missing], own[:, 0])
            of_hidden = [energy, errors.min(), errors.mean(), float(middle), variety]
            energies.append(energy)
            best.append(float(errors.min()))
            rank = math.nan if answer.score is None else rank_correlation(answer.score, -errors)
        figures.append((off, *of_hidden, near, float(answer.crossing.mean()), rank))
        rows.append(row)
    table = np.array(figures, np.float64).reshape(len(rows), 9)
    means = tuple(float(np.nanmean(c)) if np.isfinite(c).any() else math.nan for c in table.T)
    return Row(len(rows), len(joints) - len(rows), means, tuple(energies), np.array(best), rows)


def _checks(made: dict[str, Row]) -> list[Check]:
    net, pca = made["network"], made["PCA"]
    error = ratio_error(net.energies, pca.energies)
    return [
        at_most(f"energy score / PCA's (+- {error:.3f})", net.figures[1] / pca.figures[1], 0.85),
        at_most("best of 8 / PCA's", net.figures[2] / pca.figures[2], 0.80),
        at_most("nearest training hand / PCA's", net.figures[6] / pca.figures[6], 1.0),
    ]


def _pictures(
    context: Context, network: Method, joints: np.ndarray, hidden: np.ndarray, made: Row
) -> dict[str, bytes]:
    """Hands out of the middle and the worst, as the network completes them."""
    order = np.array(made.rows)[np.argsort(made.best)]
    count = min(context.size(3, 1), len(order))
    if not count:
        return {}
    result = {}
    for label, rows in (("", order[len(order) // 2 :][:count]), ("_worst", order[::-1][:count])):
        told = np.where(hidden[rows, :, None], np.nan, joints[rows])
        cases = [
            Case(
                f"hand {rows[k]}; best of 8 {made.best[made.rows.index(rows[k])]:.1f} mm",
                None,
                joints[rows[k]],
                answer.vertices,
                answer.joints,
                given=told[k],
            )
            for k, answer in network(told)
        ]
        title = "Worst of somebody else's hands" if label else "Somebody else's hands, three fingers hidden"
        result[f"poses{label}.png"] = cases_sheet(cases, context.engine.arrays.faces, title)
    return result
