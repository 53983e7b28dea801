"""Hands to measure on, fixed by named seeds: sampled ones, and held-out recordings on our hand."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np
import torch

from ..data.hands import HandStream, StreamSettings
from ..data.retarget import Retargeted
from ..data.sampler import sample_angles
from ..data.sources import GAP
from ..data.splits import TEST, TRAIN
from ..hand import dof
from ..hand.build import random_shapes
from ..hand.frame import palm_frame
from ..hand.rotation import rotation_matrix
from ..hand.skinning import skin
from ..hand.template import UNIT, HandTemplate

SYNTHETIC_SEED = "hhmr-test-synthetic-1"
RECORDED_SEED = "hhmr-test-recorded-1"
REFERENCE_SEED = "hhmr-test-reference-1"
DATA_SEED = "hhmr-test-data-1"


@dataclass(frozen=True)
class TestHands:
    """N right hands in metres at our hand's size, each turned and moved at random: no frame is special."""

    __test__ = False  # pytest takes classes of this name for tests

    vertices: np.ndarray  # [N,V,3] float32
    joints: np.ndarray  # [N,21,3] float32: regressor @ vertices
    source: np.ndarray  # [N] str
    raw_residual: np.ndarray  # [N] mm from the recorded joints at our hand's size; NaN for sampled hands

    def __len__(self) -> int:
        return len(self.vertices)

    def first(self, count: int) -> TestHands:
        """`count` hands (or all, if there are fewer), evenly out of the list: every source stays in."""
        rows = np.unique(np.linspace(0, len(self) - 1, min(count, len(self))).round().astype(int))
        return TestHands(self.vertices[rows], self.joints[rows], self.source[rows], self.raw_residual[rows])


def generator(name: str) -> np.random.Generator:
    """Random numbers that depend on a name alone."""
    return np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little"))


def synthetic_hands(template: HandTemplate, count: int, seed: str = SYNTHETIC_SEED) -> TestHands:
    """Poses of the biomechanical sampler on hands of random proportions."""
    rng = generator(seed)
    angles = sample_angles(count, rng, template)
    beta, lengths = random_shapes(rng, count)
    vertices, _ = skin(template, dof.rotations(template, angles), beta, lengths)
    return _placed(template, vertices, np.full(count, "sampled"), np.full(count, np.nan), rng)


def recorded_hands(
    template: HandTemplate, recordings: list[Retargeted], per_source: int, split: str = TEST
) -> TestHands:
    """Held-out frames of every source on our hand with its calibration: the truth is our fitted mesh.

    Up to `per_source` frames of each, evenly over its test split (or VALIDATION, to choose settings by);
    frames of a gap belong to nobody.
    """
    rng = generator(RECORDED_SEED)
    meshes, sources, residuals = [], [], []
    for recording in recordings:
        rows = held_out_rows(recording, per_source, split)
        if len(rows) == 0:  # a short recording is whole in one split
            continue
        offsets = recording.calibration.offsets.astype(np.float32)
        lengths = np.tile(recording.calibration.lengths.astype(np.float32), (len(rows), 1))
        turn = dof.rotations(template, recording.angles[rows], offsets)
        meshes.append(skin(template, turn, None, lengths)[0])
        sources += [recording.name] * len(rows)
        residuals.append(recording.residual_mm[rows])
    return _placed(template, np.concatenate(meshes), np.array(sources), np.concatenate(residuals), rng)


def held_out_rows(recording: Retargeted, count: int, split: str = TEST) -> np.ndarray:
    """The frames of a source that `recorded_hands` takes, in its order."""
    rows = np.flatnonzero(recording.split == split)
    return rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int)]


def stream_hands(
    template: HandTemplate,
    recordings: list[Retargeted],
    count: int,
    name: str,
    settings: StreamSettings | None = None,
) -> np.ndarray:
    """`count` hands [count,V,3] as training sees them, without held-out frames; palm frame, metres."""
    stream = HandStream(
        template, recordings, settings or StreamSettings(), int(generator(name).integers(2**31))
    )
    return np.concatenate([stream.next(min(500, count - i)).numpy() * UNIT for i in range(0, count, 500)])


def only_held_out(recordings: list[Retargeted]) -> list[Retargeted]:
    """The same recordings for a stream of hands that training has not seen: their test frames alone."""
    held = [replace(r, split=np.where(r.split == TEST, TRAIN, GAP)) for r in recordings]
    return [r for r in held if (r.split == TRAIN).any()]


def in_palm_frame(template: HandTemplate, joints: np.ndarray) -> np.ndarray:
    """Complete joints [N,21,3] in the palm frame, metres at our hand's size: pose without place and size."""
    points = torch.from_numpy(np.ascontiguousarray(joints, np.float32))
    return palm_frame(template.torch(), points).to_palm(points).numpy() * UNIT


def _placed(
    template: HandTemplate,
    vertices: np.ndarray,
    source: np.ndarray,
    residual: np.ndarray,
    rng: np.random.Generator,
) -> TestHands:
    turn = _random_rotations(len(vertices), rng)
    shift = rng.normal(0, 0.3, (len(vertices), 1, 3))
    vertices = (vertices @ turn.transpose(0, 2, 1) + shift).astype(np.float32)
    return TestHands(vertices, (template.regressor @ vertices).astype(np.float32), source, residual)


def _random_rotations(count: int, rng: np.random.Generator) -> np.ndarray:
    """[count,3,3], any axis and up to half a turn."""
    axis = rng.normal(size=(count, 3))
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    return rotation_matrix(axis * rng.uniform(0, np.pi, (count, 1)))
