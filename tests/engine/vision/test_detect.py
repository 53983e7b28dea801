"""Hands are found in real photos: mirrored, turned, small, many, hidden, in a box; and nowhere else."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from hhmr_engine.inputs import InputError
from hhmr_engine.vision.crop import Crop, cut, whole
from hhmr_engine.vision.detect import _parts, find_hands, hand_in_box
from hhmr_engine.vision.landmarks import HandInPhoto, crop_around
from hhmr_engine.vision.palms import anchors, decode, weighted_nms
from hhmr_engine.vision.photo import Photo

WALL = (190, 190, 195)


def clutter(width: int, height: int, seed: int) -> Image.Image:
    """Coloured noise with the spectrum of pictures, 1/f."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = 1
    planes = []
    for _ in range(3):
        plane = np.fft.irfft2(np.exp(2j * np.pi * rng.random(frequency.shape)) / frequency, (height, width))
        planes.append(128 + 45 * (plane - plane.mean()) / plane.std())
    return Image.fromarray(np.clip(np.stack(planes, -1), 0, 255).astype(np.uint8))


def enlarged(photo: Photo, side: int) -> Image.Image:
    return Image.fromarray(photo.pixels).resize((side, side), Image.Resampling.BICUBIC)


def photo_of(image: Image.Image) -> Photo:
    return Photo.from_pixels(np.asarray(image))


def distance(hand: HandInPhoto, joints: NDArray) -> float:
    """Mean distance of the joints in parts of the hand's size."""
    return float(np.linalg.norm(hand.joints2d - joints, axis=1).mean() / hand.size)


@pytest.fixture(scope="module")
def found(photos: list[Photo]) -> list[list[HandInPhoto]]:
    return [find_hands(photo) for photo in photos]


def test_one_right_hand_in_each_photo(found: list[list[HandInPhoto]]) -> None:
    for hands in found:
        assert [hand.side for hand in hands] == ["right"]
        assert hands[0].presence > 0.9 and hands[0].doubt < 0.04


def test_one_left_hand_in_each_mirrored_photo(photos: list[Photo], found: list[list[HandInPhoto]]) -> None:
    for photo, (right,) in zip(photos, found):
        (left,) = find_hands(Photo.from_pixels(photo.pixels[:, ::-1]))
        assert left.side == "left"
        assert distance(left, right.joints2d * (-1, 1) + (photo.size[0], 0)) < 0.04
        mirrored = right.joints3d * (-1, 1, 1)
        assert np.linalg.norm(left.joints3d - mirrored, axis=1).mean() < 0.01


def test_what_a_hand_carries(photos: list[Photo], found: list[list[HandInPhoto]]) -> None:
    for photo, (hand,) in zip(photos, found):
        assert hand.joints2d.shape == (21, 2) and hand.joints3d.shape == (21, 3)
        assert hand.sigma2d.shape == (21,) and (hand.sigma2d > 0).all()
        assert hand.map14.shape == (112, 14, 14) and hand.map7.shape == (192, 7, 7)
        assert (hand.joints2d > -10).all() and (hand.joints2d < np.array(photo.size) + 10).all()
        # A hand is 12 to 22 cm long; straight in the picture, it looks in metres as it does in pixels.
        palm = np.linalg.norm(hand.joints3d[9] - hand.joints3d[0])
        assert 0.06 < palm < 0.12
        seen, space = (j - j[9] for j in (hand.joints2d, hand.joints3d[:, :2]))
        angle = np.angle((space @ (1, 1j)).conj() @ (seen @ (1, 1j)), deg=True)
        assert abs(angle) < 10


def test_the_same_photo_gives_the_same_joints(photos: list[Photo], found: list[list[HandInPhoto]]) -> None:
    assert (find_hands(photos[3])[0].joints2d == found[3][0].joints2d).all()


@pytest.mark.parametrize("degrees", [45, 90, 180, 270])
@pytest.mark.parametrize("number", [1, 11])
def test_turned_photos(
    photos: list[Photo], found: list[list[HandInPhoto]], number: int, degrees: int
) -> None:
    canvas = Image.new("RGB", (600, 600), WALL)
    canvas.paste(enlarged(photos[number], 300), (150, 150))
    photo = photo_of(canvas.rotate(degrees, Image.Resampling.BICUBIC, fillcolor=WALL))
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    upright = found[number][0].joints2d * 3 - 150
    truth = upright @ np.array([[c, -s], [s, c]]) + 300
    (hand,) = find_hands(photo)
    assert hand.side == "right" and distance(hand, truth) < 0.04
    low, high = truth.min(0) - 12, truth.max(0) + 20
    boxed = hand_in_box(photo, (*low, *(high - low)))
    assert boxed.side == "right" and distance(boxed, truth) < 0.04


