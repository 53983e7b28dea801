"""Poses that users add: one npz per source, written by `hhmr import-poses` or by anybody.

`joints` [N,21,3] alone is enough: metres, a right hand, OpenPose order, NaN = unknown. `group` [N] is the
unit of the split (without it: blocks of a film, as in sources.py), `names` [N] what a person would call a
frame, `source` the name of the source: one device on one hand, so that one calibration fits all of it.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ..hand.template import HandTemplate
from .joint_fit import RIGID_JOINTS
from .retarget import Retargeted, retarget_all, retargeting_key
from .sources import PoseSet, blocks

FEWEST_JOINTS = 8  # of 21: of fewer, a pose is mostly what is usual
FEWEST_RIGID = 3  # of those that a first alignment relies on
MIDDLE = 9  # the middle finger's knuckle, from which a calibration measures the hand
LARGEST = 1 << 30  # bytes of a file
UNREADABLE = (OSError, ValueError, EOFError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error)


def load_user_poses(
    template: HandTemplate, paths: Iterable[Path], cache: Path | None = None
) -> list[Retargeted]:
    """Every file retargeted to `template` as load_poses does its own, in order; the split is by `group`.

    `cache` is a folder in which what a file became is kept until the file, template or code changes. Raises
    ValueError with one sentence for a file that is no such npz, and where two files are named alike.
    """
    poses: list[Retargeted] = []
    for path in paths:
        pose_set = read_poses(path)
        if pose_set.name in {pose.name for pose in poses}:
            raise ValueError(
                f"{path} is a source named {pose_set.name} as another file is: give it another --name."
            )
        key = retargeting_key(template, [pose_set])
        kept = None if cache is None else cache / f"user_{key[:16]}.npz"
        poses += retarget_all(template, [pose_set], kept)
    return poses


def read_poses(path: Path) -> PoseSet:
    """The file's frames, without those of which too little is known to fit a hand.

    Raises ValueError with one sentence.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError(f"it is larger than {LARGEST >> 20} MiB")
        with np.load(path, allow_pickle=False) as data:
            arrays = {name: data[name] for name in ("joints", "group", "names", "source") if name in data}
    except FileNotFoundError:
        raise ValueError(f"There is no file {path}: check the name.") from None
    except (TypeError, AttributeError):  # a bare array is no archive
        raise ValueError(f"{path} is no npz: make it with 'hhmr import-poses'.") from None
    except UNREADABLE as exc:
        raise ValueError(f"{path} cannot be read ({exc}): make it again with 'hhmr import-poses'.") from exc
    joints = arrays.get("joints")
    if joints is None or joints.dtype.kind != "f" or joints.ndim != 3 or joints.shape[1:] != (21, 3):
        found = "none" if joints is None else f"{' x '.join(map(str, joints.shape))} of {joints.dtype}"
        raise ValueError(f"'joints' in {path} must be N x 21 x 3 metres and is {found}: import it.")
    name = str(arrays["source"]) if arrays.get("source", np.ones(1)).ndim == 0 else path.stem
    frames = np.arange(len(joints))
    group = _strings(arrays, "group", path, blocks(frames, "block "))
    names = _strings(arrays, "names", path, np.char.add("frame ", frames.astype(str)))
    joints = np.where(np.isfinite(joints).all(-1, keepdims=True), joints, np.nan).astype(np.float64)
    keep = enough(joints)
    if not keep.any():
        raise ValueError(
            f"No frame in {path} knows enough of a hand (its middle knuckle and {FEWEST_JOINTS - 1} joints)."
        )
    return PoseSet(name, joints[keep], group[keep], names[keep])


def save_poses(path: Path, poses: PoseSet, side: np.ndarray, notes: list[str]) -> None:
    """Write the npz beside and rename it. `side` [N]: what each hand was before; notes: what was done."""
    arrays = {"group": poses.group, "names": poses.names, "side": side, "notes": np.array(notes)}
    beside = path.with_name(f".{path.stem}.{os.getpid()}.part.npz")
    try:
        np.savez_compressed(
            beside, joints=poses.joints.astype(np.float32), source=np.array(poses.name), **arrays
        )
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def enough(joints: np.ndarray) -> np.ndarray:
    """[N] bool: frames [N,21,3] of which enough is known to fit a hand, its size among it."""
    known = ~np.isnan(joints).any(-1)
    return (
        known[:, MIDDLE] & (known.sum(1) >= FEWEST_JOINTS) & (known[:, RIGID_JOINTS].sum(1) >= FEWEST_RIGID)
    )


def _strings(arrays: dict[str, np.ndarray], name: str, path: Path, usual: np.ndarray) -> np.ndarray:
    """An array of words [N], or the usual ones where the file has none."""
    words = arrays.get(name, usual)
    if words.shape != usual.shape or words.dtype.kind != "U":
        raise ValueError(
            f"'{name}' in {path} must be {len(usual)} words: leave it out, or write one a frame."
        )
    return words
