"""The paper's measures of a hand and those that need several hypotheses, as pure numpy functions.

Points are `[..., P, 3]`; any unit goes in and the same unit comes out, except where a name says mm. Sums are
in float64. Symbols: n hypotheses, B hands, P points (21 joints or V vertices).

MPJPE and MPVPE are the same formula on joints and on vertices, so there is one function, `mean_point_error`;
PA- (Procrustes aligned) is `aligned_error`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import sqrtm
from scipy.spatial import cKDTree

Array = NDArray[np.float64]


def _points(points: NDArray) -> Array:
    array = np.asarray(points, np.float64)
    if array.ndim < 2 or array.shape[-1] != 3:
        raise ValueError(f"points must be [..., P, 3], not {list(array.shape)}")
    return array


def procrustes_align(source: NDArray, target: NDArray, scale: bool = True) -> Array:
    """`source` moved onto `target` by the best similarity (or, with `scale=False`, rigid) transform.

    Both `[..., P, 3]`, broadcast over the leading axes. Least squares, never a reflection: Umeyama,
    "Least-squares estimation of transformation parameters between two point patterns" (1991).
    """
    source, target = _points(source), _points(target)
    source_mean = source.mean(-2, keepdims=True)
    target_mean = target.mean(-2, keepdims=True)
    x, y = source - source_mean, target - target_mean
    u, singular, vt = np.linalg.svd(np.swapaxes(x, -1, -2) @ y)
    sign = np.ones(singular.shape)
    sign[..., -1] = np.where(np.linalg.det(u @ vt) < 0.0, -1.0, 1.0)
    rotation = (u * sign[..., None, :]) @ vt
    factor = np.ones(singular.shape[:-1])
    if scale:
        spread = (x * x).sum((-1, -2))
        factor = (singular * sign).sum(-1) / np.where(spread > 0.0, spread, 1.0)
    return factor[..., None, None] * (x @ rotation) + target_mean


def mean_point_error(predicted: NDArray, truth: NDArray) -> Array:
    """`[...]`: mean distance of corresponding points: MPJPE on joints, MPVPE on vertices."""
    return np.linalg.norm(_points(predicted) - _points(truth), axis=-1).mean(-1)


def of_a_draw(errors: NDArray) -> float:
    """What a draw costs on average: errors [n] in the order of the draws, but for the first one.

    The engine's first draw starts without noise where something is known: it is the likeliest, and no sample.
    """
    return float(np.mean(errors[1:] if len(errors) > 1 else errors))


def aligned_error(predicted: NDArray, truth: NDArray, scale: bool = True) -> Array:
    """`[...]`: the same after Procrustes alignment: PA-MPJPE on joints, PA-MPVPE on vertices."""
    return mean_point_error(procrustes_align(predicted, truth, scale), truth)


def f_score(predicted: NDArray, truth: NDArray, threshold: float) -> float:
    """F-score of two point sets `[P, 3]`, `[Q, 3]` at a distance (F@5 mm: `threshold=0.005` for metres).

    Harmonic mean of the share of predicted points that have a true point nearer than the threshold
    (precision) and of true points with a predicted one (recall), in 0..1: Knapitsch et al. 2017, as
    FreiHAND reports it.
    """
    return float(f_scores(_points(predicted)[None], truth, (threshold,))[0, 0])


def f_scores(predicted: NDArray, truth: NDArray, thresholds: tuple[float, ...]) -> Array:
    """`[n, T]`: F-scores of point sets `[n, P, 3]` against one `[Q, 3]`, at several distances."""
    predicted, truth = _points(predicted), _points(truth)
    there = cKDTree(truth)
    limits = np.array(thresholds)
    result = np.zeros((len(predicted), len(limits)))
    for row, points in enumerate(predicted):
        precision = (there.query(points)[0][:, None] < limits).mean(0)
        recall = (cKDTree(points).query(truth)[0][:, None] < limits).mean(0)
        total = precision + recall
        result[row] = np.where(total > 0.0, 2.0 * precision * recall / np.where(total > 0.0, total, 1.0), 0.0)
    return result


def average_pairwise_distance(points: NDArray, wrists: NDArray) -> float:
    """APD, the paper's diversity: mean over pairs of the mean per-point distance, wrist aligned.

    `points [n, P, 3]` of n hands and `wrists [n, 3]` (their wrist joints, subtracted first); give
    millimetres to get the paper's millimetres.
    """
    points, wrists = _points(points), np.asarray(wrists, np.float64)
    count = len(points)
    if count < 2:
        raise ValueError("the average pairwise distance needs at least two hands")
    centred = points - wrists[:, None, :]
    total = 0.0
    for k in range(count - 1):
        total += float(mean_point_error(centred[k + 1 :], centred[k]).sum())
    return 2.0 * total / (count * (count - 1))


def energy_score(hypotheses: NDArray, truth: NDArray) -> Array:
    """Energy score `[...]` of an ensemble `[..., n, P, 3]` against the truth `[..., P, 3]`, lower is better.

    `E|X - y| - 0.5 E|X - X'|` with the mean per-point distance as the norm; the second expectation is over
    pairs of different hypotheses (the fair form, which does not punish a small n). Unlike the minimum
    over hypotheses it is no oracle: it is lowest for an ensemble that is spread as the truth is. Gneiting
    and Raftery 2007, section 4.3.
    """
    hypotheses, truth = _points(hypotheses), _points(truth)
    count = hypotheses.shape[-3]
    accuracy = mean_point_error(hypotheses, truth[..., None, :, :]).mean(-1)
    if count < 2:
        return accuracy
    spread = np.zeros_like(accuracy)
    for k in range(count - 1):
        spread += mean_point_error(hypotheses[..., k + 1 :, :, :], hypotheses[..., k : k + 1, :, :]).sum(-1)
    return accuracy - spread / (count * (count - 1))


def best_of(errors: NDArray, counts: tuple[int, ...] = (1, 8, 16, 32)) -> dict[int, float]:
    """The paper's multi-hypothesis figure (its Table 5): mean over hands of the minimum over the first n.

    `errors [B, N]`. An oracle: it picks with the truth.
    """
    errors = np.asarray(errors, np.float64)
    return {n: float(errors[:, :n].min(1).mean()) for n in counts if n <= errors.shape[1]}


def nearest_hand_distance(generated: NDArray, reference: NDArray, block: int = 64) -> Array:
    """`[n]`: mean per-point distance of each generated hand to the nearest of the reference hands.

    `generated [n, P, 3]`, `reference [B, P, 3]`, both in a frame of the hand. Large: a pose nobody
    makes. Near zero everywhere: a copied training set.
    """
    generated, reference = _points(generated), _points(reference)
    nearest = np.full(len(generated), np.inf)
    for start in range(0, len(reference), block):
        part = reference[start : start + block]
        nearest = np.minimum(nearest, mean_point_error(generated[:, None], part[None]).min(1))
    return nearest


def unique_edges(faces: NDArray) -> NDArray[np.int64]:
    """Edges `[E, 2]` of triangles `[F, 3]`, each once, smaller vertex first."""
    faces = np.asarray(faces, np.int64)
    return np.unique(np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1), axis=0)


def edge_length_error(predicted: NDArray, truth: NDArray, edges: NDArray) -> Array:
    """`[..., E]`: relative error `| |e_hat| - |e| | / |e|` of every edge (times 100 is per cent).

    Meshes `[..., V, 3]`, edges `[E, 2]`. Returned per edge so that a seam can be looked at by itself.
    """
    lengths = [
        np.linalg.norm(m[..., edges[:, 0], :] - m[..., edges[:, 1], :], axis=-1)
        for m in (_points(predicted), _points(truth))
    ]
    return np.abs(lengths[0] - lengths[1]) / np.maximum(lengths[1], 1e-300)


def interior_edges(faces: NDArray) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Edges `[I, 2]` between exactly two triangles, and those two faces `[I, 2]`."""
    faces = np.asarray(faces, np.int64)
    corners = np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    owner = np.repeat(np.arange(len(faces)), 3)
    edges, inverse, count = np.unique(corners, axis=0, return_inverse=True, return_counts=True)
    order = np.argsort(inverse.ravel(), kind="stable")
    first = np.concatenate([[0], np.cumsum(count)[:-1]])[count == 2]
    return edges[count == 2], np.stack([owner[order[first]], owner[order[first + 1]]], axis=1)


