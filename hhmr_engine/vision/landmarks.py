"""Hand crops -> 21 joints in the photo and in space, and how far each can be believed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .crop import Crop, cut
from .networks import HAND_SIDE, hand_network
from .photo import Photo

# Which joints the crop of a known hand is laid round: not the outer two of each finger, nor the thumb's tip.
_FRAME_JOINTS = (0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18)
_GROW, _SHIFT = 2.0, 0.1

# Right and down in parts of the side, scale, turn in radians. The first is the crop itself.
_JITTER = (
    (0.0, 0.0, 1.0, 0.0),
    (0.03, 0.02, 1.06, 0.14),
    (-0.03, 0.03, 0.94, -0.14),
    (0.02, -0.04, 1.10, -0.07),
    (-0.04, -0.02, 0.90, 0.07),
    (0.0, 0.04, 1.02, 0.21),
)


@dataclass(frozen=True)
class Reading:
    """What the landmark network says of B crops of a photo."""

    joints2d: NDArray[np.float64]  # [B, 21, 2] the photo's pixels
    joints3d: NDArray[np.float64]  # [B, 21, 3] metres, the photo's axes
    presence: NDArray[np.float32]  # [B]
    right: NDArray[np.float32]  # [B] probability of a right hand
    map14: Tensor | None  # [B, 112, 14, 14]
    map7: Tensor | None  # [B, 192, 7, 7]


@dataclass(frozen=True)
class HandInPhoto:
    """One hand as it is seen. A left hand's joints really are a left hand's."""

    side: str  # "right" or "left", in a photo that is not mirrored
    right: float  # probability of a right hand
    joints2d: NDArray[np.float32]  # [21, 2] pixels of the upright photo at its full size
    joints3d: NDArray[
        np.float32
    ]  # [21, 3] metres; x right, y down, z away; origin near the middle MCP; noisy
    sigma2d: NDArray[np.float32]  # [21] pixels along one axis: how far each joint moves when the crop does
    presence: float  # the network's own word, no measure of quality
    crop: Crop
    map14: Tensor  # [112, 14, 14] features of `crop`
    map7: Tensor  # [192, 7, 7]

    @property
    def size(self) -> float:
        """Hand size in pixels: the longer side of the joints' bounding box."""
        return hand_size(self.joints2d)

    @property
    def doubt(self) -> float:
        """Mean of `sigma2d` over the hand's size: below 0.04 good, above 0.07 hardly to be believed."""
        return float(self.sigma2d.mean() / self.size)


def hand_size(joints2d: NDArray) -> float:
    """The longer side of the bounding box of `[21, 2]`."""
    return float(np.ptp(joints2d, axis=0).max())


def read_crops(photo: Photo, crops: list[Crop], features: bool = False, device: str = "cpu") -> Reading:
    """Run the landmark network on all crops at once."""
    with torch.inference_mode():
        output = hand_network(device)(cut(photo, crops, HAND_SIDE, "border").to(device), features)
    places = output.landmarks[..., :2].double().cpu().numpy() / HAND_SIDE
    world = output.world.double().cpu().numpy()
    for crop, joints in zip(crops, world):
        joints[:, :2] = joints[:, :2] @ crop.rotation.T
    joints2d = np.stack([crop.to_photo(points) for crop, points in zip(crops, places)])
    presence, right = output.presence.cpu().numpy(), output.right.cpu().numpy()
    return Reading(joints2d, world, presence, right, output.map14, output.map7)


def crop_around(joints2d: NDArray) -> Crop:
    """The crop in which the network likes to see a hand with these joints `[21, 2]`, as in its tracking."""
    wrist = joints2d[0]
    knuckles = (joints2d[5] + joints2d[13]) / 4 + joints2d[9] / 2
    angle = math.pi / 2 - math.atan2(wrist[1] - knuckles[1], knuckles[0] - wrist[0])
    upright = Crop(0.0, 0.0, 1.0, angle)
    inside = upright.from_photo(joints2d[list(_FRAME_JOINTS)])
    low, high = inside.min(0), inside.max(0)
    x, y = upright.to_photo((low + high) / 2)
    size = high - low
    square = Crop(float(x), float(y), max(float(size.max()), 1.0), angle)
    return square.moved(0, -_SHIFT * float(size[1]) / square.side).moved(0, 0, _GROW)


def measure(photo: Photo, crops: list[Crop], device: str = "cpu") -> list[HandInPhoto]:
    """A hand for each crop: the mean over six jittered copies of it, and how much they differ."""
    if not crops:
        return []
    jittered = [crop.moved(*change) for crop in crops for change in _JITTER]
    reading = read_crops(photo, jittered, True, device)
    assert reading.map14 is not None and reading.map7 is not None
    return [
        _summary(reading, slice(i * len(_JITTER), (i + 1) * len(_JITTER)), crop)
        for i, crop in enumerate(crops)
    ]


def _summary(reading: Reading, rows: slice, crop: Crop) -> HandInPhoto:
    assert reading.map14 is not None and reading.map7 is not None
    joints2d = reading.joints2d[rows]
    mean = joints2d.mean(0)
    right = float(reading.right[rows].mean())
    return HandInPhoto(
        side="right" if right > 0.5 else "left",
        right=right,
        joints2d=mean.astype(np.float32),
        joints3d=reading.joints3d[rows].mean(0).astype(np.float32),
        sigma2d=np.sqrt(joints2d.var(0, ddof=1).mean(1)).astype(np.float32),
        presence=float(reading.presence[rows].mean()),
        crop=crop,
        map14=reading.map14[rows.start].cpu(),
        map7=reading.map7[rows.start].cpu(),
    )
