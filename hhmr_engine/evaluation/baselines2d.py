"""What fitting to a 2D skeleton is compared with: the skinned hand with a PCA pose prior, L-BFGS, restarts.

The hand that all data is made of, fitted through the very camera that saw it: 24 angles with a Gaussian on
their principal components as the training hands have them, shape, bone lengths, a free rotation and a free
place. The answer is the restart of the lowest MAP cost. Scale needs no parameter of its own: a hand twice as
large and twice as far away is seen alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ..data.retarget import Retargeted
from ..hand.fit import levenberg_marquardt
from ..hand.rotation import rotation_matrix
from ..hand.template import HandTemplate
from .fitting2d import PICTURE, SeenHands, uniform_rotations
from .hand_model2d import PosedJoints
from .testset import generator

START_SEED = "hhmr-baseline-starts-1"
CANDIDATES = 300  # rotations that are looked at, where starts are chosen
LBFGS_ITERATIONS = 150
SETTLED = 1e-5  # of the cost: what a step of Levenberg-Marquardt that changes less is not worth
APART = np.radians(25.0)  # at least, between the chosen ones


@dataclass(frozen=True)
class FitSettings:
    """Chosen on the tuning hands, see TUNED."""

    pose: str = "angles"  # what the pose's components are of: the template's angles, or bones' "rotations"
    components: int = 24
    prior: float = 1.0  # weight of the prior beside the likelihood
    restarts: int = 4
    iterations: int = 100  # of Levenberg-Marquardt
    chosen: bool = True  # starts are those of many rotations that fit best; else random ones

    def __str__(self) -> str:
        return f"{self.components} components of {self.pose}, prior {self.prior:g}, {self.restarts} restarts"


# What was best on the tuning hands of each kind, among 12 to 57 components of either pose, prior 1 to 3,
# free axes, random and chosen starts 15 to 70 degrees apart, of the mean pose and of 4 to 20 others.
TUNED = {"synthetic": FitSettings(), "recordings": FitSettings(pose="rotations", components=30)}


@dataclass(frozen=True)
class Fits:
    """R restarts for each of N hands, the first start first."""

    vertices: np.ndarray  # [N,R,V,3] float32, metres, camera axes
    joints: np.ndarray  # [N,R,21,3]
    cost: np.ndarray  # [N,R] MAP cost: half a sum of squares

    def best(self) -> tuple[np.ndarray, np.ndarray]:
        """Vertices [N,V,3] and joints [N,21,3] of the lowest cost."""
        rows = np.arange(len(self.cost)), self.cost.argmin(1)
        return self.vertices[rows], self.joints[rows]


@dataclass(frozen=True)
class _Views:
    """n hands to fit: seen [n,21,2] as tangents of the angle to the optical axis (0 where hidden)."""

    seen: Tensor
    weight: Tensor  # [n,21] 1 / sigma, 0 where hidden
    start: Tensor  # [n,3,3] rotation to start from
    place: Tensor  # [n,3] tangents of the middle's direction, and its depth, to start from

    def rows(self, keep: Tensor | slice) -> _Views:
        return _Views(self.seen[keep], self.weight[keep], self.start[keep], self.place[keep])


class JointModel(Protocol):
    """A posable hand whose parameters [n,size] are standard normal a priori."""

    size: int

    def __call__(self, z: Tensor) -> Tensor:
        """Joints [n,21,3] in the hand's own axes, metres."""
        ...

    def skinned(self, z: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Vertices [n,V,3] and joints [n,21,3], float32."""
        ...


class SkinnedFit:
    """Fits hands one by one, every restart by itself."""

    def __init__(
        self,
        template: HandTemplate,
        recordings: list[Retargeted],
        settings: FitSettings | None = None,
        model: JointModel | None = None,
    ) -> None:
        """model: another hand in place of the template's."""
        self.settings = settings or FitSettings()
        self.model = model or PosedJoints(template, recordings, self.settings.pose, self.settings.components)
        self.size = self.model.size + 6  # rotation vector, sideways (parts of the distance), log depth
        neutral = self.model(torch.zeros(1, self.model.size, dtype=torch.float64))[0]
        self.middle = neutral.mean(0)  # [3]: the hand turns about it
        self.neutral = neutral - self.middle

    def fit(self, hands: SeenHands, solver: str = "lm") -> Fits:
        """solver "lm": Levenberg-Marquardt over all at once, or torch's "lbfgs" with a strong Wolfe search.

        The first ended no higher on any of 60 tuning hands, in a thirtieth of the time (docs/results.md).
        """
        count = self.settings.restarts
        views = self.views(hands)
        if solver == "lm":
            found = self._levenberg_marquardt(views)
        else:
            found = torch.cat([self._lbfgs(views.rows(slice(i, i + 1))) for i in range(len(views.seen))])
        with torch.no_grad():
            cost = 0.5 * self.residuals(found, views).square().sum(1)
            vertices, joints = self._placed(found, views)
        split = (len(hands), count)
        return Fits(
            vertices.reshape(*split, -1, 3), joints.reshape(*split, 21, 3), cost.numpy().reshape(split)
        )

    def residuals(self, p: Tensor, views: _Views) -> Tensor:
        """[n,R] whose half sum of squares is the cost of parameters p [n,size]."""
        z, turn, place = p.split([self.model.size, 3, 3], 1)
        joints = self.in_camera(self.model(z), turn, place, views)
        off = (joints[..., :2] / joints[..., 2:] - views.seen) * views.weight[..., None]
        return torch.cat([off.flatten(1), self.settings.prior**0.5 * z], 1)

    def in_camera(self, points: Tensor, turn: Tensor, place: Tensor, views: _Views) -> Tensor:
        """Points [n,P,3] of the hand's axes in the camera's; they turn about their middle."""
        rotation = rotation_matrix(turn) @ views.start
        depth = views.place[:, 2:] * torch.exp(place[:, 2:])
        shift = torch.cat([(views.place[:, :2] + 0.1 * place[:, :2]) * depth, depth], 1)
        return (points - self.middle) @ rotation.mT + shift[:, None]

    def views(self, hands: SeenHands) -> _Views:
        """Every hand `restarts` times, each with its start."""
        visible = torch.from_numpy(hands.visible)
        focal = torch.from_numpy(hands.focal).double()
        offset = torch.from_numpy(hands.joints2d).double() - 0.5 * torch.tensor(PICTURE, dtype=torch.float64)
        seen = torch.nan_to_num(offset / focal[:, None, None])
        weight = visible * (focal / torch.from_numpy(hands.sigma2d))[:, None]
        rng = generator(START_SEED)
        turns = torch.from_numpy(uniform_rotations(CANDIDATES, rng))
        starts, places = [], []
        for i in range(len(hands)):
            place, off = _placed_in_picture(turns @ self.neutral.T, seen[i], weight[i])
            order = (
                _apart(turns, off)
                if self.settings.chosen
                else rng.choice(CANDIDATES, self.settings.restarts, replace=False).tolist()
            )
            rows = order[: self.settings.restarts]
            starts.append(turns[rows])
            places.append(place[rows])
        again = self.settings.restarts
        return _Views(
            seen.repeat_interleave(again, 0),
            weight.repeat_interleave(again, 0),
            torch.cat(starts),
            torch.cat(places),
        )

    def _lbfgs(self, view: _Views) -> Tensor:
        p = torch.zeros(1, self.size, dtype=torch.float64, requires_grad=True)
        solver = torch.optim.LBFGS(
            [p], max_iter=LBFGS_ITERATIONS, history_size=20, line_search_fn="strong_wolfe"
        )

        def loss() -> Tensor:
            solver.zero_grad()
            value = 0.5 * self.residuals(p, view).square().sum()
            value.backward()
            return value

        solver.step(loss)
        return p.detach()

    def _levenberg_marquardt(self, views: _Views) -> Tensor:
        packed = torch.cat([views.seen.flatten(1), views.weight, views.start.flatten(1), views.place], 1)
        free = torch.arange(self.size)

        def residuals(p: Tensor, goal: Tensor) -> Tensor:
            seen, weight, start, place = goal.split([42, 21, 9, 3], 1)
            unpacked = _Views(seen.unflatten(1, (21, 2)), weight, start.unflatten(1, (3, 3)), place)
            parts = range(0, len(p), 2000)
            return torch.cat(
                [self.residuals(p[i : i + 2000], unpacked.rows(slice(i, i + 2000))) for i in parts]
            )

        found = []
        with torch.no_grad():
            for goal in packed.split(100):
                start = torch.zeros(len(goal), self.size, dtype=torch.float64)
                solved = levenberg_marquardt(residuals, start, goal, free, self.settings.iterations, SETTLED)
                found.append(solved[0])
        return torch.cat(found)

    def _placed(self, p: Tensor, views: _Views) -> tuple[np.ndarray, np.ndarray]:
        """Vertices and regressed joints in the camera, float32."""
        z, turn, place = p.split([self.model.size, 3, 3], 1)
        parts = []
        for i in range(0, len(p), 500):
            keep = slice(i, i + 500)
            points = np.concatenate(self.model.skinned(z[keep]), 1)
            placed = self.in_camera(
                torch.from_numpy(points).double(), turn[keep], place[keep], views.rows(keep)
            )
            parts.append(placed.numpy().astype(np.float32))
        both = np.concatenate(parts)
        return both[:, :-21], both[:, -21:]


def _placed_in_picture(points: Tensor, seen: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """The place of each turned hand, by linear least squares, and how far it is then off what is seen.

    points [C,3,21], seen [21,2] tangents, weight [21]. Returns tangents and depth of the origin [C,3] and
    half the sum of squares [C]. From (X + tx) = u (Z + tz), likewise for y (design: vision).
    """
    count = len(points)
    rows = torch.zeros(21, 2, 3, dtype=points.dtype)
    rows[:, 0, 0] = rows[:, 1, 1] = 1
    rows[..., 2] = -seen
    right = seen.T * points[:, 2:] - points[:, :2]  # [C,2,21]
    rows, right = rows * weight[:, None, None], right.mT * weight[:, None]
    shift = torch.linalg.lstsq(rows.reshape(42, 3), right.reshape(count, 42).mT).solution.mT
    depth = shift[:, 2:].clamp_min(0.3)
    moved = points + torch.cat([shift[:, :2], depth], 1)[..., None]
    off = (moved[:, :2] / moved[:, 2:] - seen.T) * weight
    return torch.cat([shift[:, :2] / depth, depth], 1), 0.5 * off.square().sum((1, 2))


def _apart(turns: Tensor, off: Tensor) -> list[int]:
    """Rows of rotations [C,3,3] by rising `off` [C], each at least APART from those before it."""
    kept: list[int] = []
    for row in off.argsort().tolist():
        trace = (turns[kept] * turns[row]).sum((1, 2))
        if all(torch.arccos(((trace - 1) / 2).clamp(-1, 1)) > APART):
            kept.append(row)
        if len(kept) == 8:
            break
    return kept
