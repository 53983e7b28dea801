"""Motions: coherent over time, true to what each frame shows, the same bytes whatever else is asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hhmr_engine.engine import Cancelled, Engine, Hypotheses, Request, RequestError
from hhmr_engine.hand import dof
from hhmr_engine.hand.rotation import rotation_matrix
from hhmr_engine.hand.skinning import skin
from hhmr_engine.hand.template import load_template
from hhmr_engine.sequence import complete_motion
from tests.engine.small_network import small_weights

TEMPLATE = load_template()
FRAMES = 40
HIDDEN = (10, 11, 12, 14, 15, 16, 18, 19, 20)  # of middle, ring and pinky, beyond their knuckles
GIVEN = [joint for joint in range(21) if joint not in HIDDEN]


def _closing() -> np.ndarray:
    """Joints [T,21,3] of a hand that closes and opens while it is carried and turned."""
    time = np.linspace(0, 1, FRAMES, dtype=np.float32)
    angles = np.zeros((FRAMES, 24), np.float32)
    bend = np.array([0.05, 0.9, 1.0, 0.6] * 4, np.float32)
    angles[:, 6:22] = (0.5 - 0.5 * np.cos(2 * np.pi * time))[:, None] * bend
    joints = TEMPLATE.regressor @ skin(TEMPLATE, dof.rotations(TEMPLATE, angles))[0]
    turn = rotation_matrix(np.stack([0.5 * time, -0.8 * time, time], 1))
    away = np.stack([0.2 * time, 0.1 * np.sin(3 * time), 1.2 + 0 * time], 1)
    return (joints @ turn.transpose(0, 2, 1) + away[:, None]).astype(np.float32)


TRUTH = _closing()
TOLD = TRUTH.copy()
TOLD[:, HIDDEN] = np.nan
ASK = Request("motion", frames=TOLD, count=2, steps=3, seed=4)


def jerk(joints: np.ndarray) -> float:
    """Mean third difference, millimetres a frame cubed."""
    return float(1e3 * np.linalg.norm(np.diff(joints, n=3, axis=0), axis=-1).mean())


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def small(weights: Path) -> Engine:
    return Engine(weights=weights, threads=1)


@pytest.fixture(scope="module")
def trained(engine: Engine) -> Hypotheses:
    """By the weights that ship."""
    return engine.run(replace(ASK, steps=6))


def test_one_motion_not_a_draw_a_frame(engine: Engine, trained: Hypotheses) -> None:
    assert trained.motion is not None and trained.motion.shape == (2, FRAMES, 21, 3)
    assert trained.motion.dtype == np.float32 and np.isfinite(trained.motion).all()
    truth = jerk(TRUTH[:, HIDDEN])
    for motion in trained.motion:
        assert jerk(motion[:, HIDDEN]) < 1.2 * truth
    alone = []
    for k, frame in enumerate(TOLD[:8]):
        two = engine.run(Request("inpaint", joints=frame, count=2, steps=6, seed=k, diverse=False))
        alone.append(two.joints[two.draw == 1][0])  # the first of every seed starts without noise
    assert jerk(np.stack(alone)[:, HIDDEN]) > 20 * truth  # what would be without


def test_what_was_given_is_kept_and_the_rest_moves_and_differs(trained: Hypotheses) -> None:
    assert trained.motion is not None
    off = np.linalg.norm(trained.motion - TRUTH, axis=-1)[:, :, GIVEN]
    assert 1e3 * off.mean() < 1.0 and (1e3 * trained.residual < 1.0).all()
    tips = trained.motion[:, :, (12, 16, 20)] - trained.motion[:, :, (9, 13, 17)]
    assert (np.linalg.norm(tips.std(1), axis=-1) > 0.005).all()  # the index closes, and they with it
    apart = np.linalg.norm(trained.motion[0] - trained.motion[1], axis=-1)
    assert apart[:, HIDDEN].mean() > 3 * apart[:, GIVEN].mean()


def test_hands_of_the_frame_in_the_middle(trained: Hypotheses) -> None:
    assert trained.vertices.shape == (2, 1609, 3) and trained.moving is None
    np.testing.assert_allclose(trained.joints, trained.motion[:, FRAMES // 2])  # type: ignore[index]
    np.testing.assert_allclose(trained.joints, TEMPLATE.regressor @ trained.vertices, atol=1e-4)
    assert sorted(trained.draw.tolist()) == [0, 1] and trained.spread.shape == (21,)


def test_the_mesh_of_every_frame(small: Engine) -> None:
    found = complete_motion(small, replace(ASK, method="gaussian", count=1), meshes=True)
    assert found.moving is not None and found.moving.shape == (1, FRAMES, 1609, 3)
    np.testing.assert_allclose(TEMPLATE.regressor @ found.moving[0], found.motion[0], atol=1e-4)  # type: ignore[index]
    np.testing.assert_array_equal(found.moving[:, FRAMES // 2], found.vertices)


@pytest.mark.parametrize("method", ["network", "gaussian"])
def test_a_draw_is_the_same_however_many_are_asked_for(small: Engine, weights: Path, method: str) -> None:
    ask = replace(ASK, method=method)
    three, one = small.run(replace(ask, count=3)), small.run(replace(ask, count=1))
    again = Engine(weights=weights, threads=1).run(replace(ask, count=1))
    assert np.array_equal(three.motion[list(three.draw).index(0)], one.motion[0])  # type: ignore[index]
    assert np.array_equal(one.motion, again.motion)  # type: ignore[arg-type]
    assert not np.array_equal(small.run(replace(ask, count=1, seed=5)).motion, one.motion)  # type: ignore[arg-type]


def test_a_left_hand_is_the_mirror_of_a_right_one(small: Engine) -> None:
    flip = np.array([-1, 1, 1], np.float32)
    right = small.run(replace(ASK, count=1, method="gaussian"))
    left = small.run(replace(ASK, count=1, method="gaussian", side="left", frames=TOLD * flip))
    assert right.motion is not None and left.motion is not None and left.side == "left"
    np.testing.assert_allclose(left.motion, right.motion * flip, atol=1e-6)


def test_any_place_and_size(small: Engine) -> None:
    near = small.run(replace(ASK, count=1, method="gaussian")).motion
    far = small.run(replace(ASK, count=1, method="gaussian", frames=100 * TOLD + np.float32(300))).motion
    assert near is not None and far is not None
    np.testing.assert_allclose((far - 300) / 100, near, atol=2e-4)


def test_joints_that_come_and_go(small: Engine) -> None:
    """Every frame lacks other joints, some nearly all, one all: no jumps, and the gap is bridged."""
    rng = np.random.default_rng(0)
    told = TOLD.copy()
    told[rng.random(told.shape[:2]) < 0.3] = np.nan
    told[20, 2:] = np.nan
    told[21] = np.nan
    found = small.run(replace(ASK, count=1, method="gaussian", frames=told, jerk=0.3)).motion
    assert found is not None
    assert 1e3 * np.linalg.norm(found[0] - TRUTH, axis=-1)[:, GIVEN].mean() < 2.5
    assert jerk(found[0][:, HIDDEN]) < 3 * jerk(TRUTH[:, HIDDEN])


@pytest.mark.parametrize("frames", [1, 2, 3, 5])
def test_a_few_frames(small: Engine, frames: int) -> None:
    found = small.run(replace(ASK, count=1, frames=TOLD[:frames]))
    assert found.motion is not None and found.motion.shape == (1, frames, 21, 3)
    assert 1e3 * np.linalg.norm(found.motion[0] - TRUTH[:frames], axis=-1)[:, GIVEN].mean() < 2


def test_more_noise_is_allowed_more_smoothness(small: Engine) -> None:
    shaken = TOLD + np.random.default_rng(1).normal(0, 0.002, TOLD.shape).astype(np.float32)
    ask = replace(ASK, count=1, method="gaussian", frames=shaken)
    held, smooth = small.run(replace(ask, rho=0.1)).motion, small.run(replace(ask, rho=2.0)).motion
    assert held is not None and smooth is not None
    assert jerk(smooth[0][:, GIVEN]) < 0.7 * jerk(held[0][:, GIVEN])
    assert (
        np.linalg.norm(smooth[0] - TRUTH, axis=-1)[:, GIVEN].mean()
        < np.linalg.norm(held[0] - TRUTH, axis=-1)[:, GIVEN].mean()
    )


def test_it_tells_how_far_it_is_and_stops_between_batches(small: Engine) -> None:
    told: list[tuple[int, int]] = []
    small.run(ASK, lambda step, steps, preview: told.append((step, steps)))
    total = 2 * 3 * 2  # draws, steps, batches of frames
    assert sorted(set(told)) == told[-total - 1 :] == [(k, total) for k in range(total + 1)]

    def stop(step: int, steps: int, preview: np.ndarray | None) -> None:
        if step == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        small.run(ASK, stop)


def test_one_bad_frame_does_not_refuse_the_others(small: Engine) -> None:
    told = TOLD.copy()
    told[0] = told[0] * np.array([-1, 1, 1], np.float32)
    assert small.run(replace(ASK, count=1, method="gaussian", frames=told)).motion is not None


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"frames": None}, "bad_request"),
        ({"task": "inpaint"}, "bad_request"),
        ({"joints": TOLD[0]}, "bad_request"),
        ({"fit": True}, "bad_request"),
        ({"guidance": "xt"}, "bad_request"),
        ({"jerk": 0.0}, "bad_request"),
        ({"frames": TOLD[0]}, "bad_joints"),
        ({"frames": TOLD[:, :20]}, "bad_joints"),
        ({"frames": np.full_like(TOLD, np.nan)}, "no_condition"),
        ({"frames": np.where(TOLD > 1.2, np.inf, TOLD)}, "bad_joints"),
        ({"frames": np.zeros((2001, 21, 3), np.float32)}, "too_many"),
        ({"frames": TOLD[:0]}, "too_many"),
        ({"frames": np.where(np.arange(21)[:, None] < 2, TOLD, np.nan)}, "degenerate"),
        ({"side": "left"}, "bad_joints"),
        ({"frames": np.random.default_rng(0).normal(size=TOLD.shape).astype(np.float32)}, "bad_joints"),
    ],
)
def test_bad_input_gets_a_sentence(small: Engine, changes: dict[str, object], code: str) -> None:
    with pytest.raises(RequestError) as caught:
        small.run(replace(ASK, **changes))  # type: ignore[arg-type]
    assert caught.value.code == code and len(str(caught.value)) > 20
