"""Two-hand 500K (Zuo et al., ICCV 2023): parameters of two hands that touch, without pictures.

Its makers describe no file format that we could find, so this layout is a GUESS: any json or pkl files whose
innermost entries are those of InterHand2.6M's MANO parameters,

    {"right": {"pose": [48], "shape": [10], "trans": [3]}, "left": {...}}

with axis-angles that the mean pose is added to, in metres. Since nothing tells it from other folders, it is
recognised by a name that begins with "two" and has "hand" in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
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
    return (path for path in sorted(folder.rglob("*")) if path.suffix in (".json", ".pkl"))


@dataclass(frozen=True)
class _Parameters:
    key: str
    side: str
    values: np.ndarray  # [61] f32 pose, shape, trans


class TwoHand(Annotated):
    name = "twohand"

    def __init__(self, folder: Path, split: str, hands: ManoHands | None = None) -> None:
        super().__init__(folder, split, hands)
        self.notes.append("Nobody describes the files of Two-hand 500K: how they are read is a guess.")
        self.found: list[_Parameters] = []
        for path in self._files():
            try:
                content = read_json(path) if path.suffix == ".json" else read_pickle(path.read_bytes())
            except (ValueError, OSError):
                self.skip("the file is damaged")
                continue
            for key, pair in _pairs(content, path.relative_to(folder).with_suffix("").as_posix()):
                self._take(key, pair)
        if hands is None:
            self.skip("MANO is not given, and there are only its parameters", len(self.found))
            self.found = []
            self.notes.append("Two-hand 500K has MANO's parameters alone: give MANO to have any hands of it.")

    def _files(self) -> list[Path]:
        """Those of the split: its folders, or for training everything that is in no folder of a split."""
        mine = [
            p for p in _files(self.folder) if set(p.relative_to(self.folder).parts) & set(PARTS[self.split])
        ]
        named = {name for names in PARTS.values() for name in names}
        if self.split == TRAIN:
            mine += [p for p in _files(self.folder) if not set(p.relative_to(self.folder).parts) & named]
        if not mine:
            raise ValueError(f"{self.folder} has no files of the {self.split} split.")
        return mine

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
                self.found.append(_Parameters(f"{key}/{side}", side, values.astype(np.float32)))

    def __len__(self) -> int:
        return len(self.found)

    def __getitem__(self, index: int) -> HandSample:
        assert self.hands is not None
        found = self.found[index]
        pose, shape, trans = np.split(found.values.astype(np.float64), [48, 58])
        vertices, joints = self.hands(found.side, pose, shape, trans)
        return HandSample(
            key=found.key,
            side=found.side,
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
