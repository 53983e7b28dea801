"""What a photo's hypotheses are compared with in speed: the skinned hand fitted to its landmarks by Adam.

150 steps on the 2D landmarks, the world landmarks and a pose prior, with free bone lengths; the translation
is solved linearly in every step (design: vision, "The baseline to beat").
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..data.retarget import Retargeted
from ..hand.rotation import procrustes, rotation_matrix
from ..hand.skeleton import PALM_JOINTS
from ..hand.template import HandTemplate
from .hand_model2d import PosedJoints

STEPS, RATE = 150, 0.1
NOISE = 0.01  # of the hand's size in the picture
NEAREST = 0.05  # metres from the camera
WORLD_SIGMA = (0.006, 0.006, 0.012)  # metres: the world landmarks' noise, x, y, z


@dataclass(frozen=True)
class LandmarkFit:
    """vertices [V,3] metres in camera axes (y down), joints2d [21,2] pixels."""

    vertices: np.ndarray
    joints2d: np.ndarray


class AdamFit:
    """Fits right hands, one by one."""

    def __init__(self, template: HandTemplate, recordings: list[Retargeted]) -> None:
        self.model = PosedJoints(template, recordings, dtype=torch.float32)

    def fit(
        self, joints2d: np.ndarray, joints3d: np.ndarray, size: float, focal: float, centre: np.ndarray
    ) -> LandmarkFit:
        """joints2d [21,2] pixels, joints3d [21,3] world landmarks, size of the hand in pixels, centre [2]."""
        seen = torch.from_numpy((joints2d - centre) / focal).float()
        world = torch.from_numpy(joints3d - joints3d.mean(0)).float()
        weight = focal / (NOISE * size)
        z = torch.zeros(1, self.model.size)
        start = self._first_turn(z, world)
        p = torch.zeros(1, self.model.size + 3, requires_grad=True)
        solver = torch.optim.Adam([p], lr=RATE)
        sigma = torch.tensor(WORLD_SIGMA)
        for _ in range(STEPS):
            solver.zero_grad()
            turned = self._turned(p, start)
            camera = turned + place(turned, seen)
            off = (camera[:, :2] / camera[:, 2:].clamp_min(NEAREST) - seen) * weight
            apart = (turned - turned.mean(0) - world) / sigma
            loss = 0.5 * (off.square().sum() + apart.square().sum() + p[:, :-3].square().sum())
            loss.backward()
            solver.step()
        with torch.no_grad():
            turn = rotation_matrix(p[0, -3:]) @ start
            vertices, joints = (
                torch.from_numpy(points[0]) @ turn.T for points in self.model.skinned(p[:, :-3])
            )
            shift = place(joints, seen)
            joints = joints + shift
            projected = focal * joints[:, :2] / joints[:, 2:] + torch.from_numpy(centre)
            return LandmarkFit((vertices + shift).numpy(), projected.numpy())

    def _first_turn(self, z: Tensor, world: Tensor) -> Tensor:
        palm = list(PALM_JOINTS)
        with torch.no_grad():
            return procrustes(self.model(z)[0, palm], world[palm], torch.ones(len(palm)))[1]

    def _turned(self, p: Tensor, start: Tensor) -> Tensor:
        """Joints [21,3] in the camera's axes, about the wrist."""
        return self.model(p[:, :-3])[0] @ (rotation_matrix(p[0, -3:]) @ start).T


def place(points: Tensor, seen: Tensor) -> Tensor:
    """The translation [3] that lays points [P,3] on tangents [P,2]: (X + tx) = u (Z + tz), least squares."""
    rows = torch.zeros(len(points), 2, 3)
    rows[:, 0, 0] = rows[:, 1, 1] = 1
    rows[..., 2] = -seen
    right = seen * points[:, 2:] - points[:, :2]
    return torch.linalg.lstsq(rows.reshape(-1, 3), right.reshape(-1, 1)).solution[:, 0]
