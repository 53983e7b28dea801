"""Fingers that run into each other, taken apart by the smallest change that what was observed allows.

The network learns from hands that touch, and now and then a finger of a draw ends inside another. Every gap
between two capsules of the hand (hand/capsules.py) is linear in the vertices around it. So a gap that is
too small is one more linear observation of the hand, "it is as wide as it has to be", and the posterior's
covariance says which change explains it best: what is open gives way, and what is given hardly does. Where
fingers cross each other just as they were given, joints that may not move leave only the skin to give way,
and it crumples: a gap that what is given fixes is left as it is. A linear change that is large stretches
fingers of which nothing was given. There it only says where they go: their bones are turned to follow it,
not far in one round, and the skin follows the bones. A hand whose skin does not cross itself is left as it
is, however near its fingers lie, and so is one whose skin would be drawn out of shape.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .diffusion.gaussian import GaussianPrior, posterior_factor
from .hand.capsules import Contacts, Proxies, find_contacts, measure_proxies
from .hand.hierarchy import mesh_edges
from .hand.intersection import SelfIntersection
from .hand.rotation import rotation_between, rotation_matrix, rotation_vector
from .hand.skeleton import PARENTS
from .hand.template import UNIT, HandTemplate
from .phalanges import Phalanges

ROUNDS = 6
WIDER = 0.5e-3 / UNIT  # how much wider a gap has to be with each round after which skin still crosses there
NOISE = 1.35e-3 / UNIT  # how exactly a gap is met
FIRM = 3.0  # how much more what is given counts than its noise says: first the rest gives way
KNOWN = 1.5e-3 / UNIT  # a gap that is less uncertain than this was given
STRETCH = 0.05  # of a finger's bone: beyond it the finger is turned
FARTHEST = math.radians(15)  # that a bone is turned in a round: the linear change means no more than that
SHAPELESS = 0.35  # by how much the logarithm of one edge in a hundred may change
NEAR = 8e-3  # metres: the skin that says where the end of a capsule's axis is


class Separation:
    """Moves fingers out of each other and out of the palm."""

    def __init__(
        self, template: HandTemplate, intersection: SelfIntersection, device: str | torch.device = "cpu"
    ) -> None:
        """template as arrays, intersection of its mesh."""
        # A finger that closes on itself is no business of the others: only its joints could open it, and a
        # change of the skin lengthens it instead.
        proxies = measure_proxies(template).between_fingers()

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
        self.decoder, self.intersection = there(template.decoder), intersection
        self.edges = there(mesh_edges(template.faces))  # [E,2]
        self.phalanges = Phalanges(template, device)

    def __call__(self, x: Tensor, prior: GaussianPrior, precision: Tensor) -> Tensor:
        """States [n,3N] or, with what else `prior` describes at their end, [n,3N+k].

        precision [R,R] or [n,R,R]: that of the evidence about each of them (gaussian.Evidence).
        """
        size = 3 * self.rows.shape[-1]
        gaps, drawn, x = _Gaps(self, prior), x, x.clone()
        precision = FIRM * precision.expand(len(x), -1, -1)
        free = ~self.phalanges.given(prior, precision).any(-1)
        left = (self.depth(x) > 0).any(1).nonzero()[:, 0]  # skin that crosses elsewhere can't be parted here
        for done in range(ROUNDS):
            through = self._through(x[left])
            left, through = left[through.any(1)], through[through.any(1)]
            if not len(left):
                break
            contacts = find_contacts(self.proxies, self._ends(x[left]))
            contacts = replace(contacts, depth=contacts.depth + done * WIDER * through)
            change = gaps.widen(contacts, precision[left]) @ prior.scaled
            moves = change.any(1)
            left, change = left[moves], change[moves]
            nodes = x[left, :size]
            x[left, :size] = _follow(self.phalanges, nodes, nodes + change[:, :size], free[left])
            x[left, size:] += change[:, size:]
        return torch.where(self._shapeless(drawn, x)[:, None], drawn, x)

    def depth(self, x: Tensor) -> Tensor:
        """[n,P] by how much gaps of states are too small, UNIT; below 0 they are not."""
        return find_contacts(self.proxies, self._ends(x)).depth

    def _shapeless(self, before: Tensor, after: Tensor) -> Tensor:
        """[n] bool: hands whose skin is stretched or crushed."""
        one, other = (self._skin(x)[:, self.edges].diff(dim=2).norm(dim=-1)[..., 0] for x in (before, after))
        return (other / one).log().abs().quantile(0.99, dim=1) > SHAPELESS

    def _skin(self, x: Tensor) -> Tensor:
        nodes = self.rows.shape[-1]
        return self.decoder @ x[:, : 3 * nodes].unflatten(-1, (-1, 3))

    def _through(self, x: Tensor) -> Tensor:
        """[n,P] bool: whether the skin of the two bones of a pair passes through each other."""
        vertices = (self._skin(x) * UNIT).cpu().numpy()
        hand, one, other = torch.from_numpy(self.intersection.penetrating_pairs(vertices)).to(x.device).T
        bones = len(PARENTS)
        through = torch.zeros(len(x), bones, bones, dtype=torch.bool, device=x.device)
        through[hand, one, other] = through[hand, other, one] = True
        return through[:, self.proxies.bone[self.proxies.first], self.proxies.bone[self.proxies.second]]

    def _ends(self, x: Tensor) -> Tensor:
        nodes = self.rows.shape[-1]
        return torch.einsum("cen,bnk->bcek", self.rows, x[:, : 3 * nodes].unflatten(-1, (-1, 3)))


class _Gaps:
    """How the gaps of hands depend on a prior's coefficients."""

    def __init__(self, separation: Separation, prior: GaussianPrior) -> None:
        self.modes = prior.of_points(separation.rows)  # of both ends of every axis, [C,2,3,R]
        self.proxies = separation.proxies

    def widen(self, contacts: Contacts, precision: Tensor) -> Tensor:
        """The change [n,R] of coefficients that is likeliest to make room; precision [n,R,R].

        Zero where all gaps that are too small are KNOWN.
        """
        first = self._at(self.proxies.first, contacts.along_first)
        apart = self._at(self.proxies.second, contacts.along_second) - first
        factor = posterior_factor(precision)
        slope = (contacts.normal[:, :, None] @ apart)[:, :, 0]  # [n,P,R]
        white = torch.linalg.solve_triangular(factor, slope.mT, upper=False)  # [n,R,P]
        tight = (contacts.depth > 0) & (white.norm(dim=1) > KNOWN)
        white = white * tight[:, None]
        inner = white.mT @ white + NOISE**2 * torch.eye(white.shape[-1]).to(white)
        gain = torch.linalg.solve(inner, (contacts.depth * tight)[..., None])
        return torch.linalg.solve_triangular(factor.mT, white @ gain, upper=True)[..., 0]

    def _at(self, capsule: Tensor, along: Tensor) -> Tensor:
        """[n,P,3,R] of points on axes."""
        start, end = self.modes[capsule].unbind(1)
        return start + along[..., None, None] * (end - start)


