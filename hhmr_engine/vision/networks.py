"""MediaPipe's palm detector and hand landmark network, in plain PyTorch.

Architectures and weights: `palm_detection_full.tflite` and `hand_landmark_full.tflite` of mediapipe 0.10.14
(Apache-2.0; Bazarevsky & Zhang 2019, "On-device, real-time hand tracking"; Zhang et al. 2020,
arXiv:2006.10214). Layers are defined in the order in which those files run them: `convert.py` relies on it.

Pictures are float32 RGB in [0, 1], `[B, 3, side, side]`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

WEIGHTS = Path(__file__).parents[1] / "weights" / "mediapipe"
Network = TypeVar("Network", bound=nn.Module)

PALM_SIDE = 192
HAND_SIDE = 224


class Convolution(nn.Conv2d):
    """A convolution with TFLite's "same" padding: ceil(input / stride) pixels, the odd one is added last."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, bias: bool = True
    ) -> None:
        symmetric = kernel // 2 if stride == 1 else 0
        super().__init__(inputs, outputs, kernel, stride, symmetric, groups=groups, bias=bias)
        # Both networks halve even sides only: kernel - 2 pixels are missing.
        self.before, self.after = (0, 0) if stride == 1 else ((kernel - 2) // 2, (kernel - 1) // 2)

    def forward(self, x: Tensor) -> Tensor:
        if self.after:
            x = F.pad(x, (self.before, self.after, self.before, self.after))
        return super().forward(x)


# ---------------------------------------------------------------- palms


class PalmBlock(nn.Module):
    """Depthwise 5x5, pointwise, residual, PReLU; with stride 2 the shortcut is pooled and widened."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.depthwise = Convolution(inputs, inputs, 5, stride, groups=inputs, bias=False)
        self.pointwise = Convolution(inputs, outputs, 1)
        self.activation = nn.PReLU(outputs)
        self.stride = stride
        self.widen = outputs - inputs

    def forward(self, x: Tensor) -> Tensor:
        y = self.pointwise(self.depthwise(x))
        if self.stride == 2:
            x = F.max_pool2d(x, 2)
        if self.widen:
            x = F.pad(x, (0, 0, 0, 0, 0, self.widen))
        return self.activation(x + y)


class PalmUpsampling(nn.Module):
    """Twice the side (bilinear, half-pixel centres), pointwise, PReLU, plus the earlier map of that side."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.pointwise = Convolution(inputs, outputs, 1)
        self.activation = nn.PReLU(outputs)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        return skip + self.activation(self.pointwise(x))


class PalmHead(nn.Module):
    """Scores and boxes of `anchors` anchors at every place of a map."""

    def __init__(self, inputs: int, anchors: int) -> None:
        super().__init__()
        self.score = Convolution(inputs, anchors, 1)
        self.box = Convolution(inputs, anchors * 18, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        count = len(x)
        score = self.score(x).permute(0, 2, 3, 1).reshape(count, -1)
        return score, self.box(x).permute(0, 2, 3, 1).reshape(count, -1, 18)


def _palm_blocks(width: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(PalmBlock(width, width) for _ in range(count)))


class PalmNetwork(nn.Module):
    """Picture `[B, 3, 192, 192]` -> score logits `[B, 2016]` and raw boxes `[B, 2016, 18]`.

    A box, in pixels from its anchor: centre x, y, width, height, then seven keypoints x, y.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = Convolution(3, 32, 5, 2)
        self.activation = nn.PReLU(32)
        self.side96 = _palm_blocks(32, 4)
        self.down48 = PalmBlock(32, 64, 2)
        self.side48 = _palm_blocks(64, 4)
        self.down24 = PalmBlock(64, 128, 2)
        self.side24 = _palm_blocks(128, 4)
        self.down12 = PalmBlock(128, 256, 2)
        self.side12 = _palm_blocks(256, 4)
        self.down6 = PalmBlock(256, 256, 2)
        self.side6 = _palm_blocks(256, 4)
        self.up12 = PalmUpsampling(256, 256)
        self.refine12 = _palm_blocks(256, 2)
        self.head12 = PalmHead(256, 6)
        self.up24 = PalmUpsampling(256, 128)
        self.refine24 = _palm_blocks(128, 2)
        self.head24 = PalmHead(128, 2)

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        x = self.side96(self.activation(self.stem(picture)))
        map24 = self.side24(self.down24(self.side48(self.down48(x))))
        map12 = self.side12(self.down12(map24))
        up12 = self.refine12(self.up12(self.side6(self.down6(map12)), map12))
        up24 = self.refine24(self.up24(up12, map24))
        score24, box24 = self.head24(up24)
        score12, box12 = self.head12(up12)
        return torch.cat((score24, score12), 1), torch.cat((box24, box12), 1)


# ---------------------------------------------------------------- hands

# Inverted residual blocks of EfficientNet-Lite0: inputs, expanded, kernel, stride, outputs.
_HAND_BLOCKS = (
    (16, 64, 3, 2, 24),
    (24, 144, 3, 1, 24),
    (24, 144, 5, 2, 40),
    (40, 240, 5, 1, 40),
    (40, 240, 3, 2, 80),
    (80, 480, 3, 1, 80),
    (80, 480, 3, 1, 80),
    (80, 480, 5, 1, 112),
    (112, 672, 5, 1, 112),
    (112, 672, 5, 1, 112),
    (112, 672, 5, 2, 192),
    (192, 1152, 5, 1, 192),
    (192, 1152, 5, 1, 192),
    (192, 1152, 5, 1, 192),
)
_TO_MAP14 = 10  # blocks that lead to the finer of the two feature maps; the coarser is behind the last


class HandBlock(nn.Module):
    """Pointwise, depthwise, pointwise; a residual where nothing changes its size."""

    def __init__(self, inputs: int, expanded: int, kernel: int, stride: int, outputs: int) -> None:
        super().__init__()
        self.expand = Convolution(inputs, expanded, 1)
        self.depthwise = Convolution(expanded, expanded, kernel, stride, groups=expanded)
        self.project = Convolution(expanded, outputs, 1)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self.expand(x), inplace=True)
        y = self.project(F.relu6(self.depthwise(y), inplace=True))
        return x + y if self.residual else y


@dataclass(frozen=True)
class HandOutput:
    """What the landmark network says of each crop."""

    landmarks: Tensor  # [B, 21, 3] pixels of the crop; z is relative and crude
    presence: Tensor  # [B] in [0, 1]
    right: Tensor  # [B] in [0, 1]: a right hand, in a picture that is not mirrored
    world: Tensor  # [B, 21, 3] metres, axes of the crop (x right, y down, z away), origin near the middle MCP
    map14: Tensor | None = None  # [B, 112, 14, 14]
    map7: Tensor | None = None  # [B, 192, 7, 7]


class HandNetwork(nn.Module):
    """Crop `[B, 3, 224, 224]`, fingers up -> HandOutput."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Convolution(3, 24, 3, 2)
        self.depthwise = Convolution(24, 24, 3, groups=24)
        self.project = Convolution(24, 16, 1)
        self.blocks = nn.ModuleList(HandBlock(*sizes) for sizes in _HAND_BLOCKS)
        self.top = Convolution(192, 1152, 1)
        self.top_depthwise = Convolution(1152, 1152, 3, groups=1152)
        self.right = nn.Linear(1152, 1)
        self.presence = nn.Linear(1152, 1)
        self.landmarks = nn.Linear(1152, 63)
        self.world = nn.Linear(1152, 63)

    def maps(self, crop: Tensor) -> tuple[Tensor, Tensor]:
        """The feature maps alone: `[B, 112, 14, 14]` and `[B, 192, 7, 7]`."""
        x = F.relu6(self.stem(crop), inplace=True)
        x = self.project(F.relu6(self.depthwise(x), inplace=True))
        for block in self.blocks[:_TO_MAP14]:
            x = block(x)
        map14 = x
        for block in self.blocks[_TO_MAP14:]:
            x = block(x)
        return map14, x

    def forward(self, crop: Tensor, features: bool = False) -> HandOutput:
        map14, map7 = self.maps(crop)
        x = F.relu6(self.top_depthwise(F.relu6(self.top(map7), inplace=True)), inplace=True).mean((2, 3))
        return HandOutput(
            self.landmarks(x).view(-1, 21, 3),
            torch.sigmoid(self.presence(x)[:, 0]),
            torch.sigmoid(self.right(x)[:, 0]),
            self.world(x).view(-1, 21, 3),
            map14 if features else None,
            map7 if features else None,
        )


# ---------------------------------------------------------------- weights


@cache
def palm_network(device: str = "cpu") -> PalmNetwork:
    """The detector with its weights, frozen. ValueError says in one sentence why they cannot be read."""
    return _load(PalmNetwork(), WEIGHTS / "palm_detection_full.safetensors", device)


@cache
def hand_network(device: str = "cpu") -> HandNetwork:
    """The landmark network with its weights, frozen. ValueError as above."""
    return _load(HandNetwork(), WEIGHTS / "hand_landmark_full.safetensors", device)


def _load(network: Network, path: Path, device: str) -> Network:
    try:
        network.load_state_dict({name: t.float() for name, t in load_file(path).items()})
    except (OSError, SafetensorError, RuntimeError) as exc:
        reason = " ".join(str(exc).split())[:120]
        raise ValueError(f"{path.name} cannot be read ({reason}): install HHMR again.") from exc
    network = network.eval().requires_grad_(False).to(device)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
