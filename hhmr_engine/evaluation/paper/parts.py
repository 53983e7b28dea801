"""Measured hands on disk, some dozens a file, so that a run of many hours that was stopped goes on."""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SIZE = 40  # hands a file


@dataclass(frozen=True)
class Part:
    """Of k hands, n hypotheses each."""

    mpjpe: NDArray  # [k,n] PA, mm; NaN: the truth is not known
    mpvpe: NDArray  # [k,n]
    joints: NDArray  # [k,21,3] of the first hypothesis, in its place before the camera
    vertices: NDArray  # [k,V,3]
    server: NDArray  # [k,figures] of it, as protocols.Scores has them
    refused: NDArray  # [k] bool: the engine would not do it, a hand at rest stands there

    def save(self, path: Path) -> None:
        """Written beside and renamed."""
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.stem}.{os.getpid()}.npz")
        np.savez(beside, **vars(self))
        beside.replace(path)


def load(path: Path, hands: int, count: int) -> Part | None:
    """What was saved of so many hands with so many hypotheses; None: nothing, or no such thing."""
    try:
        with np.load(path, allow_pickle=False) as file:
            part = Part(**{field.name: file[field.name] for field in fields(Part)})
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):
        return None
    return part if part.mpjpe.shape == (hands, count) else None


def joined(parts: list[Part]) -> Part:
    return Part(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Part)))
