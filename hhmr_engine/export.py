"""Result files: an npz with every figure, a glb with a morph target per hypothesis; all written or none."""

from __future__ import annotations

import io
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .hand.normals import vertex_normals

if TYPE_CHECKING:
    from .engine import Hypotheses

_FLOAT32 = 5126  # glTF's componentType
WHOLE = 0.9  # of the template: a mesh that covers so much of it has every finger
_OF_SURFACE_AND_MOTION = ("rotations", "motion", "moving", "bound", "carried", "covered", "kept")
_OF_PICTURE = ("camera", "joints2d", "given2d", "sigma2d", "box")
_SKIN = (0.76, 0.42, 0.30, 1.0)  # linear


def npz_bytes(found: Hypotheses, size: tuple[int, int] | None = None) -> bytes:
    """`np.load`-able arrays, best hypothesis first, in the frame, scale and side of what was given.

    `vertices [n, V, 3]`, `faces [F, 3]`, `joints [n, 21, 3]`, `residual [n]` (metres, on what was given),
    `self_intersection [n]` (per cent of faces, adjacent segments left out), `score [n]`, `draw [n]` (which
    draw of the seed), `spread [21]` (metres), `seed`, `side`; `rotations [n, 20, 3, 3]` after a fit; of a
    motion `motion [n, T, 21, 3]`, its joints, and `moving [n, T, V, 3]`, its vertices, where `vertices` and
    `joints` are those of the frame in the middle; of a hand of another topology `bound [n, M, 3]`, its own
    vertices, `carried [n, 21, 3]`, the joints that were given with it, `covered [V]`, which template vertices
    lie on it, and `kept [V]`, on what was kept of it.

    Of a picture, in its pixels: `camera [3]`, focal length and principal point x, y; `joints2d [n, 21, 2]`,
    where it sees the hands' joints; `given2d [21, 2]` and `sigma2d [21]`, the 2D skeleton and its noise;
    `box [4]`, x, y, width and height. What is in space is in Blender's camera axes then (x right, y up, the
    camera at the origin looks along -z), `translation [n, 3]` is where the wrists are, and `image_size [2]`
    what is given as `size`, the picture's width and height.
    """
    arrays: dict[str, Any] = {
        name: np.asarray(getattr(found, name), np.float32)
        for name in ("vertices", "joints", "residual", "self_intersection", "score", "spread")
    }
    arrays |= {name: np.asarray(getattr(found, name), np.int32) for name in ("faces", "draw")}
    for name in (*_OF_SURFACE_AND_MOTION, *_OF_PICTURE):
        if getattr(found, name) is not None:
            arrays[name] = getattr(found, name)
    if found.camera is not None:
        arrays["translation"] = arrays["joints"][:, 0]
    if size is not None:
        arrays["image_size"] = np.array(size, np.int32)
    buffer = io.BytesIO()
    np.savez(buffer, seed=np.int64(found.seed), side=np.str_(found.side), **arrays)
    return buffer.getvalue()


def glb_bytes(
    found: Hypotheses, triangles: NDArray | None = None, size: tuple[int, int] | None = None
) -> bytes:
    """A binary glTF with one mesh, the best hypothesis, and a morph target "Hypothesis k" for each of them.

    The mesh is the template's; where all of a hand of another topology was given, with `triangles [F, 3]`, it
    is that one. Blender imports the targets as shape keys. Coordinates are written as they are; glTF calls Y
    up, so Blender's importer turns what was given with Z up by a quarter. With the `size` of the picture that
    the hands are from, the camera is in it too: glTF's looks along -z, as theirs does.
    """
    import trimesh

    vertices, faces = np.asarray(found.vertices, np.float32), found.faces
    whole = found.covered is not None and found.covered.mean() > WHOLE
    if found.bound is not None and triangles is not None and whole:
        vertices, faces = np.asarray(found.bound, np.float32), triangles
    normals = vertex_normals(vertices, faces)
    names = [f"Hypothesis {k + 1}" for k in range(len(vertices))]
    material = trimesh.visual.material.PBRMaterial(
        name="Skin", baseColorFactor=_SKIN, metallicFactor=0.0, roughnessFactor=0.55
    )
    mesh = trimesh.Trimesh(
        vertices[0],
        faces,
        vertex_normals=normals[0],
        process=False,
        visual=trimesh.visual.TextureVisuals(material=material),
        metadata={"targetNames": names},  # becomes the mesh's extras, where importers look for names
    )
    name = f"HHMR hand {found.side}"
    scene = trimesh.Scene()
    scene.add_geometry(mesh, node_name=name, geom_name=name)

    def add_targets(buffers: Any, tree: dict[str, Any]) -> None:
        targets = [
            {
                "POSITION": _append(buffers, tree, f"position {k}", vertices[k] - vertices[0]),
                "NORMAL": _append(buffers, tree, f"normal {k}", normals[k] - normals[0]),
            }
            for k in range(len(vertices))
        ]
        tree["meshes"][0]["primitives"][0]["targets"] = targets
        tree["meshes"][0]["weights"] = [0.0] * len(targets)
        if size is not None and found.camera is not None:
            _append_camera(tree, float(found.camera[0]), size)

    return trimesh.exchange.gltf.export_glb(scene, include_normals=True, buffer_postprocessor=add_targets)


def _append(buffers: Any, tree: dict[str, Any], key: str, data: NDArray) -> int:
    """Add a VEC3 float accessor of its own to trimesh's glTF tree, which knows no morph targets."""
    data = np.ascontiguousarray(data, "<f4")
    buffers[key] = data.tobytes()
    tree["accessors"][key] = {
        "componentType": _FLOAT32,
        "type": "VEC3",
        "count": len(data),
        "bufferView": len(buffers) - 1,
        "byteOffset": 0,
        "min": data.min(0).tolist(),
        "max": data.max(0).tolist(),
    }
    return len(tree["accessors"]) - 1


def _append_camera(tree: dict[str, Any], focal: float, size: tuple[int, int]) -> None:
    """The camera of a picture, its focal length and size in pixels; glTF has none with another middle."""
    lens = {"yfov": 2 * math.atan(size[1] / (2 * focal)), "aspectRatio": size[0] / size[1], "znear": 0.01}
    tree["cameras"] = [{"name": "HHMR camera", "type": "perspective", "perspective": lens}]
    tree["scenes"][0]["nodes"].append(len(tree["nodes"]))
    tree["nodes"].append({"name": "HHMR camera", "camera": 0})


def write_files(contents: dict[Path, bytes]) -> None:
    """Write every file beside its place first, then rename them all; an OSError leaves none half-written."""
    parts: list[tuple[Path, Path]] = []
    try:
        for path, content in contents.items():
            part = path.with_name(f".{path.name}.{os.getpid()}.part")
            parts.append((part, path))
            part.write_bytes(content)
        for part, path in parts:
            part.replace(path)
    finally:
        for part, _ in parts:
            part.unlink(missing_ok=True)
