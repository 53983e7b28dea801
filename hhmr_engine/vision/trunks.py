"""What the image condition looks at: a frozen CNN's features of a crop, for each patch of a 7x7 grid.

Crops are as the landmark network likes them (`landmarks.crop_around`): 224 pixels, fingers up.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from . import resnet
from .networks import HandNetwork, HandOutput, hand_network

TRUNKS = ("hand", "resnet50")


class Trunk(Protocol):
    """A frozen CNN."""

    @property
    def name(self) -> str: ...

    @property
    def width(self) -> int:
        """F, features of a patch."""

    def features(self, crops: Tensor) -> Tensor:
        """Crops [B,3,224,224] float32 in [0, 1] -> patches [B,49,F], row by row; without a gradient."""


class HandTrunk:
    """The hand landmark network's: its 7x7 map, and the 2x2 places of its 14x14 map in each cell."""

    name = "hand"
    width = 192 + 4 * 112

    def __init__(self, network: HandNetwork) -> None:
        self.network = network

    @torch.no_grad()
    def features(self, crops: Tensor) -> Tensor:
        return hand_patches(*self.network.maps(crops))


class ResNetTrunk:
    """ResNet-50's last map (the paper's trunk)."""

    name = "resnet50"
    width = resnet.WIDTH

    def __init__(self, network: resnet.ResNet50) -> None:
        self.network = network

    @torch.no_grad()
    def features(self, crops: Tensor) -> Tensor:
        return self.network(crops).flatten(2).transpose(1, 2)


def hand_patches(map14: Tensor, map7: Tensor) -> Tensor:
    """HandTrunk's features [B,49,640] from maps [B,112,14,14] and [B,192,7,7] that are there already."""
    return torch.cat([map7, F.pixel_unshuffle(map14, 2)], 1).flatten(2).transpose(1, 2)


@torch.no_grad()
def look(trunk: Trunk, landmarks: HandNetwork, crops: Tensor) -> tuple[Tensor, HandOutput]:
    """Patches [B,49,F] of crops [B,3,224,224] in [0, 1], and what the landmark network says of them."""
    output: HandOutput = landmarks(crops, features=True)
    if not isinstance(trunk, HandTrunk):
        return trunk.features(crops), output
    assert output.map14 is not None and output.map7 is not None  # of the very network that has just run
    return hand_patches(output.map14, output.map7), output


def load_trunk(name: str, weights: Path | None = None, device: str = "cpu") -> Trunk:
    """One of TRUNKS; `weights`: the file of a ResNet-50. ValueError says in one sentence what is wrong."""
    match name:
        case "hand":
            return HandTrunk(hand_network(device))
        case "resnet50":
            if weights is None:
                raise ValueError(
                    "The trunk resnet50 needs its weights: give the path of a usual resnet50 file."
                )
            network = resnet.load_resnet50(weights).to(device)
            return ResNetTrunk(network.to(memory_format=torch.channels_last))  # type: ignore[call-overload]
    raise ValueError(f"There is no trunk {name!r}: choose {' or '.join(TRUNKS)}.")
