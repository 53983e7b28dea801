"""Gauss-Newton fit of the skinned hand to given node positions: bone angles, shape and frame.

The optional last step of a request (engine.md: "a short fit with the network as its prior"): a network's hand
is any mesh, a fitted hand is one that a rig can take.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from . import dof
from .rotation import rotation_matrix
from .skinning import skin
from .template import UNIT, HandTemplate

ROUNDS = 9
# Angles, shape, log lengths, axis offsets (all bones but the wrist), frame. The offsets let in hands whose
# joints turn about other axes than ours, as recorded hands' do.
PARTS = [len(dof.DOFS), 10, 19, 57, 7]
STEP = 1e-3  # of the forward differences
NETWORK_SIGMA = 1.0e-3 / UNIT  # how far the network's nodes are to be believed
NODE_WEIGHT = 0.4  # neighbouring nodes say the same thing several times
DEVIATION = {"angles": 1.0, "shape": 1.0, "lengths": 0.12, "offsets": 0.08, "limits": 0.03}


@dataclass(frozen=True)
class FittedHand:
    """vertices [n,V,3] in the space of the targets, angles [n,24], local bone rotations [n,20,3,3]."""

    vertices: Tensor
    angles: Tensor
    rotations: Tensor


def fit_skinned(
    template: HandTemplate, nodes: Tensor, rows: Tensor, target: Tensor, sigma: Tensor
) -> FittedHand:
    """Fit to nodes [n,N,3] and to points rows [M,N] @ nodes ~ target [M,3] with noise sigma [M]; UNIT.

    Levenberg-Marquardt over 24 angles, 10 shape components, 19 bone lengths and a similarity; all at once.
    """
    small = template.on_nodes()
    limits = torch.from_numpy(dof.LIMITS).to(nodes)

    def residuals(p: Tensor, goal: Tensor) -> Tensor:
        angles, beta, lengths, offsets, _ = p.split(PARTS, 1)
        posed = _posed(small, p)
        outside = torch.relu(limits[:, 0] - angles) + torch.relu(angles - limits[:, 1])
        terms = (
            (posed - goal) * (NODE_WEIGHT / NETWORK_SIGMA),
            (rows @ posed - target) / sigma[:, None],
            angles / DEVIATION["angles"],
            outside / DEVIATION["limits"],
            beta / DEVIATION["shape"],
            lengths / DEVIATION["lengths"],
            offsets / DEVIATION["offsets"],
        )
        return torch.cat([term.flatten(1) for term in terms], 1)

    parameters = nodes.new_zeros(len(nodes), sum(PARTS))
    damping = nodes.new_full((len(nodes),), 1e-2)
    current = residuals(parameters, nodes)
    for _ in range(ROUNDS):
        j = _jacobian(residuals, parameters, nodes, current)
        normal = j.mT @ j
        ridge = torch.diag_embed(damping[:, None] * (normal.diagonal(dim1=1, dim2=2) + 1e-6))
        step = torch.linalg.solve(normal + ridge, (j.mT @ current[..., None])[..., 0])
        tried = parameters - step
        found = residuals(tried, nodes)
        better = (found**2).sum(1) < (current**2).sum(1)
        parameters = torch.where(better[:, None], tried, parameters)
        current = torch.where(better[:, None], found, current)
        damping = torch.where(better, damping * 0.2, damping * 8).clamp(1e-6, 1e3)
    angles, _, _, offsets, _ = parameters.split(PARTS, 1)
    rotations = dof.rotations(template, angles, _of_bones(offsets))
    return FittedHand(_posed(template, parameters), angles, rotations)


def _of_bones(offsets: Tensor) -> Tensor:
    """Rotation vectors [n,20,3] of all bones; the wrist, which is the frame, has none."""
    by_bone = offsets.unflatten(1, (19, 3))
    return torch.cat([torch.zeros_like(by_bone[:, :1]), by_bone], 1)


def _jacobian(
    residuals: Callable[[Tensor, Tensor], Tensor], p: Tensor, goal: Tensor, current: Tensor
) -> Tensor:
    """[n,residuals,parameters] by forward differences: all hands and parameters in one batch."""
    n, count = p.shape
    nudged = (p[:, None] + STEP * torch.eye(count, device=p.device)).flatten(0, 1)
    moved = residuals(nudged, goal.repeat_interleave(count, 0)).unflatten(0, (n, count))
    return ((moved - current[:, None]) / STEP).mT


def _posed(template: HandTemplate, p: Tensor) -> Tensor:
    """Vertices [n,V,3] of parameters [n,sum(PARTS)], in the palm frame's UNIT."""
    angles, beta, lengths, offsets, frame = p.split(PARTS, 1)
    stretched = torch.cat([torch.ones_like(lengths[:, :1]), torch.exp(lengths)], 1)
    vertices, _ = skin(template, dof.rotations(template, angles, _of_bones(offsets)), beta, stretched)
    centred = (vertices - template.heads[9]) / UNIT
    turned = centred @ rotation_matrix(frame[:, 3:6]).mT
    return torch.exp(frame[:, 6])[:, None, None] * turned + frame[:, None, :3]
