"""What making a table cost: seconds, and the most memory that the process held meanwhile."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch


@dataclass
class Cost:
    """NaN: this machine does not tell."""

    seconds: float = float("nan")
    memory: float = float("nan")  # MiB of the process
    device_memory: float = float("nan")  # MiB of a CUDA device


@contextmanager
def measured(device: torch.device) -> Iterator[Cost]:
    """A Cost that is filled when the block ends."""
    cost = Cost()
    started = time.perf_counter()
    _forget_peak()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    yield cost
    cost.seconds = time.perf_counter() - started
    cost.memory = _peak()
    if device.type == "cuda":
        cost.device_memory = torch.cuda.max_memory_allocated(device) / 2**20


def _forget_peak() -> None:
    """Linux can measure a process's peak anew; elsewhere it is that of its whole life."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return


def _peak() -> float:
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    if sys.platform == "win32":
        return float("nan")
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 1024)
