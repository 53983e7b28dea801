"""Whether hypotheses are spread as the truth is: how often it lies in the middle of 64 draws.

Two readings of "the middle". By coordinates: the truth's x, y or z of a hidden joint in the true hand's palm
frame lies in the central 50 or 90 % of the draws' (metrics.coverage). As a whole: the hidden joints of the
true hand are no farther from the draws than the innermost 50 or 90 % of the draws are from each other. Draws
that are too alike miss the truth in both; ones that are too different hold it too often.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw

from ...hand.frame import palm_frame
from ...hand.template import UNIT, HandTemplate
from ...sheet import letters, png_bytes
from .. import metrics
from ..asking import COUNT, millimetres
from ..chart import GREY, GRID, INK, PAPER
from ..skeletons import HIDDEN, hidden_joints
from ..testset import TestHands, recorded_hands, synthetic_hands
from .table import Check, Context, Table

DRAWS = 64
BINS = 13  # of the 65 ranks that a truth can have among 64 draws
HEAD = (
    *("", "hands", "in the central 50 % by coordinates", "in the central 90 %"),
    *("as a whole: in the inner 50 %", "in the inner 90 %", "energy score, mm", "spread, mm"),
)
BOUNDS = {0.5: (0.45, 0.55), 0.9: (0.85, 0.95)}
ALONG = ("knuckles", "middle joints", "last joints", "tips")
NETWORK, GAUSSIAN = "network", "Gaussian"
PANEL = (340, 200)


@dataclass(frozen=True)
class Ensembles:
    """Of N hands the draws [N,n,P,3] of P hidden joints and the truth [N,P,3], mm, true hand's palm frame."""

    draws: np.ndarray
    truth: np.ndarray

    def by_coordinates(self, level: float, joints: slice = slice(None)) -> float:
        return float(metrics.coverage(self.draws[:, :, joints], self.truth[:, joints], level).mean())

    def as_a_whole(self, level: float) -> float:
        depths = [inner_share(draws, truth) for draws, truth in zip(self.draws, self.truth, strict=True)]
        return float((np.array(depths) <= level).mean())

    @property
    def energy(self) -> float:
        return float(metrics.energy_score(self.draws, self.truth).mean())

    @property
    def spread(self) -> float:
        """Root mean square distance of a joint from its mean over the draws."""
        return float(np.sqrt(self.draws.var(1).sum(-1).mean()))

    def ranks(self) -> np.ndarray:
        """[N*P*3] how many draws lie below the truth."""
        return (self.draws < self.truth[:, None]).sum(1).ravel()


def inner_share(draws: np.ndarray, truth: np.ndarray) -> float:
    """The share of the draws [n,P,3] that lie deeper among each other than the truth [P,3] does among them.

    Depth is the mean joint distance to all others, the truth being one of them: uniform in 0..1 if it is.
    """
    every = np.concatenate([truth[None], draws])
    distance = np.stack([metrics.mean_point_error(every, one).sum() for one in every])
    return float((distance[1:] < distance[0]).mean())


