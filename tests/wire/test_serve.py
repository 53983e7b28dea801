"""`hhmr serve` as a subprocess: the loop, its last words, and that it never outlives its client."""

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

from hhmr_engine.wire import check_result

Peers = Callable[..., Any]
SCRIPT = Path(__file__).with_name("scripted_engine.py")


def run(number: int, method: str = "network", **fields: Any) -> dict[str, Any]:
    return {"type": "run", "id": number, "task": "generate", "method": method, **fields}


def gone(process: subprocess.Popen[bytes], patience: float = 20.0) -> int:
    """The exit code; fails the test when the process is still there after `patience` seconds."""
    return process.wait(patience)


def test_hello_comes_before_the_engine_is_made(peer: Peers) -> None:
    frames = peer("slow-start").until(lambda message: message.get("state") == "ready")
    assert [(m["type"], m.get("state")) for m, _ in frames] == [
        ("hello", None),
        ("status", "loading"),
        ("status", "ready"),
    ]
    assert frames[0][0]["protocol"] == [1, 2] and frames[0][0]["engine"]
    assert frames[2][0]["name"] == "scripted" and frames[2][0]["seconds"] >= 1


def test_a_result_has_its_arrays_in_the_wires_dtypes(peer: Peers) -> None:
    one = peer().ready()
    joints = np.random.default_rng(0).normal(size=(21, 3)).astype(np.float32)
    joints[3] = np.nan
    joints[3] = 0
    one.send(run(1, count=8, seed=5, side="left", rho=2), {"joints": joints})
    message, arrays = one.last_word(1)
    assert (message["type"], message["seed"], message["side"]) == ("result", 5, "left")
    check_result(arrays)
    np.testing.assert_array_equal(arrays["joints"], np.stack([joints] * 8))


def test_progress_is_told_as_often_as_a_screen_shows_it_and_at_the_end(peer: Peers) -> None:
    one = peer().ready()
    one.send(run(1, steps=250, preview=True))
    frames = one.until(lambda message: message["type"] == "result")[:-1]
    steps = [message["step"] for message, _ in frames]
    assert steps[0] == 1 and steps[-1] == 250 and len(steps) < 50
    assert all(arrays["preview"].shape == (1609, 3) for _, arrays in frames)
    one.send(run(2, "slow", steps=4))
    assert [m["step"] for m, _ in one.until(lambda message: message["type"] == "result")[:-1]] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("method", "code", "said"),
    [
        ("memory", "out_of_memory", "memory"),
        ("cuda memory", "out_of_memory", "memory"),
        ("mistake", "internal", "ValueError: the matrix"),
        ("refuse", "bad_joints", "The joints are in inches."),
        ("exit", "internal", "SystemExit"),
        ("nan", "internal", "not all finite"),
    ],
)
def test_a_failure_is_one_error_and_the_next_job_works(
    peer: Peers, method: str, code: str, said: str
) -> None:
    one = peer().ready()
    one.send(run(1, method))
    one.send(run(2))
    message, _ = one.last_word(1)
    assert (message["type"], message["code"]) == ("error", code)
    assert said in message["message"] and "\n" not in message["message"]
    later = one.until(lambda message: message["type"] == "result")
    assert all(message["id"] == 2 for message, _ in later)


def test_a_mistake_leaves_its_traceback_in_the_log(peer: Peers) -> None:
    one = peer().ready()
    one.send(run(1, "mistake"))
    one.last_word(1)
    one.stdin.close()
    gone(one.process)
    assert b"Traceback" in one.process.stderr.read()


def test_what_is_printed_goes_to_the_log_and_not_between_the_frames(peer: Peers) -> None:
    one = peer().ready()
    one.send(run(1, "print"))
    assert one.last_word(1)[0]["type"] == "result"
    one.stdin.close()
    gone(one.process)
    said = one.process.stderr.read()
    for line in (b"a library says hello", b"and so does its C part", b"and its subprocess"):
        assert line in said


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("method", ["print", "mistake"])
def test_a_log_on_a_full_disk_fails_no_job(peer: Peers, method: str) -> None:
    with open("/dev/full", "wb") as full:
        one = peer(stderr=full).ready()
    one.send(run(1, method))
    wanted = "result" if method == "print" else "error"
    assert one.last_word(1)[0]["type"] == wanted
    one.send(run(2))
    assert one.last_word(2)[0]["type"] == "result"


