"""Laying skinned hands onto samples of a surface: nearest points with normals, Gauss-Newton on the match."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..hand import dof
from ..hand.normals import vertex_normals
from ..hand.skeleton import PALM_BONES
from ..hand.template import HandTemplate
from .articulated import ANGLES, FRAME, LENGTHS, OFFSETS, SHAPE, Articulated, Pose

NORMAL = 0.02  # metres that a difference of 1 between unit normals counts as (design: registration)
SLIDE = 4.0  # how much further than along the normal a match may be off along the surface
WORTH = 150  # independent observations that a whole surface counts as
DEVIATION = {"flex": 0.8, "abd": 0.3, "twist": 0.4, "shape": 1.0, "length": 0.12, "offset": 0.08}
LIMIT = 0.06  # radians by which an angle's limits are soft
PALM_SHARE = 0.75  # of a vertex' weight that lies on the palm's bones, to count as palm


@dataclass(frozen=True)
class Target:
    """What hands are laid onto, at hand scale (metres), as it is [0] and mirrored [1].

    points and normals [2,N,3]; joints [2,21,3], NaN = unknown.
    """

    points: Tensor
    normals: Tensor
    joints: Tensor

    def thinned(self, count: int) -> Target:
        """Evenly fewer samples, which lie in no order along the surface."""
        keep = torch.linspace(0, self.points.shape[1] - 1, count).long()
        return Target(self.points[:, keep], self.normals[:, keep], self.joints)


@dataclass(frozen=True)
class Stage:
    """One leg of a fit: rounds, the distance (metres) at which a match counts half, first and last, the
    noise of a match in metres, and whether axes and lengths are free."""

    rounds: int
    reach: tuple[float, float]
    sigma: float
    offsets: bool = False


@dataclass(frozen=True)
class Match:
    """Nearest points between n hands and N samples: vertex [n,N] of each sample with squared distance [n,N],
    sample [n,P] of each palm vertex with squared distance [n,P] (metres, normals counted)."""

    vertex: Tensor
    distance: Tensor
    sample: Tensor
    back: Tensor


class Matcher:
    """The template's side of the match."""

    def __init__(self, arrays: HandTemplate) -> None:
        self.template = arrays.torch()
        normals = vertex_normals(arrays.vertices[None], arrays.faces)[0]
        self.model = Articulated(self.template, torch.from_numpy(normals))
        self.count = len(arrays.vertices)
        palm = arrays.weights[:, list(PALM_BONES)].sum(1) > PALM_SHARE
        rim = rim_vertices(arrays.faces)
        inner = palm.copy()
        inner[rim] = False
        self.all_palm = torch.from_numpy(np.flatnonzero(palm))
        self.palm = torch.from_numpy(np.flatnonzero(inner)[::4])
        self.rim = torch.zeros(self.count + 21, dtype=torch.bool)
        self.rim[torch.from_numpy(rim)] = True
        kinds = [DEVIATION[free.kind] for free in dof.DOFS]
        shape, length, offset = (DEVIATION[key] for key in ("shape", "length", "offset"))
        deviation = [kinds, [shape] * SHAPE, [length] * LENGTHS, [torch.inf] * FRAME, [offset] * OFFSETS]
        self.precision = torch.tensor([value for part in deviation for value in part]) ** -2.0
        self.limits = torch.from_numpy(dof.LIMITS)

    def match(self, pose: Pose, target: Target, mirror: Tensor) -> tuple[Match, Tensor, Tensor]:
        """Nearest points, and the hands' points [n,P,3] and normals [n,V,3] that they were found with."""
        bones = self.model.bones(pose)
        points, normals = self.model.points(pose, bones), self.model.posed_normals(pose, bones)
        ours = torch.cat([points[:, : self.count], NORMAL * normals], -1)
        theirs = torch.cat([target.points, NORMAL * target.normals], -1)[mirror]
        square = _squares(theirs, ours)  # [n,N,V]
        distance, vertex = square.min(2)
        back, sample = square[:, :, self.palm].min(1)
        return Match(vertex, distance, sample, back), points, normals

    def refine(
        self, pose: Pose, target: Target, mirror: Tensor, stage: Stage, joint_sigma: float = 0.005
    ) -> Pose:
        """Gauss-Newton with matches renewed every round; the reach shrinks geometrically."""
        first, last = stage.reach
        for k in range(stage.rounds):
            reach = first * (last / first) ** (k / max(1, stage.rounds - 1))
            pose = pose.moved(self._step(pose, target, mirror, stage, reach, joint_sigma))
        return pose

    def _step(
        self, pose: Pose, target: Target, mirror: Tensor, stage: Stage, reach: float, joint_sigma: float
    ) -> Tensor:
        match, points, _ = self.match(pose, target, mirror)
        palm = self.palm.expand(len(pose), -1)
        rows = torch.cat([match.vertex, palm], 1)
        goal, normal = (
            torch.cat([side[mirror], _rows(side[mirror], match.sample)], 1)
            for side in (target.points, target.normals)
        )
        forth = _robust(match.distance, reach) * (WORTH / match.distance.shape[1])
        back = _robust(match.back, reach) * (WORTH / 2 / palm.shape[1])
        weight = torch.cat([forth, back], 1).sqrt() / stage.sigma
        gap = goal - _rows(points, rows)
        jacobian = self.model.jacobian(pose, self.model.bones(pose), rows, stage.offsets)
        plane = weight * (gap * normal).sum(-1)
        plane_rows = weight[..., None] * (normal[..., None, :] @ jacobian)[..., 0, :]
        loose = torch.where(self.rim[rows], 0.0, weight / SLIDE)[..., None]
        a = torch.cat([plane_rows, (loose[..., None] * jacobian).flatten(1, 2)], 1)
        r = torch.cat([plane, (loose * gap).flatten(1)], 1)
        if bool(torch.isfinite(target.joints).any()):
            joint_a, joint_r = self._joint_rows(pose, points, target.joints[mirror], stage, joint_sigma)
            a, r = torch.cat([a, joint_a], 1), torch.cat([r, joint_r], 1)
        return self._solve(pose, a, r)

    def _joint_rows(
        self, pose: Pose, points: Tensor, joints: Tensor, stage: Stage, sigma: float
    ) -> tuple[Tensor, Tensor]:
        rows = torch.arange(self.count, self.count + 21).expand(len(pose), -1)
        jacobian = self.model.jacobian(pose, self.model.bones(pose), rows, stage.offsets)
        known = torch.isfinite(joints).all(-1, keepdim=True) / sigma
        gap = torch.nan_to_num(joints) - points[:, self.count :]
        return (known[..., None] * jacobian).flatten(1, 2), (known * gap).flatten(1)

    def _solve(self, pose: Pose, a: Tensor, r: Tensor) -> Tensor:
        size = a.shape[2]
        precision = self.precision[:size]
        normal, right = a.mT @ a, (a.mT @ r[..., None])[..., 0]
        right = right - precision * pose.parameters()[:, :size]
        beyond = pose.angles - pose.angles.clamp(self.limits[:, 0], self.limits[:, 1])
        right[:, :ANGLES] -= beyond / LIMIT**2
        ridge = precision + 1e-3 * normal.diagonal(dim1=1, dim2=2) + 1e-6
        ridge[:, :ANGLES] += (beyond != 0) / LIMIT**2
        factor = torch.linalg.cholesky(normal + torch.diag_embed(ridge))
        return torch.cholesky_solve(right[..., None], factor)[..., 0]

    def energy(self, pose: Pose, target: Target, mirror: Tensor, reach: float = 0.008) -> Tensor:
        """How badly each hand explains the samples and its palm is explained by them, and how unlikely it
        is itself [n]; 0 is perfect, 1 hopeless."""
        match, points, _ = self.match(pose, target, mirror)
        data = _loss(match.distance, reach).mean(1) + 0.5 * _loss(match.back, reach).mean(1)
        beyond = pose.angles - pose.angles.clamp(self.limits[:, 0], self.limits[:, 1])
        unlikely = (self.precision * pose.parameters() ** 2).sum(1) + (beyond**2).sum(1) / LIMIT**2
        joints = target.joints[mirror]
        off = torch.nan_to_num(((joints - points[:, self.count :]) / 0.005).square().sum(-1)).sum(-1)
        return data + 0.002 * (unlikely + off)


def rim_vertices(faces: np.ndarray) -> np.ndarray:
    """Vertices on the open boundary of triangles [F,3]."""
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), 1)
    unique, count = np.unique(edges, axis=0, return_counts=True)
    return np.unique(unique[count == 1])


def _squares(a: Tensor, b: Tensor) -> Tensor:
    """Squared distances [n,N,M] of rows a [n,N,C] and b [n,M,C]."""
    cross = torch.baddbmm((b**2).sum(-1)[:, None], a, b.mT, alpha=-2)
    return (cross + (a**2).sum(-1)[..., None]).clamp_min_(0)


def _rows(values: Tensor, index: Tensor) -> Tensor:
    """values [n,V,3] at index [n,M]: [n,M,3]."""
    return torch.gather(values, 1, index[..., None].expand(-1, -1, 3))


def _robust(square: Tensor, reach: float) -> Tensor:
    """Geman-McClure weights: 1 near, 1/4 at `reach`."""
    return (1 + square / reach**2) ** -2


def _loss(square: Tensor, reach: float) -> Tensor:
    """Geman-McClure loss: 0 near, 1 far."""
    return square / (square + reach**2)
