"""Figures of hands completed from a 3D skeleton: all of it, or with fingers hidden."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ..engine import Engine
from ..hand.skeleton import FINGER_JOINTS
from . import metrics
from .asking import Asker, millimetres
from .testset import TestHands, in_palm_frame

HIDDEN = ("middle", "ring", "pinky")
BENT = 15.0  # degrees beyond a hinge's limits: no hand bends so


@dataclass(frozen=True)
class FullSkeleton:
    """Means over hands, mm. Errors are PA-MPVPE but for `joints`: distance from the given joints in place."""

    sample: float  # a draw (metrics.of_a_draw)
    mean: float  # mean of eight draws
    first: float  # the one that scores best
    best: float  # the one that is best (an oracle)
    joints: float


@dataclass(frozen=True)
class HiddenFingers:
    """Means over hands, mm but for `self_intersection` (per cent of faces, adjacent segments left out)."""

    visible: float  # distance of the visible joints, in place
    energy: float  # energy score of the hidden joints
    best: float  # hidden joints: the best of eight
    first: float  # hidden joints: the one that scores best
    sample: float  # hidden joints: mean over draws
    apd: float  # of the hidden joints
    self_intersection: float
    bent: float  # per cent of draws with a joint more than BENT beyond what it can
    rank: float  # Spearman correlation of the score with minus the error of all joints, within a hand's draws
    nearest: float  # mean joint distance to the nearest of the reference hands, palm frame
    energies: tuple[float, ...]  # of every hand


def full_skeleton(asker: Asker, hands: TestHands, method: str) -> FullSkeleton:
    """All 21 joints given without noise."""
    rows = []
    for i, found in asker.joints(hands, np.ones(21, bool), method):
        errors = millimetres(metrics.aligned_error(found.vertices, hands.vertices[i]))
        middle = millimetres(metrics.aligned_error(found.vertices.mean(0), hands.vertices[i]))
        joints = millimetres(metrics.mean_point_error(found.joints, hands.joints[i])).mean()
        rows.append((metrics.of_a_draw(errors), middle, errors[found.score.argmax()], errors.min(), joints))
    return FullSkeleton(*np.mean(np.array(rows, np.float64), 0).tolist())


def hidden_joints(knuckles_seen: bool) -> np.ndarray:
    """[21] bool: the joints of HIDDEN, all four of each or without the knuckle."""
    hidden = np.zeros(21, bool)
    for finger in HIDDEN:
        hidden[list(FINGER_JOINTS[finger][knuckles_seen:])] = True
    return hidden


def hidden_fingers(
    asker: Asker, hands: TestHands, reference: np.ndarray, method: str, knuckles_seen: bool = False
) -> HiddenFingers:
    """Middle, ring and pinky unknown; `reference` [M,21,3] joints of plausible hands, palm frame, metres."""
    hidden = hidden_joints(knuckles_seen)
    rows, poses = [], []
    for i, found in asker.joints(hands, ~hidden, method):
        truth, joints = millimetres(hands.joints[i]), millimetres(found.joints)
        errors = metrics.mean_point_error(joints[:, hidden], truth[hidden])
        rows.append(
            (
                metrics.mean_point_error(joints[:, ~hidden], truth[~hidden]).mean(),
                metrics.energy_score(joints[:, hidden], truth[hidden]),
                errors.min(),
                errors[found.score.argmax()],
                errors.mean(),
                metrics.average_pairwise_distance(joints[:, hidden], joints[:, 0]),
                found.self_intersection.mean(),
                100 * (bent(asker.engine, found.vertices) > BENT).mean(),
                rank_correlation(found.score, -metrics.mean_point_error(joints, truth)),
            )
        )
        poses.append(in_palm_frame(asker.engine.arrays, found.joints))
    means = np.nanmean(np.array(rows, np.float64), 0).tolist()
    nearest = millimetres(metrics.nearest_hand_distance(np.concatenate(poses), reference)).mean()
    return HiddenFingers(*[*means, float(nearest), tuple(float(row[1]) for row in rows)])


def bent(engine: Engine, vertices: np.ndarray) -> np.ndarray:
    """[n] degrees by which meshes [n,V,3] bend a finger's hinge beyond its limits at most."""
    nodes = torch.from_numpy(vertices[:, engine.arrays.nodes].astype(np.float32)).to(engine.device)
    return np.degrees(engine.hinges.bend(nodes.flatten(1)).abs().amax((1, 2)).cpu().numpy())


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's rho without ties' correction; NaN where either is constant."""
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(np.corrcoef(a.argsort().argsort(), b.argsort().argsort())[0, 1])