def test_a_cancel_stops_the_running_job_between_two_steps(peer: Peers) -> None:
    one = peer().ready()
    one.send(run(1, "slow", steps=250))
    one.until(lambda message: message["type"] == "progress")
    one.send({"type": "cancel", "id": 1})
    frames = one.until(lambda message: message["type"] in ("result", "cancelled"))
    assert frames[-1][0]["type"] == "cancelled"
    assert all(message["step"] < 250 for message, _ in frames[:-1])
    one.send(run(2))
    assert one.last_word(2)[0]["type"] == "result"


def test_a_cancel_of_a_waiting_job_is_answered_while_another_runs(peer: Peers) -> None:
    one = peer().ready()
    one.send(run(1, "slow", steps=20))
    one.send(run(2))
    one.send({"type": "cancel", "id": 2})
    order = [m["id"] for m, _ in one.until(lambda m: m["type"] == "result") if m["type"] != "progress"]
    assert order == [2, 1]


def test_a_cancel_for_a_finished_or_unknown_job_is_nothing(peer: Peers) -> None:
    one = peer().ready()
    one.send(run(1))
    assert one.last_word(1)[0]["type"] == "result"
    for number in (1, 99, None, "1", 1.0, [1]):
        one.send({"type": "cancel", "id": number})
    one.send(run(2))
    frames = one.until(lambda message: message["type"] == "result")
    assert {message["id"] for message, _ in frames} == {2}


def test_unload_fails_what_is_under_way_and_the_next_run_loads_again(peer: Peers) -> None:
    one = peer().ready()
    one.send(run(1, "slow", steps=250))
    one.send(run(2))
    one.until(lambda message: message["type"] == "progress")
    one.send({"type": "unload"})
    frames = one.until(lambda message: message.get("state") == "unloaded")
    codes = {m["id"]: m["code"] for m, _ in frames if m["type"] == "error"}
    assert codes == {1: "cancelled_by_unload", 2: "cancelled_by_unload"}
    one.send(run(3))
    frames = one.until(lambda message: message["type"] == "result")
    assert [m.get("state") for m, _ in frames if m["type"] == "status"] == ["loading", "ready"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"colour": "red"}, "'colour'"),
        ({"count": "8"}, "'count' must be int"),
        ({"count": True}, "'count' must be int"),
        ({"count": 2.0}, "'count' must be int"),
        ({"rho": "1 mm"}, "'rho' must be float"),
        ({"fit": 1}, "'fit' must be bool"),
        ({"task": None}, "'task' must be str"),
        ({"joints": [[0, 0, 0]]}, "'joints' must be"),
    ],
)
def test_a_field_that_is_unknown_or_of_another_type_is_a_bad_request(
    peer: Peers, fields: dict[str, Any], said: str
) -> None:
    one = peer().ready()
    one.send({**run(1), **fields})
    message, _ = one.last_word(1)
    assert message["code"] == "bad_request" and said in message["message"] and message["hint"]


def test_an_array_in_the_wrong_place_is_a_bad_request(peer: Peers) -> None:
    one = peer().ready()
    one.send(run(1), {"joints": np.zeros((21, 3), np.int32)})
    assert "int32 array" in one.last_word(1)[0]["message"]
    one.send(run(2), {"seed": np.zeros(1, np.float32)})
    assert one.last_word(2)[0]["code"] == "bad_request"
    one.send({"type": "run", "id": 3})
    assert "no 'task'" in one.last_word(3)[0]["message"]


def test_a_run_without_a_usable_id_and_an_unknown_message_are_left_alone(peer: Peers) -> None:
    one = peer().ready()
    one.send({"type": "sing"})
    one.send({"type": "run", "task": "generate"})
    one.send(run(1, "slow", steps=3))
    one.send(run(1))
    one.send(run(2))
    frames = one.until(lambda m: m.get("id") == 2 and m["type"] == "result")
    assert [(m["type"], m["id"]) for m, _ in frames if m["type"] != "progress"] == [
        ("result", 1),
        ("result", 2),
    ]


