"""The servers' protocols against their own definitions and cases whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import trapezoid
from scipy.linalg import orthogonal_procrustes

from hhmr_engine.evaluation.paper import protocols
from hhmr_engine.evaluation.paper.augmentation import CROPS, Answer, fused
from hhmr_engine.hand.rotation import rotation_matrix

RNG = np.random.default_rng(5)
JOINTS = RNG.normal(0, 0.04, (21, 3)) + [0.1, -0.05, 0.6]
VERTICES = RNG.normal(0, 0.04, (778, 3)) + [0.1, -0.05, 0.6]
TURN = rotation_matrix(np.array([0.4, -1.1, 2.0]))


def moved(points: np.ndarray) -> np.ndarray:
    return 1.7 * (points @ TURN.T) + [0.3, 0.2, -0.1]


def test_the_truth_itself_has_no_error_and_full_marks() -> None:
    found = protocols.scores(JOINTS, VERTICES, JOINTS, VERTICES)
    for name in ("mpjpe", "pa_mpjpe", "st_mpjpe", "mpvpe", "pa_mpvpe"):
        assert getattr(found, name) == pytest.approx(0, abs=1e-9)
    for name in ("f5", "f15", "pa_f5", "pa_f15", "joints_auc"):
        assert getattr(found, name) == 1
    assert found.pa_joints_auc > 0.99  # of errors that are 0 but for rounding


def test_rotated_scaled_and_moved_hands_are_right_after_alignment_only() -> None:
    found = protocols.scores(moved(JOINTS), moved(VERTICES), JOINTS, VERTICES)
    assert found.pa_mpjpe == pytest.approx(0, abs=1e-9) and found.pa_mpvpe == pytest.approx(0, abs=1e-9)
    assert found.pa_f5 == 1
    assert found.mpjpe > 100 and found.st_mpjpe > 10 and found.f5 < 0.1


def test_ho3ds_other_alignment_takes_out_scale_and_place_but_no_rotation() -> None:
    grown = 1.7 * JOINTS + [0.3, 0.2, -0.1]
    assert np.allclose(protocols.scaled_onto(grown, JOINTS), JOINTS)
    turned = protocols.scaled_onto(JOINTS @ TURN.T, JOINTS)
    assert np.allclose(turned[0], JOINTS[0])
    reach = np.linalg.norm(turned[9] - turned[0])
    assert reach == pytest.approx(np.linalg.norm(JOINTS[9] - JOINTS[0]))
    assert not np.allclose(turned, JOINTS, atol=0.01)


def test_alignment_is_scipys_with_the_norm_of_the_truth() -> None:
    """What both servers compute: centred and divided by the norms, then rotated, scaled and grown again."""
    for mirror in (1, -1):
        noisy = moved(JOINTS * [mirror, 1, 1]) + RNG.normal(0, 0.004, JOINTS.shape)
        truth, own = JOINTS - JOINTS.mean(0), noisy - noisy.mean(0)
        size = np.linalg.norm(truth)
        rotation, scale = orthogonal_procrustes(truth / size, own / np.linalg.norm(own))
        wanted = own / np.linalg.norm(own) @ rotation.T * scale * size + JOINTS.mean(0)
        assert np.allclose(protocols.aligned(noisy, JOINTS), wanted, atol=1e-12)


def test_alignment_of_many_is_that_of_each() -> None:
    many = moved(JOINTS) + RNG.normal(0, 0.01, (4, 21, 3))
    assert np.allclose(
        protocols.aligned(many, JOINTS), [protocols.aligned(one, JOINTS) for one in many], atol=1e-12
    )
    errors = protocols.aligned_errors(many, JOINTS)
    assert errors.shape == (4,) and (errors > 0.002).all()


def test_the_area_is_that_of_trapezoids_under_the_curve() -> None:
    errors = np.array([0.0, 0.004, 0.0123, 0.0499, 0.0501, 1.0])
    thresholds = np.linspace(0, 0.05, 100)
    curve = np.array([(errors <= t).mean() for t in thresholds])
    wanted = trapezoid(curve, thresholds) / 0.05
    assert protocols.area_under_curve(errors) == pytest.approx(wanted)
    assert protocols.area_under_curve(np.zeros(3)) == 1
    assert protocols.area_under_curve(np.ones(3)) == 0


def test_f_scores_count_points_near_enough_on_both_sides() -> None:
    line = np.stack([np.arange(10) * 0.1, np.zeros(10), np.zeros(10)], 1)
    off = line + [0, 0.01, 0]  # 10 mm off each
    assert protocols.f_scores(off, line) == [0.0, 1.0]
    half = np.concatenate([line[:5], off[5:]])
    assert protocols.f_scores(half, line) == [0.5, 1.0]
    # All predicted ones are near, but only half of the truth is found: 2 * 1 * .5 / 1.5.
    assert protocols.f_scores(line[:5], line)[0] == pytest.approx(2 / 3)


def test_another_topology_is_judged_by_its_surface_after_the_joints_alignment() -> None:
    found = protocols.scores(moved(JOINTS), moved(VERTICES[:700]), JOINTS, VERTICES)
    assert np.isnan(found.mpvpe) and np.isnan(found.pa_mpvpe)
    assert found.pa_f5 == pytest.approx(1, abs=0.2) and found.f5 < 0.1


def test_means_leave_out_what_a_hand_lacks() -> None:
    both = protocols.scores(JOINTS, VERTICES, JOINTS + [0, 0, 0.002], VERTICES)
    joints_only = protocols.scores(JOINTS, None, JOINTS, None)
    mean = protocols.mean([both, joints_only])
    assert mean.mpjpe == pytest.approx(1.0) and mean.mpvpe == 0


def test_crops_are_those_of_meshgraphormer_with_the_plain_one_first() -> None:
    crops = CROPS["paper"]
    assert len(crops) == 95 == len(np.unique(crops, axis=0))
    assert np.allclose(crops[0], [0, 0, 1, 0])
    assert sorted({round(float(s), 3) for s in crops[:, 2]}) == [0.7, 0.8, 0.9, 1.0, 1.1]
    assert np.allclose(sorted({round(float(np.degrees(t))) for t in crops[:, 3]}), np.arange(-90, 91, 10))


def test_fused_answers_are_averaged_on_the_plain_one() -> None:
    plain = Answer(JOINTS[None], VERTICES[None])
    same = fused([plain, Answer(moved(JOINTS)[None], moved(VERTICES)[None])])
    assert np.allclose(same.joints, JOINTS, atol=1e-6) and np.allclose(same.vertices, VERTICES, atol=1e-6)
    noise = [RNG.normal(0, 0.005, JOINTS.shape) for _ in range(40)]
    noisy = [Answer((JOINTS + n)[None], VERTICES[None]) for n in noise]
    alone, together = (protocols.aligned_errors(a.joints, JOINTS)[0] for a in (noisy[0], fused(noisy)))
    assert together < alone / 3
