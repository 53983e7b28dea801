"""Training poses in chunks, each made from a seed and its own number alone, by whichever process."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context

import numpy as np

from ..hand.capsules import measure_proxies
from ..hand.dof import LIMITS
from ..hand.template import HandTemplate
from .penetration import part
from .retarget import Retargeted
from .sampler import sample_angles
from .splits import TRAIN

CHUNK = 1024
SAMPLED = -1  # in the place of a source


@dataclass(frozen=True)
class StreamSettings:
    """Shares of a chunk of poses; the rest comes from the sampler."""

    recorded: float = 0.3  # recordings as they are, give or take `jitter`
    crossed: float = 0.2  # fingers of one pose on the hand of another
    jitter: float = 3.0  # degrees
    pool: int = 40000  # poses kept; a chunk of new ones replaces the oldest
    refresh: float = 0.2  # new poses per hand handed out
    left_out: tuple[str, ...] = ()  # sources that are not trained on, to be judged by
    weights: dict[str, float] = field(default_factory=dict)  # of sources by name; 1 where nothing is said

    def __post_init__(self) -> None:
        if self.pool < 2 * CHUNK:
            raise ValueError(f"stream.pool must be at least {2 * CHUNK}, not {self.pool}.")
        if min(self.recorded, self.crossed) < 0 or self.recorded + self.crossed > 1:
            raise ValueError("stream.recorded and stream.crossed must be shares, together no more than 1.")
        if any(weight < 0 for weight in self.weights.values()):
            raise ValueError("stream.weights must not be below 0.")


@dataclass(frozen=True)
class Chunk:
    """Up to CHUNK poses: angles [n,24] float32 radians, and the source of each [n] int64 or SAMPLED."""

    angles: np.ndarray
    source: np.ndarray


def trained_on(recordings: list[Retargeted], settings: StreamSettings) -> list[Retargeted]:
    """The sources that are neither left out nor of weight 0, and have frames to train on.

    ValueError, one sentence: the settings name a source that is not there.
    """
    known = [r.name for r in recordings]
    for name, asked in (("left_out", settings.left_out), ("weights", settings.weights)):
        unknown = set(asked) - set(known)
        if recordings and unknown:
            text = f"stream.{name} names {', '.join(sorted(unknown))}; there are {', '.join(known)}."
            raise ValueError(text)
    kept = (r for r in recordings if r.name not in settings.left_out and settings.weights.get(r.name, 1.0))
    return [r for r in kept if (r.split == TRAIN).any()]


class PoseChunks:
    """chunk(number): sampled and recorded poses, clear of penetration (penetration.py).

    A source of recordings is drawn from by its weight, whatever its length.
    """

    def __init__(
        self, template: HandTemplate, recordings: list[Retargeted], settings: StreamSettings, seed: int
    ) -> None:
        """recordings: those of `trained_on`."""
        self.template, self.settings, self.seed = template, settings, abs(seed)
        self.proxies = measure_proxies(template)
        self.sources = [r.angles[r.split == TRAIN] for r in recordings]
        weights = np.array([settings.weights.get(r.name, 1.0) for r in recordings])
        self.shares = weights / weights.sum() if len(weights) else weights

    def __call__(self, number: int) -> Chunk:
        s, rng = self.settings, np.random.default_rng([self.seed, number])
        recorded = int(CHUNK * s.recorded) if self.sources else 0
        crossed = int(CHUNK * s.crossed)
        fresh = sample_angles(CHUNK - recorded - crossed, rng, self.template)
        taken, source = self._recorded(recorded, rng)
        mixed = _crossed(np.concatenate([fresh, taken]), crossed, rng)
        parted, clear = part(self.template, self.proxies, np.concatenate([taken, mixed]))
        sources = np.concatenate([source, np.full(crossed, SAMPLED)])
        return Chunk(
            np.concatenate([fresh, parted[clear]]).astype(np.float32),
            np.concatenate([np.full(len(fresh), SAMPLED), sources[clear]]),
        )

    def _recorded(self, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Recorded poses [count,24], most of them jittered, and their sources."""
        if count == 0:
            return np.zeros((0, 24), np.float32), np.zeros(0, np.int64)
        which = rng.choice(len(self.sources), count, p=self.shares)
        rows = np.stack([self.sources[w][rng.integers(0, len(self.sources[w]))] for w in which])
        noise = rng.normal(0, np.radians(self.settings.jitter), rows.shape)
        noise *= rng.random((count, 1)) < 0.7
        return np.clip(rows + noise, LIMITS[:, 0], LIMITS[:, 1]).astype(np.float32), which


def _crossed(poses: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Two poses, finger by finger from the one or the other, a little blended."""
    a, b = poses[rng.integers(0, len(poses), (2, count))]
    finger = np.repeat(np.arange(5), [6, 4, 4, 4, 4])
    finger = np.concatenate([finger, [3, 4]])
    share = (rng.random((count, 5)) < 0.5).astype(np.float32)[:, finger]
    share = np.clip(share + rng.normal(0, 0.1, (count, 1)), 0, 1)
    return (share * a + (1 - share) * b).astype(np.float32)


class Ahead:
    """The same chunks, made by processes in the background before they are asked for.

    Of every `stride` chunks one is asked for here, in rising order: whoever makes the others.
    """

    def __init__(self, chunks: PoseChunks, workers: int, stride: int = 1) -> None:
        # Read when a worker first imports numpy: it has one core to itself.
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        context = get_context("spawn")
        self.pool = ProcessPoolExecutor(workers, context, initializer=_begin, initargs=(chunks,))
        self.waiting: dict[int, Future[Chunk]] = {}
        self.ahead, self.stride = 2 * workers, stride

    def __call__(self, number: int) -> Chunk:
        wanted = [number + k * self.stride for k in range(self.ahead)]
        for due in wanted:
            if due not in self.waiting:
                self.waiting[due] = self.pool.submit(_make, due)
        chunk = self.waiting.pop(number).result()
        self.waiting = {due: self.waiting[due] for due in wanted[1:]}
        return chunk

    def close(self) -> None:
        self.pool.shutdown(cancel_futures=True)


_chunks: Callable[[int], Chunk]  # of a worker process


def _begin(chunks: PoseChunks) -> None:
    global _chunks
    _chunks = chunks


def _make(number: int) -> Chunk:
    return _chunks(number)
