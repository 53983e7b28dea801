"""MANO_RIGHT.pkl as its makers publish it, or the same arrays in an npz, into a ManoModel."""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from .mano import FACES, JOINTS, PARENTS, SHAPES, VERTICES, ManoModel, is_right
from .pickled import MAX_BYTES, read_pickle
from .pickled_arrays import array_of

# The names in the file -> the shape that they have in MANO.
FIELDS: dict[str, tuple[int, ...]] = {
    "v_template": (VERTICES, 3),
    "f": (FACES, 3),
    "shapedirs": (VERTICES, 3, SHAPES),
    "posedirs": (VERTICES, 3, 9 * (JOINTS - 1)),
    "J_regressor": (JOINTS, VERTICES),
    "weights": (VERTICES, JOINTS),
    "kintree_table": (2, JOINTS),
    "hands_components": (45, 45),
    "hands_mean": (45,),
}
# Where smplx looks for it below its folder of models.
PLACES = ("", "mano/MANO_RIGHT.pkl", "mano/MANO_RIGHT.npz", "MANO_RIGHT.pkl", "MANO_RIGHT.npz")


def read_mano(path: Path) -> ManoModel:
    """Read a MANO file (pkl or npz, whatever it is called), or smplx's folder of models.

    Nothing of a pickle is run. Raises ValueError, one sentence, for anything that is not MANO's right hand,
    and OSError.
    """
    path = next((path / place for place in PLACES if (path / place).is_file()), path)
    if path.is_dir():
        raise ValueError(f"{path} has no MANO_RIGHT.pkl in it: give the file itself.")
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(_sentence(path, f"it is larger than the {MAX_BYTES >> 20} MB that a hand may take"))
    raw = path.read_bytes()
    try:
        arrays = _of_zip(raw) if raw[:4] == b"PK\x03\x04" else _of_pickle(raw)
        return _model({key: _checked(key, arrays) for key in FIELDS})
    except ValueError as exc:
        raise ValueError(_sentence(path, str(exc))) from None


def _sentence(path: Path, clause: str) -> str:
    return f"{path.name} is no model of MANO ({clause}): give MANO_RIGHT.pkl as its makers publish it."


def _of_pickle(raw: bytes) -> dict[str, np.ndarray]:
    content = read_pickle(raw)
    if not isinstance(content, dict):
        raise ValueError("it holds no names")
    arrays = {}
    for key in FIELDS:
        if key in content:
            try:
                arrays[key] = array_of(content[key])
            except ValueError as exc:
                raise ValueError(f"in {key}, {exc}") from None
    return arrays


def _of_zip(raw: bytes) -> dict[str, np.ndarray]:
    """An npz, whose arrays are believed only as far as there are bytes for them."""
    arrays = {}
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as file:
            for key in FIELDS:
                if f"{key}.npy" not in file.namelist():
                    continue
                with file.open(f"{key}.npy") as member:
                    content = member.read(MAX_BYTES + 1)
                if len(content) > MAX_BYTES:
                    raise ValueError(f"{key} is larger than a hand may be")
                arrays[key] = _of_npy(key, content)
    except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError) as exc:
        raise ValueError("it is damaged") from exc
    return arrays


def _of_npy(key: str, content: bytes) -> np.ndarray:
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    read: Any = (
        np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    )
    shape, fortran, dtype = read(stream)
    if dtype.hasobject or dtype.kind not in "fiub":
        raise ValueError(f"in {key}, it has an array of something else than numbers")
    rest = content[stream.tell() :]
    if int(np.prod([int(n) for n in shape], dtype=object)) * dtype.itemsize != len(rest):
        raise ValueError(f"in {key}, it has an array whose bytes do not fill its shape")
    return np.frombuffer(rest, dtype).reshape(shape, order="F" if fortran else "C")


def _checked(key: str, arrays: dict[str, np.ndarray]) -> np.ndarray:
    if key not in arrays:
        raise ValueError(f"it has no {key}")
    array, shape = arrays[key], FIELDS[key]
    if array.shape != shape:
        text = "x".join(map(str, array.shape)) or "one number"
        raise ValueError(f"its {key} is {text}, not {'x'.join(map(str, shape))}")
    if not np.isfinite(array).all():
        raise ValueError(f"its {key} has numbers that are not finite")
    return array.astype(np.int64 if key in ("f", "kintree_table") else np.float64)


def _model(arrays: dict[str, np.ndarray]) -> ManoModel:
    parents = arrays["kintree_table"][0]
    if tuple(parents[1:]) != PARENTS[1:]:
        raise ValueError("its joints hang together in another way than MANO's")
    if not 0 <= arrays["f"].min() <= arrays["f"].max() < VERTICES:
        raise ValueError("its f names vertices that are not there")
    for key in ("weights", "J_regressor"):
        if np.abs(arrays[key].sum(1) - 1).max() > 0.01:
            raise ValueError(f"the rows of its {key} do not sum to 1")
    model = ManoModel(
        vertices=arrays["v_template"],
        faces=arrays["f"],
        shapes=arrays["shapedirs"].transpose(2, 0, 1).copy(),
        corrections=arrays["posedirs"].transpose(2, 0, 1).copy(),
        regressor=arrays["J_regressor"],
        weights=arrays["weights"],
        components=arrays["hands_components"],
        mean=arrays["hands_mean"],
    )
    if not is_right(model):
        raise ValueError("it is a left hand, which is made here by mirroring the right one")
    return model
