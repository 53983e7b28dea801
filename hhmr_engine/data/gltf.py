"""Skinned meshes out of glTF files (.gltf with embedded data, .glb): what trimesh leaves out."""

from __future__ import annotations

import base64
import json
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

# glTF 2.0, tables of accessor types.
COMPONENTS = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}


@dataclass(frozen=True)
class SkinnedMesh:
    """The first skinned mesh of a file in its rest pose, as the file has it (seams not welded)."""

    vertices: np.ndarray  # [V,3] float64
    triangles: np.ndarray  # [F,3] int64
    weights: np.ndarray  # [V,J]
    joints: tuple[str, ...]  # J names
    places: np.ndarray  # [J,3] of the joints, from the inverse bind matrices


def read_skinned(path: Path) -> SkinnedMesh:
    """Raises ValueError with one sentence when the file holds no skinned mesh."""
    tree, binary = _parts(path.read_bytes())
    skinned = [node for node in tree.get("nodes", ()) if "mesh" in node and "skin" in node]
    if not skinned:
        raise ValueError(f"{path.name} holds no skinned mesh.")
    mesh, skin = tree["meshes"][skinned[0]["mesh"]], tree["skins"][skinned[0]["skin"]]
    primitive = mesh["primitives"][0]
    attributes = {key: _accessor(tree, binary, index) for key, index in primitive["attributes"].items()}
    binds = _accessor(tree, binary, skin["inverseBindMatrices"]).reshape(-1, 4, 4).astype(np.float64)
    ids, shares = attributes["JOINTS_0"], attributes["WEIGHTS_0"].astype(np.float64)
    weights = np.zeros((len(ids), len(skin["joints"])))
    for column in range(4):
        np.add.at(weights, (np.arange(len(ids)), ids[:, column]), shares[:, column])
    return SkinnedMesh(
        vertices=attributes["POSITION"].astype(np.float64),
        triangles=_accessor(tree, binary, primitive["indices"]).reshape(-1, 3).astype(np.int64),
        weights=weights,
        joints=tuple(tree["nodes"][node]["name"] for node in skin["joints"]),
        places=np.linalg.inv(binds)[:, 3, :3],  # the file's matrices are column-major
    )


def _parts(raw: bytes) -> tuple[dict, bytes]:
    """The JSON tree and the bytes of its one buffer."""
    if raw[:4] == b"glTF":
        size = struct.unpack("<I", raw[12:16])[0]
        return json.loads(raw[20 : 20 + size]), raw[28 + size :]
    tree = json.loads(raw)
    return tree, base64.b64decode(tree["buffers"][0]["uri"].split(",", 1)[1])


def _accessor(tree: dict, binary: bytes, index: int) -> np.ndarray:
    accessor = tree["accessors"][index]
    view = tree["bufferViews"][accessor["bufferView"]]
    dtype, width = np.dtype(COMPONENTS[accessor["componentType"]]), WIDTHS[accessor["type"]]
    start = view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
    stride = view.get("byteStride", dtype.itemsize * width)
    shape, strides = (accessor["count"], width), (stride, dtype.itemsize)
    return np.ndarray(shape, dtype, binary, start, strides).copy()
