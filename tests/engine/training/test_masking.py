"""What is masked tells nothing, and as much is masked as the settings say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from hhmr_engine.data.sampler import sample_angles
from hhmr_engine.diffusion.gaussian import Evidence
from hhmr_engine.hand import dof
from hhmr_engine.hand.frame import palm_frame
from hhmr_engine.hand.skeleton import FINGER_BONES, FINGER_JOINTS
from hhmr_engine.hand.skinning import skin
from hhmr_engine.hand.template import UNIT, HandTemplate, load_template
from hhmr_engine.model.conditions import Conditions
from hhmr_engine.observation import covered_joints, node_prior
from hhmr_engine.training.masking import Masker, MaskSettings
from tests.engine.small_network import small_network

EVERYTHING = MaskSettings(unconditional=0, mesh=0, finger=0, joint=0, noisy=0, frame=0)
ALL_KINDS = MaskSettings(unconditional=0.1, mesh=0.4, finger=0.5, joint=0.3)
COUNT = 24


@pytest.fixture(scope="module")
def template() -> HandTemplate:
    return load_template().torch()


@pytest.fixture(scope="module")
def hands(template: HandTemplate) -> Tensor:
    """[COUNT,V,3] in the palm frame."""
    angles = torch.from_numpy(sample_angles(COUNT, np.random.default_rng(1), load_template()))
    vertices = skin(template, dof.rotations(template, angles))[0]
    return palm_frame(template, template.regressor @ vertices).to_palm(vertices)


def _mask(
    template: HandTemplate, settings: MaskSettings, hands: Tensor, seed: int = 0
) -> tuple[Conditions, Evidence]:
    masker = Masker(template, node_prior(template), settings)
    return masker(hands, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("seed", [0, 1])
def test_what_is_hidden_carries_no_information(template: HandTemplate, hands: Tensor, seed: int) -> None:
    """Scramble every vertex that neither a seen joint nor a given node depends on: nothing at all changes."""
    told, evidence = _mask(template, ALL_KINDS, hands, seed)
    open_to_joints = torch.isfinite(told.joint_sigma)
    fixed = (open_to_joints.float() @ template.regressor.abs()) > 0
    fixed[:, template.nodes] |= told.kept
    assert (~fixed).sum(1).min() > 100
    noise = torch.randn(hands.shape, generator=torch.Generator().manual_seed(9))
    told_again, evidence_again = _mask(template, ALL_KINDS, torch.where(fixed[..., None], hands, noise), seed)
    torch.testing.assert_close(evidence_again.precision, evidence.precision, atol=0, rtol=0)
    torch.testing.assert_close(evidence_again.information, evidence.information, atol=1e-3, rtol=1e-5)
    network = small_network(template)
    one, other = (network.encode(conditions, COUNT) for conditions in (told, told_again))
    torch.testing.assert_close(one.anchors, other.anchors, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(one.token, other.token, atol=1e-5, rtol=1e-5)
    assert torch.equal(one.mask, other.mask)
    for (key, value), (key2, value2) in zip(one.memories, other.memories, strict=True):
        seen = one.mask[:, None, :, None]
        torch.testing.assert_close(key * seen, key2 * seen, atol=1e-4, rtol=1e-5)
        torch.testing.assert_close(value * seen, value2 * seen, atol=1e-4, rtol=1e-5)


def test_an_unmasked_hand_is_told_as_it_is(template: HandTemplate, hands: Tensor) -> None:
    told, evidence = _mask(template, EVERYTHING, hands)
    torch.testing.assert_close(told.joints, template.regressor @ hands)
    assert torch.isfinite(told.joint_sigma).all() and not told.kept.any()
    prior = node_prior(template)
    estimate = prior.sample(evidence, torch.zeros(COUNT, prior.rank)).unflatten(-1, (-1, 3))
    error = (template.decoder @ estimate - hands).norm(dim=-1).mean() * UNIT
    assert error < 2.5e-3  # metres: a full skeleton all but fixes the Gaussian's hand


def test_shares_are_those_of_the_settings(template: HandTemplate, hands: Tensor) -> None:
    """Over many draws: all masked, mesh, fingers, noise."""
    many = hands[:1].expand(2000, -1, -1)
    settings = MaskSettings(unconditional=0.2, mesh=0.3, finger=0.25, joint=0.0, noisy=0.5)
    masker = Masker(template, node_prior(template), settings)
    joints = template.regressor @ many
    told, evidence = masker.tell(joints, many[:, template.nodes], torch.Generator().manual_seed(0))
    seen, mesh = torch.isfinite(told.joint_sigma), told.kept.any(1)
    nothing = ~seen.any(1) & ~mesh
    assert abs(float(nothing.float().mean()) - 0.2) < 0.03
    assert abs(float(mesh.float().mean()) - 0.8 * 0.3) < 0.03
    for finger in FINGER_JOINTS.values():
        hidden = ~seen[~nothing & ~mesh][:, list(finger[1:])]
        assert (hidden.all(1) == hidden.any(1)).all()  # a finger is hidden as a whole
        assert abs(float(hidden[:, 0].float().mean()) - 0.25) < 0.04
    noisy = told.joint_sigma[~nothing & ~mesh].amin(1) > 0.5e-3 / UNIT
    assert abs(float(noisy.float().mean()) - 0.5) < 0.05
    assert not evidence.precision[nothing].any() and not evidence.information[nothing].any()


def test_noise_has_the_size_that_is_told(template: HandTemplate, hands: Tensor) -> None:
    settings = replace(EVERYTHING, noisy=1.0, noise=(1.0, 10.0))
    many = hands[:1].expand(1000, -1, -1)
    masker = Masker(template, node_prior(template), settings)
    joints = template.regressor @ many
    told, _ = masker.tell(joints, many[:, template.nodes], torch.Generator().manual_seed(0))
    sigma = told.joint_sigma[:, :1, None]
    assert 0.9e-3 < float(sigma.min()) * UNIT < 1.1e-3 and 9e-3 < float(sigma.max()) * UNIT < 10.1e-3
    assert abs(float(((told.joints - joints) / sigma).std()) - 1) < 0.02


def test_a_kept_mesh_loses_whole_fingers(template: HandTemplate, hands: Tensor) -> None:
    told, _ = _mask(template, replace(EVERYTHING, mesh=1.0, finger=0.5), hands)
    hidden = ~torch.isfinite(told.joint_sigma)
    for i, joints in enumerate(FINGER_JOINTS.values()):
        share = template.weights[template.nodes][:, [3, 7, 11, 15, 19][i]] > 0.9
        gone = hidden[:, joints[3]]
        assert gone.any() and not gone.all()
        assert not told.kept[gone][:, share].any() and told.kept[~gone][:, share].all()


def test_a_mesh_shows_no_joint_that_was_cut_away(template: HandTemplate, hands: Tensor) -> None:
    """As the engine has it: a joint is told only where the skin that it is read from is whole."""
    told, _ = _mask(template, replace(EVERYTHING, mesh=1.0, finger=0.5), hands)
    fingers = torch.stack([template.weights[:, list(bones[-3:])].sum(1) for bones in FINGER_BONES.values()])
    tips = (template.weights[template.nodes][:, [3, 7, 11, 15, 19]] > 0.9).float().argmax(0)
    gone = (~told.kept[:, tips]).float() @ fingers > 0.9
    assert not (torch.isfinite(told.joint_sigma) & ~covered_joints(template, ~gone)).any()
    assert 0.2 < float(torch.isfinite(told.joint_sigma).float().mean()) < 0.8


def test_a_moved_frame_is_a_small_similarity(template: HandTemplate, hands: Tensor) -> None:
    """Bones keep their proportions: only place, turn and size are off, by millimetres and degrees."""
    exact, _ = _mask(template, EVERYTHING, hands)
    moved, _ = _mask(template, replace(EVERYTHING, frame=3.0), hands)
    off = (moved.joints - exact.joints).norm(dim=-1) * UNIT
    assert 0.5e-3 < float(off.mean()) < 15e-3
    before, after = (torch.cdist(c.joints, c.joints)[:, 0, 1:] for c in (exact, moved))
    ratio = after / before
    assert (ratio.std(1) < 0.02).all()
