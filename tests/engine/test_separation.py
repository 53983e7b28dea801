"""Fingers that run into each other are taken apart, and hands that don't are left alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hhmr_engine.data.sampler import draw_angles, sample_angles
from hhmr_engine.diffusion.gaussian import Evidence
from hhmr_engine.engine import Engine
from hhmr_engine.evaluation import metrics
from hhmr_engine.hand import dof
from hhmr_engine.hand.capsules import axes, find_contacts, measure_proxies
from hhmr_engine.hand.frame import palm_frame
from hhmr_engine.hand.hierarchy import mesh_edges
from hhmr_engine.hand.intersection import SelfIntersection
from hhmr_engine.hand.kinematics import pose_skeleton
from hhmr_engine.hand.skeleton import PARENTS
from hhmr_engine.hand.skinning import skin
from hhmr_engine.hand.template import UNIT, load_template
from hhmr_engine.observation import ROOTS, node_prior, observe_joints
from hhmr_engine.request import Request
from hhmr_engine.separation import SHAPELESS, Separation, axis_rows

TEMPLATE = load_template()
TENSORS = TEMPLATE.torch()
PRIOR = node_prior(TENSORS)
INTERSECTION = SelfIntersection(TEMPLATE.faces, TEMPLATE.weights, np.array(PARENTS))
SEPARATION = Separation(TEMPLATE, INTERSECTION)
MILLIMETRES = 1e3 * UNIT


def states(angles: np.ndarray) -> torch.Tensor:
    """Node states [n,3N] of the template's hand in these poses."""
    turns = dof.rotations(TENSORS, torch.from_numpy(angles))
    vertices, _ = skin(TENSORS, turns)
    palm = palm_frame(TENSORS, TENSORS.regressor @ vertices).to_palm(vertices)
    return palm[:, TENSORS.nodes].flatten(1)


def meshes(x: torch.Tensor) -> np.ndarray:
    return (TENSORS.decoder @ x.unflatten(-1, (-1, 3))).numpy() * UNIT


@pytest.fixture(scope="module")
def crossing() -> torch.Tensor:
    """Poses of the raw mixture, before the sampler cleans them, whose fingers run into each other."""
    x = states(draw_angles(400, np.random.default_rng(0))[0])
    depth = SEPARATION.depth(x).amax(1).numpy() * MILLIMETRES
    return x[(depth > 2) & (depth < 8) & (INTERSECTION.percentage(meshes(x)) > 0)][:24]


def test_axes_are_read_off_the_skin() -> None:
    """As the skeleton has them, to a millimetre in the mean: skin does not bend quite as bones do."""
    angles = sample_angles(32, np.random.default_rng(1))
    proxies = measure_proxies(TEMPLATE)
    rows = axis_rows(TEMPLATE, proxies)
    np.testing.assert_allclose(rows.sum(-1), 1, atol=1e-6)
    vertices, _ = skin(TEMPLATE, dof.rotations(TEMPLATE, angles))
    read = np.einsum("cev,nvk->ncek", rows, vertices)
    true = axes(proxies, pose_skeleton(TEMPLATE, angles.astype(np.float64)))
    away = 1e3 * np.linalg.norm(read - true, axis=-1)
    assert away.mean() < 1 and np.quantile(away, 0.95) < 3


def test_a_clear_hand_is_left_alone() -> None:
    x = states(np.zeros((1, 24), np.float32))
    assert not (SEPARATION.depth(x) > 0).any()
    assert torch.equal(SEPARATION(x, PRIOR, PRIOR.nothing().precision), x)