def _follow(phalanges: Phalanges, before: Tensor, after: Tensor, free: Tensor) -> Tensor:
    """`after` [n,3N], but fingers that it stretches are those of `before`, turned bone by bone.

    Of the free [n,5] ones alone.
    """
    x, goal = (nodes.unflatten(-1, (-1, 3)) for nodes in (before, after))
    here, there = (torch.einsum("fkn,bnc->bfkc", phalanges.joints, nodes) for nodes in (x, goal))
    bones = here.diff(dim=2)
    stretch = (there.diff(dim=2).norm(dim=-1) / bones.norm(dim=-1)).log().abs().amax(-1)
    stretched = (free & (stretch > STRETCH))[..., None, None]  # [n,5,1,1]
    result = phalanges.palm[:, None] * goal
    place = there[:, :, 0]  # of the next bone's head
    for k in range(3):
        own, aim = x[:, None] - here[:, :, k, None], goal[:, None] - place[:, :, None]
        turn = _at_most(FARTHEST, rotation_between(own, aim, phalanges.skin[:, k]))
        moved = torch.where(stretched, own @ turn.mT + place[:, :, None], goal[:, None])
        result = result + (phalanges.skin[:, k, :, None] * moved).sum(1)
        place = place + (turn @ bones[:, :, k, :, None])[..., 0]
    return result.flatten(1)


def _at_most(angle: float, turn: Tensor) -> Tensor:
    """Rotations [...,3,3], those of more than `angle` made smaller."""
    vector = rotation_vector(turn)
    return rotation_matrix(vector * (angle / vector.norm(dim=-1, keepdim=True).clamp_min(angle)))


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
