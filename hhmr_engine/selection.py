"""Choosing among draws by what can be known without the truth."""

from __future__ import annotations

import numpy as np

# What makes a draw half as plausible: millimetres of residual beyond the noise, per cent of self-intersecting
# faces, millimetres of self-consistency (docs/results.md has the rank correlation with the true error).
HALF = {"residual": 3.0, "self_intersection": 2.0, "consistency": 1.5}


def score(
    residual: np.ndarray, rho: float, self_intersection: np.ndarray, consistency: np.ndarray
) -> np.ndarray:
    """[n] in (0,1]: residual in millimetres at hand size with noise rho, per cent of faces, millimetres."""
    badness = (
        np.maximum(residual - rho, 0) / HALF["residual"]
        + self_intersection / HALF["self_intersection"]
        + consistency / HALF["consistency"]
    )
    return np.exp2(-badness).astype(np.float32)


def choose(scores: np.ndarray, joints: np.ndarray, count: int, diverse: bool) -> np.ndarray:
    """Indices of `count` draws, best score first.

    Without `diverse` the first `count` draws. With it the plausible half of more draws, and of them the most
    different: each next one is the farthest from those chosen (mean joint distance). joints [n,21,3].
    """
    if not diverse or len(scores) <= count:
        chosen = np.arange(len(scores))[:count]
        return chosen[np.argsort(-scores[chosen], kind="stable")]
    plausible = np.argsort(-scores, kind="stable")[: max(count, len(scores) * 3 // 4)]
    points = joints[plausible]
    apart = np.linalg.norm(points[:, None] - points[None], axis=-1).mean(-1)
    picked = [0]
    while len(picked) < count:
        nearest = apart[:, picked].min(1)
        nearest[picked] = -1
        picked.append(int(nearest.argmax()))
    chosen = plausible[picked]
    return chosen[np.argsort(-scores[chosen], kind="stable")]
