"""Somebody else's joints: what is read, what is mirrored, and one sentence for everything else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hhmr_engine.evaluation.tables.user_poses import read_user_poses
from hhmr_engine.faults import InputError
from hhmr_engine.hand.template import load_template


@pytest.fixture(scope="module")
def joints() -> np.ndarray:
    return np.repeat(load_template().joints[None].astype(np.float64), 3, 0)


def saved(folder: Path, **arrays: np.ndarray) -> Path:
    path = folder / "poses.npz"
    np.savez(path, **arrays)
    return path


def test_left_hands_are_mirrored_and_half_known_joints_unknown(tmp_path: Path, joints: np.ndarray) -> None:
    told = joints.copy()
    told[1] *= [-1, 1, 1]
    told[2, 8, 1] = np.nan
    read = read_user_poses(saved(tmp_path, joints=told, side=np.array(["right", "Left", "right"])))
    assert read.file == "poses.npz" and np.allclose(read.joints[:2], joints[:2], atol=1e-6)
    assert np.isnan(read.joints[2, 8]).all() and np.isfinite(read.joints[2, 9]).all()


def test_hands_of_which_too_little_is_known_are_left_out(tmp_path: Path, joints: np.ndarray) -> None:
    told = joints.copy()
    told[0, 5:] = np.nan
    told[1, [0, 5, 9]] = np.nan
    assert len(read_user_poses(saved(tmp_path, joints=told)).joints) == 1


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"hands": np.zeros(3)}, "has no 'joints' .it holds hands"),
        ({"joints": np.zeros((21, 3))}, "must be N x 21 x 3 numbers, and is 21 x 3"),
        ({"joints": np.full((1, 21, 3), "x")}, "N x 21 x 3 numbers"),
        ({"joints": np.zeros((0, 21, 3))}, "N x 21 x 3 numbers"),
        ({"joints": np.full((2, 21, 3), np.inf)}, "infinite"),
        ({"joints": np.full((2, 21, 3), np.nan)}, "No hand in .* has 8 known joints"),
        ({"joints": np.random.default_rng(0).normal(0, 90, (2, 21, 3))}, "in metres"),
        ({"joints": np.zeros((2, 21, 3)), "side": np.array(["both", "left"])}, "'side' .* 2 times"),
    ],
)
def test_bad_files_get_one_sentence(tmp_path: Path, arrays: dict, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence) as told:
        read_user_poses(saved(tmp_path, **arrays))
    assert "\n" not in str(told.value)


def test_what_is_no_npz_gets_one_sentence(tmp_path: Path) -> None:
    for content in (b"", b"joints", b"PK\x03\x04broken"):
        (tmp_path / "x.npz").write_bytes(content)
        with pytest.raises(InputError, match="not a readable npz"):
            read_user_poses(tmp_path / "x.npz")
    with pytest.raises(InputError, match="no file"):
        read_user_poses(tmp_path / "none.npz")
    np.save(tmp_path / "bare.npy", np.zeros((2, 21, 3)))
    with pytest.raises(InputError, match="a bare array"):
        read_user_poses(tmp_path / "bare.npy")
