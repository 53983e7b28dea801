"""Backgrounds: 1/f noise, gradients, edges, clutter, skin-coloured things, in and out of focus."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from .dice import Dice
from .noise import power_noise

SIDE = 320  # pixels of a background that pictures are cut from


def background(dice: Dice, clutter: list[Tensor]) -> Tensor:
    """One background [SIDE,SIDE,3] of display values in [0,1].

    `clutter`: pictures [h,w,4] with their coverage, to be strewn about.
    """
    low, high = sorted((dice.number(0, 1), dice.number(0, 1)))
    base = _colour(dice, low, high)
    picture = base * torch.ones(SIDE, SIDE, 3, device=dice.device)
    picture = picture + _gradient(dice) * dice.number(0, 0.35)
    kind = dice.choose(6)
    if kind >= 1:
        exponent = dice.number(0.9, 1.7)
        noise = power_noise(4, SIDE, exponent, dice).permute(1, 2, 0)
        amount = dice.number(0.01, 0.2 if kind > 2 else 0.12)
        picture = picture + amount * (noise[..., :1] + dice.number(0, 0.3) * noise[..., 1:])
    if kind == 2:
        picture = _stripes(picture, dice)
    if kind >= 3 or dice.number() < 0.3:
        for _ in range(dice.choose(22) + 2):
            _shape(picture, dice)
    for thing in clutter:
        _paste(picture, thing, dice)
    picture = picture.clamp_(0, 1)
    if dice.number() < 0.65:  # out of focus
        small = int(SIDE / math.exp(dice.number(0.2, 2.6)))
        shrunk = F.interpolate(picture.permute(2, 0, 1)[None], size=small, mode="area")
        picture = F.interpolate(shrunk, size=SIDE, mode="bicubic", align_corners=False)[0].permute(1, 2, 0)
    return picture.clamp(0, 1)


def _colour(dice: Dice, low: float = 0.0, high: float = 1.0) -> Tensor:
    """A colour [3], most of them dull, some of skin."""
    if dice.number() < 0.15:
        tone = torch.tensor([0.90, 0.69, 0.56], device=dice.device) * dice.number(0.35, 1.05)
        return tone * (1 + dice.normal(3, sigma=0.05))
    grey = dice.number(low, high)
    return (grey + dice.normal(3, sigma=0.02 + 0.12 * dice.number() ** 4)).clamp(0, 1)


def _axes(dice: Dice) -> tuple[Tensor, Tensor]:
    """Columns and rows [SIDE,SIDE] of a turned frame, from -1 to 1 about the middle."""
    line = torch.linspace(-1, 1, SIDE, device=dice.device)
    y, x = torch.meshgrid(line, line, indexing="ij")
    turn = dice.number(0, math.pi) if dice.number() < 0.6 else math.pi / 2 * dice.choose(2)
    c, s = math.cos(turn), math.sin(turn)
    return c * x + s * y, c * y - s * x


def _gradient(dice: Dice) -> Tensor:
    x, y = _axes(dice)
    ramp = x if dice.number() < 0.6 else (x.square() + (y - 0.3).square()).sqrt() - 0.6
    return ramp[..., None] * dice.normal(3, sigma=0.15).add(dice.number(-1, 1))


def _stripes(picture: Tensor, dice: Dice) -> Tensor:
    """Boards, tiles, cloth: periodic lines across."""
    x, y = _axes(dice)
    period = math.exp(dice.number(math.log(0.03), math.log(0.5)))
    wave = torch.remainder(x / period, 1) < dice.number(0.05, 0.6)
    if dice.number() < 0.4:
        wave = wave ^ (torch.remainder(y / period, 1) < dice.number(0.05, 0.6))
    return picture + wave[..., None] * dice.normal(3, sigma=0.06).add(dice.number(-0.25, 0.25))


def _shape(picture: Tensor, dice: Dice) -> None:
    """A polygon, a bar or an ellipse in a colour of its own, somewhere on `picture` (in place)."""
    size = math.exp(dice.number(math.log(12), math.log(170)))
    x0, y0 = dice.number(-0.1, 1.1) * SIDE, dice.number(-0.1, 1.1) * SIDE
    turn, stretch = dice.number(0, 2 * math.pi), math.exp(dice.number(0, 2.0))
    half = size * 1.5
    left, right = max(0, int(x0 - half)), min(SIDE, int(x0 + half))
    top, bottom = max(0, int(y0 - half)), min(SIDE, int(y0 + half))
    if right <= left or bottom <= top:
        return
    x = (torch.arange(left, right, device=picture.device) + 0.5 - x0)[None]
    y = (torch.arange(top, bottom, device=picture.device) + 0.5 - y0)[:, None]
    c, s = math.cos(turn), math.sin(turn)
    u, v = (c * x + s * y) / size, (c * y - s * x) / size * stretch
    if dice.number() < 0.4:
        distance = (u.square() + v.square()).sqrt() - 1
    else:
        distance = torch.maximum(u.abs() - 1, v.abs() - dice.number(0.5, 1))
        for _ in range(dice.choose(3)):
            angle = dice.number(0, 2 * math.pi)
            distance = torch.maximum(
                distance, math.cos(angle) * u + math.sin(angle) * v - dice.number(0.2, 0.8)
            )
    cover = (0.5 - distance * size / math.exp(dice.number(0, 2))).clamp(0, 1)[..., None]
    colour = _colour(dice) + (dice.number(-0.15, 0.15) * u + dice.number(-0.1, 0.1) * v)[..., None]
    window = picture[top:bottom, left:right]
    if dice.number() < 0.5:  # its shadow
        window *= 1 - 0.4 * dice.number() * (0.8 - distance * 3).clamp(0, 1)[..., None]
    window += cover * (colour - window)


def _paste(picture: Tensor, thing: Tensor, dice: Dice) -> None:
    """`thing [h,w,4]`, turned by quarters and flipped, somewhere on `picture` (in place)."""
    thing = torch.rot90(thing, dice.choose(4))
    if dice.number() < 0.5:
        thing = thing.flip(1)
    height, width = thing.shape[:2]
    top, left = int(dice.number(-0.4, 1.0) * SIDE), int(dice.number(-0.4, 1.0) * SIDE)
    rows, columns = slice(max(0, top), min(SIDE, top + height)), slice(max(0, left), min(SIDE, left + width))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return
    part = thing[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    window = picture[rows, columns]
    window += part[..., 3:] * (part[..., :3] - window)


def cut(pool: Tensor, side: int, dice: Dice, count: int) -> Tensor:
    """`count` crops [count,side,side,3] float of random backgrounds of `pool [K,SIDE,SIDE,3]` bytes."""
    size = pool.shape[1]
    entry = dice.whole(count, below=len(pool)).tolist()
    corners = dice.whole(count, 2, below=size - side + 1).tolist()
    flips = dice.whole(count, 3, below=2).tolist()
    cuts = torch.empty(count, side, side, 3, device=pool.device)
    for i, (k, (top, left), (turned, down, across)) in enumerate(zip(entry, corners, flips)):
        part = pool[k, top : top + side, left : left + side]
        if turned:
            part = part.transpose(0, 1)
        if down:
            part = part.flip(0)
        if across:
            part = part.flip(1)
        cuts[i] = part
    return cuts.div_(255)