def test_a_finger_closed_on_itself_is_left_alone() -> None:
    """Where the capsules of one finger meet, no change of the skin can part them: it would lengthen it."""
    angles = np.zeros((1, 24), np.float32)
    angles[0, dof.DOF_NAMES.index("middle_mcp_flex")] = -0.3  # so that its tip stays out of the palm
    for name in ("middle_pip_flex", "middle_dip_flex"):
        angles[0, dof.DOF_NAMES.index(name)] = 0.9 * dof.LIMITS[dof.DOF_NAMES.index(name), 1]
    proxies = measure_proxies(TEMPLATE)
    depth = find_contacts(proxies, axes(proxies, pose_skeleton(TEMPLATE, angles.astype(np.float64)))).depth
    assert depth.max() > 0.002
    x = states(angles)
    assert torch.equal(SEPARATION(x, PRIOR, PRIOR.nothing().precision), x)


def test_fingers_come_out_of_each_other(crossing: torch.Tensor) -> None:
    assert len(crossing) == 24
    apart = SEPARATION(crossing, PRIOR, PRIOR.nothing().precision)
    before, after = (SEPARATION.depth(x).clamp_min(0).amax(1) * MILLIMETRES for x in (crossing, apart))
    assert float(before.mean()) > 3 and float(after.mean()) < 0.2 * float(before.mean())
    through = [INTERSECTION.percentage(meshes(x)).mean() for x in (crossing, apart)]
    assert through[0] > 0.4 and through[1] < 0.25 * through[0]
    moved = (apart - crossing).unflatten(-1, (-1, 3)).norm(dim=-1) * MILLIMETRES
    assert float(moved.median()) < 2  # it is a few fingers that give way


def joints_of(x: torch.Tensor) -> torch.Tensor:
    return TENSORS.regressor @ TENSORS.decoder @ x.unflatten(-1, (-1, 3)) * UNIT


def test_fingers_that_were_given_in_each_other_stay(crossing: torch.Tensor) -> None:
    """Where joints are known to a millimetre there is only skin to give way, and it would crumple."""
    for x, given in zip(crossing, joints_of(crossing), strict=True):
        evidence = observe_joints(TENSORS, given, rho=1.0).evidence(PRIOR)
        assert torch.equal(SEPARATION(x[None], PRIOR, evidence.precision)[0], x)


def test_given_joints_give_way_no_farther_than_their_noise(crossing: torch.Tensor) -> None:
    """Given less exactly, they part."""
    moved, through = [], []
    for x, given in zip(crossing, joints_of(crossing), strict=True):
        evidence = observe_joints(TENSORS, given, rho=4.0).evidence(PRIOR)
        apart = SEPARATION(x[None], PRIOR, evidence.precision)
        through.append(INTERSECTION.percentage(meshes(apart))[0])
        moved.append(1e3 * float((joints_of(apart)[0] - given).norm(dim=-1).mean()))
    assert np.mean(moved) < 1.5
    assert np.mean(through) < 0.1 * INTERSECTION.percentage(meshes(crossing)).mean()
    free = joints_of(SEPARATION(crossing, PRIOR, PRIOR.nothing().precision)) - joints_of(crossing)
    assert np.mean(moved) < 0.8 * 1e3 * float(free.norm(dim=-1).mean())


def test_no_skin_is_drawn_out_of_shape(engine: Engine) -> None:
    """Thumb and index given in each other, the other fingers free: what is free parts, nothing crumples."""
    joints = joints_of(states(thumb_through_index()))[0].numpy()
    joints[9:] = np.nan
    ask = Request("inpaint", joints=joints, count=32, diverse=False)
    apart, drawn = (engine.run(Request(**{**vars(ask), "separate": s})) for s in (True, False))
    apart, drawn = (found.vertices[np.argsort(found.draw)] for found in (apart, drawn))
    assert INTERSECTION.percentage(apart).mean() < INTERSECTION.percentage(drawn).mean()
    edges = mesh_edges(TEMPLATE.faces)
    before, after = (np.linalg.norm(np.diff(v[:, edges], axis=2)[:, :, 0], axis=-1) for v in (drawn, apart))
    assert np.quantile(np.abs(np.log(after / before)), 0.99, axis=1).max() < SHAPELESS + 0.01


