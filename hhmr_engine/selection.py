"""Choosing among draws by what can be known without the truth: how far each of them may be from it.

Draws are samples of what the truth may be. So the mean distance of a draw to others is the distance to the
truth that is to be expected of it, as far as the network is right, and the one where it is smallest (the
medoid) is the safest to take.
"""

from __future__ import annotations

import numpy as np

# Millimetres of expected error for a millimetre of distance from other draws, for one of residual beyond the
# noise, and for a per cent of self-intersecting faces. On validation hands the first is 0.98, and the last 0
# within two standard errors, as is that of how far the network moves a draw that is re-noised: what little
# crossing fingers count is for the eye, among draws that are as likely.
DISTANCE, RESIDUAL, CROSSING = 1.0, 1.0, 0.1
HALF = 10.0  # millimetres of expected error that halve a score


def apart(joints: np.ndarray, witnesses: int) -> np.ndarray:
    """[n] mean joint distance of each of the hands [n,21,3] to the others of the first `witnesses` of them.

    In the unit of the joints; 0 for a hand alone. Only the first ones are asked, so that a hand's figure does
    not depend on how many more there are.
    """
    others = joints[:witnesses]
    distance = np.stack([np.linalg.norm(others - hand, axis=-1).mean(-1) for hand in joints])
    own = np.arange(len(joints)) < len(others)
    return (distance.sum(1) / np.maximum(len(others) - own, 1)).astype(np.float32)


def expected_error(
    apart: np.ndarray, residual: np.ndarray, rho: float, self_intersection: np.ndarray
) -> np.ndarray:
    """[n] millimetres: what the mean error of a hand's 21 joints is likely to be.

    apart and residual [n] in millimetres at hand size, rho the noise of what was given, self_intersection [n]
    in per cent of faces.
    """
    beyond = np.maximum(residual - rho, 0)
    return DISTANCE * apart + RESIDUAL * beyond + CROSSING * self_intersection


def score(expected: np.ndarray) -> np.ndarray:
    """[n] in (0,1] of expected errors in millimetres: 0.5 at HALF, 0.25 at twice as much."""
    return np.exp2(-expected / HALF).astype(np.float32)


def choose(scores: np.ndarray, joints: np.ndarray, count: int, diverse: bool) -> np.ndarray:
    """Indices of `count` draws, best score first.

    Without `diverse` the first `count` draws. With it the best of all, and of all but the worst eighth the
    most different: each next one is the farthest from those chosen (mean joint distance). joints [n,21,3].
    """
    if not diverse or len(scores) <= count:
        chosen = np.arange(len(scores))[:count]
        return chosen[np.argsort(-scores[chosen], kind="stable")]
    plausible = np.argsort(-scores, kind="stable")[: max(count, len(scores) * 7 // 8)]
    points = joints[plausible]
    apart = np.linalg.norm(points[:, None] - points[None], axis=-1).mean(-1)
    picked = [0]
    while len(picked) < count:
        nearest = apart[:, picked].min(1)
        nearest[picked] = -1
        picked.append(int(nearest.argmax()))
    chosen = plausible[picked]
    return chosen[np.argsort(-scores[chosen], kind="stable")]
