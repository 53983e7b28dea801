"""Laying skinned hands onto samples of a surface: nearest points with normals, Gauss-Newton on the match."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..hand import dof
from ..hand.normals import vertex_normals
from ..hand.skeleton import FINGER_BONES, PALM_BONES
from ..hand.template import HandTemplate
from .articulated import ANGLES, FRAME, LENGTHS, OFFSETS, SHAPE, Articulated, Bones, Pose

NORMAL = 0.02  # metres that a difference of 1 between unit normals counts as (design: registration)
SLIDE = 10.0  # how much further than along the normal a match may be off along the surface
WORTH = 150  # independent observations that a whole surface counts as
DEVIATION = {
    "flex": 0.8,
    "abd": 0.3,
    "twist": 0.4,
    "shape": 1.0,
    "length": 0.12,
    "size": 0.15,
    "offset": 0.08,
}
UNLIKELY = 0.0012  # weight of the priors in the energy that hands are compared by
ASTRAY = 0.004  # the same for known joints
LIMIT = 0.06  # radians by which an angle's limits are soft
WEB = 0.35  # of the first phalanx: so far fingers may hang together
PALM, ANY = 32, 63  # bits beside those of the five fingers: 1 << finger
PALM_SHARE = 0.75  # of a vertex' weight that lies on the palm's bones, to count as palm


@dataclass(frozen=True)
class Target:
    """What hands are laid onto, at hand scale (metres), as it is [0] and mirrored [1].

    points and normals [2,N,3]; joints [2,21,3], NaN = unknown.
    """

    points: Tensor
    normals: Tensor
    joints: Tensor

    @property
    def known(self) -> int:
        """How many joints are known."""
        return int(torch.isfinite(self.joints[0]).all(-1).sum())

    def thin(self, values: Tensor, count: int) -> Tensor:
        """values [k,N] of the samples at `count` of them, evenly: they lie in no order along the surface."""
        return values[:, torch.linspace(0, values.shape[1] - 1, count).long()]

    def thinned(self, count: int) -> Target:
        return Target(self.thin(self.points, count), self.thin(self.normals, count), self.joints)


@dataclass(frozen=True)
class Stage:
    """One leg of a fit: rounds, the distance (metres) at which a match counts a quarter, first and last, the
    noise of a match in metres, whether the axes are free, and whether a third of the vertices will do."""

    rounds: int
    reach: tuple[float, float]
    sigma: float
    offsets: bool = False
    coarse: bool = False
    stiff: float = 1.0  # how much more than usual shape and lengths are held in the first round


@dataclass(frozen=True)
class Match:
    """Nearest points between n hands and N samples; distances are squared, metres, normals counted."""

    vertex: Tensor  # [n,N] the nearest to each sample
    distance: Tensor  # [n,N]
    palm: Tensor  # [P] vertices of the palm
    sample: Tensor  # [n,P] the nearest to each of those
    back: Tensor  # [n,P] its distance
    bones: Bones
    points: Tensor  # [n,V+21,3] of the hands


class Matcher:
    """The template's side of the match.

    `allowed` [n,N]: what a sample may belong to, a bit (1 << finger) for each finger and the bit PALM for the
    palm and for where fingers hang together.
    """

    def __init__(self, arrays: HandTemplate) -> None:
        self.template = arrays.torch()
        normals = vertex_normals(arrays.vertices[None], arrays.faces)[0]
        self.model = Articulated(self.template, torch.from_numpy(normals))
        self.count = len(arrays.vertices)
        self.core = torch.from_numpy(finger_cores(arrays))
        finger = torch.from_numpy(finger_of_vertices(arrays))
        self.bits = torch.where(finger < 0, 0, 1 << finger.clamp_min(0)) | torch.where(self.core < 0, PALM, 0)
        self.bits = self.bits.to(torch.uint8)
        self.on_palm = torch.from_numpy(arrays.weights[:, list(PALM_BONES)].sum(1) > PALM_SHARE)
        rim = torch.from_numpy(rim_vertices(arrays.faces))
        inner = self.on_palm.clone()
        inner[rim] = False
        near = torch.zeros_like(inner)
        near[inner.nonzero()[::4, 0]] = True
        self.rim = torch.zeros(self.count + 21, dtype=torch.bool)
        self.rim[rim] = True
        self.all, self.some = torch.arange(self.count), torch.arange(0, self.count, 3)
        self.palm_sites = {coarse: near[self.sites(coarse)].nonzero()[:, 0] for coarse in (False, True)}
        kinds = [DEVIATION[free.kind] for free in dof.DOFS]
        shape, length, offset = (DEVIATION[key] for key in ("shape", "length", "offset"))
        frame = [torch.inf] * (FRAME - 1) + [DEVIATION["size"]]
        deviation = [kinds, [shape] * SHAPE, [length] * LENGTHS, frame, [offset] * OFFSETS]
        self.precision = torch.tensor([value for part in deviation for value in part]) ** -2.0
        self.limits = torch.from_numpy(dof.LIMITS)

    def match(
        self,
        pose: Pose,
        target: Target,
        mirror: Tensor,
        forbidden: Tensor | None = None,
        coarse: bool = False,
    ) -> Match:
        """Nearest points, but where `forbidden` [n,N,S] is True."""
        bones = self.model.bones(pose)
        points = self.model.points(pose, bones)
        sites = self.sites(coarse)
        normals = self.model.posed_normals(pose, bones)
        square = squares(target, mirror, points[:, sites], normals[:, sites])  # [n,N,S]
        if forbidden is not None:
            square.masked_fill_(forbidden, 1.0)
        distance, vertex = square.min(2)
        palm = self.palm_sites[coarse]
        back, sample = square[:, :, palm].min(1)
        return Match(sites[vertex], distance, sites[palm], sample, back, bones, points)

    def sites(self, coarse: bool) -> Tensor:
        """The vertices that samples are matched to."""
        return self.some if coarse else self.all

    def forbidden(self, allowed: Tensor | None, coarse: bool = False) -> Tensor | None:
        """Which sites [n,N,S] each sample must not be matched to; None if any will do."""
        if allowed is None or bool((allowed == ANY).all()):
            return None
        return self.bits[self.sites(coarse)] & allowed[..., None].to(torch.uint8) == 0

    def refine(
        self,
        pose: Pose,
        target: Target,
        mirror: Tensor,
        stage: Stage,
        allowed: Tensor | None = None,
        joint_sigma: float = 0.005,
    ) -> Pose:
        """Gauss-Newton with matches renewed every round; the reach shrinks geometrically."""
        forbidden = self.forbidden(allowed, stage.coarse)
        first, last = stage.reach
        for k in range(stage.rounds):
            reach = first * (last / first) ** (k / max(1, stage.rounds - 1))
            match = self.match(pose, target, mirror, forbidden, stage.coarse)
            a, r = self._surface_rows(pose, match, target, mirror, stage, reach)
            if target.known:
                joint_a, joint_r = self._joint_rows(pose, match, target.joints[mirror], stage, joint_sigma)
                a, r = torch.cat([a, joint_a], 1), torch.cat([r, joint_r], 1)
            pose = pose.moved(self._solve(pose, a, r, stage.stiff ** (1 - k / max(1, stage.rounds - 1))))
        return pose

    def _surface_rows(
        self, pose: Pose, match: Match, target: Target, mirror: Tensor, stage: Stage, reach: float
    ) -> tuple[Tensor, Tensor]:
        """Jacobian [n,R,D] and residual [n,R]: a match pulls along the surface's normal, and gently along
        the surface; not at the wrist's rim, beyond which the surface may go on."""
        palm = match.palm.expand(len(pose), -1)
        rows = torch.cat([match.vertex, palm], 1)
        goal, normal = (
            torch.cat([side[mirror], gathered(side[mirror], match.sample)], 1)
            for side in (target.points, target.normals)
        )
        forth = robust(match.distance, reach) * (WORTH / match.distance.shape[1])
        back = robust(match.back, reach) * (WORTH / 2 / palm.shape[1])
        weight = torch.cat([forth, back], 1).sqrt() / stage.sigma
        gap = goal - gathered(match.points, rows)
        jacobian = self.model.jacobian(pose, match.bones, rows, stage.offsets)
        plane_rows = weight[..., None] * (normal[..., None, :] @ jacobian)[..., 0, :]
        loose = torch.where(self.rim[rows], 0.0, weight / SLIDE)[..., None]
        a = torch.cat([plane_rows, (loose[..., None] * jacobian).flatten(1, 2)], 1)
        r = torch.cat([weight * (gap * normal).sum(-1), (loose * gap).flatten(1)], 1)
        return a, r

    def _joint_rows(
        self, pose: Pose, match: Match, joints: Tensor, stage: Stage, sigma: float
    ) -> tuple[Tensor, Tensor]:
        rows = torch.arange(self.count, self.count + 21).expand(len(pose), -1)
        jacobian = self.model.jacobian(pose, match.bones, rows, stage.offsets)
        known = torch.isfinite(joints).all(-1, keepdim=True) / sigma
        gap = torch.nan_to_num(joints) - match.points[:, self.count :]
        return (known[..., None] * jacobian).flatten(1, 2), (known * gap).flatten(1)

    def _solve(self, pose: Pose, a: Tensor, r: Tensor, stiff: float) -> Tensor:
        size = a.shape[2]
        precision = self.precision[:size].clone()
        precision[ANGLES : ANGLES + SHAPE + LENGTHS] *= stiff
        normal, right = a.mT @ a, (a.mT @ r[..., None])[..., 0]
        right = right - precision * pose.parameters()[:, :size]
        beyond = pose.angles - pose.angles.clamp(self.limits[:, 0], self.limits[:, 1])
        right[:, :ANGLES] -= beyond / LIMIT**2
        ridge = precision + 1e-3 * normal.diagonal(dim1=1, dim2=2) + 1e-6
        ridge[:, :ANGLES] += (beyond != 0) / LIMIT**2
        factor = torch.linalg.cholesky(normal + torch.diag_embed(ridge))
        return torch.cholesky_solve(right[..., None], factor)[..., 0]

    def energy(
        self, pose: Pose, target: Target, mirror: Tensor, allowed: Tensor | None = None, reach: float = 0.005
    ) -> Tensor:
        """How badly each hand explains the samples and its palm is explained by them, and how unlikely it
        is itself [n]; 0 is perfect, 1 hopeless."""
        match = self.match(pose, target, mirror, self.forbidden(allowed))
        points, normals = target.points[mirror], target.normals[mirror]
        palm = gathered(match.points, match.palm.expand(len(pose), -1))
        there, out = gathered(points, match.sample), gathered(normals, match.sample)
        forth = _off(points - gathered(match.points, match.vertex), normals, match.distance)
        data = loss(forth, reach).mean(1) + 0.5 * loss(_off(there - palm, out, match.back), reach).mean(1)
        beyond = pose.angles - pose.angles.clamp(self.limits[:, 0], self.limits[:, 1])
        unlikely = (self.precision * pose.parameters() ** 2).sum(1) + (beyond**2).sum(1) / LIMIT**2
        gap = torch.nan_to_num(target.joints[mirror] - match.points[:, self.count :])
        return data + UNLIKELY * unlikely + ASTRAY * (gap / 0.005).square().sum((-1, -2))


