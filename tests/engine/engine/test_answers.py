"""The one door: deterministic, faithful to what was given, and open to whoever asks otherwise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hhmr_engine.engine import Engine, Request
from hhmr_engine.hand.hierarchy import geodesic_distance, mesh_edges
from hhmr_engine.hand.skinning import skin
from tests.engine.engine.asked import ASK, CUT, FLIP, HAND, JOINTS, TEMPLATE, same


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"task": "generate", "joints": None},
        {"joints": None, "vertices": CUT},
        {"method": "gaussian"},
        {"sampler": "ddim"},
        {"guidance": "x0"},
        {"guidance": "xt"},
        {"guidance": "none"},
        {"diverse": False},
        {"steps": 1},
        {"count": 1},
    ],
    ids=lambda changes: "-".join(changes) or "as it is",
)
def test_every_way_of_asking(engine: Engine, changes: dict[str, object]) -> None:
    request = replace(ASK, **changes)
    found = engine.run(request)
    n = request.count
    assert found.vertices.shape == (n, 1609, 3) and found.vertices.dtype == np.float32
    assert found.joints.shape == (n, 21, 3) and found.spread.shape == (21,)
    assert found.faces.shape == (3196, 3) and found.rotations is None
    for name in ("vertices", "joints", "residual", "self_intersection", "score", "spread"):
        assert np.isfinite(getattr(found, name)).all(), name
    assert len(set(found.draw.tolist())) == n and (np.diff(found.score) <= 0).all()
    assert ((found.score > 0) & (found.score <= 1)).all() and (found.residual >= 0).all()
    np.testing.assert_allclose(found.joints, TEMPLATE.regressor @ found.vertices, atol=1e-5)
    if not request.diverse:
        assert sorted(found.draw.tolist()) == list(range(n))


def test_the_same_request_gives_the_same_bytes(engine: Engine, weights: Path) -> None:
    assert same(engine.run(ASK), engine.run(ASK))
    assert same(engine.run(ASK), Engine(weights=weights, threads=1).run(ASK))
    assert not np.array_equal(engine.run(replace(ASK, seed=6)).vertices, engine.run(ASK).vertices)


@pytest.mark.parametrize("method", ["network", "gaussian"])
def test_a_draw_does_not_depend_on_how_many_are_asked_for(engine: Engine, method: str) -> None:
    """Bit by bit, and its score too: within a batch and across batches."""
    ask = replace(ASK, method=method, diverse=False)
    many = engine.run(replace(ask, count=19))
    assert len(np.unique(many.vertices[:, 0], axis=0)) == 19
    for count in (1, 3, 10):
        few = engine.run(replace(ask, count=count))
        for a, k in enumerate(few.draw):
            b = list(many.draw).index(k)
            for name in ("vertices", "joints", "residual", "self_intersection", "score"):
                assert np.array_equal(getattr(few, name)[a], getattr(many, name)[b]), name


def test_diverse_hypotheses_differ_more_than_the_best_ones(engine: Engine) -> None:
    """Four of the same eight draws: chosen to differ, or by score alone."""
    ask = Request("generate", count=4, steps=1, method="gaussian")
    apart = np.zeros(2)
    for seed in range(4):
        chosen = engine.run(replace(ask, seed=seed))
        every = engine.run(replace(ask, seed=seed, count=8, diverse=False))
        assert set(chosen.draw.tolist()) <= set(range(8))
        for i, joints in enumerate((chosen.joints, every.joints[:4])):
            apart[i] += np.linalg.norm(joints[:, None] - joints, axis=-1).mean()
    assert apart[0] > 1.1 * apart[1]


def test_what_is_seen_is_kept_and_what_is_hidden_varies(engine: Engine) -> None:
    found = engine.run(replace(ASK, count=8))
    error = np.linalg.norm(found.joints - JOINTS, axis=2)
    assert error[:, :13].mean() < 2e-3 and found.residual.max() < 3e-3
    assert found.spread[[16, 20]].min() > 3 * found.spread[:13].mean()


@pytest.mark.parametrize("side", ["right", "left"])
def test_given_vertices_come_back_exactly(engine: Engine, side: str) -> None:
    """To the bit, on either side; and far from them the answer is the network's own."""
    given = CUT if side == "right" else CUT * FLIP
    found = engine.run(replace(ASK, joints=None, vertices=given, side=side))
    kept = np.isfinite(given).all(1)
    assert (found.vertices[:, kept] == given[kept]).all()
    distance = geodesic_distance(TEMPLATE.vertices, mesh_edges(TEMPLATE.faces), np.flatnonzero(kept))
    assert found.vertices[:, distance > 0.03].std(0).max() > 1e-3
    # No edge of the seam is torn: the vertices next to it move with it.
    a, b = mesh_edges(TEMPLATE.faces).T
    seam = (distance[a] == 0) != (distance[b] == 0)
    before = np.linalg.norm(HAND[a] - HAND[b], axis=1)[seam]
    after = np.linalg.norm(found.vertices[:, a] - found.vertices[:, b], axis=2)[:, seam]
    assert np.abs(after - before).mean() < 1.5e-3


def test_with_a_fit_there_are_rotations_for_a_rig(engine: Engine) -> None:
    """The hypotheses are then skinned hands: the rotations, with the hand's own shape, are what they show."""
    found = engine.run(replace(ASK, fit=True, count=2))
    assert found.rotations is not None and found.rotations.shape == (2, 20, 3, 3)
    product = found.rotations @ found.rotations.transpose(0, 1, 3, 2)
    np.testing.assert_allclose(product, np.broadcast_to(np.eye(3), product.shape), atol=1e-4)
    assert np.linalg.norm(found.joints[:, :13] - JOINTS[:13], axis=2).mean() < 3e-3
    # The template under these rotations bends as the answer does.
    posed = skin(TEMPLATE, found.rotations)[1]
    for given in (6, 10):
        bend = [
            _angle(joints[:, given - 1], joints[:, given], joints[:, given + 1])
            for joints in (posed, found.joints)
        ]
        assert np.abs(bend[0] - bend[1]).max() < np.radians(15)


def _angle(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """At b, [n] radians."""
    one, other = ((v / np.linalg.norm(v, axis=1, keepdims=True)) for v in (b - a, c - b))
    return np.arccos(np.clip((one * other).sum(1), -1, 1))


def test_a_condition_may_weigh_less_and_more(engine: Engine) -> None:
    """Classifier-free guidance: 1 is the network as it is; others are other hands."""
    ask = replace(ASK, guidance="none")
    plain = engine.run(ask)
    assert same(engine.run(replace(ask, condition_weight=1.0)), plain)
    for weight in (0.0, 2.0):
        other = engine.run(replace(ASK, condition_weight=weight))
        assert not np.array_equal(other.vertices, plain.vertices) and np.isfinite(other.vertices).all()
