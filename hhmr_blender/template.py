"""The hand that ships, as the add-on needs it: read from the engine's asset with numpy alone."""

from __future__ import annotations

import inspect
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
    """[Q, 4]"""
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


@cache
def template() -> Template:
    """The shipped hand; read once."""
    with np.load(_asset(), allow_pickle=False) as data:
        return Template(
            name=str(data["name"]),
            vertices=data["vertices"].astype(np.float32),
            quads=data["quads"].astype(np.int32),
            faces=data["faces"].astype(np.int32),
            regressor=data["regressor"].astype(np.float32),
        )


@cache
def fingers() -> NDArray[np.bool_]:
    """Which vertices [5, V] each finger has beyond its knuckle, the thumb first."""
    with np.load(_asset(), allow_pickle=False) as data:
        weights = data["weights"].astype(np.float32)  # [V, 20]: of each finger, its metacarpal comes first
    beyond = weights.reshape(len(weights), 5, 4)
    return (beyond[:, :, 2:].sum(axis=2) + np.where(np.arange(5) > 0, beyond[:, :, 1], 0) > 0.5).T


@cache
def edges() -> Ints:
    """Unique edges [E, 2] of the shipped hand."""
    quads = template().quads
    pairs = np.stack([quads, np.roll(quads, -1, axis=1)], axis=2).reshape(-1, 2)
    return np.unique(np.sort(pairs, axis=1), axis=0)


def _asset() -> Path:
    return Path(inspect.getfile(wire.Decoder)).parent / "hand" / "anny_hand.npz"
