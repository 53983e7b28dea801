"""Binding: any mesh on the hand gets the bones that move it; the arm and the rest of a body get none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh

from hhmr_engine.data.foreign_hands import FILES, load_foreign_hand
from hhmr_engine.hand import dof
from hhmr_engine.hand.hierarchy import mesh_edges
from hhmr_engine.hand.normals import vertex_normals
from hhmr_engine.hand.skeleton import FINGER_BONES
from hhmr_engine.hand.skinning import skin
from hhmr_engine.hand.template import load_template
from hhmr_engine.registration.binding import bind
from hhmr_engine.registration.register import register
from hhmr_engine.registration.repose import Repose, carry

TEMPLATE = load_template()
CURL = ("mcp_flex", "pip_flex", "dip_flex")


def _posed(**degrees: float) -> np.ndarray:
    """Vertices [V,3] of the template, by names of angles, or without a finger for all long ones."""
    angles = np.zeros((1, 24), np.float32)
    for i, name in enumerate(dof.DOF_NAMES):
        finger, kind = name.split("_", 1)
        if finger != "thumb":
            angles[0, i] = np.radians(degrees.get(name, degrees.get(kind, 0)))
    return skin(TEMPLATE, dof.rotations(TEMPLATE, angles))[0][0]


OPEN = _posed()
FIST = _posed(mcp_flex=70, pip_flex=80, dip_flex=50)


def _denser(hand: np.ndarray, times: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The template's surface in other triangles, a little dented: vertices, triangles, weights."""
    mesh = trimesh.Trimesh(hand, TEMPLATE.faces, vertex_attributes={"own": TEMPLATE.weights}, process=False)
    for _ in range(times):
        mesh = mesh.subdivide()
    points, triangles = np.asarray(mesh.vertices, np.float32), np.asarray(mesh.faces)
    dents = 5e-4 * np.sin(points @ np.array([310.0, 170.0, -240.0]))
    points = points + dents[:, None] * vertex_normals(points[None], triangles)[0]
    return points.astype(np.float32), triangles, np.asarray(mesh.vertex_attributes["own"])


def _stretch(before: np.ndarray, after: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    a, b = mesh_edges(triangles).T
    return np.linalg.norm(after[a] - after[b], axis=1) / np.linalg.norm(before[a] - before[b], axis=1)


def _of_fingers(weights: np.ndarray) -> np.ndarray:
    """[M,5] how much of each row is a finger's own."""
    return np.stack([weights[:, list(bones[1:])].sum(1) for bones in FINGER_BONES.values()], 1)


def test_a_denser_mesh_gets_the_hands_own_weights() -> None:
    points, triangles, own = _denser(OPEN, 1)
    weights = bind(TEMPLATE, OPEN, points, triangles)
    assert weights.dtype == np.float32 and weights.shape == own.shape and (weights >= 0).all()
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-5)
    assert np.abs(weights - own).sum(1).mean() < 0.3  # they are smoother


def test_place_and_size_don_t_matter() -> None:
    points, triangles, _ = _denser(OPEN, 1)
    shift = np.array([30.0, -12.0, 5.0], np.float32)
    moved = bind(TEMPLATE, 40 * OPEN + shift, 40 * points + shift, triangles)
    assert np.abs(moved - bind(TEMPLATE, OPEN, points, triangles)).max() < 1e-3


@pytest.mark.parametrize("times", [1, 2])
def test_a_fist_stretches_a_fine_mesh_as_little_as_a_coarse_one(times: int) -> None:
    points, triangles, _ = _denser(OPEN, times)
    motions = Repose(TEMPLATE, OPEN, np.zeros(len(OPEN), bool)).hypotheses(FIST[None])
    fist = carry(points, bind(TEMPLATE, OPEN, points, triangles), motions)[0]
    stretch = _stretch(points, fist, triangles)
    assert (stretch > 1.5).mean() < 0.006 and stretch.max() < 5


def test_fingers_that_touch_are_told_apart() -> None:
    """Pressed together until they meet: a finger's side takes nothing from the next one's."""
    pressed = _posed(index_mcp_abd=-5, ring_mcp_abd=6, pinky_mcp_abd=12, pip_flex=20)
    points, triangles, own = _denser(pressed, 1)
    weights = _of_fingers(bind(TEMPLATE, pressed, points, triangles))
    truth = _of_fingers(own)
    sure = truth.max(1) > 0.95
    others = np.where(np.arange(5) == truth.argmax(1)[:, None], 0, weights).max(1)
    assert sure.sum() > 2000 and (others[sure] > 0.3).mean() < 0.005


