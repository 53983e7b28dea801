"""BVH: a skeleton with offsets, and Euler angles of every joint in every frame.

The format has no standard beyond what its makers wrote (Biovision, 1990s): a joint's rotation is the product
of its channels', in the order in which they are listed, in degrees, for column vectors; positions stand in
place of the offset. Units and what is up are not said.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

MOST_JOINTS = 4000
MOST_BYTES = 1 << 30
CHANNELS = ("xposition", "yposition", "zposition", "xrotation", "yrotation", "zrotation")


@dataclass(frozen=True)
class Bvh:
    """J nodes, parents before children; a bone's End Site is a node without a name or channels."""

    names: list[str]
    parents: list[int]  # -1: a root
    offsets: np.ndarray  # [J,3] in the file's unit
    channels: list[list[int]]  # of each node, numbers into CHANNELS, in their order
    columns: list[int]  # first column of each node's channels
    motion: np.ndarray  # [T,C] float32
    rate: float  # frames a second

    def children(self, node: int) -> list[int]:
        return [child for child, parent in enumerate(self.parents) if parent == node]

    def above(self, node: int) -> list[int]:
        """Ancestors, nearest first."""
        line = []
        while (node := self.parents[node]) >= 0:
            line.append(node)
        return line


def read_bvh(path: Path) -> Bvh:
    """Raises ValueError with one sentence for what is no whole BVH, OSError where it can't be read."""
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"{path} is larger than {MOST_BYTES >> 20} MiB: cut it into several files.")
    text = path.read_bytes().decode("utf-8", "replace").lstrip("\ufeff")
    header, found, motion = text.partition("MOTION")
    if not header.lstrip().upper().startswith("HIERARCHY") or not found:
        raise ValueError(f"{path} is no BVH: it has no HIERARCHY followed by MOTION.")
    tree = _hierarchy(header, path)
    rows, rate = _motion(motion, sum(len(one) for one in tree.channels), path)
    return Bvh(tree.names, tree.parents, np.array(tree.offsets), tree.channels, tree.columns, rows, rate)


def placed(bvh: Bvh, root: int, rows: np.ndarray) -> dict[int, np.ndarray]:
    """Node -> [n,3] place of every node below `root` in frames `rows`, in the axes of `root` itself."""
    turns = {root: np.broadcast_to(np.eye(3), (len(rows), 3, 3))}
    places = {root: np.zeros((len(rows), 3))}
    for node in range(root + 1, len(bvh.names)):
        parent = bvh.parents[node]
        if parent not in places:
            continue
        shift, turn = _local(bvh, node, rows)
        places[node] = places[parent] + (turns[parent] @ shift[..., None])[..., 0]
        turns[node] = turns[parent] @ turn
    return places


