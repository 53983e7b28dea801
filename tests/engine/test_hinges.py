"""Joints that a draw bends beyond what they can are turned back, and what was given is left alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from hhmr_engine.data.clips import load_clips
from hhmr_engine.data.retarget import load_poses
from hhmr_engine.data.sampler import sample_angles
from hhmr_engine.data.splits import VALIDATION
from hhmr_engine.engine import Engine
from hhmr_engine.evaluation.testset import recorded_hands
from hhmr_engine.hand import dof
from hhmr_engine.hand.frame import palm_frame
from hhmr_engine.hand.skeleton import FINGER_JOINTS, FINGERS, JOINT_NAMES
from hhmr_engine.hand.skinning import skin
from hhmr_engine.hand.template import UNIT, load_template
from hhmr_engine.hinges import SLACK, Hinges
from hhmr_engine.observation import node_prior, observe_joints
from hhmr_engine.request import Hypotheses, Request
from hhmr_engine.sequence import complete_motion
from hhmr_engine.training.train import data_cache

TEMPLATE = load_template()
TENSORS = TEMPLATE.torch()
PRIOR = node_prior(TENSORS)
NOTHING = PRIOR.nothing().precision
HINGES = Hinges(TEMPLATE)
HIDDEN = [j for f in ("middle", "ring", "pinky") for j in FINGER_JOINTS[f][1:]]
MILLIMETRES = 1e3 * UNIT


def states(angles: np.ndarray) -> torch.Tensor:
    """Node states [n,3N] of the template's hand in these poses."""
    vertices, _ = skin(TENSORS, dof.rotations(TENSORS, torch.from_numpy(angles)))
    palm = palm_frame(TENSORS, TENSORS.regressor @ vertices).to_palm(vertices)
    return palm[:, TENSORS.nodes].flatten(1)


def posed(**degrees: float) -> np.ndarray:
    angles = np.zeros((1, len(dof.DOFS)), np.float32)
    for name, angle in degrees.items():
        angles[0, dof.DOF_NAMES.index(name)] = np.radians(angle)
    return angles


def joints_of(x: torch.Tensor) -> torch.Tensor:
    return TENSORS.regressor @ TENSORS.decoder @ x.unflatten(-1, (-1, 3))


SNAPPED = states(posed(ring_pip_flex=40, ring_dip_flex=-70))


def test_how_far_hinges_are_bent_is_read_off_the_nodes() -> None:
    """To a degree or two: skin does not bend quite as bones do."""
    assert not HINGES.bend(states(posed())).any()
    for name, low in (("pip", -15), ("dip", -22)):
        for finger in ("index", "middle", "ring", "pinky"):
            for beyond in (10, 40):
                bend = HINGES.bend(states(posed(**{f"{finger}_{name}_flex": low - beyond})))
                wanted = torch.zeros(1, 5, 2)
                wanted[0, FINGERS.index(finger), int(name == "dip")] = -np.radians(beyond) + SLACK
                torch.testing.assert_close(bend, wanted, atol=np.radians(6), rtol=0)


def test_hands_that_bend_as_hands_do_are_left_alone() -> None:
    x = states(sample_angles(64, np.random.default_rng(0)))
    mended = HINGES(x, PRIOR, NOTHING)
    moved = (joints_of(mended) - joints_of(x)).norm(dim=-1) * MILLIMETRES
    assert float((moved.amax(1) > 0.01).float().mean()) < 0.1 and float(moved.max()) < 1.5


@pytest.mark.parametrize(
    "angles",
    [
        {"ring_pip_flex": 40, "ring_dip_flex": -70},
        {"ring_pip_flex": -60},
        {"ring_pip_flex": -50, "ring_dip_flex": -60},
        {"ring_mcp_flex": 30, "ring_dip_flex": 130},
    ],
)
def test_what_is_beyond_a_hinge_is_turned_back(angles: dict[str, float]) -> None:
    """To its limit, with bones as long as they were and the other fingers where they were."""
    x = states(posed(**angles))
    mended = HINGES(x, PRIOR, NOTHING)
    assert float(HINGES.bend(x).abs().max()) > np.radians(25)
    assert float(HINGES.bend(mended).abs().max()) < np.radians(4)
    before, after = joints_of(x)[0], joints_of(mended)[0]
    ring = [j for j, name in enumerate(JOINT_NAMES) if name.startswith("ring")]
    others = [j for j in range(21) if j not in ring]
    assert float((after - before)[others].norm(dim=-1).max()) * MILLIMETRES < 0.5
    bones = [joints[ring].diff(dim=0).norm(dim=-1) for joints in (before, after)]
    torch.testing.assert_close(bones[1], bones[0], rtol=0.06, atol=0)