def test_too_many_waiting_jobs_are_refused(peer: Peers) -> None:
    one = peer().ready()
    one.send(run(0, "slow", steps=10))
    one.until(lambda message: message["type"] == "progress")
    for number in range(1, 66):
        one.send(run(number))
    assert one.last_word(65)[0]["code"] == "too_many"
    assert one.last_word(64)[0]["type"] == "result"


def test_a_client_of_another_protocol_is_told_so(peer: Peers) -> None:
    one = peer()
    one.send({"type": "hello", "protocol": [2, 0]})
    one.send(run(1))
    message, _ = one.last_word(1)
    assert message["code"] == "bad_request" and "update the older one" in message["message"]
    one.send({"type": "hello", "protocol": [1, 7]})
    one.send(run(2))
    assert one.last_word(2)[0]["type"] == "result"


@pytest.mark.parametrize(
    ("deed", "code", "said"),
    [("no-template", "wrong_topology", "hand file"), ("no-torch", "internal", "'torch'")],
)
def test_an_engine_that_cannot_be_made_says_why_at_once_and_for_each_job(
    peer: Peers, deed: str, code: str, said: str
) -> None:
    one = peer(deed)
    message, _ = one.until(lambda message: message.get("state") == "unloaded")[-1]
    assert message["code"] == code and said in message["message"]
    one.send(run(1))
    assert one.last_word(1)[0]["code"] == code


def test_an_engine_without_weights_does_what_needs_none(peer: Peers) -> None:
    one = peer("no-weights")
    status, _ = one.until(lambda message: message.get("state") == "ready")[-1]
    assert status["code"] == "no_weights"
    one.send(run(1))
    assert one.last_word(1)[0]["code"] == "no_weights"
    one.send(run(2, "gaussian"))
    assert one.last_word(2)[0]["type"] == "result"


@pytest.mark.parametrize("method", ["network", "slow", "hang"])
def test_the_end_of_stdin_ends_the_engine(peer: Peers, method: str) -> None:
    one = peer().ready()
    one.send(run(1, method, steps=250))
    time.sleep(0.3)
    one.stdin.close()
    gone(one.process)


def test_the_end_of_stdin_while_nobody_reads_the_frames(peer: Peers) -> None:
    """The main thread is stuck in a write to a full pipe; the reader ends the process."""
    one = peer().ready()
    for number in range(20):
        one.send(run(number, count=64))
    time.sleep(0.3)
    one.stdin.close()
    gone(one.process)


def test_the_end_of_stdin_while_the_engine_is_made(peer: Peers) -> None:
    one = peer("slow-start")
    one.until(lambda message: message.get("state") == "loading")
    one.stdin.close()
    gone(one.process)


def test_bye_ends_an_idle_engine_with_exit_code_0(peer: Peers) -> None:
    one = peer().ready()
    one.send({"type": "bye"})
    assert gone(one.process) == 0


def test_garbage_on_stdin_ends_the_engine_with_one_line_in_the_log(peer: Peers) -> None:
    one = peer().ready()
    one.raw(b"GET / HTTP/1.1\r\n\r\n")
    assert gone(one.process) == 2
    said = one.process.stderr.read()
    assert b"not a frame" in said and b"Traceback" not in said


PARENT = """
import subprocess, sys, time
engine = subprocess.Popen([sys.executable, sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
run = '{"type":"run","id":1,"task":"generate","steps":250,"method":"%s"}\\n'
engine.stdin.write((run % sys.argv[2]).encode())
engine.stdin.flush()
while b'"ready"' not in engine.stdout.readline(): pass
print(engine.pid, flush=True)
time.sleep(1000)
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for the engine in /proc")
@pytest.mark.parametrize("method", ["slow", "hang"])
def test_no_engine_survives_a_parent_that_is_killed(method: str) -> None:
    paths = os.pathsep.join([str(SCRIPT.parents[2]), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-c", PARENT, str(SCRIPT), method]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": paths})
    assert parent.stdout is not None
    engine = int(parent.stdout.readline())
    time.sleep(0.2)
    assert running(engine)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 10
    while running(engine) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not running(engine)


def running(pid: int) -> bool:
    """Whether the process is there; one that waits to be reaped is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