def _tube(count: int, radius: float, start: np.ndarray, end: np.ndarray) -> trimesh.Trimesh:
    rings = trimesh.creation.cylinder(radius, segment=[start, end], sections=16).subdivide_to_size(0.02)
    assert len(rings.vertices) >= count
    return rings


def test_the_arm_is_left_and_so_is_the_body() -> None:
    """Along the arm rows fall to nothing; a leg that hangs beside the hand gets nothing at all."""
    points, triangles, _ = _denser(OPEN, 1)
    arm = _tube(50, 0.028, OPEN[OPEN[:, 1] < 0.005].mean(0), np.array([0.0, -0.4, 0.0]))
    leg = _tube(50, 0.03, np.array([0.12, -0.4, 0.0]), np.array([0.12, 0.3, 0.0]))
    size, more = len(points), len(arm.vertices)
    everything = np.concatenate([points, arm.vertices, leg.vertices]).astype(np.float32)
    faces = np.concatenate([triangles, arm.faces + size, leg.faces + size + more])
    sums = bind(TEMPLATE, OPEN, everything, faces).sum(1)
    along = everything[:, 1]
    assert (sums[:size][along[:size] > 0.02] > 0.99).all()
    assert (sums[along < -0.15] == 0).all() and (sums[size + more :] == 0).all()
    ring = sums[size : size + more]
    assert ((ring > 0.2) & (ring < 0.8)).any()


def test_a_nail_moves_as_one_with_the_finger_below_it() -> None:
    tip = TEMPLATE.tips[1]
    back = OPEN[np.argmax(OPEN[:, 2] - 1e3 * (np.linalg.norm(OPEN[:, :2] - tip[:2], axis=1) > 0.008))]
    nail = trimesh.creation.icosphere(2, 0.006)
    nail.vertices = nail.vertices * [1, 1.3, 0.1] + back + [0, -0.006, 0.0005]
    points, triangles, _ = _denser(OPEN, 1)
    everything = np.concatenate([points, nail.vertices]).astype(np.float32)
    weights = bind(TEMPLATE, OPEN, everything, np.concatenate([triangles, nail.faces + len(points)]))
    own = weights[len(points) :]
    assert np.ptp(own, axis=0).max() < 1e-5 and own[0].argmax() == 7 and own[0, 7] > 0.8
    motions = Repose(TEMPLATE, OPEN, np.zeros(len(OPEN), bool)).hypotheses(FIST[None])
    moved = carry(everything, weights, motions)[0][len(points) :]
    stretch = _stretch(everything[len(points) :], moved, nail.faces)
    assert np.abs(stretch - 1).max() < 0.05


def test_unmerged_vertices_move_together() -> None:
    points, triangles, _ = _denser(OPEN, 1)
    loose = points[triangles].reshape(-1, 3)
    weights = bind(TEMPLATE, OPEN, loose, np.arange(len(loose)).reshape(-1, 3))
    np.testing.assert_allclose(weights, bind(TEMPLATE, OPEN, points, triangles)[triangles].reshape(-1, 20))


def test_points_without_a_mesh() -> None:
    """Joints are points, too: each goes with a bone that meets there."""
    joints = (TEMPLATE.regressor @ OPEN).astype(np.float32)
    weights = bind(TEMPLATE, OPEN, joints, None)
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-5)
    assert (weights[[8, 12, 16, 20]].argmax(1) == [7, 11, 15, 19]).all()


@pytest.mark.parametrize("name", FILES)
def test_other_projects_hands_make_a_fist(name: str, data_root: Path) -> None:
    """The truth is their own rig's: its fist stretches more edges than ours does."""
    hand = load_foreign_hand(TEMPLATE, data_root, name)
    angles = np.zeros(24, np.float32)
    for i, own in enumerate(dof.DOF_NAMES):
        if own.endswith(CURL) and "thumb" not in own:
            angles[i] = np.radians(65)
    (rest, joints), (fist, bent) = hand.posed(0 * angles), hand.posed(angles)
    laid = register(TEMPLATE, rest, hand.triangles, joints=joints)
    goal = register(TEMPLATE, fist, hand.triangles, joints=bent).vertices
    weights = bind(TEMPLATE, laid.vertices, rest, hand.triangles)
    motions = Repose(TEMPLATE, laid.vertices, np.zeros(len(OPEN), bool)).hypotheses(goal[None])
    moved = carry(rest, weights, motions)[0]
    stretch, theirs = (_stretch(rest, pose, hand.triangles) for pose in (moved, fist))
    assert (stretch > 1.5).mean() < min(0.01, max(0.002, (theirs > 1.5).mean()))
    bent = hand.finger() > 0
    off, way = (np.linalg.norm(pose - fist, axis=1)[bent].mean() for pose in (moved, rest))
    assert off < 0.25 * way  # their joints lie elsewhere in the same skin
