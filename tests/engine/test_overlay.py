"""The sheet of a picture: the hand lies on the photo where the camera sees it, large, with given joints."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from hhmr_engine.engine import Engine, Hypotheses, Request
from hhmr_engine.overlay import crop, overlay_sheet, window_round
from hhmr_engine.sheet import HEADER, MARGIN
from hhmr_engine.vision.photo import Photo

ORANGE = (255, 132, 20)
SIZE = (4000, 3000)


def place(found: Hypotheses, size: tuple[int, int], focal: float, centre: tuple[float, float]) -> Hypotheses:
    """Hands turned towards a camera, so that the wrist of the first is seen at `centre` of the picture."""
    middle = np.array(size) / 2
    depth = 0.6
    x, y = (np.array(centre) - middle) * depth / focal * [1, -1]
    there = np.array([x, y, -depth], np.float32)
    joints = found.joints - found.joints[:1, :1] + there
    joints2d = focal * joints[..., :2] / -joints[..., 2:] * [1, -1] + middle
    low, high = joints2d[0].min(0), joints2d[0].max(0)
    return replace(
        found,
        vertices=found.vertices - found.joints[:1, :1] + there,
        joints=joints,
        camera=np.array([focal, *middle], np.float32),
        joints2d=joints2d.astype(np.float32),
        given2d=joints2d[0].astype(np.float32),
        sigma2d=np.full(21, 2, np.float32),
        box=np.array([*low, *(high - low)], np.float32),
        hands=1,
    )


@pytest.fixture(scope="module")
def small_hand(eight_hands: Hypotheses) -> Hypotheses:
    """A hand of about a hundred pixels in a picture of twelve megapixels."""
    return place(eight_hands, SIZE, 400, (1200, 900))


@pytest.fixture(scope="module")
def green_photo() -> Photo:
    """Blue, with a green square where the small hand is."""
    image = Image.new("RGB", SIZE, (40, 60, 160))
    image.paste((60, 160, 60), (1000, 700, 1400, 1100))
    return Photo.from_pixels(np.asarray(image))


def panels(sheet: Image.Image) -> list[np.ndarray]:
    """The three large pictures at the top, without their captions."""
    step = (sheet.width - MARGIN) // 3
    return [
        np.asarray(sheet)[HEADER : HEADER + 430, MARGIN + k * step : (k + 1) * step].astype(int)
        for k in range(3)
    ]


def count(colour: np.ndarray) -> int:
    ndimage = pytest.importorskip("scipy.ndimage")
    labels, _ = ndimage.label(colour)
    return int((np.bincount(labels.ravel())[1:] > 12).sum())


def orange(picture: np.ndarray) -> np.ndarray:
    return np.abs(picture - ORANGE).max(-1) < 14


def skin(picture: np.ndarray) -> np.ndarray:
    return (picture[..., 0] - picture[..., 2] > 30) & ~orange(picture) & (picture[..., 0] > 130)


def test_a_small_hand_in_a_large_photo_is_shown_large(small_hand: Hypotheses, green_photo: Photo) -> None:
    assert 60 < small_hand.box[2:].max() < 200  # type: ignore[index]
    given, covered, side = panels(overlay_sheet(small_hand, green_photo))
    green = (given[..., 1] - given[..., 0] > 60) & (given[..., 1] - given[..., 2] > 60)
    assert green.mean() > 0.5  # the window lies within the green square round the hand
    assert skin(covered).mean() > 0.08 + skin(given).mean()  # there, the rims of lines alone
    assert not green[orange(given)].any() and orange(given).sum() > 300
    assert not orange(side).any()


def test_the_hand_lies_where_the_camera_sees_it(small_hand: Hypotheses, green_photo: Photo) -> None:
    """Another picture of the same hand, by the window that the panel shows: skin covers its vertices."""
    found = replace(small_hand, given2d=np.where(np.arange(21)[:, None] == 0, small_hand.given2d, np.nan))
    _, covered, _ = panels(overlay_sheet(found, green_photo))
    dots = np.argwhere(orange(covered)).mean(0)[::-1]
    rows, columns = np.nonzero(skin(covered))
    # The wrist's dot lies in the lower half of the hand, and a hand is 0.4 to 1 of it wide.
    assert rows.min() < dots[1] - 150 and columns.min() < dots[0] < columns.max()
    moved = replace(found, vertices=found.vertices + np.array([0.05, 0, 0], np.float32))
    _, shifted, _ = panels(overlay_sheet(moved, green_photo))
    right = np.nonzero(skin(shifted))[1].mean() - np.argwhere(orange(shifted)).mean(0)[1]
    assert right > columns.mean() - dots[0] + 50


def test_the_photo_shines_through_the_hand(small_hand: Hypotheses, green_photo: Photo) -> None:
    _, over_green, _ = panels(overlay_sheet(small_hand, green_photo))
    _, over_plain, _ = panels(overlay_sheet(small_hand, None))
    both = skin(over_green) & skin(over_plain)
    assert both.sum() > 5000
    difference = (over_plain - over_green)[both].mean(0)
    assert difference[0] > 5 and difference[2] > 5 and (difference < 80).all()


def test_without_a_photo_the_skeleton_stands_on_plain_ground(small_hand: Hypotheses) -> None:
    hidden = small_hand.given2d.copy()  # type: ignore[union-attr]
    hidden[5:9] = np.nan
    given, covered, _ = panels(overlay_sheet(replace(small_hand, given2d=hidden), None))
    assert (given[:4].reshape(-1, 3) == given[0, 0]).all()
    assert count(orange(covered)) >= 10 and skin(covered).any()


def test_depth_is_seen_from_the_side_and_not_from_the_camera(small_hand: Hypotheses) -> None:
    """Turning hands about the vertical through the palm moves joints in the side view."""
    turned = np.array([[0.8, 0, 0.6], [0, 1, 0], [-0.6, 0, 0.8]], np.float32)
    palm = small_hand.joints[:, 9:10]
    other = replace(
        small_hand,
        vertices=(small_hand.vertices - palm) @ turned + palm,
        joints=(small_hand.joints - palm) @ turned + palm,
    )
    first, second = (panels(overlay_sheet(found, None)) for found in (small_hand, other))
    assert np.array_equal(first[0].shape, second[0].shape)
    changed = np.abs(first[2] - second[2]).max(-1) > 40
    assert changed.mean() > 0.01


def test_no_hand_is_cut_off_at_any_count_and_side(engine: Engine) -> None:
    found = engine.run(Request("generate", side="left", count=17, method="gaussian", diverse=False))
    sheet = overlay_sheet(place(found, (640, 480), 500, (320, 300)), None)
    cards = np.asarray(sheet)[HEADER + 460 + MARGIN :].astype(int)
    assert count(skin(cards)) >= 34
    assert not skin(cards[:, :MARGIN]).any() and sheet.width < 4000


def test_a_crop_is_the_photo_at_its_place_and_ground_beyond_its_edge() -> None:
    pixels = np.zeros((1000, 2000, 3), np.uint8)
    pixels[200:210, 300:310] = 255
    for photo in (
        Photo.from_pixels(pixels),
        Photo(np.asarray(Image.fromarray(pixels).reduce(2)), (2000, 1000), 2),
    ):
        window = window_round(np.array([[280.0, 180.0], [330.0, 230.0]]), (200, 200))
        shown = np.asarray(crop(photo, window))
        rows, columns = np.nonzero(shown[..., 0] > 127)
        assert abs(rows.mean() + 0.5 - window.place(np.array([305.0, 205.0]))[1]) < 2
        assert abs(columns.mean() + 0.5 - window.place(np.array([305.0, 205.0]))[0]) < 2
        beyond = np.asarray(crop(photo, window_round(np.array([[-50.0, -50.0], [50.0, 50.0]]), (100, 100))))
        assert (beyond[:40, :40] > 200).all() and (beyond[60:, 60:] == 0).all()
        outside = np.asarray(crop(photo, window_round(np.array([[-90.0, -90.0], [-50.0, -50.0]]), (9, 9))))
        assert (outside > 200).all()