def thumb_through_index() -> np.ndarray:
    """A pose [1,24] in which the tip of the thumb is inside the index finger."""
    angles = np.zeros((1, 24), np.float32)
    bent = {"thumb_cmc_abd": -0.3, "thumb_cmc_flex": 0.5, "thumb_mcp_flex": 0.5, "thumb_ip_flex": 0.6}
    bent |= {"index_mcp_flex": 1.0, "index_pip_flex": 1.3, "index_dip_flex": 0.6}
    for name, angle in bent.items():
        angles[0, dof.DOF_NAMES.index(name)] = angle
    return angles


def test_every_hand_by_its_own_evidence(crossing: torch.Tensor) -> None:
    """A batch of precisions gives what each gives alone, with more coordinates beside the mesh as without."""
    firm = 50 * torch.eye(PRIOR.rank)
    each = Evidence(torch.stack([0 * firm, firm]), torch.zeros(2, PRIOR.rank))
    both = SEPARATION(crossing[:2], PRIOR, each.precision)
    alone = [SEPARATION(crossing[k : k + 1], PRIOR, each.precision[k])[0] for k in range(2)]
    torch.testing.assert_close(both, torch.stack(alone), atol=1e-4, rtol=1e-4)
    wide = PRIOR.widened(0.1, 3)
    beside = torch.cat([crossing[:2], torch.zeros(2, 3)], 1)
    again = SEPARATION(beside, wide, torch.zeros(wide.rank, wide.rank))
    plain = SEPARATION(crossing[:2], PRIOR, 0 * firm)
    torch.testing.assert_close(again[:, :-3], plain, atol=1e-4, rtol=1e-4)


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(threads=1)


def test_draws_are_separated_unless_it_is_not_wanted(engine: Engine) -> None:
    ask = Request("generate", count=64, seed=3, diverse=False)
    with_them = engine.run(ask)
    without = engine.run(Request(**{**vars(ask), "separate": False}))
    assert with_them.self_intersection.mean() < 0.3 * without.self_intersection.mean()
    order, other = np.argsort(with_them.draw), np.argsort(without.draw)
    same = (with_them.vertices[order] == without.vertices[other]).all((1, 2))
    assert 8 < same.sum() < 64  # those that were clear are the same bytes


def template_joints() -> np.ndarray:
    """A hand's joints with the middle to the little finger unknown."""
    joints = TEMPLATE.joints.astype(np.float32).copy()
    joints[9:] = np.nan
    joints[[9, 13, 17]] = TEMPLATE.joints[[9, 13, 17]]
    return joints


def test_the_first_draw_is_the_same_for_every_seed(engine: Engine) -> None:
    """It starts without noise, where something is given; the others don't, nor hands from nothing."""
    ask = Request("inpaint", joints=template_joints(), count=3, diverse=False)
    one, two = engine.run(ask), engine.run(Request(**{**vars(ask), "seed": 5}))
    first, second = (found.vertices[np.argsort(found.draw)] for found in (one, two))
    np.testing.assert_array_equal(first[0], second[0])
    assert (np.abs(first[1:] - second[1:]).max((1, 2)) > 1e-3).all()
    free = [engine.run(Request("generate", count=1, seed=seed)).vertices for seed in (0, 1)]
    assert np.abs(free[0] - free[1]).max() > 1e-3


def test_roots_that_lie_elsewhere_are_believed_less(engine: Engine) -> None:
    """A wrist and a thumb's root a centimetre off spoil the hand less when that is said."""
    joints = TEMPLATE.joints.astype(np.float32).copy()
    joints[list(ROOTS)] += (0.003, -0.01, 0.003)
    error = {}
    for root_rho in (0.0, 8.0):
        found = engine.run(Request("inpaint", joints=joints, root_rho=root_rho, count=4, diverse=False))
        error[root_rho] = metrics.aligned_error(found.vertices, TEMPLATE.vertices).mean()
    assert error[8.0] < 0.7 * error[0.0]
