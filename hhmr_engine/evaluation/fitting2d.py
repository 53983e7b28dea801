"""Hands seen by a camera, to fit to their 2D skeletons: the test set, fixed by named seeds.

Camera axes are x right, y down, z away from the camera; a point (X, Y, Z) is seen at
`u = focal * X / Z + width / 2`, `v = focal * Y / Z + height / 2`. What is compared is how the hand is turned
and posed in the camera, so errors are taken there: see `camera_errors`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from ..data.retarget import load_poses
from ..data.splits import TEST, VALIDATION
from ..hand.rotation import from_quaternion
from ..hand.skeleton import FINGER_JOINTS
from ..hand.template import HandTemplate
from .metrics import mean_point_error
from .testset import SYNTHETIC_SEED, TestHands, generator, recorded_hands, synthetic_hands

COUNT = 500
CAMERA_SEED = "hhmr-test-camera-1"
TUNING_SEED = "hhmr-tune-2d-1"
PICTURE = (1024.0, 768.0)  # width, height
FOCAL = (1.0, 1.6)  # in parts of the picture's width: 53 to 35 degrees
DISTANCE = (6.0, 20.0)  # in hand sizes: from perspective as a phone sees it to nearly none
NOISE = 0.015  # of the hand's size in the picture (design: vision)
HIDDEN = ("none", "third", "fingers")  # joints: all seen, 7 of 21 hidden at random, two whole fingers hidden
PER_SOURCE = 84


@dataclass(frozen=True)
class SeenHands:
    """N right hands before a camera, and what is told about them. Metres in the camera's axes; pixels."""

    vertices: np.ndarray  # [N,V,3] float32, the truth
    joints: np.ndarray  # [N,21,3] regressor @ vertices
    joints2d: np.ndarray  # [N,21,2] with noise, NaN = hidden
    sigma2d: np.ndarray  # [N] the noise's standard deviation along one axis
    hand_size: np.ndarray  # [N] longer side of the bounding box of all 21 projected joints
    focal: np.ndarray  # [N]
    source: np.ndarray  # [N] str

    def __len__(self) -> int:
        return len(self.vertices)

    def first(self, count: int) -> SeenHands:
        """The first `count` hands; sources take turns, so that every one stays in."""
        return SeenHands(*(getattr(self, field.name)[:count] for field in fields(self)))

    @property
    def picture(self) -> np.ndarray:
        """[2] float32: width and height."""
        return np.array(PICTURE, np.float32)

    @property
    def visible(self) -> np.ndarray:
        """[N,21] bool."""
        return np.isfinite(self.joints2d[..., 0])


def seen_hands(
    template: HandTemplate,
    data: Path | None = None,
    cache: Path | None = None,
    kind: str = "synthetic",
    hidden: str = "none",
    tuning: bool = False,
) -> SeenHands:
    """The COUNT hands that fitting to a 2D skeleton is measured on; the same ones for everybody.

    kind "synthetic" needs no data; "recordings" are the test split of those below `data` (`cache` as for
    load_poses), sources in turn, short ones seen from several sides. hidden is one of HIDDEN: the hands,
    views and noise are the same in all three. `tuning` gives other hands to choose settings by: another seed,
    the validation split.
    """
    if kind == "synthetic":
        seed = TUNING_SEED if tuning else SYNTHETIC_SEED
        hands = synthetic_hands(template, COUNT, seed)
    else:
        if data is None:
            raise ValueError("recorded hands need the folder that holds poses/.")
        recordings = load_poses(template, data, cache)
        split = VALIDATION if tuning else TEST
        hands = _in_turn(recorded_hands(template, recordings, PER_SOURCE, split), COUNT)
    seen = seen_by_camera(template, hands, f"{CAMERA_SEED}-{kind}-{'tuning' if tuning else 'test'}")
    return hide(seen, hidden)


