"""Jobs for the engine: a queue, cancelling, and new engines for those that died."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..wire import ERROR_CODES, PROTOCOL, Arrays, Message, WireError, check_result
from .process import EngineFailure, EngineProcess

HELLO_TIMEOUT = 20.0  # seconds from the start to the hello: a first start on a slow disk takes long
CANCEL_TIMEOUT = 3.0  # seconds from a cancel to its answer, then the process is ended
MAX_STARTS = 3  # within START_WINDOW seconds; one more is refused
START_WINDOW = 60.0
MAX_TEXT = 500  # characters of what the engine says that are shown


class Failure(NamedTuple):
    """Why a job failed.

    `code` is one of the wire's ERROR_CODES, or of the client's own: bad_command (the engine's command line
    does not run), outdated (it speaks another protocol), engine_failed (it died, hung or talked nonsense), or
    what the command factory raised.
    """

    code: str
    message: str
    hint: str = ""


class EngineCommand(NamedTuple):
    """How the engine is started: its command line, and what is set in its environment beside ours."""

    command: Sequence[str]
    env: Mapping[str, str] = {}


@dataclass(eq=False)
class Job:
    """One request. `state` is queued, running, done, cancelled or failed; the last three are final."""

    message: Message
    arrays: Arrays
    on_event: Callable[[Job], None] | None = None
    number: int = 0
    state: str = "queued"
    step: int = 0
    steps: int = 0
    preview: np.ndarray | None = None  # [V,3] float32, of the first hypothesis
    result: tuple[Message, Arrays] | None = None
    error: Failure | None = None
    log: list[str] = field(default_factory=list)  # the engine's last lines, when it died of this job
    cancelled_at: float | None = None

    @property
    def progress(self) -> float:
        """0 to 1."""
        return 1.0 if self.state == "done" else self.step / self.steps if self.steps else 0.0

    @property
    def finished(self) -> bool:
        return self.state in ("done", "cancelled", "failed")


class EngineClient:
    """Runs jobs one after the other on an engine that it starts when there is one to do.

    `state` is stopped, starting, ready, outdated or failed; `failure` says why for the last two, and `error`
    is the same as a sentence, or "".
    `status` is what the engine says of itself (loading, ready, unloaded), `info` its version and device.
    Everything happens in `poll`, which never blocks, and so do the calls of `on_event(job)`: at most one
    for each job in each poll, after the job has changed.
    """

    def __init__(
        self,
        command_factory: Callable[[], EngineCommand | tuple[Sequence[str], Mapping[str, str]]],
        log_path: Path | str | None = None,
        hello_timeout: float = HELLO_TIMEOUT,
        cancel_timeout: float = CANCEL_TIMEOUT,
    ) -> None:
        self._command_factory = command_factory
        self._log_path = log_path
        self._hello_timeout = hello_timeout
        self._cancel_timeout = cancel_timeout
        self._process: EngineProcess | None = None
        self._ending: list[EngineProcess] = []  # killed, not yet gone
        self._started_at: deque[float] = deque(maxlen=MAX_STARTS)
        self._last_death = ""
        self._queue: deque[Job] = deque()
        self._running: Job | None = None
        self._changed: dict[Job, None] = {}  # an ordered set
        self._next_number = 1
        self.state = "stopped"
        self.failure: Failure | None = None
        self.status = ""
        self.info: dict[str, Any] = {}
        self.log_note = ""

    # ------------------------------------------------------------ what the add-on asks for

    @property
    def error(self) -> str:
        return "" if self.failure is None else f"{self.failure.message} {self.failure.hint}".strip()

    @property
    def busy(self) -> bool:
        """Whether polls are needed: something is under way, or an event has not been told."""
        waiting = self._queue or self._running or self._changed or self._ending
        return bool(waiting) or self.state == "starting" or self.status == "loading"

    def submit(
        self, message: Message, arrays: Arrays | None = None, on_event: Callable[[Job], None] | None = None
    ) -> Job:
        """Queue `run` with these fields, without "type" and "id". The arrays must not change from here on."""
        fields = {name: value for name, value in message.items() if name not in ("type", "id")}
        job = Job(fields, dict(arrays or {}), on_event, self._next_number)
        self._next_number += 1
        self._queue.append(job)
        self._advance()
        return job

    def cancel(self, job: Job) -> None:
        """The job ends cancelled: at once when it waits, else when the engine answers or its time is over."""
        if job in self._queue:
            self._queue.remove(job)
            self._finish(job, "cancelled")
        elif job is self._running and job.cancelled_at is None:
            job.cancelled_at = time.monotonic()
            self._send({"type": "cancel", "id": job.number})

    def start(self) -> None:
        """Start the engine by hand or ahead of the first request; earlier failed starts are forgotten."""
        if self._process is None:
            self._started_at.clear()
            try:
                self._start()
            except EngineFailure as fault:
                self._fail(Failure(fault.code, fault.message, fault.hint))

    def unload(self) -> None:
        """Let the engine free its memory; jobs under way fail with cancelled_by_unload."""
        if self.state == "ready":
            self._send({"type": "unload"})

    def stop(self) -> None:
        """Cancel all jobs, without events, and wait until the engine is gone and its files are unlocked."""
        for job in [*self._queue, *([self._running] if self._running else [])]:
            job.state = "cancelled"
        self._queue.clear()
        self._running = None
        self._changed.clear()
        for process in [*self._ending, *([self._process] if self._process else [])]:
            process.stop()
        self._process = None
        self._ending.clear()
        self._started_at.clear()
        self.state, self.failure, self.status = "stopped", None, ""

    def poll(self) -> None:
        """Take what the engine has sent, move jobs on, and call `on_event` of those that changed."""
        self._ending = [process for process in self._ending if not process.reaped()]
        if self._process is not None:
            for message, arrays in self._process.poll():
                self._handle(message, arrays)
        self._check_process()
        self._advance()
        while self._changed:
            # Taken out first: an event that raises is not told again, and may submit or cancel.
            job = next(iter(self._changed))
            del self._changed[job]
            if job.on_event is not None:
                job.on_event(job)

    # ------------------------------------------------------------ the engine's process

    def _start(self) -> None:
        now = time.monotonic()
        if len(self._started_at) == MAX_STARTS and now < self._started_at[0] + START_WINDOW:
            text = f"The engine was started {MAX_STARTS} times within a minute and did not last."
            last = f"{text} {self._last_death}".strip()
            raise EngineFailure("engine_failed", last, "See its log, then start it by hand.")
        command, env = self._command_factory()
        process = EngineProcess(command, env, self._log_path)
        process.start()
        self._started_at.append(now)
        self._process = process
        self.state, self.failure, self.status = "starting", None, ""
        self.info = {}
        self.log_note = process.log_note
        self._send({"type": "hello", "protocol": list(PROTOCOL)})

    def _check_process(self) -> None:
        """Draw the conclusions of time passing and of a process that has ended."""
        process, now = self._process, time.monotonic()
        if process is None:
            return
        job = self._running
        if process.state == "ended":
            self._fail_by_process(process.failure)
        elif job and job.cancelled_at is not None and now > job.cancelled_at + self._cancel_timeout:
            self._drop_process()
            self.state = "stopped"
            self._finish(job, "cancelled")
        elif self.state == "starting" and now > self._started_at[-1] + self._hello_timeout:
            seconds = f"{self._hello_timeout:g}"
            self._fail_by_process(f"The engine was started and said nothing for {seconds} s.")

    def _fail_by_process(self, sentence: str) -> None:
        """The process is of no more use: a job fails with the last lines of its log."""
        assert self._process is not None
        lines = self._process.last_lines()
        last = f" Its last words: {text_of(lines[-1])}" if lines else ""
        self._last_death = sentence + last
        self._fail(Failure("engine_failed", self._last_death, "See the engine's log."), lines)

    def _fail(self, failure: Failure, lines: Sequence[str] = ()) -> None:
        """End the process. The running job fails, or if it never was ready, the first that waits for it."""
        self._drop_process()
        job = self._running
        if job is None and self._queue and self.state != "ready":
            job = self._queue.popleft()
        self.state = "outdated" if failure.code == "outdated" else "failed"
        self.failure = failure
        if job is not None:
            job.log = list(lines)
            self._finish(job, "cancelled" if job.cancelled_at is not None else "failed", failure)

    def _drop_process(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._ending.append(self._process)
            self._process = None
        self.status = ""

    def _send(self, message: Message, arrays: Arrays | None = None) -> None:
        if self._process is not None:
            self._process.send(message, arrays)

    # ------------------------------------------------------------ jobs

    def _advance(self) -> None:
        """Start the engine if a job waits for it, and hand it the next one if it is free."""
        while self._queue and self._process is None:
            try:
                self._start()
            except EngineFailure as fault:
                self._fail(Failure(fault.code, fault.message, fault.hint))
        if not self._queue or self._running is not None or self.state != "ready":
            return
        job = self._queue.popleft()
        try:
            self._send({**job.message, "type": "run", "id": job.number}, job.arrays)
        except WireError as fault:
            failure = Failure("bad_request", f"The request can't be sent: {fault}.", "Ask for less at once.")
            self._finish(job, "failed", failure)
            return
        self._running = job
        job.state = "running"
        self._changed[job] = None

    def _finish(self, job: Job, state: str, error: Failure | None = None) -> None:
        if job is self._running:
            self._running = None
        job.state = state
        job.error = error if state == "failed" else None
        self._changed[job] = None

    # ------------------------------------------------------------ what the engine says

    def _handle(self, message: Message, arrays: Arrays) -> None:
        kind = message["type"]
        if self._process is None:
            return  # the rest of what an outdated engine said
        if kind == "hello":
            self._hello(message)
        elif kind == "status":
            self._status(message)
        elif self._running is not None and message.get("id") == self._running.number:
            self._job_message(self._running, message, arrays)
        # All else came late for a finished job, or is news of a higher minor version.

    def _hello(self, message: Message) -> None:
        protocol = message.get("protocol")
        major = protocol[0] if isinstance(protocol, list) and protocol else None
        if major == PROTOCOL[0]:
            self.state = "ready"
            self.info.update(plain(message))
            return
        if type(major) is int and major > PROTOCOL[0]:
            text, hint = "The engine is newer than the add-on.", "Update the add-on."
        else:
            text, hint = "The engine is outdated.", "Install the engine again."
        self._fail(Failure("outdated", f"{text} It speaks protocol {major!r:.20}, not {PROTOCOL[0]}.", hint))

    def _status(self, message: Message) -> None:
        self.status = text_of(message.get("state"))
        self.info.update(plain(message))

    def _job_message(self, job: Job, message: Message, arrays: Arrays) -> None:
        kind = message["type"]
        if kind == "progress":
            step, steps = message.get("step"), message.get("steps")
            if type(step) is int and type(steps) is int and 0 <= step <= steps:
                job.step, job.steps = step, steps
            preview = arrays.get("preview")
            if preview is not None and preview.dtype == np.float32 and preview.shape[1:] == (3,):
                job.preview = preview
            self._changed[job] = None
        elif kind in ("result", "cancelled", "error") and job.cancelled_at is not None:
            # Who has pressed cancel gets no result, even if it was on its way.
            self._finish(job, "cancelled")
        elif kind == "result":
            try:
                check_result(arrays)
            except WireError as fault:
                self._finish(
                    job, "failed", Failure("internal", f"The engine's answer is no hand: {fault}.", "")
                )
                return
            job.result = (message, arrays)
            self._finish(job, "done")
        elif kind == "error":
            code = message.get("code")
            known = code if isinstance(code, str) and code in ERROR_CODES else "internal"
            text = text_of(message.get("message")) or ERROR_CODES[known]
            self._finish(job, "failed", Failure(known, text, text_of(message.get("hint"))))
        elif kind == "cancelled":
            self._finish(job, "cancelled")


def text_of(value: Any) -> str:
    """A string off the wire, fit to be drawn: no lone surrogates, no more than MAX_TEXT characters."""
    return str(value if value is not None else "")[:MAX_TEXT].encode("utf-8", "replace").decode()


def plain(message: Message) -> dict[str, Any]:
    """What a hello or a status tells about the engine: its numbers and its strings."""
    told = {name: value for name, value in message.items() if name not in ("type", "state")}
    return {
        n: text_of(v) if isinstance(v, str) else v
        for n, v in told.items()
        if isinstance(v, str | int | float)
    }
