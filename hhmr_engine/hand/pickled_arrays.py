"""The arrays that pickled things of numpy, scipy and chumpy stand for, without any of them run.

Nothing is allocated that is not in the file: an array's bytes must be as many as its shape and type say.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .pickled import Made, Name

MAX_DEPTH = 8  # of terms that chumpy keeps in terms
MAX_SPARSE = 1 << 22  # entries of a sparse matrix, once it is dense
_TYPES = {f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)} | {"f2", "f4", "f8", "b1"}
_ORDERS = {"<": "<", ">": ">", "|": "|", "=": "<"}


def array_of(value: Any, depth: int = 0) -> np.ndarray:
    """The numbers of an array, a scalar, a sparse matrix (made dense) or a term of chumpy.

    Raises ValueError, one clause, where it has none.
    """
    if isinstance(value, bool | int | float):
        return np.array(value)
    if not isinstance(value, Made):
        raise ValueError("it has something else in the place of numbers")
    if depth > MAX_DEPTH:
        raise ValueError("it has terms without end")
    if value.kind in ("csc", "csr") or _class(value) in ("csc", "csr"):
        return _dense(value, depth)
    if _class(value) in ("Ch", "Select", "Reshape"):
        return _term(value, depth)
    if value.kind == "array":
        return _reconstructed(value)
    if value.kind == "buffer":
        return _frombuffer(value)
    if value.kind == "scalar" and len(value.args) == 2:
        return _numbers(value.args[1], _dtype(value.args[0]), (), "C")
    raise ValueError("it has something else in the place of numbers")


def _class(value: Made) -> str:
    """Of what class an object is: protocols 0 and 1 make it by way of a function."""
    if value.kind == "new" and value.args and isinstance(value.args[0], Name):
        return value.args[0].kind
    return value.kind


def _reconstructed(value: Made) -> np.ndarray:
    """numpy.core.multiarray._reconstruct, then (version, shape, dtype, is Fortran's order, bytes)."""
    if not isinstance(value.state, tuple) or len(value.state) != 5:
        raise ValueError("it has an array without numbers")
    _, shape, dtype, fortran, data = value.state
    return _numbers(data, _dtype(dtype), shape, "F" if fortran is True else "C")


def _frombuffer(value: Made) -> np.ndarray:
    """numpy.core.numeric._frombuffer(bytes, dtype, shape, order) of protocol 5."""
    if len(value.args) != 4 or value.args[3] not in ("C", "F"):
        raise ValueError("it has an array without numbers")
    data, dtype, shape, order = value.args
    return _numbers(data, _dtype(dtype), shape, order)


def _numbers(data: Any, dtype: np.dtype, shape: Any, order: Any) -> np.ndarray:
    if isinstance(data, Made) and data.kind == "encode" and len(data.args) == 2:
        data = data.args[0]  # how Python 3 writes bytes into an old protocol: as Latin-1
    elif isinstance(data, Made) and data.kind == "bytes" and not data.args:
        data = b""  # and how it writes none
    if isinstance(data, str):
        try:
            data = data.encode("latin-1")
        except UnicodeEncodeError:
            raise ValueError("it has an array without numbers") from None
    if not isinstance(data, bytes) or not isinstance(shape, tuple) or len(shape) > 4:
        raise ValueError("it has an array without numbers")
    if not all(type(length) is int and length >= 0 for length in shape):
        raise ValueError("it has an array of an impossible shape")
    if math.prod(shape) * dtype.itemsize != len(data):
        raise ValueError("it has an array whose bytes do not fill its shape")
    return np.frombuffer(data, dtype).reshape(shape, order=order)


def _dtype(value: Any) -> np.dtype:
    """numpy.dtype(name, ...), then (version, byte order, ...)."""
    if not isinstance(value, Made) or value.kind != "dtype" or not value.args:
        raise ValueError("it has an array without numbers")
    name, state = value.args[0], value.state
    if type(name) is not str or name not in _TYPES:
        raise ValueError("it has an array of something else than numbers")
    order = state[1] if isinstance(state, tuple) and len(state) > 1 else "="
    if type(order) is not str or order not in _ORDERS:
        raise ValueError("it has an array of something else than numbers")
    return np.dtype(_ORDERS[order] + name)


def _state(value: Made) -> dict[Any, Any]:
    if not isinstance(value.state, dict):
        raise ValueError("it has an object without a content")
    return value.state


def _term(value: Made, depth: int) -> np.ndarray:
    """chumpy: Ch holds its numbers as x, Select takes some of its term a, Reshape gives it another shape."""
    state = _state(value)
    inner = array_of(state.get("x" if _class(value) == "Ch" else "a"), depth + 1)
    if _class(value) == "Ch":
        return inner
    if _class(value) == "Reshape":
        return _shaped(inner, state.get("newshape"))
    chosen = array_of(state.get("idxs"), depth + 1).ravel()
    if chosen.dtype.kind not in "iu" or (len(chosen) and not 0 <= chosen.min() <= chosen.max() < inner.size):
        raise ValueError("it chooses numbers that are not there")
    return _shaped(inner.ravel()[chosen], state.get("preferred_shape", (len(chosen),)))


def _shaped(array: np.ndarray, shape: Any) -> np.ndarray:
    lengths = tuple(shape) if isinstance(shape, tuple | list) else ()
    if not all(type(n) is int and n >= 0 for n in lengths) or math.prod(lengths) != array.size:
        raise ValueError("it has an array of an impossible shape")
    return array.reshape(lengths)


def _dense(value: Made, depth: int) -> np.ndarray:
    """scipy's compressed columns (csc) or rows (csr)."""
    state = _state(value)
    shape = state.get("_shape", state.get("shape"))
    if not isinstance(shape, tuple) or len(shape) != 2 or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError("it has a sparse matrix of an impossible shape")
    rows, columns = shape if _class(value) == "csr" else shape[::-1]
    if rows * columns > MAX_SPARSE:
        raise ValueError("it has a sparse matrix of an impossible shape")
    data, minor, ends = (array_of(state.get(key), depth + 1) for key in ("data", "indices", "indptr"))
    whole = all(part.ndim == 1 and part.dtype.kind in "iu" for part in (minor, ends)) and data.ndim == 1
    if not whole or len(ends) != rows + 1 or not len(minor) == len(data) == int(ends[-1]):
        raise ValueError("it has a sparse matrix whose parts do not fit")
    minor, ends = minor.astype(np.int64), ends.astype(np.int64)
    if (
        ends[0] != 0
        or (np.diff(ends) < 0).any()
        or (len(minor) and not 0 <= minor.min() <= minor.max() < columns)
    ):
        raise ValueError("it has a sparse matrix whose parts do not fit")
    dense = np.zeros((rows, columns))
    np.add.at(dense, (np.repeat(np.arange(rows), np.diff(ends)), minor), data)
    return dense if _class(value) == "csr" else dense.T
