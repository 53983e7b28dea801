"""Files that users give: good ones become arrays, bad ones a sentence that says what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hhmr_engine.inputs import InputError, output_paths, read_joints, read_mesh, read_skeleton2d

JOINTS = np.arange(63.0).reshape(21, 3) / 100


def as_json(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value))
    return path


def as_npz(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def test_joints_from_json_and_npz_are_the_same(tmp_path: Path) -> None:
    rows: list[Any] = JOINTS.tolist()
    rows[3], rows[4] = None, [None, None, None]
    known = JOINTS.copy()
    known[3:5] = np.nan
    for path in (
        as_json(tmp_path / "a.json", {"joints": rows, "note": "kept"}),
        as_json(tmp_path / "b.json", rows),
        as_npz(tmp_path / "c.npz", joints=known),
        as_npz(tmp_path / "d.npz", joints=known.astype(np.float32), more=1),
    ):
        joints = read_joints(path)
        assert joints.dtype == np.float32
        assert np.array_equal(joints, known.astype(np.float32), equal_nan=True)


def test_frames_of_joints_with_null_for_joints_and_for_frames(tmp_path: Path) -> None:
    rows: list[Any] = [JOINTS.tolist(), None, JOINTS.tolist()]
    rows[2][5] = None
    known = np.stack([JOINTS] * 3)
    known[1] = known[2, 5] = np.nan
    for path in (as_json(tmp_path / "a.json", {"joints": rows}), as_npz(tmp_path / "b.npz", joints=known)):
        assert np.array_equal(read_joints(path), known.astype(np.float32), equal_nan=True)


def test_json_nan_is_unknown_as_well(tmp_path: Path) -> None:
    rows = JOINTS.tolist()
    rows[7] = [float("nan")] * 3
    assert np.isnan(read_joints(as_json(tmp_path / "a.json", rows))[7]).all()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "not json"),
        ("joints: 1", "not json"),
        ("\0\1\2", "not json"),
        ("[" * 100000, "nested too deeply"),
        ("{}", "has no 'joints'"),
        ('{"hand": []}', "it holds hand"),
        ("3", "is a single value"),
        ("[]", "21 joints"),
        ("null", "single value"),
        ('"joints"', "21 lists of 3 numbers"),
        ('{"joints": [[1, 2], [3]]}', "21 lists of 3 numbers"),
        ('{"joints": {"wrist": [0, 0, 0]}}', "21 lists of 3 numbers"),
        ('{"joints": "far away"}', "21 lists of 3 numbers"),
        (json.dumps(JOINTS[:20].tolist()), "20 x 3"),
        (json.dumps(JOINTS[:, :2].tolist()), "21 x 2"),
        (json.dumps([None] * 21), "No joint"),
        (json.dumps([[1, None, 2]] + [[0, 0, 0]] * 20), "Joint 0 (wrist)"),
        (json.dumps([[1e999, 0, 0]] * 21), "infinite"),
        (json.dumps([[1e300, 0, 0]] * 21), "infinite"),
        (json.dumps([[10**400, 0, 0]] * 21), "21 lists of 3 numbers"),
    ],
)
def test_bad_json_gets_a_sentence(tmp_path: Path, content: str, says: str) -> None:
    path = tmp_path / "joints.json"
    path.write_text(content)
    with pytest.raises(InputError) as caught:
        read_joints(path)
    assert says in str(caught.value) and path.name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bad_npz_gets_a_sentence(tmp_path: Path) -> None:
    cases = {
        "text.npz": (b"not a zip", "not a readable npz"),
        "empty.npz": (b"", "not a readable npz"),
    }
    for name, (content, says) in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=says):
            read_joints(tmp_path / name)
    good = as_npz(tmp_path / "good.npz", joints=JOINTS)
    (tmp_path / "cut.npz").write_bytes(good.read_bytes()[:-200])
    with pytest.raises(InputError, match="not a readable npz"):
        read_joints(tmp_path / "cut.npz")
    broken = bytearray(good.read_bytes())
    broken[200:260] = b"\xff" * 60
    (tmp_path / "broken.npz").write_bytes(broken)
    with pytest.raises(InputError, match="not a readable npz"):
        read_joints(tmp_path / "broken.npz")
    np.savez(tmp_path / "objects.npz", joints=np.array([{"a": 1}], object))
    with pytest.raises(InputError, match="plain numbers"):
        read_joints(tmp_path / "objects.npz")
    np.save(tmp_path / "bare.npy", JOINTS)
    (tmp_path / "bare.npy").rename(tmp_path / "bare.npz")
    with pytest.raises(InputError, match="bare array"):
        read_joints(tmp_path / "bare.npz")
    np.savez_compressed(tmp_path / "packed.npz", joints=np.random.default_rng(0).normal(size=(21, 3)))
    broken = bytearray((tmp_path / "packed.npz").read_bytes())
    broken[150:300] = b"\xff" * 150
    (tmp_path / "packed.npz").write_bytes(broken)
    with pytest.raises(InputError, match="not a readable npz"):
        read_joints(tmp_path / "packed.npz")
    with pytest.raises(InputError, match="must hold numbers"):
        read_joints(as_npz(tmp_path / "words.npz", joints=np.full((21, 3), "x")))
    with pytest.raises(InputError, match="it holds points"):
        read_joints(as_npz(tmp_path / "other.npz", points=JOINTS))


def test_missing_files_and_folders_get_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no file"):
        read_joints(tmp_path / "nothing.json")
    with pytest.raises(InputError, match="cannot be read"):
        read_joints(tmp_path)


def test_mesh_with_missing_vertices_and_two_kinds_of_keep(tmp_path: Path) -> None:
    vertices = np.random.default_rng(0).normal(size=(40, 3))
    vertices[5, 1] = np.nan  # a vertex that is missing in part is missing
    mesh = as_npz(tmp_path / "mesh.npz", vertices=vertices)
    assert np.isnan(read_mesh(mesh)).all(1).nonzero()[0].tolist() == [5]
    mask = np.arange(40) < 10
    for keep in (mask, np.flatnonzero(mask), np.flatnonzero(mask).astype(np.uint8)):
        kept = read_mesh(mesh, as_npz(tmp_path / "keep.npz", keep=keep))
        known = np.isfinite(kept).all(1)
        assert np.flatnonzero(known).tolist() == [0, 1, 2, 3, 4, 6, 7, 8, 9]
        assert np.array_equal(kept[known], vertices[known].astype(np.float32))


@pytest.mark.parametrize(
    ("keep", "says"),
    [
        (np.array([3, 40]), "names vertex 40"),
        (np.array([-1]), "names vertex -1"),
        (np.ones(39, bool), "40 times true or false"),
        (np.ones((40, 3), bool), "40 times true or false"),
        (np.ones(40), "40 times true or false"),
        (np.array("all"), "40 times true or false"),
        (np.zeros(40, bool), "no vertex in common"),
        (np.zeros(0, int), "no vertex in common"),
    ],
)
def test_bad_keep_gets_a_sentence(tmp_path: Path, keep: np.ndarray, says: str) -> None:
    mesh = as_npz(tmp_path / "mesh.npz", vertices=np.ones((40, 3)))
    with pytest.raises(InputError, match=says):
        read_mesh(mesh, as_npz(tmp_path / "keep.npz", keep=keep))


def test_bad_mesh_gets_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must be an npz"):
        read_mesh(as_json(tmp_path / "mesh.json", {}))
    with pytest.raises(InputError, match=r"must be \[V, 3\]"):
        read_mesh(as_npz(tmp_path / "a.npz", vertices=np.ones((2, 40, 3))))
    with pytest.raises(InputError, match="No vertex"):
        read_mesh(as_npz(tmp_path / "b.npz", vertices=np.full((40, 3), np.nan)))
    with pytest.raises(InputError, match="must hold numbers"):
        read_mesh(as_npz(tmp_path / "c.npz", vertices=np.ones((40, 3), complex)))


def test_output_names(tmp_path: Path) -> None:
    for out in ("hands", "hands.npz", "hands.PNG"):
        paths = output_paths(str(tmp_path / out))
        assert [p.name for p in paths.values()] == ["hands.npz", "hands.glb", "hands.png"]
    assert output_paths(str(tmp_path / "v1.2"))[".glb"].name == "v1.2.glb"
    assert list(tmp_path.iterdir()) == []


def test_places_that_cannot_be_written_to_get_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "taken.glb").mkdir()
    for out, says in (
        (tmp_path, "is a folder"),
        (f"{tmp_path}/", "is a folder"),
        (tmp_path / "missing" / "hands", "does not exist"),
        (tmp_path / "file" / "hands", "does not exist"),
        (tmp_path / "taken", "is a folder"),
        (tmp_path / ("x" * 300), "Nothing can be written"),
    ):
        with pytest.raises(InputError, match=says):
            output_paths(str(out))
    if Path("/proc/self").is_dir():
        with pytest.raises(InputError, match="Nothing can be written"):
            output_paths("/proc/self/hands")


POINTS = np.stack([np.linspace(100, 300, 21), np.linspace(400, 500, 21)], 1)


def test_a_skeleton_from_json_and_npz_is_the_same(tmp_path: Path) -> None:
    rows: list[Any] = POINTS.tolist()
    rows[3], rows[4] = None, [None, None]
    known = POINTS.copy()
    known[3:5] = np.nan
    confidence = [1.0] * 19 + [0.5, 0.01]
    for path in (
        as_json(
            tmp_path / "a.json",
            {"joints2d": rows, "confidence": confidence, "image_size": [640, 480], "focal": 700},
        ),
        as_npz(
            tmp_path / "b.npz",
            joints2d=known,
            confidence=np.array(confidence),
            image_size=np.array([640, 480]),
            focal=700.0,
        ),
    ):
        skeleton = read_skeleton2d(path)
        assert np.array_equal(skeleton.joints2d, known.astype(np.float32), equal_nan=True)
        assert skeleton.size is not None and skeleton.size.tolist() == [640, 480] and skeleton.focal == 700
        # 1.5 % of 200 pixels, over the confidence, which counts as a tenth at least.
        assert skeleton.sigma2d == pytest.approx(np.array([3.0] * 19 + [6.0, 30.0]))
    for path in (as_json(tmp_path / "c.json", rows), as_npz(tmp_path / "d.npz", joints2d=known)):
        skeleton = read_skeleton2d(path)
        assert np.array_equal(skeleton.joints2d, known.astype(np.float32), equal_nan=True)
        assert (skeleton.sigma2d, skeleton.size, skeleton.focal) == (None, None, None)


def test_what_has_no_confidence_is_unknown(tmp_path: Path) -> None:
    confidence: list[float | None] = [0.0, None] + [1.0] * 19
    file = {"joints2d": POINTS.tolist(), "confidence": confidence}
    skeleton = read_skeleton2d(as_json(tmp_path / "a.json", file))
    assert np.flatnonzero(np.isnan(skeleton.joints2d).any(1)).tolist() == [0, 1]
    assert skeleton.sigma2d is not None and np.isfinite(skeleton.sigma2d).all()
