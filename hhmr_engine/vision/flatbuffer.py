"""A reader of TFLite files: just the tensors, the constants and the operators of the first subgraph.

Field numbers are those of TensorFlow's schema (tensorflow/compiler/mlir/lite/schema/schema.fbs, version 3).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Codes of BuiltinOperator, of those that the two hand networks use.
OPERATORS = {
    0: "add",
    2: "concatenation",
    3: "conv2d",
    4: "depthwise_conv2d",
    6: "dequantize",
    9: "fully_connected",
    14: "logistic",
    17: "max_pool_2d",
    21: "relu6",
    22: "reshape",
    23: "resize_bilinear",
    34: "pad",
    40: "mean",
    54: "prelu",
}
_DTYPES = {0: "<f4", 1: "<f2", 2: "<i4"}


@dataclass(frozen=True)
class Tensor:
    """`value`: the constant that lies in the file, or None for what is computed."""

    name: str
    shape: tuple[int, ...]
    value: NDArray | None


@dataclass(frozen=True)
class Operator:
    """`inputs` and `outputs` number the tensors; -1 is an input that is left out."""

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class Graph:
    tensors: list[Tensor]
    operators: list[Operator]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def read_tflite(data: bytes) -> Graph:
    """The first subgraph of a TFLite file. ValueError: no such file, or something in it is not known here."""
    if data[4:8] != b"TFL3":
        raise ValueError("This is no TFLite file of schema version 3.")
    model = _Table(data, *struct.unpack_from("<I", data, 0))
    codes = [max(t.scalar(0, "<b"), t.scalar(3, "<i")) for t in model.tables(1)]
    buffers = model.tables(4)
    graph = model.tables(2)[0]
    tensors = [_tensor(t, buffers) for t in graph.tables(0)]
    operators = []
    for table in graph.tables(3):
        code = codes[table.scalar(0, "<I")]
        if code not in OPERATORS:
            raise ValueError(f"Operator {code} is not among those of the hand networks.")
        operators.append(Operator(OPERATORS[code], table.integers(1), table.integers(2)))
    return Graph(tensors, operators, graph.integers(1), graph.integers(2))


def _tensor(table: _Table, buffers: list[_Table]) -> Tensor:
    shape = table.integers(0)
    dtype = table.scalar(1, "<b")
    raw = buffers[table.scalar(2, "<I")].raw(0)
    name = table.raw(3).decode()
    if not raw:
        return Tensor(name, shape, None)
    if dtype not in _DTYPES:
        raise ValueError(f"Tensor {name} is of type {dtype}, and only float32, float16 and int32 are read.")
    return Tensor(name, shape, np.frombuffer(raw, _DTYPES[dtype]).reshape(shape))


class _Table:
    """A flatbuffer table: `position` of its data; field numbers as in the schema."""

    def __init__(self, data: bytes, position: int) -> None:
        self.data, self.position = data, position
        self.vtable = position - struct.unpack_from("<i", data, position)[0]

    def _field(self, number: int) -> int:
        """Where the field lies, or 0 when it is left out."""
        size = struct.unpack_from("<H", self.data, self.vtable)[0]
        entry = 4 + 2 * number
        offset = struct.unpack_from("<H", self.data, self.vtable + entry)[0] if entry < size else 0
        return self.position + offset if offset else 0

    def scalar(self, number: int, layout: str) -> int:
        at = self._field(number)
        return struct.unpack_from(layout, self.data, at)[0] if at else 0

    def _vector(self, number: int) -> tuple[int, int]:
        """Where the elements of a vector begin, and how many there are."""
        at = self._field(number)
        if not at:
            return 0, 0
        at += struct.unpack_from("<I", self.data, at)[0]
        return at + 4, struct.unpack_from("<I", self.data, at)[0]

    def raw(self, number: int) -> bytes:
        start, count = self._vector(number)
        return self.data[start : start + count]

    def integers(self, number: int) -> tuple[int, ...]:
        start, count = self._vector(number)
        return struct.unpack_from(f"<{count}i", self.data, start)

    def tables(self, number: int) -> list[_Table]:
        start, count = self._vector(number)
        starts = [start + 4 * i for i in range(count)]
        return [_Table(self.data, at + struct.unpack_from("<I", self.data, at)[0]) for at in starts]
