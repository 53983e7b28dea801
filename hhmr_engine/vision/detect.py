"""Where the hands are in a photo: by palm detection with several tries, or in a box that the user drew."""

from __future__ import annotations

import math

import numpy as np

from ..faults import InputError
from .crop import Crop, whole
from .landmarks import HandInPhoto, crop_around, measure, read_crops
from .palms import find_palms
from .photo import Photo

# What the landmark network must say of a crop to be asked again, and then of six jittered ones. Hands lie
# above 0.95 and below 0.04 of doubt; what is none seldom passes one bound, and was not seen to pass both.
_FIRST_PRESENCE = 0.5
_PRESENCE = 0.7
_DOUBT = 0.07
_SAME_HAND = 0.25  # mean distance of joints in parts of the hand's size: below, two finds are one hand
_QUARTER = math.pi / 2
_EIGHTH = math.pi / 4
_BOX_GROW = (1.3, 1.7)  # crops round a user's box, in parts of its longer side: in doubt too wide
_BOX_PRESENCE = 0.1  # the user says that there is a hand: believe it rather than the network
_FINALISTS = 4
_CORNERS = np.array(((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)))


def find_hands(photo: Photo, most: int = 4, device: str = "cpu") -> list[HandInPhoto]:
    """All hands that are found, the largest first, at most `most`.

    What costs more is tried only while nothing is found: quarter turns, then overlapping parts of the photo.
    InputError: no hand.
    """
    for crops in _tries(photo):
        rois = _distinct([crop for _, crop in find_palms(photo, crops, device)], most)
        hands = _settle(photo, rois, device)
        if hands:
            return sorted(hands, key=lambda hand: -hand.size)[:most]
    raise InputError("No hand was found in the photo: draw a box round it, or give a clearer photo.")


def hand_in_box(photo: Photo, box: tuple[float, float, float, float], device: str = "cpu") -> HandInPhoto:
    """The hand in a box `x, y, width, height` in the photo's pixels, also where no palm is detected.

    Starts from eight rotations of the box and from palms in it, looks twice again where the joints are, and
    takes those joints on which jittered crops agree best. InputError: a box outside the photo, no hand in it.
    """
    squares = _squares(photo, box)
    starts = [square.moved(0, 0, 1, turn * _EIGHTH) for square in squares[:1] for turn in range(8)]
    starts += [crop for _, crop in find_palms(photo, squares, device)[:2]]
    for _ in range(2):
        reading = read_crops(photo, starts, device=device)
        order = np.argsort(-reading.presence, kind="stable")
        likely = [i for i in order if reading.presence[i] >= _BOX_PRESENCE]
        starts = _different([crop_around(reading.joints2d[i]) for i in likely])[:_FINALISTS]
        if not starts:
            break
    hands = [hand for hand in measure(photo, starts, device) if _inside(hand, box)]
    if not hands:
        raise InputError(
            "No hand was found in the box: draw it closer round the hand, wrist and fingers inside."
        )
    return min(hands, key=lambda hand: hand.doubt / hand.presence)


def _squares(photo: Photo, box: tuple[float, float, float, float]) -> list[Crop]:
    x, y, width, height = box
    if not all(math.isfinite(value) for value in box) or width <= 0 or height <= 0:
        raise InputError("The box must be X, Y, WIDTH, HEIGHT in pixels, with a width and a height above 0.")
    if x >= photo.size[0] or y >= photo.size[1] or x + width <= 0 or y + height <= 0:
        size = f"{photo.size[0]} x {photo.size[1]}"
        raise InputError(f"The box lies outside the photo, which is {size} pixels: draw it again.")
    side = max(width, height, 4.0)
    return [Crop(x + width / 2, y + height / 2, side * grow) for grow in _BOX_GROW]


def _different(crops: list[Crop]) -> list[Crop]:
    """Without those that are nearly the same as an earlier one."""
    kept: list[Crop] = []
    for crop in crops:
        corners = crop.to_photo(_CORNERS)
        if all(np.abs(corners - k.to_photo(_CORNERS)).max() > 0.1 * k.side for k in kept):
            kept.append(crop)
    return kept


def _inside(hand: HandInPhoto, box: tuple[float, float, float, float]) -> bool:
    """Whether the middle of the hand's joints lies in the box."""
    x, y = hand.joints2d.mean(0)
    return bool(box[0] <= x <= box[0] + box[2] and box[1] <= y <= box[1] + box[3])


def _tries(photo: Photo) -> list[list[Crop]]:
    turns = [whole(photo, 0.25, quarter * _QUARTER) for quarter in (1, 2, 3)]
    return [
        [whole(photo), whole(photo, 0.25), whole(photo, 0.5)],
        turns,
        _parts(photo),
    ]


def _parts(photo: Photo) -> list[Crop]:
    """Squares as long as the shorter side and half of it, overlapping by half: for small hands.

    None is smaller than an eighth of the longer side, so that a panorama does not become thousands.
    """
    longer, shorter = max(photo.size), min(photo.size)
    crops = []
    for side in sorted({max(shorter * share, longer / 8) for share in (1.0, 0.5)} - {float(longer)}):
        rows, columns = (_middles(length, side) for length in (photo.size[1], photo.size[0]))
        crops += [Crop(x, y, side) for y in rows for x in columns]
    return crops


def _middles(length: float, side: float) -> list[float]:
    """Middles of spans of `side` that cover `length`, each overlapping the next by half or more."""
    if side >= length:
        return [length / 2]
    count = math.ceil(2 * (length - side) / side) + 1
    return [float(middle) for middle in np.linspace(side / 2, length - side / 2, count)]


def _distinct(crops: list[Crop], most: int) -> list[Crop]:
    """The first of every group of crops that lie on each other."""
    kept: list[Crop] = []
    for crop in crops:
        if all(math.dist((crop.x, crop.y), (k.x, k.y)) > 0.25 * max(crop.side, k.side) for k in kept):
            kept.append(crop)
    return kept[: 2 * most]


def _settle(photo: Photo, rois: list[Crop], device: str) -> list[HandInPhoto]:
    """Hands from the palms' crops: looked at, looked at again where the joints are, and each counted once."""
    if not rois:
        return []
    reading = read_crops(photo, rois, device=device)
    pairs = zip(reading.joints2d, reading.presence)
    around = _different([crop_around(joints) for joints, presence in pairs if presence >= _FIRST_PRESENCE])
    hands = measure(photo, around, device)
    return _once([hand for hand in hands if hand.presence >= _PRESENCE and hand.doubt <= _DOUBT])


def _once(hands: list[HandInPhoto]) -> list[HandInPhoto]:
    """Without the doubtful copies of a hand that was found twice."""
    kept: list[HandInPhoto] = []
    for hand in sorted(hands, key=lambda h: h.doubt):
        if all(_apart(hand, other) for other in kept):
            kept.append(hand)
    return kept


def _apart(a: HandInPhoto, b: HandInPhoto) -> bool:
    distance = np.linalg.norm(a.joints2d - b.joints2d, axis=1).mean()
    return bool(distance > _SAME_HAND * max(a.size, b.size))
