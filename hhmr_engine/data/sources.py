"""Recorded and authored hand poses as 21 joints of a right hand.

Every loader reads one npz of the data folder (see its SOURCES.md for licences) and hands back a `PoseSet`.
Left hands are mirrored (x -> -x); joints that a recording lacks are NaN. `group` is the unit of the
train/test split: frames that look alike because they follow one another, or because they are the left and
right hand of one gesture, share a group. Frames between two blocks of one film have the group GAP and are
used by nobody.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .adroit import adroit_joints

GAP = "gap"
BLOCK_FRAMES = 40
GAP_FRAMES = 5
CHANGE = 0.003  # metres: a frame whose joints moved less on average since the last one says nothing new

# Rows of the 26 OpenXR joints that are the 21 (OpenXR has a palm and four metacarpal heads more).
OPENXR_ROWS = [0, 2, 3, 4, 5, 7, 8, 9, 10, 12, 13, 14, 15, 17, 18, 19, 20, 22, 23, 24, 25]

# Gestures of the ASL alphabet and digits that are one hand shape under two names.
SAME_SHAPE = {"asl 4": "asl b", "asl 5": "flare", "asl 6": "asl w", "asl 9": "asl f", "asl 10": "thumb"}


@dataclass(frozen=True)
class PoseSet:
    """One source, recorded by one device on one hand, so that one calibration fits all of it."""

    name: str
    joints: np.ndarray  # [N,21,3] metres, right hand, NaN = unknown
    group: np.ndarray  # [N] str, the unit of the split
    names: np.ndarray  # [N] str, what a person would call the frame

    def __len__(self) -> int:
        return len(self.joints)


def load_sources(root: Path) -> list[PoseSet]:
    """All sources below `root` (the folder that holds `poses/`), in a fixed order.

    Raises FileNotFoundError with the missing file and what to do.
    """
    files: list[tuple[str, Callable[[Path], list[PoseSet]]]] = [
        ("handyjs/handyjs.npz", _handyjs),
        ("godot_xr_hands/godot_xr_hand_poses.npz", _godot),
        ("leap_recordings/leap_recordings.npz", _leap),
        ("dex_retargeting/human_joint_right.npz", _dex),
        ("hand_dapg_door/adroit_door_demos.npz", _glove),
    ]
    sets: list[PoseSet] = []
    for relative, load in files:
        path = Path(root) / "poses" / relative
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing: point HHMR_DATA at the folder that holds poses/.")
        sets.extend(load(path))
    return sets


def _read(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files}


def _right_handed(joints: np.ndarray, side: np.ndarray) -> np.ndarray:
    """Mirror the left hands; `side` starts with l or L for them."""
    joints = np.asarray(joints, np.float64).copy()
    joints[np.char.lower(side.astype(str)).astype("U1") == "l", :, 0] *= -1.0
    return joints


def blocks(frame: np.ndarray, prefix: str) -> np.ndarray:
    """Group names of a film: blocks of BLOCK_FRAMES frames whose last GAP_FRAMES belong to nobody.

    `frame` [N] counts time; two hands seen at one time share it.
    """
    block, within = np.divmod(frame, BLOCK_FRAMES)
    gap = within >= BLOCK_FRAMES - GAP_FRAMES
    return np.where(gap, GAP, np.char.add(prefix, block.astype(str)))


def _handyjs(path: Path) -> list[PoseSet]:
    """Headset recordings: gestures, ASL letters and digits, both hands."""
    data = _read(path)
    joints = _right_handed(data["joints21_mm"] / 1000.0, data["side"])
    return [PoseSet("handyjs", joints, _gesture_groups(data["names"]), data["names"])]


def _gesture_groups(names: np.ndarray) -> np.ndarray:
    """One group per hand shape: names are aliases joined by "/", and aliases chain (union-find).

    "asl z/point" and "asl 1/point" are one shape, and the right hand's bare "asl v" is "asl v/peace".
    """
    leader: dict[str, str] = {}

    def find(alias: str) -> str:
        while leader.setdefault(alias, alias) != alias:
            alias = leader[alias]
        return alias

    aliases = [[part for part in name.split("/") if part.isascii()] for name in names.tolist()]
    pairs = [(parts[0], other) for parts in aliases for other in parts] + list(SAME_SHAPE.items())
    for one, other in pairs:
        leader[find(other)] = find(one)
    return np.array([find(parts[0]) for parts in aliases])


def _godot(path: Path) -> list[PoseSet]:
    """Authored poses of a game hand, both hands, OpenXR joints."""
    data = _read(path)
    joints = _right_handed(data["joints_m"][:, OPENXR_ROWS], data["side"])
    return [PoseSet("godot", joints, data["names"], data["names"])]


def _leap(path: Path) -> list[PoseSet]:
    """Two films of a Leap sensor: different hands and device versions, so two sets.

    The fingers' metacarpals are missing throughout and the wrist in the first film.
    """
    data = _read(path)
    fingers = data["fingers_mm"]
    joints = np.concatenate([data["wrist_mm"][:, None], fingers], axis=1) / 1000.0
    joints = _right_handed(joints, data["side"])
    sets = []
    for film in np.unique(data["source"]):
        rows = data["source"] == film
        names = np.array([f"{film} {number}" for number in range(rows.sum())])
        group = blocks(_film_time(data["side"][rows]), f"{film} ")
        sets.append(PoseSet(f"leap_{film.replace('-', '_')}", joints[rows], group, names))
    return sets


def _film_time(side: np.ndarray) -> np.ndarray:
    """Frame numbers [N] of rows that list the hands of one frame one after another.

    A row starts a new frame unless its hand is the other one and the frame has only one so far.
    """
    times: list[int] = []
    seen: set[str] = set()
    now = 0
    for hand in side.tolist():
        if hand in seen:
            now, seen = now + 1, set()
        seen.add(hand)
        times.append(now)
    return np.array(times)


def _dex(path: Path) -> list[PoseSet]:
    """A film of a right hand, joints estimated from video."""
    joints = _read(path)["joints21_m"].astype(np.float64)
    frames = np.arange(len(joints))
    names = np.char.add("frame ", frames.astype(str))
    return [PoseSet("dex", joints, blocks(frames, "block "), names)]


def _glove(path: Path) -> list[PoseSet]:
    """Glove demonstrations of opening a door: grasps. Frames nearly equal to the last kept are dropped."""
    data = _read(path)
    joints, episode = adroit_joints(data["qpos_hand_rad"]), data["episode"]
    keep = changed(joints, episode)
    group = np.char.add("episode ", episode[keep].astype(str))
    return [PoseSet("glove", joints[keep], group, group)]


def changed(joints: np.ndarray, episode: np.ndarray, step: float = CHANGE) -> np.ndarray:
    """Rows whose joints lie on average `step` metres or more from the last kept row of their episode.

    NaN: unknown; a row of an episode's that shares no joint with its last kept row is kept.
    """
    keep: list[int] = []
    for row in range(len(joints)):
        fresh = not keep or episode[row] != episode[keep[-1]]
        if not fresh:
            moved = np.linalg.norm(joints[row] - joints[keep[-1]], axis=-1)
            known = moved[~np.isnan(moved)]
            fresh = not len(known) or known.mean() >= step
        if fresh:
            keep.append(row)
    return np.array(keep, np.int64)
