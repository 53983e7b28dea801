"""`hhmr data check` on miniatures of all datasets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.engine.cli.running import Run, one_sentence
from tests.engine.datasets.miniature import write_mano_file, write_miniature


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_mano_file(folder)
    write_miniature("freihand", folder / "FreiHAND", count=4)
    write_miniature("twohand", folder / "twohands", count=3)
    return folder


def test_check_tells_and_draws(hhmr: Run, folder: Path, tmp_path: Path):
    code, out, err = hhmr("data", "check", folder, "--out", tmp_path / "seen.png")
    assert (code, err) == (0, "")
    assert "FreiHAND: freihand, train" in out and "twohands: twohand, evaluation" in out
    assert "left out: 1 (the picture is missing)" in out and "is a guess" in out
    assert "Not found" in out and "dexycb" in out and "MANO_RIGHT.pkl" in out
    picture = np.asarray(Image.open(tmp_path / "seen.png"))
    tiles = picture[: 3 * 322].reshape(3, 322, 4, 300, 3).transpose(0, 2, 1, 3, 4).reshape(12, -1, 3)
    assert all(len(np.unique(tile, axis=0)) > 20 for tile in tiles)  # twelve hands, none of them blank


def test_check_without_mano(hhmr: Run, folder: Path, tmp_path: Path):
    code, out, _ = hhmr("data", "check", folder / "FreiHAND", "--out", tmp_path / "seen")
    assert code == 0 and "MANO: not given" in out and (tmp_path / "seen.png").is_file()


def test_check_of_nothing(hhmr: Run, tmp_path: Path):
    for arguments in (
        (tmp_path,),
        (tmp_path / "none",),
        (tmp_path, "--mano", tmp_path / "none.pkl"),
        (tmp_path, "--out", tmp_path / "none" / "x.png"),
    ):
        code, _, err = hhmr("data", "check", *arguments)
        assert code == 2 and one_sentence(err)
    assert not list(tmp_path.iterdir())
