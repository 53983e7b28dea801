"""The differentiable hand poses as skin() does, and its derivatives are those of its points."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from hhmr_engine.hand import dof
from hhmr_engine.hand.skinning import skin
from hhmr_engine.hand.template import load_template
from hhmr_engine.registration.articulated import ANGLES, FRAME, LENGTHS, SHAPE, SIMPLE, SIZE, Pose, neutral
from hhmr_engine.registration.matching import Matcher

FIRST = {"angles": 0, "shape": ANGLES, "lengths": ANGLES + SHAPE, "frame": ANGLES + SHAPE + LENGTHS}


@pytest.fixture(scope="module")
def matcher() -> Matcher:
    return Matcher(load_template())


@pytest.fixture(scope="module")
def pose() -> Pose:
    return neutral(3).moved(0.1 * torch.randn(3, SIZE, generator=torch.Generator().manual_seed(0)))


def test_points_are_those_of_the_skinned_hand(matcher: Matcher, pose: Pose) -> None:
    template = matcher.template
    offsets = torch.cat([torch.zeros(3, 1, 3), pose.offsets.unflatten(1, (19, 3))], 1)
    lengths = torch.cat([torch.ones(3, 1), pose.lengths.exp()], 1)
    hand = torch.cat(skin(template, dof.rotations(template, pose.angles, offsets), pose.beta, lengths), 1)
    turned = (hand - template.heads[9]) @ pose.rotation.mT
    wanted = pose.grow.exp()[:, None, None] * turned + pose.shift[:, None]
    assert (matcher.model.points(pose, matcher.model.bones(pose)) - wanted).abs().max() < 1e-6


@pytest.mark.parametrize(
    ("part", "start", "size", "tolerance"),
    [
        ("angles", FIRST["angles"], ANGLES, 0.01),
        ("shape", FIRST["shape"], SHAPE, 0.01),
        ("lengths", FIRST["lengths"], LENGTHS, 0.01),
        ("frame", FIRST["frame"], FRAME, 0.01),
        ("offsets", SIMPLE, SIZE - SIMPLE, 0.02),
    ],
)
def test_derivatives(
    matcher: Matcher, pose: Pose, part: str, start: int, size: int, tolerance: float
) -> None:
    model, nudge = matcher.model, 2e-3
    if part == "shape":  # how shape turns the direction of a stretch is left out
        nudge = 0.2  # as good as any, since that is linear
        pose = replace(pose, lengths=torch.zeros_like(pose.lengths))
    rows = torch.arange(0, matcher.count + 21, 7).expand(3, -1)
    found = model.jacobian(pose, model.bones(pose), rows, offsets=True)
    for column in range(start, start + size):
        step = torch.zeros(3, SIZE)
        step[:, column] = nudge
        ahead, behind = (
            model.points(moved, model.bones(moved))[:, rows[0]]
            for moved in (pose.moved(step), pose.moved(-step))
        )
        wanted = (ahead - behind) / (2 * nudge)
        off = (found[..., column] - wanted).abs().mean() / wanted.abs().mean()
        assert off < tolerance, (part, column)


def test_a_step_without_axes_leaves_them(matcher: Matcher, pose: Pose) -> None:
    rows = torch.arange(0, 60, 7).expand(3, -1)
    bones = matcher.model.bones(pose)
    short, full = (matcher.model.jacobian(pose, bones, rows, offsets) for offsets in (False, True))
    assert short.shape[-1] == SIMPLE
    assert (short - full[..., :SIMPLE]).abs().max() < 1e-6
    assert (pose.moved(torch.ones(3, SIMPLE)).offsets == pose.offsets).all()
    assert float((pose.moved(torch.ones(3, SIMPLE)).angles - pose.angles).abs().max()) < 0.36
