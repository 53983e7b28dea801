"""`hhmr doctor`: true figures, and a fix for everything that is wrong."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from hhmr_engine import doctor
from hhmr_engine.cli import main


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own with one good weight file, in place of the one that ships."""
    path = tmp_path / "weights" / "hhmr.safetensors"
    path.parent.mkdir()
    save_file({"a": np.ones(3, np.float32)}, path)
    monkeypatch.setattr(doctor, "_WEIGHTS", path.parent)
    monkeypatch.setattr(doctor, "free_memory", lambda: 8 << 30)
    return path


def test_a_sound_installation(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] and report["problems"] == []
    assert report["packages"]["numpy"] == np.__version__
    assert report["packages"]["torch"] == importlib.metadata.version("torch")
    assert report["devices"][0]["name"] == "cpu"
    assert report["template"]["vertices"] > 1000
    (entry,) = report["weights"]
    assert entry["sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert main(["doctor"]) == 0
    assert capsys.readouterr().out.endswith("Nothing is wrong.\n")


def test_damaged_and_missing_weights_are_named_with_a_fix(weights: Path, tmp_path: Path) -> None:
    weights.write_bytes(weights.read_bytes()[:-4])
    report = doctor.examine(tmp_path / "absent.safetensors")
    assert not report["ok"] and [entry["ok"] for entry in report["weights"]] == [False, False]
    whats = [problem["what"] for problem in report["problems"]]
    assert any("hhmr.safetensors cannot be read" in what for what in whats)
    assert any("absent.safetensors" in what for what in whats)
    assert all(problem["fix"] for problem in report["problems"])
    weights.unlink()
    assert "There are no weights" in doctor.examine()["problems"][0]["what"]


def test_a_missing_package_and_little_memory_are_problems(
    weights: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "PACKAGES", (*doctor.PACKAGES, "no-such-package-hhmr"))
    monkeypatch.setattr(doctor, "free_memory", lambda: 5 << 20)
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "no-such-package-hhmr is not installed" in out and "Only 5 MiB" in out


def test_a_broken_template_does_not_stop_the_report(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "hand.npz"
    broken.write_bytes(b"PK")
    monkeypatch.setattr("hhmr_engine.hand.template.DEFAULT_PATH", broken)
    report = doctor.examine()
    assert report["template"] is None
    assert "template cannot be read" in report["problems"][0]["what"]


def test_free_memory_is_a_sane_figure() -> None:
    free = doctor.free_memory()
    assert free is None or 1 << 20 < free < 1 << 46
