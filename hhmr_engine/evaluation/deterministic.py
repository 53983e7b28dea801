"""Regression by a network that was only ever trained from pure noise: one pass, one answer, no guidance.

Its answer is mended as the engine mends the network's draws.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ..draws import Sampler, draw_noise
from ..engine import Engine
from ..request import Request, RequestError

LEVEL = 1e-7  # alpha_bar: what training clamps pure noise to
NOISES = 8  # passes whose mean is the answer, so that none of it is the noise's


@dataclass
class Regressor:
    """Hands from joints or vertices; `engine` holds the weights."""

    engine: Engine

    @torch.no_grad()
    def __call__(self, told: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Vertices [1,V,3] and joints [1,21,3] for joints [21,3] or vertices [V,3], NaN = unknown.

        RequestError when this is no hand.
        """
        given = {"joints" if len(told) == 21 else "vertices": np.asarray(told, np.float32)}
        request = Request("inpaint", count=1, guidance="none", **given)  # type: ignore[arg-type]
        observation = self.engine.observe(request, np.ones(3, np.float32))
        model, _ = self.engine.network()
        prior, template = self.engine.prior, self.engine.template
        remedies = self.engine.remedies(request)
        sampler = Sampler(template, prior, self.engine.network(), observation, request, remedies)
        noise = torch.stack([draw_noise(0, k, len(prior.mean)) for k in range(NOISES)]).to(prior.mean.device)
        x = model(noise, noise.new_tensor(LEVEL), sampler.encoded, sampler.evidence).mean(0, keepdim=True)
        x = sampler.mend(x)
        if not torch.isfinite(x).all():
            raise RequestError("bad_weights", "The network gave no numbers.", "Train it again.")
        palm = template.decoder @ x.unflatten(-1, (-1, 3))
        vertices = observation.frame.to_world(observation.aligned(x, palm)).cpu().numpy()
        return vertices, (self.engine.arrays.regressor @ vertices).astype(np.float32)
