"""A run on the disk: weights for the engine, and a state from which it goes on exactly where it stopped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..model.checkpoint import save_network, template_hash
from .settings import to_json

if TYPE_CHECKING:
    from .train import Trainer

STATE, WEIGHTS, TRUNK = "state.safetensors", "weights.safetensors", "trunk.safetensors"
NAMES_OF_AVERAGES = {"network": "average"}
UNCOUNTED = "uncounted"  # hands of runs from before they were counted


def save(trainer: Trainer, folder: Path) -> None:
    """WEIGHTS (fp16, the average) for the engine and STATE to resume from; the first process writes.

    A trunk that is trained goes into TRUNK, which the engine takes as its --trunk.
    """
    if not trainer.group.first:
        return
    notes = {"steps": str(trainer.done), "training": to_json(trainer.settings)}
    weights = folder / WEIGHTS
    save_network(weights, trainer.average, trainer.template, trainer.settings.shift, **notes)
    if "trunk" in trainer.averages:
        _write(folder / TRUNK, trainer.averages["trunk"].state_dict(), {"steps": str(trainer.done)})
    tensors: dict[str, Tensor] = {}
    numbers: dict[str, dict[str, Any]] = {}
    for key, streams in trainer.streams.positions.items():
        state = streams[0].state()  # they all stand at the same place
        tensors |= {f"stream/{key}/{name}": v for name, v in state.items() if isinstance(v, Tensor)}
        numbers[key] = {name: v for name, v in state.items() if not isinstance(v, Tensor)}
    for name, module in _modules(trainer).items():
        tensors |= {f"{name}/{key}": value for key, value in module.state_dict().items()}
    for i, state in trainer.optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser/{i}/{key}": torch.as_tensor(value) for key, value in state.items()}
    metadata = {
        "done": str(trainer.done),
        "template_hash": template_hash(trainer.template),
        "settings": to_json(trainer.settings),
        "streams": json.dumps(numbers),
        "hands": json.dumps(trainer.hands),
        "draws": json.dumps(trainer.draws),
        "seconds": str(round(trainer.seconds)),
    }
    _write(folder / STATE, tensors, metadata)


def _write(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Beside, then renamed."""
    part = path.with_name(f"{path.name}.part")
    save_file({key: value.contiguous() for key, value in tensors.items()}, part, metadata)
    part.replace(path)


def resume(trainer: Trainer, folder: Path) -> None:
    """Go on exactly where `save` stopped, with as many processes or others.

    ValueError, one sentence: the run is of another hand, or of other settings of the network or the slices.
    """
    path = folder / STATE
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    own = template_hash(trainer.template)
    if metadata.get("template_hash", own) != own:
        raise ValueError(f"{path} is a run of another hand; go on with that one, or in a new folder.")
    tensors = load_file(path)
    try:
        for name, module in _modules(trainer).items():
            module.load_state_dict(_part(tensors, name))
    except RuntimeError as exc:
        raise ValueError(f"{path} belongs to other network settings; start in a new folder.") from exc
    saved: dict[int, dict[str, Tensor]] = {}
    for key, value in _part(tensors, "optimiser").items():
        index, field = key.split("/")
        saved.setdefault(int(index), {})[field] = value
    groups = trainer.optimiser.state_dict()["param_groups"]
    trainer.optimiser.load_state_dict({"state": saved, "param_groups": groups})
    trainer.done, trainer.seconds = int(metadata["done"]), float(metadata.get("seconds", 0))
    if "streams" in metadata:
        numbers = json.loads(metadata["streams"])
        trainer.hands, trainer.draws = json.loads(metadata["hands"]), json.loads(metadata["draws"])
    else:  # from before batches had slices
        numbers = {"poses": json.loads(metadata["stream"])}
        tensors |= {f"stream/poses/{name}": tensors[name] for name in ("pool", "source")}
        trainer.hands = notes(folder)["hands"]
        trainer.draws = dict(trainer.hands)
    if not set(trainer.streams.positions) <= set(numbers):
        raise ValueError(f"{path} is a run on other data; start in a new folder.")
    for key, streams in trainer.streams.positions.items():
        for stream in streams:
            stream.restore(numbers[key] | _part(tensors, f"stream/{key}"))


def notes(folder: Path) -> dict[str, Any]:
    """What the state says of the run: steps, seconds, and samples seen by kind of condition."""
    with safe_open(folder / STATE, "pt") as file:
        metadata = file.metadata()
    done = int(metadata["done"])
    settings = json.loads(metadata["settings"])
    before = {
        UNCOUNTED: _at_most(done, settings["path"]["steps"], settings["path"]["batch"], settings["batch"])
    }
    hands, draws = (json.loads(metadata[key]) if key in metadata else before for key in ("hands", "draws"))
    return {"steps": done, "seconds": int(metadata.get("seconds", 0)), "hands": hands, "draws": draws}


def _modules(trainer: Trainer) -> dict[str, nn.Module]:
    """What is learnt and its averages, by their names in the file."""
    averages = {NAMES_OF_AVERAGES.get(name, f"average {name}"): m for name, m in trainer.averages.items()}
    return trainer.learnt | averages


def _at_most(done: int, path_steps: int, path_batch: int, batch: int) -> int:
    """Hands that a run of so many steps can have seen."""
    first = min(done, path_steps)
    return first * path_batch + (done - first) * batch


def _part(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    prefix = name + "/"
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