def finger_of_vertices(template: HandTemplate) -> NDArray[np.int64]:
    """The finger [V] that a vertex is of: 0 to 4; -1 on the palm, which has the thumb's metacarpal."""
    share = np.stack([template.weights[:, list(bones[1:])].sum(1) for bones in FINGER_BONES.values()])
    return np.where(share.max(0) > 0.5, share.argmax(0), -1)


def finger_cores(template: HandTemplate) -> NDArray[np.int64]:
    """The finger [V] as above, and -1 also where fingers hang together: up to WEB of the first phalanx."""
    core = finger_of_vertices(template)
    for finger, bones in enumerate(FINGER_BONES.values()):
        first = bones[1]
        along = template.heads[first + 1] - template.heads[first]
        reached = (template.vertices - template.heads[first]) @ along / (along @ along)
        core[(core == finger) & (reached < WEB)] = -1
    return core


def rim_vertices(faces: np.ndarray) -> np.ndarray:
    """Vertices on the open boundary of triangles [F,3]."""
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), 1)
    unique, count = np.unique(edges, axis=0, return_counts=True)
    return np.unique(unique[count == 1])


def squares(target: Target, mirror: Tensor, points: Tensor, normals: Tensor) -> Tensor:
    """Squared distances [n,N,S] of the target's samples from points [n,S,3] with normals [n,S,3]; rounding
    leaves those near 0 off by up to 1e-8, negative ones too."""
    ours = torch.cat([points, NORMAL * normals], -1)
    theirs = torch.cat([target.points, NORMAL * target.normals], -1)
    theirs = torch.cat([theirs, torch.ones_like(theirs[..., :1]), (theirs**2).sum(-1, True)], -1)[mirror]
    ours = torch.cat([-2 * ours, (ours**2).sum(-1, True), torch.ones_like(ours[..., :1])], -1)
    return theirs @ ours.mT


def _off(gap: Tensor, normals: Tensor, square: Tensor) -> Tensor:
    """Squared distances [n,M] mostly along the normals, gap [n,M,3]; of what `square` counted for normals a
    quarter."""
    along = (gap**2).sum(-1)
    return (gap * normals).sum(-1) ** 2 + along / 9 + (square - along).clamp_min(0) / 4


def gathered(values: Tensor, index: Tensor) -> Tensor:
    """values [n,V,3] at index [n,M]: [n,M,3]."""
    return torch.gather(values, 1, index[..., None].expand(-1, -1, 3))


def robust(square: Tensor, reach: float) -> Tensor:
    """Geman-McClure weights: 1 near, 1/4 at `reach`."""
    return (1 + square.clamp_min(0) / reach**2) ** -2


def loss(square: Tensor, reach: float) -> Tensor:
    """Geman-McClure loss: 0 near, 1/2 at `reach`, 1 far."""
    square = square.clamp_min(0)
    return square / (square + reach**2)
