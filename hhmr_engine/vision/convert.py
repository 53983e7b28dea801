"""MediaPipe's two hand networks from its wheel: `python -m hhmr_engine.vision.convert --wheel FILE`.

Reads the TFLite files out of the wheel (`pip download mediapipe==0.10.14 --no-deps`), writes safetensors with
checksums and the licence beside them. Their weights are fp16 in the wheel already: nothing is rounded here.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save
from torch import nn

from .flatbuffer import Graph, read_tflite
from .networks import WEIGHTS, HandNetwork, PalmNetwork

VERSION = "0.10.14"
MODELS: dict[str, tuple[str, type[nn.Module]]] = {
    "palm_detection_full": ("mediapipe/modules/palm_detection/palm_detection_full.tflite", PalmNetwork),
    "hand_landmark_full": ("mediapipe/modules/hand_landmark/hand_landmark_full.tflite", HandNetwork),
}
_WEIGHTED = ("conv2d", "depthwise_conv2d", "fully_connected", "prelu")


def state(graph: Graph, network: nn.Module) -> dict[str, NDArray[np.float16]]:
    """The network's state dict from the constants of the graph, layer by layer in the order of both.

    ValueError: a layer and its operator differ in shape, or their counts differ.
    """
    packed = {o.outputs[0]: o.inputs[0] for o in graph.operators if o.kind == "dequantize"}
    operators = [o for o in graph.operators if o.kind in _WEIGHTED]
    layers = [(n, m) for n, m in network.named_modules() if isinstance(m, (nn.Conv2d, nn.Linear, nn.PReLU))]
    if len(operators) != len(layers):
        raise ValueError(f"The file has {len(operators)} layers with weights, the network {len(layers)}.")
    shapes = {name: tuple(parameter.shape) for name, parameter in network.named_parameters()}
    result: dict[str, NDArray[np.float16]] = {}
    for (name, layer), operator in zip(layers, operators):
        weight, *rest = (_constant(graph, packed.get(i, i)) for i in operator.inputs[1:])
        result[f"{name}.weight"] = _torch_order(weight, layer)
        if f"{name}.bias" in shapes:
            result[f"{name}.bias"] = rest[0]
        elif any(array.any() for array in rest):
            raise ValueError(f"Layer {name} has a bias in the file and none in the network.")
    for name, shape in shapes.items():
        if result[name].shape != shape:
            raise ValueError(f"{name} is {result[name].shape} in the file and {shape} in the network.")
    return result


def _constant(graph: Graph, tensor: int) -> NDArray[np.float16]:
    value = graph.tensors[tensor].value
    if value is None or value.dtype != np.float16:
        raise ValueError(f"{graph.tensors[tensor].name} is no fp16 constant.")
    return value


def _torch_order(weight: NDArray, layer: nn.Module) -> NDArray:
    if isinstance(layer, nn.PReLU):
        return weight.reshape(-1)
    if not isinstance(layer, nn.Conv2d):
        return weight
    # Output, height, width, input; a depthwise kernel has its channels last and one "output".
    order = (3, 0, 1, 2) if layer.groups > 1 else (0, 3, 1, 2)
    return np.ascontiguousarray(weight.transpose(order))


def convert(wheel: Path, out: Path) -> dict[str, str]:
    """Write both networks, SHA256SUMS and LICENSE to `out`; returns file names and their SHA-256.

    Always the same bytes from the same wheel. ValueError: not that wheel, or not those networks.
    """
    sums = {}
    with zipfile.ZipFile(wheel) as archive:
        out.mkdir(parents=True, exist_ok=True)
        for name, (member, kind) in MODELS.items():
            source = archive.read(member)
            # One entry only: safetensors writes several in any order, and the bytes would differ.
            origin = f"mediapipe {VERSION} (Apache-2.0), {member}, SHA-256 {_sha256(source)}"
            data = save(state(read_tflite(source), kind()), {"source": origin})
            (out / f"{name}.safetensors").write_bytes(data)
            sums[f"{name}.safetensors"] = _sha256(data)
        licence = archive.read(f"mediapipe-{VERSION}.dist-info/LICENSE").decode()
    # Behind the first ruler stand licences of other files of that wheel.
    (out / "LICENSE").write_text(licence.split("\n====")[0].rstrip() + "\n", encoding="utf-8")
    text = "".join(f"{digest}  {name}\n" for name, digest in sums.items())
    (out / "SHA256SUMS").write_text(text, encoding="utf-8")
    return sums


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m hhmr_engine.vision.convert", description=__doc__)
    parser.add_argument("--wheel", type=Path, required=True, help=f"mediapipe-{VERSION}-*.whl")
    parser.add_argument(
        "--out", type=Path, default=WEIGHTS, help="folder for the weights (default: the engine's)"
    )
    arguments = parser.parse_args()
    try:
        sums = convert(arguments.wheel, arguments.out)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as exc:
        sys.stderr.write(f"{arguments.wheel} is not the wheel of mediapipe {VERSION}: {exc}\n")
        return 1
    for name, digest in sums.items():
        sys.stdout.write(f"{digest}  {name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
