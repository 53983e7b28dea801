"""Fingers that run into each other, taken apart by the smallest change that what was observed allows.

The network learns from hands that touch, and now and then a finger of a draw ends inside another. Every gap
between two capsules of the hand (hand/capsules.py) is linear in the vertices around it. So a gap that is too
small is one more linear observation of the hand, "it is as wide as it has to be", and the posterior's
covariance says which change explains it best: what is open gives way, and what is given no farther than its
noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .diffusion.gaussian import GaussianPrior
from .hand.capsules import Contacts, Proxies, find_contacts, measure_proxies
from .hand.template import UNIT, HandTemplate

ROUNDS = 4
NOISE = 1.35e-3 / UNIT  # how exactly a gap is met
NEAR = 8e-3  # metres: the skin that says where the end of a capsule's axis is


class Separation:
    """Moves fingers out of each other and out of the palm."""

    def __init__(self, template: HandTemplate, device: str | torch.device = "cpu") -> None:
        """template as arrays."""
        proxies = measure_proxies(template)

        def there(values: Any) -> Tensor:
            kind = torch.float32 if values.dtype.kind == "f" else torch.int64
            return torch.as_tensor(values, dtype=kind, device=device)

        self.proxies = Proxies(
            bone=there(proxies.bone),
            ends=there(proxies.ends / UNIT),
            radius=there(proxies.radius / UNIT),
            first=there(proxies.first),
            second=there(proxies.second),
            margin=there(proxies.margin / UNIT),
        )
        self.rows = there(axis_rows(template, proxies) @ template.decoder)  # [C,2,N]

    def __call__(self, x: Tensor, prior: GaussianPrior, precision: Tensor) -> Tensor:
        """States [n,3N] or, with what else `prior` describes at their end, [n,3N+k].

        precision [R,R] or [n,R,R]: that of the evidence about each of them (gaussian.Evidence).
        """
        gaps = _Gaps(self, prior, precision)
        for _ in range(ROUNDS):
            contacts = find_contacts(self.proxies, self._ends(x))
            if not (contacts.depth > 0).any():
                break
            x = x + gaps.widen(contacts) @ prior.scaled
        return x

    def depth(self, x: Tensor) -> Tensor:
        """[n,P] by how much gaps of states are too small, UNIT; below 0 they are not."""
        return find_contacts(self.proxies, self._ends(x)).depth

    def _ends(self, x: Tensor) -> Tensor:
        nodes = self.rows.shape[-1]
        return torch.einsum("cen,bnk->bcek", self.rows, x[:, : 3 * nodes].unflatten(-1, (-1, 3)))


@dataclass
class _Gaps:
    """How the gaps of one request's hands depend on the prior's coefficients."""

    separation: Separation
    prior: GaussianPrior
    precision: Tensor

    def __post_init__(self) -> None:
        rows, scaled = self.separation.rows, self.prior.scaled
        nodes = rows.shape[-1]
        modes = scaled[:, : 3 * nodes].unflatten(-1, (nodes, 3))
        self.modes = torch.einsum("cen,rnk->cekr", rows, modes)  # of both ends of every axis
        one = torch.eye(self.prior.rank, dtype=scaled.dtype, device=scaled.device)
        self.factor = torch.linalg.cholesky(one + self.precision)

    def widen(self, contacts: Contacts) -> Tensor:
        """The change [n,R] of coefficients that is likeliest to make room."""
        proxies = self.separation.proxies
        apart = self._at(proxies.second, contacts.along_second) - self._at(
            proxies.first, contacts.along_first
        )
        slope = (contacts.normal[:, :, None] @ apart)[:, :, 0]  # [n,P,R]
        white = torch.linalg.solve_triangular(self.factor, slope.mT, upper=False)  # [n,R,P]
        tight = contacts.depth > 0
        white = white * tight[:, None]
        inner = white.mT @ white + NOISE**2 * torch.eye(white.shape[-1]).to(white)
        gain = torch.linalg.solve(inner, (contacts.depth * tight)[..., None])
        return torch.linalg.solve_triangular(self.factor.mT, white @ gain, upper=True)[..., 0]

    def _at(self, capsule: Tensor, along: Tensor) -> Tensor:
        """[n,P,3,R] of points on axes."""
        start, end = self.modes[capsule].unbind(1)
        return start + along[..., None, None] * (end - start)


def axis_rows(template: HandTemplate, proxies: Proxies) -> np.ndarray:
    """[C,2,V]: both ends of every capsule's axis as weighted means of the skin that moves with its bone.

    Exact at rest and wherever that skin moves rigidly, since the weights' sum is 1 and they reproduce the
    point.
    """
    rows = np.zeros((len(proxies.bone), 2, len(template.vertices)))
    for capsule, bone in enumerate(proxies.bone):
        for end in range(2):
            point = template.heads[bone] + proxies.ends[capsule, end]
            distance = np.linalg.norm(template.vertices - point, axis=1)
            near = np.exp(-0.5 * (distance / NEAR) ** 2) * template.weights[:, bone] ** 2
            moments = np.vstack([np.ones(len(near)), (template.vertices - point).T])
            share = np.linalg.lstsq((moments * near) @ moments.T, np.eye(4)[0], rcond=None)[0]
            rows[capsule, end] = near * (share @ moments)
    return rows