def _local(bvh: Bvh, node: int, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shift [n,3] and rotation [n,3,3] of a node relative to its parent."""
    turn = np.broadcast_to(np.eye(3), (len(rows), 3, 3))
    shift = np.repeat(bvh.offsets[node][None], len(rows), 0)
    first, moved = bvh.columns[node], []
    for column, channel in enumerate(bvh.channels[node], first):
        values = bvh.motion[rows, column].astype(np.float64)
        if channel < 3:
            shift[:, channel] = values
            moved.append(channel)
        else:
            turn = turn @ _about(channel - 3, np.radians(values))
    offset = bvh.offsets[node]
    if moved and np.abs(shift[:, moved]).mean() < np.abs(shift - offset)[:, moved].mean():
        shift[:, moved] += offset[moved]  # some programs write how far a joint is from its offset
    return shift, turn


def _about(axis: int, angle: np.ndarray) -> np.ndarray:
    """Rotations [n,3,3] about a coordinate axis by angles [n], radians."""
    i, j = (axis + 1) % 3, (axis + 2) % 3
    turn = np.zeros((len(angle), 3, 3))
    turn[:, axis, axis] = 1.0
    turn[:, i, i] = turn[:, j, j] = np.cos(angle)
    turn[:, j, i] = np.sin(angle)
    turn[:, i, j] = -turn[:, j, i]
    return turn


class _Tree:
    """The hierarchy while it is read."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.parents: list[int] = []
        self.offsets: list[list[float]] = []
        self.channels: list[list[int]] = []
        self.columns: list[int] = []
        self.count = 0

    def add(self, name: str, parent: int) -> int:
        self.names.append(name)
        self.parents.append(parent)
        self.offsets.append([0.0, 0.0, 0.0])
        self.channels.append([])
        self.columns.append(self.count)
        return len(self.names) - 1

    def say(self, node: int, channels: list[int]) -> None:
        self.channels[node], self.columns[node] = channels, self.count
        self.count += len(channels)


def _hierarchy(header: str, path: Path) -> _Tree:
    tree = _Tree()
    open_nodes: list[int] = []
    latest = -1
    lines = header.replace("{", "\n{\n").replace("}", "\n}\n").splitlines()
    for line in filter(None, (line.strip() for line in lines[1:])):
        word, _, rest = line.replace("\t", " ").partition(" ")
        match word.upper():
            case "ROOT" | "JOINT" | "END":
                name = "" if word.upper() == "END" else rest.strip()
                latest = tree.add(name, open_nodes[-1] if open_nodes else -1)
            case "{" if latest >= 0:
                open_nodes.append(latest)
            case "}" if open_nodes:
                open_nodes.pop()
            case "OFFSET" if open_nodes:
                tree.offsets[open_nodes[-1]] = _numbers(rest, 3, path, tree.names[open_nodes[-1]])
            case "CHANNELS" if open_nodes:
                tree.say(open_nodes[-1], _channels(rest, path, tree.names[open_nodes[-1]]))
            case _:
                raise ValueError(f"{path} has a line in its HIERARCHY that is none of BVH: '{line[:40]}'.")
        if len(tree.names) > MOST_JOINTS:
            raise ValueError(f"{path} has more than {MOST_JOINTS} joints: export the skeleton alone.")
    if open_nodes or not tree.count:
        raise ValueError(f"The HIERARCHY of {path} is cut off, or has no channels: export it again.")
    return tree


def _numbers(text: str, count: int, path: Path, where: str) -> list[float]:
    try:
        values = [float(part) for part in text.split()]
    except ValueError:
        values = []
    if len(values) != count or not np.isfinite(values).all():
        raise ValueError(f"The OFFSET of '{where}' in {path} must be {count} numbers: export it again.")
    return values


def _channels(text: str, path: Path, where: str) -> list[int]:
    count, *words = text.split() or ["0"]
    lower = [word.lower() for word in words]
    if not set(lower) <= set(CHANNELS) or len(set(lower)) != len(lower) or count != str(len(lower)):
        raise ValueError(f"The CHANNELS of '{where}' in {path} are not what BVH knows: '{text[:60]}'.")
    return [CHANNELS.index(word) for word in lower]


def _motion(text: str, columns: int, path: Path) -> tuple[np.ndarray, float]:
    """[T,columns] and frames a second."""
    frames, _, rest = text.strip().partition("\n")
    time, _, body = rest.strip().partition("\n")
    try:
        count = int(frames.partition(":")[2])
        seconds = float(time.partition(":")[2])
    except ValueError:
        raise ValueError(f"{path} does not say 'Frames:' and 'Frame Time:' after MOTION.") from None
    try:
        values = np.array(body.split(), np.float32)
    except ValueError as exc:
        raise ValueError(f"The MOTION of {path} holds what is no number ({exc}): export it again.") from None
    if count < 1 or len(values) < count * columns:
        raise ValueError(
            f"{path} says {count} frames and has {len(values) // columns}: it is cut off, export it again."
        )
    rate = 1.0 / seconds if seconds > 1e-6 else 0.0
    return values[: count * columns].reshape(count, columns), rate
