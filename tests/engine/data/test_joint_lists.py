"""Lists of 21, 25 and 26 joints in four kinds of files give back the same 21; bad ones get one sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hhmr_engine.data.joint_lists import read_lists
from hhmr_engine.data.sampler import sample_angles
from hhmr_engine.data.sources import PoseSet, load_sources
from hhmr_engine.hand.kinematics import pose_skeleton
from hhmr_engine.hand.template import load_template

COUNT = 5


@pytest.fixture(scope="module")
def joints() -> np.ndarray:
    """[COUNT,21,3] of right hands, metres; one joint is unknown."""
    template = load_template()
    angles = sample_angles(COUNT, np.random.default_rng(3), template).astype(np.float64)
    found = pose_skeleton(template, angles).joints + np.random.default_rng(0).normal(0, 0.3, (COUNT, 1, 3))
    found[2, 8] = np.nan
    return found


def _with_metacarpals(joints: np.ndarray) -> np.ndarray:
    """[N,25,3] in WebXR's order: before every finger's knuckle the head of its metacarpal."""
    heads = 0.7 * joints[:, :1] + 0.3 * joints[:, [5, 9, 13, 17]]
    parts = [joints[:, :5]]
    for i, first in enumerate((5, 9, 13, 17)):
        parts += [heads[:, i : i + 1], joints[:, first : first + 4]]
    return np.concatenate(parts, 1)


def _with_palm(joints: np.ndarray, first: bool) -> np.ndarray:
    """[N,26,3]: OpenXR's order has the palm first, other programs the wrist."""
    many = _with_metacarpals(joints)
    palm = 0.5 * (many[:, :1] + joints[:, 9:10])
    head = [palm, many[:, :1]] if first else [many[:, :1], palm]
    return np.concatenate([*head, many[:, 1:]], 1)


LISTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "21": lambda joints: joints,
    "25": _with_metacarpals,
    "26 palm first": lambda joints: _with_palm(joints, True),
    "26 wrist first": lambda joints: _with_palm(joints, False),
}


def _write(path: Path, joints: np.ndarray) -> None:
    nested = np.where(np.isnan(joints), None, joints).tolist()
    match path.name:
        case "x.npz":
            np.savez(path, joints=joints)
        case "other name.npz":
            np.savez(path, hand_mm=joints, times=np.arange(len(joints)))
        case "x.npy":
            np.save(path, joints.astype(np.float32))
        case "flat.npy":
            np.save(path, joints.reshape(len(joints), -1))
        case "x.json":
            path.write_text(json.dumps({"joints": nested}), encoding="utf-8")
        case "bare.json":
            whole = [[None if joint[0] is None else joint for joint in frame] for frame in nested]
            path.write_text(json.dumps(whole), encoding="utf-8")
        case _:
            comma = ";" if path.name == "semicolons.csv" else "\t" if path.suffix == ".tsv" else ","
            rows = [
                ["" if cell is None else str(cell) for joint in frame for cell in joint] for frame in nested
            ]
            if path.name == "header.csv":
                named = ["frame", *[f"j{i}_{axis}" for i in range(joints.shape[1]) for axis in "xyz"], "side"]
                rows = [named] + [[str(i), *row, "left"] for i, row in enumerate(rows)]
            path.write_text("\n".join(comma.join(row) for row in rows), encoding="utf-8")


FILES = ("x.npz", "other name.npz", "x.npy", "flat.npy", "x.json", "bare.json")
TABLES = ("x.csv", "header.csv", "semicolons.csv", "x.tsv")


