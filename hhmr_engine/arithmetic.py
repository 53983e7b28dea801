"""How this process does floating point."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def flush_denormals() -> None:
    """Numbers below 1e-38 become 0: on a CPU they make a network ten times slower. Call it early.

    numpy looks at the smallest numbers when it is first asked about a type, and would warn: ask it before.
    """
    for kind in (np.float32, np.float64):
        np.finfo(kind)
    torch.set_flush_denormal(True)


@contextmanager
def one_thread() -> Iterator[None]:
    """Inside, torch works on one thread: batches of small factorisations take twice as long on two."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
