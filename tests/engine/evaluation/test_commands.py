"""The benchmarks of pictures run from end to end, on few hands."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]


def run(name: str, data_root: Path, out: Path, *options: str) -> str:
    command = [sys.executable, "-m", f"benchmarks.{name}", "--data", str(data_root), "--out", str(out)]
    done = subprocess.run([*command, *options], cwd=REPOSITORY, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_fitting_measures_ours_and_the_fit(data_root: Path, tmp_path: Path) -> None:
    out = tmp_path / "fitting.json"
    few = ("--method", "gaussian", "--count", "3", "--samples", "2", "--lbfgs", "1")
    text = run("fitting", data_root, out, *few)
    assert text.count("#### ") == 3 and "no weights" in text and "| nan |" not in text
    report = json.loads(out.read_text())
    assert list(report) == ["synthetic, none", "recordings, third", "recordings, fingers"]


@pytest.mark.slow
def test_photos_finds_every_hand_and_shows_it(data_root: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    text = run(
        "photos",
        data_root,
        tmp_path / "o.json",
        "--method",
        "gaussian",
        "--repeat",
        "1",
        "--sheet",
        str(sheet),
    )
    assert "| a hand is found, of 40 photos | 40 | 40.0 | yes |" in text
    assert sheet.stat().st_size > 100_000
