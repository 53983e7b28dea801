"""What a weight file says of its own training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from ...faults import InputError


def notes(path: Path) -> dict[str, str]:
    """The file's header. InputError when it is no weight file."""
    try:
        with safe_open(path, "pt") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError) as exc:
        raise InputError(f"{path} holds no weights ({exc}): give what 'hhmr train' has written.") from exc


def training(path: Path) -> dict[str, Any]:
    """Settings of the training as nested dictionaries; empty where the file does not say."""
    try:
        return json.loads(notes(path).get("training", "{}"))
    except json.JSONDecodeError:
        return {}


def left_out(path: Path) -> tuple[str, ...]:
    """Sources of recordings that the training had no part of."""
    return tuple(training(path).get("stream", {}).get("left_out", ()))


def parameters(path: Path) -> int:
    """How many numbers are in it."""
    with safe_open(path, "pt") as file:
        sizes = [file.get_slice(key).get_shape() for key in file.keys()]
    total = 0
    for shape in sizes:
        count = 1
        for side in shape:
            count *= side
        total += count
    return total
