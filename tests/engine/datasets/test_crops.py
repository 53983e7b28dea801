"""Crops: what they show is where they say it is, after every change, on both sides."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from hhmr_engine.datasets.crops import EXACT, Crops, CropSettings, Unusable, check, crop, seed_of
from hhmr_engine.datasets.sample import HandSample
from hhmr_engine.datasets.shards import window
from hhmr_engine.hand.template import UNIT, HandTemplate, load_template
from tests.engine.datasets.dotted import DOTTED, ListedHands, dotted_hands

STRONG = CropSettings(shift=0.06, scale=0.15, turn=0.9, light=0.3, contrast=0.2, tint=0.2)


@pytest.fixture(scope="module")
def template() -> HandTemplate:
    return load_template().torch()


@pytest.fixture(scope="module")
def hands() -> ListedHands:
    return dotted_hands(load_template(), 12)


def cut(
    template: HandTemplate, samples: list[HandSample], settings: CropSettings = EXACT, epoch: int = 0
) -> Crops:
    photos = [sample.image() for sample in samples if sample.image]
    seeds = [seed_of(1, "dotted", sample.key, epoch) for sample in samples]
    return crop(template, samples, photos, seeds, settings)


def project(crops: Crops, points: Tensor) -> Tensor:
    """Palm frame [B,P,3] -> pixels, as PictureBatch defines it."""
    placed = crops.scale[:, None, None] * points @ crops.rotation.mT + crops.translation[:, None]
    return crops.focal[:, None, None] * placed[..., :2] / placed[..., 2:] + crops.centre[:, None]


def dots(crops: Crops) -> Tensor:
    """[B,3,2] where the light of each colour has its middle, in pixels; NaN where it touches the edge."""
    light = crops.pixels.float()
    light = (light - light.flatten(2).amin(2)[..., None, None] - 25).clamp_min(0)
    rim = torch.cat([light[..., :3, :].flatten(2), light[..., -3:, :].flatten(2)], 2)
    rim = torch.cat([rim, light[..., :3].flatten(2), light[..., -3:].flatten(2)], 2).amax(2) > 0
    place = torch.arange(224) + 0.5
    sums = light.sum((2, 3))
    middle = torch.stack([(light.sum(2) * place).sum(2), (light.sum(3) * place).sum(2)], 2) / sums[..., None]
    return torch.where(rim[..., None] | (sums[..., None] == 0), torch.nan, middle)


@pytest.mark.parametrize("settings", [EXACT, CropSettings(), STRONG], ids=["exact", "usual", "strong"])
def test_the_picture_shows_joints_where_the_crop_says(
    template: HandTemplate, hands: ListedHands, settings: CropSettings
) -> None:
    crops = cut(template, hands.samples, settings)
    assert (project(crops, crops.joints) - crops.joints2d).abs().max() < 0.02
    seen = dots(crops)
    known = ~seen.isnan().any(2)
    assert known.sum() > 0.7 * known.numel()
    away = (seen - crops.joints2d[:, list(DOTTED)]).norm(dim=2)[known]
    assert away.max() < 0.5 and crops.pixels.dtype == torch.uint8


def test_a_mesh_lies_where_its_photo_has_it(template: HandTemplate, hands: ListedHands) -> None:
    """Vertices of the palm frame, turned back by hand: through the crop's camera they are the sample's."""
    crops = cut(template, hands.samples, STRONG)
    decoded = template.decoder @ crops.nodes
    for number, sample in enumerate(hands.samples):
        mirror = torch.tensor([-1.0 if sample.side == "left" else 1.0, 1, 1])
        truth = torch.from_numpy(sample.vertices) * mirror
        nodes = truth[template.nodes] - (template.regressor @ truth)[0]
        palm = crops.nodes[number] - crops.joints[number, 0]
        placed = crops.scale[number] * palm @ crops.rotation[number].T
        turn = crops.rotation[number] @ procrustes(palm, nodes).T  # the photo's axes -> the crop's
        assert torch.allclose(placed, nodes @ turn.T, atol=1e-5)
        assert torch.allclose(turn[2], torch.tensor([0.0, 0, 1]), atol=1e-4)
    assert (template.regressor @ decoded - crops.joints).norm(dim=-1).max() * UNIT < 2e-3


def procrustes(source: Tensor, target: Tensor) -> Tensor:
    """The rotation that takes points to points."""
    u, _, v = torch.linalg.svd(target.T @ source)
    return u @ torch.diag(torch.tensor([1.0, 1, torch.det(u @ v).sign()])) @ v


def test_left_hands_come_as_right_ones(template: HandTemplate) -> None:
    """A left hand is its mirrored photo's right hand, to the pixel."""
    left = next(s for s in dotted_hands(load_template(), 3).samples if s.side == "left")
    assert left.image is not None and left.vertices is not None and left.intrinsics is not None
    photo = left.image()
    k = left.intrinsics.copy()
    k[0, 1:] = -k[0, 1], photo.shape[1] - k[0, 2]
    mirror = np.array([-1, 1, 1], np.float32)
    right = replace(
        left,
        side="right",
        vertices=left.vertices * mirror,
        joints=left.joints * mirror,
        intrinsics=k,
        image=lambda: photo[:, ::-1],
    )
    a, b = cut(template, [left], STRONG), cut(template, [right], STRONG)
    for name, tensor in vars(a).items():
        other = getattr(b, name)
        if name == "pixels":
            assert (tensor.int() - other.int()).abs().max() <= 1
        else:
            assert torch.allclose(tensor.float(), other.float(), atol=1e-3), name
    thumb_side = torch.linalg.cross(a.joints[:, 1] - a.joints[:, 0], a.joints[:, 5] - a.joints[:, 0])
    rest = template.joints
    usual = torch.linalg.cross(rest[1] - rest[0], rest[5] - rest[0])
    assert (thumb_side @ usual > 0).all()


