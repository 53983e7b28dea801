"""`hhmr import-poses` and what training and evaluation read of its file: the same joints, split and fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hhmr_engine.cli import main
from hhmr_engine.data import retarget
from hhmr_engine.data.sampler import sample_angles
from hhmr_engine.data.sources import GAP, blocks, load_sources
from hhmr_engine.data.splits import split_groups
from hhmr_engine.data.user_poses import load_user_poses, read_poses
from hhmr_engine.hand.kinematics import pose_skeleton
from hhmr_engine.hand.rotation import rotation_matrix
from hhmr_engine.hand.template import HandTemplate, load_template
from tests.engine.data.written_bvh import ARCH, body_node, hand_node, write_bvh

RESIDUALS = {"handyjs": 1.0, "godot": 0.8}  # as test_retarget.py has them: median mm


@pytest.fixture(scope="module")
def template() -> HandTemplate:
    return load_template()


@pytest.fixture
def hhmr(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path):  # noqa: ANN201
    """Run the command in tmp_path: exit code, lines of stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(retarget, "PRIOR_SAMPLES", 1000)  # a fourth of the time

    def run(*args: object) -> tuple[int, list[str], str]:
        try:
            code = main(["import-poses", *map(str, args)])
        except SystemExit as leave:
            code = int(leave.code or 0)
        captured = capfd.readouterr()
        return code, captured.out.splitlines(), captured.err

    return run


def _recorded(template: HandTemplate, count: int, seed: int = 4) -> np.ndarray:
    """[count,21,3] metres: right hands of one person, anywhere."""
    rng = np.random.default_rng(seed)
    angles = sample_angles(count, rng, template).astype(np.float64)
    lengths, offsets = rng.normal(1.0, 0.05, 20), rng.normal(0.0, 0.04, (20, 3))
    joints = 0.9 * pose_skeleton(template, angles, offsets, lengths).joints
    turn = rotation_matrix(rng.normal(0, 2, (count, 3)))
    return joints @ turn.transpose(0, 2, 1) + rng.normal(0, 0.3, (count, 1, 3))


def test_recordings_imported_from_lists_are_those_of_sources(
    data_root: Path,
    template: HandTemplate,
    hhmr,  # noqa: ANN001
    tmp_path: Path,
) -> None:
    """25 WebXR joints in mm as json's neighbour npz, 26 of Godot in metres: joints, groups' split and fit."""
    sets = {pose_set.name: pose_set for pose_set in load_sources(data_root)}
    with np.load(data_root / "poses/handyjs/handyjs.npz") as data:
        np.savez("webxr.npz", joints=data["joints25_mm"], side=data["side"], names=data["names"])
    with np.load(data_root / "poses/godot_xr_hands/godot_xr_hand_poses.npz") as data:
        np.savez("openxr.npz", joints=data["joints_m"], side=data["side"], names=data["names"])
    for file, name, unit in (("webxr", "handyjs", "mm"), ("openxr", "godot", "m")):
        code, lines, err = hhmr(f"{file}.npz", "--out", f"{name}.npz")
        assert code == 0 and err == "" and len(lines) == 2
        count = len(sets[name])
        assert f"{count} hands (left and right, in {unit} by its size); {count} kept" in lines[0]
        poses = read_poses(tmp_path / f"{name}.npz")
        with np.load(f"{file}.npz") as data:
            left = np.char.lower(data["side"].astype("U1")) == "l"
        order = np.concatenate([np.flatnonzero(left), np.flatnonzero(~left)])
        np.testing.assert_allclose(poses.joints, sets[name].joints[order], atol=1e-6)
        assert poses.names.tolist() == sets[name].names[order].tolist()
        assert float(lines[0].split("residual ")[1].removesuffix(" mm")) <= RESIDUALS[name]
        assert poses.group.tolist() == poses.names.tolist()  # both hands of a gesture share its group


