"""DDIM and DPM-Solver++(2M) against a Gaussian, whose x0-prediction and trajectories are known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from hhmr_engine.diffusion.samplers import ddim, dpm_solver_pp_2m
from hhmr_engine.diffusion.schedule import Schedule

MEAN = torch.tensor([2.0, -1.0, 0.5], dtype=torch.float64)
DEVIATION = torch.tensor([0.3, 1.0, 0.05], dtype=torch.float64)
SAMPLERS = [ddim, dpm_solver_pp_2m]


def _spread(level: Tensor) -> Tensor:
    """Standard deviation of x_t, per dimension."""
    return (level * DEVIATION**2 + 1 - level).sqrt()


def _denoise(x: Tensor, level: Tensor) -> Tensor:
    """E[x0 | x_t] of the Gaussian."""
    return MEAN + level.sqrt() * DEVIATION**2 / _spread(level) ** 2 * (x - level.sqrt() * MEAN)


def _levels(steps: int, first: float = -math.inf) -> Tensor:
    return Schedule().grid(steps, first, 9.0).double()


def _start(level: Tensor, count: int = 2000) -> tuple[Tensor, Tensor]:
    """x at the first level and where the exact probability flow takes it."""
    z = torch.randn(count, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    z = (z - z.mean(0)) / z.std(0)
    return level.sqrt() * MEAN + _spread(level) * z, MEAN + DEVIATION * z


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("first", [-math.inf, -1.5])
def test_many_steps_reach_the_distribution(sampler, first: float) -> None:
    levels = _levels(200, first)
    x = sampler(_denoise, _start(levels[0])[0], levels)
    torch.testing.assert_close(x.mean(0), MEAN, atol=2e-3, rtol=0)
    torch.testing.assert_close(x.std(0), DEVIATION, atol=0, rtol=0.05)


def test_ten_second_order_steps_beat_ten_of_ddim() -> None:
    levels = _levels(10, -6.0)
    x, exact = _start(levels[0])
    error = [float((sampler(_denoise, x, levels) - exact).abs().mean()) for sampler in SAMPLERS]
    assert error[1] < 0.5 * error[0]


@pytest.mark.parametrize(("sampler", "order"), [(ddim, 1), (dpm_solver_pp_2m, 2)])
def test_order_of_convergence(sampler, order: int) -> None:
    """Halving the step halves DDIM's error and quarters DPM-Solver++'s, on levels that are not even."""

    def error(steps: int) -> float:
        share = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
        levels = torch.sigmoid(-3 + 2 * share + 4 * share**3)
        x, _ = _start(levels[0], 10)
        z = (x - levels[0].sqrt() * MEAN) / _spread(levels[0])
        exact = levels[-1].sqrt() * MEAN + _spread(levels[-1]) * z
        return float((sampler(_denoise, x, levels) - exact).abs().max())

    measured = math.log2(error(40) / error(80))
    assert abs(measured - order) < 0.35


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_one_exact_answer_is_returned_exactly(sampler) -> None:
    """The last step leaves no noise: what the denoiser says at the end is the result, bit by bit."""
    answers: list[Tensor] = []

    def denoise(x: Tensor, level: Tensor) -> Tensor:
        answers.append(torch.sin(x + level))
        return answers[-1]

    levels = _levels(5)
    x = sampler(denoise, _start(levels[0])[0], levels)
    assert len(answers) == 5 and torch.equal(x, answers[-1])


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_constant_answer_is_kept_and_epsilon_is_not_forgotten(sampler) -> None:
    """With a fixed x0, every state stays x_t = alpha x0 + sigma eps with the eps of the start."""
    levels = _levels(8, -4.0)
    eps = torch.randn(4, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    seen: list[tuple[Tensor, Tensor]] = []

    def denoise(x: Tensor, level: Tensor) -> Tensor:
        seen.append((x, level))
        return MEAN.expand_as(x)

    sampler(denoise, levels[0].sqrt() * MEAN + (1 - levels[0]).sqrt() * eps, levels)
    for x, level in seen:
        torch.testing.assert_close(x, level.sqrt() * MEAN + (1 - level).sqrt() * eps)


def test_ancestral_noise_keeps_the_marginal() -> None:
    """eta = 1: fresh noise in every step but the last, of the right size; seeds decide it."""
    levels = _levels(100)
    x = _start(levels[0])[0]

    def run(seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return ddim(
            _denoise, x, levels, eta=1.0, noise=lambda k: torch.randn(x.shape, generator=generator).double()
        )

    one, other = run(1), run(2)
    assert torch.equal(one, run(1)) and (one - other).abs().mean() > 0.1
    torch.testing.assert_close(one.mean(0), MEAN, atol=0.08, rtol=0)
    torch.testing.assert_close(one.std(0), DEVIATION, atol=0, rtol=0.08)


def test_eta_without_a_source_of_noise_is_refused() -> None:
    levels = _levels(3)
    with pytest.raises(ValueError, match="source of noise"):
        ddim(_denoise, _start(levels[0])[0], levels, eta=0.5)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_on_step_sees_every_answer_and_may_stop(sampler) -> None:
    class Enough(Exception):
        pass

    seen: list[int] = []

    def on_step(k: int, x0: Tensor) -> None:
        assert torch.isfinite(x0).all()
        seen.append(k)
        if k == 2:
            raise Enough

    levels = _levels(6)
    with pytest.raises(Enough):
        sampler(_denoise, _start(levels[0])[0], levels, on_step=on_step)
    assert seen == [0, 1, 2]
