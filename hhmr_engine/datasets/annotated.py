"""What the loaders share: a count of what they leave out, and files that may be damaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from .parameters import ManoHands
from .sample import HandSample


class Annotated:
    """A HandDataset; its loaders fill `skipped` and `notes` while they look through the annotations."""

    name = ""

    def __init__(self, folder: Path, split: str, hands: ManoHands | None = None) -> None:
        self.folder, self.split, self.hands = folder, split, hands
        self.skipped: dict[str, int] = {}
        self.notes: list[str] = []

    def skip(self, reason: str, count: int = 1) -> None:
        """Leave an annotation out."""
        if count:
            self.skipped[reason] = self.skipped.get(reason, 0) + count

    def __len__(self) -> int:
        raise NotImplementedError

    def __getitem__(self, index: int) -> HandSample:
        raise NotImplementedError


def read_json(path: Path) -> Any:
    """A whole JSON file; ValueError with one sentence where it is missing or damaged."""
    try:
        return json.loads(path.read_bytes())
    except OSError as exc:
        raise ValueError(f"{path} cannot be read ({exc.strerror or exc}): unpack the dataset again.") from exc
    except ValueError as exc:
        raise damaged(path) from exc


def read_image(path: Path) -> np.ndarray:
    """[H,W,3] uint8 RGB, as it lies in the file; ValueError with one sentence."""
    try:
        with Image.open(path) as file:
            return np.array(file.convert("RGB"))
    except FileNotFoundError as exc:
        raise ValueError(f"{path} is missing: unpack the dataset again.") from exc
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError, SyntaxError) as exc:
        raise damaged(path) from exc


def damaged(path: Path) -> ValueError:
    return ValueError(f"{path} is damaged or cut off: unpack or download it again.")


def numbers(value: Any, *shape: int) -> np.ndarray | None:
    """What an annotation has, as float64 of this shape; None where it is none or is not finite."""
    try:
        array = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        return None
    return array.reshape(shape) if array.size == np.prod(shape) and np.isfinite(array).all() else None


def file_names(folder: Path) -> set[str]:
    """Names of the files in a folder; none where there is no such folder."""
    return {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()
