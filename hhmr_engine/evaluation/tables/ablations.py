"""What each part is worth: graph convolution, guidance, anchors, masking, frames.

The paper's Table 2. What is decided when a request is made is measured on the weights at hand; what is
decided in training needs other weights, and has a row that says so where they were not given.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ...engine import Engine
from .. import metrics
from ..asking import millimetres
from ..completions import Method, complete
from ..curves import MISSING
from ..skeletons import hidden_joints
from ..testset import TestHands, generator, recorded_hands
from .contenders import Contenders
from .table import Check, Context, Table, at_most
from .weights import parameters

HEAD = (
    *(
        "",
        "numbers in the weights",
        "3D skeleton: PA-MPVPE of one draw, mm",
        "mean of 8",
        "joints, off by mm",
    ),
    *("three fingers hidden: energy, mm", "best of 8, mm", "visible, mm", "APD, mm", "SI, %", "s a hand"),
)
GUIDANCES = {
    "preconditioned": "guidance by the prior's covariance (used)",
    "x0": "guidance by the plain gradient in x0",
    "xt": "guidance by the gradient through the network",
    "none": "no guidance",
}
# Name for --compare, as benchmarks/compared.py trains it -> what the row is.
TRAINED = {
    "graph": "the graph U-Net alone, no global path",
    "attention": "the same, attention instead of graph convolution",
    "parallel": "the same, the parts of a block in parallel instead of in series",
    "no_anchors": "the same, no anchors of joints at the nodes",
    "no_finger_masks": "the same, no fingers masked in training",
    "no_joint_masks": "the same, no single joints masked in training",
    "no_gaussian": "the same, no Gaussian estimate under the network",
    "both": "the global path alone, the U-Net untrained",
}
GRAPH = 1.0  # of attention alone; the paper's ratio is 0.937


@dataclass(frozen=True)
class Worth:
    """mm; per cent of faces; seconds for eight draws."""

    one: float
    mean: float
    joints: float
    energy: float
    best: float
    visible: float
    apd: float
    crossing: float
    seconds: float

    @property
    def cells(self) -> tuple[float, ...]:
        rest = (self.energy, self.best, self.visible, self.apd, self.crossing, self.seconds)
        return (self.one, self.mean, self.joints, *rest)


NOTHING = (math.nan,) * 9


def ablations(context: Context) -> Table:
    contenders = Contenders(context)
    context.engine.network()
    hands = recorded_hands(context.engine.arrays, context.recordings, context.size(6, 1))
    few = hands.first(context.size(24, 2))
    rows: list[tuple[str | float, ...]] = []
    for guidance, what in GUIDANCES.items():
        worth = _worth(contenders, contenders.network(guidance=guidance), few)
        rows.append((what, "", *worth.cells))
    rows += _masking(contenders, hands.first(context.size(12, 1)))
    made: dict[str, Worth] = {}
    for name, what in TRAINED.items():
        engine: Engine | None = context.other(name)
        if engine is None:
            rows.append((f"{what} (--compare {name}=FILE)", "not given", *NOTHING))
            continue
        made[name] = _worth(contenders, contenders.network(engine=engine), few)
        rows.append((what, f"{parameters(context.others[name]):,}", *made[name].cells))
    notes = [
        "Rows of other weights are to be compared with each other, where they were trained equally long; the"
        " rows above them are all of the weights that are measured. In the time that the graph U-Net sees"
        " 29 thousand hands (900 steps of 32), the global path sees 512 thousand (1,000 steps of 512).",
        "Frames: the palm frame is part of every network here; what it costs not to know it is the table of"
        " fitting, where rotation and place are unknown.",
    ]
    return Table("ablations", "Ablations", HEAD, rows, _checks(made), notes)


def _worth(contenders: Contenders, method: Method, hands: TestHands) -> Worth:
    contenders.context.expect(2 * len(hands))
    whole = []
    for row, answer in method(hands.joints):
        each = metrics.aligned_error(answer.vertices, hands.vertices[row]).mean()
        middle = metrics.aligned_error(answer.vertices.mean(0), hands.vertices[row])
        off = metrics.mean_point_error(answer.joints, hands.joints[row]).mean()
        whole.append((each, middle, off))
    one, mean, joints = millimetres(np.mean(whole, 0)) if whole else (math.nan,) * 3
    hidden = complete(contenders.asker, method, hands, ~hidden_joints(False))
    names = ("energy", "best", "visible", "apd", "crossing", "seconds")
    return Worth(float(one), float(mean), float(joints), *(hidden.mean(name) for name in names))


def _masking(contenders: Contenders, hands: TestHands) -> list[tuple[str | float, ...]]:
    """Of the weights that are measured: errors of what is missing as more and more is."""
    rng = generator("hhmr-test-curves-1")
    order = np.stack([rng.permutation(21) for _ in range(len(hands))]).argsort(1)
    rows: list[tuple[str | float, ...]] = []
    for hidden in MISSING[1:]:
        contenders.context.expect(len(hands))
        made = complete(contenders.asker, contenders.network(), hands, order >= hidden)
        names = ("energy", "best", "visible", "apd", "crossing", "seconds")
        figures = [made.mean(name) for name in names]
        rows.append((f"{hidden} of 21 joints hidden, any", "", math.nan, math.nan, math.nan, *figures))
    return rows


def _checks(made: dict[str, Worth]) -> list[Check]:
    if not {"graph", "attention"} <= set(made):
        return []
    one, other = made["graph"], made["attention"]
    what = "graph convolution / attention alone"
    return [
        at_most(f"{what}: PA-MPVPE of one draw (the paper: 0.937)", one.one / other.one, GRAPH),
        at_most(f"{what}: energy score of hidden fingers", one.energy / other.energy, GRAPH),
    ]
