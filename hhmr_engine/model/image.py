"""The photo as tokens (paper, "Condition Mapping"): a CNN's patches -> ViT -> c_I = [global; patches].

And what a photo alone says of the rotation, which the diffusion of the rotation can start from.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .blocks import Attention

GRID = 7
PATCHES = GRID * GRID

LOG_CONCENTRATION = (-2.0, 8.0)  # from hardly anything known to a deviation of 1 degree
MASK_BLOCK = 0.3  # share of pictures with a rectangle of patches masked, besides the single ones


class ViTBlock(nn.Module):
    """Pre-norm self-attention and MLP, both residual (Dosovitskiy et al. 2021, arXiv:2010.11929)."""

    def __init__(self, channels: int, head: int, dropout: float) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(channels)
        self.attention = Attention(channels, channels, head)
        self.norm_mlp = nn.LayerNorm(channels)
        self.mlp = nn.Sequential(
            nn.Linear(channels, 4 * channels),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(4 * channels, channels),
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm_attention(x)
        x = x + self.dropout(self.attention(h, self.attention.memory(h)))
        return x + self.dropout(self.mlp(self.norm_mlp(x)))


class ImageEncoder(nn.Module):
    """Patch features [B,P,F] of a trunk (vision/trunks.py), row by row -> c_I [B,1+P,C], global token first.

    A masked patch is replaced by a learned token and keeps its place, so the ViT can guess it from its
    neighbours and nothing behind needs a mask of patches. The trunk's features come as they are: the
    LayerNorm in front brings any trunk to one scale. Dropout acts on the residual branches.
    """

    def __init__(
        self, features: int, channels: int = 128, depth: int = 3, head: int = 32, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.norm_patch = nn.LayerNorm(features)
        self.embed = nn.Linear(features, channels)
        self.masked = nn.Parameter(torch.randn(channels) * 0.02)
        self.whole = nn.Parameter(torch.randn(1, 1, channels) * 0.02)
        self.place = nn.Parameter(torch.randn(PATCHES, channels) * 0.1)
        self.blocks = nn.ModuleList(ViTBlock(channels, head, dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(channels)

    def forward(self, patches: Tensor, seen: Tensor) -> Tensor:
        """patches [B,49,F], seen [B,49] bool -> [B,50,C]. What stands in a masked patch does not matter."""
        seen = seen[..., None]
        h = self.embed(self.norm_patch(torch.where(seen, patches, torch.zeros_like(patches))))
        h = torch.where(seen, h, self.masked) + self.place
        h = torch.cat([self.whole.expand(len(h), -1, -1), h], 1)
        for block in self.blocks:
            h = block(h)
        return self.norm(h)


@dataclass(frozen=True)
class RotationGuess:
    """rotation [B,3,3]: palm frame -> camera axes of the crop (x right, y down, z away).

    log_concentration [B]: ln k of the density exp(-k (1 - cos angle)) about it.
    """

    rotation: Tensor
    log_concentration: Tensor

    @property
    def sigma(self) -> Tensor:
        """[B] radians about every axis; within a few percent up to 20 degrees."""
        return torch.exp(-0.5 * self.log_concentration)


class PoseHead(nn.Module):
    """Global token [B,C] -> RotationGuess: two columns by Gram-Schmidt (Zhou et al. 2019)."""

    def __init__(self, channels: int = 128) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(channels, 2 * channels), nn.GELU(), nn.Linear(2 * channels, 7))
        last = self.mlp[-1]
        assert isinstance(last, nn.Linear)
        with torch.no_grad():  # starts at fingers up, the palm away from the camera, and unsure
            last.weight *= 0.1
            last.bias.copy_(torch.tensor([1.0, 0.0, 0.0, 0.0, -1.0, 0.0, -1.0]))

    def forward(self, token: Tensor) -> RotationGuess:
        out = self.mlp(token)
        low, high = LOG_CONCENTRATION
        return RotationGuess(gram_schmidt(out[:, :6]), low + (high - low) * torch.sigmoid(out[:, 6]))


def gram_schmidt(columns: Tensor) -> Tensor:
    """Two columns [...,6] of any length -> rotations [...,3,3] with them first."""
    x = F.normalize(columns[..., :3], dim=-1)
    y = columns[..., 3:]
    y = F.normalize(y - (x * y).sum(-1, keepdim=True) * x, dim=-1)
    return torch.stack([x, y, torch.linalg.cross(x, y)], -1)


def rotation_loss(guess: RotationGuess, rotation: Tensor) -> Tensor:
    """Negative log likelihood [B] of the true rotations [B,3,3], in nats; 0 is knowing nothing.

    The isotropic matrix Fisher distribution (Downs 1972), k times the cosine of the angle between the two,
    against the uniform distribution on SO(3). Its normaliser has a closed form, and nothing in it is singular
    at 0 or 180 degrees.
    """
    log_k = guess.log_concentration.double()
    k = log_k.exp()
    gap = 0.25 * ((guess.rotation - rotation) ** 2).sum((-1, -2))  # 1 - cos angle
    normaliser = torch.special.i0e(k) - torch.special.i1e(k)  # exp(-k) of the mean of exp(k cos angle)
    return (k * gap.double() + torch.log(normaliser)).to(gap.dtype)


def mask_patches(batch: int, generator: torch.Generator, share: float = 0.5) -> Tensor:
    """Which patches are seen [batch,49] bool: a random share of up to `share` is not.

    Now and then a rectangle, 2 to 4 patches wide and high, goes besides: as an occluder takes it.
    """

    def uniform(*shape: int) -> Tensor:
        return torch.rand(batch, *shape, generator=generator, device=generator.device)

    seen = uniform(PATCHES) >= share * uniform(1)
    low = (uniform(2) * (GRID - 1)).long()
    high = low + 2 + (uniform(2) * 3).long()
    cell = torch.arange(GRID, device=generator.device)
    inside = (cell >= low[..., None]) & (cell < high[..., None])  # [batch,2,GRID]
    block = (inside[:, 0, :, None] & inside[:, 1, None, :]).flatten(1)
    return seen & ~(block & (uniform(1) < MASK_BLOCK))
