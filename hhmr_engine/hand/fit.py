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
from .skinning import blend, bone_transforms, corrected, rest_shape
from .template import UNIT, HandTemplate

ROUNDS = 9
# Angles, shape, log lengths, axis offsets (all bones but the wrist), frame. The offsets let in hands whose
# joints turn about other axes than ours, as recorded hands' do.
PARTS = [len(dof.DOFS), 10, 19, 57, 7]
STEP = 1e-3  # of the forward differences
SETTLED = 1e-3  # of the sum of squares: what a step that changes less is not worth
NETWORK_SIGMA = 1.0e-3 / UNIT  # how far the network's nodes are to be believed
NODE_WEIGHT = 0.4  # neighbouring nodes say the same thing several times
DEVIATION = {"angles": 1.0, "shape": 1.0, "lengths": 0.12, "offsets": 0.08, "limits": 0.03}


Residuals = Callable[[Tensor, Tensor], Tensor]  # parameters [m,P], each one's goal [m,...] -> [m,R]


@dataclass(frozen=True)
class FittedHand:
    """vertices [n,V,3] in the space of the targets, angles [n,24], local bone rotations [n,20,3,3].

    parameters [n,P]: all that poses and places it, as `placed_bones` takes it.
    """

    vertices: Tensor
    angles: Tensor
    rotations: Tensor
    parameters: Tensor


def fit_skinned(
    template: HandTemplate,
    nodes: Tensor,
    rows: Tensor,
    target: Tensor,
    sigma: Tensor,
    rounds: int = ROUNDS,
) -> FittedHand:
    """Fit to nodes [n,N,3] and to points rows [M,N] @ nodes ~ target [M,3] with noise sigma [M]; UNIT.

    Levenberg-Marquardt over 24 angles, 10 shape components, 19 bone lengths, axis offsets and a similarity,
    all at once.
    """
    small = template.on_nodes()

    def residuals(p: Tensor, goal: Tensor) -> Tensor:
        angles, beta, lengths, offsets, _ = p.split(PARTS, 1)
        posed = _posed(small, p)
        terms = (
            (posed - goal) * (NODE_WEIGHT / NETWORK_SIGMA),
            (rows @ posed - target) / sigma[:, None],
            angles / DEVIATION["angles"],
            beyond_limits(angles) / DEVIATION["limits"],
            beta / DEVIATION["shape"],
            lengths / DEVIATION["lengths"],
            offsets / DEVIATION["offsets"],
        )
        return torch.cat([term.flatten(1) for term in terms], 1)

    start = nodes.new_zeros(len(nodes), sum(PARTS))
    everything = torch.arange(sum(PARTS), device=nodes.device)
    parameters, _ = levenberg_marquardt(residuals, start, nodes, everything, rounds)
    angles, _, _, offsets, _ = parameters.split(PARTS, 1)
    rotations = dof.rotations(template, angles, _of_bones(offsets))
    return FittedHand(_posed(template, parameters), angles, rotations, parameters)


def levenberg_marquardt(
    residuals: Residuals,
    start: Tensor,
    goal: Tensor,
    free: Tensor,
    rounds: int = ROUNDS,
    settled_at: float = SETTLED,
) -> tuple[Tensor, Tensor]:
    """Least squares from `start` [n,P] over the parameters `free` [F] (columns), every row by itself.

    Derivatives are forward differences, all rows and parameters in one batch; a row whose next step changes
    next to nothing is done. Returns the parameters [n,P] and the sums of squares [n].
    """
    parameters = start.clone()
    damping = start.new_full((len(start),), 1e-2)
    cost = start.new_full((len(start),), torch.inf)
    rows = torch.arange(len(start), device=start.device)
    for _ in range(rounds):
        p, aim = parameters[rows], goal[rows]
        current = residuals(p, aim)
        cost[rows] = (current**2).sum(1)
        j = _jacobian(residuals, p, aim, current, free)
        normal = j.mT @ j
        ridge = torch.diag_embed(damping[rows, None] * (normal.diagonal(dim1=1, dim2=2) + 1e-6))
        step = torch.linalg.solve(normal + ridge, (j.mT @ current[..., None])[..., 0])
        tried = p.index_add(1, free, step, alpha=-1)
        found = (residuals(tried, aim) ** 2).sum(1)
        better = found < cost[rows]
        settled = (found - cost[rows]).abs() < settled_at * cost[rows]
        parameters[rows] = torch.where(better[:, None], tried, p)
        cost[rows] = torch.where(better, found, cost[rows])
        damping[rows] = torch.where(better, damping[rows] * 0.2, damping[rows] * 8).clamp(1e-6, 1e3)
        rows = rows[~settled]
        if not len(rows):
            break
    return parameters, cost


def _jacobian(residuals: Residuals, p: Tensor, goal: Tensor, current: Tensor, free: Tensor) -> Tensor:
    """[n,residuals,free parameters] by forward differences."""
    n, count = len(p), len(free)
    nudge = torch.zeros(count, p.shape[1], dtype=p.dtype, device=p.device)
    nudge[torch.arange(count), free] = STEP
    nudged = (p[:, None] + nudge).flatten(0, 1)
    moved = residuals(nudged, goal.repeat_interleave(count, 0)).unflatten(0, (n, count))
    return ((moved - current[:, None]) / STEP).mT


def beyond_limits(angles: Tensor) -> Tensor:
    """How far angles [n,24] lie outside what hands can do, radians >= 0."""
    limits = torch.from_numpy(dof.LIMITS).to(angles)
    return torch.relu(limits[:, 0] - angles) + torch.relu(angles - limits[:, 1])


def placed_bones(template: HandTemplate, p: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What parameters p [n,P] do to every bone's rest state: template's metres -> the palm frame's UNIT.

    Returns linear [n,20,3,3], shift [n,20,3] and the posed heads [n,20,3].
    """
    angles, beta, lengths, offsets, frame = p.split(PARTS, 1)
    stretched = torch.cat([torch.ones_like(lengths[:, :1]), torch.exp(lengths)], 1)
    _, heads, tips = rest_shape(template, beta)
    turn = dof.rotations(template, angles, _of_bones(offsets))
    linear, shift, place = bone_transforms(turn, heads, tips, stretched)
    similarity = (torch.exp(frame[:, 6, None, None]) / UNIT * rotation_matrix(frame[:, 3:6]))[:, None]
    origin = template.heads[9]
    shift, place = (
        ((points - origin)[:, :, None] @ similarity.mT)[:, :, 0] + frame[:, None, :3]
        for points in (shift, place)
    )
    return similarity @ linear, shift, place


def _posed(template: HandTemplate, p: Tensor) -> Tensor:
    """Vertices [n,V,3] of parameters [n,P], in the palm frame's UNIT."""
    linear, shift, _ = placed_bones(template, p)
    angles, beta, _, offsets, _ = p.split(PARTS, 1)
    vertices, _, _ = rest_shape(template, beta)
    if template.corrections is not None:
        vertices = corrected(template, vertices, dof.rotations(template, angles, _of_bones(offsets)))
    return blend(template.weights, linear, shift, vertices)


def _of_bones(offsets: Tensor) -> Tensor:
    """Rotation vectors [n,20,3] of all bones; the wrist, which is the frame, has none."""
    by_bone = offsets.unflatten(1, (19, 3))
    return torch.cat([torch.zeros_like(by_bone[:, :1]), by_bone], 1)