@pytest.mark.parametrize(("side", "unit", "metres"), [("left", "cm", 0.01), ("right", "inch", 0.0254)])
def test_side_and_unit_are_found_from_the_joints(
    side: str,
    unit: str,
    metres: float,
    template: HandTemplate,
    hhmr,  # noqa: ANN001
    tmp_path: Path,
) -> None:
    joints = _recorded(template, 40)
    mirror = [-1, 1, 1] if side == "left" else [1, 1, 1]
    np.save("film.npy", joints * mirror / metres)
    code, lines, err = hhmr("film.npy", "--out", "mine", "--name", "Ada")
    assert code == 0 and err == ""
    assert lines[0].startswith(f"film.npy: 40 hands ({side} by its shape, in {unit} by its size); 40 kept")
    assert "40 poses of the source 'Ada'" in lines[1] and len(lines) == 2
    poses = read_poses(tmp_path / "mine.npz")
    np.testing.assert_allclose(poses.joints, joints, atol=1e-5)
    assert poses.name == "Ada"
    assert poses.group.tolist() == blocks(np.arange(40), "film ").tolist() and (poses.group == GAP).sum() == 5
    with np.load(tmp_path / "mine.npz") as data:
        assert set(data["side"]) == {side} and "by its shape" in str(data["notes"][0])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["film.npy", "mine.npz"]


def test_the_other_side_or_order_is_doubted(
    template: HandTemplate,
    hhmr,  # noqa: ANN001
    tmp_path: Path,
) -> None:
    joints = _recorded(template, 40)
    np.save("film.npy", joints)
    swapped = joints[:, [0, *range(17, 21), *range(13, 17), *range(9, 13), *range(5, 9), *range(1, 5)]]
    np.save("swapped.npy", swapped)
    assert len(hhmr("film.npy", "--out", "mine", "--side", "right")[1]) == 2
    for file, options in (("film.npy", ["--side", "left"]), ("swapped.npy", ["--side", "right"])):
        code, lines, _ = hhmr(file, "--out", "mine", *options)
        assert code == 0 and "hardly fits these joints" in lines[2]


def test_both_hands_of_a_film_share_their_groups(
    template: HandTemplate,
    hhmr,  # noqa: ANN001
    tmp_path: Path,
) -> None:
    angles = sample_angles(100, np.random.default_rng(5), template)
    angles[:, ARCH] = 0.0
    hands = [hand_node(template, angles, "mixamo", side, False) for side in ("left", "right")]
    write_bvh(tmp_path / "clap.bvh", body_node(hands, np.random.default_rng(1)), fps=60)
    code, lines, err = hhmr("clap.bvh", "--out", "mine")
    assert code == 0 and err == "" and len(lines) == 2
    assert lines[0].startswith(
        "clap.bvh: 200 hands (left and right, in cm by its size); 100 dropped beyond 30 a "
    )
    poses = read_poses(tmp_path / "mine.npz")
    expected = blocks(np.arange(50), "clap ")
    assert poses.group.tolist() == [*expected, *expected]
    assert float(lines[0].split("residual ")[1].removesuffix(" mm")) < 0.5


def test_many_films_are_a_group_each_and_bad_ones_are_passed_over(
    template: HandTemplate,
    hhmr,  # noqa: ANN001
    tmp_path: Path,
) -> None:
    joints = _recorded(template, 60)
    for take in range(10):
        np.save(f"take{take}.npy", joints[6 * take : 6 * take + 6])
    (tmp_path / "bad.bvh").write_text("HIERARCHY MOTION", encoding="utf-8")
    files = [f"take{take}.npy" for take in range(10)]
    code, lines, err = hhmr(*files, "bad.bvh", "missing.npy", "notes.pdf", "--out", "mine", "--side", "right")
    assert code == 3 and len(lines) == 11
    assert [line.split(" ")[1] for line in err.splitlines()] == ["The", "missing.npy", "notes.pdf"]
    poses = read_poses(tmp_path / "mine.npz")
    assert len(np.unique(poses.group)) == 10 and "film take3" in poses.group
    split = split_groups("mine", poses.group)
    assert (split == "test").sum() == 12 and (split == GAP).sum() == 0


def test_frames_that_are_no_hand_or_unknown_are_dropped(
    template: HandTemplate,
    hhmr,  # noqa: ANN001
    tmp_path: Path,
) -> None:
    joints = _recorded(template, 40)
    joints[3] = np.random.default_rng(1).normal(0, 0.2, (21, 3))
    joints[7, 2:] = np.nan
    joints[9, 16] = np.nan
    np.save("film.npy", joints)
    code, lines, _ = hhmr("film.npy", "--out", "mine", "--side", "right", "--unit", "m")
    assert code == 0
    assert "1 dropped of which too little is known, 1 dropped that are no hand, 38 kept" in lines[0]
    poses = read_poses(tmp_path / "mine.npz")
    assert poses.names.tolist() == [f"film {i}" for i in range(40) if i not in (3, 7)]
    assert np.isnan(poses.joints[7, 16]).all()  # frame 9


