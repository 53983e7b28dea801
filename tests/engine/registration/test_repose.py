"""Reposing: a hand of its own shape takes a hypothesis' pose; what is kept stays to the last bit."""

from __future__ import annotations

import numpy as np
import pytest

from hhmr_engine.data.sampler import sample_angles
from hhmr_engine.hand import dof
from hhmr_engine.hand.build import random_shapes
from hhmr_engine.hand.hierarchy import mesh_edges
from hhmr_engine.hand.normals import vertex_normals
from hhmr_engine.hand.rotation import rotation_matrix
from hhmr_engine.hand.skeleton import FINGER_BONES, FINGERS
from hhmr_engine.hand.skinning import skin
from hhmr_engine.hand.template import load_template
from hhmr_engine.registration.repose import CHUNK, Repose, carry, locked_bones

TEMPLATE = load_template()
FREE = ("middle", "ring", "pinky")
COUNT = 6


def _share(fingers: tuple[str, ...]) -> np.ndarray:
    """[V] how much of a vertex moves with these fingers, from their knuckles on."""
    return TEMPLATE.weights[:, [b for f in fingers for b in FINGER_BONES[f][1:]]].sum(1)


KEPT = _share(FREE) < 0.5
PALM_AND_THUMB = _share(FINGERS[1:]) < 0.5


def _hands() -> tuple[np.ndarray, np.ndarray]:
    """A hand [V,3] of its own shape, and skinned hands [COUNT,V,3] whose free fingers are elsewhere."""
    rng = np.random.default_rng(8)
    angles = np.repeat(sample_angles(1, rng, TEMPLATE), COUNT + 1, 0)
    free = [i for i, name in enumerate(dof.DOF_NAMES) if name.startswith(FREE) and "meta" not in name]
    angles[1:, free] = sample_angles(COUNT, rng, TEMPLATE)[:, free]
    beta, lengths = (np.repeat(a, COUNT + 1, 0) for a in random_shapes(rng, 1))
    vertices, _ = skin(TEMPLATE, dof.rotations(TEMPLATE, angles), beta, lengths)
    bumps = 1.5e-3 * np.sin(TEMPLATE.vertices @ np.array([70.0, 110.0, 50.0]))
    hand = vertices[0] + bumps[:, None] * vertex_normals(vertices[:1], TEMPLATE.faces)[0]
    return hand.astype(np.float32), vertices[1:]


HAND, HYPOTHESES = _hands()


@pytest.fixture(scope="module")
def motions() -> np.ndarray:
    return Repose(TEMPLATE, HAND, KEPT).hypotheses(HYPOTHESES)


