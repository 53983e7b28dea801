"""Sampled poses are reproducible, within limits, varied, and free of penetrating skin."""

import numpy as np
import pytest

from hhmr_engine.data.sampler import FINGER_COLUMNS, STRETCH, draw_angles, sample_angles
from hhmr_engine.hand.dof import LIMITS, rotations
from hhmr_engine.hand.intersection import SelfIntersection
from hhmr_engine.hand.skeleton import PARENTS
from hhmr_engine.hand.skinning import skin
from hhmr_engine.hand.template import load_template

# Skin this near at rest (metres) folds onto itself at the roots of fingers and thumb: a crease.
CREASE = 0.025


@pytest.fixture(scope="module")
def sampled() -> np.ndarray:
    return sample_angles(1500, np.random.default_rng(0))


def test_the_same_seed_gives_the_same_poses() -> None:
    one, other = (sample_angles(50, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(one, other)
    assert one.shape == (50, 24) and one.dtype == np.float32


def test_no_poses_are_no_poses() -> None:
    assert sample_angles(0, np.random.default_rng(0)).shape == (0, 24)


def test_poses_keep_within_the_limits_and_use_them(sampled: np.ndarray) -> None:
    assert (sampled >= LIMITS[:, 0] - 1e-6).all() and (sampled <= LIMITS[:, 1] + 1e-6).all()
    used = np.percentile(sampled, 99, axis=0) - np.percentile(sampled, 1, axis=0)
    assert (used / (LIMITS[:, 1] - LIMITS[:, 0]) > 0.4).all()


def test_a_finger_is_not_bent_beyond_its_tendons() -> None:
    raw, pinch = draw_angles(4000, np.random.default_rng(1))
    assert np.degrees(raw[:, FINGER_COLUMNS[1]] + raw[:, FINGER_COLUMNS[2]]).max() < STRETCH + 1e-3
    assert set(pinch) == {-1, 0, 1, 2, 3}


def test_neighbouring_fingers_move_together(sampled: np.ndarray) -> None:
    pip = sampled[:, FINGER_COLUMNS[2]]
    matrix = np.corrcoef(pip.T)
    assert matrix[2, 3] > 0.4
    assert matrix[2, 3] > matrix[0, 3]


def test_skin_of_different_segments_does_not_penetrate(sampled: np.ndarray) -> None:
    """The real triangle test: fewer than one hand in 200."""
    template = load_template()
    vertices = skin(template, rotations(template, sampled[:600]))[0]
    centre = template.vertices[template.faces].mean(1)
    pairs = SelfIntersection(template.faces, template.weights, np.array(PARENTS)).pairs(vertices)
    far = np.linalg.norm(centre[pairs[:, 1]] - centre[pairs[:, 2]], axis=1) > CREASE
    assert len(np.unique(pairs[far, 0])) <= 3
