"""Condition-aligned gradient guidance (paper, Eq. 4) in three forms, each around an x0-predicting callable.

`preconditioned` moves the whole hand by the prior's covariance and stops at the observation's noise;
`plain_x0` is the gradient with respect to x0_hat; `through_network` the gradient with respect to x_t. The
last two are the paper's and stay for the ablation: they move only what the operator touches (engine.md).
"""

from __future__ import annotations

import torch
from torch import Tensor

from .gaussian import Evidence, GaussianPrior
from .samplers import Denoise


def preconditioned(denoise: Denoise, prior: GaussianPrior, evidence: Evidence) -> Denoise:
    """x0_hat - K_t (A x0_hat - y): one solve a step for all hypotheses."""

    def guided(x: Tensor, alpha_bar: Tensor) -> Tensor:
        x0 = denoise(x, alpha_bar)
        return prior.correct(x0, evidence, prior.factor(alpha_bar.clamp_max(1 - 1e-5), evidence))

    return guided


def plain_x0(denoise: Denoise, operator: Tensor, target: Tensor, sigma: Tensor, rounds: int = 10) -> Denoise:
    """`rounds` steps of steepest descent on |A x0 - y|^2 / sigma^2: operator [M,P], target and sigma [M]."""
    weighted = operator / sigma[:, None]
    step = 1 / torch.linalg.matrix_norm(weighted, 2) ** 2

    def guided(x: Tensor, alpha_bar: Tensor) -> Tensor:
        x0 = denoise(x, alpha_bar)
        for _ in range(rounds):
            x0 = x0 - step * ((x0 @ weighted.T - target / sigma) @ weighted)
        return x0

    return guided


def through_network(denoise: Denoise, operator: Tensor, target: Tensor, sigma: Tensor) -> Denoise:
    """One normalised gradient step on x_t through the network, then x0_hat anew; stops at the noise level.

    The step length is the Cauchy point of the residual along its own gradient: two evaluations a step.
    """
    weighted = operator / sigma[:, None]

    def guided(x: Tensor, alpha_bar: Tensor) -> Tensor:
        with torch.enable_grad():
            state = x.detach().requires_grad_(True)
            x0 = denoise(state, alpha_bar)
            residual = x0 @ weighted.T - target / sigma
            energy = 0.5 * (residual**2).sum(-1)
            (gradient,) = torch.autograd.grad(energy.sum(), state)
        excess = (energy - 0.5 * len(target)).clamp_min(0)
        length = excess / (gradient**2).sum(-1).clamp_min(1e-12)
        return denoise(x - length[:, None] * gradient, alpha_bar).detach()

    return guided
