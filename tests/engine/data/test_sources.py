"""Recordings are right hands in metres, and frames that belong together share a group."""

from pathlib import Path

import numpy as np
import pytest

from hhmr_engine.data.adroit import adroit_joints
from hhmr_engine.data.sources import BLOCK_FRAMES, GAP, GAP_FRAMES, PoseSet, load_sources

COUNTS = {
    "handyjs": 110, "godot": 70, "leap_confidence2": 303, "leap_finger_tap": 89, "dex": 621, "glove": 1629,
}  # fmt: skip


@pytest.fixture(scope="module")
def sets(data_root: Path) -> dict[str, PoseSet]:
    return {pose_set.name: pose_set for pose_set in load_sources(data_root)}


def test_every_source_is_there(sets: dict[str, PoseSet]) -> None:
    assert {name: len(pose_set) for name, pose_set in sets.items()} == COUNTS
    for pose_set in sets.values():
        assert pose_set.joints.shape == (len(pose_set), 21, 3)
        assert len(pose_set.group) == len(pose_set.names) == len(pose_set)


def test_fingers_curl_to_the_palm_of_a_right_hand(sets: dict[str, PoseSet]) -> None:
    """(pinky to index) x (wrist to middle) leaves a right hand's palm, where fingers bend to."""
    for pose_set in sets.values():
        joints = pose_set.joints
        wrist = np.where(np.isnan(joints[:, 0]), joints[:, 1], joints[:, 0])
        palm = np.cross(joints[:, 5] - joints[:, 17], joints[:, 9] - wrist)
        palm /= np.linalg.norm(palm, axis=1, keepdims=True)
        curl = np.einsum("nc,nfc->nf", palm, joints[:, [8, 12, 16, 20]] - joints[:, [5, 9, 13, 17]])
        assert (curl.mean(1) > 0).mean() > 0.9, pose_set.name
        assert np.median(curl) > 0.01, pose_set.name


def test_joints_are_metres(sets: dict[str, PoseSet]) -> None:
    for pose_set in sets.values():
        palm = np.linalg.norm(pose_set.joints[:, 5] - pose_set.joints[:, 17], axis=-1)
        assert 0.03 < np.median(palm) < 0.1, pose_set.name


def test_only_the_first_leap_film_lacks_the_wrist(sets: dict[str, PoseSet]) -> None:
    for name, pose_set in sets.items():
        unknown = np.isnan(pose_set.joints).any((0, 2)).nonzero()[0].tolist()
        assert unknown == ([0] if name == "leap_confidence2" else []), name


def test_both_hands_and_all_aliases_of_a_gesture_share_a_group(sets: dict[str, PoseSet]) -> None:
    handy = sets["handyjs"]
    group = {str(name): str(group) for name, group in zip(handy.names, handy.group, strict=True)}
    assert group["asl v"] == group["asl v/peace/✌️"] == group["asl 2/peace/✌️"]
    assert group["asl z"] == group["asl 1/point"]
    assert group["asl 6"] == group["asl w"]
    assert group["asl a"] != group["asl b"]
    assert len(set(sets["godot"].group)) == 35


def test_blocks_of_a_film_are_parted_by_gaps(sets: dict[str, PoseSet]) -> None:
    group = sets["dex"].group
    assert set(group[:BLOCK_FRAMES]) == {"block 0", GAP}
    assert (group[BLOCK_FRAMES - GAP_FRAMES : BLOCK_FRAMES] == GAP).all()
    assert group[BLOCK_FRAMES] == "block 1"


def test_glove_frames_differ_from_the_one_before(sets: dict[str, PoseSet]) -> None:
    glove = sets["glove"]
    same = glove.group[1:] == glove.group[:-1]
    moved = np.linalg.norm(np.diff(glove.joints, axis=0), axis=-1).mean(1)
    assert moved[same].min() >= 0.003


def test_adroit_flexion_closes_the_finger() -> None:
    straight, bent = np.zeros((1, 24)), np.zeros((1, 24))
    bent[0, 3] = np.pi / 2  # FFJ2, the index's knuckle
    tip = adroit_joints(bent)[0, 8] - adroit_joints(straight)[0, 5]
    np.testing.assert_allclose(tip, [0.0, -0.096, 0.0], atol=1e-9)


def test_a_missing_recording_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"handyjs.npz is missing: point HHMR_DATA"):
        load_sources(tmp_path)


def test_adroit_angles_of_the_wrong_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="expected"):
        adroit_joints(np.zeros((3, 22)))
