"""What commands share: exit codes, faults in one sentence, the engine and a run that shows how far it is."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .options import REQUEST_FIELDS

if TYPE_CHECKING:
    import numpy as np

    from .engine import Engine, Hypotheses, Request

OK, FAULT, BAD_INPUT, SOME_FAILED, STOPPED = 0, 1, 2, 3, 130
_NOT_THE_USERS = {"internal", "out_of_memory", "cancelled_by_unload"}


def explain(exc: Exception) -> tuple[int, str]:
    """Exit code and sentence of a fault."""
    from .faults import InputError
    from .request import RequestError

    if isinstance(exc, InputError):
        return BAD_INPUT, str(exc)
    if isinstance(exc, RequestError):
        return (FAULT if exc.code in _NOT_THE_USERS else BAD_INPUT), str(exc)
    if isinstance(exc, MemoryError):
        return FAULT, "There is not enough memory: ask for fewer hypotheses."
    if isinstance(exc, ModuleNotFoundError):
        return FAULT, f"The package {exc.name} is missing: run 'hhmr doctor' to see what else is."
    return FAULT, f"The engine made a mistake ({type(exc).__name__}: {exc}): add --debug to see where."


def chosen(args: argparse.Namespace) -> dict[str, Any]:
    """Those fields of Request that are among the options and were given."""
    return {name: getattr(args, name) for name in REQUEST_FIELDS if hasattr(args, name)}


def make_engine(args: argparse.Namespace) -> Engine:
    check_device(args.device)
    check_template(args.template)
    from .engine import Engine

    return Engine(args.device, args.weights, args.threads, args.template, args.trunk)


def check_template(path: Path | None) -> None:
    """An InputError when --template is no hand."""
    from .faults import InputError
    from .hand.template import load_template

    if path is None:
        return
    try:
        load_template(path)
    except OSError as exc:
        raise InputError(f"{path} cannot be read ({exc.strerror or exc}): check --template.") from exc
    except ValueError as exc:
        raise InputError(f"{path} is no hand: give what 'hhmr import-hand' has written.") from exc


def check_device(name: str) -> None:
    """An InputError when torch does not know the device or has none of it here."""
    import torch

    from .faults import InputError

    if name == "auto":
        return
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError, NotImplementedError, ValueError) as exc:
        cause = str(exc).strip().split("\n")[0].rstrip(".")
        raise InputError(f"The device {name} cannot be used here ({cause}): use --device cpu.") from exc


def run_with_bar(engine: Engine, request: Request) -> Hypotheses:
    from tqdm import tqdm

    # disable=None: no bar where stderr is not a terminal.
    with tqdm(total=request.steps, unit="step", leave=False, disable=None) as bar:

        def on_step(step: int, steps: int, preview: np.ndarray | None) -> None:
            bar.total = steps
            bar.update(step - bar.n)

        if request.frames is None:
            return engine.run(request, on_step)
        from .sequence import complete_motion

        return complete_motion(engine, request, on_step, meshes=True)


@contextmanager
def writing(out: str) -> Iterator[None]:
    """OSErrors on the way to --out as an InputError."""
    from .faults import InputError

    try:
        yield
    except OSError as exc:
        raise InputError(f"{out} cannot be written ({exc.strerror or exc}): give another --out.") from exc
