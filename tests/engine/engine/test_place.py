"""The same for a hand of either side, anywhere and of any size."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hhmr_engine.engine import Engine, Request, RequestError
from hhmr_engine.hand.rotation import rotation_matrix
from tests.engine.engine.asked import ASK, CUT, FLIP, JOINTS, VISIBLE


@pytest.mark.parametrize("given", ["joints", "vertices"])
def test_a_left_hand_is_a_right_hand_in_the_mirror(engine: Engine, given: str) -> None:
    """Exactly: the same numbers with another sign, and faces the other way round."""
    condition = {"joints": VISIBLE} if given == "joints" else {"joints": None, "vertices": CUT}
    right = engine.run(replace(ASK, **condition))
    mirrored = {key: None if value is None else value * FLIP for key, value in condition.items()}
    left = engine.run(replace(ASK, side="left", **mirrored))
    assert np.array_equal(left.vertices, right.vertices * FLIP)
    assert np.array_equal(left.joints, right.joints * FLIP)
    assert np.array_equal(left.faces, right.faces[:, ::-1])
    assert np.array_equal(left.score, right.score) and left.side == "left"


def test_left_hands_out_of_nothing_are_mirrored_too(engine: Engine) -> None:
    ask = Request("generate", count=2, steps=2)
    right, left = engine.run(ask), engine.run(replace(ask, side="left"))
    assert np.array_equal(left.vertices, right.vertices * FLIP)


def test_a_left_hand_called_right_is_told_so(engine: Engine) -> None:
    with pytest.raises(RequestError, match="looks like a left hand") as caught:
        engine.run(replace(ASK, joints=JOINTS * FLIP))
    assert caught.value.code == "bad_joints" and "left side" in caught.value.hint
    engine.run(replace(ASK, joints=JOINTS * FLIP, side="left"))


@pytest.mark.parametrize("size", [0.01, 1.0, 39.37, 1000.0], ids=["small", "moved", "inches", "millimetres"])
@pytest.mark.parametrize("given", ["joints", "vertices"])
def test_place_turn_and_size_are_the_users(engine: Engine, given: str, size: float) -> None:
    """The same hands come back, moved, turned and sized like the condition."""
    turn = rotation_matrix(np.array([1.0, 2.0, -0.5], np.float32))
    shift = size * np.array([0.4, -1.0, 0.2], np.float32)

    def move(points: np.ndarray) -> np.ndarray:
        return (size * points @ turn.T + shift).astype(np.float32)

    condition, elsewhere = (
        {"joints": f(VISIBLE)} if given == "joints" else {"joints": None, "vertices": f(CUT)}
        for f in (lambda points: points, move)
    )
    ask = replace(ASK, diverse=False)
    here, there = engine.run(replace(ask, **condition)), engine.run(replace(ask, **elsewhere))
    order = [list(there.draw).index(k) for k in here.draw]
    off = np.linalg.norm(there.vertices[order] - move(here.vertices), axis=2) / size
    assert off.mean() < 3e-4, off.mean()
    np.testing.assert_allclose(there.residual[order], here.residual * size, rtol=0.1, atol=1e-5 * size)
