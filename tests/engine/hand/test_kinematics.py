"""The bare skeleton moves as the skinned hand does."""

import numpy as np

from hhmr_engine.hand.dof import LIMITS, rotations
from hhmr_engine.hand.kinematics import DOF_BONE, MOVED_JOINTS, pose_skeleton
from hhmr_engine.hand.skinning import skin
from hhmr_engine.hand.template import load_template


def test_joints_equal_those_of_the_skinned_hand() -> None:
    template, rng = load_template(), np.random.default_rng(0)
    angles = rng.uniform(LIMITS[:, 0], LIMITS[:, 1], (20, 24))
    offsets, lengths = rng.normal(0, 0.1, (20, 3)), rng.uniform(0.8, 1.2, 20)
    wanted = skin(template, rotations(template, angles, offsets), None, np.tile(lengths, (20, 1)))[1]
    joints = pose_skeleton(template, angles, offsets, lengths).joints
    np.testing.assert_allclose(joints, wanted, atol=1e-6)


def test_hinges_are_the_derivative_of_the_joints() -> None:
    template, rng = load_template(), np.random.default_rng(1)
    angles, offsets = rng.uniform(LIMITS[:, 0], LIMITS[:, 1], (1, 24)), rng.normal(0, 0.1, (20, 3))
    hands = pose_skeleton(template, angles, offsets)
    for dof, bone in enumerate(DOF_BONE):
        nudged = angles.copy()
        nudged[0, dof] += 1e-6
        measured = (pose_skeleton(template, nudged, offsets).joints - hands.joints)[0] / 1e-6
        swing = np.cross(hands.hinges[0, dof], hands.joints[0] - hands.heads[0, bone])
        np.testing.assert_allclose(measured, swing * MOVED_JOINTS[bone][:, None], atol=1e-6)
