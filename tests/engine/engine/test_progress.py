"""Progress and cancelling, and what the engine works with."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hhmr_engine.engine import Cancelled, Engine
from hhmr_engine.hand.build import at_resolution
from hhmr_engine.model.checkpoint import save_network
from tests.engine.engine.asked import ASK, FLIP, JOINTS, TEMPLATE, VISIBLE, same
from tests.engine.small_network import small_network


def test_progress_counts_every_step_and_shows_a_hand(engine: Engine) -> None:
    seen: list[tuple[int, int, np.ndarray | None]] = []
    engine.run(replace(ASK, count=5, preview=True), lambda *step: seen.append(step))
    assert [step[0] for step in seen] == list(range(1, 9))  # two batches of four steps
    assert {step[1] for step in seen} == {8}
    last = seen[-1][2]
    assert last is not None and last.shape == (1609, 3) and np.isfinite(last).all()
    assert np.linalg.norm(TEMPLATE.regressor[:13] @ last - JOINTS[:13], axis=1).mean() < 5e-3
    engine.run(ASK, lambda done, total, preview: seen.append((done, total, preview)))
    assert seen[-1][2] is None


def test_a_left_preview_is_on_the_left(engine: Engine) -> None:
    previews = []
    for side, joints in (("right", VISIBLE), ("left", VISIBLE * FLIP)):
        ask = replace(ASK, side=side, joints=joints, preview=True)
        engine.run(ask, lambda done, total, preview: previews.append(preview))
    assert np.array_equal(previews[0] * FLIP, previews[len(previews) // 2])


def test_cancelling_stops_between_steps_and_leaves_the_engine_usable(engine: Engine) -> None:
    before, steps = engine.run(ASK), []

    def stop(done: int, total: int, preview: np.ndarray | None) -> None:
        steps.append(done)
        if done == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        engine.run(ASK, stop)
    assert steps == [1, 2]
    assert same(engine.run(ASK), before)


def test_a_request_leaves_what_it_was_given_alone(engine: Engine) -> None:
    joints = VISIBLE.copy()
    engine.run(replace(ASK, joints=joints, side="right"))
    assert np.array_equal(joints, VISIBLE, equal_nan=True)


def test_the_engine_says_who_it_is(engine: Engine, tmp_path: Path) -> None:
    info = engine.info()
    assert info["weights"] == "small.safetensors" and len(str(info["weights_sha256"])) == 16
    assert info["vertices"] == 1609 and info["device"] == "cpu"
    assert Engine(weights=tmp_path / "none.safetensors").info()["weights"] is None
    json.dumps(info)


def test_without_weights_the_baseline_still_works(tmp_path: Path) -> None:
    engine = Engine(weights=tmp_path / "none.safetensors", threads=1)
    assert engine.run(replace(ASK, method="gaussian")).vertices.shape[0] == 3


def test_weights_may_work_on_every_vertex(tmp_path: Path) -> None:
    """Full resolution: the engine takes its nodes from the weight file, with a network and without."""
    sizes = (1609, 101, 26)
    full = at_resolution(TEMPLATE, sizes)
    network = small_network(full.torch(), sizes=sizes, widths=(8, 16, 16), head=8)
    save_network(tmp_path / "full.safetensors", network, full, shift=3.0)
    engine = Engine(weights=tmp_path / "full.safetensors", threads=1)
    for method in ("network", "gaussian"):
        found = engine.run(replace(ASK, count=2, method=method, diverse=False))
        assert found.residual.max() < 3e-3 and np.isfinite(found.vertices).all()


def test_a_device_that_is_not_there(weights: Path) -> None:
    for name in ("abacus", "cuda:99", "mps"):
        with pytest.raises(ValueError, match="has no device|no such device"):
            Engine(device=name, weights=weights)
    assert str(Engine(device="auto", weights=weights).device) in ("cpu", "cuda")
