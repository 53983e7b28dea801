"""A linear-Gaussian prior in closed form: the denoiser, the sampler and the guidance that need no network.

The state is x [..., P] with x0 = mean + basis^T sqrt(variance) u and u ~ N(0, 1). Everything that is observed
of x0 linearly and with Gaussian noise enters as Evidence about u; a noisy state x_t is evidence as well. So
the posterior mean of x0, the sample of it, and the preconditioned guidance (engine.md) are one solve with one
matrix:

    (1 + diag(snr * variance) + precision) u = evidence
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Evidence:
    """What an observation y = A x0 + noise says about u: precision [...,R,R] and information [...,R].

    With A' = A basis^T sqrt(variance) and noise covariance S: precision = A'^T S^-1 A', information =
    A'^T S^-1 (y - A mean).
    """

    precision: Tensor
    information: Tensor

    def __add__(self, other: Evidence) -> Evidence:
        return Evidence(self.precision + other.precision, self.information + other.information)


class GaussianPrior:
    """mean [P], basis [R,P] with orthonormal rows, variance [R]."""

    def __init__(self, mean: Tensor, basis: Tensor, variance: Tensor) -> None:
        self.mean, self.variance = mean, variance
        self.scaled = basis * variance.sqrt()[:, None]  # [R,P]: u -> x0 - mean

    @property
    def rank(self) -> int:
        return len(self.variance)

    def coefficients(self, x: Tensor) -> Tensor:
        """(x - mean) projected: [...,R], such that u = coefficients / variance for a noiseless x."""
        return (x - self.mean) @ self.scaled.T

    def widened(self, deviation: float, count: int) -> GaussianPrior:
        """The same with `count` independent coordinates of mean 0 at the end, beside the mesh."""
        rank, size = self.scaled.shape
        basis = self.scaled.new_zeros(rank + count, size + count)
        basis[:rank, :size] = self.scaled / self.variance.sqrt()[:, None]
        basis[rank:, size:] = torch.eye(count).to(basis)
        mean = torch.cat([self.mean, self.mean.new_zeros(count)])
        return GaussianPrior(
            mean, basis, torch.cat([self.variance, self.mean.new_full((count,), deviation**2)])
        )

    def expand(self, u: Tensor) -> Tensor:
        """mean + the deviation that u [...,R] stands for."""
        return self.mean + u @ self.scaled

    def of_points(self, rows: Tensor) -> Tensor:
        """What points do with u: rows [A,B,N] of a state's first N nodes -> [A,B,3,R]."""
        nodes = rows.shape[-1]
        return torch.einsum("abn,rnk->abkr", rows, self.scaled[:, : 3 * nodes].unflatten(-1, (nodes, 3)))

    def nothing(self) -> Evidence:
        """No observation at all."""
        zero = self.variance.new_zeros
        return Evidence(zero(self.rank, self.rank), zero(self.rank))

    def factor(self, alpha_bar: Tensor, evidence: Evidence) -> Tensor:
        """Cholesky factor [...,R,R] of the posterior precision of u at noise level alpha_bar [...]."""
        snr = (alpha_bar / (1 - alpha_bar).clamp_min(1e-7))[..., None]
        return torch.linalg.cholesky(evidence.precision + torch.diag_embed(1 + snr * self.variance))

    def denoise(self, x: Tensor, alpha_bar: Tensor, evidence: Evidence, factor: Tensor) -> Tensor:
        """E[x0 | x_t, y]: x [...,P], alpha_bar [...] (broadcast against x's leading dimensions)."""
        alpha, sigma2 = alpha_bar.sqrt()[..., None], (1 - alpha_bar).clamp_min(1e-7)[..., None]
        from_state = alpha / sigma2 * ((x - alpha * self.mean) @ self.scaled.T)
        return self.expand(solve(factor, from_state + evidence.information))

    def correct(self, x0: Tensor, evidence: Evidence, factor: Tensor) -> Tensor:
        """The preconditioned guidance step: moves x0 towards the observation as far as the noise allows.

        x0 - K_t (A x0 - y) with the covariance that the noise level leaves open; evidence for the mean is
        turned into evidence for the residual at x0.
        """
        u = self.coefficients(x0) / self.variance
        residual = evidence.information - (evidence.precision @ u[..., None])[..., 0]
        return x0 + solve(factor, residual) @ self.scaled

    def sample(self, evidence: Evidence, noise: Tensor) -> Tensor:
        """Draws of x0 given the evidence: noise [...,R] standard normal -> [...,P]."""
        factor = self.factor(self.variance.new_zeros(()), evidence)
        spread = torch.linalg.solve_triangular(factor.mT, noise[..., None], upper=True)[..., 0]
        return self.expand(solve(factor, evidence.information) + spread)

    def open_deviation(self, factor: Tensor, last: int = 0) -> Tensor:
        """Root mean square of what a posterior with this factor leaves open of x0's coordinates: [...].

        Of all of them, or of the `last` ones of a widened prior.
        """
        first = self.rank - last if last else 0
        columns = torch.diag_embed(self.variance.sqrt())[:, first:]
        deviation = torch.linalg.solve_triangular(
            factor, columns.expand(*factor.shape[:-2], -1, -1), upper=False
        )
        return ((deviation**2).sum((-1, -2)) / (last or len(self.mean))).sqrt()


def solve(factor: Tensor, right: Tensor) -> Tensor:
    """(factor factor^T)^-1 right for vectors [...,R]; a single factor serves a whole batch."""
    if factor.dim() == 2:
        return torch.cholesky_solve(right.reshape(-1, right.shape[-1]).T, factor).T.reshape(right.shape)
    return torch.cholesky_solve(right[..., None], factor)[..., 0]


def posterior_factor(precision: Tensor) -> Tensor:
    """Cholesky factor of the posterior precision [n,R,R] of evidence with this one."""
    one = torch.eye(precision.shape[-1], dtype=precision.dtype, device=precision.device)
    return torch.linalg.cholesky(one + precision)
