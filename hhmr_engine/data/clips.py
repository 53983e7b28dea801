"""Held-out recordings in the order of time: clips of the test split, for figures about motion."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .adroit import adroit_joints
from .sources import load_sources
from .splits import TEST, split_groups

SHORTEST = 24  # frames: of less, a mean jerk says little
JUMP = 0.03  # metres that a joint moves on average between two frames where a sensor lost the hand


@dataclass(frozen=True)
class Clip:
    """Frames of one hand that follow one another."""

    source: str
    name: str
    joints: np.ndarray  # [T,21,3] metres, right hand, NaN = unknown


def load_clips(root: Path) -> list[Clip]:
    """Every stretch of SHORTEST frames or more of the test split below `root`, without jumps of the sensor.

    A glove's frames are all of them, with those that pose sets leave out because nothing moves; its test
    episodes are those of the split. Raises FileNotFoundError as load_sources does.
    """
    sides = _leap_sides(root)
    clips = []
    for source in load_sources(root):
        split = split_groups(source.name, source.group)
        for group in np.unique(source.group[split == TEST]):
            rows = source.group == group
            if source.name == "glove":
                hands = [_episode(root, int(group.split()[-1]))]
            elif source.name in sides:
                hands = [source.joints[rows & (sides[source.name] == side)] for side in ("left", "right")]
            elif source.name == "dex":
                hands = [source.joints[rows]]
            else:
                continue  # single poses
            for hand in hands:
                clips += [Clip(source.name, group, stretch) for stretch in _stretches(hand)]
    return clips


def _stretches(joints: np.ndarray) -> list[np.ndarray]:
    """Frames [T,21,3] cut where the hand jumps; what is too short is left out."""
    moved = np.nanmean(np.linalg.norm(np.diff(joints, axis=0), axis=-1), axis=1)
    parts = np.split(joints, np.flatnonzero(moved > JUMP) + 1)
    return [part for part in parts if len(part) >= SHORTEST]


def _leap_sides(root: Path) -> dict[str, np.ndarray]:
    """The hand of every row of each Leap film, in the order of its pose set."""
    with np.load(
        Path(root) / "poses" / "leap_recordings" / "leap_recordings.npz", allow_pickle=False
    ) as data:
        film, side = data["source"], data["side"]
    return {f"leap_{name.replace('-', '_')}": side[film == name] for name in np.unique(film)}


def _episode(root: Path, number: int) -> np.ndarray:
    path = Path(root) / "poses" / "hand_dapg_door" / "adroit_door_demos.npz"
    with np.load(path, allow_pickle=False) as data:
        return adroit_joints(data["qpos_hand_rad"][data["episode"] == number])
