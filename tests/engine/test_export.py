"""Result files as those who read them see them: numpy, the glTF specification, trimesh and Blender."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh

from hhmr_engine.engine import Hypotheses
from hhmr_engine.export import glb_bytes, npz_bytes, write_files

SIZES = {"SCALAR": 1, "VEC3": 3}
DTYPES = {5125: np.dtype("<u4"), 5126: np.dtype("<f4")}


def read_glb(content: bytes) -> tuple[dict[str, Any], list[np.ndarray]]:
    """The glTF tree and every accessor's array, checking the container on the way."""
    magic, version, length = struct.unpack_from("<4sII", content)
    assert (magic, version, length) == (b"glTF", 2, len(content))
    json_length, json_kind = struct.unpack_from("<I4s", content, 12)
    assert json_kind == b"JSON"
    tree = json.loads(content[20 : 20 + json_length])
    binary_length, binary_kind = struct.unpack_from("<I4s", content, 20 + json_length)
    assert binary_kind == b"BIN\0"
    binary = content[28 + json_length :]
    assert len(binary) == binary_length >= tree["buffers"][0]["byteLength"]
    arrays = []
    for accessor in tree["accessors"]:
        view = tree["bufferViews"][accessor["bufferView"]]
        start = view["byteOffset"] + accessor.get("byteOffset", 0)
        dtype, size = DTYPES[accessor["componentType"]], SIZES[accessor["type"]]
        assert start % dtype.itemsize == 0
        assert accessor["count"] * size * dtype.itemsize <= view["byteLength"]
        array = np.frombuffer(binary, dtype, accessor["count"] * size, start).reshape(-1, size)
        assert np.allclose(array.min(0), accessor["min"]) and np.allclose(array.max(0), accessor["max"])
        arrays.append(array)
    return tree, arrays


def test_npz_holds_everything_as_promised(eight_hands: Hypotheses) -> None:
    with np.load(io.BytesIO(npz_bytes(eight_hands)), allow_pickle=False) as data:
        shapes = {name: data[name].shape for name in data.files}
        for name in ("vertices", "joints", "residual", "self_intersection", "score"):
            assert data[name].dtype == np.float32
            assert np.array_equal(data[name], getattr(eight_hands, name))
        assert data["faces"].dtype == np.int32
        assert int(data["seed"]) == 1 and str(data["side"]) == "right"
    count = eight_hands.vertices.shape[1]
    assert shapes["vertices"] == (8, count, 3) and shapes["joints"] == (8, 21, 3)
    assert shapes["score"] == shapes["residual"] == shapes["self_intersection"] == shapes["draw"] == (8,)
    assert "rotations" not in shapes


def test_npz_holds_rotations_after_a_fit(eight_hands: Hypotheses) -> None:
    turned = replace(eight_hands, rotations=np.tile(np.eye(3, dtype=np.float32), (8, 20, 1, 1)))
    with np.load(io.BytesIO(npz_bytes(turned))) as data:
        assert data["rotations"].shape == (8, 20, 3, 3)


@pytest.mark.parametrize("hands", ["eight_hands", "left_hands"])
def test_every_morph_target_is_its_hypothesis(hands: str, request: pytest.FixtureRequest) -> None:
    found: Hypotheses = request.getfixturevalue(hands)
    tree, arrays = read_glb(glb_bytes(found))
    (mesh,) = tree["meshes"]
    (primitive,) = mesh["primitives"]
    base = arrays[primitive["attributes"]["POSITION"]]
    normals = arrays[primitive["attributes"]["NORMAL"]]
    assert np.array_equal(base, found.vertices[0])
    assert np.array_equal(arrays[primitive["indices"]].reshape(-1, 3), found.faces)
    assert mesh["extras"]["targetNames"] == [f"Hypothesis {k + 1}" for k in range(len(found.vertices))]
    assert mesh["weights"] == [0.0] * len(found.vertices)
    for vertices, target in zip(found.vertices, primitive["targets"], strict=True):
        assert np.abs(base + arrays[target["POSITION"]] - vertices).max() < 1e-7
        moved = normals + arrays[target["NORMAL"]]
        assert np.allclose(np.linalg.norm(moved, axis=1), 1.0, atol=1e-5)
        truth = trimesh.Trimesh(vertices, found.faces, process=False).vertex_normals
        # trimesh weighs faces by angle, we by area: near enough to find a flipped or shuffled one.
        assert (moved * truth).sum(1).mean() > 0.98


def test_trimesh_reads_the_same_vertices_in_the_same_order(eight_hands: Hypotheses) -> None:
    mesh = trimesh.load(io.BytesIO(glb_bytes(eight_hands)), file_type="glb", process=False).to_geometry()
    assert np.allclose(mesh.vertices, eight_hands.vertices[0])
    assert np.array_equal(mesh.faces, eight_hands.faces)


def test_a_single_hypothesis_is_a_file_too(eight_hands: Hypotheses) -> None:
    names = ("vertices", "joints", "residual", "self_intersection", "score", "draw")
    one = replace(eight_hands, **{name: getattr(eight_hands, name)[:1] for name in names})
    tree, _ = read_glb(glb_bytes(one))
    assert len(tree["meshes"][0]["primitives"][0]["targets"]) == 1


