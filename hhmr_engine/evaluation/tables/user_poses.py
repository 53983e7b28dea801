"""Somebody else's joints to measure on: an npz of `joints [N,21,3]`."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np

from ...faults import InputError
from .table import UserPoses

FEWEST = 8  # known joints that a hand must have, three of its palm among them
PALM = (0, 5, 9, 13, 17)
# What numpy, zipfile and zlib raise for damaged, encrypted or hostile files.
UNREADABLE = (OSError, ValueError, EOFError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error)
LEFT, RIGHT = "left", "right"


def read_user_poses(path: Path) -> UserPoses:
    """Right hands: those that `side [N]` calls left are mirrored. InputError says what is wrong."""
    try:
        data = np.load(path, allow_pickle=False)
        if isinstance(data, np.ndarray):
            raise InputError(f"{path} holds a bare array: save it with np.savez and the name 'joints'.")
        with data:
            arrays = {name: data[name] for name in data.files}
    except FileNotFoundError:
        raise InputError(f"There is no file {path}: check --poses.") from None
    except UNREADABLE as exc:
        raise InputError(
            f"{path} is not a readable npz file of plain numbers ({exc}): write it again."
        ) from exc
    if "joints" not in arrays:
        found = ", ".join(arrays) or "nothing"
        raise InputError(f"{path} has no 'joints' (it holds {found}): save [N,21,3] by that name.")
    joints = arrays["joints"]
    if joints.ndim != 3 or joints.shape[1:] != (21, 3) or joints.dtype.kind not in "fiu" or not len(joints):
        shape = " x ".join(map(str, joints.shape))
        raise InputError(
            f"'joints' in {path} must be N x 21 x 3 numbers, and is {shape}: use OpenPose order."
        )
    joints = joints.astype(np.float64)
    if np.isinf(joints).any():
        raise InputError(f"'joints' in {path} holds infinite numbers: write NaN for what is unknown.")
    joints[np.isnan(joints).any(2)] = np.nan
    if "side" in arrays:
        joints[_left(arrays["side"], len(joints), path)] *= [-1.0, 1.0, 1.0]
    known = np.isfinite(joints[..., 0])
    enough = (known.sum(1) >= FEWEST) & (known[:, PALM].sum(1) >= 3)
    if not enough.any():
        raise InputError(f"No hand in {path} has {FEWEST} known joints, three of them the palm's: give more.")
    joints = joints[enough]
    span = np.nanmedian(np.nanmax(joints, 1) - np.nanmin(joints, 1))
    if not 0.01 < span < 1.0:
        raise InputError(f"The hands in {path} are about {span:g} across: give their joints in metres.")
    return UserPoses(joints.astype(np.float32), path.name)


def _left(side: np.ndarray, count: int, path: Path) -> np.ndarray:
    """[N] bool."""
    names = np.char.lower(side.astype(str)) if side.dtype.kind in "US" else side
    if side.shape != (count,) or not np.isin(names, (LEFT, RIGHT)).all():
        raise InputError(f"'side' in {path} must be {count} times '{RIGHT}' or '{LEFT}': write it so.")
    return names == LEFT
