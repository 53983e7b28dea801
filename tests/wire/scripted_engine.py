"""`hhmr serve` around an engine that does what the request's `method` says: run as a script by the tests."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from hhmr_engine.request import Hypotheses, Request, RequestError
from hhmr_engine.serve import serve

VERTICES = 1609


class ScriptedEngine:
    def info(self) -> dict[str, Any]:
        return {"name": "scripted", "device": "cpu", "vertices": VERTICES}

    def warm_up(self) -> None:
        if "no-weights" in sys.argv:
            raise RequestError("no_weights", "The weight file is missing.", "Install the engine again.")

    def run(self, request: Request, on_step: Callable[[int, int, np.ndarray | None], None]) -> Hypotheses:
        match request.method:
            case "network":
                self.warm_up()
            case "hang":
                time.sleep(1000)
            case "print":
                print("a library says hello")  # noqa: T201
                libc = ctypes.CDLL(None)
                libc.puts(b"and so does its C part")
                libc.fflush(None)
                os.system("echo and its subprocess")
            case "memory":
                np.empty(1 << 60, np.uint8)
            case "mistake":
                raise ValueError("the matrix\nis singular")
            case "refuse":
                raise RequestError("bad_joints", "The joints are in inches.", "Scale them.")
            case "exit":
                sys.exit("a library gives up")
            case "die":
                os.kill(os.getpid(), signal.SIGKILL)
            case "cuda memory":
                raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        for step in range(1, request.steps + 1):
            if request.method == "slow":
                time.sleep(0.05)
            on_step(step, request.steps, np.zeros((VERTICES, 3)) if request.preview else None)
        n = request.count
        vertices = np.full((n, VERTICES, 3), np.nan if request.method == "nan" else 0.5)
        return Hypotheses(
            vertices=vertices,
            joints=np.zeros((n, 21, 3)) if request.joints is None else np.stack([request.joints] * n),
            faces=np.zeros((3196, 3), np.int64),
            residual=np.zeros(n),
            self_intersection=np.zeros(n),
            score=np.ones(n),
            draw=np.arange(n),
            seed=request.seed,
            side=request.side,
            spread=np.zeros(21),
            seconds=0.0,
        )


def make_engine() -> Any:
    deed = sys.argv[1] if len(sys.argv) > 1 else ""
    if deed == "no-template":
        raise RequestError("wrong_topology", "The hand file is another one.", "Install the engine again.")
    if deed == "no-torch":
        raise ModuleNotFoundError("No module named 'torch'", name="torch")
    if deed == "slow-start":
        time.sleep(1.0)
    return ScriptedEngine()


if __name__ == "__main__":
    serve(make_engine)