def dihedral_angles(vertices: NDArray, faces: NDArray, face_pairs: NDArray) -> Array:
    """`[..., I]`: angle in radians, 0 (flat) to pi (folded back), between the normals of two faces.

    `face_pairs [I, 2]` as `interior_edges` gives them. Zero where a face has no area.
    """
    vertices = _points(vertices)
    a, b, c = (vertices[..., faces[:, k], :] for k in range(3))
    normals = np.cross(b - a, c - a)
    first, second = normals[..., face_pairs[:, 0], :], normals[..., face_pairs[:, 1], :]
    sine = np.linalg.norm(np.cross(first, second), axis=-1)
    return np.arctan2(sine, (first * second).sum(-1))


def coverage(samples: NDArray, truth: NDArray, level: float = 0.9) -> Array:
    """`[...]`: share of hands whose truth lies in the central `level` of their samples; ideal: `level`.

    `samples [B, n, ...]`, `truth [B, ...]`: any scalar quantities, such as joint depths. Below the level
    the hypotheses are overconfident. The interval is between the outer order statistics that hold
    `level` of the mass of n exchangeable draws, `n + 1` gaps: so a perfect sampler gets `level` even with
    few draws (exactly where `(1 - level) / 2 * (n + 1)` is whole, such as n = 19 or 39 for 0.9). Needs
    `n >= 2 / (1 - level) - 1`.
    """
    samples, truth = np.asarray(samples, np.float64), np.asarray(truth, np.float64)
    count = samples.shape[1]
    outside = (1.0 - level) / 2.0 * (count + 1)
    if outside < 1.0 - 1e-9:
        needed = int(np.ceil(2.0 / (1.0 - level) - 1.0 - 1e-9))
        raise ValueError(f"a central {level:.0%} needs at least {needed} samples, not {count}")
    ordered = np.sort(samples, axis=1)
    low, high = _order_statistic(ordered, outside), _order_statistic(ordered, count + 1 - outside)
    return ((truth >= low) & (truth <= high)).mean(0)


