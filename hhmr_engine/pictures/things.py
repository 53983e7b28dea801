"""Things in the hand and before it: boxes, cylinders, balls, capsules, all of one lathed topology."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..hand.rotation import rotation_matrix
from .dice import Dice

ROUND, RINGS = 16, 8
POINTS = ROUND * RINGS
KINDS = ("ball", "cylinder", "capsule", "box")


@dataclass(frozen=True)
class Thing:
    """points [B,POINTS,3], normals [B,POINTS,3], texture coordinates uv [B,POINTS,2] in pattern widths."""

    points: Tensor
    normals: Tensor
    uv: Tensor


class Shapes:
    """Unit shapes along z, radius 1, half length 1 (a capsule's caps lie beyond it)."""

    def __init__(self, device: str | torch.device) -> None:
        made = [_lathe(kind) for kind in KINDS]
        self.points = torch.from_numpy(np.stack([m[0] for m in made])).float().to(device)
        self.normals = torch.from_numpy(np.stack([m[1] for m in made])).float().to(device)
        self.uv = torch.from_numpy(np.stack([m[2] for m in made])).float().to(device)
        self.faces = torch.from_numpy(_grid()).to(device)

    def make(self, kind: Tensor, axes: Tensor, radii: Tensor, place: Tensor, pattern: Tensor) -> Thing:
        """Things of kind [B], axes [B,3,3] (columns), radii [B,3], place [B,3], pattern width [B]."""
        points = self.points[kind] * radii[:, None]
        normals = F.normalize(self.normals[kind] / radii[:, None].clamp_min(1e-9), dim=-1)
        around = radii[:, :1] * math.pi
        size = torch.cat([around, radii[:, 2:]], 1) * 2 / pattern[:, None]
        return Thing(
            points @ axes.transpose(-1, -2) + place[:, None],
            normals @ axes.transpose(-1, -2),
            self.uv[kind] * size[:, None],
        )


def _lathe(kind: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points, normals [POINTS,3], texture coordinates [POINTS,2] of a shape; rings doubled at edges."""
    if kind in ("ball", "capsule"):
        angle = np.linspace(0, np.pi, RINGS)
        profile = np.sin(angle)
        z = -np.cos(angle)
        across, along = np.sin(angle), -np.cos(angle)
        if kind == "capsule":
            z = np.sign(z) * 0.6 + 0.4 * z
    else:
        profile = np.array([0, 1, 1, 1, 1, 1, 1, 0], float)
        z = np.array([-1, -1, -1, -0.33, 0.33, 1, 1, 1])
        across = np.array([0, 0, 1, 1, 1, 1, 0, 0], float)
        along = np.array([-1, -1, 0, 0, 0, 0, 1, 1], float)
    if kind == "box":
        corner = np.array([[1, -1], [1, 1], [-1, 1], [-1, -1]], float)
        side = np.repeat(np.arange(4), 4)
        part = np.tile(np.array([0, 1 / 3, 2 / 3, 1]), 4)[:, None]
        ring = corner[side] * (1 - part) + corner[(side + 1) % 4] * part
        outward = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]], float)[side]
    else:
        angle = np.arange(ROUND) / ROUND * 2 * np.pi
        ring = outward = np.stack([np.cos(angle), np.sin(angle)], 1)
    points = np.concatenate(
        [profile[:, None, None] * ring[None], np.broadcast_to(z[:, None, None], (RINGS, ROUND, 1))], -1
    )
    normals = np.concatenate(
        [across[:, None, None] * outward[None], np.broadcast_to(along[:, None, None], (RINGS, ROUND, 1))], -1
    )
    u = np.broadcast_to(np.abs(np.arange(ROUND) / ROUND * 2 - 1)[None, :], (RINGS, ROUND))
    v = np.broadcast_to(((z + 1) / 2)[:, None], (RINGS, ROUND)) + 0.3 * (1 - profile)[:, None]
    return points.reshape(-1, 3), normals.reshape(-1, 3), np.stack([u, v], -1).reshape(-1, 2)


def _grid() -> np.ndarray:
    """Faces of RINGS rings of ROUND points, outward for rings that rise along z."""
    ring, j = np.divmod(np.arange((RINGS - 1) * ROUND), ROUND)
    a, b = ring * ROUND + j, ring * ROUND + (j + 1) % ROUND
    c, d = a + ROUND, b + ROUND
    return np.concatenate([np.stack([a, b, d], 1), np.stack([a, d, c], 1)])


def held(shapes: Shapes, vertices: Tensor, joints: Tensor, unit: Tensor, dice: Dice) -> Thing:
    """Something in every hand: grown from between palm and fingers until it touches them.

    vertices [B,V,3] and joints [B,21,3] in camera axes, metres; unit [B] metres a palm-frame unit.
    """
    count = len(vertices)
    tips = joints[:, [4, 8, 12, 16]].mean(1)
    palm = joints[:, [5, 9, 13]].mean(1)
    share = dice.uniform(count, 1, low=0.25, high=0.75)
    across = F.normalize(joints[:, 5] - joints[:, 17], dim=1)
    along = F.normalize(joints[:, 9] - joints[:, 0], dim=1)
    inward = F.normalize(torch.linalg.cross(along, across), dim=1)  # out of a right hand's palm
    place = palm * (1 - share) + tips * share
    place = place + inward * unit[:, None] * dice.uniform(count, 1, low=0.25, high=0.8)
    axis = F.normalize(across + 0.35 * dice.normal(count, 3) + 0.8 * along * dice.normal(count, 1), dim=1)
    side = F.normalize(torch.linalg.cross(axis, dice.directions(count)), dim=1)
    axes = torch.stack([side, torch.linalg.cross(axis, side), axis], 2)

    offset = vertices - place[:, None]
    lengthwise = (offset @ axis[:, :, None])[..., 0].abs()
    half = unit * torch.exp(dice.uniform(count, low=math.log(0.4), high=math.log(2.8)))
    gap = (offset.square().sum(-1) - lengthwise.square()).clamp_min(0).sqrt()
    gap = gap + (lengthwise - half[:, None]).clamp_min(0)
    radius = gap.amin(1) * dice.uniform(count, low=0.85, high=1.1)
    radius = torch.minimum(radius, 1.4 * unit).clamp_min(0.08 * unit)
    kind = dice.whole(count, below=len(KINDS))
    ball = kind == 0
    half = torch.where(ball, radius, torch.maximum(half, radius))
    flat = torch.where(kind == 3, dice.uniform(count, low=0.3, high=0.75), 1.0)
    radii = torch.stack([radius * torch.where(kind == 3, 0.8, 1.0), radius * flat, half], 1)
    return shapes.make(kind, axes, radii, place, unit * dice.uniform(count, low=1.5, high=5.0))


def occluder(shapes: Shapes, vertices: Tensor, joints: Tensor, unit: Tensor, dice: Dice) -> Thing:
    """Something between every hand and the camera, from a pen to half a hand; arguments as `held`."""
    count = len(vertices)
    rows = torch.arange(count, device=vertices.device)
    about = joints[rows, dice.whole(count, below=21)]
    near = vertices[..., 2].amin(1)
    half = unit * torch.exp(dice.uniform(count, low=math.log(0.3), high=math.log(1.3)))
    long = dice.chance(count, share=0.6)
    length = torch.where(long, unit * dice.uniform(count, low=3, high=9), half)
    half = torch.where(long, half * 0.6, half)
    kind = dice.whole(count, below=len(KINDS))
    flat = torch.where(kind == 3, dice.uniform(count, low=0.05, high=0.6), 1.0)
    radii = torch.stack([half, half * flat, torch.where(kind == 0, half, length)], 1)
    axes = rotation_matrix(dice.directions(count) * dice.uniform(count, 1, high=math.pi))
    depth = near - radii.amax(1) * dice.uniform(count, low=0.6, high=1.5)
    # A long thing passes with its side, anywhere along it.
    slide = axes[:, :, 2] * (length * dice.uniform(count, low=-0.8, high=0.8) * long)[:, None]
    ray = about / about[:, 2:] * depth[:, None]
    ray = ray + dice.normal(count, 3, sigma=0.4) * unit[:, None] * torch.tensor([1.0, 1.0, 0.0]).to(ray)
    place = ray + slide * torch.tensor([1.0, 1.0, 0.0]).to(ray)
    return shapes.make(kind, axes, radii, place, unit * dice.uniform(count, low=1.5, high=6.0))
