"""What the network is measured beside: each does its work on hands whose answer is known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from tqdm import tqdm

from hhmr_engine.engine import Engine, Request
from hhmr_engine.evaluation import metrics
from hhmr_engine.evaluation.asking import Asker
from hhmr_engine.evaluation.baselines import LbfgsSettings, PcaFit
from hhmr_engine.evaluation.completions import complete, drawn, looked_up, regressed
from hhmr_engine.evaluation.deterministic import Regressor
from hhmr_engine.evaluation.hand_model2d import PosedJoints, training_hands
from hhmr_engine.evaluation.nearest import NearestHands
from hhmr_engine.evaluation.pca import PcaSettings, pca_engine
from hhmr_engine.evaluation.skeleton_fit import KinematicFit, KinematicSettings
from hhmr_engine.evaluation.skeletons import hidden_joints
from hhmr_engine.evaluation.testset import TestHands, stream_hands, synthetic_hands
from hhmr_engine.evaluation.tuning import tune
from hhmr_engine.hand.rotation import rotation_matrix
from tests.engine.small_network import small_weights


@pytest.fixture(scope="module")
def hands(engine: Engine) -> TestHands:
    return synthetic_hands(engine.arrays, 3)


@pytest.fixture(scope="module")
def training(engine: Engine) -> np.ndarray:
    return stream_hands(engine.arrays, [], 300, "a test")


@pytest.fixture
def asker(engine: Engine) -> Asker:
    return Asker(engine, tqdm(disable=True))


def millimetres_off(engine: Engine, vertices: np.ndarray, hands: TestHands) -> float:
    return float(1e3 * np.mean([metrics.aligned_error(a, b) for a, b in zip(vertices, hands.vertices)]))


def test_a_lower_temperature_varies_less_and_none_not_at_all(engine: Engine, hands: TestHands) -> None:
    told = np.where(hidden_joints(False)[:, None], np.nan, hands.joints[0])
    spread = []
    for temperature in (1.0, 0.5, 0.0):
        cooled = pca_engine(engine, PcaSettings(temperature=temperature))
        found = cooled.run(Request("inpaint", joints=told, method="gaussian", diverse=False, separate=False))
        draws = found.joints[np.argsort(found.draw)[1:]]  # the first one starts without noise
        spread.append(float(np.linalg.norm(draws.std(0), axis=-1).mean()))
    # The frame is settled anew for every draw, so the spread is only nearly linear.
    assert spread[1] == pytest.approx(spread[0] / 2, rel=0.1) and spread[2] < 1e-6
    again = engine.run(Request("inpaint", joints=told, method="gaussian", diverse=False))
    usual = pca_engine(engine, PcaSettings()).run(
        Request("inpaint", joints=told, method="gaussian", diverse=False)
    )
    assert np.array_equal(again.vertices, usual.vertices)  # and the engine itself is as it was


def test_few_components_explain_less(engine: Engine, hands: TestHands) -> None:
    errors = []
    for components in (4, None):
        asked = pca_engine(engine, PcaSettings(components, temperature=0.0))
        found = [
            asked.run(Request("inpaint", joints=j, count=1, method="gaussian", rho=3)) for j in hands.joints
        ]
        errors.append(millimetres_off(engine, np.stack([f.vertices[0] for f in found]), hands))
    assert errors[1] < 2.5 < errors[0]


def test_a_training_hand_is_found_wherever_it_is(engine: Engine, training: np.ndarray) -> None:
    nearest = NearestHands(engine.arrays, training)
    turn = rotation_matrix(np.array([0.4, -1.0, 2.0]))
    moved = (1.3 * training[17] @ turn.T + [0.2, 0, 1]).astype(np.float32)
    joints = engine.arrays.regressor @ moved
    for told in (np.where(hidden_joints(False)[:, None], np.nan, joints), moved):
        vertices, found = nearest(told, 4)
        assert vertices.shape == (4, *moved.shape) and found.shape == (4, 21, 3)
        assert np.abs(vertices[0] - moved).max() < 1e-5 and np.abs(found[0] - joints).max() < 1e-5
    own_size, _ = nearest(joints, 1, resized=False)
    assert metrics.mean_point_error(own_size[0], moved) > 5e-3


@pytest.fixture(scope="module")
def kinematic(engine: Engine) -> KinematicFit:
    poses = training_hands(engine.arrays, [], 2000)
    return KinematicFit(PosedJoints(engine.arrays, [], "rotations", 30, hands=poses), KinematicSettings())


def test_kinematics_find_the_hand_of_a_skeleton(
    engine: Engine, hands: TestHands, kinematic: KinematicFit
) -> None:
    vertices, joints = kinematic(hands.joints)
    assert millimetres_off(engine, vertices, hands) < 2.0
    assert 1e3 * metrics.mean_point_error(joints, hands.joints).max() < 1.5
    bigger, _ = kinematic(2.0 * hands.joints + 1.0)
    assert np.abs(bigger - (2.0 * vertices + 1.0)).max() < 0.01  # wherever it is, and however large


def test_kinematics_leave_hidden_fingers_to_the_prior(hands: TestHands, kinematic: KinematicFit) -> None:
    hidden = hidden_joints(False)
    vertices, joints = kinematic(np.where(hidden[:, None], np.nan, hands.joints))
    off = 1e3 * np.linalg.norm(joints - hands.joints, axis=2)
    assert np.isfinite(vertices).all() and off[:, ~hidden].mean() < 1.5 < off[:, hidden].mean() < 60


def test_more_iterations_from_the_mean_fit_better(engine: Engine, hands: TestHands) -> None:
    tensors, errors = engine.arrays.torch(), []
    for settings in (LbfgsSettings(iterations=5), LbfgsSettings(iterations=60, start=0.0)):
        fit = PcaFit(tensors, engine.prior, settings)
        errors.append(millimetres_off(engine, fit.fit(hands.joints[0], 1), hands.first(1)))
    assert errors[1] < errors[0] and errors[1] < 3


def test_regression_gives_one_answer_where_the_hand_is(tmp_path: Path, hands: TestHands) -> None:
    regressor = Regressor(Engine(weights=small_weights(tmp_path), threads=1))
    vertices, joints = regressor(hands.joints[0])
    again, _ = regressor(hands.joints[0])
    assert vertices.shape == (1, *hands.vertices[0].shape) and np.array_equal(vertices, again)
    assert 1e3 * metrics.mean_point_error(joints[0], hands.joints[0]) < 60  # it has learnt nothing
    part = np.where(np.arange(len(hands.vertices[0]))[:, None] % 3 > 0, hands.vertices[0], np.nan)
    assert np.isfinite(regressor(part)[0]).all()


def test_completions_are_of_what_was_hidden(
    asker: Asker, hands: TestHands, training: np.ndarray, tmp_path: Path
) -> None:
    seen = ~hidden_joints(False)
    reference = asker.engine.arrays.regressor @ training
    pca = complete(asker, drawn(asker, "gaussian"), hands, seen, reference)
    assert len(pca) == 3 and pca.mean("visible") < 3 and (pca.energy < pca.one).all()
    assert (pca.best <= pca.one).all() and pca.mean("apd") > 10 and pca.mean("nearest") > 3
    own = NearestHands(asker.engine.arrays, hands.vertices)
    exact = complete(asker, looked_up(asker, own, 1), hands, seen)
    assert exact.best.max() < 0.1 and exact.visible.max() < 0.1 and np.isnan(exact.apd).all()
    one = regressed(asker, Regressor(Engine(weights=small_weights(tmp_path), threads=1)))
    single = complete(asker, one, hands, seen)
    assert np.allclose(single.best, single.one) and np.allclose(single.energy, single.one)
    assert list(pca.of("sampled").energy) == list(pca.energy) and len(pca.of("nobody")) == 0


def test_tuning_turns_one_knob_after_the_other_and_tells_all() -> None:
    @dataclass(frozen=True)
    class Knobs:
        a: int = 0
        b: int = 0

    found = tune(Knobs(), {"a": (1, 2, 3), "b": (-1, 1)}, lambda k: (k.a - 2.0) ** 2 + (k.b - 1.0) ** 2)
    assert found.best == Knobs(2, 1) and len(found.tried) == 6
    assert "2.00" in found.told("It", "hands") and found.told("It", "hands").startswith("It, tuned on hands")
