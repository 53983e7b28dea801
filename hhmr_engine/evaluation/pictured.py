"""Hypotheses of a hand before a camera against the truth: errors of one, of several, and their spread."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields

import numpy as np

from ..request import Hypotheses, Request
from .fitting2d import SeenHands, camera_errors, placed_joints
from .metrics import aligned_error, coverage

CAMERA = np.array([1, -1, -1], np.float32)  # Blender's camera axes to the evaluation's, and back
LEVEL = 0.9


@dataclass(frozen=True)
class Errors:
    """Of one hand: millimetres at its own size, in the camera's axes (`camera_errors`), but where said.

    Vertices: `one` draw (the first, what a request of one gives), the `first` by score, the `mean` of all
    hypotheses, the `best` of all (an oracle). Joints: of the first by score and of the mean.
    """

    one: float
    first: float
    mean: float
    best: float
    first_joints: float
    mean_joints: float
    aligned: float  # PA-MPVPE of the first by score
    residual: float  # of the first by score: per cent of the hand's size in the picture, given joints only
    seconds: float


def errors(
    found: Hypotheses, vertices: np.ndarray, joints: np.ndarray, given: np.ndarray, size: float
) -> Errors:
    """Truth: vertices [V,3] and joints [21,3] in camera axes, y down.

    given [21,2] pixels with NaN, size: the hand's in pixels.
    """
    own, own_joints = found.vertices * CAMERA, found.joints * CAMERA
    each, each_joint = camera_errors(own, own_joints, vertices, joints)
    middle, middle_joints = average(own, own_joints)
    mean, mean_joints = camera_errors(middle, middle_joints, vertices, joints)
    assert found.joints2d is not None
    off = np.linalg.norm(found.joints2d[0] - given, axis=1)
    return Errors(
        one=1e3 * float(each[found.draw.argmin()]),
        first=1e3 * float(each[0]),
        mean=1e3 * float(mean),
        best=1e3 * float(each.min()),
        first_joints=1e3 * float(each_joint[0]),
        mean_joints=1e3 * float(mean_joints),
        aligned=1e3 * float(aligned_error(own[0], vertices)),
        residual=100 * float(np.nanmean(off)) / size,
        seconds=found.seconds,
    )


def average(vertices: np.ndarray, joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean of hypotheses [n,V,3] and [n,21,3], each first brought to its middle and to the same size."""
    middle = vertices.mean(1, keepdims=True)
    size = np.linalg.norm(vertices - middle, axis=(1, 2))[:, None, None]
    return ((vertices - middle) / size).mean(0), ((joints - middle) / size).mean(0)


def columns(answers: Iterable[Errors]) -> dict[str, np.ndarray]:
    """Each figure of all hands [N]."""
    rows = np.array([astuple(answer) for answer in answers])
    return {field.name: rows[:, i] for i, field in enumerate(fields(Errors))}


def request_of(hands: SeenHands, row: int, **changes: object) -> Request:
    """What is told about one of the hands."""
    given = hands.joints2d[row]
    options = {
        "side": "right",
        "joints2d": given,
        "sigma2d": np.full(21, hands.sigma2d[row], np.float32),
        "size": hands.picture,
        "focal": float(hands.focal[row]),
        "diverse": False,
    }
    return Request("reconstruct", **{**options, **changes})  # type: ignore[arg-type]


@dataclass(frozen=True)
class Spread:
    """Share of true coordinates inside the central LEVEL of the draws, per cent."""

    depth: float  # of the joints, from the wrist
    hidden_depth: float  # the same, of joints that were not given
    all: float  # every coordinate of every joint, from the middle of the vertices


def spread(samples: np.ndarray, truth: np.ndarray, visible: np.ndarray) -> Spread:
    """samples [N,n,21,3] by `placed`, truth [N,21,3] from the middle of its vertices, visible [N,21]."""
    inside = _inside(samples - samples[:, :, :1], truth - truth[:, :1])[..., 2]
    hidden = inside[:, 1:][~visible[:, 1:]]
    return Spread(
        100 * float(inside[:, 1:].mean()),
        100 * float(hidden.mean()) if len(hidden) else float("nan"),
        100 * float(_inside(samples, truth).mean()),
    )


def _inside(samples: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """[N,...] 1 where the truth lies in the central LEVEL of its own samples, else 0."""
    return np.stack([coverage(s[None], t[None], LEVEL) for s, t in zip(samples, truth)])


def placed(found: Hypotheses, vertices: np.ndarray) -> np.ndarray:
    """Joints [n,21,3] of all hypotheses as `camera_errors` moves them onto the truth's size."""
    return placed_joints(found.vertices * CAMERA, found.joints * CAMERA, vertices)
