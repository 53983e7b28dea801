"""What a camera and a file do to a picture: motion, exposure, noise, compression, few pixels."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from .dice import Dice


def motion_blur(layer: Tensor, shift: Tensor) -> Tensor:
    """Pictures [B,H,W,C] smeared along `shift [B,2]` (x, y pixels from end to end), linearly."""
    blurred = layer.clone()
    for i, (x, y) in enumerate(shift.tolist()):
        steps = int(max(abs(x), abs(y)))
        if steps < 1:
            continue
        total = layer[i].clone()
        for k in range(1, steps + 1):
            part = k / steps - 0.5
            total += torch.roll(layer[i], (round(part * y), round(part * x)), (0, 1))
        blurred[i] = total / (steps + 1)
    return blurred


def compress(picture: Tensor, quality: Tensor) -> Tensor:
    """Pictures [B,H,W,3] of display values in [0,1] with blocks' small waves rounded away, as JPEG has it.

    quality [B]: the step by which the lowest waves are rounded, in parts of white.
    """
    count, height, width, _ = picture.shape
    rows, columns = -height % 8, -width % 8
    padded = F.pad(picture.permute(0, 3, 1, 2), (0, columns, 0, rows), mode="replicate")
    wave = _cosines(picture.device)
    blocks = padded.unfold(2, 8, 8).unfold(3, 8, 8)
    spectrum = wave @ blocks @ wave.T
    order = torch.arange(8, device=picture.device)
    step = quality[:, None, None, None, None, None] * (1 + 0.75 * (order[:, None] + order[None]))
    spectrum = (spectrum / step).round() * step
    blocks = wave.T @ spectrum @ wave
    whole = blocks.permute(0, 1, 2, 4, 3, 5).reshape(count, 3, height + rows, width + columns)
    return whole[:, :, :height, :width].permute(0, 2, 3, 1)


def _cosines(device: torch.device) -> Tensor:
    """The orthonormal discrete cosine transform of 8 samples."""
    k = torch.arange(8, device=device, dtype=torch.float32)
    wave = torch.cos(math.pi / 8 * (k[None] + 0.5) * k[:, None]) / 2
    wave[0] /= math.sqrt(2)
    return wave


class Grain:
    """Sensor noise out of one long stretch, some of it soft, as cameras' denoisers leave it."""

    def __init__(self, dice: Dice) -> None:
        self.fine = dice.normal(1 << 20)
        soft = self.fine + torch.roll(self.fine, 3) + torch.roll(self.fine, -3)  # of pixels beside each other
        self.soft = soft / soft.std()

    def add(self, picture: Tensor, sigma: Tensor, dice: Dice) -> None:
        """Add noise of sigma [B] to pictures [B,H,W,3] (in place)."""
        size = picture[0].numel()
        long = -(-(size + 1) // len(self.fine))
        starts = dice.whole(len(picture), below=long * len(self.fine) - size).tolist()
        soft = dice.chance(len(picture), share=0.5).tolist()
        for i, start in enumerate(starts):
            noise = self.soft if soft[i] else self.fine
            noise = (noise if long == 1 else noise.repeat(long))[start : start + size]
            picture[i].add_(noise.view_as(picture[i]) * sigma[i])
