"""A condition that is masked is a condition that is absent."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from hhmr_engine.hand.skeleton import FINGER_BONES, FINGER_JOINTS, FINGERS
from hhmr_engine.hand.template import HandTemplate, load_template
from hhmr_engine.model.conditions import Conditions
from hhmr_engine.model.graph_unet import GraphDenoiser, anchor_weights
from tests.engine.small_network import small_network

ALL = torch.ones(1, 49, dtype=torch.bool)
NONE = torch.full((1, 21), torch.inf)


@pytest.fixture(scope="module")
def template() -> HandTemplate:
    return load_template().torch()


@pytest.fixture(scope="module")
def network(template: HandTemplate) -> GraphDenoiser:
    return small_network(template)


def _joints(seed: int = 0) -> Tensor:
    return torch.randn(1, 21, 3, generator=torch.Generator().manual_seed(seed))


def _answer(network: GraphDenoiser, conditions: Conditions) -> Tensor:
    """What the network makes of noise under these conditions; nothing is told to the Gaussian."""
    x = torch.randn(2, 624, generator=torch.Generator().manual_seed(1))
    return network(x, torch.tensor(0.4), network.encode(conditions, 1), network.prior.nothing())


@pytest.mark.parametrize(
    ("masked", "shown"),
    [
        (
            Conditions(joints=_joints(), joint_sigma=NONE),
            Conditions(joints=_joints(), joint_sigma=0 * NONE.nan_to_num(posinf=1) + 0.02),
        ),
        (
            Conditions(joints=_joints(), joint_sigma=NONE, line=torch.zeros(1, 3)),
            Conditions(joints=_joints(), joint_sigma=torch.full((1, 21), 0.02), line=torch.zeros(1, 3)),
        ),
        (
            Conditions(kept=torch.zeros(1, 208, dtype=torch.bool)),
            Conditions(kept=torch.ones(1, 208, dtype=torch.bool)),
        ),
    ],
    ids=["3D skeleton", "2D skeleton", "mesh"],
)
def test_masked_is_absent_and_shown_is_not(
    network: GraphDenoiser, masked: Conditions, shown: Conditions
) -> None:
    absent = _answer(network, Conditions())
    torch.testing.assert_close(_answer(network, masked), absent, atol=1e-6, rtol=0)
    assert (_answer(network, shown) - absent).abs().max() > 1e-4


def test_every_word_about_a_picture_is_heard(network: GraphDenoiser) -> None:
    """The patches, the rotation in the photo, the line of sight, and that joints lie on such lines."""
    generator = torch.Generator().manual_seed(3)
    photo = {"image": torch.randn(1, 49, 8, generator=generator), "image_seen": ALL}
    line, sigma = torch.tensor([[0.0, 0.6, 0.8]]), torch.full((1, 21), 0.02)
    answers = [
        _answer(network, conditions)
        for conditions in (
            Conditions(),
            Conditions(line=line),
            Conditions(**photo),
            Conditions(**photo | {"image": photo["image"] + 0.5 * torch.randn(1, 49, 8)}),
            Conditions(**photo, rotation=torch.eye(3)[None]),
            Conditions(joints=_joints(), joint_sigma=sigma),
            Conditions(joints=_joints(), joint_sigma=sigma, line=line),
        )
    ]
    for i, one in enumerate(answers):
        assert all((one - other).abs().max() > 1e-4 for other in answers[:i]), i


def test_hidden_joints_say_nothing_whatever_stands_there(network: GraphDenoiser) -> None:
    """NaN, as the engine gives them, or a true position, as training does."""
    sigma = torch.full((1, 21), 0.02)
    sigma[:, 5:13] = torch.inf
    answers = []
    for value in (0.0, 7.0, torch.nan):
        joints = _joints()
        joints[:, 5:13] = value
        answers.append(_answer(network, Conditions(joints=joints, joint_sigma=sigma)))
    assert torch.equal(answers[0], answers[1]) and torch.equal(answers[0], answers[2])
    moved = _joints()
    moved[:, 3] += 0.1
    seen = _answer(network, Conditions(joints=moved.nan_to_num(), joint_sigma=sigma))
    assert (seen - answers[0]).abs().max() > 1e-4


def test_hidden_joints_leave_no_anchors(network: GraphDenoiser, template: HandTemplate) -> None:
    """Nodes that only a hidden finger moves get zeros; the others get what they had."""
    sigma = torch.full((1, 21), 0.02)
    everything = network.encode(Conditions(joints=_joints(), joint_sigma=sigma), 1).anchors[0]
    sigma[:, FINGER_JOINTS["ring"]] = torch.inf
    without = network.encode(Conditions(joints=_joints(), joint_sigma=sigma), 1).anchors[0]
    bones = list(FINGER_BONES["ring"][1:])
    share = template.weights[template.nodes][:, bones].sum(1)
    assert (without[share > 0.999] == 0).all() and (everything[share > 0.999] != 0).any()
    elsewhere = template.weights[template.nodes][:, list(FINGER_BONES["ring"])].sum(1) == 0
    assert torch.equal(without[elsewhere], everything[elsewhere])


def test_anchors_follow_the_skin(template: HandTemplate) -> None:
    """The node at a fingertip has the last knuckle for its near joint and the tip for its far one."""
    near, far = anchor_weights(template)
    place = template.vertices[template.nodes]
    for tip, finger in zip(template.tips, FINGERS, strict=True):
        node = int((place - tip).norm(dim=1).argmin())
        joints = FINGER_JOINTS[finger]
        assert near[node, joints[2]] > 0.9 and far[node, joints[3]] > 0.9
    wrist = int((place - template.heads[0]).norm(dim=1).argmin())
    assert near[wrist, 0] > 0.9


def test_a_network_may_go_without_anchors(template: HandTemplate) -> None:
    encoded = small_network(template, anchors=False).encode(
        Conditions(joints=_joints(), joint_sigma=torch.full((1, 21), 0.02)), 1
    )
    assert not encoded.anchors.any()
