"""Samplers as pure functions over a callable that predicts x0. They know neither networks nor hands.

`denoise(x, alpha_bar)` gives x0_hat for x [n,...] at the scalar level alpha_bar. `levels` are alpha_bar from
noisy to clean; the last one is exactly 1, so the result is the last x0_hat. `on_step(k, x0_hat)` may raise to
stop.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Denoise = Callable[[Tensor, Tensor], Tensor]
OnStep = Callable[[int, Tensor], None]


def ddim(
    denoise: Denoise,
    x: Tensor,
    levels: Tensor,
    eta: float = 0.0,
    noise: Callable[[int], Tensor] | None = None,
    on_step: OnStep | None = None,
) -> Tensor:
    """DDIM (Song et al. 2021; engine.md, formula 2). `noise(k)` gives z of step k, needed for eta > 0."""
    for k, (now, following) in enumerate(zip(levels[:-1], levels[1:], strict=True)):
        x0 = denoise(x, now)
        if on_step:
            on_step(k, x0)
        if following >= 1:
            return x0
        epsilon = (x - now.sqrt() * x0) / (1 - now).sqrt()
        sigma = eta * ((1 - following) / (1 - now)).sqrt() * (1 - now / following).sqrt()
        x = following.sqrt() * x0 + (1 - following - sigma**2).clamp_min(0).sqrt() * epsilon
        if eta > 0:
            if noise is None:
                raise ValueError("eta > 0 needs a source of noise.")
            x = x + sigma * noise(k)
    return x


def dpm_solver_pp_2m(denoise: Denoise, x: Tensor, levels: Tensor, on_step: OnStep | None = None) -> Tensor:
    """DPM-Solver++(2M) (Lu et al. 2022, algorithm 2), first order at both ends.

    With lambda = log(alpha / sigma) and h its step: x <- sigma_s / sigma_t x + alpha_s (1 - e^-h) D, where D
    extrapolates x0_hat from the last two steps.
    """
    previous: Tensor | None = None
    last_h: Tensor | None = None
    for k, (now, following) in enumerate(zip(levels[:-1], levels[1:], strict=True)):
        x0 = denoise(x, now)
        if on_step:
            on_step(k, x0)
        if following >= 1:
            return x0
        h = 0.5 * (torch.logit(following) - torch.logit(now)) if now > 0 else torch.tensor(torch.inf)
        estimate = x0
        if previous is not None and last_h is not None and torch.isfinite(last_h):
            ratio = last_h / h
            estimate = x0 + (x0 - previous) / (2 * ratio)
        x = ((1 - following) / (1 - now)).sqrt() * x - following.sqrt() * torch.expm1(-h) * estimate
        previous, last_h = x0, h
    return x
