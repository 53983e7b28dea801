"""What the servers of FreiHAND and HO3D would read."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from hhmr_engine.evaluation.paper import submissions

RNG = np.random.default_rng(2)
JOINTS = RNG.normal(0, 0.04, (3, 21, 3)) + [0.1, -0.05, 0.6]
VERTICES = RNG.normal(0, 0.04, (3, 778, 3)) + [0.1, -0.05, 0.6]
# HO3D's order, as its visualisation maps it to thumb, index, middle, ring, pinky.
HO3D_TO_OPENPOSE = [0, 13, 14, 15, 16, 1, 2, 3, 17, 4, 5, 6, 18, 10, 11, 12, 19, 7, 8, 9, 20]


def content(path: Path) -> list:
    with zipfile.ZipFile(path) as file:
        assert file.namelist() == ["pred.json"]
        return json.loads(file.read("pred.json"))


def test_freihands_file_holds_the_hands_as_they_are(tmp_path: Path) -> None:
    faults = submissions.write_submission(tmp_path / "pred.zip", "freihand", JOINTS, VERTICES)
    joints, vertices = content(tmp_path / "pred.zip")
    assert np.allclose(joints, JOINTS, atol=1e-6) and np.allclose(vertices, VERTICES, atol=1e-6)
    assert faults == ["FreiHAND wants 3960 hands, not 3."]
    assert [path.name for path in tmp_path.iterdir()] == ["pred.zip"]


def test_ho3ds_file_has_its_joint_order_and_opengls_axes(tmp_path: Path) -> None:
    submissions.write_submission(tmp_path / "pred.zip", "ho3d", JOINTS, VERTICES)
    joints, vertices = (np.array(part) for part in content(tmp_path / "pred.zip"))
    assert (joints[..., 2] < 0).all() and (vertices[..., 2] < 0).all()
    back = joints[:, HO3D_TO_OPENPOSE] * [1, -1, -1]
    assert np.allclose(back, JOINTS, atol=1e-6)
    assert np.allclose(vertices * [1, -1, -1], VERTICES, atol=1e-6)


@pytest.mark.parametrize("dataset", submissions.SERVERS)
def test_what_is_written_is_read_back(dataset: str, tmp_path: Path) -> None:
    submissions.write_submission(tmp_path / "pred.zip", dataset, JOINTS, VERTICES)
    joints, vertices = submissions.read_submission(tmp_path / "pred.zip", dataset)
    assert np.allclose(joints, JOINTS, atol=1e-6) and np.allclose(vertices, VERTICES, atol=1e-6)


def test_what_a_server_would_mind_is_said() -> None:
    def faults(joints: np.ndarray, vertices: np.ndarray) -> str:
        return " ".join(submissions.check_submission(joints, vertices, "freihand")[1:])

    assert faults(JOINTS, VERTICES) == ""
    assert "behind the camera" in faults(-JOINTS, -VERTICES)
    assert "over 10 m away" in faults(1000 * JOINTS, 1000 * VERTICES)
    assert "lie off their meshes" in faults(JOINTS + [1, 0, 0], VERTICES)
    assert "not numbers" in faults(np.where(JOINTS > 0.6, np.nan, JOINTS), VERTICES)


def test_hands_without_778_vertices_are_refused_and_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="takes hands of 778 vertices, not of 100: use MANO's template"):
        submissions.write_submission(tmp_path / "pred.zip", "freihand", JOINTS, VERTICES[:, :100])
    with pytest.raises(ValueError, match="not numbers: look at the predictions"):
        nothing = np.full_like(JOINTS, np.nan)
        submissions.write_submission(tmp_path / "pred.zip", "freihand", nothing, VERTICES)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (None, "no zip with a pred.json"),
        ("[1", "no zip with a pred.json"),
        ("[[], [], []]", r"does not hold \[joints, vertices\]"),
        ("[[[[1, 2, 3]]], [[[1, 2, 3]]]]", "holds 1x1x3 and 1x1x3 numbers"),
        ("[[[[1, 2, 3]], []], []]", "hands of different sizes"),
    ],
)
def test_a_file_that_is_none_gets_a_sentence(text: str | None, part: str, tmp_path: Path) -> None:
    path = tmp_path / "pred.zip"
    path.write_bytes(b"no zip")
    if text is not None:
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("pred.json", text)
    with pytest.raises(ValueError, match=part):
        submissions.read_submission(path, "freihand")
