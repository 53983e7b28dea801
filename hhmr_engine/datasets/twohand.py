"""Two-hand 500K (Zuo et al., ICCV 2023): parameters of two hands that touch, without pictures.

Its makers describe no file format that we could find, so this layout is a GUESS: any json or pkl files whose
innermost entries are those of InterHand2.6M's MANO parameters,

    {"right": {"pose": [48], "shape": [10], "trans": [3]}, "left": {...}}

with axis-angles that the mean pose is added to, in metres. Since nothing tells it from other folders, it is
recognised by a name that begins with "two" and has "hand" in it.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..hand.pickled import read_pickle
from ..hand.pickled_arrays import array_of
from .annotated import Annotated, numbers, read_json
from .parameters import ManoHands
from .sample import LEFT, RIGHT, TRAIN, HandSample

FIELDS = {"pose": 48, "shape": 10, "trans": 3}
PARTS = {TRAIN: ("train", "training"), "evaluation": ("test", "evaluation", "val")}


def recognises(folder: Path) -> bool:
    name = folder.name.lower()
    return name.startswith("two") and "hand" in name and any(_files(folder))


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.suffix in (".json", ".pkl"))


class TwoHand(Annotated):
    name = "twohand"

    def __init__(self, folder: Path, split: str, hands: ManoHands | None = None) -> None:
        super().__init__(folder, split, hands)
        self.notes.append("Nobody describes the files of Two-hand 500K: how they are read is a guess.")
        self.keys: list[str] = []
        self.values = array("f")  # pose, shape and trans of each
        for path in self._files():
            try:
                content = read_json(path) if path.suffix == ".json" else read_pickle(path.read_bytes())
            except (ValueError, OSError):
                self.skip("the file is damaged")
                continue
            for key, pair in _pairs(content, path.relative_to(folder).with_suffix("").as_posix()):
                self._take(key, pair)
        if hands is None:
            self.skip("MANO is not given, and there are only its parameters", len(self.keys))
            self.keys = []
            self.notes.append("Two-hand 500K has MANO's parameters alone: give MANO to have any hands of it.")

    def _files(self) -> list[Path]:
        """Those of the split: its folders, or for training everything that is in no folder of a split."""
        named = {part for parts in PARTS.values() for part in parts}
        wanted = set(PARTS[self.split])

        def mine(path: Path) -> bool:
            folders = set(path.relative_to(self.folder).parts) & named
            return bool(folders & wanted) or (self.split == TRAIN and not folders)

        files = sorted(path for path in _files(self.folder) if mine(path))
        if not files:
            raise ValueError(f"{self.folder} has no json or pkl files of the {self.split} split.")
        return files

    def _take(self, key: str, pair: dict[str, Any]) -> None:
        for side in (RIGHT, LEFT):
            hand = pair.get(side)
            if hand is None:
                continue
            parts = [_field(hand, name, count) for name, count in FIELDS.items()]
            if any(part is None for part in parts):
                self.skip("the parameters are incomplete or not finite")
            else:
                values = np.concatenate([part for part in parts if part is not None])
                self.keys.append(f"{key}/{side}")
                self.values.extend(values)

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> HandSample:
        assert self.hands is not None
        index = range(len(self))[index]
        key = self.keys[index]
        side = key.rpartition("/")[2]
        size = sum(FIELDS.values())
        pose, shape, trans = np.split(np.array(self.values[size * index : size * (index + 1)]), [48, 58])
        vertices, joints = self.hands(side, pose, shape, trans)
        return HandSample(
            key=key,
            side=side,
            joints=joints.astype(np.float32),
            vertices=vertices.astype(np.float32),
        )


def _pairs(content: Any, key: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every innermost mapping that has a right or a left hand."""
    if isinstance(content, dict) and (RIGHT in content or LEFT in content):
        yield key, content
    elif isinstance(content, dict):
        for name, inner in content.items():
            yield from _pairs(inner, f"{key}/{name}")
    elif isinstance(content, list | tuple):
        for number, inner in enumerate(content):
            yield from _pairs(inner, f"{key}/{number}")


def _field(hand: Any, name: str, count: int) -> np.ndarray | None:
    value = hand.get(name) if isinstance(hand, dict) else None
    if value is not None and not isinstance(value, list | tuple):
        try:
            value = array_of(value)
        except ValueError:
            return None
    return numbers(value, count)
