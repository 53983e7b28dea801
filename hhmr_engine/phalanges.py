"""The outer three bones of every finger, read off a mesh's nodes: where they are, and what fixes them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from .diffusion.gaussian import GaussianPrior, posterior_factor
from .hand.skeleton import FINGER_BONES, FINGER_JOINTS
from .hand.template import UNIT, HandTemplate

BONES = np.array([FINGER_BONES[finger][-3:] for finger in FINGER_JOINTS])  # [5,3]
GIVEN = 3e-3 / UNIT  # a joint that is less uncertain than this was given


class Phalanges:
    """Thumb to little finger; `template` as arrays.

    joints [5,4,N]: their heads and the tip as means of the nodes; skin [5,3,N]: how far nodes follow them;
    palm [N]: how far they follow other bones.
    """

    def __init__(self, template: HandTemplate, device: str | torch.device = "cpu") -> None:
        def there(values: Any) -> Tensor:
            return torch.as_tensor(np.asarray(values, np.float32), device=device)

        skin = template.weights[template.nodes]
        self.joints = there((template.regressor @ template.decoder)[list(FINGER_JOINTS.values())])
        self.skin = there(skin[:, BONES].transpose(1, 2, 0))
        self.palm = there(1 - skin[:, BONES.ravel()].sum(1))

    def given(self, prior: GaussianPrior, precision: Tensor) -> Tensor:
        """[n,5,3] which ends of bones evidence of this precision [n,R,R] leaves little open of."""
        modes = prior.of_points(self.joints[:, 1:])  # [5,3,3,R]
        factor = posterior_factor(precision)
        white = torch.linalg.solve_triangular(factor, modes.flatten(0, 2).mT, upper=False)
        deviation = (white**2).sum(1).unflatten(-1, (5, 3, 3)).sum(-1).sqrt()
        return deviation < GIVEN
