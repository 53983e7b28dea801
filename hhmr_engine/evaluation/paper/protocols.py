"""How the servers of FreiHAND and HO3D measure one hand: alignments, errors, areas under curves, F-scores.

After the datasets' own evaluation programs (`eval.py` of FreiHAND, and of HO3D, which follows it). Points are
in metres; the joints' and the meshes' alignments are found separately, as there. All figures of many hands
are the means of those of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ..metrics import mean_point_error

Array = NDArray[np.float64]

THRESHOLDS = np.linspace(0.0, 0.05, 100)  # of the curve of correct points: 0 to 5 cm
F_AT = (0.005, 0.015)
WRIST, MIDDLE_KNUCKLE = 0, 9  # in OpenPose order; HO3D's own order has the knuckle at 4


@dataclass(frozen=True)
class Scores:
    """Of one hand, or their means. Millimetres; areas and F-scores 0..1. NaN: there is no such thing.

    "pa" is after the servers' Procrustes alignment, "st" after HO3D's of scale and translation, which takes
    no rotation out; the others are as the hands stand before the camera. Meshes of another topology than the
    truth's have no vertex errors, and their F-scores follow the joints' alignment.
    """

    mpjpe: float
    joints_auc: float
    pa_mpjpe: float
    pa_joints_auc: float
    st_mpjpe: float
    st_joints_auc: float
    mpvpe: float = np.nan
    vertices_auc: float = np.nan
    pa_mpvpe: float = np.nan
    pa_vertices_auc: float = np.nan
    f5: float = np.nan
    f15: float = np.nan
    pa_f5: float = np.nan
    pa_f15: float = np.nan


@dataclass(frozen=True)
class Similarity:
    """x -> scale * (x - source) @ rotation + target."""

    scale: Array  # [...]
    rotation: Array  # [...,3,3]
    source: Array  # [...,1,3]
    target: Array

    def __call__(self, points: NDArray) -> Array:
        return self.scale[..., None, None] * ((points - self.source) @ self.rotation) + self.target


def similarity(source: NDArray, target: NDArray) -> Similarity:
    """The servers' alignment of points [...,P,3]: least squares over scale, place and *orthogonal* matrices.

    Unlike `metrics.procrustes_align` it may mirror, as scipy's `orthogonal_procrustes`, which they call,
    does. That never happens to a hand that resembles the truth.
    """
    source, target = np.asarray(source, np.float64), np.asarray(target, np.float64)
    x0, y0 = source.mean(-2, keepdims=True), target.mean(-2, keepdims=True)
    x, y = source - x0, target - y0
    u, singular, vt = np.linalg.svd(np.swapaxes(x, -1, -2) @ y)
    spread = (x * x).sum((-1, -2))
    return Similarity(singular.sum(-1) / np.where(spread > 0, spread, 1.0), u @ vt, x0, y0)


def aligned(predicted: NDArray, truth: NDArray) -> Array:
    """Points [...,P,3] moved onto the truth as the servers do it."""
    return similarity(predicted, truth)(np.asarray(predicted, np.float64))


def scaled_onto(joints: NDArray, truth: NDArray) -> Array:
    """HO3D's other alignment of joints [...,21,3]: wrist on wrist, the middle knuckle as far from it."""
    joints, truth = np.asarray(joints, np.float64), np.asarray(truth, np.float64)
    own, wanted = (
        np.linalg.norm(j[..., MIDDLE_KNUCKLE, :] - j[..., WRIST, :], axis=-1) for j in (joints, truth)
    )
    scale = (wanted / np.where(own > 0, own, 1.0))[..., None, None]
    return (joints - joints[..., :1, :]) * scale + truth[..., :1, :]


def area_under_curve(errors: NDArray) -> Array:
    """[...]: of the share of points [...,P] within each of THRESHOLDS, by trapezoids, as a part of all."""
    first = np.searchsorted(THRESHOLDS, errors)  # the first threshold that an error lies within
    last = len(THRESHOLDS) - 1
    area = np.where(first > last, 0.0, last - first + np.where(first == 0, 0.0, 0.5)) / last
    return np.asarray(area.mean(-1))


def f_scores(predicted: NDArray, truth: NDArray) -> list[float]:
    """F-score of point sets [P,3] and [Q,3] at each of F_AT, metres."""
    there = cKDTree(truth).query(predicted)[0]
    back = cKDTree(predicted).query(truth)[0]
    result = []
    for threshold in F_AT:
        shares = float((there < threshold).mean()), float((back < threshold).mean())
        result.append(2 * shares[0] * shares[1] / sum(shares) if sum(shares) else 0.0)
    return result


def scores(
    joints: NDArray, vertices: NDArray | None, true_joints: NDArray, true_vertices: NDArray | None
) -> Scores:
    """All figures of one hand: joints [21,3], vertices [V,3]; without the truth's vertices only of joints."""
    placing = similarity(joints, true_joints)
    by_joint = [
        np.linalg.norm(np.asarray(j, np.float64) - true_joints, axis=-1)
        for j in (joints, placing(joints), scaled_onto(joints, true_joints))
    ]
    figures = [value for off in by_joint for value in (1e3 * float(off.mean()), float(area_under_curve(off)))]
    if vertices is None or true_vertices is None:
        return Scores(*figures)
    same = vertices.shape == true_vertices.shape
    moved = aligned(vertices, true_vertices) if same else placing(vertices)
    for mesh in (vertices, moved):
        off = np.linalg.norm(mesh - true_vertices, axis=-1) if same else np.full(1, np.nan)
        figures += [1e3 * float(off.mean()), float(area_under_curve(off)) if same else np.nan]
    return Scores(*figures, *f_scores(vertices, true_vertices), *f_scores(moved, true_vertices))


def mean(each: Sequence[Scores]) -> Scores:
    """Of many hands: what a server reports. A figure that one of them lacks is the mean over the others."""
    columns = {f.name: np.array([getattr(one, f.name) for one in each], float) for f in fields(Scores)}
    return Scores(**{n: float(np.nanmean(c)) if np.isfinite(c).any() else np.nan for n, c in columns.items()})


def aligned_errors(predicted: NDArray, truth: NDArray) -> Array:
    """[n]: PA error of n hypotheses [n,P,3] of one hand [P,3], in the points' unit: mean point distance."""
    return mean_point_error(aligned(predicted, truth), truth)
