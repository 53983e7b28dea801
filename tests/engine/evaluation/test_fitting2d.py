"""The test set of fitting to 2D skeletons: fixed, before the camera that it names, hidden where it says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hhmr_engine.evaluation.fitting2d import (
    COUNT,
    DISTANCE,
    HIDDEN,
    NOISE,
    PICTURE,
    SeenHands,
    camera_errors,
    placed_joints,
    project,
    seen_hands,
    uniform_rotations,
)
from hhmr_engine.evaluation.testset import generator
from hhmr_engine.hand.rotation import rotation_matrix
from hhmr_engine.hand.skeleton import FINGER_JOINTS
from hhmr_engine.hand.template import HandTemplate, load_template
from hhmr_engine.training.train import data_cache


@pytest.fixture(scope="module")
def template() -> HandTemplate:
    return load_template()


@pytest.fixture(scope="module")
def hands(template: HandTemplate) -> SeenHands:
    return seen_hands(template)


def test_everybody_gets_the_same_hands(template: HandTemplate, hands: SeenHands) -> None:
    again, others = seen_hands(template), seen_hands(template, tuning=True)
    assert len(hands) == COUNT
    assert np.array_equal(hands.joints2d, again.joints2d) and np.array_equal(hands.vertices, again.vertices)
    assert not np.allclose(hands.vertices, others.vertices)
    assert np.array_equal(hands.first(7).joints2d, hands.joints2d[:7])


def test_hands_stand_in_the_picture_at_the_distances_named(template: HandTemplate, hands: SeenHands) -> None:
    exact = project(hands.joints, hands.focal)
    assert (exact > 0).all() and (exact < PICTURE).all()
    length = np.linalg.norm(template.joints[12] - template.joints[0])
    distance = hands.joints.mean(1)[:, 2] / length
    assert distance.min() > DISTANCE[0] - 0.1 and distance.max() < DISTANCE[1] + 0.1
    assert distance.min() < DISTANCE[0] + 0.5 and distance.max() > DISTANCE[1] - 1
    assert np.allclose(template.regressor @ hands.vertices, hands.joints, atol=1e-5)


def test_noise_is_one_and_a_half_per_cent_of_the_hand(hands: SeenHands) -> None:
    off = (hands.joints2d - project(hands.joints, hands.focal)) / hands.hand_size[:, None, None]
    assert off.std() == pytest.approx(NOISE, rel=0.02) and abs(off.mean()) < 1e-3
    assert np.allclose(hands.sigma2d, NOISE * hands.hand_size)


def test_what_is_hidden(template: HandTemplate, hands: SeenHands) -> None:
    third, fingers = (seen_hands(template, hidden=name) for name in HIDDEN[1:])
    assert hands.visible.all() and (third.visible.sum(1) == 14).all()
    assert 0.55 < third.visible.mean(0).min() and third.visible.mean(0).max() < 0.78  # any joint, alike
    of_fingers = fingers.visible[:, [list(joints) for joints in FINGER_JOINTS.values()]]  # [N,5,4]
    assert (of_fingers.all(2).sum(1) == 3).all() and ((~of_fingers.any(2)).sum(1) == 2).all()
    assert fingers.visible[:, 0].all()
    for some in (third, fingers):
        assert np.array_equal(some.vertices, hands.vertices)
        assert np.array_equal(some.joints2d[some.visible], hands.joints2d[some.visible])
    with pytest.raises(ValueError, match="none, third, fingers"):
        seen_hands(template, hidden="half")


def test_recordings_take_turns_and_tuning_has_others(template: HandTemplate, data_root: Path) -> None:
    recorded = seen_hands(template, data_root, data_cache(), "recordings", "third")
    names, counts = np.unique(recorded.source, return_counts=True)
    assert len(recorded) == COUNT and len(names) >= 5 and np.ptp(counts) <= 1
    assert set(recorded.first(len(names)).source) == set(names)
    tuning = seen_hands(template, data_root, data_cache(), "recordings", tuning=True)
    shapes, others = (np.linalg.norm(h.joints - h.joints[:, :1], axis=2) for h in (recorded, tuning))
    apart = np.abs(shapes[:, None] - others).max(2).min(0)  # distances from the wrist know no rotation
    assert (apart < 1e-5).mean() < 0.05  # but that every episode of the glove begins with the same frame
    with pytest.raises(ValueError, match="poses/"):
        seen_hands(template, kind="recordings")


def test_errors_forget_place_and_size_but_not_rotation(hands: SeenHands) -> None:
    vertices, joints = hands.vertices[:4], hands.joints[:4]
    exact = camera_errors(1.7 * vertices + 3, 1.7 * joints + 3, vertices, joints)
    assert max(error.max() for error in exact) < 1e-6
    turn = rotation_matrix(np.array([0, 0.2, 0]))
    turned = camera_errors(vertices @ turn.T, joints @ turn.T, vertices, joints)
    assert min(error.min() for error in turned) > 3e-3
    assert np.allclose(
        placed_joints(2 * vertices, 2 * joints, vertices) + vertices.mean(1)[:, None], joints, atol=1e-6
    )


def test_rotations_are_uniform() -> None:
    turns = uniform_rotations(20000, generator("rotations"))
    assert np.allclose(turns @ turns.transpose(0, 2, 1), np.eye(3), atol=1e-12)
    assert np.allclose(np.linalg.det(turns), 1)
    assert np.abs(turns.mean(0)).max() < 0.02  # every direction alike
    angle = np.arccos((np.trace(turns, axis1=1, axis2=2) - 1) / 2)
    assert angle.mean() == pytest.approx(np.pi / 2 + 2 / np.pi, abs=0.02)  # that of the Haar measure