@pytest.mark.parametrize("number", [4, 10])
@pytest.mark.parametrize("share", [0.5, 0.25])
def test_a_hand_in_a_large_photo(
    photos: list[Photo], found: list[list[HandInPhoto]], number: int, share: float
) -> None:
    """Pasted into 24 megapixels, of which fewer are held: joints are pixels of the whole picture."""
    canvas = clutter(1500, 1000, number).resize((6000, 4000))
    side = int(4000 * share)
    canvas.paste(enlarged(photos[number], side), (3100, 900))
    photo = photo_of(canvas)
    assert photo.factor == 2
    (hand,) = find_hands(photo)
    truth = found[number][0].joints2d * (side / 100) + (3100, 900)
    assert hand.side == "right" and distance(hand, truth) < 0.04


def test_several_hands(photos: list[Photo]) -> None:
    canvas = clutter(1500, 1000, 5)
    places = {3: (50, 50), 9: (800, 80), 11: (100, 550), 19: (900, 520)}
    for number, place in places.items():
        image = enlarged(photos[number], 380)
        mirror = number in (9, 19)
        canvas.paste(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirror else image, place)
    hands = find_hands(photo_of(canvas))
    sides = {(int(h.joints2d[9][0] > 750), int(h.joints2d[9][1] > 500)): h.side for h in hands}
    assert sides == {(0, 0): "right", (1, 0): "left", (0, 1): "right", (1, 1): "left"}
    assert [h.size for h in hands] == sorted((h.size for h in hands), reverse=True)
    assert len(find_hands(photo_of(canvas), most=2)) == 2


def test_hidden_fingers_are_less_sure(photos: list[Photo], found: list[list[HandInPhoto]]) -> None:
    image = enlarged(photos[11], 400)
    ImageDraw.Draw(image).rectangle((140, 60, 300, 200), fill=(30, 90, 60))
    (hand,) = find_hands(photo_of(image))
    seen, hidden = [0, 1, 2, 17, 18, 20], [7, 8, 11, 12]
    assert distance(hand, found[11][0].joints2d * 4) < 0.2
    assert hand.sigma2d[hidden].mean() > 4 * hand.sigma2d[seen].mean()


def test_a_grey_photo(photos: list[Photo], found: list[list[HandInPhoto]]) -> None:
    grey = Image.fromarray(photos[4].pixels).convert("L").convert("RGB")
    (hand,) = find_hands(photo_of(grey))
    assert hand.side == "right" and distance(hand, found[4][0].joints2d) < 0.04


def shuffled(photo: Photo) -> Photo:
    """The photo's colours and edges without a hand: pieces of 50 pixels in any order."""
    pieces = np.asarray(enlarged(photo, 400)).reshape(8, 50, 8, 50, 3).transpose(0, 2, 1, 3, 4)
    order = np.random.default_rng(0).permutation(64)
    mixed = pieces.reshape(64, 50, 50, 3)[order].reshape(8, 8, 50, 50, 3)
    return Photo.from_pixels(mixed.transpose(0, 2, 1, 3, 4).reshape(400, 400, 3))


def test_no_hand(photos: list[Photo]) -> None:
    empty = [photo_of(clutter(900, 600, 20)), photo_of(Image.new("RGB", (300, 300), (200, 150, 120)))]
    for photo in (
        *empty,
        shuffled(photos[0]),
        shuffled(photos[10]),
        photo_of(Image.new("L", (3000, 16)).convert("RGB")),
    ):
        with pytest.raises(InputError, match="No hand was found in the photo: draw a box"):
            find_hands(photo)


@pytest.mark.parametrize(
    ("box", "word"),
    [
        ((100, 0, 20, 20), "outside the photo, which is 100 x 100"),
        ((-30, 5, 30, 20), "outside"),
        ((10, 10, 0, 20), "above 0"),
        ((10, 10, math.nan, 20), "above 0"),
        ((0, 0, 12, 12), "closer round the hand"),
    ],
)
def test_bad_boxes(photos: list[Photo], box: tuple[float, float, float, float], word: str) -> None:
    with pytest.raises(InputError, match=word):
        hand_in_box(photos[11], box)


