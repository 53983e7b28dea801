"""Noise with the spectra of nature: 1/f pictures, smooth solid noise."""

from __future__ import annotations

import torch
from torch import Tensor

from .dice import Dice


def power_noise(count: int, side: int, exponent: float, dice: Dice) -> Tensor:
    """[count,side,side] of unit variance whose amplitude falls with frequency to the power of `exponent`."""
    wave = torch.fft.rfft2(dice.normal(count, side, side))
    row = torch.fft.fftfreq(side, 1 / side, device=wave.device)[:, None]
    column = torch.fft.rfftfreq(side, 1 / side, device=wave.device)[None]
    frequency = (row.square() + column.square()).sqrt().clamp_min(1.0)
    field = torch.fft.irfft2(wave * frequency**-exponent, s=(side, side))
    field = field - field.mean((1, 2), keepdim=True)
    return field / field.std((1, 2), keepdim=True).clamp_min(1e-9)


def solid_noise(points: Tensor, wavelength: float, dice: Dice, waves: int = 16) -> Tensor:
    """Smooth noise [P] of about unit variance at `points [P,3]`: a sum of plane waves."""
    spread = torch.exp(dice.uniform(waves, low=-0.35, high=0.35))
    wave = dice.directions(waves) * (2 * torch.pi / wavelength * spread)[:, None]
    phase = dice.uniform(waves, high=2 * torch.pi)
    return torch.cos(points @ wave.T + phase).sum(1) * (2 / waves) ** 0.5
