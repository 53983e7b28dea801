"""A hand before a camera: 2D joints, with rotation, place and depth unknown, as evidence about the hand.

Image coordinates are (pixel - principal point) / focal length; the hand's size is the unit of length, since a
picture shows no other. A view X_camera = rotation x_palm + position has six unknowns beside the hand's own.
Given a view to linearise at, 2D joints are linear-Gaussian evidence about the prior's coefficients u and a
small rotation (a rotation vector in the palm frame); the position, with its depth, is marginalised.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .diffusion.gaussian import Evidence, GaussianPrior, solve
from .hand.rotation import rotation_matrix
from .hand.template import HandTemplate

FLAT = 1e-4  # precision of what is not known at all: directions (hand sizes), log depth
START_DIRECTIONS = 12  # from which the hand may be seen, to start from
ROUNDS = 12
MAX_TURN = 0.6  # radians (or of the log depth) in one step
SETTLE_ROUNDS = 3


@dataclass(frozen=True)
class View:
    """X_camera = rotation @ x_palm + position, UNIT; camera axes x right, y down, z away.

    rotation [n,3,3]; position [n,3].
    """

    rotation: Tensor
    position: Tensor

    def __len__(self) -> int:
        return len(self.rotation)

    def __getitem__(self, rows: Tensor | slice) -> View:
        return View(self.rotation[rows], self.position[rows])

    def where(self, condition: Tensor, other: View) -> View:
        """These views where condition [n] holds, and the others where not."""
        rotation = torch.where(condition[:, None, None], self.rotation, other.rotation)
        return View(rotation, torch.where(condition[:, None], self.position, other.position))

    def place(self, points: Tensor) -> Tensor:
        """Palm-frame points [n,P,3] in the camera's axes."""
        return points @ self.rotation.transpose(-1, -2) + self.position[:, None]

    def moved(self, turn: Tensor, shift: Tensor) -> View:
        """Turned in the palm frame by a rotation vector [n,3], and moved by shift [n,3].

        The shift is right and down in parts of the depth, then the change of the log depth.
        """
        depth = self.position[:, 2:]
        direction = self.position / depth
        flat = direction + torch.cat([shift[:, :2], torch.zeros_like(depth)], -1)
        return View(self.rotation @ rotation_matrix(turn), depth * shift[:, 2:].exp() * flat)


def project(points: Tensor) -> Tensor:
    """Camera-axes points [...,3] to image coordinates [...,2]."""
    return points[..., :2] / points[..., 2:].clamp_min(1e-3)