def test_what_a_file_became_is_kept_until_it_changes(
    template: HandTemplate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Joints alone are a file; the cache is a folder, an entry a file."""
    monkeypatch.setattr(retarget, "PRIOR_SAMPLES", 1000)
    joints = _recorded(template, 30).astype(np.float32)
    files = [tmp_path / "a.npz", tmp_path / "b.npz"]
    np.savez(files[0], joints=joints)
    np.savez(files[1], joints=joints[:20], source="other")
    cache = tmp_path / "cache"
    first = load_user_poses(template, files, cache)
    assert [pose.name for pose in first] == ["a", "other"] and len(list(cache.iterdir())) == 2
    again = load_user_poses(template, files, cache)
    np.testing.assert_array_equal(first[0].angles, again[0].angles)
    assert first[0].split.tolist() == split_groups("a", first[0].group).tolist()
    assert np.median(first[0].residual_mm) < 0.8
    assert first[0].group.tolist() == blocks(np.arange(30), "block ").tolist()
    np.savez(files[0], joints=joints, group=np.arange(30).astype(str))
    assert (load_user_poses(template, files[:1], cache)[0].split == "test").sum() == 6
    assert len(list(cache.iterdir())) == 3
    with pytest.raises(ValueError, match="is a source named a as another file is"):
        load_user_poses(template, [files[0], files[0]], cache)


@pytest.mark.parametrize(
    ("arrays", "part"),
    [
        ({"hands": np.zeros((3, 21, 3))}, "and is none"),
        ({"joints": np.zeros((3, 25, 3))}, "is 3 x 25 x 3 of float64"),
        ({"joints": np.zeros((3, 21, 3), int)}, "of int64"),
        ({"joints": np.full((3, 21, 3), np.nan)}, "No frame in"),
        ({"joints": np.zeros((0, 21, 3))}, "No frame in"),
        ({"joints": np.zeros((3, 21, 3)), "group": np.array(["a"])}, "'group' in"),
        ({"joints": np.zeros((3, 21, 3)), "names": np.arange(3)}, "'names' in"),
        ({"joints": np.array([None], object)}, "cannot be read"),
    ],
)
def test_files_that_are_no_poses_get_one_sentence(
    arrays: dict[str, np.ndarray], part: str, template: HandTemplate, tmp_path: Path
) -> None:
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(ValueError, match="x.npz") as caught:
        load_user_poses(template, [tmp_path / "x.npz"])
    assert part in str(caught.value) and "\n" not in str(caught.value)


def test_files_that_are_no_npz_get_one_sentence(template: HandTemplate, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((3, 21, 3)))
    (tmp_path / "x.npz").write_bytes(b"PK\x03\x04")
    for name in ("x.npy", "x.npz", "missing.npz"):
        with pytest.raises(ValueError, match=name) as caught:
            load_user_poses(template, [tmp_path / name])
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("missing.npy", "--out", "mine"), "missing.npy cannot be read"),
        (("bad.json", "--out", "mine"), "bad.json is not json"),
        (("bad.json", "missing.npy", "--out", "mine"), "Nor could the other 1"),
        (("bad.json", "--out", "no/mine"), "There is no folder no"),
        (("bad.json", "--out", "mine", "--unit", "mile"), "mile is not auto, m, cm, mm, inch"),
        (("bad.json", "--out", "mine", "--unit", "-1"), "-1"),
        (("bad.json", "--out", "mine", "--fps", "0"), "0 is not a number of frames above 0"),
        (("flat.npy", "--out", "mine"), "is known"),
        (("still.npy", "--out", "mine"), "no frame of which enough of a hand is known"),
    ],
)
def test_bad_input_gets_a_sentence_and_leaves_nothing(
    arguments: tuple[str, ...],
    part: str,
    hhmr,  # noqa: ANN001
    tmp_path: Path,
) -> None:
    (tmp_path / "bad.json").write_text("{", encoding="utf-8")
    np.save("flat.npy", np.full((3, 21, 3), np.nan))
    np.save("still.npy", np.zeros((3, 21, 3)))
    code, lines, err = hhmr(*arguments)
    assert code == 2 and lines == []
    assert part in err and err.count("\n") == 1 and err.startswith("hhmr") and "Traceback" not in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.json", "flat.npy", "still.npy"]
