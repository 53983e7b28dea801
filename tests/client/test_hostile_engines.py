"""Every engine that does what it should not: the job fails with a sentence, and no poll waits for it."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

Make = Callable[..., Any]


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        (["prints_junk"], "not a frame: not a line of JSON: 'Welcome to gpu-box!'"),
        (["prints_in_mid_job"], "not a frame: not a line of JSON: 'UserWarning: lr_scheduler'"),
        (["garbage"], "not a frame"),
        (["dies_at_once"], "(exit code 1). Its last words: ModuleNotFoundError: No module named 'no_such"),
        (
            ["dies_in_mid_job"],
            "was killed, as a system does that runs out of memory. Its last words: allocating",
        ),
        (["dies_in_mid_frame"], "(exit code 3)"),
        (["tracebacks"], "Its last words: RuntimeError: mat1 and mat2 shapes"),
        (["closes_stdout"], "closed its output and went on running"),
        (["claims_too_much"], "not a frame: array 'vertices'"),
        (["floods", "header"], "a header of more than 65536 bytes"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_the_job_fails_and_says_why(hostile: Make, wait_for: Make, engine: list[str], said: str) -> None:
    client = hostile(*engine)
    job = client.submit({"task": "generate"})
    wait_for(lambda: job.finished, client.poll)
    assert job.state == "failed" and job.error.code == "engine_failed"
    assert said in job.error.message
    assert client.state == "failed" and job.error.message in client.error


def test_the_log_of_a_death_comes_with_the_job(hostile: Make, wait_for: Make) -> None:
    client = hostile("tracebacks")
    job = client.submit({"task": "generate"})
    wait_for(lambda: job.finished, client.poll)
    assert job.log[0].startswith("Traceback") and job.log[-1].startswith("RuntimeError")


def test_an_engine_that_says_nothing_is_given_up(hostile: Make, wait_for: Make) -> None:
    client = hostile("says_nothing", hello_timeout=0.5)
    job = client.submit({"task": "generate"})
    client.poll()
    assert client.state == "starting"
    wait_for(lambda: job.finished, client.poll)
    assert job.error.message == "The engine was started and said nothing for 0.5 s."


@pytest.mark.parametrize(
    ("major", "advice"), [("0", "Install the engine again."), ("2", "Update the add-on.")]
)
def test_another_protocol_is_a_state(hostile: Make, wait_for: Make, major: str, advice: str) -> None:
    client = hostile("other_protocol", major)
    job = client.submit({"task": "generate"})
    wait_for(lambda: job.finished, client.poll)
    assert client.state == "outdated" and advice in client.error
    assert job.state == "failed" and job.error.code == "outdated"
    wait_for(lambda: not client.busy, client.poll)


def test_a_protocol_that_is_no_number_is_a_state_too(hostile: Make, wait_for: Make) -> None:
    client = hostile("other_protocol", '{"a": 1}')
    job = client.submit({"task": "generate"})
    wait_for(lambda: job.finished, client.poll)
    assert client.state == "outdated"


def test_a_hanging_engine_is_ended_when_a_cancel_has_no_answer(hostile: Make, wait_for: Make) -> None:
    client = hostile("hangs", cancel_timeout=3600)
    job = client.submit({"task": "generate"})
    wait_for(lambda: job.state == "running", client.poll)
    client.cancel(job)
    client.cancel(job)
    for _ in range(20):
        client.poll()
    assert not job.finished  # it has its time to answer
    client._cancel_timeout = 0.1
    wait_for(lambda: job.finished, client.poll)
    assert job.state == "cancelled" and job.error is None
    assert client.state == "stopped" and client.error == ""
    wait_for(lambda: not client.busy, client.poll)


def test_stop_ends_even_an_engine_that_ignores_everything(hostile: Make, wait_for: Make) -> None:
    client = hostile("hangs")
    job = client.submit({"task": "generate"})
    wait_for(lambda: job.state == "running", client.poll)
    process = client._process
    client.stop()
    assert process.reaped() and job.state == "cancelled" and client.state == "stopped"


@pytest.mark.parametrize("what", ["frames", "progress", "stderr"])
def test_a_flood_costs_bounded_polls_and_a_cancel_ends_it(
    hostile: Make, wait_for: Make, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    from hhmr_blender.client import pipes, process

    client = hostile("floods", what, cancel_timeout=0.5)
    job = client.submit({"task": "generate"})
    wait_for(lambda: job.state == "running", client.poll)
    # By a clock that moves on with each look at it, a poll has time for five pieces.
    clock, taken, each = itertools.count(0, process.POLL_BUDGET / 5), [], []

    def read_some(fd: int, limit: int) -> bytes | None:
        taken.append(pipes.read_some(fd, limit))
        return taken[-1]

    with monkeypatch.context() as patch:
        patch.setattr(process, "read_some", read_some)
        patch.setattr(process, "time", SimpleNamespace(perf_counter=clock.__next__, monotonic=time.monotonic))
        for _ in range(100):
            taken.clear()
            client.poll()
            each.append(len(taken))
            assert all(len(data or b"") <= process.HEADER_SLICE for data in taken)
    assert 0 < max(each) <= 5 and not job.finished
    client.cancel(job)
    wait_for(lambda: job.finished, client.poll)
    assert job.state == "cancelled"


def test_the_log_of_a_flood_does_not_fill_the_disk(
    hostile: Make, wait_for: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hhmr_blender.client import process

    monkeypatch.setattr(process, "MAX_LOG", 1 << 20)
    monkeypatch.setattr(process, "LOG_CHECK", 0.02)
    client = hostile("floods", "stderr")
    client.submit({"task": "generate"})
    log, emptied = tmp_path / "engine.log", []

    def poll() -> None:
        before = log.stat().st_size
        client.poll()
        if log.stat().st_size < before:
            emptied.append(before)

    # What arrives between two looks may stay.
    wait_for(lambda: len(emptied) >= 5, poll)
    client.stop()
    assert min(emptied) > 1 << 20 and log.stat().st_size <= 1 << 20


def test_a_result_that_is_no_hand_fails_the_job(hostile: Make, wait_for: Make) -> None:
    for lie, said in (("no arrays", "has no 'vertices'"), ("nan", "not all finite")):
        client = hostile("lies", lie)
        job = client.submit({"task": "generate"})
        wait_for(lambda job=job: job.finished, client.poll)
        assert job.state == "failed" and said in job.error.message and job.result is None
        assert client.state == "ready"


def test_odd_fields_are_harmless(hostile: Make, wait_for: Make) -> None:
    client = hostile("lies", "odd fields")
    job = client.submit({"task": "generate"})
    wait_for(lambda: job.finished, client.poll)
    assert job.error.code == "internal" and isinstance(job.error.message, str)
    assert (job.step, job.steps, job.preview) == (0, 0, None)
    client.info["device"].encode("utf-8")
    assert len(client.info["device"]) <= 500 and "odd" not in client.info


def test_words_for_another_job_and_second_last_words_are_dropped(hostile: Make, wait_for: Make) -> None:
    client = hostile("lies", "other jobs")
    first, second = client.submit({"task": "generate"}), client.submit({"task": "generate"})
    wait_for(lambda: second.finished, client.poll)
    assert first.error.message == second.error.message == "The true one."


def test_a_large_request_to_an_engine_that_does_not_read_freezes_nothing(
    hostile: Make, wait_for: Make
) -> None:
    client = hostile("never_reads", cancel_timeout=0.3)
    big = np.zeros((20_000_000, 3), np.float32)  # 240 MB
    job = client.submit({"task": "inpaint"}, {"vertices": big})
    wait_for(lambda: job.state == "running", client.poll)
    for _ in range(100):
        client.poll()
    assert client._process.unsent > 200e6
    client.cancel(job)
    wait_for(lambda: job.finished, client.poll)
    assert job.state == "cancelled"


def test_a_crash_costs_one_job_and_the_next_gets_a_new_engine(hostile: Make, wait_for: Make) -> None:
    client = hostile("dies_in_mid_job")
    first, second = client.submit({"task": "generate"}), client.submit({"task": "generate"})
    wait_for(lambda: first.finished, client.poll)
    assert first.state == "failed" and first.progress == 0.3
    assert second.state == "queued" and client.state == "starting"
    wait_for(lambda: second.finished, client.poll)
    assert second.state == "failed"


def test_the_fourth_start_within_a_minute_is_refused(hostile: Make, wait_for: Make) -> None:
    client = hostile("dies_in_mid_job")
    jobs = [client.submit({"task": "generate"}) for _ in range(5)]
    wait_for(lambda: all(job.finished for job in jobs), client.poll)
    refused = "The engine was started 3 times within a minute and did not last. " + jobs[2].error.message
    assert all("killed" in job.error.message for job in jobs[:3])
    assert jobs[3].error.message == jobs[4].error.message == refused
    assert client.state == "failed"
    client.start()  # by hand: a person has looked at it
    assert client.state == "starting"
