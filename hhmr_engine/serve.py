"""The loop behind `hhmr serve`: frames in on stdin, frames out on stdout, one job at a time.

The main thread loads the engine and runs jobs. A reader thread takes frames, so that a cancel arrives between
two denoising steps, and the end of stdin, which is the order to exit: no engine survives its Blender.
Every job gets exactly one last word: `result`, `cancelled` or `error`.
"""

from __future__ import annotations

import contextlib
import gc
import io
import os
import sys
import threading
import time
import typing
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from .messages import failure, log, parse_request, result_frame
from .request import Cancelled, RequestError
from .version import VERSION
from .wire import ERROR_CODES, PROTOCOL, Arrays, Decoder, Message, WireError, encode

if TYPE_CHECKING:
    from .engine import Engine

MAX_QUEUE = 64  # jobs that wait
PROGRESS_INTERVAL = 0.03  # seconds between two progress frames: a screen shows no more
EXIT_GRACE = 1.0  # seconds that a job has to reach its next step after the end of stdin
READ_SIZE = 1 << 20


class Job:
    """One `run` of the client, from its frame to its last word."""

    def __init__(self, number: int, message: Message, arrays: Arrays) -> None:
        self.number = number
        self.message = message
        self.arrays = arrays
        self.stop: str | None = None  # "cancel" or "unload"


class Server:
    def __init__(self, make_engine: Callable[[], Engine], frames_out: int) -> None:
        self._make_engine = make_engine
        self._engine: Engine | None = None
        self._frames_out = frames_out
        self._writing = threading.Lock()
        # Guards everything below; notified when the main thread has something new to look at.
        self._changed = threading.Condition()
        self._jobs: dict[int, Job] = {}  # without a last word so far: the running one and the queue
        self._queue: deque[Job] = deque()
        self._unload = False
        self._exit_code: int | None = None
        self._refusal: str | None = None

    # ------------------------------------------------------------ main thread

    def work(self) -> int:
        """Load the engine, then run jobs until the client leaves. Returns the exit code."""
        self.send({"type": "hello", "protocol": list(PROTOCOL), "engine": VERSION})
        with contextlib.suppress(Exception, SystemExit):
            self._load()  # what is wrong with it has been told, and is told again for each job
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._unload or self._exit_code is not None)
                if self._exit_code is not None:
                    return self._exit_code
                unload, self._unload = self._unload, False
                job = None if unload else self._queue.popleft()
            if job is None:
                self._drop_engine()
            else:
                self._run(job)

    def _load(self) -> Engine:
        if self._engine is None:
            self.send({"type": "status", "state": "loading"})
            start = time.monotonic()
            told: Message = {}
            try:
                engine = self._make_engine()
                told.update(engine.info())
                try:
                    engine.warm_up()
                except RequestError as fault:  # without weights it still can do some
                    told.update(named(failure(fault)))
            except (Exception, SystemExit) as fault:
                self.send({**named(failure(fault)), "type": "status", "state": "unloaded"})
                raise
            self._engine = engine
            seconds = round(time.monotonic() - start, 3)
            self.send({**told, "type": "status", "state": "ready", "seconds": seconds})
        return self._engine

    def _drop_engine(self) -> None:
        self._engine = None
        free_memory()
        self.send({"type": "status", "state": "unloaded"})

    def _run(self, job: Job) -> None:
        try:
            engine = self._load()
            found = engine.run(parse_request(job.message, job.arrays), self._on_step(job))
            self._last_word(job, *result_frame(found))
        # A library that calls sys.exit must not take the engine with it.
        except (Exception, SystemExit) as fault:
            told = failure(fault)
            if job.stop == "cancel":
                self._last_word(job, {"type": "cancelled"})
            elif job.stop == "unload":
                self._last_word(job, unloaded())
            else:
                self._last_word(job, {"type": "error", **named(told)})
            if told[0] == "out_of_memory":
                free_memory()

    def _on_step(self, job: Job) -> Callable[[int, int, np.ndarray | None], None]:
        """What the engine calls between two denoising steps: raises Cancelled, or tells the progress."""
        due = 0.0

        def on_step(step: int, steps: int, preview: np.ndarray | None) -> None:
            nonlocal due
            if job.stop or self._exit_code is not None:
                raise Cancelled
            now = time.monotonic()
            if now < due and step < steps:
                return
            due = now + PROGRESS_INTERVAL
            arrays = {} if preview is None else {"preview": np.asarray(preview, np.float32)}
            self.send({"type": "progress", "id": job.number, "step": step, "steps": steps}, arrays)

        if job.stop:
            raise Cancelled
        return on_step

    # ------------------------------------------------------------ reader thread

    def read(self, frames_in: int) -> None:
        """Take frames until the client leaves; then end the process, should the main thread not do it."""
        code = 0
        decoder = Decoder()
        try:
            while self._exit_code is None:
                data = os.read(frames_in, READ_SIZE)
                if not data:
                    break
                for message, arrays in decoder.feed(data):
                    self._handle(message, arrays)
        except WireError as fault:
            log(f"the client sent something that is not a frame: {fault}")
            code = 2
        except OSError as fault:
            log(f"stdin can't be read: {fault}")
            code = 1
        finally:
            self.leave(code)
            time.sleep(EXIT_GRACE)
            os._exit(code)

    def _handle(self, message: Message, arrays: Arrays) -> None:
        match message["type"]:
            case "hello":
                self._refusal = refusal(message.get("protocol"))
            case "run":
                self._enqueue(message, arrays)
            case "cancel":
                self._cancel(message.get("id"))
            case "unload":
                self._unload_engine()
            case "bye":
                self.leave(0)
            case other:
                # A client of a higher minor version may know more.
                log(f"a message of an unknown type was left alone: {other!r}")

    def _enqueue(self, message: Message, arrays: Arrays) -> None:
        number = message.pop("id", None)
        if type(number) is not int or number in self._jobs:
            log(f"a run whose id is missing or taken was left alone: {number!r}")
            return
        job = Job(number, message, arrays)
        with self._changed:
            self._jobs[number] = job
            full = len(self._queue) >= MAX_QUEUE
            if not full and self._refusal is None:
                self._queue.append(job)
                self._changed.notify()
                return
        text = self._refusal or f"The engine has {MAX_QUEUE} jobs waiting already."
        code = "bad_request" if self._refusal else "too_many"
        self._last_word(job, {"type": "error", "code": code, "message": text, "hint": ""})

    def _cancel(self, number: Any) -> None:
        with self._changed:
            job = self._jobs.get(number) if type(number) is int else None
            if job is None:
                return  # it has had its last word
            job.stop = "cancel"
            waiting = job in self._queue
            if waiting:
                self._queue.remove(job)
        if waiting:
            self._last_word(job, {"type": "cancelled"})

    def _unload_engine(self) -> None:
        with self._changed:
            waiting = list(self._queue)
            self._queue.clear()
            for job in self._jobs.values():
                job.stop = job.stop or "unload"
            self._unload = True
            self._changed.notify()
        for job in waiting:
            self._last_word(job, unloaded())

    # ------------------------------------------------------------ both threads

    def leave(self, code: int) -> None:
        """Let the main thread return, a running job at its next step. The first code counts."""
        with self._changed:
            if self._exit_code is None:
                self._exit_code = code
            self._changed.notify()

    def _last_word(self, job: Job, message: Message, arrays: Arrays | None = None) -> None:
        frame = encode({**message, "id": job.number}, arrays)
        with self._changed:
            if self._jobs.pop(job.number, None) is None:
                return
        self._write(frame)

    def send(self, message: Message, arrays: Arrays | None = None) -> None:
        self._write(encode(message, arrays))

    def _write(self, data: bytes) -> None:
        frame = memoryview(data)
        try:
            with self._writing:
                while frame:
                    frame = frame[os.write(self._frames_out, frame) :]
        except OSError:
            self.leave(0)  # nobody reads any more


