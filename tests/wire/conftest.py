"""The engine's end of the wire as a subprocess, driven over raw pipes without the add-on's client."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hhmr_engine.wire import Decoder, Frame, encode

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).with_name("scripted_engine.py")


def engine_environment() -> dict[str, str]:
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"}


class Peer:
    """A client that blocks, with patience of thirty seconds."""

    def __init__(self, *arguments: str, stderr: Any = subprocess.PIPE) -> None:
        command = [sys.executable, str(SCRIPT), *arguments]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, env=engine_environment()
        )
        assert self.process.stdin and self.process.stdout
        self.stdin, self.stdout = self.process.stdin, self.process.stdout
        self.decoder = Decoder()
        self.frames: list[Frame] = []

    def send(self, message: dict[str, Any], arrays: dict[str, Any] | None = None) -> None:
        self.raw(encode(message, arrays))

    def raw(self, data: bytes) -> None:
        self.stdin.write(data)
        self.stdin.flush()

    def until(self, done: Callable[[dict[str, Any]], bool], patience: float = 30.0) -> list[Frame]:
        """The frames up to the first one for which `done(message)` holds, that one last."""
        deadline = time.monotonic() + patience
        taken: list[Frame] = []
        while True:
            while self.frames:
                taken.append(self.frames.pop(0))
                if done(taken[-1][0]):
                    return taken
            ready, _, _ = select.select([self.stdout], [], [], max(deadline - time.monotonic(), 0))
            data = os.read(self.stdout.fileno(), 1 << 20) if ready else b""
            assert data, f"no more frames after {[message for message, _ in taken]}"
            self.frames += self.decoder.feed(data)

    def last_word(self, number: int) -> Frame:
        kinds = ("result", "cancelled", "error")
        return self.until(lambda message: message.get("id") == number and message["type"] in kinds)[-1]

    def ready(self) -> Peer:
        self.until(lambda message: message.get("state") == "ready")
        return self


@pytest.fixture
def peer() -> Iterator[Callable[..., Peer]]:
    started: list[Peer] = []

    def start(*arguments: str, **options: Any) -> Peer:
        started.append(Peer(*arguments, **options))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.wait()
        for pipe in (one.process.stdin, one.process.stdout, one.process.stderr):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    pass
