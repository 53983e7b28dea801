"""The palm frame: where the network sees every hand in the same place, of the same size, turned the same way.

A hand's palm frame is the similarity that takes its wrist and four knuckles to the template's, then the
origin to the template's middle knuckle and 45 mm to 1. Rotation, root and scale are so kept apart from the
mesh.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .rotation import procrustes
from .skeleton import PALM_JOINTS
from .template import UNIT, HandTemplate

MIDDLE_MCP = 9


@dataclass(frozen=True)
class PalmFrame:
    """x_world = scale * rotation @ x_palm + origin, with x_palm in UNIT.

    scale [N], rotation [N,3,3], origin [N,3].
    """

    scale: Tensor
    rotation: Tensor
    origin: Tensor

    def to_palm(self, points: Tensor) -> Tensor:
        """World points [N,P,3] into the palm frame."""
        return (points - self.origin[:, None]) @ self.rotation / self.scale[:, None, None]

    def to_world(self, points: Tensor) -> Tensor:
        """Palm-frame points [N,P,3] into the world."""
        return self.scale[:, None, None] * points @ self.rotation.transpose(-1, -2) + self.origin[:, None]

    @property
    def millimetre(self) -> Tensor:
        """What one millimetre at the template's hand size is in the world [N], metres."""
        return self.scale / UNIT * 1e-3


def palm_targets(template: HandTemplate) -> Tensor:
    """Where the palm frame puts the 21 joints of the rest pose [21,3]; only PALM_JOINTS fit it."""
    joints = template.joints
    return (joints - joints[MIDDLE_MCP]) / UNIT


def palm_frame(template: HandTemplate, joints: Tensor) -> PalmFrame:
    """The palm frame of complete joints [N,21,3]; template as tensors."""
    palm = list(PALM_JOINTS)
    target = palm_targets(template)[palm].expand(len(joints), -1, -1)
    s, rotation, t = procrustes(target, joints[:, palm], torch.ones_like(target[..., 0]))
    return PalmFrame(s, rotation, t)
