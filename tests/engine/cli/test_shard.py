"""`hhmr data shard` on miniatures: what it writes is trained on as the folder itself would be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hhmr_engine.datasets.catalogue import find_mano, open_dataset
from hhmr_engine.datasets.stream import open_sets
from tests.engine.cli.running import Run, one_sentence
from tests.engine.datasets.miniature import write_mano_file, write_miniature


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_mano_file(folder)
    write_miniature("freihand", folder / "FreiHAND", count=4)
    write_miniature("twohand", folder / "twohands", count=4)
    return folder


def test_shards_of_a_folder_of_datasets(hhmr: Run, folder: Path, tmp_path: Path) -> None:
    code, out, err = hhmr("data", "shard", folder, "--out", tmp_path / "s", "--size", "100KB")
    assert (code, err) == (0, "")
    frei = open_dataset(folder / "FreiHAND", "train")
    two = open_dataset(folder / "twohands", "train", find_mano(folder))
    assert f"freihand: {len(frei)} samples in " in out and f"twohand: {len(two)} samples in " in out
    assert "left out: 1 (the picture is missing)" in out
    assert f"hhmr train --config paper.toml --data {tmp_path / 's'}" in out
    sets = {each.name: each for each in open_sets([tmp_path / "s"])}
    assert {name: len(each) for name, each in sets.items()} == {"freihand": len(frei), "twohand": len(two)}
    keys = {s.key: s for lane in range(48) for s in sets["freihand"].share(0, 0, lane).read(0, True)}
    assert set(keys) == {frei[row].key for row in range(len(frei))}
    first = frei[0]
    assert np.array_equal(keys[first.key].vertices, first.vertices)


def test_again_it_writes_nothing(hhmr: Run, folder: Path, tmp_path: Path) -> None:
    ask = ("data", "shard", folder / "FreiHAND", "--out", tmp_path, "--size", "100KB")
    assert hhmr(*ask)[0] == 0
    times = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert hhmr(*ask)[0] == 0
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == times
    code, _, err = hhmr(*ask[:-1], "1MB")
    assert code == 2 and one_sentence(err) and "another --size" in err


def test_without_mano(hhmr: Run, folder: Path, tmp_path: Path) -> None:
    """A set of parameters alone has no meshes then, and no other split has it either."""
    code, out, err = hhmr("data", "shard", folder / "twohands", "--out", tmp_path / "s")
    assert code == 2 and "twohand: " in out and one_sentence(err) and "hhmr data check" in err
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("size", ["12", "MB", "-1MB", "1TB", "9KB"])
def test_sizes_that_are_none(hhmr: Run, folder: Path, tmp_path: Path, size: str) -> None:
    code, _, err = hhmr("data", "shard", folder, "--out", tmp_path, f"--size={size}")
    assert code == 2 and one_sentence(err) and "is not a size such as 512MB" in err


def test_folders_of_nothing(hhmr: Run, tmp_path: Path) -> None:
    for place, what in ((tmp_path, "holds none of freihand"), (tmp_path / "no", "There is no folder")):
        code, _, err = hhmr("data", "shard", place, "--out", tmp_path / "s")
        assert code == 2 and one_sentence(err) and what in err
    assert list(tmp_path.iterdir()) == []
