"""Joint lists: N frames x J joints x 3 coordinates as npz, npy, json or csv, J being 21, 25 or 26.

21: OpenPose's order (and MediaPipe's). 25: WebXR's hand input. 26: OpenXR's hand tracking, which has a palm
as well; programs put it before the wrist (OpenXR) or after it (Unity, Godot), which the joints themselves
tell.
"""

from __future__ import annotations

import csv
import io
import json
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .recording import UNITS, Recording, side_named
from .sources import OPENXR_ROWS

SUFFIXES = (".npz", ".npy", ".json", ".csv", ".txt", ".tsv")
COUNTS = (21, 25, 26)
WEBXR_ROWS = [0] + [row - 1 for row in OPENXR_ROWS[1:]]
OPENXR_KNUCKLES = [7, 12, 17, 22]
MOST_BYTES = 1 << 30
WORDS = ("side", "name", "names", "group", "hand", "handedness", "unit", "fps")
UNREADABLE = (ValueError, EOFError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error)
WANTED = "N x 21 x 3 joints (25 of WebXR, 26 of OpenXR)"


def read_lists(path: Path) -> tuple[list[Recording], float | None]:
    """One recording for each side that the file names (or one), and metres a unit where it says its unit.

    Raises ValueError with one sentence, OSError where the file can't be read.
    """
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"{path} is larger than {MOST_BYTES >> 20} MiB: cut it into several files.")
    joints, words = READERS[path.suffix.lower()](path)
    if joints.ndim == 2 and joints.shape[0] in COUNTS and joints.shape[1] == 3:
        joints = joints[None]
    if joints.ndim == 2 and joints.shape[1] in [3 * count for count in COUNTS]:
        joints = joints.reshape(len(joints), -1, 3)
    if joints.ndim != 3 or joints.shape[1] not in COUNTS or joints.shape[2] != 3 or not len(joints):
        shape = " x ".join(map(str, joints.shape))
        raise ValueError(f"{path} holds {shape} numbers: it must be {WANTED}.")
    joints = as_21(np.where(np.isfinite(joints).all(-1, keepdims=True), joints, np.nan))
    count = len(joints)
    sides = np.array([side_named(word) for word in _each(words, ("side", "hand", "handedness"), count, path)])
    names, group = (_words(words, keys, count, path) for keys in (("names", "name"), ("group",)))
    whole = Recording(joints, "", _moments(sides), _rate(words, path), names, group)
    found: list[Recording] = []
    for side in np.unique(sides):
        part = whole.rows(sides == side)
        found.append(Recording(part.joints, str(side), part.frame, part.rate, part.names, part.group))
    return found, _unit(words, path)


def as_21(joints: np.ndarray) -> np.ndarray:
    """[N,J,3] of 21, 25 or 26 joints -> [N,21,3]."""
    if joints.shape[1] == 21:
        return joints
    if joints.shape[1] == 25:
        return joints[:, WEBXR_ROWS]
    knuckles = joints[:, OPENXR_KNUCKLES].mean(1, keepdims=True)
    reach = np.nan_to_num(np.linalg.norm(joints[:, :2] - knuckles, axis=-1)).sum(0)
    rows = OPENXR_ROWS if reach[0] > reach[1] else [1, *OPENXR_ROWS[1:]]  # the wrist is further off
    return joints[:, rows]


def _moments(sides: np.ndarray) -> np.ndarray:
    """Frame numbers [N]: with both sides in turn, a right and a left row that follow each other share one."""
    times: list[int] = []
    seen: set[str] = set()
    for side in sides.tolist():
        if not times or side in seen or side == "":
            times.append(times[-1] + 1 if times else 0)
            seen = {side}
        else:
            times.append(times[-1])
            seen.add(side)
    return np.array(times)


def _each(words: dict[str, Any], keys: tuple[str, ...], count: int, path: Path) -> list[str]:
    """A word for each frame, "" where the file has none; one word for all of them is enough."""
    found = _words(words, keys, count, path)
    return [""] * count if found is None else found.tolist()


def _words(words: dict[str, Any], keys: tuple[str, ...], count: int, path: Path) -> np.ndarray | None:
    key = next((key for key in keys if words.get(key) is not None), None)
    if key is None:
        return None
    try:
        array = np.array(words[key])
    except ValueError:
        array = np.zeros(0)
    array = np.repeat(array[None], count) if array.ndim == 0 else array
    if array.shape != (count,) or array.dtype.kind not in "Uiu":
        raise ValueError(f"'{key}' in {path} must be one word, or {count} words, one a frame.")
    return array.astype(str)


def _rate(words: dict[str, Any], path: Path) -> float | None:
    if words.get("fps") is None:
        return None
    try:
        rate = float(np.asarray(words["fps"], float).reshape(()))
    except (TypeError, ValueError):
        rate = -1.0
    if not 0 < rate < 1e5:
        raise ValueError(f"'fps' in {path} must be frames a second: correct it, or leave it out.")
    return rate


def _unit(words: dict[str, Any], path: Path) -> float | None:
    if words.get("unit") is None:
        return None
    name = str(words["unit"]).strip().lower()
    if name not in UNITS:
        raise ValueError(f"'unit' in {path} is '{name[:20]}' and must be one of {', '.join(UNITS)}.")
    return UNITS[name]


