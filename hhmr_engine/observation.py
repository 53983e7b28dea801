"""The operators A of the paper's Eq. 4, and where an observed hand is: the user's frame -> palm frame.

A condition is complete or partial joints (J, M_J J) or a part of the mesh (M_v). Both become linear
observations of the hand's vertices in the palm frame, with a noise of their own, and the frame itself is
found by Gauss-Newton.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from .diffusion.gaussian import Evidence, GaussianPrior, solve
from .hand.frame import PalmFrame
from .hand.rotation import procrustes, rotation_matrix
from .hand.skeleton import PALM_BONES, PALM_JOINTS
from .hand.template import UNIT, HandTemplate

# How well a frame is known before the points are looked at: translation (UNIT), rotation (rad), log scale.
FRAME_DEVIATION = (0.06, 0.06, 0.06, 0.08, 0.08, 0.08, 0.05)
MAX_POINTS = 160  # of a mesh that are looked at: neighbours say the same thing twice (engine.md)
INDEPENDENT = 24  # how many independent observations a mesh is worth: more collapses the diversity
COVERED = 0.98  # of a joint's support: what is missing of it moves the joint by less than its noise
REGRESSION_NOISE = 0.3e-3 / UNIT  # what a joint regressor leaves open
ROOTS = (0, 1)  # wrist and thumb's root: every device and rig has them in another place of the hand


def node_prior(template: HandTemplate) -> GaussianPrior:
    """The posed-shape Gaussian on the network's nodes: state [3N]."""
    nodes = template.nodes
    return GaussianPrior(
        template.basis_mean[nodes].reshape(-1),
        template.basis[:, nodes].reshape(len(template.basis), -1),
        template.basis_variance,
    )


