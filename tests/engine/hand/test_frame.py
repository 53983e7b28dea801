"""The palm frame does not know where, how large and how turned a hand was."""

from __future__ import annotations

import torch

from hhmr_engine.hand.frame import palm_frame, palm_targets
from hhmr_engine.hand.rotation import rotation_matrix
from hhmr_engine.hand.template import UNIT, HandTemplate
from tests.engine.hand.posed import Posed


def test_a_moved_hand_is_the_same_hand(tensors: HandTemplate, posed: Posed) -> None:
    vertices = torch.from_numpy(posed.vertices)
    generator = torch.Generator().manual_seed(0)
    turn = rotation_matrix(torch.randn(48, 3, generator=generator))
    size = torch.exp(torch.randn(48, 1, 1, generator=generator))
    moved = size * vertices @ turn.mT + torch.randn(48, 1, 3, generator=generator)
    frames = [palm_frame(tensors, tensors.regressor @ v) for v in (vertices, moved)]
    palm = [frame.to_palm(v) for frame, v in zip(frames, (vertices, moved))]
    assert (palm[0] - palm[1]).abs().max() < 1e-3 * 1e-3 / UNIT * 50  # 0.05 mm
    torch.testing.assert_close(frames[1].scale, frames[0].scale * size[:, 0, 0], rtol=1e-4, atol=0)
    assert (frames[1].to_world(palm[1]) - moved).abs().max() < 1e-5


def test_the_rest_pose_lies_at_its_middle_knuckle(tensors: HandTemplate) -> None:
    frame = palm_frame(tensors, tensors.joints[None])
    inside = frame.to_palm(tensors.joints[None])[0]
    torch.testing.assert_close(inside, palm_targets(tensors), atol=1e-4, rtol=0)
    assert inside[9].abs().max() < 1e-4
    torch.testing.assert_close(frame.scale, torch.tensor([UNIT]))
    torch.testing.assert_close(frame.millimetre, torch.tensor([1e-3]))


def test_posed_hands_have_about_the_same_palm(tensors: HandTemplate, posed: Posed) -> None:
    """The frame is held by wrist and knuckles, however the fingers bend."""
    vertices = torch.from_numpy(posed.vertices)
    joints = tensors.regressor @ vertices
    inside = palm_frame(tensors, joints).to_palm(joints)
    knuckles = inside[:, [0, 5, 9, 13, 17]]
    assert (knuckles - palm_targets(tensors)[[0, 5, 9, 13, 17]]).norm(dim=2).mean() * UNIT < 6e-3
