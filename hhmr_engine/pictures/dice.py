"""Random numbers from one seed, the same on every device."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


class Dice:
    """Draws on the CPU and moves to `device`, so that a seed means the same picture everywhere."""

    def __init__(self, *seed: int, device: str | torch.device = "cpu") -> None:
        mixed = int(np.random.SeedSequence([abs(s) for s in seed]).generate_state(1, np.uint64)[0]) >> 1
        self.generator = torch.Generator().manual_seed(mixed)
        self.device = torch.device(device)

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        drawn = torch.rand(shape, generator=self.generator) * (high - low) + low
        return drawn.to(self.device)

    def normal(self, *shape: int, sigma: float = 1.0) -> Tensor:
        return (torch.randn(shape, generator=self.generator) * sigma).to(self.device)

    def whole(self, *shape: int, below: int) -> Tensor:
        """Whole numbers from 0 to below - 1."""
        return torch.randint(0, below, shape, generator=self.generator).to(self.device)

    def chance(self, *shape: int, share: float) -> Tensor:
        """True in `share` of the cases."""
        return self.uniform(*shape) < share

    def directions(self, *shape: int) -> Tensor:
        """Unit vectors `[*shape, 3]`, all directions alike."""
        return torch.nn.functional.normalize(self.normal(*shape, 3), dim=-1)

    def number(self, low: float = 0.0, high: float = 1.0) -> float:
        return float(torch.rand((), generator=self.generator)) * (high - low) + low

    def choose(self, below: int) -> int:
        return int(torch.randint(0, below, (), generator=self.generator))
