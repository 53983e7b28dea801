"""The endless stream of training hands: sampled and recorded poses, on hands of all proportions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..hand import dof
from ..hand.build import random_shapes
from ..hand.dof import LIMITS
from ..hand.frame import palm_frame
from ..hand.skinning import skin
from ..hand.template import HandTemplate
from .penetration import measure_proxies, part
from .retarget import Retargeted
from .sampler import sample_angles

CHUNK = 1024


@dataclass(frozen=True)
class StreamSettings:
    """Shares of a chunk of poses; the rest comes from the sampler."""

    recorded: float = 0.3  # recordings as they are, give or take `jitter`
    crossed: float = 0.2  # fingers of one pose on the hand of another
    jitter: float = 3.0  # degrees
    pool: int = 40000  # poses kept; a chunk of new ones replaces the oldest
    refresh: float = 0.2  # new poses per hand handed out
    left_out: tuple[str, ...] = ()  # sources that are not trained on, to be judged by

    def __post_init__(self) -> None:
        if self.pool < 2 * CHUNK:
            raise ValueError(f"stream.pool must be at least {2 * CHUNK}, not {self.pool}.")
        if min(self.recorded, self.crossed) < 0 or self.recorded + self.crossed > 1:
            raise ValueError("stream.recorded and stream.crossed must be shares, together no more than 1.")


class HandStream:
    """Batches of posed, shaped hands in the palm frame; the same seed gives the same hands.

    Every source of recordings has the same weight, whatever its length. Poses run into no finger: what does
    is parted by the capsule proxies (penetration.py).
    """

    def __init__(
        self, template: HandTemplate, recordings: list[Retargeted], settings: StreamSettings, seed: int
    ) -> None:
        self.template, self.tensors = template, template.torch()
        self.coarse = self.tensors.on_nodes()
        self.settings = settings
        self.rng = np.random.default_rng(seed)
        self.proxies = measure_proxies(template)
        unknown = set(settings.left_out) - {r.name for r in recordings}
        if recordings and unknown:
            known = ", ".join(r.name for r in recordings)
            text = f"stream.left_out names {', '.join(sorted(unknown))}; there are {known}."
            raise ValueError(text)
        recordings = [r for r in recordings if r.name not in settings.left_out]
        self.sources = [r.angles[r.split == "train"] for r in recordings]
        self.calibrations = [r.calibration for r in recordings]
        self.pool = np.zeros((0, 24), np.float32)
        self.source = np.zeros(0, np.int64)  # of each pose in the pool; -1: sampled
        self.owed = 0.0

    def next(self, count: int) -> Tensor:
        """`count` hands [count,V,3] in the palm frame (UNIT)."""
        return self.mesh(*self.poses(count))

    def next_nodes(self, count: int) -> tuple[Tensor, Tensor]:
        """Nodes [count,N,3] and joints [count,21,3] of `count` hands, without their full meshes."""
        nodes = self.mesh(*self.poses(count), self.coarse)
        return nodes, self.coarse.regressor @ nodes

    def poses(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """`count` poses [count,24] and their sources [count] out of the pool, renewed as it is used."""
        self.owed += count * self.settings.refresh
        if len(self.pool) < 2 * CHUNK or self.owed >= CHUNK:
            self.owed = 0.0
            while len(self.pool) < 2 * CHUNK:
                self._renew()
            self._renew()
        rows = self.rng.integers(0, len(self.pool), count)
        return self.pool[rows], self.source[rows]

    def mesh(self, angles: np.ndarray, source: np.ndarray, template: HandTemplate | None = None) -> Tensor:
        """Poses [n,24] on random hands: vertices [n,V,3] in the palm frame.

        Half of the recorded poses, and a sixth of the others, have a recorded hand's proportions and axes.
        """
        beta, lengths = random_shapes(self.rng, len(angles))
        offsets = np.zeros((len(angles), 20, 3), np.float32)
        lent = np.where(source >= 0, 1 / 2, 1 / 6) > self.rng.random(len(angles))
        owner = np.where(
            source >= 0, source, self.rng.integers(0, max(1, len(self.calibrations)), len(angles))
        )
        for i, calibration in enumerate(self.calibrations):
            mine = lent & (owner == i)
            lengths[mine] = calibration.lengths * (1 + 0.3 * (lengths[mine] - 1))
            offsets[mine] = calibration.offsets
        hand = template or self.tensors
        turn = dof.rotations(hand, torch.from_numpy(angles), torch.from_numpy(offsets))
        vertices, _ = skin(hand, turn, torch.from_numpy(beta), torch.from_numpy(lengths))
        return palm_frame(self.tensors, hand.regressor @ vertices).to_palm(vertices)

    def state(self) -> dict[str, object]:
        """Enough to go on exactly here."""
        return {
            "rng": self.rng.bit_generator.state,
            "pool": self.pool,
            "source": self.source,
            "owed": self.owed,
        }

    def restore(self, state: dict) -> None:
        self.rng.bit_generator.state = state["rng"]
        self.pool, self.source, self.owed = state["pool"], state["source"], state["owed"]

    def _renew(self) -> None:
        s = self.settings
        recorded = int(CHUNK * s.recorded) if self.sources else 0
        crossed = int(CHUNK * s.crossed)
        fresh = sample_angles(CHUNK - recorded - crossed, self.rng, self.template)
        taken, source = self._recorded(recorded)
        mixed = self._crossed(np.concatenate([fresh, taken]), crossed)
        parted, clear = part(self.template, self.proxies, np.concatenate([taken, mixed]))
        sources = np.concatenate([source, np.full(crossed, -1)])
        self.pool = np.concatenate([self.pool, fresh, parted[clear]])[-s.pool :].astype(np.float32)
        self.source = np.concatenate([self.source, np.full(len(fresh), -1), sources[clear]])[-s.pool :]

    def _recorded(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Recorded poses [count,24], most of them jittered, and their sources."""
        if count == 0:
            return np.zeros((0, 24), np.float32), np.zeros(0, np.int64)
        which = self.rng.integers(0, len(self.sources), count)
        rows = np.stack([self.sources[w][self.rng.integers(0, len(self.sources[w]))] for w in which])
        noise = self.rng.normal(0, np.radians(self.settings.jitter), rows.shape)
        noise *= self.rng.random((count, 1)) < 0.7
        return np.clip(rows + noise, LIMITS[:, 0], LIMITS[:, 1]).astype(np.float32), which

    def _crossed(self, poses: np.ndarray, count: int) -> np.ndarray:
        """Two poses, finger by finger from the one or the other, a little blended."""
        a, b = poses[self.rng.integers(0, len(poses), (2, count))]
        finger = np.repeat(np.arange(5), [6, 4, 4, 4, 4])
        finger = np.concatenate([finger, [3, 4]])
        share = (self.rng.random((count, 5)) < 0.5).astype(np.float32)[:, finger]
        share = np.clip(share + self.rng.normal(0, 0.1, (count, 1)), 0, 1)
        return (share * a + (1 - share) * b).astype(np.float32)
