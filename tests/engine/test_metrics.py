"""Every measure against a case whose answer is known in closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hhmr_engine.evaluation import metrics


def rotation(axis: tuple[float, float, float], angle: float) -> np.ndarray:
    x, y, z = np.asarray(axis) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross


@pytest.fixture
def cloud() -> np.ndarray:
    return np.random.default_rng(3).normal(size=(21, 3))


def test_procrustes_undoes_a_similarity_and_rigid_keeps_the_scale(cloud: np.ndarray) -> None:
    moved = 2.5 * cloud @ rotation((1, 2, -1), 2.0).T + [1.0, -2.0, 3.0]
    assert np.allclose(metrics.procrustes_align(cloud, moved), moved, atol=1e-12)
    rigid = metrics.procrustes_align(cloud, moved, scale=False)
    spread = np.linalg.norm(cloud - cloud.mean(0))
    assert np.linalg.norm(rigid - rigid.mean(0)) == pytest.approx(spread)
    # Without scale what is left is exactly 1.5 times every point's distance from the middle.
    assert metrics.mean_point_error(rigid, moved) == pytest.approx(
        1.5 * np.linalg.norm(cloud - cloud.mean(0), axis=1).mean()
    )


def test_procrustes_never_mirrors(cloud: np.ndarray) -> None:
    mirrored = cloud * [-1, 1, 1]
    assert metrics.aligned_error(cloud, mirrored) > 0.3
    # det of the map from source to aligned source stays positive even then
    aligned = metrics.procrustes_align(cloud, mirrored)
    centred = cloud - cloud.mean(0)
    linear = np.linalg.lstsq(centred, aligned - aligned.mean(0), rcond=None)[0]
    assert np.linalg.det(linear) > 0


def test_procrustes_works_on_batches_and_on_coincident_points(cloud: np.ndarray) -> None:
    batch = np.stack([cloud @ rotation((0, 0, 1), a).T * (1 + a) for a in (0.1, 0.7, 3.0)])
    assert np.allclose(metrics.procrustes_align(batch, cloud), cloud, atol=1e-12)
    assert np.allclose(metrics.procrustes_align(np.ones((5, 3)), cloud[:5]), cloud[:5].mean(0))


def test_mean_point_error_of_a_shift_is_its_length_and_alignment_removes_it(cloud: np.ndarray) -> None:
    assert metrics.mean_point_error(cloud + [0.003, 0.004, 0], cloud) == pytest.approx(0.005)
    assert metrics.aligned_error(cloud + [0.003, 0.004, 0], cloud) == pytest.approx(0, abs=1e-12)
    assert metrics.mean_point_error(np.stack([cloud, cloud + 1]), cloud) == pytest.approx([0, math.sqrt(3)])


def test_points_of_a_wrong_shape_get_a_sentence() -> None:
    with pytest.raises(ValueError, match=r"\[\.\.\., P, 3\]"):
        metrics.mean_point_error(np.zeros((21, 2)), np.zeros((21, 2)))


def test_f_score() -> None:
    line = np.stack([np.arange(4.0) * 10, np.zeros(4), np.zeros(4)], axis=1)
    assert metrics.f_score(line, line, 1.0) == 1.0
    assert metrics.f_score(line + [0, 5, 0], line, 1.0) == 0.0
    # Two of four predicted (precision 1/2) are right and cover two of four (recall 1/2), plus a doubled one.
    half = np.concatenate([line[:2], line[:2] + [0, 5, 0]])
    assert metrics.f_score(half, line, 1.0) == pytest.approx(0.5)
    assert metrics.f_score(line[:2], line, 1.0) == pytest.approx(2 * 1 * 0.5 / 1.5)


def test_average_pairwise_distance_is_over_pairs_and_ignores_the_wrist() -> None:
    base = np.zeros((10, 3))
    hands = np.stack([base, base + [3.0, 0, 0], base + [0, 4.0, 0]])
    assert metrics.average_pairwise_distance(hands, np.zeros((3, 3))) == pytest.approx((3 + 4 + 5) / 3)
    assert metrics.average_pairwise_distance(hands, hands[:, 0]) == pytest.approx(0)
    with pytest.raises(ValueError, match="two hands"):
        metrics.average_pairwise_distance(hands[:1], np.zeros((1, 3)))


def test_energy_score_closed_form() -> None:
    truth = np.zeros((21, 3))
    # Two hypotheses at +-1 around the truth: E|X - y| = 1, E|X - X'| = 2: 1 - 0.5 * 2 = 0.
    pair = np.stack([truth + [1.0, 0, 0], truth - [1.0, 0, 0]])
    assert metrics.energy_score(pair, truth) == pytest.approx(0)
    # A single hypothesis is the plain error; two equal ones as well.
    assert metrics.energy_score(pair[:1], truth) == pytest.approx(1)
    assert metrics.energy_score(pair[[0, 0]], truth) == pytest.approx(1)
    batched = metrics.energy_score(np.stack([pair, pair[[0, 0]]]), np.stack([truth, truth]))
    assert batched == pytest.approx([0, 1])


def test_energy_score_prefers_the_right_spread() -> None:
    generator = np.random.default_rng(0)
    truth = generator.normal(size=(400, 1, 3))
    noise = generator.normal(size=(400, 32, 1, 3))
    scores = {s: metrics.energy_score(s * noise, truth).mean() for s in (0.2, 1.0, 3.0)}
    assert scores[1.0] < scores[0.2] and scores[1.0] < scores[3.0]


def test_best_of_takes_the_first_n() -> None:
    errors = np.array([[4.0, 2.0, 3.0, 1.0], [8.0, 9.0, 7.0, 6.0]])
    assert metrics.best_of(errors, (1, 2, 4, 8)) == {1: 6.0, 2: 5.0, 4: 3.5}


def test_nearest_hand_distance_across_blocks() -> None:
    reference = np.arange(10.0)[:, None, None] * np.ones((1, 5, 3))
    generated = np.stack([reference[7] + [0.1, 0, 0], reference[0] - [0, 2.0, 0]])
    assert metrics.nearest_hand_distance(generated, reference, block=3) == pytest.approx([0.1, 2.0])


@pytest.fixture
def hinge() -> tuple[np.ndarray, np.ndarray]:
    """Two unit right triangles that share the edge from vertex 0 to vertex 1."""
    return np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, -1, 0]]), np.array([[0, 1, 2], [1, 0, 3]])


def test_edge_length_error(hinge: tuple[np.ndarray, np.ndarray]) -> None:
    vertices, faces = hinge
    edges = metrics.unique_edges(faces)
    assert edges.tolist() == [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3]]
    assert np.allclose(metrics.edge_length_error(vertices * 1.1, vertices, edges), 0.1)
    stretched = vertices.copy()
    stretched[2, 1] = 1.5
    error = metrics.edge_length_error(stretched, vertices, edges)
    assert error[[0, 2, 4]] == pytest.approx(0)
    assert error[1] == pytest.approx(0.5)
    assert error[3] == pytest.approx(math.sqrt(3.25) / math.sqrt(2) - 1)


@pytest.mark.parametrize("degrees", [0, 30, 90, 179])
def test_dihedral_angle_of_a_hinge(hinge: tuple[np.ndarray, np.ndarray], degrees: float) -> None:
    vertices, faces = hinge
    edges, pairs = metrics.interior_edges(faces)
    assert edges.tolist() == [[0, 1]] and sorted(pairs[0].tolist()) == [0, 1]
    angle = math.radians(degrees)
    vertices[3] = [0, -math.cos(angle), math.sin(angle)]
    assert np.degrees(metrics.dihedral_angles(vertices, faces, pairs)) == pytest.approx([degrees], abs=1e-9)


def test_dihedral_angles_of_a_cube() -> None:
    trimesh = pytest.importorskip("trimesh")
    cube = trimesh.creation.box()
    _, pairs = metrics.interior_edges(cube.faces)
    angles = np.sort(metrics.dihedral_angles(np.stack([cube.vertices] * 2), cube.faces, pairs), axis=1)
    assert np.allclose(angles, [[0] * 6 + [math.pi / 2] * 12] * 2)


def test_coverage_of_a_perfect_and_of_an_overconfident_sampler() -> None:
    generator = np.random.default_rng(1)
    truth = generator.normal(size=(20000, 2))
    samples = generator.normal(size=(20000, 39, 2))
    assert metrics.coverage(samples, truth, 0.9) == pytest.approx(0.9, abs=0.01)
    assert metrics.coverage(samples, truth, 0.5) == pytest.approx(0.5, abs=0.015)
    assert (metrics.coverage(0.5 * samples, truth, 0.9) < 0.7).all()
    with pytest.raises(ValueError, match="at least 19"):
        metrics.coverage(samples[:, :8], truth, 0.9)


def test_f_scores_of_many_hands_at_several_distances_are_those_of_each() -> None:
    generator = np.random.default_rng(5)
    truth = generator.normal(size=(40, 3))
    hands = truth + generator.normal(size=(3, 40, 3)) * [[[0.01]], [[0.2]], [[3.0]]]
    together = metrics.f_scores(hands, truth, (0.1, 0.5))
    assert together.shape == (3, 2) and (np.diff(together, axis=1) >= 0).all()
    assert together[0] == pytest.approx([1, 1]) and together[2, 0] < 0.1
    alone = [[metrics.f_score(hand, truth, t) for t in (0.1, 0.5)] for hand in hands]
    assert np.allclose(together, alone)


def test_frechet_distance_of_gaussians_whose_distance_is_known() -> None:
    generator = np.random.default_rng(2)
    hands = generator.normal(size=(40000, 2, 3))
    # Moved by d: d. Widened from deviation 1 to 3: 2 on each of three axes of every point.
    assert metrics.frechet_distance(hands + [3.0, 0, 0], hands) == pytest.approx(3, rel=0.01)
    assert metrics.frechet_distance(3 * hands, hands) == pytest.approx(2 * math.sqrt(3), rel=0.01)
    assert metrics.frechet_distance(hands, hands) == pytest.approx(0, abs=1e-3)
    other = generator.normal(size=(40000, 2, 3))
    assert metrics.frechet_distance(hands, other) < 0.05
    with pytest.raises(ValueError, match="at least two hands"):
        metrics.frechet_distance(hands[:1], hands)
