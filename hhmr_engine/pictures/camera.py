"""From where hands are seen, and the crop that a hand detector would lay round them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..hand.rotation import rotation_matrix
from .dice import Dice

SIDE = 224  # pixels of a crop, as the hand landmark network wants it
# As in vision.landmarks.crop_around: these joints' box, moved towards the fingers, twice as large.
_FRAME_JOINTS = (0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18)
_GROW, _SHIFT = 2.0, 0.1


@dataclass(frozen=True)
class View:
    """x_camera = scale * rotation @ x_palm + translation; pixel = focal * x / z + centre.

    scale [B] metres a unit of the palm frame, rotation [B,3,3], translation [B,3] metres in camera axes
    (x right, y down, z away), focal [B] and centre [B,2] in pixels.
    """

    scale: Tensor
    rotation: Tensor
    translation: Tensor
    focal: Tensor
    centre: Tensor

    def place(self, points: Tensor) -> Tensor:
        """Palm-frame points [B,P,3] in the camera's axes, metres."""
        turned = points @ self.rotation.transpose(-1, -2)
        return turned * self.scale[:, None, None] + self.translation[:, None]

    def project(self, points: Tensor) -> Tensor:
        """Pixels [B,P,2] of points [B,P,3] in camera axes."""
        flat = points[..., :2] / points[..., 2:]
        return flat * self.focal[:, None, None] + self.centre[:, None]


@dataclass(frozen=True)
class Framing:
    """How far detections are off the crop that suits the hand best; standard deviations."""

    shift: float = 0.035  # parts of the crop's side
    scale: float = 0.09  # natural logarithm
    turn: float = 0.16  # radians
    near: float = 6.0  # distance in hand sizes
    far: float = 20.0
    off_axis: float = 0.16  # tangent of the angle from the photo's middle


def random_rotations(count: int, dice: Dice) -> Tensor:
    """[count,3,3] from the palm frame to the camera: half uniform, half with fingers across the view."""
    view = dice.directions(count)  # from the hand to the camera, in the palm frame
    across = dice.chance(count, share=0.5).float()
    flat = 1 - 0.65 * across
    view = torch.nn.functional.normalize(view * torch.stack([1 + 0 * flat, flat, 1 + 0 * flat], 1), dim=1)
    up = torch.tensor([0.0, 1.0, 0.0], device=view.device).expand_as(view)
    side = torch.nn.functional.normalize(torch.linalg.cross(up, view), dim=1)
    upward = torch.linalg.cross(view, side)
    upright = torch.stack([side, -upward, -view], 1)  # rows: the camera's x, y, z
    roll = dice.uniform(count, low=-math.pi, high=math.pi)
    return rotation_matrix(torch.stack([0 * roll, 0 * roll, roll], 1)) @ upright


def random_views(joints: Tensor, unit: float, framing: Framing, dice: Dice) -> View:
    """Views of hands with `joints [B,21,3]` in the palm frame, crops as a detector gives them.

    `unit`: metres of a unit of the palm frame for the mean hand.
    """
    count = len(joints)
    scale = unit * torch.exp(dice.normal(count, sigma=0.07))
    rotation = random_rotations(count, dice)
    middle = (joints.amin(1) + joints.amax(1)) / 2
    size = (joints.amax(1) - joints.amin(1)).amax(1) * scale
    logs = dice.uniform(count, low=math.log(framing.near), high=math.log(framing.far))
    distance = size * torch.exp(logs)
    aside = dice.normal(count, 2, sigma=framing.off_axis).clamp_(-0.5, 0.5)
    place = torch.cat([aside, torch.ones_like(aside[:, :1])], 1) * distance[:, None]
    translation = place - scale[:, None] * (rotation @ middle[:, :, None])[:, :, 0]
    one = torch.ones(count, device=joints.device)
    photo = View(scale, rotation, translation, one, torch.zeros(count, 2, device=joints.device))
    return crop_view(photo, photo.project(photo.place(joints)), framing, dice)


def crop_view(photo: View, joints2d: Tensor, framing: Framing, dice: Dice) -> View:
    """The view of a photo's crop of SIDE pixels round `joints2d [B,21,2]` in the photo's pixels.

    A crop turned by an angle is a camera turned about its axis; the photo's principal point must be (0, 0).
    """
    count = len(joints2d)
    wrist = joints2d[:, 0]
    knuckles = (joints2d[:, 5] + joints2d[:, 13]) / 4 + joints2d[:, 9] / 2
    upward = torch.atan2(wrist[:, 1] - knuckles[:, 1], knuckles[:, 0] - wrist[:, 0])
    turn = _turns(math.pi / 2 - upward)
    inside = joints2d[:, list(_FRAME_JOINTS)] @ turn
    low, high = inside.amin(1), inside.amax(1)
    side = _GROW * (high - low).amax(1) * torch.exp(dice.normal(count, sigma=framing.scale))
    middle = (low + high) / 2
    middle[:, 1] -= _SHIFT * (high - low)[:, 1]
    middle += dice.normal(count, 2, sigma=framing.shift) * side[:, None]
    wobble = _turns(dice.normal(count, sigma=framing.turn))
    turn, middle = turn @ wobble, (middle[:, None] @ wobble)[:, 0]

    about = torch.zeros(count, 3, 3, device=joints2d.device)
    about[:, :2, :2] = turn.transpose(-1, -2)
    about[:, 2, 2] = 1
    zoom = SIDE / side
    return View(
        photo.scale,
        about @ photo.rotation,
        (about @ photo.translation[:, :, None])[:, :, 0],
        photo.focal * zoom,
        SIDE / 2 - zoom[:, None] * middle,
    )


def _turns(angle: Tensor) -> Tensor:
    """[B,2,2] directions in the crop -> directions in the photo, as Crop.rotation."""
    c, s = torch.cos(angle), torch.sin(angle)
    return torch.stack([torch.stack([c, -s], -1), torch.stack([s, c], -1)], -2)