class JointCamera:
    """The 2D skeleton operator M_J Pi J (paper, Eq. 4) for joints in image coordinates, batched over views.

    target [n,21,2] image coordinates, NaN = unknown; sigma [n,21] in the same unit. Coefficients u [n,R+3]
    are those of a prior of the hand and, last, of a small rotation of it in its own palm frame.
    """

    def __init__(self, template: HandTemplate, prior: GaussianPrior, mixing: Tensor | None = None) -> None:
        """template as tensors; prior: that of the hand's nodes, widened by three for the rotation.

        mixing [21,21]: points in terms of the joints, where a picture shows others than them.
        """
        self.prior = prior
        rows = template.regressor @ template.decoder
        if mixing is not None:
            rows = mixing @ rows
        scaled, self.turn = prior.scaled[:-3, :-3], float(prior.variance[-1]) ** 0.5
        self.mean = rows @ prior.mean[:-3].reshape(-1, 3)  # [21,3]
        self.modes = torch.einsum("mn,rnc->mcr", rows, scaled.unflatten(1, (-1, 3)))  # [21,3,R]

    def joints(self, u: Tensor) -> Tensor:
        """Joints [n,21,3] of coefficients u [n,R+3], palm frame."""
        return self.mean + torch.einsum("mcr,nr->nmc", self.modes, u[:, :-3])

    def linearise(self, view: View, joints: Tensor, target: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """Weighted Jacobian [n,42,R+6] with respect to u and the view's shift, and weighted residual [n,42].

        At palm-frame joints [n,21,3]; the view has taken up the rotation that u's last three stand for.
        """
        placed = view.place(joints)
        depth = placed[..., 2:].clamp_min(1e-2)
        seen = placed[..., :2] / depth
        weight = torch.where(torch.isfinite(target), 1 / sigma[..., None], 0.0)  # [n,21,2]
        residual = torch.where(weight > 0, target - seen, 0.0) * weight
        # Image coordinates by points of the camera's axes, then of the palm frame: [n,21,2,3].
        eye = torch.eye(2, dtype=seen.dtype, device=seen.device).expand(*seen.shape, 2)
        lens = torch.cat([eye, -seen[..., None]], -1) / depth[..., None] * weight[..., None]
        body = lens @ view.rotation[:, None]
        of_hand = torch.einsum("nmic,mcr->nmir", body, self.modes)
        of_turn = torch.linalg.cross(joints[:, :, None].expand_as(body), body) * self.turn
        of_shift = torch.cat(
            [
                lens[..., :2] * view.position[:, None, None, 2:],
                lens @ view.position[:, None, :, None],
            ],
            -1,
        )
        return torch.cat([of_hand, of_turn, of_shift], -1).flatten(1, 2), residual.flatten(1)

    def settle(self, view: View, joints: Tensor, target: Tensor, sigma: Tensor) -> View:
        """The position that brings palm-frame joints [n,21,3] onto the target; the rotation stays."""
        still = torch.zeros_like(view.position)
        for _ in range(SETTLE_ROUNDS):
            jacobian, residual = self.linearise(view, joints, target, sigma)
            a = jacobian[..., -3:]
            flat = FLAT * torch.eye(3, dtype=a.dtype, device=a.device)
            step = torch.linalg.solve(a.mT @ a + flat, a.mT @ residual[..., None])[..., 0]
            view = view.moved(still, step.clamp(-MAX_TURN, MAX_TURN))
        return view

    def evidence(self, view: View, joints: Tensor, u: Tensor, target: Tensor, sigma: Tensor) -> Evidence:
        """What 2D joints say of the hand, linearised at coefficients u [n,R+3] and joints [n,21,3] in `view`.

        The view has taken up the rotation in u; the position is marginalised.
        """
        jacobian, residual = self.linearise(view, joints, target, sigma)
        of_hand, of_shift = jacobian[..., :-3], jacobian[..., -3:]
        residual = residual + (of_hand @ u[..., None])[..., 0]
        flat = FLAT * torch.eye(3, dtype=u.dtype, device=u.device)
        cross = of_hand.mT @ of_shift
        gain = torch.linalg.solve(of_shift.mT @ of_shift + flat, cross.mT).mT
        clean = of_hand.mT - gain @ of_shift.mT  # [n,R+3,42]
        return Evidence(clean @ of_hand, (clean @ residual[..., None])[..., 0])

    def on_lines_of_sight(
        self, view: View, joints: Tensor, target: Tensor, sigma: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The 2D joints as the network is told them: in the palm frame, at the depth of `joints` [n,21,3].

        Points [n,21,3] (NaN = unknown), their noise [n,21] in UNIT (inf = unknown), the line of sight [n,3].
        """
        depth = view.place(joints)[..., 2:]
        placed = torch.cat([target * depth, depth], -1) - view.position[:, None]
        known = torch.isfinite(target).all(-1)
        return (
            placed @ view.rotation,
            torch.where(known, sigma * depth[..., 0], torch.inf),
            view.rotation[:, 2],
        )

    def cost(self, view: View, u: Tensor, target: Tensor, sigma: Tensor) -> Tensor:
        """-2 log posterior [n], up to a constant; a hand behind the camera costs much."""
        seen = project(view.place(self.joints(u)))
        gap = torch.where(torch.isfinite(target), (target - seen) / sigma[..., None], 0.0)
        behind = (view.position[:, 2] < 1).to(u.dtype) * 1e6
        return (gap**2).sum((1, 2)) + (u[:, :-3] ** 2).sum(1) + behind

    def fit(
        self, view: View, u: Tensor, target: Tensor, sigma: Tensor, rounds: int = ROUNDS
    ) -> tuple[View, Tensor, Tensor]:
        """Levenberg-Marquardt from `view` and u: the most likely view, its u, and the cost [n]."""
        rank = self.prior.rank - 3
        pull = torch.cat([torch.ones_like(u[:, :rank]), torch.full_like(u[:, :6], FLAT)], -1)
        damping = torch.full_like(u[:, 0], 1e-3)
        cost = self.cost(view, u, target, sigma)
        for _ in range(rounds):
            jacobian, residual = self.linearise(view, self.joints(u), target, sigma)
            hessian = jacobian.mT @ jacobian + torch.diag_embed(pull)
            gradient = (residual[:, None] @ jacobian)[:, 0] - pull * torch.nn.functional.pad(
                u[:, :rank], (0, 6)
            )
            diagonal = hessian.diagonal(dim1=-2, dim2=-1)
            factor = torch.linalg.cholesky(hessian + torch.diag_embed(damping[:, None] * diagonal))
            step = solve(factor, gradient)
            turn = step[:, rank:-3] * self.turn
            turn = turn * (MAX_TURN / turn.norm(dim=1, keepdim=True).clamp_min(MAX_TURN))
            there = view.moved(turn, step[:, -3:].clamp(-MAX_TURN, MAX_TURN))
            u_there = torch.cat([u[:, :rank] + step[:, :rank], u[:, rank:]], -1)
            cost_there = self.cost(there, u_there, target, sigma)
            better = cost_there < cost
            view = there.where(better, view)
            u = torch.where(better[:, None], u_there, u)
            cost = torch.where(better, cost_there, cost)
            damping = torch.where(better, damping * 0.2, damping * 6).clamp(1e-7, 1e4)
        return view, u, cost

    def starts(self, target: Tensor, sigma: Tensor) -> View:
        """START_DIRECTIONS views [n*START_DIRECTIONS] of each skeleton: the mean hand from all sides.

        It is turned and placed in the picture by a Procrustes fit of the plane.
        """
        directions = sphere(START_DIRECTIONS).to(target)
        looks = look_along(directions)  # [K,3,3]
        n, k = len(target), len(looks)
        flat = (self.mean @ looks.mT)[..., :2].expand(n, -1, -1, -1)
        known = torch.isfinite(target).all(-1)
        goal = torch.nan_to_num(target)[:, None].expand(-1, k, -1, -1)
        weight = (known / sigma.clamp_min(1e-9) ** 2)[:, None].expand(-1, k, -1)
        scale, turn = planar_procrustes(flat, goal, weight)
        rotation = turn @ looks
        depth = 1 / scale.clamp_min(1e-4)
        share = weight / weight.sum(-1, keepdim=True)
        centre = (goal * share[..., None]).sum(-2)
        place = (self.mean @ rotation.mT * share[..., None]).sum(-2)
        position = torch.cat([centre, torch.ones_like(depth)[..., None]], -1) * depth[..., None] - place
        return View(rotation.flatten(0, 1), position.flatten(0, 1))


def planar_procrustes(source: Tensor, target: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Similarity of the plane that takes source [...,P,2] to target; the rotation [...,3,3] is about z."""
    w = (weights / weights.sum(-1, keepdim=True))[..., None]
    a = source - (w * source).sum(-2, keepdim=True)
    b = target - (w * target).sum(-2, keepdim=True)
    cosine, sine = (
        (w * a * b).sum((-1, -2)),
        (w[..., 0] * (a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0])).sum(-1),
    )
    length = torch.hypot(cosine, sine).clamp_min(1e-12)
    scale = length / (w * a * a).sum((-1, -2)).clamp_min(1e-12)
    zero, one = torch.zeros_like(sine), torch.ones_like(sine)
    c, s = cosine / length, sine / length
    turn = torch.stack([c, -s, zero, s, c, zero, zero, zero, one], -1).unflatten(-1, (3, 3))
    return scale, turn


def sphere(count: int) -> Tensor:
    """`count` unit vectors spread evenly (Fibonacci): [count,3]."""
    i = torch.arange(count) + 0.5
    z = 1 - 2 * i / count
    angle = torch.pi * (1 + 5**0.5) * i
    radius = (1 - z**2).sqrt()
    return torch.stack([radius * angle.cos(), radius * angle.sin(), z], -1)


def look_along(directions: Tensor) -> Tensor:
    """Rotations [K,3,3] palm -> camera whose z axis is each direction [K,3] of the palm frame."""
    helper = torch.where(directions[:, :1].abs() < 0.9, torch.tensor([1.0, 0, 0]), torch.tensor([0, 1.0, 0]))
    x = torch.nn.functional.normalize(torch.linalg.cross(helper.to(directions), directions), dim=-1)
    y = torch.linalg.cross(directions, x)
    return torch.stack([x, y, directions], -2)
