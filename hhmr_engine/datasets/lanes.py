"""In which order samples of several sets are read, whatever the number of processes.

An endless stream of samples is dealt to LANES lanes in turn, as cards are: sample p is lane p % LANES's. Each
lane has its own share of every epoch of every set, and its own random numbers. One of several processes, and
each of its loader processes, reads some of the lanes: what they read together is always the same, and where a
lane is follows from how many samples it has given.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, count, islice, pairwise
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import numpy as np

from .crops import Unusable
from .sample import RIGHT, HandDataset, HandSample
from .shards import Index, Shard, check_shards, read_shard

LANES = 48  # 1, 2, 3, 4, 6, 8, 12, 16, 24 or 48 processes share them evenly
BLOCK = 4  # samples of a lane and set that are shuffled together, and held in memory
DRAWS = 4096  # sets that are drawn at once

T = TypeVar("T")


class Share(Protocol):
    """What one lane reads of an epoch."""

    def __len__(self) -> int: ...

    def read(self, start: int, pictures: bool) -> Iterator[HandSample]:
        """From its sample `start` on; without pictures these need not be read."""


class SampleSet(Protocol):
    """A set of samples, in random order anew in every epoch."""

    @property
    def name(self) -> str: ...

    def __len__(self) -> int: ...

    def share(self, seed: int, epoch: int, lane: int) -> Share: ...


@dataclass(frozen=True)
class ShardSet:
    """The shards of a set; where they are fewer than lanes, a lane reads parts of some."""

    folder: Path
    index: Index

    def __post_init__(self) -> None:
        check_shards(self.folder, self.index)

    @property
    def name(self) -> str:
        return self.index.name

    def __len__(self) -> int:
        return self.index.samples

    def share(self, seed: int, epoch: int, lane: int) -> Share:
        shards = [shard for shard in self.index.shards if shard.samples]
        parts = -(-LANES // len(shards))
        pieces = [piece for shard in shards for piece in _parts(shard, parts)]
        mine = _random(seed, self.name, epoch).permutation(len(pieces))[(lane + epoch) % LANES :: LANES]
        return _Pieces(self.folder, [pieces[i] for i in mine])


def _parts(shard: Shard, parts: int) -> list[tuple[Shard, int, int]]:
    """A shard's samples in so many parts, from one number to another; fewer where it has fewer samples."""
    edges = [shard.samples * part // parts for part in range(parts + 1)]
    return [(shard, start, stop) for start, stop in pairwise(edges) if stop > start]


@dataclass(frozen=True)
class _Pieces:
    folder: Path
    pieces: list[tuple[Shard, int, int]]

    def __len__(self) -> int:
        return sum(stop - start for _, start, stop in self.pieces)

    def read(self, start: int, pictures: bool) -> Iterator[HandSample]:
        for shard, first, stop in self.pieces:
            yield from read_shard(self.folder, shard, first + start, stop, pictures)
            start = max(0, start - (stop - first))


@dataclass(frozen=True)
class FolderSet:
    """A dataset in its own layout."""

    dataset: HandDataset

    @property
    def name(self) -> str:
        return self.dataset.name

    def __len__(self) -> int:
        return len(self.dataset)

    def share(self, seed: int, epoch: int, lane: int) -> Share:
        order = _random(seed, self.name, epoch).permutation(len(self.dataset))
        return Rows(self.dataset, order[(lane + epoch) % LANES :: LANES].copy())


@dataclass(frozen=True)
class Rows:
    """Some samples of a dataset, by their numbers."""

    dataset: HandDataset
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, start: int = 0, pictures: bool = True) -> Iterator[HandSample]:
        for row in self.rows[start:].tolist():
            try:
                yield self.dataset[row]
            except ValueError:  # its place is kept: the order does not depend on what can be read
                yield HandSample(f"row {row}", RIGHT, np.full((21, 3), np.nan, np.float32))


@dataclass(frozen=True)
class Order(Generic[T]):
    """Which sample comes when, and what is made of it."""

    sets: Sequence[SampleSet]
    weights: Sequence[float]  # of each set: its part of all samples
    seed: int
    prepare: Callable[[str, HandSample, int], T]  # of set, sample, epoch; raises Unusable
    pictures: bool  # whether samples are read with them

    def __post_init__(self) -> None:
        if len(self.weights) != len(self.sets) or min(self.weights) < 0 or sum(self.weights) <= 0:
            raise ValueError("Every set needs a weight of 0 or more, and one of them more than 0.")

    def lane(self, lane: int, start: int, passed_over: Counter[str]) -> Iterator[T]:
        """What a lane gives from its sample `start` on, without end; samples passed over are counted.

        ValueError, one sentence: a shard is damaged, or a set has nothing to learn from.
        """
        before = np.zeros(len(self.sets), int)
        for block in range(start // DRAWS):
            before += np.bincount(self._draws(lane, block), minlength=len(self.sets))
        left = self._draws(lane, start // DRAWS)[: start % DRAWS]
        before += np.bincount(left, minlength=len(self.sets))
        readers = [self._shuffled(s, lane, int(n), passed_over) for s, n in zip(self.sets, before)]
        for block in count(start // DRAWS):
            for which in self._draws(lane, block)[start % DRAWS :]:
                yield next(readers[which])
            start = 0

    def _draws(self, lane: int, block: int) -> np.ndarray:
        """The sets [DRAWS] of a lane's samples from block * DRAWS on."""
        edges = np.cumsum(self.weights) / sum(self.weights)
        drawn = _random(self.seed, "sets", lane, block).random(DRAWS)
        return np.searchsorted(edges[:-1], drawn, side="right")

    def _shuffled(self, samples: SampleSet, lane: int, start: int, passed_over: Counter[str]) -> Iterator[T]:
        """A lane's samples of one set from its `start`-th on, epoch after epoch."""
        epoch, share = 0, samples.share(self.seed, 0, lane)
        while start >= len(share):
            start -= len(share)
            epoch, share = epoch + 1, samples.share(self.seed, epoch + 1, lane)
        while True:
            first = start // BLOCK * BLOCK
            reader = share.read(first, self.pictures)
            while first < len(share):
                block = list(islice(reader, BLOCK))
                order = _random(self.seed, samples.name, lane, epoch, first).permutation(len(block))
                for i in range(start - first, len(block)):
                    near = (block[j] for j in np.roll(order, -i))
                    far = self._from(samples, lane, epoch, first + BLOCK)
                    yield self._usable(samples.name, epoch, chain(near, far), passed_over)
                start = first = first + BLOCK
                del block, near, far  # not two blocks at once
            epoch, start = epoch + 1, 0
            share = samples.share(self.seed, epoch, lane)

    def _from(self, samples: SampleSet, lane: int, epoch: int, start: int) -> Iterator[HandSample]:
        """What would come later, once round everything."""
        for later in range(epoch, epoch + LANES + 1):
            yield from samples.share(self.seed, later, lane).read(start, self.pictures)
            start = 0

    def _usable(
        self, name: str, epoch: int, candidates: Iterator[HandSample], passed_over: Counter[str]
    ) -> T:
        """The first that is usable; it takes the place of the first of all, which is then passed over."""
        for number, sample in enumerate(candidates):
            try:
                return self.prepare(name, sample, epoch)
            except Unusable as why:
                if number == 0:
                    passed_over[f"{name}: {why}"] += 1
        raise ValueError(f"There is nothing to learn from in {name}: leave it out.")


def _random(seed: int, name: str, *numbers: int) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(name.encode()), *numbers])