def calibration(context: Context) -> Table:
    context.engine.network()
    arrays = context.engine.arrays
    recorded = recorded_hands(arrays, context.recordings, context.size(6, 1)).first(context.size(32, 2))
    kinds = {"recordings": recorded, "synthetic": synthetic_hands(arrays, context.size(22, 2))}
    rows: list[tuple[str | float, ...]] = []
    checks: list[Check] = []
    pictured: dict[str, Ensembles] = {}
    nan = float("nan")
    for kind, hands in kinds.items():
        for method in (NETWORK, GAUSSIAN):
            found = ensembles(context, hands, method.lower())
            whole = (found.as_a_whole(0.5), found.as_a_whole(0.9), found.energy, found.spread)
            of_all = found.by_coordinates(0.5), found.by_coordinates(0.9)
            rows.append((f"{kind}: {method}", str(len(found.truth)), *of_all, *whole))
            if method == NETWORK:
                pictured[kind] = found
                checks += _checks(kind, found)
                for i, name in enumerate(ALONG):
                    part = slice(i, None, len(ALONG))
                    covered = found.by_coordinates(0.5, part), found.by_coordinates(0.9, part)
                    rows.append((f"{kind}: {name}", "", *covered, *(nan,) * 4))
    fingers = ", ".join(HIDDEN)
    notes = [
        f"{DRAWS} draws, T = 10, of hands with {fingers} hidden, all four joints of each. A hand's joints err"
        " together: of so few hands a share of 0.5 is sure to about 0.03 by coordinates, 0.09 as a whole.",
        "The network is not told whether a hand is recorded or sampled: it answers for the mixture that it"
        " was trained on. Draws that are right for both together are wider than recordings alone would need.",
    ]
    picture = {"calibration_ranks.png": _histograms(pictured)}
    return Table("calibration", "Calibration of hypotheses", HEAD, rows, checks, notes, picture)


def ensembles(context: Context, hands: TestHands, method: str) -> Ensembles:
    """Draws of hands whose fingers are hidden; those that were refused are left out."""
    hidden = hidden_joints(False)
    context.expect(len(hands) * -(-DRAWS // COUNT))
    asked = context.asker().joints(hands, ~hidden, method, count=DRAWS)
    both = list(_placed(context.engine.arrays, hands, ((i, found.joints) for i, found in asked)))
    draws, truth = (np.stack(part)[..., hidden, :] for part in zip(*both, strict=True))
    return Ensembles(draws, truth)


def _placed(
    template: HandTemplate, hands: TestHands, found: Iterator[tuple[int, np.ndarray]]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Joints [n,21,3] of draws and [21,3] of the truth, mm, both in the true hand's palm frame."""
    tensors = template.torch()
    for row, joints in found:
        truth = torch.from_numpy(hands.joints[row])[None]
        frame = palm_frame(tensors, truth)
        both = torch.cat([truth, torch.from_numpy(joints)])
        inside = frame.to_palm(both.flatten(0, 1)[None])[0].unflatten(0, (-1, 21)).numpy() * UNIT
        yield millimetres(inside[1:]), millimetres(inside[0])


def _checks(kind: str, found: Ensembles) -> list[Check]:
    """By coordinates: as a whole there is but one figure a hand, too few to judge by."""
    checks = []
    for level, (low, high) in BOUNDS.items():
        share = found.by_coordinates(level)
        what = f"{kind}: truths in the central {level:.0%} of their draws, by coordinates"
        checks.append(Check(what, share, f"{low:g} to {high:g}", low <= share <= high))
    return checks


def _histograms(found: dict[str, Ensembles]) -> bytes:
    """Ranks of the truth among the draws, a PNG: flat is calibrated, a hill too wide, a valley too narrow."""
    width, height = PANEL
    picture = Image.new("RGB", (width * len(found), height + 60), PAPER)
    draw = ImageDraw.Draw(picture)
    for k, (kind, one) in enumerate(found.items()):
        share = np.histogram(one.ranks(), BINS, (0, one.draws.shape[1] + 1))[0] / one.ranks().size * BINS
        left, room, bottom = k * width + 20, width - 40, height + 20
        for i, value in enumerate(share):
            x = left + room * i / BINS
            draw.rectangle((x, bottom - 75 * min(value, 2.2), x + room / BINS - 2, bottom), GREY)
        draw.line((left, bottom - 75, left + room, bottom - 75), INK)
        draw.line((left, bottom, left + room, bottom), GRID)
        draw.text((left, 8), f"{kind}: rank of the truth, coordinates", INK, letters(14))
        draw.text((left, bottom + 8), "below all draws", GREY, letters(12))
        draw.text((left + room, bottom + 8), "above all", GREY, letters(12), anchor="ra")
    return png_bytes(picture)
