"""Fingertips that a draw bends backwards, straightened.

Where a finger is hidden, a draw between two of its likely poses now and then snaps its end joints back by 40
to 75 degrees, which no hand does. A hinge turns about one axis within limits (hand/dof.py): what is beyond
one that is bent farther is turned back about it, unless it was given so.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from .diffusion.gaussian import GaussianPrior
from .hand.dof import DOFS, LIMITS
from .hand.rotation import rotation_between, rotation_matrix
from .hand.template import HandTemplate
from .phalanges import BONES, Phalanges

SLACK = np.radians(5)  # beyond the limits: our axes are not every hand's
CORE = 0.5  # of its skin, what follows a bone at least this much says how the bone is turned


class Hinges:
    """The last two joints of every finger, the last one of the thumb."""

    def __init__(self, template: HandTemplate, device: str | torch.device = "cpu") -> None:
        """template as arrays."""

        def there(values: Any) -> Tensor:
            return torch.as_tensor(np.asarray(values, np.float32), device=device)

        limits = np.tile([-np.inf, np.inf], (5, 2, 1))
        axes = np.tile([1.0, 0.0, 0.0], (5, 2, 1))
        low, high = template.from_rest(LIMITS.T)
        for finger, bones in enumerate(BONES):
            for hinge, bone in enumerate(bones[1:]):
                turns = [i for i, angle in enumerate(DOFS) if angle.bone == bone]
                if len(turns) == 1:  # the thumb's middle joint turns about two
                    limits[finger, hinge] = low[turns[0]] - SLACK, high[turns[0]] + SLACK
                    axes[finger, hinge] = template.axes[turns[0]]
        self.low, self.high = there(limits).unbind(-1)  # [5,2] radians
        self.axes = there(axes)
        self.phalanges = Phalanges(template, device)
        self.rest = there(template.vertices[template.nodes])  # [N,3]
        skin = self.phalanges.skin
        self.core = skin * (skin > CORE)

    def __call__(self, x: Tensor, prior: GaussianPrior, precision: Tensor) -> Tensor:
        """States [n,3N] or, with what else `prior` describes at their end, [n,3N+k].

        precision [R,R] or [n,R,R]: that of the evidence about each of them (gaussian.Evidence).
        """
        size = 3 * len(self.rest)
        nodes = x[:, :size].unflatten(-1, (-1, 3))
        turned = self._turned(nodes)
        beyond = self._beyond(turned)
        if not beyond.any():
            return x
        given = self.phalanges.given(prior, precision.expand(len(x), -1, -1))
        beyond[given[..., 1:].any(-1), 0] = 0
        beyond[given[..., 2], 1] = 0
        back = rotation_matrix(-beyond[..., None] * (turned[:, :, :2] @ self.axes[..., None])[..., 0])
        joints = torch.einsum("fkn,bnc->bfkc", self.phalanges.joints, nodes)
        for hinge in (1, 0):  # outside in, so that the joint farther in is still where it was
            follows = self.phalanges.skin[:, hinge + 1 :].sum(1)  # [5,N]
            arm = nodes[:, None] - joints[:, :, hinge + 1, None]
            change = arm @ back[:, :, hinge].mT - arm
            nodes = nodes + (follows[..., None] * change).sum(1)
        return torch.cat([nodes.flatten(1), x[:, size:]], 1)

    def bend(self, x: Tensor) -> Tensor:
        """[n,5,2] radians by which states, in any frame, bend hinges beyond their limits.

        Below 0 it is backwards.
        """
        return self._beyond(self._turned(x[:, : 3 * len(self.rest)].unflatten(-1, (-1, 3))))

    def _beyond(self, turned: Tensor) -> Tensor:
        local = turned[:, :, :2].mT @ turned[:, :, 1:]  # [n,5,2,3,3]
        skew = torch.stack(
            [
                local[..., 2, 1] - local[..., 1, 2],
                local[..., 0, 2] - local[..., 2, 0],
                local[..., 1, 0] - local[..., 0, 1],
            ],
            -1,
        )
        # Twice the angle of the rotation's part about the axis: a quaternion's, each times four w.
        angle = 2 * torch.atan2((skew * self.axes).sum(-1), 1 + local.diagonal(dim1=-2, dim2=-1).sum(-1))
        return angle - angle.clamp(self.low, self.high)

    def _turned(self, nodes: Tensor) -> Tensor:
        """Rotations [n,5,3,3,3] of bones from rest, in nodes [n,N,3]."""
        share = self.core / self.core.sum(-1, keepdim=True)  # [5,3,N]
        source = self.rest - (share @ self.rest)[:, :, None]  # [5,3,N,3]
        middle = torch.einsum("fkn,bnc->bfkc", share, nodes)
        target = nodes[:, None, None] - middle[:, :, :, None]
        return rotation_between(source, target, share)
