"""Chebyshev graph convolution (Defferrard et al. 2016; engine.md, formula 4)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

SPARSE_FROM = 512  # nodes: below this a dense Laplacian is faster (engine.md, where the time goes)


class ChebyshevConvolution(nn.Module):
    """y = sum_k T_k(L) x W_k with the scaled Laplacian L [N,N] of one graph level; [B,N,in] -> [B,N,out]."""

    laplacian: Tensor

    def __init__(self, laplacian: Tensor, channels_in: int, channels_out: int, order: int = 3) -> None:
        super().__init__()
        if order < 1:
            raise ValueError("a Chebyshev convolution needs at least one order.")
        self.order = order
        self.linear = nn.Linear(order * channels_in, channels_out)
        if len(laplacian) > SPARSE_FROM:
            laplacian = laplacian.to_sparse_csr()
        self.register_buffer("laplacian", laplacian, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        terms = [x]
        if self.order > 1:
            terms.append(self._spread(x))
        for _ in range(2, self.order):
            terms.append(2 * self._spread(terms[-1]) - terms[-2])
        return self.linear(torch.cat(terms, -1))

    def _spread(self, x: Tensor) -> Tensor:
        if self.laplacian.layout == torch.strided:
            return self.laplacian @ x
        batch, nodes, channels = x.shape
        columns = x.transpose(0, 1).reshape(nodes, batch * channels)
        return (self.laplacian @ columns).reshape(nodes, batch, channels).transpose(0, 1)
