"""The noise schedule ends in pure noise, exactly, and can be inverted."""

from __future__ import annotations

import math

import pytest
import torch

from hhmr_engine.diffusion.schedule import Schedule


@pytest.mark.parametrize("shift", [0.5, 1.0, 3.0])
def test_from_clean_to_pure_noise(shift: float) -> None:
    schedule = Schedule(shift)
    level = schedule.alpha_bar(torch.linspace(0, 1, 1001))
    assert float(level[0]) == 1.0
    assert float(level[-1]) == 0.0  # zero terminal SNR
    assert (level.diff() < 0).all()


def test_a_shift_of_one_is_the_cosine() -> None:
    t = torch.linspace(0, 0.99, 50, dtype=torch.float64)
    torch.testing.assert_close(Schedule(1.0).alpha_bar(t), torch.cos(t * math.pi / 2) ** 2)


@pytest.mark.parametrize("log_snr", [-12.0, -1.5, 0.0, 7.5])
def test_time_inverts_alpha_bar(log_snr: float) -> None:
    schedule = Schedule(3.0)
    level = schedule.alpha_bar(torch.tensor(schedule.time(log_snr), dtype=torch.float64))
    assert abs(float(torch.logit(level)) - log_snr) < 1e-6


def test_the_grid_is_even_in_log_snr_and_ends_clean() -> None:
    levels = Schedule().grid(6, -1.5, 7.5)
    assert len(levels) == 7 and float(levels[-1]) == 1.0
    torch.testing.assert_close(
        torch.logit(levels[:-1].double()).diff(), torch.full((5,), 1.8).double(), atol=1e-3, rtol=0
    )


def test_a_grid_from_infinity_starts_at_pure_noise() -> None:
    levels = Schedule().grid(5, -math.inf, 7.5)
    assert float(levels[0]) == 0.0 and (levels.diff() > 0).all()


def test_a_single_step_is_possible() -> None:
    levels = Schedule().grid(1, -1.5, 7.5)
    assert len(levels) == 2 and float(levels[-1]) == 1.0
