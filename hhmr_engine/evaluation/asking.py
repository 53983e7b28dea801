"""Asking the engine for many hands alike: by every method, unselected, in the order of the draws."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from tqdm import tqdm

from ..engine import Engine
from ..request import Hypotheses, Request, RequestError
from .testset import TestHands

# What is compared, and how it is asked for. "fit" is the network with the skinned hand fitted to it.
METHODS: dict[str, dict[str, Any]] = {
    "network": {},
    "gaussian": {"method": "gaussian", "separate": False},
    "fit": {"fit": True},
}
SEED = 7
COUNT = 8


@dataclass
class Asker:
    """One engine, the bar that shows how far the measuring is, and the requests that were refused."""

    engine: Engine
    bar: tqdm
    refused: int = 0

    def ask(self, request: Request) -> Hypotheses:
        """The first `count` draws of a seed in their order, whatever their scores. Raises RequestError."""
        self.bar.update(-(-request.count // COUNT))
        found = self.engine.run(replace(request, diverse=False))
        order = np.argsort(found.draw)
        arrays = ("vertices", "joints", "residual", "self_intersection", "score", "draw")
        return replace(found, **{name: getattr(found, name)[order] for name in arrays})

    def joints(
        self, hands: TestHands, seen: np.ndarray, method: str, **changes: Any
    ) -> Iterator[tuple[int, Hypotheses]]:
        """Every hand completed from its joints where `seen` [21] or [N,21]; refused ones are counted."""
        told = np.where(np.broadcast_to(seen, (len(hands), 21))[..., None], hands.joints, np.nan)
        yield from self.told(told, method, **changes)

    def meshes(
        self, hands: TestHands, kept: np.ndarray, method: str, **changes: Any
    ) -> Iterator[tuple[int, Hypotheses]]:
        """Every hand completed from its vertices where `kept` [V] or [N,V]."""
        told = np.where(np.broadcast_to(kept, hands.vertices.shape[:2])[..., None], hands.vertices, np.nan)
        yield from self.told(told, method, **changes)

    def told(self, told: np.ndarray, method: str, **changes: Any) -> Iterator[tuple[int, Hypotheses]]:
        """Every hand of joints [N,21,3] or vertices [N,V,3], NaN = unknown."""
        name = "joints" if told.shape[1] == 21 else "vertices"
        for row, points in enumerate(told):
            options: dict[str, Any] = {
                "seed": SEED,
                "count": COUNT,
                **METHODS[method],
                name: points.astype(np.float32),
                **changes,
            }
            try:
                yield row, self.ask(Request("inpaint", **options))
            except RequestError:
                self.refused += 1


def millimetres(values: np.ndarray) -> np.ndarray:
    """Metres to millimetres, in float64."""
    return 1e3 * np.asarray(values, np.float64)
