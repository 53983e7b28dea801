"""From a sample of a dataset to what training needs: a crop of 224 pixels, a right hand in its palm frame.

Crops are those of `vision.landmarks.crop_around`: fingers up, the hand in the middle. Left hands are
mirrored, picture and points together, so that everything after this knows right hands alone.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ..hand.frame import PalmFrame, palm_frame
from ..hand.template import HandTemplate
from ..pictures.camera import SIDE, Framing, View, crop_view
from ..pictures.dice import Dice
from .sample import LEFT, HandSample


class Unusable(ValueError):
    """A sample that nothing can be learnt from; says why in a few words, which are counted."""


@dataclass(frozen=True)
class CropSettings:
    """How far training crops are off, standard deviations; 0: not at all."""

    shift: float = 0.035  # parts of the crop's side
    scale: float = 0.09  # natural logarithm
    turn: float = 0.16  # radians
    light: float = 0.15  # natural logarithm
    contrast: float = 0.12  # natural logarithm
    tint: float = 0.05  # natural logarithm, of each colour

    def __post_init__(self) -> None:
        if min(vars(self).values()) < 0:
            raise ValueError("crops: shift, scale, turn, light, contrast and tint must be 0 or more.")


EXACT = CropSettings(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Crops:
    """B crops and the truth about them, named as in data.picture_cache.PictureBatch."""

    pixels: Tensor  # [B,3,SIDE,SIDE] uint8 RGB
    nodes: Tensor  # [B,N,3] palm frame, UNIT
    joints: Tensor  # [B,21,3] palm frame, UNIT
    scale: Tensor  # [B] metres a unit of the palm frame
    rotation: Tensor  # [B,3,3] palm frame -> the crop's camera
    translation: Tensor  # [B,3] metres
    focal: Tensor  # [B] pixels of the crop
    centre: Tensor  # [B,2] pixels of the crop
    joints2d: Tensor  # [B,21,2] pixels of the crop
    visible: Tensor  # [B,21] bool: in the photo and in the crop; what hides a joint is not known


FIELDS = tuple(f.name for f in fields(Crops))


class SampleDice(Dice):
    """Dice for several samples, each of its own seed: no draw depends on what else is in the batch."""

    def __init__(self, seeds: Sequence[tuple[int, ...]]) -> None:
        self.each = [Dice(*seed) for seed in seeds]
        self.device = torch.device("cpu")

    def normal(self, *shape: int, sigma: float = 1.0) -> Tensor:
        """[B,...]; the first of `shape` must be the number of samples."""
        return torch.cat([dice.normal(1, *shape[1:], sigma=sigma) for dice in self.each])


def seed_of(seed: int, name: str, key: str, epoch: int) -> tuple[int, ...]:
    """The seed of all that is drawn for a sample of dataset `name` in the epoch."""
    return seed, zlib.crc32(f"{name}/{key}".encode()), epoch


def check(sample: HandSample, picture: bool) -> None:
    """Unusable, unless the sample is a mesh; with `picture`, one before a camera."""
    if sample.vertices is None:
        known = np.isfinite(sample.joints).any()
        raise Unusable("joints alone" if known else "an annotation that cannot be read")
    if not np.isfinite(sample.vertices).all():
        raise Unusable("vertices that are no numbers")
    if picture and (sample.image is None or sample.intrinsics is None):
        raise Unusable("no picture")
    if picture and sample.vertices[:, 2].min() <= 0:
        raise Unusable("a hand behind the camera")


def right_hands(samples: Sequence[HandSample]) -> tuple[Tensor, Tensor]:
    """Vertices [B,V,3] with left hands mirrored, and what mirrors each in x [B]: 1 or -1."""
    mirror = torch.tensor([-1.0 if sample.side == LEFT else 1.0 for sample in samples])
    meshes = [sample.vertices for sample in samples if sample.vertices is not None]
    vertices = torch.from_numpy(np.stack(meshes).astype(np.float32))
    vertices[..., 0] *= mirror[:, None]
    return vertices, mirror


def in_palm_frame(template: HandTemplate, samples: Sequence[HandSample]) -> Tensor:
    """Right hands [B,V,3] in their palm frames, UNIT; template as tensors."""
    vertices, _ = right_hands(samples)
    return palm_frame(template, template.regressor @ vertices).to_palm(vertices)


def crop(
    template: HandTemplate,
    samples: Sequence[HandSample],
    photos: Sequence[np.ndarray],
    seeds: Sequence[tuple[int, ...]],
    settings: CropSettings = EXACT,
) -> Crops:
    """Crops of samples that `check` lets pass, out of their photos [H,W,3] uint8; template as tensors."""
    dice = SampleDice(seeds)
    vertices, mirror = right_hands(samples)
    placed = template.regressor @ vertices
    frame = palm_frame(template, placed)
    view = _view(frame, placed, settings, dice)
    turn = view.rotation @ frame.rotation.mT  # about the line of sight: the photo's axes -> the crop's
    joints2d = view.project(placed @ turn.mT)
    affine = _to_photo(turn, view, mirror, samples)
    colour = _colours(len(samples), settings, dice)
    pixels = torch.stack([_cut(*each) for each in zip(photos, affine, colour)])
    sizes = torch.tensor([photo.shape[1::-1] for photo in photos])
    return Crops(
        pixels=pixels,
        nodes=frame.to_palm(vertices[:, template.nodes]),
        joints=frame.to_palm(placed),
        scale=view.scale,
        rotation=view.rotation,
        translation=view.translation,
        focal=view.focal,
        centre=view.centre,
        joints2d=joints2d,
        visible=_inside(joints2d, torch.tensor([SIDE, SIDE])) & _inside(_apply(affine, joints2d), sizes),
    )


def _view(frame: PalmFrame, joints: Tensor, settings: CropSettings, dice: Dice) -> View:
    """The crops' cameras, of hands in the photos' axes whose focal length is 1 and principal point 0."""
    one = torch.ones_like(frame.scale)
    photo = View(frame.scale, frame.rotation, frame.origin, one, torch.zeros(len(one), 2))
    framing = Framing(shift=settings.shift, scale=settings.scale, turn=settings.turn)
    return crop_view(photo, photo.project(joints), framing, dice)


def _to_photo(turn: Tensor, view: View, mirror: Tensor, samples: Sequence[HandSample]) -> Tensor:
    """[B,2,3] the crops' pixels -> the photos', in float64.

    crop = focal * turn @ mirror @ K^-1 photo + centre, all of which are affine in a picture's plane.
    """
    k = torch.from_numpy(np.stack([np.asarray(sample.intrinsics, np.float64)[:2] for sample in samples]))
    mirrored = k[:, :, :2] * torch.stack([mirror, torch.ones_like(mirror)], 1)[:, None]
    back = mirrored @ turn[:, :2, :2].double().mT / view.focal.double()[:, None, None]
    return torch.cat([back, k[:, :, 2:] - back @ view.centre.double()[..., None]], 2)


def _apply(affine: Tensor, points: Tensor) -> Tensor:
    """Points [B,P,2] by maps [B,2,3]."""
    return points.double() @ affine[:, :, :2].mT + affine[:, None, :, 2]


def _inside(points: Tensor, size: Tensor) -> Tensor:
    """Whether points [B,P,2] lie in pictures of `size` ([2] or [B,2], width and height)."""
    return ((points >= 0) & (points < size.view(-1, 1, 2))).all(-1)


def _colours(count: int, settings: CropSettings, dice: Dice) -> Tensor:
    """[B,4]: contrast, then a factor for each colour."""
    contrast = dice.normal(count, 1, sigma=settings.contrast)
    light = dice.normal(count, 1, sigma=settings.light) + dice.normal(count, 3, sigma=settings.tint)
    return torch.cat([contrast, light], 1).exp()


def _cut(photo: np.ndarray, affine: Tensor, colour: Tensor) -> Tensor:
    """[3,SIDE,SIDE] uint8 out of a photo [H,W,3]; beyond its edge the edge goes on.

    affine [2,3] takes the crop's pixels to the photo's.
    """
    step = float(affine[:, :2].det().abs().sqrt())  # pixels of the photo for each of the crop's
    if step >= 2:  # as many pixels are averaged first as bilinear sampling would skip
        factor = int(step)
        photo = np.asarray(Image.fromarray(photo).reduce(factor))
        affine = affine / factor
    corners = _apply(affine[None], SIDE * torch.tensor([[[0, 0], [0, 1], [1, 0], [1, 1]]]))[0]
    height, width = photo.shape[:2]
    limit = torch.tensor([width, height])
    low = (corners.amin(0).floor() - 2).clamp_min(0).minimum(limit - 1).long()
    high = (corners.amax(0).ceil() + 2).long().maximum(low + 1).minimum(limit)
    window = photo[low[1] : high[1], low[0] : high[0]]
    # Places of the crop's pixels in coordinates from -1 to 1, as grid_sample has them; x first.
    by_pixel = 2 * affine / (high - low)[:, None]
    by_pixel[:, 2] -= 2 * low / (high - low) + 1
    x, y, origin = by_pixel.float().unbind(1)
    pixel = torch.arange(SIDE) + 0.5
    grid = (pixel[:, None] * x + origin)[None] + (pixel[:, None] * y)[:, None]
    source = torch.from_numpy(np.array(window)).permute(2, 0, 1)[None].float()
    cut = F.grid_sample(source, grid[None], "bilinear", "border", align_corners=False)[0]
    mean = cut.mean()
    cut = cut.sub_(mean).mul_(colour[0]).add_(mean).mul_(colour[1:, None, None])
    return cut.round_().clamp_(0, 255).to(torch.uint8)
