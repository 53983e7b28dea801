"""Where the hands are in a photo: by palm detection with several tries, or in a box that the user drew."""

from __future__ import annotations

import math

import numpy as np

from ..inputs import InputError
from .crop import Crop, whole
from .landmarks import HandInPhoto, crop_around, measure, read_crops
from .palms import find_palms
from .photo import Photo

MIN_PRESENCE = 0.5
MAX_DOUBT = 0.10  # of a hand's size: what the crops disagree on more than that is no hand
_SAME_HAND = 0.25  # mean distance of joints in parts of the hand's size: below, two finds are one hand
_QUARTER = math.pi / 2
_BOX_PADDING = 1.3


def find_hands(photo: Photo, most: int = 4, device: str = "cpu") -> list[HandInPhoto]:
    """All hands that are found, the largest first, at most `most`.

    What costs more is tried only while nothing is found: the photo with 50 % added at its edges, quarter
    turns, and overlapping parts of it. InputError: no hand.
    """
    for crops in _tries(photo):
        rois = _distinct([crop for _, crop in find_palms(photo, crops, device)], most)
        hands = _settle(photo, rois, device)
        if hands:
            return sorted(hands, key=lambda hand: -hand.size)
    raise InputError("No hand was found in the photo: draw a box round it, or give a clearer photo.")


def _tries(photo: Photo) -> list[list[Crop]]:
    turns = [whole(photo, 0.25, quarter * _QUARTER) for quarter in (1, 2, 3)]
    return [
        [whole(photo), whole(photo, 0.25)],
        [whole(photo, 0.5), *turns],
        _parts(photo),
    ]


def _parts(photo: Photo) -> list[Crop]:
    """Squares as long as the shorter side and half of it, overlapping by half: for small hands."""
    width, height = photo.size
    crops = []
    for share in (1.0, 0.5):
        side = min(width, height) * share
        if max(width, height) == side:
            continue
        columns, rows = (max(math.ceil(2 * (length - side) / side), 0) + 1 for length in (width, height))
        for x in np.linspace(side / 2, width - side / 2, columns):
            crops += [Crop(float(x), float(y), side) for y in np.linspace(side / 2, height - side / 2, rows)]
    return crops


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
    around = [crop_around(j) for j, p in zip(reading.joints2d, reading.presence) if p >= MIN_PRESENCE]
    return _once([hand for hand in _measured(photo, around, device) if hand.doubt <= MAX_DOUBT])


def _measured(photo: Photo, crops: list[Crop], device: str) -> list[HandInPhoto]:
    hands = measure(photo, crops, device) if crops else []
    return [hand for hand in hands if hand.presence >= MIN_PRESENCE]


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