def test_a_box_chooses_the_hand(photos: list[Photo]) -> None:
    canvas = Image.new("RGB", (200, 100))
    canvas.paste(Image.fromarray(photos[10].pixels), (0, 0))
    canvas.paste(Image.fromarray(photos[11].pixels).transpose(Image.Transpose.FLIP_LEFT_RIGHT), (100, 0))
    photo = photo_of(canvas)
    assert hand_in_box(photo, (5, 0, 90, 100)).side == "right"
    left = hand_in_box(photo, (105, 0, 95, 100))
    assert left.side == "left" and left.joints2d[9][0] > 100


# ---------------------------------------------------------------- the parts


def test_points_go_into_a_crop_and_back() -> None:
    crop = Crop(30, 50, 20, math.radians(90))
    # Turned clockwise by a quarter, the crop's up is the photo's right.
    assert np.allclose(crop.to_photo(np.array([0.5, 0.0])), (40, 50))
    points = np.random.default_rng(0).uniform(0, 100, (7, 2))
    assert np.allclose(crop.to_photo(crop.from_photo(points)), points)
    moved = crop.moved(0, -0.5, 2.0, 0.1)
    assert np.allclose((moved.x, moved.y, moved.side), (40, 50, 40))


@pytest.mark.parametrize("side", [10, 100, 1000])
def test_a_crop_shows_what_lies_there(side: int) -> None:
    """Red grows to the right and green downwards, so a pixel's colour says where it came from."""
    x, y = np.meshgrid(np.arange(1000), np.arange(800))
    photo = Photo.from_pixels(np.stack((x / 4, y / 4, x * 0), -1).astype(np.uint8))
    crop = Crop(500, 400, side * 0.55, 0.5)
    pixels = cut(photo, [crop], 64, "border")[0].numpy() * 255
    inside = np.stack(np.meshgrid(*2 * [(np.arange(64) + 0.5) / 64]), -1)
    expected = (crop.to_photo(inside) - 0.5) / 4
    assert np.abs(pixels[:2].transpose(1, 2, 0) + 0.5 - 0.125 - expected).max() < 1.2


@pytest.mark.parametrize("size", [(1000, 1000), (6000, 4000), (300, 9000), (20_000, 16)])
def test_parts_cover_a_photo_and_stay_few(size: tuple[int, int]) -> None:
    parts = _parts(Photo(np.zeros((1, 1, 3), np.uint8), size))
    assert 9 <= len(parts) <= 40
    reach = [(c.x - c.side / 2, c.y - c.side / 2, c.x + c.side / 2, c.y + c.side / 2) for c in parts]
    low, high = np.min(reach, 0)[:2], np.max(reach, 0)[2:]
    assert (low <= 1e-6).all() and (high >= np.array(size) - 1e-6).all()


def test_what_lies_outside_a_photo() -> None:
    white = photo_of(Image.new("RGB", (40, 20), "white"))
    crop = [whole(white, 0.25)]
    assert cut(white, crop, 60, "border").min() == 1
    black = cut(white, crop, 60, "zeros")[0, 0]
    assert black[:15].max() == 0 and black[24:36, 15:45].min() == 1


def test_a_known_hands_crop_stands_upright(found: list[list[HandInPhoto]]) -> None:
    for (hand,) in found:
        crop = crop_around(hand.joints2d)
        inside = crop.from_photo(hand.joints2d)
        assert inside[0, 1] > inside[9, 1] and abs(inside[0, 0] - inside[9, 0]) < 0.1
        assert (inside > -0.05).all() and (inside < 1.05).all()


def test_anchors() -> None:
    places = anchors()
    assert places.shape == (2016, 2)
    assert np.allclose(places[:3], [(0.5 / 24,) * 2, (0.5 / 24,) * 2, (1.5 / 24, 0.5 / 24)])
    assert np.allclose(places[-1], (11.5 / 12,) * 2) and np.allclose(places[1152], (0.5 / 12,) * 2)


def test_weighted_suppression_averages_what_overlaps() -> None:
    boxes = np.array([[0, 0, 1, 1], [0.1, 0, 1.1, 1], [3, 3, 4, 4]], np.float32)
    keypoints = np.repeat(boxes[:, None, :2], 7, 1)
    palms = weighted_nms(np.array([0.6, 0.9, 0.7], np.float32), boxes, keypoints)
    assert [round(palm.score, 2) for palm in palms] == [0.9, 0.7]
    assert np.allclose(palms[0].box, [0.06, 0, 1.06, 1]) and np.allclose(palms[0].keypoints, (0.06, 0))
    assert not decode(np.full(2016, -5, np.float32), np.zeros((2016, 18), np.float32))
