"""Inverse kinematics as a baseline: the skinned hand fitted to 3D joints, training poses as its prior.

What is not seen is what the prior expects: one answer, no spread.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..hand.fit import levenberg_marquardt
from ..hand.rotation import procrustes, rotation_matrix
from ..hand.skeleton import PALM_JOINTS
from ..hand.template import UNIT
from ..observation import joint_noise
from .hand_model2d import PosedJoints

ROUNDS = 40
SETTLED = 1e-5
FRAME = 7  # rotation vector, shift, log scale
FREE_FRAME = 0.1  # a weak pull to the start, so that the system is never singular


@dataclass(frozen=True)
class KinematicSettings:
    """Millimetres of noise, against the prior's standard normal parameters: of joints; of roots beside it."""

    sigma: float = 1.0
    root: float = 0.0

    def __str__(self) -> str:
        return f"joints' noise {self.sigma:g} mm, roots' {self.root:g} beside it"


class KinematicFit:
    """Levenberg-Marquardt over pose, shape, bone lengths and a similarity."""

    def __init__(self, model: PosedJoints, settings: KinematicSettings) -> None:
        self.model, self.settings = model, settings
        self.size = model.size + FRAME
        self.neutral = model(torch.zeros(1, model.size, dtype=torch.float64))[0]
        self.middle = self.neutral.mean(0)

    def __call__(self, told: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Vertices [N,V,3] and joints [N,21,3] for joints [N,21,3] in metres, NaN = unknown."""
        goal = torch.from_numpy(np.asarray(told, np.float64))
        known = torch.isfinite(goal).all(2)
        goal = torch.nan_to_num(goal)
        starts = [self._start(joints, seen) for joints, seen in zip(goal, known)]
        scale, turn, shift = (torch.stack(parts) for parts in zip(*starts))
        weight = known / (UNIT * joint_noise(self.settings.sigma, self.settings.root).double())
        packed = torch.cat(
            [goal.flatten(1), weight, scale[:, None], turn.flatten(1), shift], 1
        )  # what a hand's residuals need beside its parameters

        def residuals(p: Tensor, about: Tensor) -> Tensor:
            aim, w, s, r, t = about.split([63, 21, 1, 9, 3], 1)
            z, frame = p.split([self.model.size, FRAME], 1)
            placed = _placed(self.model(z) - self.middle, frame, s, r.unflatten(1, (3, 3)), t)
            off = (placed - aim.unflatten(1, (21, 3))) * w[..., None]
            return torch.cat([off.flatten(1), z, FREE_FRAME * frame], 1)

        free = torch.arange(self.size)
        start = torch.zeros(len(goal), self.size, dtype=torch.float64)
        with torch.no_grad():
            found, _ = levenberg_marquardt(residuals, start, packed, free, ROUNDS, SETTLED)
            z, frame = found.split([self.model.size, FRAME], 1)
            points = np.concatenate(self.model.skinned(z), 1)
            both = _placed(
                torch.from_numpy(points).double() - self.middle, frame, scale[:, None], turn, shift
            ).numpy()
        return both[:, :-21].astype(np.float32), both[:, -21:].astype(np.float32)

    def _start(self, joints: Tensor, known: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The similarity that lays the mean hand's palm, or all that is known, on the joints."""
        palm = torch.zeros(21, dtype=torch.bool)
        palm[list(PALM_JOINTS)] = True
        rows = known & palm if int((known & palm).sum()) >= 3 else known
        return procrustes(
            (self.neutral - self.middle)[rows], joints[rows], torch.ones(int(rows.sum())).double()
        )


def _placed(points: Tensor, frame: Tensor, scale: Tensor, turn: Tensor, shift: Tensor) -> Tensor:
    """Points [n,P,3] about the hand's middle under a small similarity and then the one to start from."""
    grow = scale * torch.exp(frame[:, 6:])
    rotation = turn @ rotation_matrix(frame[:, :3])
    return grow[..., None] * points @ rotation.mT + (shift + 0.1 * frame[:, 3:6])[:, None]
