"""A dataset's evaluation split through the engine: errors of all hypotheses, the servers' figures of one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple, dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...datasets.sample import HandDataset, HandSample
from ...engine import Engine
from ...request import MAX_COUNT, RequestError
from ..asking import SEED, Asker
from ..metrics import best_of
from ..tables.table import Context
from .asking import Shown, answer, in_place, request_of, shown
from .augmentation import CROPS, Answer, fused
from .parts import SIZE, Part, joined, load
from .protocols import Scores, aligned_errors, mean, scores

# Faults that all hands would have.
OF_ALL = ("no_weights", "bad_weights", "wrong_topology", "bad_request", "too_many", "out_of_memory")


@dataclass(frozen=True)
class Setting:
    """What one run over a dataset asks for."""

    told: str = "photo"  # of asking.TOLD
    steps: int = 10
    crops: str = "none"  # of augmentation.CROPS


@dataclass
class Measured:
    """Of N hands, n hypotheses each: PA errors in mm; NaN where the truth is not known."""

    mpjpe: NDArray  # [N,n]
    mpvpe: NDArray
    one: Answer  # [N,...]: of each hand the first draw, in its place before the camera
    server: Scores  # of that one
    refused: int  # hands that could not be done: the template's neutral hand stands for them

    def best(self, count: int) -> tuple[float, float]:
        """Means of the minimum over `count` hypotheses: MPJPE and MPVPE, each with its own minimum."""
        joints, vertices = (best_of(errors, (count,))[count] for errors in (self.mpjpe, self.mpvpe))
        return joints, vertices


@dataclass
class Runs:
    """What was measured already: tables share runs, and one of more hypotheses serves those of fewer."""

    context: Context
    limit: int | None = None  # hands of each dataset, evenly over it
    folder: Path | None = None  # for what is measured so far; None: it is not kept
    _done: dict[tuple[int, str, Setting], Measured] = field(default_factory=dict)

    def measure(
        self, dataset: HandDataset, setting: Setting, count: int = 1, engine: Engine | None = None
    ) -> Measured:
        """`count` hypotheses for each hand. RequestError where no hand could be done at all."""
        engine = engine or self.context.engine
        key = id(engine), dataset.name, setting
        if key not in self._done or self._done[key].mpjpe.shape[1] < count:
            self._done[key] = self._measure(dataset, setting, count, engine)
        return self._done[key]

    def rows(self, dataset: HandDataset) -> list[int]:
        """Which of its hands are measured."""
        size = len(dataset)
        some = size if self.limit is None else min(self.limit, size)
        return np.unique(np.linspace(0, size - 1, some).round().astype(int)).tolist()

    def samples(self, dataset: HandDataset) -> Iterator[HandSample]:
        for row in self.rows(dataset):
            yield dataset[row]

    def _measure(self, dataset: HandDataset, setting: Setting, count: int, engine: Engine) -> Measured:
        asker = self.context.asker(engine)
        rows = self.rows(dataset)
        each = len(CROPS[setting.crops]) * -(-count // 8)
        self.context.expect(len(rows) * each)
        found = []
        for start in range(0, len(rows), SIZE):
            some = rows[start : start + SIZE]
            path = self._file(dataset, setting, count, engine, start)
            part = None if path is None else load(path, len(some), count)
            if part is None:
                part = joined([_hand(asker, dataset[row], dataset.name, setting, count) for row in some])
                if path is not None:
                    part.save(path)
            else:
                self.context.bar.update(len(some) * each)
            found.append(part)
        whole = joined(found)
        server = mean([Scores(*row) for row in whole.server.tolist()])
        one = Answer(whole.joints, whole.vertices)
        return Measured(whole.mpjpe, whole.mpvpe, one, server, int(whole.refused.sum()))

    def _file(
        self, dataset: HandDataset, setting: Setting, count: int, engine: Engine, start: int
    ) -> Path | None:
        """Where a part of this run is kept: all that it follows from is in the name."""
        if self.folder is None:
            return None
        told = setting.told.replace(" ", "")
        what = f"{dataset.name}-{len(self.rows(dataset))}of{len(dataset)}-{told}-{setting.crops}"
        run = f"{what}-T{setting.steps}-n{count}-{engine.info()['weights_sha256']}"
        return self.folder / run / f"{start:06d}.npz"


def ask(asker: Asker, picture: Shown, setting: Setting, count: int) -> Answer:
    """`count` hypotheses of one hand: with several crops, hypothesis k is the mean of all crops' draws k.

    Draw k starts from the same noise in every crop, so that hypotheses keep their differences.
    """
    answers = []
    for crop in CROPS[setting.crops]:
        parts = [
            answer(
                asker.ask(
                    request_of(
                        picture,
                        setting.told,
                        count=min(MAX_COUNT, count - start),
                        seed=SEED + start,
                        steps=setting.steps,
                        crops=crop[None],
                    )
                )
            )
            for start in range(0, count, MAX_COUNT)
        ]
        joined = (np.concatenate([getattr(p, n) for p in parts]) for n in ("joints", "vertices"))
        answers.append(Answer(*joined))
    return fused(answers)


def neutral(engine: Engine, sample: HandSample, count: int) -> Answer:
    """The template at rest before the camera: an answer that tells nothing."""
    template = engine.arrays
    flip = np.array([-1 if sample.side == "left" else 1, -1, -1], np.float32)  # fingers up, y down
    place = np.array([0, 0, 0.6], np.float32)
    points = (template.joints * flip + place, template.vertices * flip + place)
    return Answer(*(np.repeat(p[None], count, 0).astype(np.float32) for p in points))


def _hand(asker: Asker, sample: HandSample, name: str, setting: Setting, count: int) -> Part:
    """One hand. RequestError where no hand could be done."""
    refused = False
    try:
        hands = ask(asker, shown(sample), setting, count)
    except (RequestError, ValueError) as fault:  # it is no hand to the engine, or its photo is damaged
        if isinstance(fault, RequestError) and fault.code in OF_ALL:
            raise
        refused, hands = True, neutral(asker.engine, sample, count)
    placed = in_place(hands, sample, name)
    joints, vertices = _aligned(placed, sample)
    one = Answer(placed.joints[:1], placed.vertices[:1])
    figures = np.array([astuple(_figures(one, sample))])
    return Part(joints[None], vertices[None], one.joints, one.vertices, figures, np.array([refused]))


def _aligned(hands: Answer, sample: HandSample) -> tuple[NDArray, NDArray]:
    """PA errors [n] of joints and vertices, mm."""
    unknown = np.full(len(hands), np.nan)
    joints = vertices = unknown
    if np.isfinite(sample.joints).all():
        joints = 1e3 * aligned_errors(hands.joints, sample.joints)
    truth = sample.vertices
    if truth is not None and truth.shape == hands.vertices.shape[1:]:
        vertices = 1e3 * aligned_errors(hands.vertices, truth)
    return joints, vertices


def _figures(one: Answer, sample: HandSample) -> Scores:
    if not np.isfinite(sample.joints).all():
        return Scores(*[np.nan] * 6)
    return scores(one.joints[0], one.vertices[0], sample.joints, sample.vertices)
