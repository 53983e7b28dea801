"""A hand of another topology, completed: what is kept stays, what is free moves, on either side."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import trimesh

from hhmr_engine.engine import Engine, Hypotheses, Request, RequestError
from hhmr_engine.foreign import _carry_joints
from hhmr_engine.hand import dof
from hhmr_engine.hand.build import random_shapes
from hhmr_engine.hand.rotation import rotation_matrix
from hhmr_engine.hand.skinning import skin
from hhmr_engine.hand.template import load_template
from hhmr_engine.registration.settle import settle

TEMPLATE = load_template()
FLIP = np.array([-1, 1, 1], np.float32)
FREE = [9, 10, 11, 13, 14, 15, 17, 18, 19]  # middle, ring and pinky from their knuckles on
SCALE = 40.0


def _foreign() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Vertices, triangles, kept vertices, joints of a hand of its own shape and topology, 40 times as big."""
    angles = np.zeros((1, 24), np.float32)
    angles[0, 6:22] = [0.02, 0.35, 0.4, 0.2] * 4
    beta, lengths = random_shapes(np.random.default_rng(3), 1)
    posed, _ = skin(TEMPLATE, dof.rotations(TEMPLATE, angles), beta, lengths)
    turn = rotation_matrix(np.array([0.4, 1.1, -0.7]))
    hand = (SCALE * (posed[0] @ turn.T + [0.2, -0.1, 0.5])).astype(np.float32)
    attributes = {"free": TEMPLATE.weights[:, FREE].sum(1, keepdims=True)}
    mesh = trimesh.Trimesh(hand, TEMPLATE.faces, vertex_attributes=attributes, process=False).subdivide()
    free = np.asarray(mesh.vertex_attributes["free"])[:, 0] > 0.5
    vertices = np.asarray(mesh.vertices, np.float32)
    order = np.random.default_rng(0).permutation(len(vertices))  # not the template's
    place = np.argsort(order)
    joints = (TEMPLATE.regressor @ hand).astype(np.float32)
    return vertices[order], place[np.asarray(mesh.faces)].astype(np.int32), ~free[order], joints


VERTICES, TRIANGLES, KEEP, JOINTS = _foreign()
ASK = Request(
    "inpaint",
    side="auto",
    surface=VERTICES,
    triangles=TRIANGLES,
    keep=KEEP,
    joints=JOINTS,
    method="gaussian",
    count=4,
    diverse=False,
    seed=2,
)


@pytest.fixture(scope="module")
def found(engine: Engine) -> Hypotheses:
    return engine.run(ASK)


def test_what_is_kept_stays_and_what_is_free_moves(found: Hypotheses) -> None:
    assert found.bound is not None and found.bound.shape == (4, len(VERTICES), 3)
    assert np.array_equal(found.bound[:, KEEP], np.broadcast_to(VERTICES[KEEP], found.bound[:, KEEP].shape))
    moved = np.linalg.norm(found.bound[:, ~KEEP] - VERTICES[~KEEP], axis=2) / SCALE
    assert np.median(moved) > 0.005  # metres at hand scale
    apart = np.linalg.norm(found.bound[:, None, ~KEEP] - found.bound[None, :, ~KEEP], axis=3) / SCALE
    assert (apart.mean(2)[~np.eye(4, dtype=bool)] > 0.005).all()


def test_nothing_tears(found: Hypotheses) -> None:
    assert found.bound is not None
    edges = trimesh.Trimesh(VERTICES, TRIANGLES, process=False).edges_unique
    before = np.linalg.norm(VERTICES[edges[:, 0]] - VERTICES[edges[:, 1]], axis=1)
    after = np.linalg.norm(found.bound[:, edges[:, 0]] - found.bound[:, edges[:, 1]], axis=2)
    assert (after / before > 2).mean() < 0.005


def test_the_template_lies_on_the_hand_and_follows_it(found: Hypotheses) -> None:
    assert found.side == "right" and found.fitted is not None and found.fitted < 1.0
    assert found.covered is not None and found.covered.mean() > 0.95
    assert found.kept is not None and 0.3 < found.kept.mean() < 0.9
    assert not found.kept[TEMPLATE.weights[:, [11, 15, 19]].sum(1) > 0.9].any()
    assert found.bound is not None
    from scipy.spatial import cKDTree

    distance, _ = cKDTree(found.bound[0]).query(found.vertices[0])
    assert np.median(distance) / SCALE < 0.003


def test_the_rigs_joints_are_carried_along_rigidly(found: Hypotheses) -> None:
    assert found.carried is not None
    kept = list(range(10)) + [13, 17]  # the palm, thumb and index; knuckles of the fingers that are free
    assert np.allclose(found.carried[:, kept], JOINTS[kept], atol=1e-4 * SCALE)
    for a, b in ((9, 10), (10, 11), (11, 12), (17, 18), (18, 19)):
        length = np.linalg.norm(JOINTS[b] - JOINTS[a])
        assert np.allclose(
            np.linalg.norm(found.carried[:, b] - found.carried[:, a], axis=1), length, rtol=1e-4
        )


