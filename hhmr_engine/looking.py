"""The hand in a picture, before anything is made of it: joints in pixels, their noise, side, lens."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .faults import InputError
from .request import AUTO, Request, RequestError
from .vision.crop import Crop
from .vision.detect import find_hands, hand_in_box
from .vision.landmarks import HandInPhoto, crop_around
from .vision.photo import Photo

# Of the hand's size in the picture: the noise of joints that are given, and of found ones beside what
# jittered crops of the photo say of them.
NOISE = 0.015
LEAST_NOISE = 0.2  # of that: no joint is known better
UNSURE = (0, 1)  # wrist and thumb CMC, which the landmark network finds worse than the others
MIN_JOINTS = 4
MOST_HANDS = 8
NEAR = 4.0  # sizes of the hand: no nearer is one held to a camera of which nothing is known
SAME_PLACE = 0.3  # of the hand's size: joints nearer to a hand that is found are its own
CROP = 1.8  # sides of a hand of which too little is known to lay the usual crop round it


@dataclass(frozen=True)
class Found:
    """A hand in a picture: joints [21,2] and noise [21] in pixels, NaN and inf = unknown."""

    side: str
    joints2d: np.ndarray
    sigma2d: np.ndarray
    width: float  # of the picture
    camera: np.ndarray  # [3] focal length and principal point, pixels
    photo: Photo | None
    crop: Crop | None
    hands: int | None
    landmarks: bool = False  # the joints are the landmark network's, which are not quite ours

    @property
    def box(self) -> np.ndarray:
        """[4] x, y, width, height round the known joints."""
        low, high = np.nanmin(self.joints2d, 0), np.nanmax(self.joints2d, 0)
        return np.concatenate([low, high - low]).astype(np.float32)

    def mirrored(self) -> Found:
        """The other side's hand in the mirrored picture."""
        flipped = self.joints2d * (-1, 1) + (self.width, 0)
        camera = self.camera * (1, -1, 1) + (0, self.width, 0)
        photo, crop = self.photo, self.crop
        if photo is not None:
            photo = Photo(np.ascontiguousarray(photo.pixels[:, ::-1]), photo.size, photo.factor)
        if crop is not None:
            crop = replace(crop, x=self.width - crop.x, angle=-crop.angle)
        side = {"right": "left", "left": "right"}.get(self.side, self.side)
        return replace(
            self, side=side, joints2d=flipped, camera=camera.astype(np.float32), photo=photo, crop=crop
        )


def look(request: Request, device: str = "cpu") -> Found:
    """What a request gives of the hand, and what is found in its photo. RequestError: no hand, no joints."""
    photo = hand = hands = None
    try:
        if request.photo is not None:
            photo = Photo.from_pixels(request.photo)
            if request.joints2d is None:
                hand, hands = _find(photo, request, device)
            elif request.side == AUTO:
                hand = _nearest(photo, request.joints2d, device)
    except InputError as fault:
        raise RequestError("no_hand" if photo is not None else "bad_picture", str(fault)) from fault
    joints2d, sigma2d = _joints(request, hand)
    known = np.isfinite(joints2d).all(1)
    low, high = joints2d[known].min(0), joints2d[known].max(0)
    if photo is not None:
        size = np.array(photo.size, float)
    elif request.size is not None:
        size = np.asarray(request.size, float)
    else:  # the camera looks at the hand
        size = low + high
    extent = float((high - low).max())
    longer = 0.0 if photo is None and request.size is None else float(size.max())
    focal = request.focal or max(longer, NEAR * extent)
    crop = None
    if photo is not None and request.joints2d is None and hand is not None:
        crop = hand.crop
    elif photo is not None:
        middle = (low + high) / 2
        crop = Crop(float(middle[0]), float(middle[1]), CROP * extent)
        crop = crop_around(joints2d) if known.all() else crop
    return Found(
        side=hand.side if request.side == AUTO and hand is not None else request.side,
        joints2d=joints2d,
        sigma2d=sigma2d,
        width=float(size[0]),
        camera=np.array([focal, *size / 2], np.float32),
        photo=photo,
        crop=crop,
        hands=hands,
        landmarks=request.joints2d is None,
    )


def _joints(request: Request, hand: HandInPhoto | None) -> tuple[np.ndarray, np.ndarray]:
    """Joints [21,2] with NaN and noise [21] with inf for what is not known, pixels."""
    if request.joints2d is not None:
        joints2d = np.asarray(request.joints2d, np.float64)
    else:
        assert hand is not None
        joints2d = hand.joints2d.astype(np.float64)
    known = np.isfinite(joints2d).all(1)
    if known.sum() < MIN_JOINTS:
        text = f"Only {known.sum()} joints of the hand are known in the picture."
        raise RequestError("degenerate", text, f"Give {MIN_JOINTS} or more.")
    noise = NOISE * float(np.ptp(joints2d[known], axis=0).max())
    if noise < 1e-6:
        raise RequestError(
            "degenerate", "The joints lie in one point of the picture.", "Give them in pixels."
        )
    sigma2d = np.full(21, noise)
    if request.sigma2d is not None:
        sigma2d = np.asarray(request.sigma2d, np.float64)
    elif request.joints2d is None and hand is not None:
        sigma2d = np.hypot(hand.sigma2d, noise)
        sigma2d[list(UNSURE)] *= 1.5
    sigma2d = np.where(known, np.maximum(sigma2d, LEAST_NOISE * noise), np.inf)
    return np.where(known[:, None], joints2d, np.nan), sigma2d


def _find(photo: Photo, request: Request, device: str) -> tuple[HandInPhoto, int]:
    """The hand that is asked for, and how many there are."""
    if request.box is not None:
        x, y, width, height = (float(value) for value in request.box)
        return hand_in_box(photo, (x, y, width, height), device), 1
    hands = find_hands(photo, MOST_HANDS, device)
    if request.which >= len(hands):
        count = "One hand was" if len(hands) == 1 else f"{len(hands)} hands were"
        raise RequestError("no_hand", f"{count} found in the photo.", "Choose another number, or draw a box.")
    return hands[request.which], len(hands)


def _nearest(photo: Photo, joints2d: np.ndarray, device: str) -> HandInPhoto | None:
    """The hand that is found where joints [21,2] are given, if there is one: it shows which side they are."""
    known = np.isfinite(joints2d).all(1)
    try:
        hands = find_hands(photo, MOST_HANDS, device) if known.any() else []
    except InputError:
        hands = []
    if not hands:
        return None
    apart = [float(np.linalg.norm((h.joints2d - joints2d)[known], axis=1).mean()) / h.size for h in hands]
    best = int(np.argmin(apart))
    return hands[best] if apart[best] < SAME_PLACE else None
