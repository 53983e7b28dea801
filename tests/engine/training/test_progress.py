"""What a run notes of itself: comparable from line to line, with the samples seen."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from benchmarks import scaling
from hhmr_engine.training import progress
from hhmr_engine.training.train import Sources, train
from tests.engine.training.run_settings import TINY


@pytest.mark.slow
def test_every_slice_of_time_adds_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Counted samples, losses that the same weights repeat, and a picture of it all."""
    monkeypatch.setattr(progress, "SYNTHETIC", 2)
    settings = replace(TINY, steps=6)
    train(settings, tmp_path, Sources(), stop_after=0.0)
    first = progress.note_progress(tmp_path, settings, Sources(), "cpu", None)
    again = progress.note_progress(tmp_path, settings, Sources(), "cpu", None)
    assert first == again and first["steps"] == 1 and first["hands"] == {"joints": 4}
    assert first["energy_ratio"] == pytest.approx(first["energy_mm"] / first["gaussian_energy_mm"], abs=1e-3)
    train(settings, tmp_path, Sources(), go_on=True)
    last = progress.note_progress(tmp_path, settings, Sources(), "cpu", None)
    assert last["hands"] == {"joints": 9 * 4} and last["loss"] != first["loss"]
    lines = (tmp_path / "progress.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [first, again, last]
    out = tmp_path / "scaling.png"
    monkeypatch.setattr(sys, "argv", ["scaling", f"{tmp_path}+1000000", "--out", str(out)])
    scaling.main()
    assert capsys.readouterr().out.count("| 1.00 |") == 3
    with Image.open(out) as picture:
        assert picture.size == (1040, 380) and len(picture.getcolors(1 << 20)) > 20
