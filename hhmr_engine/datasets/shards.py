"""A dataset as WebDataset shards: tar files whose members of one key are one sample.

`KEY.json` says what the sample is, `KEY.joints.npy` and `KEY.vertices.npy` are float32 in metres, `KEY.jpg`
is the window of the photo round the hand; a set of poses alone has none. Samples lie in random order. Beside
the shards of a set lies an index, `NAME-SPLIT.json`: how many samples each shard holds, and which ones.
"""

from __future__ import annotations

import io
import json
import math
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..faults import InputError
from ..pictures.camera import SIDE
from .crops import Unusable, check
from .sample import HandDataset, HandSample

FORMAT = "hhmr-shards-1"
COMMAND = "hhmr data shard"
UNREADABLE = "a picture or annotation that cannot be read"
QUALITY = 92  # of JPEG
REACH = 2.6  # half the side of a window, in radii of the hand: what crops that are off still need
ENOUGH = 1.5 * SIDE  # pixels that a crop should have in its window; twice as many are averaged
CROP_RADII = 3.0  # about what the side of a crop is
END = 10240  # bytes: tarfile ends with a whole record
TAR_BLOCK = 512
MARK = 16  # samples


@dataclass(frozen=True)
class Shard:
    """A finished file: samples `first` to `end` of the random order, but for those left out."""

    file: str
    first: int
    end: int
    samples: int
    bytes: int
    marks: list[int]  # where in the file every MARK-th sample begins
    left_out: dict[str, int]  # reason -> how many


@dataclass(frozen=True)
class Index:
    """What stands in NAME-SPLIT.json."""

    name: str
    split: str
    total: int  # samples of the dataset
    size: int  # bytes that a shard may have
    skipped: dict[str, int]  # by the dataset's loader
    shards: list[Shard] = field(default_factory=list)
    format: str = FORMAT

    @property
    def done(self) -> bool:
        return (self.shards[-1].end if self.shards else 0) == self.total

    @property
    def samples(self) -> int:
        return sum(shard.samples for shard in self.shards)

    @property
    def left_out(self) -> dict[str, int]:
        """Reason -> how many, of all shards."""
        return dict(sum((Counter(shard.left_out) for shard in self.shards), Counter()))


def write_shards(
    dataset: HandDataset, folder: Path, size: int, progress: Callable[[int], object] = lambda count: None
) -> Index:
    """Write what is missing of a dataset's shards of `size` bytes at most; calls progress(samples done now).

    Finished shards are kept; those that were deleted or whose length is not what it was are made again.
    ValueError, one sentence: the folder holds shards of other data or of another size.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{dataset.name}-{dataset.split}.json"
    fresh = Index(dataset.name, dataset.split, len(dataset), size, dict(dataset.skipped))
    index = read_index(path) if path.exists() else fresh
    if replace(index, shards=[]) != fresh:
        text = f"{path} is of other data or of another --size: choose another folder, or delete its shards."
        raise ValueError(text)
    order = np.random.default_rng(0).permutation(len(dataset))
    for number, shard in enumerate(index.shards):
        if _whole(folder, shard):
            progress(shard.end - shard.first)
            continue
        file = folder / shard.file
        index.shards[number] = _write(dataset, order[: shard.end], shard.first, file, size, progress)
        _save(path, index)
    while not index.done:
        first = index.shards[-1].end if index.shards else 0
        file = folder / f"{dataset.name}-{dataset.split}-{len(index.shards):06}.tar"
        index.shards.append(_write(dataset, order, first, file, size, progress))
        _save(path, index)
    return index


def _save(path: Path, index: Index) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(asdict(index), indent=1), encoding="utf-8")
    part.replace(path)


def _whole(folder: Path, shard: Shard) -> bool:
    """Whether its file is there and as long as it was."""
    file = folder / shard.file
    return file.exists() and file.stat().st_size == shard.bytes


def _write(
    dataset: HandDataset,
    order: np.ndarray,
    first: int,
    path: Path,
    size: int,
    progress: Callable[[int], object],
) -> Shard:
    """One shard, beside `path` and renamed: of `order` from `first` on, as much as goes into `size`."""
    part = path.with_name(path.name + ".part")
    left_out: Counter[str] = Counter()
    samples, end, marks = 0, first, list[int]()
    try:
        with tarfile.open(part, "w") as tar:
            for end in range(first, len(order)):
                try:
                    sample = dataset[int(order[end])]
                    members = _members(sample)
                except (InputError, OSError, ValueError) as why:
                    left_out[str(why) if isinstance(why, Unusable) else UNREADABLE] += 1
                    progress(1)
                    continue
                room = sum(TAR_BLOCK + -(-len(data) // TAR_BLOCK) * TAR_BLOCK for data in members.values())
                if samples and tar.offset + room + END > size:
                    break
                if samples % MARK == 0:
                    marks.append(tar.offset)
                for suffix, data in members.items():
                    info = tarfile.TarInfo(f"{_key(sample.key)}.{suffix}")
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
                samples += 1
                progress(1)
            else:
                end = len(order)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return Shard(path.name, first, end, samples, path.stat().st_size, marks, dict(left_out))


def _key(key: str) -> str:
    """A key as WebDataset can have it: what follows the first dot of a name counts as its kind."""
    return key.replace(".", "-")


def _members(sample: HandSample) -> dict[str, bytes]:
    """A sample's files by their suffix."""
    check(sample, picture=sample.image is not None)
    assert sample.vertices is not None
    picture: dict[str, bytes] = {}
    intrinsics = sample.intrinsics
    if sample.image is not None:
        image, intrinsics = window(sample, sample.image())
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=QUALITY)
        picture["jpg"] = stream.getvalue()
    said = {
        "key": sample.key,
        "side": sample.side,
        "sequence": sample.sequence,
        "frame": sample.frame,
        "intrinsics": None if intrinsics is None else np.asarray(intrinsics, float).tolist(),
    }
    return {
        "json": json.dumps(said).encode(),
        "joints.npy": _npy(sample.joints),
        "vertices.npy": _npy(sample.vertices),
        **picture,
    }


