"""The `hhmr` command as a user types it: files that come out, exit codes, one sentence for each fault."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hhmr_engine.engine import Hypotheses
from tests.engine.cli.running import Run, one_sentence

GAUSSIAN = ("--method", "gaussian", "-n", "3")
COMMANDS = ("generate", "inpaint", "reconstruct", "fit", "train", "serve", "doctor")


@pytest.fixture
def joints_file(eight_hands: Hypotheses, tmp_path: Path) -> Path:
    """A skeleton whose middle, ring and little finger are unknown."""
    rows = [None if j >= 9 else row for j, row in enumerate(eight_hands.joints[0].tolist())]
    path = tmp_path / "joints.json"
    path.write_text(json.dumps({"joints": rows}))
    return path


def test_generate_writes_three_files(hhmr: Run, tmp_path: Path) -> None:
    code, out, err = hhmr("generate", "--seed", 5, *GAUSSIAN, "--out", tmp_path / "hands")
    assert (code, err) == (0, "")
    assert out.startswith("3 right hands") and "hands.npz" in out
    assert sorted(p.name for p in tmp_path.iterdir()) == ["hands.glb", "hands.npz", "hands.png"]
    with np.load(tmp_path / "hands.npz") as data:
        assert len(data["vertices"]) == 3 and int(data["seed"]) == 5 and str(data["side"]) == "right"
        assert (np.diff(data["score"]) <= 0).all()
    assert (tmp_path / "hands.glb").read_bytes()[:4] == b"glTF"
    with Image.open(tmp_path / "hands.png") as picture:
        picture.load()


def test_the_same_seed_writes_the_same_bytes_and_another_one_does_not(hhmr: Run, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert hhmr("generate", "--seed", seed, *GAUSSIAN, "--out", tmp_path / name)[0] == 0
    for suffix in (".glb", ".png"):
        contents = [(tmp_path / name).with_suffix(suffix).read_bytes() for name in "abc"]
        assert contents[0] == contents[1] != contents[2]


def test_inpaint_joints_keeps_frame_and_scale(hhmr: Run, joints_file: Path, tmp_path: Path) -> None:
    code, _, err = hhmr(
        "inpaint", "--joints", joints_file, "--root-rho", "0", *GAUSSIAN, "--out", tmp_path / "x"
    )
    assert (code, err) == (0, "")
    given = np.array(json.loads(joints_file.read_text())["joints"][:9])
    with np.load(tmp_path / "x.npz") as data:
        off = np.linalg.norm(data["joints"][:, :9] - given, axis=-1)
        assert off.mean() < 0.002
        assert off.mean(1) == pytest.approx(data["residual"], abs=1e-3)


def test_inpaint_frames_of_joints_makes_motions(hhmr: Run, joints_file: Path, tmp_path: Path) -> None:
    given = np.array(
        [[np.nan] * 3 if row is None else row for row in json.loads(joints_file.read_text())["joints"]]
    )
    frames = given + np.linspace(0, 0.05, 6)[:, None, None]
    np.savez(tmp_path / "frames.npz", joints=frames)
    ours = ("--joints", tmp_path / "frames.npz", "--root-rho", "0")
    code, out, err = hhmr("inpaint", *ours, *GAUSSIAN, "--out", tmp_path / "x")
    assert (code, err) == (0, "") and "motions of 6 frames" in out
    with np.load(tmp_path / "x.npz") as data:
        n = len(data["score"])
        assert data["motion"].shape == (n, 6, 21, 3) and data["moving"].shape[:2] == (n, 6)
        known = np.isfinite(given).all(1)
        assert np.linalg.norm(data["motion"] - frames, axis=-1)[:, :, known].mean() < 0.002
    code, _, err = hhmr("inpaint", "--joints", tmp_path / "frames.npz", "--fit", "--out", tmp_path / "x")
    assert code == 2 and "no fit" in err


def test_inpaint_mesh_keeps_the_kept_vertices_exactly(
    hhmr: Run, eight_hands: Hypotheses, tmp_path: Path
) -> None:
    vertices = eight_hands.vertices[0]
    keep = vertices[:, 1] < np.quantile(vertices[:, 1], 0.7)
    np.savez(tmp_path / "mesh.npz", vertices=vertices)
    np.savez(tmp_path / "keep.npz", keep=keep)
    code, _, err = hhmr(
        "inpaint", "--mesh", tmp_path / "mesh.npz", "--keep", tmp_path / "keep.npz", *GAUSSIAN,
        "--out", tmp_path / "x",
    )  # fmt: skip
    assert (code, err) == (0, "")
    with np.load(tmp_path / "x.npz") as data:
        assert np.abs(data["vertices"][:, keep] - vertices[keep]).max() < 1e-6
        assert np.abs(data["vertices"][:, ~keep] - vertices[~keep]).max() > 1e-3


def test_left_hands_are_wound_outwards(hhmr: Run, tmp_path: Path) -> None:
    volumes = {}
    for side in ("right", "left"):
        hhmr("generate", *GAUSSIAN, "--side", side, "--out", tmp_path / side)
        with np.load(tmp_path / f"{side}.npz") as data:
            assert str(data["side"]) == side
            a, b, c = (data["vertices"][0][data["faces"][:, k]] for k in range(3))
            volumes[side] = np.einsum("fk,fk->", a, np.cross(b, c)) / 6
    assert volumes["left"] == pytest.approx(volumes["right"], rel=1e-4) and volumes["left"] > 0


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("conjure",),
        ("generate",),
        ("generate", "-n", "0", "--out", "x"),
        ("generate", "-n", "10000", "--out", "x"),
        ("generate", "-n", "many", "--out", "x"),
        ("generate", "-n", "9" * 5000, "--out", "x"),
        ("generate", "--seed", "-1", "--out", "x"),
        ("generate", "--steps", "0", "--out", "x"),
        ("generate", "--side", "middle", "--out", "x"),
        ("generate", "--method", "magic", "--out", "x"),
        ("generate", "--rho", "nan", "--out", "x"),
        ("generate", "--rho", "-1", "--out", "x"),
        ("generate", "--device", "abacus", "--out", "x"),
        ("generate", "--device", "cuda:99", "--out", "x"),
        ("generate", "--weights", "missing.safetensors", "--out", "x"),
        ("generate", "--method", "gaussian", "--out", "missing/x"),
        ("generate", "--method", "gaussian", "--out", "."),
        ("inpaint", "--out", "x"),
        ("inpaint", "--joints", "missing.json", "--out", "x"),
        ("inpaint", "--joints", "a.json", "--mesh", "b.npz", "--out", "x"),
        ("inpaint", "--joints", "line.json", "--out", "x", "--method", "gaussian"),
        ("inpaint", "--joints", "line.json", "--keep", "keep.npz", "--out", "x"),
        ("inpaint", "--mesh", "small.npz", "--out", "x", "--method", "gaussian"),
        ("train", "--config", "missing.toml", "--out", "x"),
        ("train", "--config", "bad.toml", "--out", "x"),
        ("train", "--config", "odd.toml", "--out", "x"),
        ("train", "--steps", "0", "--out", "x"),
        ("train", "--data", "missing", "--out", "x"),
        ("train", "--out", "run"),
    ],
)
def test_bad_input_is_exit_code_2_and_one_sentence(
    hhmr: Run, arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "line.json").write_text(json.dumps([[0.01 * k, 0, 0] for k in range(21)]))
    (tmp_path / "bad.toml").write_text("steps = = 3")
    (tmp_path / "odd.toml").write_text("speed = 3")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "state.safetensors").write_bytes(b"")
    np.savez(tmp_path / "small.npz", vertices=np.ones((5, 3)))
    np.savez(tmp_path / "keep.npz", keep=[1])
    before = sorted(os.listdir(tmp_path))
    code, out, err = hhmr(*arguments)
    assert code == 2, err
    assert one_sentence(err), err
    assert out == ""
    assert sorted(os.listdir(tmp_path)) == before


def test_a_full_disk_leaves_nothing_and_says_so(
    hhmr: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Path.write_bytes

    def fill(path: Path, content: bytes) -> int:
        if ".png" in path.name:
            write(path, content[:100])
            raise OSError(28, "No space left on device")
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", fill)
    code, _, err = hhmr("generate", *GAUSSIAN, "--out", tmp_path / "x")
    assert code == 2 and one_sentence(err) and "No space left" in err
    assert list(tmp_path.iterdir()) == []


def test_a_fault_of_ours_is_exit_code_1_and_a_traceback_only_on_demand(
    hhmr: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("one\ntwo")

    monkeypatch.setattr("hhmr_engine.engine.Engine.run", fail)
    code, _, err = hhmr("generate", *GAUSSIAN, "--out", tmp_path / "x")
    assert code == 1 and one_sentence(err) and "--debug" in err
    code, _, err = hhmr("generate", "--debug", *GAUSSIAN, "--out", tmp_path / "x")
    assert code == 1 and "Traceback" in err and "ZeroDivisionError" in err


def test_ctrl_c_is_exit_code_130(hhmr: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("hhmr_engine.engine.Engine.run", stop)
    code, _, err = hhmr("generate", *GAUSSIAN, "--out", tmp_path / "x")
    assert code == 130 and one_sentence(err)
    assert list(tmp_path.iterdir()) == []


def test_help_names_every_command_and_imports_no_torch() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "hhmr_engine", "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0
    for name in COMMANDS:
        assert name in done.stdout
    assert "torch" not in done.stderr and "trimesh" not in done.stderr


def test_every_command_has_help(hhmr: Run) -> None:
    for name in COMMANDS:
        code, out, err = hhmr(name, "--help")
        assert code == 0 and out.startswith("usage: hhmr") and err == ""
    code, out, _ = hhmr("--version")
    assert code == 0 and out.startswith("hhmr 0.")


def test_serve_says_hello_and_ends_with_its_stdin() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hhmr_engine", "serve"], input=b"", capture_output=True, timeout=60
    )
    assert done.returncode == 0
    assert json.loads(done.stdout.split(b"\n")[0])["type"] == "hello"


TINY = """
steps = 1
batch = 2

[network]
sizes = [208, 52, 13]
widths = [16, 16, 16]
tokens = 16

[path]
steps = 1
batch = 8
"""


@pytest.mark.slow
def test_train_resume_and_generate_with_what_was_trained(hhmr: Run, tmp_path: Path) -> None:
    config, run = tmp_path / "tiny.toml", tmp_path / "run"
    config.write_text(TINY)
    assert hhmr("train", "--config", config, "--out", run)[0] == 0
    code, _, err = hhmr("train", "--config", config, "--out", run)
    assert code == 2 and "--resume" in err
    assert hhmr("train", "--config", config, "--out", run, "--resume", "--steps", 2)[0] == 0
    weights = run / "weights.safetensors"
    code, _, err = hhmr("generate", "-n", 2, "--steps", 2, "--weights", weights, "--out", tmp_path / "x")
    assert (code, err) == (0, "")
    weights.write_bytes(weights.read_bytes()[:1000])
    code, _, err = hhmr("generate", "--weights", weights, "--out", tmp_path / "y")
    assert code == 2 and one_sentence(err)