def _order_statistic(ordered: Array, rank: float) -> Array:
    """The value at a one-based, possibly fractional rank along axis 1."""
    below = int(np.floor(rank + 1e-9))
    part = max(rank - below, 0.0)
    above = min(below, ordered.shape[1] - 1)
    return (1.0 - part) * ordered[:, below - 1] + part * ordered[:, above]


def precision_recall(generated: NDArray, reference: NDArray, neighbours: int = 3) -> tuple[float, float]:
    """Share of generated hands that lie among the reference hands, and the other way round, both 0..1.

    `[n, P, 3]` and `[B, P, 3]`, both in a frame of the hand. A hand lies among others when it is nearer to
    one of them than that one's k-th neighbour of its own kind is. Compare sets of equal size, since a larger
    one has smaller neighbourhoods. Kynkaanniemi et al., "Improved precision and recall metric" (2019).
    """
    made, real = (_points(p).reshape(len(p), -1) for p in (generated, reference))
    if min(len(made), len(real)) <= neighbours:
        raise ValueError(f"{neighbours} neighbours need more than {min(len(made), len(real))} hands")

    def distance(a: Array, b: Array) -> Array:
        square = (a * a).sum(1)[:, None] + (b * b).sum(1)[None] - 2.0 * a @ b.T
        return np.sqrt(np.maximum(square, 0.0))

    across = distance(made, real)
    reach_real, reach_made = (np.sort(distance(p, p), axis=1)[:, neighbours] for p in (real, made))
    precision = float((across <= reach_real[None]).any(1).mean())
    return precision, float((across <= reach_made[:, None]).any(0).mean())


def frechet_distance(generated: NDArray, reference: NDArray) -> float:
    """Between the Gaussians of two sets of hands `[n, P, 3]` and `[B, P, 3]` in a frame of the hand.

    d^2 = |m - m'|^2 + tr(C + C' - 2 (C C')^(1/2)) is what the cheapest way to carry the one into the other
    costs (Heusel et al. 2017, on poses in place of features). The root of d^2 / P comes back: in the unit of
    the points, as if every one had moved so far. It falls towards what two sets of the same kind have between
    them, which is above 0: show that beside it, and compare sets of equal size.
    """
    made, real = (_points(p).reshape(len(p), -1) for p in (generated, reference))
    if min(len(made), len(real)) < 2:
        raise ValueError("a Frechet distance needs at least two hands on either side")
    points = made.shape[1] / 3
    one, other = (np.cov(p.T) for p in (made, real))
    root = sqrtm(one @ other)
    square = ((made.mean(0) - real.mean(0)) ** 2).sum() + np.trace(one + other) - 2.0 * np.trace(root.real)
    return float(np.sqrt(max(square, 0.0) / points))
