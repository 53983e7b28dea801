"""Draws of hands in the palm frame: one observation, one seed, many hypotheses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .diffusion.gaussian import GaussianPrior
from .diffusion.guidance import plain_x0, preconditioned, through_network
from .diffusion.samplers import Denoise, ddim, dpm_solver_pp_2m
from .diffusion.schedule import Schedule
from .hand.template import UNIT, HandTemplate
from .model.conditions import Conditions
from .model.graph_unet import GraphDenoiser
from .observation import Observation, observe_nothing
from .request import Request

# Draws are made in batches of this size, padded, so that draw k is the same bytes however many are asked for.
BATCH = 8
# Log-SNR of the first and the last denoising step. At the first, the hand's Gaussian still describes it
# well (its widest direction has a signal-to-noise ratio of about 1), so sampling starts there, from the
# conditioned Gaussian's exact marginal: pure noise (-inf) costs steps and diversity.
FIRST, LAST = -2.5, 7.0
# Where a finished hand is re-noised to see whether the network agrees with it.
CONSISTENCY = 3.0


@dataclass(frozen=True)
class Draws:
    """Node states [n,3N] in the palm frame and their self-consistency [n] in millimetres at hand size."""

    x: Tensor
    consistency: np.ndarray


class Sampler:
    """Everything a request's draws share: the evidence, the encoded conditions, the guided denoiser."""

    def __init__(
        self,
        template: HandTemplate,
        prior: GaussianPrior,
        network: tuple[GraphDenoiser, Schedule] | None,
        observation: Observation,
        request: Request,
    ) -> None:
        """template as tensors; network None draws from the conditioned Gaussian."""
        self.prior, self.request, self.observation = prior, request, observation
        self.evidence = observation.evidence(prior)
        self.network = network
        if network is not None:
            model, self.schedule = network
            self.encoded = model.encode(_conditions(template, observation), 1)
            self.told_nothing = model.encode(_conditions(template, observe_nothing(template)), 1)
            self.denoise = self._guided()

    def draw(self, count: int, on_step: Callable[[int, int, Tensor], None]) -> Draws:
        """`count` draws; on_step(done, total, states of the batch at hand)."""
        batches = -(-count // BATCH)
        states = [self._batch(i, batches, on_step) for i in range(batches)]
        consistency = np.concatenate([self._consistency(x) for x in states])
        return Draws(torch.cat(states)[:count], consistency[:count])

    def _batch(self, index: int, batches: int, on_step: Callable[[int, int, Tensor], None]) -> Tensor:
        size, rank = len(self.prior.mean), self.prior.rank
        seed, draws = self.request.seed, range(index * BATCH, (index + 1) * BATCH)
        noise = torch.stack([draw_noise(seed, draw, size + rank) for draw in draws])
        noise = noise.to(self.prior.mean.device)
        white, coefficients = noise[:, :size], noise[:, size:]
        start = self.prior.sample(self.evidence, coefficients)
        total = batches * self.request.steps
        if self.network is None:
            on_step((index + 1) * self.request.steps, total, start)
            return start
        levels = self.schedule.grid(self.request.steps, FIRST, LAST).to(white.device)
        x = levels[0].sqrt() * start + (1 - levels[0]).sqrt() * white
        solver = ddim if self.request.sampler == "ddim" else dpm_solver_pp_2m
        before = index * self.request.steps + 1
        return solver(self.denoise, x, levels, on_step=lambda k, x0: on_step(before + k, total, x0))

    def _predict(self, x: Tensor, alpha_bar: Tensor) -> Tensor:
        assert self.network is not None
        model, weight = self.network[0], self.request.condition_weight
        x0 = model(x, alpha_bar, self.encoded, self.evidence)
        if weight == 1 or self.observation.points is None:
            return x0
        without = model(x, alpha_bar, self.told_nothing, self.prior.nothing())
        return without + weight * (x0 - without)

    def _guided(self) -> Denoise:
        o, kind = self.observation, self.request.guidance
        if kind == "none" or o.points is None:
            return self._predict
        if kind == "preconditioned":
            return preconditioned(self._predict, self.prior, self.evidence)
        target, sigma = o.target.flatten(), o.sigma.repeat_interleave(3)
        form = plain_x0 if kind == "x0" else through_network
        return form(self._predict, o.points.flat(), target, sigma)

    def _consistency(self, x: Tensor) -> np.ndarray:
        """How far the network moves a draw that is re-noised a little: it changes what it would not say.

        x is a whole batch, so that a draw's figure is the same bytes however many are asked for. The
        Gaussian's own measure, without a network, is how unlikely its coefficients are.
        """
        if self.network is None:
            u = self.prior.coefficients(x) / self.prior.variance
            return ((u**2).mean(1).sqrt()).cpu().numpy()
        level = torch.sigmoid(torch.tensor(CONSISTENCY, device=x.device))
        noise = draw_noise(0, 0, x.shape[1]).to(x.device)
        moved = self._predict(level.sqrt() * x + (1 - level).sqrt() * noise, level) - x
        distance = moved.unflatten(1, (-1, 3)).norm(dim=2).mean(1)
        return (distance * UNIT * 1e3).cpu().numpy()


def draw_noise(seed: int, draw: int, size: int) -> Tensor:
    """Standard normal noise [size] of one draw of a seed, the same on every device."""
    key = np.random.SeedSequence((seed, draw)).generate_state(2, np.uint64)[0]
    generator = torch.Generator().manual_seed(int(key >> np.uint64(1)))
    return torch.randn(size, generator=generator)


def _conditions(template: HandTemplate, observation: Observation) -> Conditions:
    """The observation as the network's conditions, a batch of one."""
    return Conditions(
        joints=observation.joints[None],
        joint_sigma=observation.joint_sigma[None],
        kept=observation.kept[template.nodes][None],
    )
