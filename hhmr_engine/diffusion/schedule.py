"""The noise schedule: a shifted cosine in log-SNR with zero terminal SNR (x_1 is pure noise)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Schedule:
    """alpha_bar(t) for t in [0,1]: Nichol & Dhariwal's cosine, shifted.

    log-SNR = -2 log tan(pi t / 2) + 2 log shift.
    `shift` moves the middle of the schedule to where data of our variance lose their shape.
    """

    shift: float = 3.0

    def alpha_bar(self, t: Tensor) -> Tensor:
        """The share of signal variance left at t; 1 at t = 0 and exactly 0 at t = 1."""
        cosine, sine = torch.cos(t * math.pi / 2), torch.sin(t * math.pi / 2)
        signal = (self.shift * cosine) ** 2
        result = signal / (signal + sine**2)
        return torch.where(t >= 1, torch.zeros_like(result), result)

    def time(self, log_snr: float) -> float:
        """The t at which log-SNR has the given value."""
        return 2 / math.pi * math.atan(self.shift * math.exp(-log_snr / 2))

    def grid(self, steps: int, first: float, last: float) -> Tensor:
        """alpha_bar at `steps` + 1 levels: from log-SNR `first` evenly to `last`, then the clean 1.

        `first` = -inf starts at pure noise.
        """
        start = max(first, -14.0)
        log_snr = torch.linspace(start, last, steps, dtype=torch.float64)
        levels = torch.sigmoid(log_snr)
        if math.isinf(first):
            levels[0] = 0.0
        return torch.cat([levels, torch.ones(1, dtype=torch.float64)]).float()