def _npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.asarray(array, np.float32))
    return stream.getvalue()


def window(sample: HandSample, photo: np.ndarray) -> tuple[Image.Image, np.ndarray]:
    """What crops need of a photo [H,W,3], and the camera [3,3] of it; many pixels become fewer."""
    assert sample.vertices is not None and sample.intrinsics is not None
    k = np.asarray(sample.intrinsics, float)
    flat = sample.vertices @ k.T
    points = flat[:, :2] / flat[:, 2:]
    middle = (points.min(0) + points.max(0)) / 2
    radius = float(np.linalg.norm(points - middle, axis=1).max())
    size = np.array(photo.shape[1::-1])
    low = np.floor(middle - REACH * radius).clip(0, size).astype(int)
    high = np.ceil(middle + REACH * radius).clip(0, size).astype(int)
    if (high - low).min() < 1:
        raise Unusable("a hand outside its picture")
    image = Image.fromarray(np.ascontiguousarray(photo)).crop((*low, *high))
    factor = max(1, math.floor(CROP_RADII * radius / ENOUGH))
    if factor > 1:
        image = image.reduce(factor)
    moved = k.copy()
    moved[:2, 2] -= low
    moved[:2] /= factor
    return image, moved


def read_index(path: Path) -> Index:
    """ValueError, one sentence: it is none of ours, or damaged."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        if said["format"] != FORMAT:
            raise ValueError("of another version")
        return Index(**{**said, "shards": [Shard(**shard) for shard in said["shards"]]})
    except (ValueError, KeyError, TypeError) as exc:
        raise ValueError(f"{path} is no index of shards ({exc}): run '{COMMAND}' again.") from exc


def has_shards(folder: Path) -> bool:
    return any(folder.glob("*-000000.tar"))


def check_shards(folder: Path, index: Index) -> None:
    """ValueError, one sentence: the set is not finished, or a shard is missing or cut short."""
    if not index.done:
        text = f"The shards of {index.name} in {folder} are not finished: run '{COMMAND}' again, it goes on."
        raise ValueError(text)
    for shard in index.shards:
        if not _whole(folder, shard):
            raise ValueError(damaged(folder / shard.file, "it is missing, or its length is wrong"))


def damaged(path: Path, why: str) -> str:
    return f"The shard {path} is damaged ({why}): run '{COMMAND}' again, it makes that one anew."


def read_shard(
    folder: Path, shard: Shard, start: int = 0, stop: int | None = None, pictures: bool = True
) -> Iterator[HandSample]:
    """Samples `start` to `stop` of a shard; without pictures these are not read.

    ValueError, one sentence: the shard is damaged.
    """
    stop = shard.samples if stop is None else stop
    path, number = folder / shard.file, start // MARK * MARK
    if start >= stop:
        return
    try:
        with open(path, "rb") as file:
            file.seek(shard.marks[start // MARK])
            with tarfile.open(fileobj=file, mode="r:") as tar:
                for key, members in islice(_groups(tar), stop - number):
                    if number >= start:
                        yield _sample(tar, key, members, pictures)
                    number += 1
        if number < stop:
            raise ValueError(f"it ends before its sample {number + 1}")
    except (OSError, EOFError, tarfile.TarError, ValueError, KeyError, TypeError) as exc:
        raise ValueError(damaged(path, str(exc) or type(exc).__name__)) from exc


def _groups(tar: tarfile.TarFile) -> Iterator[tuple[str, dict[str, tarfile.TarInfo]]]:
    """Members of the same key, which lie beside each other: key -> members by suffix."""
    last, members = "", dict[str, tarfile.TarInfo]()
    while (info := tar.next()) is not None:
        tar.members = []  # type: ignore[attr-defined]  # tarfile would keep all of them
        folder, _, name = info.name.rpartition("/")
        base, _, suffix = name.partition(".")
        key = f"{folder}/{base}"
        if key != last and members:
            yield last, members
            members = {}
        last = key
        members[suffix.lower()] = info
    if members:
        yield last, members


def _sample(
    tar: tarfile.TarFile, key: str, members: dict[str, tarfile.TarInfo], pictures: bool
) -> HandSample:
    def read(suffix: str) -> bytes:
        if suffix not in members:
            raise ValueError(f"{key} has no {suffix}")
        file = tar.extractfile(members[suffix])
        assert file is not None
        return file.read()

    said: dict[str, Any] = json.loads(read("json"))
    intrinsics = said["intrinsics"]
    return HandSample(
        key=said["key"],
        side=said["side"],
        joints=np.load(io.BytesIO(read("joints.npy")), allow_pickle=False),
        vertices=np.load(io.BytesIO(read("vertices.npy")), allow_pickle=False),
        intrinsics=None if intrinsics is None else np.array(intrinsics, np.float32),
        image=partial(decode, read("jpg")) if pictures and "jpg" in members else None,
        sequence=said["sequence"],
        frame=said["frame"],
    )


def decode(data: bytes) -> np.ndarray:
    """[H,W,3] uint8 of a JPEG."""
    with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
        return np.asarray(image.convert("RGB"))
