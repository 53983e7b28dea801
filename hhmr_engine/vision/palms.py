"""Palm detection as MediaPipe does it: anchors, decoding, weighted suppression, the crop of a hand.

Numbers are those of its graphs `palm_detection_cpu` and `palm_detection_detection_to_roi` (0.10.14).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray

from .crop import Crop, cut
from .networks import PALM_SIDE, palm_network
from .photo import Photo

# MediaPipe asks for 0.5; grey, hidden and small hands score from 0.25 on, and what else does is told apart
# by the landmark network.
MIN_SCORE = 0.25
_OVERLAP = 0.3  # intersection over union from which two boxes are one palm
_WRIST, _MIDDLE_MCP = 0, 2  # of a palm's seven keypoints
_GROW, _SHIFT = 2.6, 0.5  # a hand's crop: so many palm boxes wide, moved so far towards the fingers


@dataclass(frozen=True)
class Palm:
    """A palm in a crop; coordinates in parts of the crop's side."""

    score: float
    box: NDArray[np.float32]  # x0, y0, x1, y1
    keypoints: NDArray[np.float32]  # [7, 2]


@cache
def anchors() -> NDArray[np.float32]:
    """Middles `[2016, 2]` of the detector's anchors: two a place of 24 x 24, then six a place of 12 x 12."""
    maps = []
    for side, count in ((24, 2), (12, 6)):
        centres = (np.arange(side, dtype=np.float32) + 0.5) / side
        places = np.stack(np.meshgrid(centres, centres), -1).reshape(-1, 2)
        maps.append(np.repeat(places, count, 0))
    return np.concatenate(maps)


def decode(scores: NDArray[np.float32], boxes: NDArray[np.float32]) -> list[Palm]:
    """Raw output of one picture, logits `[2016]` and boxes `[2016, 18]` -> palms, the surest first."""
    probability = 1 / (1 + np.exp(-np.clip(scores, -100, 100)))
    sure = probability >= MIN_SCORE
    raw = boxes[sure].reshape(-1, 9, 2) / PALM_SIDE
    middle, size = raw[:, 0] + anchors()[sure], raw[:, 1]
    corners = np.concatenate((middle - size / 2, middle + size / 2), 1)
    keypoints = raw[:, 2:] + anchors()[sure][:, None]
    return weighted_nms(probability[sure], corners, keypoints)


def weighted_nms(
    scores: NDArray[np.float32], boxes: NDArray[np.float32], keypoints: NDArray[np.float32]
) -> list[Palm]:
    """Overlapping boxes become their mean, weighted by score; it keeps the best score."""
    palms = []
    rest = np.argsort(-scores, kind="stable")
    while len(rest):
        same = _overlap(boxes[rest[0]], boxes[rest]) > _OVERLAP
        same[0] = True  # also where a box has no area
        group, best = rest[same], rest[0]
        weight = scores[group] / scores[group].sum()
        palms.append(
            Palm(float(scores[best]), weight @ boxes[group], np.einsum("n,nkc->kc", weight, keypoints[group]))
        )
        rest = rest[~same]
    return palms


def _overlap(box: NDArray[np.float32], boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Intersection over union of one box with several `[N, 4]`."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    both = np.clip(high - low, 0, None).prod(1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return both / np.maximum(areas + (box[2:] - box[:2]).prod() - both, 1e-12)


def find_palms(photo: Photo, crops: list[Crop], device: str = "cpu") -> list[tuple[float, Crop]]:
    """Scores and hand crops of all palms in these crops of the photo, the surest first."""
    with torch.inference_mode():
        scores, boxes = palm_network(device)(cut(photo, crops, PALM_SIDE, "zeros").to(device))
    found = []
    for crop, score, box in zip(crops, scores.cpu().numpy(), boxes.cpu().numpy()):
        found += [(palm.score, hand_crop(palm, crop)) for palm in decode(score, box)]
    return sorted(found, key=lambda pair: -pair[0])


def hand_crop(palm: Palm, crop: Crop) -> Crop:
    """The square of the whole hand, fingers up, from a palm found in `crop`."""
    wrist, middle = palm.keypoints[_WRIST], palm.keypoints[_MIDDLE_MCP]
    turn = math.pi / 2 - math.atan2(wrist[1] - middle[1], middle[0] - wrist[0])
    x, y = crop.to_photo((palm.box[:2] + palm.box[2:]) / 2)
    size = palm.box[2:] - palm.box[:2]
    upright = Crop(float(x), float(y), float(size.max()) * crop.side, crop.angle + turn)
    return upright.moved(0, -_SHIFT * float(size[1] / size.max())).moved(0, 0, _GROW)