def test_a_left_hand_is_a_right_hand_in_the_mirror(engine: Engine, found: Hypotheses) -> None:
    mirrored = engine.run(
        replace(ASK, surface=VERTICES * FLIP, triangles=TRIANGLES[:, ::-1].copy(), joints=JOINTS * FLIP)
    )
    assert mirrored.side == "left"
    assert mirrored.bound is not None and found.bound is not None
    assert np.array_equal(
        mirrored.bound[:, KEEP], np.broadcast_to((VERTICES * FLIP)[KEEP], found.bound[:, KEEP].shape)
    )
    gap = np.linalg.norm(mirrored.bound * FLIP - found.bound, axis=2) / SCALE
    assert np.median(gap) < 0.002


def test_winding_does_not_matter(engine: Engine, found: Hypotheses) -> None:
    turned = engine.run(replace(ASK, triangles=TRIANGLES[:, ::-1].copy()))
    assert turned.side == "right" and turned.bound is not None and found.bound is not None
    assert np.median(np.linalg.norm(turned.bound - found.bound, axis=2)) / SCALE < 0.002


def test_a_cut_hand_gets_what_it_lacks(engine: Engine) -> None:
    triangles = TRIANGLES[KEEP[TRIANGLES].all(1)]
    cut = engine.run(replace(ASK, triangles=triangles, keep=None, joints=None))
    assert cut.side == "right" and cut.covered is not None
    assert not cut.covered[TEMPLATE.weights[:, [11, 15, 19]].sum(1) > 0.9].any()
    assert cut.carried is None and cut.fitted is not None and cut.fitted < 1.0
    gap = np.linalg.norm(cut.vertices[0][cut.covered] - cut.vertices[1][cut.covered], axis=1)
    assert np.median(gap) / SCALE < 1e-4  # the part that is there is the same in all
    tips = cut.joints[:, [12, 16, 20]]
    assert (np.linalg.norm(tips[0] - tips[1], axis=1) / SCALE > 0.003).any()


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        ({"keep": None}, "bad_request", "nothing is left to make"),
        ({"keep": KEEP[:-1]}, "bad_request", "times true or false"),
        ({"keep": np.zeros_like(KEEP)}, "no_condition", "kept"),
        ({"triangles": None}, "bad_mesh", "no triangles"),
        ({"triangles": TRIANGLES + 1}, "bad_mesh", "names a vertex"),
        ({"surface": VERTICES[:, :2]}, "bad_mesh", "n x 3"),
        ({"surface": np.full_like(VERTICES, np.nan)}, "bad_mesh", "not a number"),
        ({"vertices": TEMPLATE.vertices, "joints": None}, "bad_request", "another mesh"),
        ({"side": "both"}, "bad_request", "side"),
    ],
)
def test_bad_requests_get_one_sentence(engine: Engine, change: dict, code: str, said: str) -> None:
    with pytest.raises(RequestError) as caught:
        engine.run(replace(ASK, **change))
    assert caught.value.code == code and said in str(caught.value)


def test_too_much_is_refused_before_it_is_tried(engine: Engine) -> None:
    large = np.zeros((2_000_001, 3), np.float32)
    with pytest.raises(RequestError, match="2,000,000 at most"):
        engine.run(replace(ASK, surface=large, keep=None))
    with pytest.raises(RequestError, match="Ask for 20"):
        engine.run(replace(ASK, surface=large[:1_000_000], keep=None, count=64))


def test_a_ball_is_no_hand(engine: Engine) -> None:
    ball = trimesh.creation.icosphere(4)
    with pytest.raises(RequestError) as caught:
        engine.run(
            replace(
                ASK,
                surface=np.asarray(ball.vertices, np.float32),
                triangles=np.asarray(ball.faces, np.int32),
                keep=None,
                joints=None,
            )
        )
    assert caught.value.code == "bad_mesh"


def test_an_unknown_joint_stays_unknown() -> None:
    joints = JOINTS.copy()
    joints[[6, 12]] = np.nan
    still = np.broadcast_to(np.eye(3, 4), (2, 20, 3, 4))
    carried = _carry_joints(joints, still)
    assert np.isnan(carried[:, [6, 12]]).all()
    known = np.isfinite(joints).all(1)
    assert np.allclose(carried[:, known], joints[known], rtol=1e-5)


def test_settling_fades_and_closes_seams() -> None:
    """A strip of points that were all moved up by one: the kept end comes back, and what is far off stays."""
    x = np.linspace(0, 10, 41)
    strip = np.concatenate([np.stack([x, y + 0 * x, 0 * x], 1) for y in (0.0, 0.25)]).astype(np.float32)
    quad = np.array([0, 1, 41, 1, 42, 41]).reshape(2, 3)
    triangles = np.concatenate([quad + i for i in range(40)])
    doubled = np.concatenate([strip, strip])  # a second copy, as along a seam
    both = np.concatenate([triangles, triangles + len(strip)])
    keep = np.zeros(len(doubled), bool)
    keep[: len(strip)] = strip[:, 0] < 2
    settled = settle(doubled, doubled[None] + np.float32([0, 0, 1]), keep, both, 3.0)[0]
    assert np.array_equal(settled[: len(strip)], settled[len(strip) :])
    height = settled[:41, 2]
    assert (height[x < 2] == 0).all() and (height[x > 5.1] == 1).all()
    assert (np.diff(height) >= -1e-6).all() and np.diff(height).max() < 0.2
