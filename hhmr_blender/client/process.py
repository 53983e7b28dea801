"""One run of the engine: a subprocess, its two pipes and its log."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from ..wire import Arrays, Decoder, Frame, Message, WireError, encode_parts
from .pipes import PIPE_SIZE, open_pipe, read_some, write_some

POLL_BUDGET = 0.0015  # seconds; what is left over waits in the pipe for the next poll
HEADER_SLICE = (
    4096  # bytes: frames without arrays are the dear ones, so a flood of them comes in small pieces
)
MAX_LOG = 16 * 1024 * 1024  # bytes
LOG_CHECK = 1.0  # seconds between two looks at the log's size
END_PATIENCE = 1.0  # seconds from the end of stdout to the end of the process

# What Blender, a framework Python or a virtual environment leaves there would reach the engine's Python.
FOREIGN_VARIABLES = ("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")


class EngineFailure(Exception):
    """The engine can't be had. `code` chooses the buttons, `message` and `hint` are for the person."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(f"{message} {hint}".strip())
        self.code = code
        self.message = message
        self.hint = hint


def child_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Our own environment without what would mislead another Python, plus `extra`."""
    kept = {name: value for name, value in os.environ.items() if name not in FOREIGN_VARIABLES}
    return {**kept, **extra}


def platform_options() -> dict[str, int | bool]:
    """Popen's options for a subprocess that opens no window and can be ended with all of its children."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


def end_group(process: subprocess.Popen[bytes], force: bool) -> None:
    """Ask a subprocess and its children to end, or make them; returns at once."""
    if process.poll() is not None:
        return
    if sys.platform == "win32":
        process.terminate()
        return
    try:
        os.killpg(process.pid, signal.SIGKILL if force else signal.SIGTERM)
    except ProcessLookupError:
        pass