def test_free_fingers_go_where_the_hypothesis_has_them(motions: np.ndarray) -> None:
    """As far as bumps of 1.5 mm and a skin that is blended twice let them."""
    posed = carry(HAND, TEMPLATE.weights, motions)
    off = np.linalg.norm(posed - HYPOTHESES, axis=2)[:, ~KEPT]
    way = np.linalg.norm(HAND - HYPOTHESES, axis=2)[:, ~KEPT]
    assert off.mean() < 2.5e-3 and off.mean() < 0.15 * way.mean()
    joints, truth = TEMPLATE.regressor @ posed, TEMPLATE.regressor @ HYPOTHESES
    for knuckle in (9, 13, 17):
        for j in range(knuckle, knuckle + 3):
            one, other = (x[:, j + 1] - x[:, j] for x in (joints, truth))
            cosine = (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
            assert np.degrees(np.arccos(cosine.clip(-1, 1))).mean() < 8, j


def test_what_is_kept_stays_to_the_last_bit(motions: np.ndarray) -> None:
    locked = locked_bones(TEMPLATE, KEPT)
    assert not locked[[9, 10, 11, 13, 14, 15, 17, 18, 19]].any() and locked[[0, *range(1, 9), 12, 16]].all()
    assert (motions[:, locked] == np.eye(3, 4)).all()
    still = TEMPLATE.weights[:, ~locked].sum(1) == 0
    far = (100 * HAND + [1e3, 0, -500]).astype(np.float32)
    carried = carry(far, TEMPLATE.weights, motions)
    assert still.sum() > 500 and (carried[:, still] == far[still]).all()


def test_bones_move_rigidly(motions: np.ndarray) -> None:
    turn = motions[..., :3]
    np.testing.assert_allclose(
        turn @ turn.swapaxes(-1, -2), np.broadcast_to(np.eye(3), turn.shape), atol=1e-5
    )
    assert (np.linalg.det(turn) > 0).all()


def test_nothing_tears_at_the_roots(motions: np.ndarray) -> None:
    a, b = mesh_edges(TEMPLATE.faces).T
    posed = carry(HAND, TEMPLATE.weights, motions)
    before, after, truth = (
        np.linalg.norm(x[..., a, :] - x[..., b, :], axis=-1) for x in (HAND, posed, HYPOTHESES)
    )
    assert ((after / before) > 1.5).mean() < ((truth / before) > 1.5).mean() + 0.005
    assert (after / before).max() < max(2.5, 1.3 * (truth / before).max())


def test_place_size_and_turn_don_t_matter(motions: np.ndarray) -> None:
    turn = rotation_matrix(np.array([0.5, -1.2, 2.0]))

    def moved(points: np.ndarray) -> np.ndarray:
        return (60 * points @ turn.T + [200.0, -80.0, 10.0]).astype(np.float32)

    there = Repose(TEMPLATE, moved(HAND), KEPT).hypotheses(moved(HYPOTHESES))
    posed = carry(moved(HAND), TEMPLATE.weights, there)
    off = np.linalg.norm(posed - moved(carry(HAND, TEMPLATE.weights, motions)), axis=2) / 60
    assert off.mean() < 1e-4


def test_a_hypothesis_does_not_depend_on_the_others(motions: np.ndarray) -> None:
    alone = Repose(TEMPLATE, HAND, KEPT).hypotheses(HYPOTHESES[2:3])
    assert np.abs(alone[0] - motions[2]).max() < 1e-3


def test_all_kept_is_all_still() -> None:
    repose = Repose(TEMPLATE, HAND, np.ones(len(HAND), bool))
    assert repose.locked.all() and (repose.hypotheses(HYPOTHESES) == np.eye(3, 4)).all()


def test_the_palm_moves_about_a_kept_finger() -> None:
    """Of an index finger alone the hand may turn; it stays in its joint and does not move itself."""
    kept = _share(("index",)) > 0.5
    turn = rotation_matrix(np.array([0.0, 0.0, 0.15], np.float32))
    knuckle = (TEMPLATE.regressor @ HAND)[5]
    turned = (HAND - knuckle) @ turn.T + knuckle
    goal = np.where(kept[:, None], HAND, turned).astype(np.float32)
    repose = Repose(TEMPLATE, HAND, kept)
    assert list(np.flatnonzero(repose.locked)) == [5, 6, 7]
    motion = repose.hypotheses(goal[None])
    assert (motion[0, [5, 6, 7]] == np.eye(3, 4)).all()
    at_knuckle = motion[0, 4, :, :3] @ knuckle + motion[0, 4, :, 3]
    assert np.linalg.norm(at_knuckle - knuckle) < 3e-3
    wrist = (TEMPLATE.regressor @ turned)[0]
    start = (TEMPLATE.regressor @ HAND)[0]
    found = motion[0, 0, :, :3] @ start + motion[0, 0, :, 3]
    assert np.linalg.norm(found - wrist) < 0.3 * np.linalg.norm(start - wrist)


def test_a_fingertip_that_is_kept_holds_its_finger() -> None:
    """Locked bones below a free one: what hangs on them follows them."""
    tip = TEMPLATE.weights[:, 7] > 0.5
    repose = Repose(TEMPLATE, HAND, PALM_AND_THUMB | tip)
    assert repose.locked[[0, 4, 7]].all() and not repose.locked[[5, 6]].any()
    goal = np.where((PALM_AND_THUMB | tip)[:, None], HAND, HYPOTHESES)
    assert (repose.hypotheses(goal.astype(np.float32))[:, 7] == np.eye(3, 4)).all()


def test_what_is_missing_of_a_row_stays() -> None:
    shift = np.tile(np.eye(3, 4), (1, 20, 1, 1))
    shift[..., 3] = [0.0, 2.0, 0.0]
    points = np.random.default_rng(0).normal(size=(CHUNK + 10, 3)).astype(np.float32)
    rows = np.zeros((len(points), 20), np.float32)
    rows[:, 3] = np.linspace(0, 1, len(points))
    carried = carry(points, rows, shift)[0]
    np.testing.assert_allclose(carried - points, rows[:, 3:4] * [0.0, 2.0, 0.0], atol=1e-6)
