"""Samples of datasets as the engine takes them, and its answers as the protocols want them.

Where the hand is, is known, as it is from the paper's crops: the true joints place the crop and the hand,
and are told to nobody unless the row says "2D". Where a dataset hides the truth (HO3D before its release),
the engine looks for the hand by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...datasets.sample import HandSample
from ...request import Hypotheses, Request
from ..pictured import CAMERA
from .augmentation import Answer

# What is told of a photo, as Request has it; the paper's Table 5.
TOLD: dict[str, dict[str, Any]] = {
    "photo": {"skeleton": False, "guidance": "none"},
    "photo + 2D": {"guidance": "none"},
    "photo + 2D + guidance": {},
    "2D + guidance": {"image": False},
}
NOISE_2D = 0.005  # of the hand's size in the picture: how exactly a dataset's joints are ours
WIDEST = 3.0  # of a photo: more than that is not laid round it to bring the principal point to the middle
REFERENCE_BONE = (9, 10)  # FreiHAND gives its length: the middle finger's first phalanx


@dataclass(frozen=True)
class Shown:
    """A photo with its principal point in its middle, and where the hand is in it; pixels."""

    pixels: np.ndarray  # [H,W,3] uint8
    focal: float
    joints2d: np.ndarray | None  # [21,2]; None: not known
    box: np.ndarray | None  # [4] x, y, width, height
    side: str


def shown(sample: HandSample) -> Shown:
    """The photo of a sample; ValueError where there is none, or no camera."""
    if sample.image is None or sample.intrinsics is None:
        raise ValueError(f"{sample.key} has no photo, or no camera.")
    k = np.asarray(sample.intrinsics, np.float64)
    photo = sample.image()
    size = np.array(photo.shape[1::-1])
    centre = k[:2, 2]
    half = np.ceil(np.maximum(centre, size - centre)).astype(int)
    if (2 * half > WIDEST * size).any():
        raise ValueError(f"The camera of {sample.key} looks past its photo.")
    corner = np.round(half - centre).astype(int)
    after = 2 * half - size - corner
    around = ((corner[1], after[1]), (corner[0], after[0]), (0, 0))
    focal = float(np.sqrt(k[0, 0] * k[1, 1]))
    joints2d = None
    box = None if sample.box is None else sample.box + np.array([*corner, 0, 0], np.float32)
    if np.isfinite(sample.joints).all():
        seen = sample.joints[:, :2] / sample.joints[:, 2:]
        joints2d = (focal * seen + half).astype(np.float32)
    return Shown(np.pad(photo, np.maximum(around, 0), mode="edge"), focal, joints2d, box, sample.side)


def request_of(picture: Shown, told: str, **changes: Any) -> Request:
    """What is asked of one photo; `told` is one of TOLD."""
    options: dict[str, Any] = {"photo": picture.pixels, "focal": picture.focal, "side": picture.side}
    if picture.joints2d is not None:
        size = float(np.ptp(picture.joints2d, axis=0).max())
        options["joints2d"] = picture.joints2d
        options["sigma2d"] = np.full(21, NOISE_2D * size, np.float32)
    else:
        options["box"] = picture.box
    return Request("reconstruct", **{**options, "diverse": False, **TOLD[told], **changes})


def answer(found: Hypotheses) -> Answer:
    """Hypotheses in the axes of the datasets, in the order in which they stand."""
    return Answer(found.joints * CAMERA, found.vertices * CAMERA)


def in_place(hands: Answer, sample: HandSample, dataset: str) -> Answer:
    """Hands of the size or at the place that the dataset gives to everybody, as far as the sample has it.

    FreiHAND gives the length of a bone: the hand grows about the camera, and is seen as before. HO3D gives
    the wrist.
    """
    joints, vertices = hands.joints, hands.vertices
    if dataset == "freihand":
        own, true = (
            np.linalg.norm(j[..., REFERENCE_BONE[1], :] - j[..., REFERENCE_BONE[0], :], axis=-1)
            for j in (joints, sample.joints)
        )
        if np.isfinite(true):
            scale = (true / own)[..., None, None]
            return Answer(joints * scale, vertices * scale)
    elif dataset == "ho3d" and np.isfinite(sample.joints[0]).all():
        shift = sample.joints[0] - joints[..., :1, :]
        return Answer(joints + shift, vertices + shift)
    return hands
