"""What a folder of datasets holds, what is missing, and whether its hands are as large as hands are."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .annotated import Annotated
from .catalogue import DATASETS, find_datasets, open_dataset
from .sample import EVALUATION, SPLITS, HandSample

LOOKED_AT = 60  # samples of a split, spread over it
PALM = (0.06, 0.13)  # metres from the wrist to the middle knuckle of people's hands, and some room
_WRIST, _KNUCKLE = 0, 9


@dataclass
class Split:
    """A split of a dataset, or why there is none."""

    folder: Path
    name: str
    split: str
    dataset: Annotated | None = None
    fault: str | None = None
    samples: list[HandSample] = field(default_factory=list)  # those that were looked at
    unreadable: list[str] = field(default_factory=list)  # sentences


def look(folder: Path, mano: Path | None) -> list[Split]:
    """Both splits of every dataset in the folder."""
    splits = []
    for place, name in find_datasets(folder).items():
        for part in SPLITS:
            found = Split(place, name, part)
            splits.append(found)
            try:
                found.dataset = open_dataset(place, part, mano, name)
            except ValueError as exc:
                found.fault = str(exc)
                continue
            _look_at(found, found.dataset)
    return splits


def _look_at(found: Split, dataset: Annotated) -> None:
    count = len(dataset)
    for index in np.unique(np.linspace(0, count - 1, min(count, LOOKED_AT)).astype(int)) if count else ():
        try:
            found.samples.append(dataset[int(index)])
        except ValueError as exc:
            found.unreadable.append(str(exc))


def report(splits: list[Split], folder: Path, mano: Path | None) -> list[str]:
    """Lines: what was found, what was left out and why, what is missing and what follows from it."""
    lines = [f"MANO: {mano}" if mano else "MANO: not given; --mano, or mano/MANO_RIGHT.pkl in the folder."]
    for found in splits:
        lines += ["", f"{found.folder.name}: {found.name}, {found.split}"]
        lines += [f"  {line}" for line in _about(found)]
    absent = [name for name in DATASETS if name not in {found.name for found in splits}]
    if absent:
        lines += ["", f"Not found in {folder}: {', '.join(absent)}."]
    return lines


def _about(found: Split) -> list[str]:
    if found.dataset is None:
        return [found.fault or ""]
    lines = [f"{len(found.dataset)} hands" + (f"; {_sides(found.samples)}" if found.samples else "")]
    for reason, count in found.dataset.skipped.items():
        lines.append(f"left out: {count} ({reason})")
    known = [s.joints for s in found.samples if np.isfinite(s.joints[[_WRIST, _KNUCKLE]]).all()]
    if known:
        palm = float(np.median([np.linalg.norm(j[_KNUCKLE] - j[_WRIST]) for j in known]))
        lines.append(f"palms of {1000 * palm:.0f} mm" + ("" if PALM[0] < palm < PALM[1] else _NO_HAND))
    return lines + found.dataset.notes + found.unreadable[:3]


_NO_HAND = ": no hands of people are so large, are these the dataset's own files?"


def _sides(samples: list[HandSample]) -> str:
    parts = {
        "right": sum(s.side == "right" for s in samples),
        "left": sum(s.side == "left" for s in samples),
        "with a picture": sum(s.image is not None for s in samples),
        "with a mesh": sum(s.vertices is not None for s in samples),
    }
    told = [f"{count} {what}" for what, count in parts.items() if count]
    return f"of {len(samples)} looked at, {', '.join(told)}"


def chosen(splits: list[Split], count: int) -> list[tuple[str, HandSample]]:
    """So many samples, of all splits in turn, each with the words that stand below it."""
    shown = [found for found in splits if found.samples]
    turns = [_spread(found.samples, count, found.split == EVALUATION) for found in shown]
    mixed = [
        (f"{found.name}, {found.split}: {turn[row].side}", turn[row])
        for row in range(max(map(len, turns), default=0))
        for found, turn in zip(shown, turns)
        if row < len(turn)
    ]
    return mixed[:count]


def _spread(samples: list[HandSample], count: int, backwards: bool) -> list[HandSample]:
    """Of one end and the other first: sides often lie apart."""
    return samples[:: max(1, len(samples) // count)][:: -1 if backwards else 1]
