"""Recorded joints on our hand: one calibration per source, 24 angles per frame (design: registration).

The calibration is estimated from training frames only and then applied to every frame of the source.
"""

import hashlib
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from ..hand import capsules, kinematics
from ..hand.capsules import measure_proxies
from ..hand.template import HandTemplate
from . import adroit, joint_fit, penetration, sampler, sources, splits
from .joint_fit import AnglePrior, Calibration, Hands, angle_prior, calibrate, fit_hands, residuals
from .penetration import part
from .sampler import sample_angles
from .sources import PoseSet, load_sources
from .splits import TRAIN, split_groups

CALIBRATION_FRAMES = 160
PRIOR_SAMPLES = 4000
AT_ONCE = 4096  # frames that are fitted together: what a fit holds per frame is 100 KB
HANDS = [field.name for field in fields(Hands)]
# A recording's hand may be the wrong one: its mirror image is tried where the fit is this many times worse
# than the source's median, and taken where it lowers the energy this much.
SUSPICIOUS, CLEARLY_BETTER = 1.7, 0.6


@dataclass(frozen=True)
class Retargeted:
    """One source on our hand; a frame is posed by its angles and the calibration's offsets and lengths."""

    name: str
    angles: np.ndarray  # [N,24] radians, float32: the recorded pose
    clear: np.ndarray  # [N,24] the same with fingers opened until our hand does not penetrate itself
    is_clear: np.ndarray  # [N] bool: opening them succeeded
    calibration: Calibration
    joints: np.ndarray  # [N,21,3] as recorded, metres, right hand, NaN = unknown
    residual_mm: np.ndarray  # [N] mean distance of `angles` from the known joints, at our hand's size
    split: np.ndarray  # [N] "train" | "validation" | "test" | "gap"
    group: np.ndarray  # [N] the unit of the split


def load_poses(template: HandTemplate, root: Path, cache: Path | None = None) -> list[Retargeted]:
    """All sources below `root` retargeted to `template`, in the order of load_sources.

    `cache` is an npz to read when it was made from the same recordings, template and code, and to write
    otherwise. Raises FileNotFoundError when a recording is missing.
    """
    return retarget_all(template, load_sources(root), cache)


def retarget_all(template: HandTemplate, sets: list[PoseSet], cache: Path | None = None) -> list[Retargeted]:
    """`sets` retargeted to `template`, in their order; `cache` as for load_poses."""
    key = retargeting_key(template, sets)
    if cache is not None and (kept := _read(cache, key)) is not None:
        return kept
    prior = usual_prior(template)
    poses = [retarget(template, pose_set, prior) for pose_set in sets]
    if cache is not None:
        _write(cache, key, poses)
    return poses


def usual_prior(template: HandTemplate) -> AnglePrior:
    """What is known of angles before any recording: the sampler's statistics."""
    return angle_prior(sample_angles(PRIOR_SAMPLES, np.random.default_rng(0), template))


def retarget(template: HandTemplate, pose_set: PoseSet, prior: AnglePrior) -> Retargeted:
    """Calibrate on the training frames of `pose_set`, then fit every frame and open what penetrates."""
    hands, joints, calibration = lay(template, pose_set, prior)
    error = np.nanmean(residuals(template, hands, calibration, joints), axis=1)
    angles = hands.angles.astype(np.float32)
    offsets, lengths = calibration.offsets, calibration.lengths
    proxies = measure_proxies(template, offsets=offsets, lengths=lengths)
    clear, is_clear = part(template, proxies, angles, offsets=offsets, lengths=lengths)
    split = split_groups(pose_set.name, pose_set.group)
    return Retargeted(
        pose_set.name, angles, clear, is_clear, calibration, joints, 1000.0 * error, split, pose_set.group
    )