# ---------------------------------------------------------------- files


def _from_npz(path: Path) -> tuple[np.ndarray, dict[str, Any]]:
    try:
        with np.load(path, allow_pickle=False) as data:
            arrays = {name: data[name] for name in data.files}
    except UNREADABLE as exc:
        raise ValueError(f"{path} is not a readable npz of plain numbers ({exc}): write it again.") from exc
    lists = [name for name, array in arrays.items() if _is_list(array)]
    name = "joints" if "joints" in arrays else lists[0] if len(lists) == 1 else ""
    if not name:
        found = ", ".join(arrays)[:80] or "nothing"
        raise ValueError(f"{path} has no 'joints' (it holds {found}): save {WANTED} by that name.")
    return _plain(arrays[name], path), {key: arrays[key] for key in WORDS if key in arrays}


def _is_list(array: np.ndarray) -> bool:
    return array.ndim == 3 and array.shape[1] in COUNTS and array.shape[2] == 3 and array.dtype.kind in "fiu"


def _from_npy(path: Path) -> tuple[np.ndarray, dict[str, Any]]:
    try:
        array = np.load(path, allow_pickle=False)
    except UNREADABLE as exc:
        raise ValueError(f"{path} is not a readable npy of plain numbers ({exc}): write it again.") from exc
    return _plain(np.asarray(array), path), {}


def _from_json(path: Path) -> tuple[np.ndarray, dict[str, Any]]:
    try:
        value = json.loads(path.read_text("utf-8-sig"))
    except (UnicodeDecodeError, json.JSONDecodeError) as exc:
        raise ValueError(f"{path} is not json ({exc}): write it again.") from exc
    except RecursionError:
        raise ValueError(f"{path} is nested too deeply: it must be {WANTED}.") from None
    words: dict[str, Any] = {}
    if isinstance(value, dict):
        words = {key: value[key] for key in WORDS if key in value}
        value = value.get("joints")
    rows = _rows(value)
    if rows is None:
        raise ValueError(f"{path} must be a list, or have a list 'joints': {WANTED}, null where unknown.")
    return rows, words


def _rows(value: Any) -> np.ndarray | None:
    """Nested lists as [N,J,3]; null in place of a number or a joint is NaN; None for anything else."""
    try:
        if isinstance(value[0][0], int | float):  # one frame
            value = [value]
        unknown = [None] * 3
        frames = [[unknown if joint is None else joint for joint in frame] for frame in value]
        return np.array(frames, np.float64)
    except (TypeError, ValueError, IndexError, KeyError, OverflowError):
        return None


def _from_csv(path: Path) -> tuple[np.ndarray, dict[str, Any]]:
    """A line a frame, x, y, z of each joint in turn; a header may name other columns: WORDS, frame, time."""
    text = path.read_bytes().decode("utf-8-sig", "replace")
    first = text.partition("\n")[0]
    comma = max(";\t,", key=first.count) if any(mark in first for mark in ";\t,") else " "
    lines = [line for line in csv.reader(io.StringIO(text), delimiter=comma, skipinitialspace=True) if line]
    if not lines:
        raise ValueError(f"{path} is empty: it must be a line a frame, x, y, z of 21, 25 or 26 joints.")
    words: dict[str, Any] = {}
    columns = list(range(len(lines[0])))
    if any(_number(cell) is None for cell in lines[0]):
        header = [cell.strip().lower() for cell in lines.pop(0)]
        columns = [
            i for i, name in enumerate(header) if name not in (*WORDS, "frame", "time", "timestamp", "")
        ]
        if not lines or any(len(line) != len(header) for line in lines):
            raise ValueError(f"Not every line of {path} has as many cells as its header, {len(header)}.")
        words = {name: [line[i] for line in lines] for i, name in enumerate(header) if name in WORDS}
        words |= {name: words[name][0] for name in ("unit", "fps") if name in words}
    if any(len(line) <= max(columns, default=0) for line in lines):
        raise ValueError(f"Not every line of {path} has as many numbers as the first: write it again.")
    cells = [[_number(line[i]) for i in columns] for line in lines]
    wrong = next((i for i, line in enumerate(cells, 1) if None in line), None)
    if wrong is not None:
        raise ValueError(f"Frame {wrong} of {path} holds what is no number: leave unknown cells empty.")
    return np.array(cells, np.float64), words


def _number(cell: str) -> float | None:
    if not cell.strip():
        return float("nan")
    try:
        return float(cell)
    except ValueError:
        return None


def _plain(array: np.ndarray, path: Path) -> np.ndarray:
    if array.dtype.kind not in "fiu":
        raise ValueError(f"The joints in {path} must be numbers and are {array.dtype}: write metres.")
    return array.astype(np.float64)


READERS: dict[str, Callable[[Path], tuple[np.ndarray, dict[str, Any]]]] = {
    ".npz": _from_npz,
    ".npy": _from_npy,
    ".json": _from_json,
    **dict.fromkeys((".csv", ".txt", ".tsv"), _from_csv),
}
