"""Skin: tables of colour, height and gloss at points all over the hand and forearm, many people's.

Every triangle has TEXELS points of its own in a grid of its barycentric weights, so that a fragment finds
its colour by number, without texture coordinates. What depends on where on the hand a point lies (nails,
creases, knuckles, veins) is computed once; a person is a mix of it with tone and noise.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..hand.dof import DOF_NAMES
from ..hand.skeleton import FINGER_BONES, FINGER_JOINTS
from ..hand.template import HandTemplate
from .body import Body, point_normals
from .dice import Dice
from .noise import solid_noise

GRID = 6
TEXELS = GRID * GRID
CHANNELS = 8  # bytes of a texel: red, green, blue (display values), height, gloss, three unused

# Display colours of skin from the lightest to the darkest, and of the palms that go with them.
_TONES = (
    (244, 212, 192),
    (233, 186, 158),
    (212, 160, 126),
    (184, 128, 94),
    (142, 92, 64),
    (102, 64, 45),
    (72, 45, 34),
)
_PALMS = (
    (245, 205, 188),
    (238, 184, 162),
    (226, 170, 144),
    (210, 152, 124),
    (190, 134, 108),
    (168, 118, 98),
    (150, 108, 92),
)

_Line = tuple[tuple[float, float], ...]
# Lines of the palm as points between the thumb side (0) and the little finger's side (1), from the wrist (0)
# to the knuckles (1).
_PALM_LINES: tuple[_Line, ...] = (
    ((0.02, 0.72), (0.22, 0.66), (0.38, 0.48), (0.42, 0.22), (0.40, 0.05)),
    ((0.02, 0.74), (0.35, 0.66), (0.65, 0.52), (0.85, 0.40)),
    ((1.02, 0.66), (0.70, 0.74), (0.45, 0.84), (0.30, 0.98)),
    ((0.50, 0.12), (0.52, 0.40), (0.50, 0.70)),
)


def texel(weight: Tensor) -> Tensor:
    """Number in its triangle of the texel at barycentric `weight [K,3]`."""
    cell = (weight[:, 1:] * GRID).long().clamp_(max=GRID - 1)
    return cell[:, 0] * GRID + cell[:, 1]


class Skin:
    """Where on the hand every texel lies; `person` makes a table for one."""

    def __init__(self, template: HandTemplate, body: Body) -> None:
        device = body.faces.device
        self.rest, self.faces = body.rest, body.faces
        self.points = _spread(body.rest, body.faces)  # [T,3] metres, rest pose
        self.normals = torch.nn.functional.normalize(
            _spread(point_normals(body.rest[None], body.faces)[0], body.faces), dim=1
        )
        joints = torch.from_numpy(np.asarray(template.joints, np.float32)).to(device)
        axes = torch.from_numpy(np.asarray(template.axes, np.float32)).to(device)
        weights = torch.from_numpy(np.asarray(template.weights, np.float32)).to(device)
        part = torch.zeros(body.points, weights.shape[1], device=device)
        part[: len(weights)] = weights
        part[len(weights) :, 0] = 1
        part = _spread(part, body.faces)
        size = len(self.points)
        self.palmar = torch.sigmoid(-(self.normals[:, 2] + 0.15) * 5)
        self.crease, self.knuckle = torch.zeros(size, device=device), torch.zeros(size, device=device)
        self.nail, self.cuticle = torch.zeros(size, device=device), torch.zeros(size, device=device)
        self.tip, self.wrinkle = torch.zeros(size, device=device), torch.zeros(size, device=device)
        for finger, names in FINGER_JOINTS.items():
            own = part[:, list(FINGER_BONES[finger][1:])].sum(1)  # the first lies in the palm
            self._finger(joints[list(names)], axes[_flexion(finger)], own)
        hand = part[:, [0, 4, 8, 12, 16, 1]].sum(1) * (self.points[:, 1] > -0.01)
        self.back = (1 - self.palmar) * hand
        self._palm(joints, hand * self.palmar)

    def _finger(self, joints: Tensor, axis: Tensor, share: Tensor) -> None:
        """Creases, knuckles and the nail of a finger with `joints [4,3]` that bends about `axis [3]`.

        share [T]: how far each texel belongs to it.
        """
        own = share > 0.5
        last = joints[3] - joints[2]
        length = last.norm()
        along = last / length
        axis = axis - (axis @ along) * along
        axis = axis / axis.norm()
        dorsal = -torch.linalg.cross(axis, along)
        under = torch.sigmoid(-(self.normals @ dorsal + 0.1) * 6)
        self.palmar = self.palmar + (under - self.palmar) * share.square()
        for number in (0, 1, 2):
            here, above = joints[number], joints[min(number + 1, 3)]
            bone = (above - here) / (above - here).norm()
            at = (self.points - here) @ bone
            wave = 0.0006 * torch.sin((self.points - here) @ axis * 700 + 2.0 * number)
            near = own.float() * ((self.points - here).norm(dim=1) < 0.02)
            lines = (0.0,) if number == 2 else (-0.0016, 0.0016) if number == 1 else (0.012,)
            for line in lines:
                self.crease += near * under * _line(at - line + wave, 0.0009)
            back = near * (1 - under)
            if number:
                self.knuckle += back * torch.exp(-(at / 0.007).square())
                for line in (-0.0045, -0.0022, 0.0, 0.0021, 0.0044):
                    self.wrinkle += back * _line(at - line + 1.7 * wave, 0.0007)
            else:
                self.knuckle += back * torch.exp(-(at / 0.010).square())
        at = (self.points - joints[2]) @ along / length
        aside = (self.points - joints[2]) @ axis
        facing = self.normals @ dorsal
        half = aside[own & (at > 0.5) & (at < 0.8)].abs().amax() * 0.72
        inside = torch.minimum(
            (half - aside.abs()) / 0.0012, torch.minimum((at - 0.42) / 0.05, (1.0 - at) / 0.04)
        )
        nail = own * (facing > 0.25) * (inside * 0.5 + 0.5).clamp(0, 1)
        self.nail += nail
        self.tip += nail * ((at - 0.90) / 0.05).clamp(0, 1)
        self.cuticle += own * (facing > 0.2) * torch.exp(-inside.square() / 0.6)

    def _palm(self, joints: Tensor, share: Tensor) -> None:
        """The lines of the palm and of the wrist."""
        thumb_side, other = joints[5, :2], joints[17, :2]
        across = other - thumb_side
        width = across.norm() * 1.25
        across = across / across.norm()
        upward = joints[9, :2] / joints[9, :2].norm()
        flat = self.points[:, :2]
        u = (flat - thumb_side) @ across / width + 0.1
        v = flat @ upward / joints[9, :2].norm()
        place = torch.stack([u, v * joints[9, :2].norm() / width], 1)
        for line in _PALM_LINES:
            knots = torch.tensor(line, device=u.device)
            knots[:, 1] *= joints[9, :2].norm() / width
            gap = torch.stack([_gap(place, a, b) for a, b in zip(knots, knots[1:])]).amin(0) * width
            self.crease += share * _line(gap, 0.0011)
        for height in (-0.002, 0.004):
            at = flat @ upward - height + 0.002 * torch.sin(u * 9)
            self.crease += 0.8 * self.palmar * _line(at, 0.0008) * (u > -0.4) * (u < 1.4)

    def person(self, dice: Dice) -> Tensor:
        """The table of a random person's skin [T,CHANNELS], bytes."""
        tone = dice.number(0, len(_TONES) - 1.001)
        tones, palms = (
            torch.tensor(c, device=self.points.device, dtype=torch.float32) for c in (_TONES, _PALMS)
        )
        low, share = int(tone), tone - int(tone)
        dark = tone / (len(_TONES) - 1)
        back = tones[low] * (1 - share) + tones[low + 1] * share
        palm = palms[low] * (1 - share) + palms[low + 1] * share
        palm = back + (palm - back) * dice.number(0.5, 1.0)
        palmar = self.palmar[:, None]
        colour = back * (1 - palmar) + palm * palmar
        colour = colour * (1 + dice.normal(3, sigma=0.035))

        coarse, patchy, middle, veins = self._smooth_noises(dice)
        middle = middle * (0.5 + 0.5 * patchy.abs())
        fine = solid_noise(self.points, 0.005, dice)
        grain = dice.normal(len(self.points))
        red = 0.6 * coarse + 0.35 * middle + dice.number(0.2, 1.2) * (self.knuckle + self.palmar * 0.3)
        redness = torch.tensor([0.02, -0.045, -0.035], device=red.device) * dice.number(0.3, 1.3)
        colour = colour * (1 + red[:, None] * redness)
        light = 0.03 * coarse + 0.02 * middle + 0.012 * fine + dice.number(0.0, 0.02) * grain
        colour = colour * (1 + dice.number(0.5, 1.5) * light[:, None])

        lines = self.crease.clamp(0, 1) * dice.number(0.5, 1.3) * (0.75 + 0.25 * middle)
        wrinkles = self.wrinkle.clamp(0, 1) * dice.number(0.2, 0.9) * (0.7 + 0.3 * fine)
        dent = torch.tensor([0.20, 0.30, 0.32], device=red.device)
        colour = colour * (1 - dent * (lines + 0.6 * wrinkles).clamp(0, 1.2)[:, None])
        colour = colour * (1 - self.knuckle[:, None] * dark * dice.number(0, 0.25))
        vein = self.back * _line(veins, 0.10) * dice.number(0, 1) ** 2
        blue = torch.tensor([0.16, 0.07, 0.02], device=red.device)
        colour = colour * (1 - vein[:, None] * blue)
        freckle = (solid_noise(self.points, 0.007, dice) > 2.2) * (1 - self.palmar) * dice.number(-0.5, 0.6)
        colour = colour * (1 - 0.25 * freckle.clamp_min(0)[:, None])
        colour = self._nails(colour, back, dice)

        height = 0.5 + 0.03 * middle + 0.03 * fine + 0.015 * grain - 0.5 * lines - 0.35 * wrinkles
        height = height + 0.35 * vein + 0.4 * self.nail - 0.25 * self.cuticle
        gloss = 0.25 + 0.05 * middle + 0.7 * self.nail * dice.number(0.2, 1) + 0.04 * grain
        rest = torch.zeros(len(height), 3, device=height.device)
        table = torch.cat([colour, height[:, None] * 255, gloss[:, None] * 255, rest], 1)
        return table.clamp(0, 255).to(torch.uint8)

    def _smooth_noises(self, dice: Dice) -> Tensor:
        """Noises [4,T] of long waves; they are made at the mesh's points and interpolated."""
        waves = (0.045, 0.05, 0.015, 0.05)
        return _spread(torch.stack([solid_noise(self.rest, w, dice) for w in waves], 1), self.faces).T

    def _nails(self, colour: Tensor, back: Tensor, dice: Dice) -> Tensor:
        """Nails and their rims on `colour [T,3]`; some are painted."""
        pale = torch.tensor([238.0, 200.0, 190.0], device=colour.device)
        white = torch.tensor([240.0, 228.0, 214.0], device=colour.device)
        nail = back + (pale - back) * dice.number(0.25, 0.7)
        edge = dice.number(0.1, 0.9)
        if dice.number() < 0.12:
            nail, edge = dice.uniform(3, low=20, high=240), 0.0
        colour = colour * (1 - 0.22 * (self.cuticle * (1 - self.nail)).clamp(0, 1)[:, None])
        share = self.nail[:, None].clamp(0, 1)
        colour = colour * (1 - share) + nail * share
        share = (self.tip[:, None] * edge).clamp(0, 1)
        return colour * (1 - share) + white * share


def _spread(attribute: Tensor, faces: Tensor) -> Tensor:
    """A per-point `attribute [P,C]` at every texel of every face [F * TEXELS,C]."""
    cell = (torch.arange(GRID, device=faces.device) + 0.5) / GRID
    second, third = (x.reshape(-1) for x in torch.meshgrid(cell, cell, indexing="ij"))
    total = (second + third).clamp_min(1)
    weight = torch.stack([1 - (second + third) / total, second / total, third / total], 1)
    return torch.einsum("tk,fkc->ftc", weight, attribute[faces]).reshape(-1, attribute.shape[1])


def _line(distance: Tensor, width: float) -> Tensor:
    """1 on a line and falling off with the distance from it."""
    return torch.exp(-(distance / width).square())


def _gap(points: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """Distance [T] of points [T,2] from the stretch between two."""
    along = end - start
    t = ((points - start) @ along / (along @ along)).clamp(0, 1)
    return (points - start - t[:, None] * along).norm(dim=1)


def _flexion(finger: str) -> int:
    """Number of the angle that bends the finger's last joint."""
    return DOF_NAMES.index("thumb_ip_flex" if finger == "thumb" else f"{finger}_dip_flex")
