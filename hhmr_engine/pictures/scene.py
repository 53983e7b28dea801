"""Hands, forearms and things before a camera -> lit, textured layers without a background."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..hand.skeleton import FINGER_BONES, FINGER_JOINTS, PALM_BONES
from ..hand.template import HandTemplate
from .body import Body, point_normals
from .camera import View
from .dice import Dice
from .light import Lights, illuminate, openness, shadows
from .skin import CHANNELS, TEXELS, Skin, texel
from .things import POINTS, Shapes, Thing, held, occluder
from .zbuffer import Fragments, rasterise

_AWAY = 1000.0  # metres: where things are put that are not there
_FINGER_REACH, _PALM_REACH, _WRIST_REACH = 0.016, 0.026, 0.040  # metres from a joint to all the skin round it


@dataclass(frozen=True)
class Layer:
    """colour [B,H,W,3] display values times coverage [B,H,W]; hand [B,H,W] what of it is bare hand.

    face [B,H+1,W+1] number of what the pixels' corners show, -1 where nothing is.
    """

    colour: Tensor
    coverage: Tensor
    hand: Tensor
    face: Tensor


@dataclass(frozen=True)
class Cast:
    """Who and what is in B pictures: all points in camera axes, and what they are covered with."""

    points: Tensor  # [B,P,3] body, held thing, occluder
    normals: Tensor  # [B,P,3]
    uv: Tensor  # [B,P,2]
    sleeve: Tensor  # [B] bool
    person: Tensor  # [B] row in the table of skins
    pattern: Tensor  # [B,3] rows in the pool of backgrounds: of sleeve, held thing, occluder
    paint: Tensor  # [B,3,4] colour and how much of the pattern shows


class Stage:
    """The geometry and the faces of all that is shown, for one template."""

    def __init__(self, template: HandTemplate, device: str | torch.device) -> None:
        self.body = Body(template, device)
        self.shapes = Shapes(device)
        self.skin = Skin(template, self.body)
        self.template = template.torch(device)
        self.regressor: Tensor = self.template.regressor
        first = self.body.points
        self.faces = torch.cat(
            [self.body.faces, self.shapes.faces + first, self.shapes.faces + first + POINTS]
        )
        self.around = _skin_around(template, self.body.rest, self.body.faces)  # [21,F]

    def cast(
        self, vertices: Tensor, view: View, pools: tuple[int, int], shares: tuple[float, float], dice: Dice
    ) -> Cast:
        """Hands [B,V,3] in the palm frame, with forearms and things; pools: numbers of skins and patterns.

        shares: of pictures with something held, and with something before the hand.
        """
        count = len(vertices)
        palm_points, sleeve = self.body.build(vertices, dice)
        points = view.place(palm_points)
        hand = points[:, : vertices.shape[1]]
        joints = self.regressor @ hand
        present = dice.chance(count, share=shares[0]), dice.chance(count, share=shares[1])
        things = [
            _only(held(self.shapes, hand, joints, view.scale, dice), present[0]),
            _only(occluder(self.shapes, hand, joints, view.scale, dice), present[1]),
        ]
        uv = self.body.rest[:, :2] * 9 + self.body.rest[:, 2:] * 6
        paint = torch.cat([dice.uniform(count, 3, 1), dice.uniform(count, 3, 1)], 2).mean(2, keepdim=True)
        paint = (paint + dice.normal(count, 3, 3, sigma=0.12)).clamp(0.02, 0.98)
        return Cast(
            torch.cat([points, *(t.points for t in things)], 1),
            torch.cat([point_normals(points, self.body.faces), *(t.normals for t in things)], 1),
            torch.cat([uv.expand(count, -1, -1), *(t.uv for t in things)], 1),
            sleeve,
            dice.whole(count, below=pools[0]),
            dice.whole(count, 3, below=pools[1]),
            torch.cat([paint, dice.uniform(count, 3, 1) ** 2], 2),
        )

    def light(self, cast: Cast, view: View, lights: Lights) -> Tensor:
        """Light [B,P,4] at all points, with creases and shadows."""
        size = self.template.decoder.shape[0]
        nodes = cast.points[:, self.template.nodes]
        node_open = openness(nodes, cast.normals[:, self.template.nodes], view.scale)
        opened = torch.ones_like(cast.points[..., 0])
        opened[:, :size] = (node_open @ self.template.decoder.T).clamp(0, 1)
        shadow = shadows(cast.points, lights.key, nodes.mean(1))
        return illuminate(cast.normals, opened, shadow, lights)

    def shoot(
        self, cast: Cast, view: View, lights: Lights, skins: Tensor, patterns: Tensor, height: int, width: int
    ) -> Layer:
        """The layer of a cast as `view` shows it on `height` by `width` pixels.

        skins [K,T,CHANNELS] and patterns [K,side,side,3] bytes. Samples lie at the pixels' corners, and a
        pixel is the mean of its four: that smooths outlines.
        """
        light = self.light(cast, view, lights)
        screen = torch.cat([view.project(cast.points) + 0.5, cast.points[..., 2:]], 2)
        found = rasterise(screen, self.faces, height + 1, width + 1)
        body = len(self.body.faces)
        bare = (found.face < self.body.cuff_face) | ((found.face < body) & ~cast.sleeve[found.picture])
        count = len(cast.points)
        size = count * (height + 1) * (width + 1)
        other = (~bare).nonzero()[:, 0]
        shown = _skin(found, bare, light, lights, cast.person, skins, size, width + 1)
        shown[other, :3] = self._painted(found.select(other), light, cast, patterns)
        shown[:, 4] = found.face < self.body.hand_faces
        canvas = torch.zeros(size, 5, device=light.device)
        canvas[found.sample] = shown
        face = torch.full((size,), -1, device=light.device)
        face[found.sample] = found.face
        canvas = canvas.view(count, height + 1, width + 1, 5)
        rows = canvas[:, 1:] + canvas[:, :-1]
        smooth = (rows[:, :, 1:] + rows[:, :, :-1]).mul_(0.25)
        return Layer(smooth[..., :3], smooth[..., 3], smooth[..., 4], face.view(count, height + 1, width + 1))

    def _painted(self, found: Fragments, light: Tensor, cast: Cast, patterns: Tensor) -> Tensor:
        """Display colours [K,3] of fragments that are no skin: sleeve, held thing, occluder."""
        body = len(self.body.faces)
        slot = (found.face >= body).long() + (found.face >= body + len(self.shapes.faces)).long()
        side = patterns.shape[1]
        lit = found.interpolate(torch.cat([light, cast.uv], 2))
        place = ((torch.remainder(lit[:, 4:], 2) - 1).abs() * (side - 1)).long()
        entry = cast.pattern[found.picture, slot]
        row = (entry * side + place[:, 1]) * side + place[:, 0]
        pattern = patterns.view(-1, 3)[row].float().div_(255)
        paint = cast.paint[found.picture, slot]
        colour = paint[:, :3] + (pattern - paint[:, :3]) * paint[:, 3:]
        return (colour.square() * lit[:, :3] + 0.4 * lit[:, 3:4]).clamp_(min=0).sqrt_()

    def visible(self, layer: Layer, joints2d: Tensor) -> Tensor:
        """Which joints [B,21], at `joints2d [B,21,2]` in the layer's pixels, lie under skin that is seen.

        Each is looked for at five places; a place where nothing is at all hides nothing.
        """
        height, width = layer.face.shape[1:]
        step = 0.012 * (height + width) / 2
        total = torch.zeros_like(joints2d[..., 0])
        seen = layer.face.flatten(1)
        own = torch.arange(joints2d.shape[1], device=seen.device)
        for x, y in ((0, 0), (step, 0), (-step, 0), (0, step), (0, -step)):
            column = (joints2d[..., 0] + x).round().clamp(0, width - 1).long()
            row = (joints2d[..., 1] + y).round().clamp(0, height - 1).long()
            face = seen.gather(1, row * width + column)
            body = face < self.around.shape[1]
            total += (face < 0) | (body & self.around[own, torch.where(body, face, 0)])
        inside = (joints2d > 0).all(-1) & (joints2d[..., 0] < width - 1) & (joints2d[..., 1] < height - 1)
        return inside & (total >= 3)


def _skin_around(template: HandTemplate, rest: Tensor, faces: Tensor) -> Tensor:
    """Which faces [F] of the body lie round each of the 21 joints, no further away than its skin: [21,F]."""
    joints = torch.from_numpy(np.asarray(template.joints, np.float32)).to(rest.device)
    bones = torch.zeros(len(rest), template.weights.shape[1], device=rest.device)
    bones[: len(template.weights)] = torch.from_numpy(np.asarray(template.weights)).to(rest.device)
    bones[len(template.weights) :, 0] = 1
    share, gap = bones[faces].mean(1), torch.cdist(joints, rest[faces].mean(1))
    palm = share[:, list(PALM_BONES)].sum(1) > 0.3
    around = palm & (gap < _PALM_REACH)
    around[0] = gap[0] < _WRIST_REACH
    for finger, names in FINGER_JOINTS.items():
        own = share[:, list(FINGER_BONES[finger])].sum(1) > 0.3
        for number, joint in enumerate(names):
            reach = (_PALM_REACH, _FINGER_REACH)[min(number, 1)] * (1.35 if finger == "thumb" else 1)
            around[joint] = (own | palm if number == 0 else own) & (gap[joint] < reach)
    return around


def _only(thing: Thing, present: Tensor) -> Thing:
    points = torch.where(present[:, None, None], thing.points, torch.full_like(thing.points, _AWAY))
    return Thing(points, thing.normals, thing.uv)


def _skin(
    found: Fragments,
    bare: Tensor,
    light: Tensor,
    lights: Lights,
    person: Tensor,
    skins: Tensor,
    size: int,
    width: int,
) -> Tensor:
    """Display colours, and twice 1, [K,5] of fragments as if all were skin; `bare [K]` really are."""
    row = (person * skins.shape[1])[found.picture] + found.face * TEXELS + texel(found.weight)
    packed = skins.view(torch.int64).view(-1)[torch.where(bare, row, 0)]
    material = packed.view(torch.uint8).view(-1, CHANNELS)[:, :5].float().div_(255)
    lit = found.interpolate(light)
    # Bumps: brighter where the skin rises towards the key light.
    height = torch.full((size,), -1.0, device=light.device)
    height[found.sample] = torch.where(bare, material[:, 3], -1.0)
    step = (lights.key[:, :2] * 1.6).round().long() @ torch.tensor([1, width], device=light.device)
    toward = height[(found.sample + step[found.picture]).clamp_(0, size - 1)]
    bump = torch.where(toward < 0, 0.0, material[:, 3] - toward).clamp_(-0.4, 0.4)
    shown = torch.ones(len(row), 5, device=light.device)
    colour = material[:, :3].square_().mul_(lit[:, :3]).mul_((0.8 * bump).add_(1)[:, None])
    colour += (lit[:, 3] * material[:, 4])[:, None]
    shown[:, :3] = colour.clamp_(min=0).sqrt_()
    return shown
