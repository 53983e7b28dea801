"""What the paper compares with: fitting the PCA prior with L-BFGS, one restart per hypothesis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..diffusion.gaussian import GaussianPrior
from ..hand.rotation import procrustes, rotation_matrix
from ..hand.template import HandTemplate


@dataclass(frozen=True)
class LbfgsSettings:
    """start: deviation of the coefficients at which a restart begins; sigma: mm, the joints' noise."""

    iterations: int = 60
    start: float = 1.0
    sigma: float = 1.0

    def __str__(self) -> str:
        return f"{self.iterations} iterations from {self.start:g} deviations, noise {self.sigma:g} mm"


class PcaFit:
    """Coefficients of the posed-shape basis and a similarity, fitted to joints by torch's L-BFGS."""

    def __init__(
        self, template: HandTemplate, prior: GaussianPrior, settings: LbfgsSettings | None = None
    ) -> None:
        """template as tensors; prior: the Gaussian on its nodes."""
        self.template, self.prior, self.settings = template, prior, settings or LbfgsSettings()
        rows = template.regressor @ template.decoder  # [21,N]
        self.mean = rows @ prior.mean.reshape(-1, 3)
        self.modes = torch.einsum("jn,rnc->rjc", rows, prior.scaled.unflatten(1, (-1, 3)))

    def fit(self, joints: np.ndarray, restarts: int, seed: int = 0) -> np.ndarray:
        """Vertices [restarts,V,3] for joints [21,3] in metres, NaN = unknown; one after the other."""
        target = torch.from_numpy(np.asarray(joints, np.float32))
        generator = torch.Generator().manual_seed(seed)
        starts = self.settings.start * torch.randn(restarts, self.prior.rank, generator=generator)
        return torch.stack([self._fit_once(target, start) for start in starts]).numpy()

    def _fit_once(self, target: Tensor, start: Tensor) -> Tensor:
        known = torch.isfinite(target).all(1)
        goal, mean, modes = target[known], self.mean[known], self.modes[:, known]
        scale, turn, shift = procrustes(mean, goal, torch.ones(len(goal)))
        u = start.clone().requires_grad_()
        frame = torch.zeros(
            7, requires_grad=True
        )  # rotation vector, translation, log scale, beside that start
        solver = torch.optim.LBFGS(
            [u, frame], max_iter=self.settings.iterations, history_size=20, line_search_fn="strong_wolfe"
        )

        def placed(points: Tensor) -> Tensor:
            grown = torch.exp(frame[6]) * points @ rotation_matrix(frame[:3]).T + frame[3:6]
            return scale * grown @ turn.T + shift

        def loss() -> Tensor:
            solver.zero_grad()
            off = placed(mean + torch.einsum("r,rjc->jc", u, modes)) - goal
            value = 0.5 * ((1e3 * off / self.settings.sigma) ** 2).sum() + 0.5 * (u**2).sum()
            value.backward()
            return value

        with torch.enable_grad():
            solver.step(loss)
        with torch.no_grad():
            nodes = self.prior.expand(u).reshape(-1, 3)
            return placed(self.template.decoder @ nodes)
