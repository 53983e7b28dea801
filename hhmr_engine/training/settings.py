"""Training settings: a TOML file <-> nested dataclasses, with one sentence for every mistake in it."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from ..data.hands import StreamSettings
from ..model.graph_unet import NetworkSettings
from .losses import LossSettings
from .masking import MaskSettings

T = TypeVar("T")


@dataclass(frozen=True)
class OptimiserSettings:
    """AdamW with a linear warm-up and a cosine down to `last_rate`."""

    rate: float = 1e-3
    last_rate: float = 2e-5
    warmup: int = 300
    weight_decay: float = 0.01
    clip: float = 1.0
    ema: float = 0.999


@dataclass(frozen=True)
class PathSettings:
    """The first phase: the global path alone, which is so cheap that it sees twenty times as many hands."""

    steps: int = 1500
    batch: int = 512
    rate: float = 1.5e-3
    later: float = 0.2  # its share of the learning rate in the second phase


@dataclass(frozen=True)
class TrainSettings:
    """Everything that decides what a training run produces."""

    seed: int = 1
    steps: int = 20000  # of the second phase: the whole network
    batch: int = 32
    shift: float = 3.0  # of the noise schedule
    recordings: bool = True
    path: PathSettings = field(default_factory=PathSettings)
    network: NetworkSettings = field(default_factory=NetworkSettings)
    optimiser: OptimiserSettings = field(default_factory=OptimiserSettings)
    losses: LossSettings = field(default_factory=LossSettings)
    masks: MaskSettings = field(default_factory=MaskSettings)
    stream: StreamSettings = field(default_factory=StreamSettings)


def load_settings(path: Path) -> TrainSettings:
    """Read a TOML file; raises ValueError with one sentence when a key or a value is not right."""
    try:
        return from_dict(TrainSettings, tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ValueError(f"{path} is not TOML: {exc}.") from exc


def from_dict(kind: type[T], values: dict[str, Any], where: str = "") -> T:
    """Nested dictionaries to a dataclass; unknown keys and wrong types are errors."""
    hints = get_type_hints(kind)
    known = {f.name for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    result = {}
    for key, value in values.items():
        if key not in known:
            raise ValueError(f"there is no setting '{where}{key}'; known are {', '.join(sorted(known))}.")
        hint = hints[key]
        if dataclasses.is_dataclass(hint):
            value = from_dict(hint, value, f"{where}{key}.")  # type: ignore[arg-type]
        elif str(hint).startswith("tuple"):
            value = tuple(value)
        elif hint is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        elif type(value) is not hint:
            raise ValueError(f"the setting '{where}{key}' must be a {hint.__name__}, not {value!r}.")
        result[key] = value
    return kind(**result)


def to_json(settings: Any) -> str:
    """A dataclass as JSON, as checkpoints store it; from_dict(kind, json.loads(...)) reads it back."""
    return json.dumps(dataclasses.asdict(settings), sort_keys=True)