@pytest.mark.parametrize("name", [*FILES, *TABLES])
@pytest.mark.parametrize("kind", LISTS)
def test_every_list_in_every_file_gives_the_same_joints(
    kind: str, name: str, joints: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / name
    _write(path, LISTS[kind](joints))
    (recording,), unit = read_lists(path)
    np.testing.assert_allclose(recording.joints, joints, atol=1e-6)
    assert unit is None and recording.frame.tolist() == [*range(COUNT)]
    assert recording.side == ("left" if name == "header.csv" else "")


def test_one_frame_is_a_list_too(joints: np.ndarray, tmp_path: Path) -> None:
    for name in ("x.npy", "x.json"):
        _write(tmp_path / name, joints[0])
        (recording,), _ = read_lists(tmp_path / name)
        np.testing.assert_allclose(recording.joints, joints[:1], atol=1e-6)


def test_what_a_file_says_of_its_frames(joints: np.ndarray, tmp_path: Path) -> None:
    """Both hands of a moment follow each other and share its number; words are kept with their frames."""
    side = np.array(["L", "r", "Left", "RIGHT", "left"])
    names = np.array(["a", "a", "b", "b", "c"])
    np.savez(tmp_path / "x.npz", joints=joints, side=side, names=names, group=names, fps=60.0, unit="mm")
    (left, right), unit = read_lists(tmp_path / "x.npz")
    assert (left.side, right.side) == ("left", "right") and unit == 0.001 and left.rate == 60.0
    assert left.frame.tolist() == [0, 1, 2] and right.frame.tolist() == [0, 1]
    assert left.names is not None and left.names.tolist() == ["a", "b", "c"]
    assert right.group is not None and right.group.tolist() == ["a", "b"]
    np.testing.assert_array_equal(right.joints[1], joints[3])
    value = {"joints": joints[:2].tolist(), "side": "right", "fps": 30, "unit": "cm", "names": ["x", "y"]}
    (tmp_path / "x.json").write_text(json.dumps(value), encoding="utf-8")
    (recording,), unit = read_lists(tmp_path / "x.json")
    assert recording.side == "right" and unit == 0.01 and recording.rate == 30


def test_recordings_exported_as_lists_are_the_same_joints(data_root: Path, tmp_path: Path) -> None:
    """25 joints of WebXR, 26 of a Godot hand: what sources.py reads of them."""
    sets: dict[str, PoseSet] = {pose_set.name: pose_set for pose_set in load_sources(data_root)}
    with np.load(data_root / "poses/handyjs/handyjs.npz") as data:
        np.savez(tmp_path / "handyjs.npz", joints=0.001 * data["joints25_mm"], side=data["side"])
    with np.load(data_root / "poses/godot_xr_hands/godot_xr_hand_poses.npz") as data:
        np.savez(tmp_path / "godot.npz", joints=data["joints_m"], side=data["side"])
        palm_first = data["joints_m"][:, [1, 0, *range(2, 26)]]
        np.savez(tmp_path / "palm.npz", joints=palm_first, side=data["side"])
    for file, name in (("handyjs", "handyjs"), ("godot", "godot"), ("palm", "godot")):
        left, right = read_lists(tmp_path / f"{file}.npz")[0]
        found = np.concatenate([left.joints * [-1, 1, 1], right.joints])
        with np.load(tmp_path / f"{file}.npz") as data:
            rows = np.char.lower(data["side"].astype("U1")) == "l"
        expected = np.concatenate([sets[name].joints[rows], sets[name].joints[~rows]])
        np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("x.json", b"{", "is not json"),
        ("x.json", b"[" * 100000, "x.json"),
        ("x.json", b"\xff\xfe{}", "is not json"),
        ("x.json", b'{"points": []}', "must be a list, or have a list 'joints'"),
        ("x.json", b'{"joints": [[["a", 1, 2]]]}', "must be a list"),
        ("x.json", b"[[1, 2, 3], [1, 2, 3]]", "holds 1 x 2 x 3 numbers"),
        ("x.json", b"[]", "must be a list"),
        ("x.npz", b"PK\x03\x04 and no more", "is not a readable npz"),
        ("x.npy", b"\x93NUMPY\x01\x00v\x00{'descr'", "is not a readable npy"),
        ("x.npy", b"cos\nsystem\n(S'touch canary'\ntR.", "is not a readable npy"),
        ("x.csv", b"", "is empty"),
        ("x.csv", b"1,2,3\n4,5,6\n", "holds 2 x 3 numbers"),
        ("x.csv", b"a,b\n1,2,3\n", "as many cells as its header"),
        ("x.csv", b"1,2,3\n4,5\n", "as many numbers as the first"),
        ("x.csv", b"1,2,3\n4,x,6\n", "Frame 2 of"),
        ("x.csv", b"\0" * 50, "x.csv"),
    ],
)
def test_damaged_files_get_one_sentence(name: str, content: bytes, part: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=name) as caught:
        read_lists(tmp_path / name)
    assert part in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arrays", "part"),
    [
        ({"joints": np.zeros((3, 22, 3))}, "holds 3 x 22 x 3 numbers"),
        ({"joints": np.zeros((0, 21, 3))}, "holds 0 x 21 x 3 numbers"),
        ({"joints": np.full((3, 21, 3), "x")}, "must be numbers"),
        ({"a": np.zeros((3, 21, 3)), "b": np.zeros((3, 21, 3))}, "has no 'joints' (it holds a, b)"),
        ({"joints": np.zeros((3, 21, 3)), "side": np.array(["l", "r"])}, "one word, or 3 words"),
        ({"joints": np.zeros((3, 21, 3)), "unit": np.array("mile")}, "'unit' in"),
        ({"joints": np.zeros((3, 21, 3)), "fps": np.array([1.0, 2.0])}, "'fps' in"),
        ({"joints": np.zeros((3, 21, 3)), "fps": np.array(-3.0)}, "'fps' in"),
        ({"joints": np.array([None, {}], object)}, "is not a readable npz"),
    ],
)
def test_wrong_arrays_get_one_sentence(arrays: dict[str, np.ndarray], part: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(ValueError, match="x.npz") as caught:
        read_lists(tmp_path / "x.npz")
    assert part in str(caught.value) and "\n" not in str(caught.value)
