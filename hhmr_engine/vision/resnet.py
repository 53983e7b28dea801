"""ResNet-50 (He et al. 2016, arXiv:1512.03385) with the names and strides of the usual `resnet50` weights.

As in those weights, a block that halves the side does so in its 3x3 convolution, not in the first 1x1.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

MEAN = (0.485, 0.456, 0.406)  # of ImageNet's pictures in [0, 1], RGB
DEVIATION = (0.229, 0.224, 0.225)
WIDTH = 2048

_EXPANSION = 4
_STAGES = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))  # inner width, blocks, stride of the first


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1, each with batch norm; the shortcut is a 1x1 where the size changes."""

    def __init__(self, inputs: int, inner: int, stride: int) -> None:
        super().__init__()
        outputs = inner * _EXPANSION
        self.conv1 = nn.Conv2d(inputs, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module | None = None
        if stride != 1 or inputs != outputs:
            shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = F.relu(self.bn2(self.conv2(y)), inplace=True)
        y = self.bn3(self.conv3(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)), inplace=True)


class ResNet50(nn.Module):
    """Pictures `[B, 3, 224, 224]` in [0, 1] -> the last map `[B, 2048, 7, 7]`; `fc` is the classifier's."""

    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        inputs = 64
        for number, (inner, count, stride) in enumerate(_STAGES, 1):
            blocks = [Bottleneck(inputs, inner, stride)]
            inputs = inner * _EXPANSION
            blocks += [Bottleneck(inputs, inner, 1) for _ in range(count - 1)]
            self.add_module(f"layer{number}", nn.Sequential(*blocks))
        self.fc = nn.Linear(WIDTH, 1000)
        for name, value in (("mean", MEAN), ("deviation", DEVIATION)):
            self.register_buffer(name, torch.tensor(value).view(3, 1, 1), persistent=False)

    def forward(self, picture: Tensor) -> Tensor:
        x = (picture - self.mean) / self.deviation
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x)), inplace=True), 3, 2, 1)
        for number in range(1, len(_STAGES) + 1):
            x = getattr(self, f"layer{number}")(x)
        return x


def load_resnet50(path: Path) -> ResNet50:
    """The network with a file's weights, frozen; `fc` may be missing or of another size.

    Reads safetensors, and what torch.save wrote (.pth, .pt) of tensors alone. ValueError, one sentence: the
    file can't be read, or is not of this network.
    """
    network = ResNet50()
    given = {
        k.removeprefix("module."): v for k, v in _read(path).items()
    }  # "module.": of a parallel training
    wanted = {k: v for k, v in network.state_dict().items() if not k.startswith("fc.")}
    given = {k: v for k, v in given.items() if not k.startswith("fc.")}
    odd = [k for k in given if k not in wanted]
    # Files from before 2018 don't count batches.
    odd += [k for k in wanted if k not in given and not k.endswith("num_batches_tracked")]
    odd += [k for k, v in given.items() if k in wanted and v.shape != wanted[k].shape]
    if odd:
        raise ValueError(
            f"{path.name} is not of a ResNet-50 ({odd[0]} does not fit): choose its usual weights."
        )
    network.load_state_dict({k: v.float() for k, v in given.items()}, strict=False)
    return network.eval().requires_grad_(False)


def _read(path: Path) -> dict[str, Tensor]:
    """The tensors of a file, by name."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as exc:
        raise ValueError(f"There is no file {path}: give the path of ResNet-50's weights.") from exc
    except (OSError, SafetensorError, RuntimeError, EOFError, KeyError, pickle.UnpicklingError) as exc:
        reason = " ".join(str(exc).split())[:80]
        raise ValueError(f"{path.name} can't be read as weights ({reason}): download it again.") from exc
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):  # a training's checkpoint
        content = content["state_dict"]
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        raise ValueError(f"{path.name} holds no table of weights: save the network's state_dict.")
    return content
