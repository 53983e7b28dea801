"""Writes what Python 2 wrote when it pickled a model: numpy arrays, chumpy terms, scipy matrices.

Opcode by opcode: neither Python 2 nor chumpy nor scipy is needed.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Instance:
    """An object of a class that is not here, with what its __dict__ holds."""

    module: str
    name: str
    state: dict[str, Any]


@dataclass(frozen=True)
class EmptySet:
    """set([]), which chumpy keeps in every term."""


def chumpy(x: np.ndarray) -> Instance:
    """chumpy.ch.Ch of an array, as its __getstate__ leaves it."""
    return Instance("chumpy.ch", "Ch", {"x": x, "_dirty_vars": EmptySet(), "_itr": None, "dterms": ("x",)})


def selected(x: np.ndarray, chosen: np.ndarray, shape: tuple[int, ...]) -> Instance:
    """chumpy's term for x[chosen], which is what slicing a term gives."""
    state = {
        "a": chumpy(x),
        "idxs": chosen,
        "preferred_shape": shape,
        "_dirty_vars": EmptySet(),
        "_itr": None,
    }
    return Instance("chumpy.reordering", "Select", state)


def csc(dense: np.ndarray, module: str = "scipy.sparse.csc") -> Instance:
    """scipy.sparse.csc_matrix of a dense matrix."""
    columns, rows = np.nonzero(dense.T)
    ends = np.searchsorted(columns, np.arange(dense.shape[1] + 1)).astype(np.int32)
    state = {
        "_shape": dense.shape,
        "maxprint": 50,
        "indices": rows.astype(np.int32),
        "indptr": ends,
        "data": dense[rows, columns],
        "format": "csc",
        "_has_sorted_indices": True,
    }
    return Instance(module, "csc_matrix", state)


def dumps(value: Any, protocol: int = 2) -> bytes:
    """cPickle.dumps(value, protocol) for protocol 0 or 2."""
    return (b"\x80\x02" if protocol == 2 else b"") + _write(value, protocol) + b"."


def _write(value: Any, protocol: int) -> bytes:
    new = protocol == 2
    match value:
        case None:
            return b"N"
        case bool():
            return (b"\x88" if value else b"\x89") if new else b"I0%d\n" % value
        case int():
            return b"J" + struct.pack("<i", value) if new else b"I%d\n" % value
        case float():
            return b"G" + struct.pack(">d", value) if new else b"F%r\n" % value
        case str() | bytes():
            return _string(value.encode("ascii") if isinstance(value, str) else value, new)
        case tuple():
            return b"(" + b"".join(_write(item, protocol) for item in value) + b"t"
        case list():
            return b"(" + b"".join(_write(item, protocol) for item in value) + b"l"
        case dict():
            pairs = (_write(k, protocol) + _write(v, protocol) + b"s" for k, v in value.items())
            return (b"}" if new else b"(d") + b"".join(pairs)
        case EmptySet():
            return b"c__builtin__\nset\n((ltR"
        case np.ndarray():
            return _array(value, protocol)
        case Instance():
            named = b"c%s\n%s\n" % (value.module.encode(), value.name.encode())
            made = (
                named + b")\x81"
                if new
                else b"ccopy_reg\n_reconstructor\n(" + named + b"c__builtin__\nobject\nNtR"
            )
            return made + _write(value.state, protocol) + b"b"
    raise TypeError(type(value))


def _string(data: bytes, new: bool) -> bytes:
    if not new:
        escaped = b"".join(b"\\x%02x" % c if c < 32 or c > 126 or c in b"\\'" else bytes([c]) for c in data)
        return b"S'" + escaped + b"'\n"
    return (b"U" + bytes([len(data)]) if len(data) < 256 else b"T" + struct.pack("<i", len(data))) + data


def _array(array: np.ndarray, protocol: int) -> bytes:
    kind = array.dtype.str  # "<f8"
    dtype = b"cnumpy\ndtype\n" + _write((kind[1:], 0, 1), protocol) + b"R"
    dtype += _write((3, kind[0], None, None, None, -1, -1, 0), protocol) + b"b"
    fortran = array.flags.f_contiguous and not array.flags.c_contiguous
    made = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n" + _write((0,), protocol)
    made += _write(b"b", protocol) + b"tR"
    state = b"(" + _write(1, protocol) + _write(array.shape, protocol) + dtype + _write(fortran, protocol)
    return made + state + _write(array.tobytes("A"), protocol) + b"tb"
