"""A small, randomly initialised network and its weight file: does something everywhere, knows nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from hhmr_engine.hand.template import HandTemplate, load_template
from hhmr_engine.model.checkpoint import save_network
from hhmr_engine.model.graph_unet import GraphDenoiser, NetworkSettings
from hhmr_engine.observation import node_prior

SMALL = NetworkSettings(sizes=(208, 26), widths=(16, 32), tokens=16, head=16, path=32, image_features=8)


def small_network(template: HandTemplate | None = None, **changes: object) -> GraphDenoiser:
    """Layers that start at zero get small numbers, so that every part has a say. template as tensors."""
    tensors = template or load_template().torch()
    torch.manual_seed(0)
    network = GraphDenoiser(tensors, node_prior(tensors), replace(SMALL, **changes))  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in network.parameters():
            if not parameter.any():
                parameter.normal_(0, 0.05)
    return network.eval().requires_grad_(False)


def small_weights(folder: Path) -> Path:
    """A weight file of the small network."""
    path = folder / "small.safetensors"
    save_network(path, small_network(), load_template(), shift=3.0)
    return path
