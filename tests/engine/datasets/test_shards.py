"""Shards: anybody's tarfile reads them, they hold what the dataset holds, a stopped run goes on."""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hhmr_engine.datasets import shards
from hhmr_engine.datasets.lanes import ShardSet
from hhmr_engine.datasets.sample import HandSample
from hhmr_engine.datasets.shards import Index, read_index, read_shard, write_shards
from hhmr_engine.hand.template import load_template
from tests.engine.datasets.dotted import ListedHands, dotted_hands

SIZE = 200_000  # bytes: half a dozen hands of our template


def unreadable() -> np.ndarray:
    raise OSError("broken picture")


@pytest.fixture(scope="module")
def hands() -> ListedHands:
    """Twenty, two of which no shard can hold, and one of a pose alone."""
    listed = dotted_hands(load_template(), 20)
    samples = listed.samples
    samples[3] = replace(samples[3], vertices=None)
    samples[11] = replace(samples[11], image=unreadable)
    samples[5] = replace(samples[5], image=None, intrinsics=None)
    samples[6] = replace(samples[6], key="train/cam0.left/00006")
    listed.skipped["bad on purpose"] = 4
    return listed


@pytest.fixture(scope="module")
def folder(hands: ListedHands, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards") / "new"
    write_shards(hands, folder, SIZE)
    return folder


def index_of(folder: Path) -> Index:
    return read_index(folder / "dotted-train.json")


def all_samples(folder: Path) -> list[HandSample]:
    index = index_of(folder)
    return [s for shard in index.shards for s in read_shard(folder, shard)]


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_plain_tarfile_reads_them(folder: Path, hands: ListedHands) -> None:
    """Grouped by what stands before the first dot of a name, as the webdataset package groups members."""
    groups: dict[str, dict[str, bytes]] = defaultdict(dict)
    files = sorted(folder.glob("*.tar"))
    assert [path.name for path in files] == [f"dotted-train-{n:06}.tar" for n in range(len(files))]
    assert len(files) > 2 and all(path.stat().st_size <= SIZE for path in files)
    order = []
    for path in files:
        with tarfile.open(path) as tar:
            for member in tar:
                match = re.match(r"^((?:.*/|)[^.]+)[.]([^/]*)$", member.name)
                file = tar.extractfile(member)
                assert match is not None and file is not None
                groups[match[1]][match[2]] = file.read()
                order.append(match[1])
    kept = {s.key.replace(".", "-"): s for s in hands.samples if s.vertices is not None}
    del kept["train/00011"]
    assert set(groups) == set(kept)
    assert [key for key, before in zip(order, ["", *order]) if key != before] != sorted(kept)  # shuffled
    for key, members in groups.items():
        sample = kept[key]
        assert json.loads(members["json"])["side"] == sample.side
        assert np.array_equal(np.load(io.BytesIO(members["vertices.npy"])), sample.vertices)
        assert np.array_equal(np.load(io.BytesIO(members["joints.npy"])), sample.joints)
        assert ("jpg" in members) == (sample.image is not None)
        if "jpg" in members:
            Image.open(io.BytesIO(members["jpg"])).verify()


def test_samples_come_back(folder: Path, hands: ListedHands) -> None:
    truth = {sample.key: sample for sample in hands.samples}
    samples = all_samples(folder)
    assert len(samples) == 18
    for sample in samples:
        own = truth[sample.key]
        assert (sample.side, sample.sequence, sample.frame) == (own.side, own.sequence, own.frame)
        assert sample.vertices is not None and np.array_equal(sample.vertices, own.vertices)
        if own.image is None:
            assert sample.image is None and sample.intrinsics is None
            continue
        assert sample.image is not None and sample.intrinsics is not None and own.intrinsics is not None
        shift = (own.intrinsics - sample.intrinsics)[:2, 2].round().astype(int)
        shown, photo = sample.image(), own.image()
        part = photo[shift[1] :, shift[0] :][: shown.shape[0], : shown.shape[1]]
        assert np.abs(shown.astype(int) - part).mean() < 2


def test_what_was_left_out_is_counted(folder: Path) -> None:
    index = index_of(folder)
    assert index.left_out == {"joints alone": 1, "a picture or annotation that cannot be read": 1}
    assert index.skipped == {"bad on purpose": 4}
    assert index.samples == 18 and index.done


def test_pictures_are_not_read_where_poses_are_enough(folder: Path) -> None:
    shard = index_of(folder).shards[0]
    samples = list(read_shard(folder, shard, pictures=False))
    assert len(samples) == shard.samples and all(sample.image is None for sample in samples)


def test_from_the_middle(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Marks lie where samples begin; what is before them is not read."""
    monkeypatch.setattr(shards, "MARK", 2)
    listed = dotted_hands(load_template(), 9)
    (shard,) = write_shards(listed, tmp_path, 10 * SIZE).shards
    assert len(shard.marks) == 5
    keys = [sample.key for sample in read_shard(tmp_path, shard)]
    assert sorted(keys) == [sample.key for sample in listed.samples]
    for start, stop in ((0, 9), (1, 4), (4, 5), (7, 9), (9, 9)):
        assert [sample.key for sample in read_shard(tmp_path, shard, start, stop)] == keys[start:stop]
    path = tmp_path / shard.file
    path.write_bytes(bytes(shard.marks[2]) + path.read_bytes()[shard.marks[2] :])
    assert [sample.key for sample in read_shard(tmp_path, shard, 5)] == keys[5:]


def test_a_stopped_run_goes_on(hands: ListedHands, folder: Path, tmp_path: Path) -> None:
    class Stopped(ListedHands):
        read = 0

        def __getitem__(self, index: int) -> HandSample:
            self.read += 1
            if self.read > 12:
                raise KeyboardInterrupt
            return super().__getitem__(index)

    stopped = Stopped(hands.samples, skipped=hands.skipped)
    with pytest.raises(KeyboardInterrupt):
        write_shards(stopped, tmp_path, SIZE)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names[-1] == "dotted-train.json" and not any("part" in name for name in names)
    assert 0 < len(names) - 1 < len(index_of(folder).shards)
    with pytest.raises(ValueError, match="not finished: run 'hhmr data shard' again"):
        ShardSet(tmp_path, index_of(tmp_path))
    first = (tmp_path / "dotted-train-000000.tar").stat().st_mtime_ns
    counted: list[int] = []
    write_shards(hands, tmp_path, SIZE, counted.append)
    assert (tmp_path / "dotted-train-000000.tar").stat().st_mtime_ns == first
    assert content(tmp_path) == content(folder)
    assert sum(counted) == len(hands)


def test_shards_that_are_gone_or_cut_short_are_made_again(
    hands: ListedHands, folder: Path, tmp_path: Path
) -> None:
    write_shards(hands, tmp_path, SIZE)
    (tmp_path / "dotted-train-000000.tar").unlink()
    other = tmp_path / "dotted-train-000001.tar"
    other.write_bytes(other.read_bytes()[:-3000])
    with pytest.raises(ValueError, match="000000.tar is damaged .*: run 'hhmr data shard' again"):
        ShardSet(tmp_path, index_of(tmp_path))
    write_shards(hands, tmp_path, SIZE)
    assert content(tmp_path) == content(folder)


def test_other_data_do_not_mix(hands: ListedHands, folder: Path) -> None:
    with pytest.raises(ValueError, match="of other data or of another --size"):
        write_shards(hands, folder, 2 * SIZE)
    with pytest.raises(ValueError, match="of other data"):
        write_shards(ListedHands(hands.samples[:10]), folder, SIZE)


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    class Broken(ListedHands):
        def __getitem__(self, index: int) -> HandSample:
            raise RuntimeError("a loader's mistake")

    with pytest.raises(RuntimeError):
        write_shards(Broken(dotted_hands(load_template(), 2).samples), tmp_path, SIZE)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("at", [0.0, 0.3, 0.7])
def test_a_damaged_shard_gets_one_sentence(folder: Path, tmp_path: Path, at: float) -> None:
    """A kilobyte of nonsense at the start of a sample."""
    shard = index_of(folder).shards[0]
    with tarfile.open(folder / shard.file) as tar:
        members = tar.getmembers()
    start = members[int(at * len(members))].offset
    data = bytearray((folder / shard.file).read_bytes())
    data[start : start + 1024] = bytes(range(256)) * 4
    (tmp_path / shard.file).write_bytes(data)
    with pytest.raises(ValueError, match=r"000.tar is damaged \(.*\): run 'hhmr data shard' again") as found:
        list(read_shard(tmp_path, shard))
    assert "\n" not in str(found.value)


def test_an_index_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "dotted-train.json"
    for text in ("[]", "{", '{"format": "hhmr-shards-0"}', '{"format": "hhmr-shards-1"}'):
        path.write_text(text)
        with pytest.raises(ValueError, match="is no index of shards"):
            read_index(path)
