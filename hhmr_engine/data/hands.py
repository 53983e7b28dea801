"""The endless stream of training hands: sampled and recorded poses, on hands of all proportions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..hand import dof
from ..hand.frame import palm_frame
from ..hand.skinning import skin
from ..hand.template import HandTemplate
from .pose_chunks import CHUNK, SAMPLED, Chunk, PoseChunks, StreamSettings, trained_on
from .retarget import Retargeted

__all__ = ["CHUNK", "SAMPLED", "HandStream", "StreamSettings"]

FINGER_OF_BONE = [finger for finger, bones in enumerate((3, 4, 4, 4, 4)) for _ in range(bones)]
PALM_LENGTHS = [1, 4, 8, 12, 16]  # the bones within the palm


class HandStream:
    """Batches of posed, shaped hands in the palm frame, on any device; the same seed gives the same hands.

    Poses come out of a pool that is renewed, a chunk at a time, as hands are handed out (`advance`).
    """

    def __init__(
        self,
        template: HandTemplate,
        recordings: list[Retargeted],
        settings: StreamSettings,
        seed: int,
        device: str | torch.device = "cpu",
        chunks: Callable[[PoseChunks], Callable[[int], Chunk]] = lambda chunks: chunks,
    ) -> None:
        """template as arrays. chunks: who makes the chunks of these recordings, where not this process."""
        recordings = trained_on(recordings, settings)
        self.tensors, self.settings = template.torch(device), settings
        self.coarse = self.tensors.on_nodes()
        self.make = chunks(PoseChunks(template, recordings, settings, seed))
        self.generator = torch.Generator(device).manual_seed(seed)
        self.device = self.generator.device

        def there(values: Any, kind: torch.dtype = torch.float32) -> Tensor:
            return torch.as_tensor(np.array(values), dtype=kind, device=device)

        self.lengths = there([r.calibration.lengths for r in recordings])  # [S,20]
        self.offsets = there([r.calibration.offsets for r in recordings])  # [S,20,3]
        self.weights = there([settings.weights.get(r.name, 1.0) for r in recordings])
        self.finger_of_bone = there(FINGER_OF_BONE, torch.int64)
        self.spread = there([1.0 if bone not in PALM_LENGTHS else 0.4 for bone in range(20)])
        self.pool = there(np.zeros((0, 24)))
        self.source = there(np.zeros(0), torch.int64)  # of each pose in the pool, or SAMPLED
        self.number, self.owed = 0, 0.0  # of the next chunk; poses

    def next(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """`count` hands [count,V,3] in the palm frame (UNIT).

        With a generator of their own they come out of the pool as it is: `advance` is left to the caller.
        """
        return self.mesh(*self.poses(count, generator), self.tensors, generator)

    def next_nodes(self, count: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Nodes [count,N,3] and joints [count,21,3] of `count` hands, without their full meshes."""
        nodes = self.mesh(*self.poses(count, generator), self.coarse, generator)
        return nodes, self.coarse.regressor @ nodes

    def advance(self, hands: int) -> None:
        """Renew the pool for this many hands."""
        self.owed += hands * self.settings.refresh
        while len(self.pool) < 2 * CHUNK or self.owed >= CHUNK:
            self.owed = max(0.0, self.owed - CHUNK)
            self._renew()

    def poses(self, count: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """`count` poses [count,24] and their sources [count] out of the pool."""
        if generator is None:
            self.advance(count)
        dice = generator or self.generator
        rows = torch.randint(0, len(self.pool), (count,), generator=dice, device=self.device)
        return self.pool[rows], self.source[rows]

    def mesh(
        self, angles: Tensor, source: Tensor, hand: HandTemplate, generator: torch.Generator | None = None
    ) -> Tensor:
        """Poses [n,24] on random hands: vertices [n,V,3] in the palm frame. hand: whole or coarse.

        Half of the recorded poses, and a sixth of the others, have a recorded hand's proportions and axes.
        """
        dice, count = generator or self.generator, len(angles)
        beta, lengths = self._shapes(count, dice)
        offsets = None
        if len(self.lengths):
            chance = torch.rand(count, generator=dice, device=self.device)
            lent = torch.where(source >= 0, 1 / 2, 1 / 6) > chance
            other = torch.multinomial(self.weights, count, replacement=True, generator=dice)
            owner = torch.where(source >= 0, source, other)
            theirs = self.lengths[owner] * (1 + 0.3 * (lengths - 1))
            lengths = torch.where(lent[:, None], theirs, lengths)
            offsets = self.offsets[owner] * lent[:, None, None]
        vertices, _ = skin(hand, dof.rotations(hand, angles, offsets), beta, lengths)
        return palm_frame(self.tensors, hand.regressor @ vertices).to_palm(vertices)

    def _shapes(self, count: int, dice: torch.Generator) -> tuple[Tensor, Tensor]:
        """beta [n,10] and bone lengths [n,20], distributed as hand.build.random_shapes has them."""

        def normal(*shape: int) -> Tensor:
            return torch.randn(count, *shape, generator=dice, device=self.device)

        beta, finger, bone, whole = normal(10), normal(5), normal(19), normal(1)
        bone = 0.08 * bone + 0.06 * finger[:, self.finger_of_bone] + 0.05 * whole
        lengths = torch.nn.functional.pad(bone.clamp(-0.3, 0.3), (1, 0)).exp()
        return beta, 1 + self.spread * (lengths - 1)

    def state(self) -> dict[str, Any]:
        """Enough to go on exactly here: tensors, and numbers that JSON can hold."""
        return {
            "generator": self.generator.get_state(),
            "pool": self.pool.cpu(),
            "source": self.source.cpu(),
            "number": self.number,
            "owed": self.owed,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """What `state` gave; of runs from before chunks had numbers, pool and debt alone."""
        self.pool, self.source = state["pool"].to(self.device), state["source"].to(self.device)
        self.owed, self.number = float(state["owed"]), int(state.get("number", 0))
        if "generator" in state:
            self.generator.set_state(state["generator"])

    def _renew(self) -> None:
        chunk, kept = self.make(self.number), self.settings.pool
        self.number += 1
        angles, source = (torch.from_numpy(part).to(self.device) for part in (chunk.angles, chunk.source))
        self.pool = torch.cat([self.pool, angles])[-kept:]
        self.source = torch.cat([self.source, source])[-kept:]