IN_BLENDER = """
import sys, bpy, numpy
bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.ops.import_scene.gltf(filepath=sys.argv[1])
(mesh,) = bpy.data.meshes
keys = mesh.shape_keys.key_blocks
points = []
for key in keys:
    flat = numpy.empty(3 * len(mesh.vertices), numpy.float32)
    key.data.foreach_get("co", flat)
    points.append(flat.reshape(-1, 3))
smooth = numpy.empty(len(mesh.polygons), bool)
mesh.polygons.foreach_get("use_smooth", smooth)
numpy.savez(sys.argv[2], names=[key.name for key in keys], points=points, smooth=smooth,
            values=[key.value for key in keys], object=bpy.data.objects[0].name)
"""


@pytest.mark.skipif(importlib.util.find_spec("bpy") is None, reason="needs bpy")
def test_blender_imports_the_hypotheses_as_shape_keys(eight_hands: Hypotheses, tmp_path: Path) -> None:
    file, answer = tmp_path / "hands.glb", tmp_path / "seen.npz"
    file.write_bytes(glb_bytes(eight_hands))
    done = subprocess.run(
        [sys.executable, "-c", IN_BLENDER, str(file), str(answer)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    with np.load(answer) as seen:
        assert seen["names"].tolist() == ["Basis", *(f"Hypothesis {k + 1}" for k in range(8))]
        assert str(seen["object"]) == "HHMR hand right"
        assert seen["smooth"].all()
        # Blender turns glTF's Y up into its own Z up: (x, y, z) -> (x, -z, y).
        expected = np.concatenate([eight_hands.vertices[:1], eight_hands.vertices])[..., [0, 2, 1]]
        assert np.abs(seen["points"] - expected * [1, -1, 1]).max() < 1e-6
        assert (seen["values"][1:] == 0).all()


def test_files_are_replaced_whole_and_nothing_else_is_left(tmp_path: Path) -> None:
    first, second = tmp_path / "a.npz", tmp_path / "a.glb"
    first.write_bytes(b"old")
    write_files({first: b"new", second: b"more"})
    assert first.read_bytes() == b"new" and second.read_bytes() == b"more"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.glb", "a.npz"]


def test_when_one_file_fails_none_is_changed(tmp_path: Path) -> None:
    first = tmp_path / "a.npz"
    first.write_bytes(b"old")
    with pytest.raises(OSError):
        write_files({first: b"new", tmp_path / "missing" / "a.glb": b"more"})
    assert first.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.npz"]


def before_camera(found: Hypotheses, size: tuple[int, int], focal: float) -> Hypotheses:
    """Hands half a metre before a Blender camera, as an answer to a picture."""
    there = np.array([0.05, -0.03, -0.5], np.float32)
    joints = found.joints + there
    middle = np.array(size) / 2
    joints2d = focal * joints[..., :2] / -joints[..., 2:] * [1, -1] + middle
    low, high = joints2d[0].min(0), joints2d[0].max(0)
    return replace(
        found,
        vertices=found.vertices + there,
        joints=joints,
        camera=np.array([focal, *middle], np.float32),
        joints2d=joints2d.astype(np.float32),
        given2d=joints2d[0].astype(np.float32),
        sigma2d=np.full(21, 2, np.float32),
        box=np.array([*low, *(high - low)], np.float32),
        hands=1,
    )


def test_npz_of_a_picture_holds_its_camera(eight_hands: Hypotheses) -> None:
    found = before_camera(eight_hands, (640, 360), 500)
    with np.load(io.BytesIO(npz_bytes(found, (640, 360)))) as data:
        assert data["camera"].tolist() == [500, 320, 180] and data["image_size"].tolist() == [640, 360]
        assert np.array_equal(data["translation"], found.joints[:, 0])
        shapes = {name: data[name].shape for name in ("joints2d", "given2d", "sigma2d", "box")}
    assert shapes == {"joints2d": (8, 21, 2), "given2d": (21, 2), "sigma2d": (21,), "box": (4,)}


CAMERA_IN_BLENDER = """
import sys, bpy, numpy
from bpy_extras.object_utils import world_to_camera_view
bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.ops.import_scene.gltf(filepath=sys.argv[1])
scene = bpy.context.scene
scene.render.resolution_x, scene.render.resolution_y = int(sys.argv[3]), int(sys.argv[4])
camera = bpy.data.objects["HHMR camera"]
hand = bpy.data.objects["HHMR hand right"]
seen = [world_to_camera_view(scene, camera, hand.matrix_world @ v.co)[:] for v in hand.data.vertices]
numpy.savez(sys.argv[2], seen=seen, lens=camera.data.lens / camera.data.sensor_width)
"""


@pytest.mark.skipif(importlib.util.find_spec("bpy") is None, reason="needs bpy")
@pytest.mark.parametrize("size", [(640, 360), (300, 500)])
def test_blender_sees_the_hands_through_the_pictures_own_camera(
    eight_hands: Hypotheses, tmp_path: Path, size: tuple[int, int]
) -> None:
    found = before_camera(eight_hands, size, 450)
    file, answer = tmp_path / "hands.glb", tmp_path / "seen.npz"
    file.write_bytes(glb_bytes(found, size=size))
    done = subprocess.run(
        [sys.executable, "-c", CAMERA_IN_BLENDER, str(file), str(answer), *map(str, size)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    vertices = found.vertices[0]
    expected = 450 * vertices[:, :2] / -vertices[:, 2:] * [1, -1] + np.array(size) / 2
    with np.load(answer) as data:
        # Blender counts from the lower left corner, in parts of the picture.
        seen = np.stack([data["seen"][:, 0], 1 - data["seen"][:, 1]], 1) * size
        assert np.abs(seen - expected).max() < 0.1
        assert np.allclose(data["seen"][:, 2], -vertices[:, 2], atol=1e-5)