class EngineProcess:
    """A subprocess that speaks the wire on stdin and stdout and writes whatever else it has to say to stderr.

    What it must do: say hello at once; exit when its stdin ends; print nothing but frames on stdout.
    What it may do wrong without harm to us: all of it. `poll` takes a bounded time, whatever arrives.
    `state` is "new", "running" or "ended"; `failure` then says why in one sentence, and is "" after `stop`.
    """

    def __init__(
        self, command: Sequence[str], env: Mapping[str, str] | None = None, log_path: Path | str | None = None
    ) -> None:
        self.command = list(command)
        self.env = dict(env or {})
        self.log_path = Path(log_path) if log_path else None
        self.state = "new"
        self.failure = ""
        self.log_note = ""  # why there is no log, if there is none
        self._process: subprocess.Popen[bytes] | None = None
        self._stdin = self._stdout = -1
        self._decoder = Decoder()
        self._outgoing: deque[memoryview] = deque()
        self._log: IO[bytes] | None = None
        self._log_start = 0
        self._log_checked = 0.0
        self._silent_since: float | None = None

    # ------------------------------------------------------------ start

    def start(self) -> None:
        """Start the subprocess, or raise EngineFailure("bad_command")."""
        if not self.command:
            raise EngineFailure(
                "bad_command", "No command for the engine is set.", "Set it in the preferences."
            )
        self._open_log()
        stdin, their_stdin = open_pipe(we_write=True)
        stdout, their_stdout = open_pipe(we_write=False)
        try:
            self._process = subprocess.Popen(
                self.command,
                stdin=their_stdin,
                stdout=their_stdout,
                stderr=self._log or subprocess.DEVNULL,
                env=child_environment(self.env),
                **platform_options(),  # type: ignore[call-overload]
            )
        except (OSError, ValueError) as fault:
            os.close(stdin)
            os.close(stdout)
            self._close_log()
            raise self._cannot_start(fault) from fault
        finally:
            os.close(their_stdin)
            os.close(their_stdout)
        self._stdin, self._stdout = stdin, stdout
        self.state = "running"

    def _cannot_start(self, fault: Exception) -> EngineFailure:
        program = self.command[0]
        if isinstance(fault, FileNotFoundError):
            text = f"The engine's interpreter '{program}' was not found."
        elif isinstance(fault, PermissionError):
            text = f"The engine's interpreter '{program}' is not a program that may be run."
        else:
            text = f"The engine's interpreter '{program}' does not run ({fault})."
        return EngineFailure(
            "bad_command", text, "Choose another one in the preferences, or install the engine."
        )

    def _open_log(self) -> None:
        if self.log_path is None:
            return
        try:
            self.log_path.parent.mkdir(parents=True, exist_ok=True)
            self._log = open(self.log_path, "ab", buffering=0)
            self._trim_log()
            # A full disk shows only now.
            line = f"--- {time.strftime('%Y-%m-%d %H:%M:%S')} {' '.join(self.command)}\n"
            self._log.write(line.encode("utf-8", "replace"))
            self._log_start = os.fstat(self._log.fileno()).st_size
        except OSError as fault:
            self._close_log()
            reason = fault.strerror or fault
            self.log_note = (
                f"The engine's log '{self.log_path}' can't be written ({reason}); it runs without one."
            )

    def _trim_log(self) -> None:
        """Empty a log that has grown too large: a library that warns at every step would fill the disk."""
        assert self._log is not None
        if os.fstat(self._log.fileno()).st_size > MAX_LOG:
            # The subprocess shares the file's position, which Windows needs to be set back too.
            os.ftruncate(self._log.fileno(), 0)
            os.lseek(self._log.fileno(), 0, os.SEEK_SET)
            self._log_start = 0

    # ------------------------------------------------------------ run

    @property
    def unsent(self) -> int:
        """Bytes that `send` took and the pipe has not yet."""
        return sum(piece.nbytes for piece in self._outgoing)

    def send(self, message: Message, arrays: Arrays | None = None) -> None:
        """Write a frame; polls write what doesn't fit now. The arrays must not change until it is sent."""
        self._outgoing.extend(encode_parts(message, arrays))
        self._flush(time.perf_counter() + POLL_BUDGET)

    def poll(self) -> list[Frame]:
        """The frames that have arrived. Never blocks, and never takes much longer than POLL_BUDGET."""
        if self.state != "running" or self._process is None:
            return []
        deadline = time.perf_counter() + POLL_BUDGET
        # Asked before reading: what an ended process had said is then all in the pipe.
        exit_code = self._process.poll()
        self._flush(deadline)
        frames, end = self._read(deadline)
        if self.state != "running":
            return frames
        if exit_code is not None and end is not False:
            self._ended(describe_exit(exit_code))
        elif end:
            self._wait_for_end()
        self._look_at_log()
        return frames

    def _flush(self, deadline: float) -> None:
        while self._outgoing and time.perf_counter() < deadline:
            try:
                count = write_some(self._stdin, self._outgoing[0])
            except OSError:
                self._outgoing.clear()  # it reads no more; reading and the exit code tell the rest
                return
            if count == 0:
                return
            if count < self._outgoing[0].nbytes:
                self._outgoing[0] = self._outgoing[0][count:]
            else:
                self._outgoing.popleft()

    def _read(self, deadline: float) -> tuple[list[Frame], bool | None]:
        """Frames, and whether stdout has ended: True, None for "nothing now", False for "there is more"."""
        frames: list[Frame] = []
        while time.perf_counter() < deadline:
            try:
                data = read_some(self._stdout, min(max(self._decoder.missing, HEADER_SLICE), PIPE_SIZE))
            except OSError:
                data = b""
            if data is None:
                return frames, None
            if not data:
                return frames, True
            try:
                frames += self._decoder.feed(data)
            except WireError as fault:
                frames += fault.frames
                self._ended(f"The engine sent something that is not a frame: {fault}.")
                return frames, True
        return frames, False

    def _wait_for_end(self) -> None:
        """stdout has ended: the exit code comes next, or the process must go."""
        now = time.monotonic()
        self._silent_since = self._silent_since or now
        if now > self._silent_since + END_PATIENCE:
            self._ended("The engine closed its output and went on running.")

    def _look_at_log(self) -> None:
        now = time.monotonic()
        if self._log is None or (self.state == "running" and now < self._log_checked + LOG_CHECK):
            return
        self._log_checked = now
        try:
            self._trim_log()
        except OSError:
            self._close_log()

    # ------------------------------------------------------------ end

    def _ended(self, failure: str) -> None:
        self.failure = failure
        self.kill()

    def kill(self) -> None:
        """End the subprocess now, without waiting for it; `reaped` tells when it is gone."""
        if self._process is not None:
            end_group(self._process, force=True)
        self._close_pipes()
        self._close_log()
        self.state = "ended"

    def reaped(self) -> bool:
        """Whether the subprocess is gone for good, with all that it had locked."""
        return self._process is None or self._process.poll() is not None

    def stop(self, patience: float = 1.5) -> None:
        """Say bye and end stdin, wait, then terminate, then kill. Returns when the subprocess is gone.

        Blocks for milliseconds with a healthy engine, and at most for `patience` and one second.
        """
        if self._process is None:
            return
        if self.state == "running":
            if not self._outgoing:  # else the end of stdin alone has to do
                self.send({"type": "bye"})
            self._close_pipes()
            self.state = "ended"
        for ask, seconds in ((None, patience), (False, 0.5), (True, 0.5)):
            if ask is not None:
                end_group(self._process, force=ask)
            try:
                self._process.wait(seconds)
                break
            except subprocess.TimeoutExpired:
                continue
        self._look_at_log()
        self._close_log()

    def _close_pipes(self) -> None:
        for fd in (self._stdin, self._stdout):
            if fd >= 0:
                os.close(fd)
        self._stdin = self._stdout = -1
        self._outgoing.clear()

    def _close_log(self) -> None:
        if self._log is not None:
            self._log.close()
            self._log = None

    def last_lines(self, count: int = 6) -> list[str]:
        """What this run of the engine wrote last to its log, without empty lines."""
        if self.log_path is None or self.log_note:
            return []
        try:
            with open(self.log_path, "rb") as log:
                size = log.seek(0, os.SEEK_END)
                log.seek(max(self._log_start if self._log_start <= size else 0, size - 8192))
                text = log.read().decode("utf-8", "replace")
        except OSError:
            return []
        return [line[:300] for line in text.splitlines() if line.strip()][-count:]


def describe_exit(code: int) -> str:
    """One sentence about an exit code; negative ones are signals on POSIX."""
    if code == -9:
        return "The engine was killed, as a system does that runs out of memory."
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        return f"The engine crashed ({name})."
    if code > 0xC0000000:
        return f"The engine crashed (0x{code:08X})."
    return f"The engine ended unexpectedly (exit code {code})."
