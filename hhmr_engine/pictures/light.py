"""Light at points: sky and ground, a key light with shadows, a fill light, gloss. Linear."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .dice import Dice

_CELL = 0.006  # metres of a shadow map's cell
_CELLS = 64
_BIAS = 0.009  # metres a thing must be nearer to the light to cast a shadow
_SCATTER = (0.38, 0.20, 0.15)  # how far light wanders round an edge of skin: red most
_ABSORPTION = (0.85, 1.1, 1.2)  # of light lost in creases: red goes last


@dataclass(frozen=True)
class Lights:
    """Of B pictures, in camera axes; directions point to the light."""

    up: Tensor  # [B,3]
    sky: Tensor  # [B,3] colour
    ground: Tensor  # [B,3]
    key: Tensor  # [B,3] direction
    key_colour: Tensor  # [B,3]
    fill: Tensor  # [B,3] direction
    fill_colour: Tensor  # [B,3]
    gloss: Tensor  # [B] strength
    sharpness: Tensor  # [B] exponent

    def repeat(self, count: int) -> Lights:
        """The first picture's lights, for `count` pictures."""
        return Lights(*(value[:1].expand(count, *value.shape[1:]) for value in vars(self).values()))


def random_lights(count: int, dice: Dice) -> Lights:
    """Rooms, daylight, flashes: from flat to harsh, from warm to cold."""
    forward = torch.tensor([0.0, 0.0, -1.0], device=dice.device)
    key = F.normalize(dice.directions(count) + 0.75 * forward, dim=1)
    fill = F.normalize(dice.directions(count) + 0.4 * forward, dim=1)
    up = F.normalize(dice.directions(count) + 0.3 * forward, dim=1)
    contrast = dice.uniform(count, 1, low=0.1, high=0.85)  # the key light's part of all light
    exposure = torch.exp(dice.normal(count, 1, sigma=0.28)) * 0.95
    sky = _tint(count, 0.10, dice) * exposure * (1 - contrast)
    ground = sky * dice.uniform(count, 1, low=0.35, high=0.95) * _tint(count, 0.08, dice)
    return Lights(
        up,
        sky,
        ground,
        key,
        _tint(count, 0.10, dice) * exposure * contrast * 1.35,
        fill,
        _tint(count, 0.2, dice) * exposure * dice.uniform(count, 1, high=0.35),
        dice.uniform(count, low=0.02, high=0.35) * exposure[:, 0],
        torch.exp(dice.uniform(count, low=1.5, high=3.6)),
    )


def _tint(count: int, sigma: float, dice: Dice) -> Tensor:
    """Colours [count,3] of light from warm to cold, and a little green or magenta."""
    warm = dice.normal(count, 1, sigma=sigma)
    green = dice.normal(count, 1, sigma=sigma * 0.25)
    return torch.cat([1 + warm, 1 + green, 1 - 1.2 * warm], 1).clamp_min(0.3)


def illuminate(normals: Tensor, openness: Tensor, shadow: Tensor, lights: Lights) -> Tensor:
    """Light [B,P,4] that points scatter to the camera (3) and mirror (1).

    normals [B,P,3]; openness [B,P] of the sky round each point, shadow [B,P] of the key light, in [0,1].
    """
    scatter = torch.tensor(_SCATTER, device=normals.device)
    absorption = torch.tensor(_ABSORPTION, device=normals.device)
    upward = (0.5 + 0.5 * (normals @ lights.up[:, :, None])).clamp(0, 1)
    around = upward * lights.sky[:, None] + (1 - upward) * lights.ground[:, None]
    fill = ((normals @ lights.fill[:, :, None]) * 0.7 + 0.3).clamp_min(0)
    around = (around + fill * lights.fill_colour[:, None]) * openness[..., None] ** absorption
    key = ((normals @ lights.key[:, :, None] + scatter) / (1 + scatter)).clamp_min(0)
    lit = 1 - shadow
    total = around + key * lights.key_colour[:, None] * lit[..., None]
    half = F.normalize(lights.key - torch.tensor([0.0, 0.0, 1.0], device=normals.device), dim=1)
    mirror = (normals @ half[:, :, None])[..., 0].clamp_min(0) ** lights.sharpness[:, None]
    mirror = mirror * lit * lights.gloss[:, None]
    graze = (1 + normals[..., 2]).clamp(0, 1) ** 4 * 0.12 * openness * lights.sky.mean(1)[:, None]
    return torch.cat([total, (mirror + graze)[..., None]], 2)


def openness(points: Tensor, normals: Tensor, unit: Tensor) -> Tensor:
    """How much of the sky points [B,N,3] all over a hand see past each other [B,N]; unit [B] metres."""
    local = (points - points.mean(1, keepdim=True)) / unit[:, None, None]
    length = local.square().sum(2)
    square = torch.baddbmm(length[:, None] + length[:, :, None], local, local.transpose(1, 2), alpha=-2)
    square = square.clamp_(min=1e-4)
    rising = normals @ local.transpose(1, 2) - (normals * local).sum(2, keepdim=True)
    toward = (rising * square.rsqrt()).sub_(0.12).clamp_(min=0)
    blocked = toward.div_(square.add_(0.06)).sum(2) * (9.0 / points.shape[1])
    return torch.exp(-0.55 * blocked)


def shadows(points: Tensor, direction: Tensor, centre: Tensor) -> Tensor:
    """How far, 0 to 1, points [B,P,3] lie in the shadow of points nearer to the light in `direction [B,3]`.

    A shadow map of _CELLS cells about centre [B,3], compared at five places each, which makes edges soft.
    """
    count, size = points.shape[:2]
    other = torch.zeros_like(direction)
    other[:, 0] = (direction[:, 0].abs() < 0.7).float()
    other[:, 1] = 1 - other[:, 0]
    u = F.normalize(torch.linalg.cross(direction, other), dim=1)
    axes = torch.stack([u, torch.linalg.cross(direction, u), -direction], 2)
    local = (points - centre[:, None]) @ axes
    cell = (local[..., :2] / _CELL + _CELLS / 2).clamp_(1, _CELLS - 2).long()
    depth = local[..., 2]
    index = cell[..., 1] * _CELLS + cell[..., 0]
    map_ = torch.full((count, _CELLS * _CELLS), 9.0, device=points.device)
    map_.scatter_reduce_(1, index, depth, "amin")
    total = torch.zeros_like(depth)
    for step in (0, 1, -1, _CELLS, -_CELLS):
        total += map_.gather(1, index + step) < depth - _BIAS
    return total / 5
