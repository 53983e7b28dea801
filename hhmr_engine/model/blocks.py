"""One block of the graph U-Net: Chebyshev convolution -> self-attention -> cross-attention, all residual."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .chebyshev import ChebyshevConvolution


class Attention(nn.Module):
    """Multi-head attention of queries [B,N,C] over tokens [B,M,T]; `mask` [B,M]: True = may be seen."""

    def __init__(self, channels: int, token_channels: int, head_channels: int) -> None:
        super().__init__()
        self.heads = max(1, channels // head_channels)
        self.query = nn.Linear(channels, channels)
        self.key_value = nn.Linear(token_channels, 2 * channels)
        self.out = nn.Linear(channels, channels)
        with torch.no_grad():
            self.out.weight *= 0.3

    def memory(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values [B,heads,M,C/heads]: made once a request and kept over all steps."""
        key, value = self.key_value(tokens).chunk(2, -1)
        return self._split(key), self._split(value)

    def forward(self, x: Tensor, memory: tuple[Tensor, Tensor], mask: Tensor | None = None) -> Tensor:
        key, value = memory
        if mask is not None:
            mask = mask[:, None, None, :]
        if len(key) != len(x):
            key, value = (m.expand(len(x), -1, -1, -1) for m in (key, value))
        attended = F.scaled_dot_product_attention(self._split(self.query(x)), key, value, attn_mask=mask)
        return self.out(attended.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class GraphBlock(nn.Module):
    """x [B,N,C], time [B,C'] -> [B,N,C]. Without a Laplacian, self-attention in the convolution's place.

    parallel: all three parts read x, instead of what the one before has made of it.
    """

    def __init__(
        self,
        nodes: int,
        channels: int,
        time_channels: int,
        token_channels: int,
        laplacian: Tensor | None,
        order: int,
        head: int,
        parallel: bool = False,
    ) -> None:
        super().__init__()
        self.parallel = parallel
        self.norm_graph = nn.LayerNorm(channels, elementwise_affine=False)
        self.modulation = nn.Linear(time_channels, 2 * channels)
        self.place = nn.Parameter(torch.randn(2, nodes, channels) * 0.1)  # every node's own scale and shift
        self.graph: nn.Module
        if laplacian is None:
            self.graph = Attention(channels, channels, head)
        else:
            self.graph = ChebyshevConvolution(laplacian, channels, channels, order)
        self.mix = nn.Linear(channels, channels)
        self.norm_self = nn.LayerNorm(channels)
        self.attend_self = Attention(channels, channels, head)
        self.norm_cross = nn.LayerNorm(channels)
        self.attend_cross = Attention(channels, token_channels, head)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, x: Tensor, time: Tensor, memory: tuple[Tensor, Tensor], mask: Tensor) -> Tensor:
        scale, shift = self.modulation(time)[:, None].chunk(2, -1)
        h = self.norm_graph(x) * (1 + scale + self.place[0]) + shift + self.place[1]
        h = self.graph(h, self.graph.memory(h)) if isinstance(self.graph, Attention) else self.graph(h)
        convolved = x + self.mix(F.gelu(h))
        h = self.norm_self(x if self.parallel else convolved)
        attended = convolved + self.attend_self(h, self.attend_self.memory(h))
        return attended + self.attend_cross(self.norm_cross(x if self.parallel else attended), memory, mask)


def sinusoid(value: Tensor, channels: int) -> Tensor:
    """Sines and cosines of value [B], a log-SNR, at frequencies from 0.03 to 3: [B,channels]."""
    exponent = torch.linspace(0, 1, channels // 2, device=value.device, dtype=value.dtype)
    angle = value[:, None] * 0.03 * 100.0**exponent
    return torch.cat([angle.sin(), angle.cos()], -1)
