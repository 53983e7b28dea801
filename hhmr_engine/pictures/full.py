"""Whole photos of one or more hands, left or right, with what they show: for tests of detection."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..hand.rotation import rotation_matrix
from ..hand.template import UNIT
from .camera import View, random_rotations
from .dice import Dice
from .light import random_lights
from .pictures import HandPictures, cast_shadow, develop
from .scene import Layer

_LEAN = 0.5  # radians by which hands lean from upright, standard deviation


@dataclass(frozen=True)
class FullPicture:
    """A photo of n hands. Camera axes: x right, y down, z away; metres; principal point in the middle."""

    pixels: Tensor  # [height,width,3] uint8
    vertices: Tensor  # [n,V,3] camera axes; a left hand's really are a left hand's
    joints2d: Tensor  # [n,21,2] pixels
    visible: Tensor  # [n,21] bool
    mask: Tensor  # [n,height,width] bool: where each hand is seen, without its forearm
    sides: tuple[str, ...]  # "right" or "left"
    focal: float  # pixels


def full_picture(
    drawer: HandPictures,
    vertices: Tensor,
    sides: tuple[str, ...],
    seed: int,
    size: tuple[int, int] = (640, 480),
    share: tuple[float, float] = (0.35, 0.75),
) -> FullPicture:
    """A photo of right hands `vertices [n,V,3]` in the palm frame (UNIT), those of `sides` "left" mirrored.

    size: width and height in pixels. share: the hands' sizes in parts of their column, which is the picture's
    n-th part or its height, whichever is less. Hands stand beside each other in any order.
    A drawer with settings.other_hand = 0 shows no hands but these.
    """
    if len(sides) != len(vertices) or set(sides) - {"left", "right"}:
        raise ValueError("sides must say 'left' or 'right' of every hand.")
    with torch.no_grad():
        dice = Dice(drawer.seed, 5, seed, device=drawer.device)
        return _draw(drawer, vertices.to(drawer.device), sides, dice, size, share)


def _draw(
    drawer: HandPictures,
    hands: Tensor,
    sides: tuple[str, ...],
    dice: Dice,
    size: tuple[int, int],
    share: tuple[float, float],
) -> FullPicture:
    stage, settings, (width, height) = drawer.stage, drawer.settings, size
    left = torch.tensor([side == "left" for side in sides], device=hands.device)
    view = _places(stage.regressor @ hands, left, size, share, dice)
    pools = len(drawer.skins), len(drawer.backgrounds)
    cast = stage.cast(hands, view, pools, (settings.held, settings.occluder), dice)
    lights = random_lights(1, dice).repeat(len(hands))
    layer = stage.shoot(cast, view, lights, drawer.skins, drawer.backgrounds, height, width)
    points = cast.points[:, : hands.shape[1]]
    joints2d = view.project(stage.regressor @ points)
    visible = stage.visible(layer, joints2d)

    # What was drawn as right hands is left, mirrored: pixels and points alike.
    layer = _mirrored(layer, left)
    points = torch.where(left[:, None, None], points * points.new_tensor([-1, 1, 1]), points)
    flipped = joints2d * joints2d.new_tensor([-1, 1]) + joints2d.new_tensor([width, 0])
    joints2d = torch.where(left[:, None, None], flipped, joints2d)

    far_to_near = points[..., 2].mean(1).argsort(descending=True).tolist()
    picture = _ground(drawer.backgrounds, size, dice)
    mask = layer.hand > 0.5
    for number, hand in enumerate(far_to_near):
        cover = layer.coverage[hand : hand + 1, ..., None]
        dark = 0.5 * dice.number() * cast_shadow(cover[..., 0], lights.key[:1, :2] * 0.08)[..., None]
        picture = picture * (1 - dark) * (1 - cover) + layer.colour[hand : hand + 1]
        behind = far_to_near[:number]
        mask[behind] &= cover[..., 0] < 0.5
        visible[behind] &= ~_covered(cover[0, ..., 0] > 0.5, joints2d[behind])
    pixels = develop(picture, settings, drawer.grain, dice)[0].clamp(0, 1).mul(255).to(torch.uint8)
    return FullPicture(pixels, points, joints2d, visible, mask, sides, float(view.focal[0]))


def _places(
    joints: Tensor, left: Tensor, size: tuple[int, int], share: tuple[float, float], dice: Dice
) -> View:
    """Views of one camera on hands beside each other; who becomes left stands mirrored for now."""
    count, (width, height) = len(joints), size
    scale = UNIT * torch.exp(dice.normal(count, sigma=0.07))
    rotation = _upright(random_rotations(count, dice), joints, dice)
    focal = max(size) * math.exp(dice.number(-0.2, 0.5))
    column = width / count
    turned = (joints @ rotation.transpose(-1, -2)) * scale[:, None, None]
    low, high = turned.amin(1), turned.amax(1)
    extent = (high - low)[:, :2].amax(1)
    pixels = min(column, height) * dice.uniform(count, low=share[0], high=share[1])
    depth = (focal * extent / pixels).maximum(4 * extent)
    order = torch.randperm(count, generator=dice.generator).to(joints.device)
    u = (order + 0.5) * column + (column - pixels) * dice.uniform(count, low=-0.45, high=0.45)
    v = height / 2 + (height - pixels) * dice.uniform(count, low=-0.45, high=0.45)
    u = torch.where(left, width - u, u)
    place = torch.stack([(u - width / 2) / focal * depth, (v - height / 2) / focal * depth, depth], 1)
    principal = torch.tensor([[width / 2, height / 2]], device=joints.device)
    return View(
        scale, rotation, place - (low + high) / 2, torch.full_like(depth, focal), principal.expand(count, -1)
    )


def _upright(rotation: Tensor, joints: Tensor, dice: Dice) -> Tensor:
    """`rotation [n,3,3]` turned about the view so that fingers point up, more or less."""
    along = (rotation @ (joints[:, 9] - joints[:, 0])[:, :, None])[:, :2, 0]
    lean = dice.normal(len(joints), sigma=_LEAN) - torch.atan2(along[:, 0], -along[:, 1])
    return rotation_matrix(torch.stack([0 * lean, 0 * lean, lean], 1)) @ rotation


def _mirrored(layer: Layer, left: Tensor) -> Layer:
    """The layers of the hands that are `left [n]`, mirrored."""

    def turn(image: Tensor) -> Tensor:
        return torch.where(left.view(-1, *[1] * (image.ndim - 1)), image.flip(2), image)

    return Layer(turn(layer.colour), turn(layer.coverage), turn(layer.hand), turn(layer.face))


def _ground(pool: Tensor, size: tuple[int, int], dice: Dice) -> Tensor:
    """A background of the pool, as large as the picture [1,height,width,3]."""
    entry = pool[dice.choose(len(pool))].permute(2, 0, 1)[None].float() / 255
    picture = F.interpolate(entry, size=(size[1], size[0]), mode="bicubic", align_corners=False)
    return picture.clamp(0, 1).permute(0, 2, 3, 1)


def _covered(cover: Tensor, points: Tensor) -> Tensor:
    """Whether `points [n,21,2]` in pixels lie on what is true in `cover [height,width]`."""
    column = points[..., 0].long().clamp(0, cover.shape[1] - 1)
    row = points[..., 1].long().clamp(0, cover.shape[0] - 1)
    return cover[row, column]