def seen_by_camera(template: HandTemplate, hands: TestHands, seed: str) -> SeenHands:
    """Each hand turned by a uniformly random rotation, somewhere in the picture, all joints inside it."""
    rng = generator(seed)
    count = len(hands)
    turn = uniform_rotations(count, rng)
    centre = hands.joints.mean(1, keepdims=True)
    vertices, joints = ((p - centre) @ turn.transpose(0, 2, 1) for p in (hands.vertices, hands.joints))
    focal = PICTURE[0] * rng.uniform(*FOCAL, count)
    length = float(np.linalg.norm(template.joints[12] - template.joints[0]))
    depth = length * DISTANCE[0] * (DISTANCE[1] / DISTANCE[0]) ** rng.uniform(0, 1, count)
    place = rng.uniform(-0.5, 0.5, (count, 2))  # of the room that the hand leaves in the picture
    half = 0.5 * np.array(PICTURE)
    room = half - (focal * np.abs(joints).max((1, 2)) / (depth - np.abs(joints).max((1, 2))))[:, None] - 5.0
    shift = np.concatenate([2 * place * room * (depth / focal)[:, None], depth[:, None]], 1)[:, None]
    vertices, joints = (vertices + shift).astype(np.float32), (joints + shift).astype(np.float32)
    exact = project(joints, focal)
    size = np.ptp(exact, axis=1).max(1)
    noisy = exact + (NOISE * size)[:, None, None] * rng.standard_normal(exact.shape)
    return SeenHands(
        vertices,
        (template.regressor @ vertices).astype(np.float32),
        noisy.astype(np.float32),
        (NOISE * size).astype(np.float32),
        size.astype(np.float32),
        focal.astype(np.float32),
        hands.source,
    )


def hide(hands: SeenHands, hidden: str) -> SeenHands:
    """The same hands with joints unknown: one of HIDDEN. Which ones depends on the row alone."""
    if hidden not in HIDDEN:
        raise ValueError(f"hidden is '{hidden}': use one of {', '.join(HIDDEN)}.")
    told = hands.joints2d.copy()
    for row in range(len(hands) if hidden != "none" else 0):
        rng = generator(f"{CAMERA_SEED}-{hidden}-{row}")
        if hidden == "third":
            told[row, rng.choice(21, 7, replace=False)] = np.nan
        else:
            for finger in rng.choice(5, 2, replace=False):
                told[row, list(list(FINGER_JOINTS.values())[finger])] = np.nan
    others = {field.name: getattr(hands, field.name) for field in fields(hands)}
    return SeenHands(**{**others, "joints2d": told})


def project(points: np.ndarray, focal: np.ndarray) -> np.ndarray:
    """Pixels [N,...,P,2] of points [N,...,P,3] in camera axes, for focal [N]."""
    f = np.asarray(focal).reshape(-1, *[1] * (points.ndim - 1))
    return f * points[..., :2] / points[..., 2:] + 0.5 * np.array(PICTURE)


def camera_errors(
    vertices: np.ndarray, joints: np.ndarray, true_vertices: np.ndarray, true_joints: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """MPVPE and MPJPE [...] of hands in the camera's axes, in the unit of the points (metres).

    Scale and depth cannot be seen in one picture and are taken out; the ROTATION IS NOT ALIGNED: a hand of
    the right pose that is turned wrongly is wrong. Both hands are moved so that the mean of their vertices is
    the origin; then the estimate is scaled about it by s = <estimate, truth> / <estimate, estimate> over all
    vertices, the least squares. The joints are moved by the very same translations and scale. Points
    [...,V,3] and [...,21,3], broadcast over the leading axes.
    """
    estimate, own = _in_true_place(vertices, joints, true_vertices)
    middle = np.asarray(true_vertices, np.float64).mean(-2, keepdims=True)
    return mean_point_error(estimate, true_vertices - middle), mean_point_error(own, true_joints - middle)


def placed_joints(vertices: np.ndarray, joints: np.ndarray, true_vertices: np.ndarray) -> np.ndarray:
    """Joints [...,21,3] of estimates as `camera_errors` moves them; the middle of the vertices is 0."""
    return _in_true_place(vertices, joints, true_vertices)[1]


def _in_true_place(
    vertices: np.ndarray, joints: np.ndarray, truth: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    v, t = np.asarray(vertices, np.float64), np.asarray(truth, np.float64)
    middle = v.mean(-2, keepdims=True)
    v, t = v - middle, t - t.mean(-2, keepdims=True)
    scale = ((v * t).sum((-1, -2)) / (v * v).sum((-1, -2)))[..., None, None]
    return scale * v, scale * (joints - middle)


def uniform_rotations(count: int, rng: np.random.Generator) -> np.ndarray:
    """[count,3,3], uniform over all rotations: unit quaternions of normal numbers."""
    q = rng.standard_normal((4, count))
    return from_quaternion((q / np.linalg.norm(q, axis=0)).T)


def _in_turn(hands: TestHands, count: int) -> TestHands:
    """`count` hands, sources in turn; the hands of a short source come again (and are seen anew)."""
    rows = [np.flatnonzero(hands.source == name) for name in dict.fromkeys(hands.source.tolist())]
    chosen = [rows[i % len(rows)][(i // len(rows)) % len(rows[i % len(rows)])] for i in range(count)]
    return TestHands(*(getattr(hands, f.name)[chosen] for f in fields(hands)))
