"""What tests of the command call: how it is run, and what a fault must look like."""

from __future__ import annotations

from collections.abc import Callable

Run = Callable[..., tuple[int, str, str]]


def one_sentence(err: str) -> bool:
    return err.count("\n") == 1 and err.startswith("hhmr") and "Traceback" not in err and len(err) > 20
