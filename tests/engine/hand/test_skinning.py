"""Skinning: numpy and torch alike, the rest pose at rest, fingers that bend the way a hand does."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hhmr_engine.hand.dof import DOF_NAMES, DOFS, LIMITS, rotations
from hhmr_engine.hand.rotation import rotation_matrix
from hhmr_engine.hand.skeleton import FINGER_BONES, FINGER_JOINTS, JOINT_PARENTS, LONG_FINGERS
from hhmr_engine.hand.skinning import skin
from hhmr_engine.hand.template import HandTemplate
from tests.engine.hand.posed import Posed

BONES = list(range(1, 21))


def _bend(template: HandTemplate, **degrees: float) -> tuple[np.ndarray, np.ndarray]:
    """Vertices [V,3] and joints [21,3] with some angles set."""
    angles = np.zeros((1, 24), np.float32)
    for name, value in degrees.items():
        angles[0, DOF_NAMES.index(name)] = np.radians(value)
    vertices, joints = skin(template, rotations(template, angles))
    return vertices[0], joints[0]


def _bone_lengths(joints: np.ndarray) -> np.ndarray:
    return np.linalg.norm(joints[..., BONES, :] - joints[..., [JOINT_PARENTS[j] for j in BONES], :], axis=-1)


def test_torch_and_numpy_agree_to_a_micrometre(
    template: HandTemplate, tensors: HandTemplate, posed: Posed
) -> None:
    offsets = np.random.default_rng(2).normal(0, 0.1, (48, 20, 3)).astype(np.float32)
    given = [torch.from_numpy(a) for a in (posed.angles, offsets, posed.beta, posed.lengths)]
    there = skin(tensors, rotations(tensors, given[0], given[1]), given[2], given[3])
    here = skin(template, rotations(template, posed.angles, offsets), posed.beta, posed.lengths)
    for one, other in zip(there, here):
        assert one.dtype == torch.float32 and other.dtype == np.float32
        assert np.abs(one.numpy() - other).max() < 1e-6


def test_no_angle_is_the_rest_pose(template: HandTemplate) -> None:
    vertices, joints = _bend(template)
    assert np.abs(vertices - template.vertices).max() < 1e-6
    assert np.abs(joints[0] - template.heads[0]).max() < 1e-6
    assert np.abs(joints[[4, 8, 12, 16, 20]] - template.tips).max() < 1e-6


def test_turning_the_wrist_turns_the_hand_as_one(template: HandTemplate) -> None:
    local = np.tile(np.eye(3, dtype=np.float32), (1, 20, 1, 1))
    turn = rotation_matrix(np.array([0.3, -0.8, 0.5], np.float32))
    local[0, 0] = turn
    moved = (template.vertices - template.heads[0]) @ turn.T + template.heads[0]
    assert np.abs(skin(template, local)[0][0] - moved).max() < 1e-6


def test_flexion_closes_every_finger(template: HandTemplate) -> None:
    """Flexion brings a fingertip to the palm's side, which is -Z, and the thumb across the palm."""
    rest = _bend(template)[1]
    for dof in DOFS:
        if dof.kind != "flex" or dof.bone in FINGER_BONES["thumb"]:
            continue
        finger = next(f for f in LONG_FINGERS if dof.bone in FINGER_BONES[f])
        tip = FINGER_JOINTS[finger][3]
        moved = _bend(template, **{dof.name: 20.0})[1]
        assert moved[tip, 2] < rest[tip, 2] - 2e-3, dof.name
        assert np.abs(np.delete(moved - rest, FINGER_JOINTS[finger], 0)).max() < 1e-6, dof.name
    thumb = _bend(template, thumb_cmc_flex=20.0, thumb_mcp_flex=30.0, thumb_ip_flex=30.0)[1]
    assert np.linalg.norm(thumb[4] - rest[17]) < np.linalg.norm(rest[4] - rest[17]) - 0.01


@pytest.mark.parametrize("finger", LONG_FINGERS)
def test_abduction_moves_a_finger_to_the_thumbs_side(template: HandTemplate, finger: str) -> None:
    rest, tip = _bend(template)[1], FINGER_JOINTS[finger][3]
    thumbwards = np.sign(rest[5, 0] - rest[17, 0])
    assert thumbwards == -1  # a right hand, palm down, fingers away: the thumb is on the left
    moved = _bend(template, **{f"{finger}_mcp_abd": 10.0})[1]
    assert (moved - rest)[tip, 0] * thumbwards > 5e-3
    assert abs((moved - rest)[tip, 2]) < 3e-3


def test_angles_keep_bones_as_long_as_they_are(template: HandTemplate, posed: Posed) -> None:
    bent = skin(template, rotations(template, posed.angles))[1]
    chains = [j - 1 for finger in FINGER_JOINTS.values() for j in finger[1:]]
    rest = _bone_lengths(_bend(template)[1])[chains]
    assert np.abs(_bone_lengths(bent)[:, chains] - rest).max() < 1e-6


def test_lengths_stretch_each_bone_by_its_own_factor(template: HandTemplate, posed: Posed) -> None:
    plain = _bone_lengths(skin(template, rotations(template, posed.angles))[1])
    long = _bone_lengths(skin(template, rotations(template, posed.angles), None, posed.lengths)[1])
    for finger, joints in FINGER_JOINTS.items():
        for joint, bone in zip(joints[1:], FINGER_BONES[finger][-3:], strict=True):
            ratio = long[:, joint - 1] / plain[:, joint - 1]
            np.testing.assert_allclose(ratio, posed.lengths[:, bone], rtol=1e-4)


def test_shape_adds_up(template: HandTemplate) -> None:
    """Two hands' shapes at rest differ by the sum of their components."""
    beta = np.random.default_rng(3).normal(0, 1, (1, 10)).astype(np.float32)
    none = np.zeros((1, 24), np.float32)
    vertices = skin(template, rotations(template, none), beta)[0][0]
    expected = template.vertices + np.einsum("s,svc->vc", beta[0], template.shape_vertices)
    assert np.abs(vertices - expected).max() < 1e-6
    assert np.abs(expected - template.vertices).max() > 1e-3


def test_gradients_of_a_degenerate_pose(template: HandTemplate, tensors: HandTemplate) -> None:
    """At rest, where every angle is zero, the analytic gradient is the difference quotient."""
    angles = torch.zeros(1, 24, requires_grad=True)
    tip = skin(tensors, rotations(tensors, angles))[1][0, 8].sum()
    (gradient,) = torch.autograd.grad(tip, angles)
    for i in (DOF_NAMES.index("index_mcp_flex"), DOF_NAMES.index("index_dip_flex")):
        step = np.zeros((1, 24))
        step[0, i] = 1e-3
        difference = sum(
            sign * skin(template, rotations(template, sign * step))[1][0, 8].sum() for sign in (1, -1)
        )
        assert abs(difference / 2e-3 - float(gradient[0, i])) < 1e-5


def test_the_table_of_angles_is_sound(template: HandTemplate) -> None:
    assert len(set(DOF_NAMES)) == len(DOFS) == 24
    assert (LIMITS[:, 0] < 0).all() and (LIMITS[:, 1] > 0).all()
    np.testing.assert_allclose(np.linalg.norm(template.axes, axis=1), 1, atol=1e-5)
