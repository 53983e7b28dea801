"""The client and the real serve loop: jobs from the queue to their last word, starts and ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Make = Callable[..., Any]


def test_a_job_from_the_queue_to_the_result(engine: Make, wait_for: Make) -> None:
    client = engine()
    seen: list[tuple[str, float]] = []
    joints = np.random.default_rng(0).normal(size=(21, 3)).astype(np.float32)
    job = client.submit(
        {"task": "inpaint", "method": "slow", "steps": 5, "count": 3, "preview": True},
        {"joints": joints},
        lambda job: seen.append((job.state, job.progress)),
    )
    assert (client.state, job.state) == ("starting", "queued") and client.busy
    wait_for(lambda: job.finished, client.poll)
    assert job.state == "done" and job.progress == 1 and job.error is None
    assert job.preview.shape == (1609, 3) and job.steps == 5
    message, arrays = job.result
    assert message["side"] == "right" and arrays["vertices"].shape == (3, 1609, 3)
    np.testing.assert_array_equal(arrays["joints"][1], joints)
    assert seen[0] == ("running", 0) and seen[-1] == ("done", 1)
    shares = [share for _, share in seen]
    assert shares == sorted(shares) and len(set(shares)) >= 5
    assert client.state == client.status == "ready" and not client.busy
    assert client.info["name"] == "scripted" and client.info["engine"]


def test_jobs_run_one_after_the_other_in_their_order(engine: Make, wait_for: Make) -> None:
    client = engine()
    jobs = [client.submit({"task": "generate", "seed": seed}) for seed in range(5)]
    wait_for(lambda: jobs[-1].finished, client.poll)
    assert [job.result[0]["seed"] for job in jobs] == list(range(5))
    assert len({id(job.result[1]["vertices"]) for job in jobs}) == 5


def test_an_engines_refusal_is_the_jobs_error(engine: Make, wait_for: Make) -> None:
    client = engine()
    job = client.submit({"task": "generate", "method": "refuse"})
    wait_for(lambda: job.finished, client.poll)
    assert job.state == "failed" and client.state == "ready"
    assert tuple(job.error) == ("bad_joints", "The joints are in inches.", "Scale them.")


def test_cancel_of_a_running_and_of_a_waiting_job(engine: Make, wait_for: Make) -> None:
    client = engine()
    seen: list[str] = []
    first = client.submit({"task": "generate", "method": "slow", "steps": 250})
    second = client.submit({"task": "generate"}, None, lambda job: seen.append(job.state))
    wait_for(lambda: first.step > 1, client.poll)
    client.cancel(second)
    assert second.state == "cancelled" and seen == []
    client.poll()
    assert seen == ["cancelled"]
    client.cancel(first)
    wait_for(lambda: first.finished, client.poll)
    assert first.state == "cancelled" and first.step < first.steps
    third = client.submit({"task": "generate"})
    wait_for(lambda: third.finished, client.poll)
    assert third.state == "done" and client.state == "ready"
    client.cancel(third)
    assert third.state == "done"


def test_who_has_cancelled_gets_no_result_that_was_on_its_way(engine: Make, wait_for: Make) -> None:
    client = engine()
    job = client.submit({"task": "generate"})
    wait_for(lambda: job.state == "running", client.poll)
    time.sleep(0.3)  # the result is in the pipe
    client.cancel(job)
    wait_for(lambda: job.finished, client.poll)
    assert job.state == "cancelled" and job.result is None


def test_an_engine_killed_in_mid_job_fails_it_and_the_next_job_works(engine: Make, wait_for: Make) -> None:
    client = engine()
    job = client.submit({"task": "generate", "method": "slow", "steps": 250})
    wait_for(lambda: job.step > 1, client.poll)
    os.kill(client._process._process.pid, signal.SIGKILL)
    wait_for(lambda: job.finished, client.poll)
    assert job.state == "failed" and "was killed" in job.error.message
    again = client.submit({"task": "generate"})
    wait_for(lambda: again.finished, client.poll)
    assert again.state == "done"


def test_an_engine_that_dies_while_idle_is_seen_and_costs_no_job(engine: Make, wait_for: Make) -> None:
    client = engine()
    client.start()
    wait_for(lambda: client.status == "ready", client.poll)
    os.kill(client._process._process.pid, signal.SIGKILL)
    wait_for(lambda: client.state == "failed", client.poll)
    assert "was killed" in client.error
    job = client.submit({"task": "generate"})
    wait_for(lambda: job.finished, client.poll)
    assert job.state == "done" and client.error == ""


def test_unload_frees_the_engine_and_the_next_job_loads_it(engine: Make, wait_for: Make) -> None:
    client = engine()
    job = client.submit({"task": "generate", "method": "slow", "steps": 250})
    wait_for(lambda: job.step > 1, client.poll)
    client.unload()
    wait_for(lambda: client.status == "unloaded", client.poll)
    assert job.error.code == "cancelled_by_unload"
    again = client.submit({"task": "generate"})
    wait_for(lambda: again.finished, client.poll)
    assert again.state == "done" and client.status == "ready"


def test_an_engine_that_cannot_be_made_says_why(engine: Make, wait_for: Make) -> None:
    client = engine("no-template")
    job = client.submit({"task": "generate"})
    wait_for(lambda: job.finished, client.poll)
    assert job.error.code == "wrong_topology" and client.status == "unloaded"


def test_stop_waits_for_the_engine_and_cancels_without_events(engine: Make, wait_for: Make) -> None:
    client = engine()
    seen: list[str] = []
    jobs = [client.submit({"task": "generate", "method": "slow", "steps": 250}) for _ in range(2)]
    wait_for(lambda: jobs[0].step > 1, client.poll)
    jobs[0].on_event = jobs[1].on_event = lambda job: seen.append(job.state)
    process = client._process
    client.stop()
    assert process.reaped()
    assert [job.state for job in jobs] == ["cancelled", "cancelled"]
    client.poll()
    assert seen == [] and client.state == "stopped" and not client.busy
    again = client.submit({"task": "generate"})
    wait_for(lambda: again.finished, client.poll)
    assert again.state == "done"


def test_an_event_that_raises_reaches_the_caller_once_and_loses_nothing(engine: Make, wait_for: Make) -> None:
    client = engine()

    def fail(job: Any) -> None:
        if job.finished:
            raise ValueError("the target object is gone")

    first = client.submit({"task": "generate"}, None, fail)
    second = client.submit({"task": "generate"})
    with pytest.raises(ValueError, match="target object"):
        wait_for(lambda: second.finished, client.poll)
    wait_for(lambda: second.finished, client.poll)
    assert first.state == second.state == "done"


def test_an_event_may_submit_and_cancel(engine: Make, wait_for: Make) -> None:
    client = engine()
    jobs: list[Any] = []

    def again(job: Any) -> None:
        if job.state == "done" and len(jobs) < 3:
            jobs.append(client.submit({"task": "generate", "seed": len(jobs)}, None, again))

    jobs.append(client.submit({"task": "generate"}, None, again))
    wait_for(lambda: len(jobs) == 3 and jobs[2].finished, client.poll)
    assert [job.result[0]["seed"] for job in jobs] == [0, 1, 2]


def test_a_request_that_cannot_be_framed_fails_and_the_engine_stays(engine: Make, wait_for: Make) -> None:
    client = engine()
    job = client.submit({"task": "generate"}, {"joints": np.zeros((21, 3))})
    wait_for(lambda: job.finished, client.poll)
    assert job.error.code == "bad_request" and "float64" in job.error.message
    assert client.state == "ready"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["/nowhere/python3.11", "-m", "hhmr_engine"], "'/nowhere/python3.11' was not found"),
        ([os.devnull], "is not a program that may be run"),
        ([], "No command"),
    ],
)
def test_a_command_that_does_not_run_is_one_sentence_with_advice(
    tmp_path: Path, command: list[str], said: str
) -> None:
    from hhmr_blender.client.jobs import EngineClient

    client = EngineClient(lambda: (command, {}), tmp_path / "engine.log")
    jobs = [client.submit({"task": "generate"}) for _ in range(5)]
    client.poll()
    for job in jobs:
        assert job.state == "failed" and job.error.code == "bad_command"
        assert said in job.error.message and "preferences" in job.error.hint
    assert client.state == "failed" and client.failure.code == "bad_command"
    client.start()
    assert client.state == "failed"


def test_what_the_command_factory_raises_is_the_jobs_error(tmp_path: Path) -> None:
    from hhmr_blender.client.jobs import EngineClient
    from hhmr_blender.client.process import EngineFailure

    def none_installed() -> Any:
        raise EngineFailure("no_engine", "The engine is not installed.", "Press Install Engine.")

    client = EngineClient(none_installed, tmp_path / "engine.log")
    job = client.submit({"task": "generate"})
    assert job.state == "failed" and job.error.code == "no_engine"
    assert client.error == "The engine is not installed. Press Install Engine."


@pytest.mark.parametrize("path", ["/dev/full", "/proc/nowhere/engine.log"])
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_jobs_run_without_a_log_where_none_can_be_written(engine: Make, wait_for: Make, path: str) -> None:
    client = engine(log_path=path)
    job = client.submit({"task": "generate", "method": "print"})
    wait_for(lambda: job.finished, client.poll)
    assert job.state == "done"
    assert path in client.log_note and "can't be written" in client.log_note
    dead = client.submit({"task": "generate", "method": "die"})
    wait_for(lambda: dead.finished, client.poll)
    assert dead.state == "failed" and dead.log == []


def test_the_engines_python_is_not_misled_by_ours(
    tmp_path: Path, wait_for: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hhmr_blender.client.process import EngineProcess

    for name in ("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP"):
        monkeypatch.setenv(name, "/nowhere")
    code = "import os, json; print(json.dumps({'type': 'x', 'env': {k: v for k, v in os.environ.items()}}))"
    process = EngineProcess([sys.executable, "-c", code], {"PYTHONPATH": "/somewhere"}, tmp_path / "log")
    process.start()
    frames: list[Any] = []
    wait_for(lambda: frames, lambda: frames.extend(process.poll()))
    environment = frames[0][0]["env"]
    assert environment["PYTHONPATH"] == "/somewhere"
    assert "PYTHONHOME" not in environment and "PYTHONSTARTUP" not in environment
    process.stop()


PARENT = """
import os, sys, time, types
root, script, method = sys.argv[1:]
bare = types.ModuleType("hhmr_blender")
bare.__path__ = [os.path.join(root, "hhmr_blender")]
sys.modules["hhmr_blender"] = bare
sys.path.insert(0, root)
from hhmr_blender.client.jobs import EngineClient
client = EngineClient(lambda: ([sys.executable, script], {"PYTHONPATH": root}))
job = client.submit({"task": "generate", "method": method, "steps": 250})
while job.state != "running" or client.status != "ready":
    client.poll()
    time.sleep(0.01)
print(client._process._process.pid, flush=True)
time.sleep(1000)
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for the engine in /proc")
@pytest.mark.parametrize("method", ["slow", "hang"])
def test_no_engine_outlives_a_blender_that_is_killed(method: str) -> None:
    root = Path(__file__).resolve().parents[2]
    script = root / "tests" / "wire" / "scripted_engine.py"
    command = [sys.executable, "-c", PARENT, str(root), str(script), method]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        engine = Path("/proc", parent.stdout.readline().decode().strip())
        time.sleep(0.2)
        assert engine.exists()
        parent.kill()
    deadline = time.monotonic() + 10
    # It may wait to be reaped by whatever adopted it.
    while engine.exists() and "State:\tZ" not in (engine / "status").read_text():
        assert time.monotonic() < deadline, "the engine outlives its Blender"
        time.sleep(0.02)
