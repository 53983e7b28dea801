"""`python -m hhmr_engine serve` itself, through the add-on's client, by the method without weights."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Make = Callable[..., Any]
ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "hhmr_engine" / "hand" / "anny_hand.npz"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from hhmr_blender.client.install import engine_command
    from hhmr_blender.client.jobs import EngineClient

    python = Path(os.environ.get("HHMR_ENGINE_PYTHON", sys.executable))
    command = engine_command(python, ROOT, "--device", "cpu", "--threads", "1")
    one = EngineClient(lambda: command, tmp_path_factory.mktemp("log") / "engine.log")
    yield one
    one.stop()


def ask(client: Any, wait_for: Make, arrays: dict[str, np.ndarray] | None = None, **fields: Any) -> Any:
    task = "inpaint" if arrays else "generate"
    job = client.submit({"task": task, "method": "gaussian", "count": 2, **fields}, arrays)
    wait_for(lambda: job.finished, client.poll, patience=60)
    return job


def test_hello_comes_before_torch_is_loaded(client: Any, wait_for: Make) -> None:
    client.start()
    wait_for(lambda: client.state == "ready", client.poll, patience=60)
    assert client.status in ("", "loading")
    wait_for(lambda: client.status == "ready", client.poll, patience=60)
    assert client.info["device"] == "cpu" and client.info["vertices"] == 1609


def test_the_same_request_has_the_same_answer_and_another_seed_another(client: Any, wait_for: Make) -> None:
    answers = [ask(client, wait_for, seed=seed).result[1]["vertices"].tobytes() for seed in (1, 1, 2)]
    assert answers[0] == answers[1] != answers[2]


def test_joints_of_the_template_are_completed_where_they_are(client: Any, wait_for: Make) -> None:
    with np.load(TEMPLATE) as template:
        joints = template["joints"].astype(np.float32) * 10 + 3
    known = joints.copy()
    known[13:] = np.nan
    job = ask(client, wait_for, {"joints": known}, preview=True)
    assert job.state == "done", job.error
    found = job.result[1]["joints"]
    assert np.abs(found[:, :13] - joints[:13]).max() < 0.05  # 5 mm of a hand that is ten times as large
    assert np.abs(job.preview.mean(0) - joints.mean(0)).max() < 1


@pytest.mark.parametrize(
    ("arrays", "fields", "code"),
    [
        (None, {"task": "inpaint"}, "no_condition"),
        ({"joints": np.full((21, 3), np.nan, np.float32)}, {}, "no_condition"),
        ({"joints": np.zeros((20, 3), np.float32)}, {}, "bad_joints"),
        ({"joints": np.zeros((21, 3), np.float32)}, {}, "degenerate"),
        ({"vertices": np.zeros((8, 3), np.float32)}, {}, "bad_mesh"),
        (None, {"count": 10_000}, "too_many"),
        (None, {"count": 0}, "bad_request"),
        (None, {"count": 10**30}, "too_many"),
        (None, {"side": "middle"}, "bad_request"),
        (None, {"steps": -1}, "bad_request"),
    ],
)
def test_a_bad_request_is_refused_in_words(
    client: Any, wait_for: Make, arrays: Any, fields: dict[str, Any], code: str
) -> None:
    job = ask(client, wait_for, arrays, **fields)
    assert job.state == "failed" and job.error.code == code
    assert job.error.message and job.error.hint and "Error" not in job.error.message
    assert client.state == "ready"


def test_cancel_between_two_steps(client: Any, wait_for: Make) -> None:
    job = client.submit({"task": "generate", "method": "network", "steps": 250, "count": 64})
    wait_for(lambda: job.step > 1, client.poll, patience=60)
    client.cancel(job)
    wait_for(lambda: job.finished, client.poll)
    assert job.state == "cancelled" and job.step < job.steps and client.state == "ready"


def test_unload_and_back(client: Any, wait_for: Make) -> None:
    client.unload()
    wait_for(lambda: client.status == "unloaded", client.poll)
    assert ask(client, wait_for).state == "done"
    assert client.status == "ready"


def test_bye_is_enough_although_torch_is_loaded(client: Any) -> None:
    process = client._process
    process.stop(patience=30)
    assert process.reaped() and process._process.returncode == 0  # nobody had to kill it
    client.stop()
    assert client.state == "stopped"
