"""Draws of hands in the palm frame: one observation, one seed, many hypotheses."""

from __future__ import annotations

from collections.abc import Callable, Iterable
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
from .selection import apart

# Draws are made in batches of this size, padded, so that draw k is the same bytes however many are asked for.
BATCH = 8
# Log-SNR of the first and the last denoising step. At the first, the hand's Gaussian still describes it
# (its widest direction has a signal-to-noise ratio of 1/2), so sampling starts there, from the conditioned
# Gaussian's exact marginal. What is finer than the last is not drawn: it is less than the noise of what is
# given, and comes out as its mean. docs/development.md has what else was tried.
FIRST, LAST = -4.0, 5.0
# A solver's first steps lose some of the spread, the more the fewer there are: draws start from
# 1 + this / steps times the noise. Chosen on validation hands with three fingers hidden: the central 90 % of
# the draws then hold the truth as often with 4 steps as with 10, and the energy score is no worse.
WIDENING = 0.4
FEWEST = 4  # steps that this was looked at for

# Mends states [n,P] that the prior describes, as far as evidence of this precision leaves it open.
Remedy = Callable[[Tensor, GaussianPrior, Tensor], Tensor]


@dataclass(frozen=True)
class Draws:
    """Node states [n,3N] in the palm frame, and how far they lie from others [n] (selection.apart)."""

    x: Tensor
    apart: np.ndarray


class Sampler:
    """Everything a request's draws share: the evidence, the encoded conditions, the guided denoiser."""

    def __init__(
        self,
        template: HandTemplate,
        prior: GaussianPrior,
        network: tuple[GraphDenoiser, Schedule] | None,
        observation: Observation,
        request: Request,
        remedies: Iterable[Remedy] = (),
    ) -> None:
        """template as tensors; network None draws from the conditioned Gaussian.

        remedies: what mends the draws, in turn.
        """
        self.prior, self.request, self.observation = prior, request, observation
        self.remedies = tuple(remedies)
        self.rows = template.regressor @ template.decoder
        self.evidence = observation.evidence(prior)
        self.network = network
        if network is not None:
            model, self.schedule = network
            self.encoded = model.encode(_conditions(template, observation), 1)
            self.told_nothing = model.encode(_conditions(template, observe_nothing(template)), 1)
            self.denoise = self._guided()

    def draw(self, count: int, on_step: Callable[[int, int, Tensor], None]) -> Draws:
        """`count` draws; on_step(done, total, states of the batch at hand).

        Where something was observed, the first one starts without noise: it is the likeliest, the one answer.
        """
        batches = -(-count // BATCH)
        states = [self.mend(self._batch(i, batches, on_step)) for i in range(batches)]
        joints = np.concatenate([self._joints(x) for x in states])
        return Draws(torch.cat(states)[:count], apart(joints, BATCH)[:count])

    def mend(self, x: Tensor) -> Tensor:
        """States [n,3N] after all remedies."""
        for remedy in self.remedies:
            x = remedy(x, self.prior, self.evidence.precision)
        return x

    def _joints(self, x: Tensor) -> np.ndarray:
        """Joints [BATCH,21,3] in millimetres, each hand brought onto what was observed."""
        joints = self.observation.aligned(x, self.rows @ x.unflatten(-1, (-1, 3)))
        return joints.cpu().numpy() * np.float32(UNIT * 1e3)

    def _batch(self, index: int, batches: int, on_step: Callable[[int, int, Tensor], None]) -> Tensor:
        size, rank = len(self.prior.mean), self.prior.rank
        seed, draws = self.request.seed, range(index * BATCH, (index + 1) * BATCH)
        noise = torch.stack([draw_noise(seed, draw, size + rank) for draw in draws])
        noise = noise.to(self.prior.mean.device)
        if self.network is not None:
            noise = noise * (1 + WIDENING / max(self.request.steps, FEWEST))
        if index == 0 and self.observation.points is not None:
            noise[0] = 0
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