class PointOperator:
    """Points that are linear in the hand's vertices, seen in a palm frame that is itself a little uncertain.

    The frame's uncertainty (a small similarity) is a nuisance that is marginalised in closed form, so what
    points say about the pose does not depend on how well the frame was found. `rows` [M,V].
    """

    def __init__(self, template: HandTemplate, prior: GaussianPrior, rows: Tensor) -> None:
        self.prior = prior
        self.rows = rows @ template.decoder  # [M,N]
        self.mean = self.rows @ prior.mean.reshape(-1, 3)  # [M,3]
        modes = torch.einsum("mn,rnc->mcr", self.rows, prior.scaled.unflatten(1, (-1, 3)))
        self.modes = modes  # [M,3,R]
        self.free = prior.mean.new_tensor(FRAME_DEVIATION) ** -2

    @cached_property
    def gram(self) -> Tensor:
        """[M,R*R]: what each point adds to a precision; worth its memory for batches of masks only."""
        return torch.einsum("mcr,mcs->mrs", self.modes, self.modes).flatten(1)

    def of_nodes(self, x: Tensor) -> Tensor:
        """The points [...,M,3] of node states x [...,3N]."""
        return self.rows @ x.unflatten(-1, (-1, 3))

    def flat(self) -> Tensor:
        """The operator as a matrix [3M,3N] on flattened node states."""
        m, n = self.rows.shape
        eye = torch.eye(3, dtype=self.rows.dtype, device=self.rows.device)
        return torch.einsum("mn,ij->minj", self.rows, eye).reshape(3 * m, 3 * n)

    def evidence(self, target: Tensor, sigma: Tensor) -> Evidence:
        """What `target` [...,M,3] with noise sigma [...,M] (inf = unknown) says about the pose."""
        m, _, r = self.modes.shape
        weight = sigma**-2
        known = weight > 0
        residual = torch.where(known[..., None], target - self.mean, 0.0)
        place = torch.where(known[..., None], target, self.mean)
        weighted = (weight[..., None] * residual).flatten(-2)  # [...,3M]
        modes = self.modes.reshape(3 * m, r)
        if weight.dim() == 1:
            precision = modes.T @ (modes * weight.repeat_interleave(3)[:, None])
        else:
            precision = (weight @ self.gram).unflatten(-1, (r, r))
        nuisance = frame_jacobian(place).flatten(-3, -2)  # [...,3M,7]
        heavy = nuisance * weight.repeat_interleave(3, -1)[..., None]
        cross = modes.T @ heavy  # [...,R,7]
        inner = nuisance.mT @ heavy + torch.diag(self.free)
        gain = torch.linalg.solve(inner, cross.mT).mT  # [...,R,7]
        shift = (nuisance.mT @ weighted[..., None])[..., 0]
        information = weighted @ modes - (gain @ shift[..., None])[..., 0]
        return Evidence(precision - gain @ cross.mT, information)

    def align(self, x: Tensor, target: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The small similarity that takes the points of node states x [n,3N] to target [M,3], MAP.

        Returns log scale [n], rotation vector [n,3] and translation [n,3] in the palm frame.
        """
        points = self.of_nodes(x)
        nuisance = frame_jacobian(points).flatten(-3, -2)
        heavy = nuisance * (sigma**-2).repeat_interleave(3)[:, None]
        inner = nuisance.mT @ heavy + torch.diag(self.free)
        step = torch.linalg.solve(inner, heavy.mT @ (target - points).flatten(-2)[..., None])[..., 0]
        return step[:, 6], step[:, 3:6], step[:, :3]


@dataclass(frozen=True)
class Observation:
    """Points that are known: target = operator @ vertices + sigma * noise.

    points: the operator, None without a condition; target [M,3] and sigma [M] in the palm frame's UNIT;
    joints [21,3] palm frame, NaN = unknown; joint_sigma [21], inf = unknown; kept [V] bool; frame takes the
    palm frame to the user's space.
    """

    points: PointOperator | None
    target: Tensor
    sigma: Tensor
    joints: Tensor
    joint_sigma: Tensor
    kept: Tensor
    frame: PalmFrame

    def evidence(self, prior: GaussianPrior) -> Evidence:
        """What was observed, about the prior's coefficients."""
        return prior.nothing() if self.points is None else self.points.evidence(self.target, self.sigma)

    def aligned(self, x: Tensor, points: Tensor) -> Tensor:
        """Palm-frame points [n,P,3] of states x [n,3N], under the similarity that fits each to the target."""
        if self.points is None:
            return points
        grow, turn, shift = self.points.align(x, self.target, self.sigma)
        turned = points @ rotation_matrix(turn).transpose(-1, -2)
        return torch.exp(grow)[:, None, None] * turned + shift[:, None]

    def energy(self, prior: GaussianPrior) -> tuple[float, float]:
        """How unlikely the prior finds what was observed: the MAP's -2 log posterior and residual (UNIT)."""
        evidence = self.evidence(prior)
        u = solve(prior.factor(prior.variance.new_zeros(()), evidence), evidence.information)
        x = prior.expand(u)[None]
        if self.points is None:
            return float((u**2).sum()), 0.0
        gap = (self.aligned(x, self.points.of_nodes(x))[0] - self.target) / self.sigma[:, None]
        return float((u**2).sum() + (gap**2).sum()), float(self.residual(x)[0])

    def residual(self, x: Tensor) -> Tensor:
        """Mean distance [n] of node states x [n,3N] from what was observed, UNIT; 0 without a condition."""
        if self.points is None:
            return x.new_zeros(len(x))
        return (self.aligned(x, self.points.of_nodes(x)) - self.target).norm(dim=-1).mean(-1)


def joint_noise(rho: float, root_rho: float) -> Tensor:
    """[21] in UNIT: rho, and root_rho beside it at the ROOTS; both in millimetres at hand scale."""
    millimetres = torch.full((21,), rho)
    millimetres[list(ROOTS)] = (rho**2 + root_rho**2) ** 0.5
    return (millimetres * (1e-3 / UNIT)).clamp_min(REGRESSION_NOISE)


def observe_joints(template: HandTemplate, joints: Tensor, rho: float, root_rho: float = 0.0) -> Observation:
    """joints [21,3] in any frame and scale, NaN = unknown; their noise as joint_noise has it.

    Raises ValueError when fewer than three joints are known or all lie on one line.
    """
    known = torch.isfinite(joints).all(-1)
    noise = joint_noise(rho, root_rho).to(joints)
    points = joints[known]
    _check_spread(points)
    operator = PointOperator(template, node_prior(template), template.regressor[known])
    palm = torch.zeros(21, dtype=torch.bool, device=joints.device)
    palm[list(PALM_JOINTS)] = True
    sigmas = noise[known]
    frame = find_frame(operator, points, sigmas, palm[known])
    inside = torch.full_like(joints, torch.nan)
    inside[known] = frame.to_palm(points[None])[0]
    joint_sigma = torch.where(known, noise, torch.inf)
    kept = torch.zeros(len(template.vertices), dtype=torch.bool, device=joints.device)
    return Observation(operator, inside[known], sigmas, inside, joint_sigma, kept, frame)


def observe_vertices(template: HandTemplate, vertices: Tensor, rho: float) -> Observation:
    """vertices [V,3] in template order, NaN = missing. Joints whose support is kept are observed as well."""
    kept = torch.isfinite(vertices).all(-1)
    sigma = max(rho * 1e-3 / UNIT, REGRESSION_NOISE)
    chosen = _spread_points(template, kept)
    points = vertices[chosen]
    _check_spread(points)
    rows = torch.nn.functional.one_hot(chosen, len(vertices)).to(vertices.dtype)
    operator = PointOperator(template, node_prior(template), rows)
    rigid = template.weights[:, list(PALM_BONES)].sum(1)[chosen] > 0.9
    # Neighbouring points err together: they are given the weight of INDEPENDENT ones in all.
    shared = sigma * max(1.0, len(points) / INDEPENDENT) ** 0.5
    sigmas = torch.full((len(points),), shared, device=vertices.device)
    frame = find_frame(operator, points, sigmas, rigid)
    covered = covered_joints(template, kept)
    seen = template.regressor @ torch.nan_to_num(frame.to_palm(vertices[None])[0])
    joints = torch.where(covered[:, None], seen, torch.nan)
    joint_sigma = torch.where(covered, sigma, torch.inf)
    return Observation(operator, frame.to_palm(points[None])[0], sigmas, joints, joint_sigma, kept, frame)


def observe_surface(
    template: HandTemplate, hand: Tensor, rows: Tensor, sigma: Tensor, kept: Tensor, rho: float
) -> Observation:
    """A foreign hand that the template was laid onto: hand [V,3], in any frame and scale.

    rows [K,V]: the points of it that are known, sigma [K] their noise in millimetres at hand scale beside
    `rho`; kept [V] bool: what of the template is known, for the joints it shows.
    """
    noise = torch.hypot(sigma, torch.full_like(sigma, rho)) * (1e-3 / UNIT)
    points = rows @ hand
    _check_spread(points)
    operator = PointOperator(template, node_prior(template), rows)
    rigid = rows @ template.weights[:, list(PALM_BONES)].sum(1) > 0.9
    sigmas = noise.clamp_min(REGRESSION_NOISE) * max(1.0, len(points) / INDEPENDENT) ** 0.5
    frame = find_frame(operator, points, sigmas, rigid)
    covered = covered_joints(template, kept)
    joints = frame.to_palm((template.regressor @ hand)[None])[0]
    joints = torch.where(covered[:, None], joints, torch.nan)
    joint_sigma = torch.where(covered, max(rho * 1e-3 / UNIT, REGRESSION_NOISE), torch.inf)
    return Observation(operator, frame.to_palm(points[None])[0], sigmas, joints, joint_sigma, kept, frame)


def covered_joints(template: HandTemplate, kept: Tensor) -> Tensor:
    """Which joints [...,21] a partial mesh shows: those whose regressor reads kept vertices [...,V] alone."""
    support = template.regressor.abs()
    return kept.to(support.dtype) @ (support / support.sum(1, keepdim=True)).T > COVERED


def observe_nothing(template: HandTemplate) -> Observation:
    """No condition: the hand comes out in the template's own place and size."""
    v = template.vertices
    frame = PalmFrame(v.new_full((1,), UNIT), torch.eye(3, device=v.device)[None], template.joints[9][None])
    none = v.new_zeros(0)
    return Observation(
        None,
        none.reshape(0, 3),
        none,
        v.new_full((21, 3), torch.nan),
        v.new_full((21,), torch.inf),
        torch.zeros(len(v), dtype=torch.bool, device=v.device),
        frame,
    )


def find_frame(
    operator: PointOperator, points: Tensor, sigma: Tensor, rigid: Tensor, rounds: int = 12
) -> PalmFrame:
    """The palm frame in which the prior explains `points` [M,3] best: Gauss-Newton MAP over frame and pose.

    Starts from the rigid points' Procrustes fit to the mean hand (all points, when fewer than three are
    rigid). Every round linearises log scale, rotation and translation beside the prior's coefficients; the
    frame is free.
    """
    prior, mean, projected = operator.prior, operator.mean, operator.modes
    if int(rigid.sum()) >= 3 and _spread(points[rigid]) > 1e-3:
        weights = rigid.to(points.dtype) + 1e-3
    else:
        weights = torch.ones_like(sigma)
    s, rotation, t = (value[None] for value in procrustes(mean, points, weights))
    frame = PalmFrame(s, rotation, t)
    u = prior.variance.new_zeros(prior.rank)
    for _ in range(rounds):
        model = mean + projected @ u
        residual = frame.to_palm(points[None])[0] - model  # in the palm frame
        jacobian = torch.cat([projected, frame_jacobian(model)], -1) / sigma[:, None, None]
        a = jacobian.reshape(-1, jacobian.shape[-1])
        damping = torch.cat([torch.ones_like(u), u.new_full((7,), 1e-6)])
        pull = torch.cat([u, u.new_zeros(7)]) * damping
        hessian = a.T @ a + torch.diag(damping)
        step = solve(torch.linalg.cholesky(hessian), a.T @ (residual / sigma[:, None]).reshape(-1) - pull)
        u = u + step[:-7]
        translation, turn, grow = step[-7:-4], step[-4:-1], step[-1]
        frame = PalmFrame(
            frame.scale * torch.exp(grow),
            frame.rotation @ rotation_matrix(turn),
            frame.origin + frame.scale * (frame.rotation[0] @ translation),
        )
    return frame


def frame_jacobian(points: Tensor) -> Tensor:
    """d(points)/d(translation, rotation vector, log scale) at points [...,M,3]: [...,M,3,7]."""
    eye = torch.eye(3, dtype=points.dtype, device=points.device).expand(*points.shape, 3)
    x, y, z = points.unbind(-1)
    zero = torch.zeros_like(x)
    turn = torch.stack([zero, z, -y, -z, zero, x, y, -x, zero], -1).unflatten(-1, (3, 3))
    return torch.cat([eye, turn, points[..., None]], -1)


def _spread_points(template: HandTemplate, kept: Tensor) -> Tensor:
    """Up to MAX_POINTS kept vertex ids, evenly over the surface: nodes first, which are spread already."""
    nodes = template.nodes[kept[template.nodes]][:MAX_POINTS]
    if len(nodes) >= 16:
        return nodes
    ids = kept.nonzero()[:, 0]
    return ids[torch.linspace(0, len(ids) - 1, min(len(ids), 64)).long()]


def _spread(points: Tensor) -> float:
    """Second singular value over the first: 0 for points on one line."""
    if len(points) < 3:
        return 0.0
    values = torch.linalg.svdvals((points - points.mean(0)).double())
    return float(values[1] / values[0].clamp_min(1e-30))


def _check_spread(points: Tensor) -> None:
    if len(points) < 3:
        raise ValueError("fewer than three points of the hand are known.")
    if _spread(points) < 1e-2:
        raise ValueError("the known points lie on one line or in one place.")