def lay(
    template: HandTemplate, pose_set: PoseSet, prior: AnglePrior
) -> tuple[Hands, np.ndarray, Calibration]:
    """The fit of every frame, the joints [N,21,3] about their mean that it is a fit of, the calibration."""
    train = np.flatnonzero(split_groups(pose_set.name, pose_set.group) == TRAIN)
    train = train[np.linspace(0, len(train) - 1, min(CALIBRATION_FRAMES, len(train))).astype(int)]
    joints = pose_set.joints - np.nanmean(pose_set.joints, axis=1, keepdims=True)
    calibration = calibrate(template, joints[train], prior)
    parts = [joints[row : row + AT_ONCE] for row in range(0, len(joints), AT_ONCE)]
    fits = [fit_hands(template, rows, calibration, prior) for rows in parts]
    arrays = {name: np.concatenate([getattr(hands, name) for hands, _ in fits]) for name in HANDS}
    cost = np.concatenate([cost for _, cost in fits])
    return *_unmirror(template, Hands(**arrays), cost, joints, calibration, prior), calibration


def _unmirror(
    template: HandTemplate,
    hands: Hands,
    cost: np.ndarray,
    joints: np.ndarray,
    calibration: Calibration,
    prior: AnglePrior,
) -> tuple[Hands, np.ndarray]:
    """Replace frames whose mirror image fits clearly better: their source had the side or a sign wrong."""
    error = np.nanmean(residuals(template, hands, calibration, joints), axis=1)
    rows = np.flatnonzero(error > SUSPICIOUS * np.median(error))
    if not len(rows):
        return hands, joints
    mirrored = joints[rows] * np.array([-1.0, 1.0, 1.0])
    other, other_cost = fit_hands(template, mirrored, calibration, prior)
    better = other_cost < CLEARLY_BETTER * cost[rows]
    rows, joints = rows[better], joints.copy()
    joints[rows] = mirrored[better]
    arrays = {name: getattr(hands, name).copy() for name in HANDS}
    for name, array in arrays.items():
        array[rows] = getattr(other, name)[better]
    return Hands(**arrays), joints


def retargeting_key(template: HandTemplate, sets: list[PoseSet]) -> str:
    """Hash of everything a retargeting follows from, its code included."""
    digest = hashlib.sha256()
    for module in (adroit, capsules, joint_fit, kinematics, penetration, sampler, sources, splits):
        digest.update(Path(str(module.__file__)).read_bytes())
    digest.update(Path(__file__).read_bytes())
    for array in (template.heads, template.tips, template.axes, template.vertices, template.weights):
        digest.update(np.ascontiguousarray(array).tobytes())
    for pose_set in sets:
        digest.update(pose_set.joints.tobytes())
        digest.update("\n".join([pose_set.name, *pose_set.group.tolist()]).encode())
    return digest.hexdigest()


ARRAYS = [field.name for field in fields(Retargeted) if field.name not in ("name", "calibration")]
CALIBRATION = [field.name for field in fields(Calibration)]


def _write(cache: Path, key: str, poses: list[Retargeted]) -> None:
    """One npz, written beside and renamed."""
    arrays = {"key": np.array(key), "names": np.array([pose.name for pose in poses])}
    for pose in poses:
        arrays |= {f"{pose.name}/{name}": getattr(pose, name) for name in ARRAYS}
        arrays |= {f"{pose.name}/{name}": np.array(getattr(pose.calibration, name)) for name in CALIBRATION}
    cache.parent.mkdir(parents=True, exist_ok=True)
    beside = cache.with_name(cache.name + ".part.npz")
    np.savez_compressed(beside, **arrays)
    beside.replace(cache)


def _read(cache: Path, key: str) -> list[Retargeted] | None:
    """The cached poses, or None when there are none for this key."""
    if not cache.is_file():
        return None
    with np.load(cache, allow_pickle=False) as data:
        if "key" not in data.files or str(data["key"]) != key:
            return None
        arrays = {name: data[name] for name in data.files}
    poses = []
    for name in arrays["names"].tolist():
        lengths, offsets, shifts, scale = (arrays[f"{name}/{part}"] for part in CALIBRATION)
        own = {part: arrays[f"{name}/{part}"] for part in ARRAYS}
        calibration = Calibration(lengths, offsets, shifts, float(scale))
        poses.append(Retargeted(name=name, calibration=calibration, **own))
    return poses
