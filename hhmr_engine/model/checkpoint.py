"""Network weights as safetensors: fp16 tensors, the settings that shaped them, the template they are for."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ..diffusion.gaussian import GaussianPrior
from ..diffusion.schedule import Schedule
from ..hand.template import HandTemplate
from .graph_unet import GraphDenoiser, NetworkSettings

FORMAT = "hhmr-1"


def template_hash(template: HandTemplate) -> str:
    """Changes when anything changes that weights depend on: topology, nodes, prior (arrays, not tensors)."""
    digest = hashlib.sha256()
    for array in (template.faces, template.nodes, template.basis_variance):
        digest.update(array.tobytes())
    return digest.hexdigest()[:16]


def save_network(
    path: Path, network: GraphDenoiser, template: HandTemplate, shift: float, **notes: str
) -> None:
    """Write beside `path` and rename. `notes` go into the file's header (settings, steps, seed)."""
    settings = json.dumps(dataclasses.asdict(network.settings), sort_keys=True)
    metadata = {
        "format": FORMAT,
        "template": template.name,
        "template_hash": template_hash(template),
        "shift": str(shift),
        "network": settings,
        **notes,
    }
    part = path.with_name(path.name + ".part")
    save_file({k: v.detach().half().contiguous() for k, v in network.state_dict().items()}, part, metadata)
    part.replace(path)


def load_network(path: Path, template: HandTemplate, prior: GaussianPrior) -> tuple[GraphDenoiser, Schedule]:
    """Read weights for `template` (arrays). ValueError says in one sentence why a file does not fit."""
    metadata, tensors = _read(path)
    if metadata.get("format") != FORMAT:
        raise ValueError(f"{path.name} holds no HHMR weights; choose another file or run 'hhmr train'.")
    if metadata.get("template_hash") != template_hash(template):
        text = f"{path.name} was trained for another hand topology or prior; use this one's weights."
        raise ValueError(text)
    try:
        shift = float(metadata["shift"])
        network = GraphDenoiser(template.torch(), prior, _settings(metadata))
        network.load_state_dict({k: v.float() for k, v in tensors.items()})
    except (KeyError, TypeError, ValueError, RuntimeError) as exc:  # of a newer version, or tampered with
        raise ValueError(f"{path.name} does not fit the network it describes; download it again.") from exc
    if not all(torch.isfinite(p).all() for p in network.parameters()):
        raise ValueError(f"{path.name} holds numbers that are not finite; download it again.")
    return network.eval().requires_grad_(False), Schedule(shift)


def level_sizes(path: Path) -> tuple[int, ...] | None:
    """The nodes per level of the network in a weight file; None where `load_network` says what is wrong."""
    try:
        with safe_open(path, "pt") as file:
            return _settings(file.metadata() or {}).sizes
    except (SafetensorError, OSError, KeyError, TypeError, ValueError):
        return None


def _settings(metadata: dict[str, str]) -> NetworkSettings:
    read = json.loads(metadata["network"])
    values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in read.items()}
    return NetworkSettings(**values)


def _read(path: Path) -> tuple[dict[str, str], dict[str, Any]]:
    try:
        with safe_open(path, "pt") as file:
            return file.metadata() or {}, {key: file.get_tensor(key) for key in file.keys()}
    except FileNotFoundError:
        raise
    except (SafetensorError, OSError, ValueError) as exc:
        text = f"{path.name} is damaged or no safetensors file ({exc}); download it again."
        raise ValueError(text) from exc
