"""Training settings: a TOML file <-> nested dataclasses, with one sentence for every mistake in it."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from ..data.pose_chunks import StreamSettings
from ..model.graph_unet import NetworkSettings
from ..vision.trunks import TRUNKS
from .curriculum import Stage
from .losses import LossSettings
from .machine import MachineSettings
from .masking import MaskSettings
from .seeing import ViewSettings

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
class TrunkSettings:
    """The CNN that looks at the pictures of datasets."""

    name: str = "hand"  # or "resnet50", whose file is given beside the settings
    train: bool = False  # together with the network; its batch norms keep their statistics
    rate: float = 1e-4  # its own learning rate, which falls as the network's does

    def __post_init__(self) -> None:
        if self.name not in TRUNKS:
            raise ValueError(f"trunk.name is '{self.name}'; use {', '.join(TRUNKS)}.")
        if self.train and self.name != "resnet50":
            raise ValueError("trunk.train is for a trunk.name of 'resnet50': the other one stays as it is.")


@dataclass(frozen=True)
class TrainSettings:
    """Everything that decides what a training run produces."""

    seed: int = 1
    steps: int = 20000  # of the second phase: the whole network
    batch: int = 32
    shift: float = 3.0  # of the noise schedule
    recordings: bool = True
    deterministic: bool = False  # only ever from pure noise: the regression that diffusion is compared with
    path: PathSettings = field(default_factory=PathSettings)
    network: NetworkSettings = field(default_factory=NetworkSettings)
    optimiser: OptimiserSettings = field(default_factory=OptimiserSettings)
    losses: LossSettings = field(default_factory=LossSettings)
    masks: MaskSettings = field(default_factory=MaskSettings)
    views: ViewSettings = field(default_factory=ViewSettings)
    stream: StreamSettings = field(default_factory=StreamSettings)
    machine: MachineSettings = field(default_factory=MachineSettings)
    datasets: dict[str, float] = field(default_factory=dict)  # weights by name; empty: hands of our own
    trunk: TrunkSettings = field(default_factory=TrunkSettings)
    curriculum: tuple[Stage, ...] = ()  # [[curriculum]] tables in the order of `at`

    def __post_init__(self) -> None:
        """Raises ValueError, one sentence, for numbers that no run can have."""
        for name, value, low in (
            ("steps", self.steps, 0),
            ("batch", self.batch, 1),
            ("path.steps", self.path.steps, 0),
            ("path.batch", self.path.batch, 1),
        ):
            if value < low:
                raise ValueError(f"the setting '{name}' must be at least {low}, not {value}.")
        if self.path.steps and not self.network.path:
            raise ValueError("path.steps must be 0 where network.path is 0: there is no path to train.")
        points = [stage.at for stage in self.curriculum]
        if points != sorted(set(points)):
            raise ValueError("curriculum: the values of 'at' must rise from table to table.")


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
    result: dict[str, Any] = {}
    for key, value in values.items():
        if key not in known:
            raise ValueError(f"there is no setting '{where}{key}'; known are {', '.join(sorted(known))}.")
        hint = hints[key]
        name = f"{where}{key}"
        if dataclasses.is_dataclass(hint):
            if not isinstance(value, dict):
                raise ValueError(f"the setting '{name}' must be a table, [{name}], not {value!r}.")
            result[key] = from_dict(hint, value, f"{name}.")  # type: ignore[arg-type]
        elif get_origin(hint) is tuple:
            result[key] = _list(get_args(hint), value, name)
        elif get_origin(hint) is dict:
            result[key] = _names(get_args(hint)[1], value, name)
        else:
            result[key] = _scalar(hint, value, name)
    return kind(**result)


def _scalar(kind: type, value: Any, name: str) -> Any:
    """A whole number may stand for a float, a table for a dataclass."""
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, dict):
            raise ValueError(f"the setting '{name}' must be a table, [[{name}]], not {value!r}.")
        return from_dict(kind, value, f"{name}.")
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise ValueError(f"the setting '{name}' must be a {kind.__name__}, not {value!r}.")
    return value


def _names(kind: type, value: Any, name: str) -> dict[str, Any]:
    """A TOML table whose keys are free."""
    if not isinstance(value, dict):
        raise ValueError(f"the setting '{name}' must be a table, [{name}], not {value!r}.")
    return {key: _scalar(kind, entry, f"{name}.{key}") for key, entry in value.items()}


def _list(kinds: tuple[Any, ...], value: Any, name: str) -> tuple[Any, ...]:
    """A TOML array for a tuple type's arguments: (kind, ...) or one kind for every entry."""
    many = kinds[-1] is Ellipsis
    if not isinstance(value, list | tuple) or not (many or len(value) == len(kinds)):
        wanted = "a list" if many else f"a list of {len(kinds)}"
        raise ValueError(f"the setting '{name}' must be {wanted}, not {value!r}.")
    return tuple(_scalar(kinds[0] if many else kind, v, name) for kind, v in zip(kinds * len(value), value))


def to_json(settings: Any) -> str:
    """A dataclass as JSON, as checkpoints store it; from_dict(kind, json.loads(...)) reads it back."""
    return json.dumps(dataclasses.asdict(settings), sort_keys=True)