def test_fingers_point_up_and_the_hand_is_in_the_middle(template: HandTemplate, hands: ListedHands) -> None:
    crops = cut(template, hands.samples)
    along = crops.joints2d[:, 9] - crops.joints2d[:, 0]
    assert (along[:, 1] < -along[:, 0].abs()).all()
    assert ((crops.joints2d > -20) & (crops.joints2d < 244)).all()


def test_what_is_drawn_depends_on_seed_key_and_epoch_alone(
    template: HandTemplate, hands: ListedHands
) -> None:
    together = cut(template, hands.samples, STRONG)
    alone = cut(template, [hands.samples[7]], STRONG)
    later = cut(template, [hands.samples[7]], STRONG, epoch=1)
    for name, tensor in vars(together).items():
        assert torch.allclose(tensor[7].float(), getattr(alone, name)[0].float(), atol=1e-4), name
    assert not torch.allclose(alone.joints2d, later.joints2d, atol=1)
    assert (alone.pixels.int() - later.pixels.int()).abs().max() > 20


def test_colours_change_and_joints_do_not(template: HandTemplate, hands: ListedHands) -> None:
    plain = cut(template, hands.samples)
    tinted = cut(template, hands.samples, replace(EXACT, light=0.3, contrast=0.3, tint=0.3))
    assert torch.equal(plain.joints2d, tinted.joints2d)
    ratio = tinted.pixels.float().mean((2, 3)) / plain.pixels.float().mean((2, 3))
    assert ratio.std(0).min() > 0.1 and (ratio.std(1) > 0.02).all()


def test_large_photos_are_averaged(template: HandTemplate) -> None:
    """A hand in 2000 pixels: the dots are where they should be, and noise of single pixels is gone."""
    sample = dotted_hands(load_template(), 1, seed=3, size=(1600, 1200)).samples[0]
    assert sample.image is not None
    rng = np.random.default_rng(0)
    noise = rng.choice([-20, 20], (1200, 1600, 1))
    noisy = replace(sample, image=lambda: (photo.astype(int) + 20 + noise).astype(np.uint8))
    photo = sample.image()
    crops = cut(template, [noisy])
    seen, told = dots(cut(template, [sample])), crops.joints2d[:, list(DOTTED)]
    assert (seen - told).norm(dim=2).nanmean() < 0.5
    assert crops.pixels[0, :, :8, :8].float().std() < 12


def test_joints_outside_the_photo_are_not_visible(template: HandTemplate, hands: ListedHands) -> None:
    sample = hands.samples[0]
    assert sample.intrinsics is not None
    crops = cut(template, [sample])
    assert crops.visible.all()
    k = sample.intrinsics.copy()
    wrist = (sample.joints[0] @ k.T)[0] / sample.joints[0, 2]
    k[0, 2] -= wrist + 5
    assert not cut(template, [replace(sample, intrinsics=k)]).visible[0, 0]


def test_windows_of_photos_give_the_same_crops(template: HandTemplate, hands: ListedHands) -> None:
    for sample in hands.samples:
        assert sample.image is not None
        image, k = window(sample, sample.image())
        shown = replace(sample, intrinsics=k.astype(np.float32), image=lambda image=image: np.asarray(image))
        a, b = cut(template, [sample], CropSettings()), cut(template, [shown], CropSettings())
        assert (a.pixels.int() - b.pixels.int()).abs().max() <= 1
        assert torch.allclose(a.joints2d, b.joints2d, atol=0.01)


def test_samples_that_are_of_no_use_say_why(hands: ListedHands) -> None:
    sample = hands.samples[0]
    assert sample.vertices is not None
    check(sample, picture=True)
    check(replace(sample, image=None, intrinsics=None), picture=False)
    nothing = np.full_like(sample.vertices, np.nan)
    for bad, why in (
        (replace(sample, vertices=None), "joints alone"),
        (replace(sample, vertices=nothing), "vertices that are no numbers"),
        (replace(sample, image=None), "no picture"),
        (replace(sample, vertices=sample.vertices - [0, 0, 1]), "a hand behind the camera"),
    ):
        with pytest.raises(Unusable, match=why):
            check(bad, picture=True)


def test_settings_below_zero_are_refused() -> None:
    with pytest.raises(ValueError, match="must be 0 or more"):
        CropSettings(turn=-1)