def test_what_was_given_so_stays() -> None:
    """The whole finger, or its tip; where nothing beyond the joint is known, it turns."""
    joints = joints_of(SNAPPED)[0] * UNIT
    ring = slice(JOINT_NAMES.index("ring_mcp"), JOINT_NAMES.index("ring_tip") + 1)

    def told(*known: str) -> torch.Tensor:
        given = joints.clone()
        given[ring] = torch.nan
        for name in known:
            given[JOINT_NAMES.index(name)] = joints[JOINT_NAMES.index(name)]
        return HINGES(SNAPPED, PRIOR, observe_joints(TENSORS, given, rho=1.0).evidence(PRIOR).precision)

    assert torch.equal(told("ring_mcp", "ring_pip", "ring_dip", "ring_tip"), SNAPPED)
    assert torch.equal(told("ring_mcp", "ring_tip"), SNAPPED)
    for known in [(), ("ring_mcp",), ("ring_mcp", "ring_pip", "ring_dip")]:
        mended = told(*known)
        assert float(HINGES.bend(mended).abs().max()) < np.radians(4)
        for name in known:
            joint = JOINT_NAMES.index(name)
            assert float((joints_of(mended)[0, joint] * UNIT - joints[joint]).norm()) < 1e-3


def test_each_hand_by_its_own_evidence_and_nothing_beside_the_mesh() -> None:
    firm = 1e6 * torch.eye(PRIOR.rank)
    both = HINGES(SNAPPED.repeat(2, 1), PRIOR, torch.stack([firm, NOTHING]))
    assert torch.equal(both[:1], SNAPPED)
    torch.testing.assert_close(both[1:], HINGES(SNAPPED, PRIOR, NOTHING))
    wide = PRIOR.widened(0.1, 3)
    beside = HINGES(torch.cat([SNAPPED, torch.ones(1, 3)], 1), wide, torch.zeros(wide.rank, wide.rank))
    assert torch.equal(beside[:, -3:], torch.ones(1, 3))
    torch.testing.assert_close(beside[:, :-3], both[1:])


def bent(found: Hypotheses) -> np.ndarray:
    """[n] degrees by which meshes bend a hinge beyond its limits, in the order of the draws."""
    nodes = torch.from_numpy(found.vertices[np.argsort(found.draw)][:, TEMPLATE.nodes])
    return np.degrees(HINGES.bend(nodes.flatten(1)).abs().amax((1, 2)).numpy())


def test_fingers_of_which_the_knuckles_are_known(engine: Engine, data_root: Path) -> None:
    """Recorded gestures, as the network draws the rest of them: some tips snap back, and none is left so."""
    recordings = load_poses(TEMPLATE, data_root, data_cache())
    hands = recorded_hands(TEMPLATE, recordings, 8, VALIDATION)
    drawn, mended = [], []
    for seed, joints in enumerate(hands.joints):
        given = joints.copy()
        given[HIDDEN] = np.nan
        found = engine.run(Request("inpaint", joints=given, diverse=False, seed=seed))
        mended.append(bent(found))
        assert 1e3 * found.residual.max() < 3
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(engine, "remedies", lambda request: [engine.separation])
            drawn.append(bent(engine.run(Request("inpaint", joints=given, diverse=False, seed=seed))))
    assert (np.stack(drawn) > 20).any(1).sum() >= 2
    assert np.max(mended) < 15
    straight = np.stack(drawn) == 0
    assert straight.mean() > 0.9 and not np.stack(mended)[straight].any()


def test_the_baseline_is_as_it_is(engine: Engine) -> None:
    assert engine.remedies(Request("generate", method="gaussian", separate=False)) == []
    assert engine.remedies(Request("generate", separate=False)) == [engine.hinges]


def test_over_time(engine: Engine, data_root: Path) -> None:
    """A recorded clip in which a fingertip snaps away for a while as drawn: none does, and none jumps."""
    frames = load_clips(data_root)[0].joints.astype(np.float32)
    frames[:, HIDDEN] = np.nan
    request = Request("motion", frames=frames, count=4, seed=7)

    def moving() -> tuple[np.ndarray, np.ndarray]:
        """Degrees beyond limits [n,T] and joints [n,T,21,3], in the order of the draws."""
        found = complete_motion(engine, request, meshes=True)
        assert found.moving is not None and found.motion is not None
        order = np.argsort(found.draw)
        nodes = torch.from_numpy(found.moving[order][:, :, TEMPLATE.nodes]).flatten(2)
        bend = torch.stack([HINGES.bend(motion).abs().amax((1, 2)) for motion in nodes])
        return np.degrees(bend.numpy()), found.motion[order]

    mended, motion = moving()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "hinges", lambda x, prior, precision: x)
        drawn, before = moving()
    assert drawn.max() > 40 and mended.max() < 5
    straight = ~(drawn > 0).any(1)
    np.testing.assert_array_equal(motion[straight], before[straight])
    moved = motion - before
    assert np.linalg.norm(moved, axis=-1).max() > 10e-3
    assert np.linalg.norm(np.diff(moved, axis=1), axis=-1).max() < 3e-3