def serve(make_engine: Callable[[], Engine], stdin_fd: int = 0, stdout_fd: int = 1) -> NoReturn:
    """Answer frames until stdin ends, then end the process: 0, or 2 after what was no frame.

    The engine is made after the hello, so that the client soon knows with whom it speaks. A job in the middle
    has EXIT_GRACE seconds to reach its next step. Python's own end is left out, since it takes a second to
    take torch down, and Blender waits for it.
    """
    frames_in, frames_out = claim(stdin_fd, stdout_fd)
    server = Server(make_engine, frames_out)
    threading.Thread(target=server.read, args=(frames_in,), name="hhmr-reader", daemon=True).start()
    try:
        code = server.work()
    except KeyboardInterrupt:
        code = 130
    os._exit(code)


def claim(stdin_fd: int, stdout_fd: int) -> tuple[int, int]:
    """Private copies of both pipes. What is printed from here on, by Python or by C, goes to stderr."""
    frames_in, frames_out = os.dup(stdin_fd), os.dup(stdout_fd)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, stdin_fd)
    try:
        os.dup2(2, stdout_fd)
    except OSError:  # started without a stderr
        os.dup2(null, 2)
        os.dup2(null, stdout_fd)
    sys.stdin = open(os.devnull, encoding="utf-8")
    sys.stdout = sys.stderr = io.TextIOWrapper(
        typing.cast(typing.BinaryIO, LogStream()), "utf-8", "backslashreplace", write_through=True
    )
    return frames_in, frames_out


class LogStream(io.RawIOBase):
    """File descriptor 2 for writing; a log on a full disk loses lines, it does not fail jobs."""

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return 2

    def write(self, data: Any) -> int:
        try:
            os.write(2, data)
        except OSError:
            pass
        return len(data)


def named(told: tuple[str, str, str]) -> Message:
    return dict(zip(("code", "message", "hint"), told))


def unloaded() -> Message:
    text = ERROR_CODES["cancelled_by_unload"]
    return {"type": "error", "code": "cancelled_by_unload", "message": text, "hint": "Ask again."}


def refusal(protocol: Any) -> str | None:
    """Why jobs of a client that speaks this protocol are refused, or None."""
    major = protocol[0] if isinstance(protocol, list) and protocol else protocol
    if major == PROTOCOL[0]:
        return None
    return f"The engine speaks protocol {PROTOCOL[0]}, the client {major!r:.20}: update the older one."


def free_memory() -> None:
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
