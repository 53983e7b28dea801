"""Between the frames of the wire and the engine's own words: Request, Hypotheses and exceptions."""

from __future__ import annotations

import math
import sys
import traceback
import typing
from typing import Any

import numpy as np

from .request import Cancelled, Hypotheses, Request, RequestError
from .wire import ERROR_CODES, REQUEST_DTYPES, RESULT_ARRAYS, Arrays, Message, check_result

# How numpy, torch on a CPU, on CUDA and on Apple's GPUs say it.
OUT_OF_MEMORY = ("out of memory", "not enough memory", "can't allocate memory", "unable to allocate")


def parse_request(message: Message, arrays: Arrays) -> Request:
    """The Request of a `run` frame; a RequestError names the field that is unknown or of another type."""
    types = typing.get_type_hints(Request)
    given = {name: value for name, value in message.items() if name != "type"} | arrays
    for name, value in given.items():
        if name not in types:
            hint = "Update the engine, or leave it out."
            raise RequestError("bad_request", f"The request has a field '{name}' that is unknown here.", hint)
        if not is_a(value, types[name], REQUEST_DTYPES.get(name, "float32")):
            wanted = getattr(types[name], "__name__", str(types[name]))
            found = f"{value.dtype} array" if isinstance(value, np.ndarray) else f"{value!r:.60}"
            text = f"The request's '{name}' must be {wanted}, and is {found}."
            raise RequestError("bad_request", text, "Send another value.")
    if "task" not in given:
        raise RequestError("bad_request", "The request has no 'task'.", "Ask for generate or inpaint.")
    return Request(**given)


def is_a(value: Any, wanted: Any, dtype: str = "float32") -> bool:
    """Whether a value off the wire may stand in a field of this type: finite numbers, no bool for an int."""
    if isinstance(value, np.ndarray):
        return isinstance(value, wanted) and value.dtype.name == dtype
    if wanted is float:
        return type(value) in (int, float) and math.isfinite(value)
    if wanted is int:
        return type(value) is int
    return isinstance(value, wanted)


def result_frame(found: Hypotheses) -> tuple[Message, Arrays]:
    arrays = {
        name: np.asarray(getattr(found, name), dtype)
        for name, (dtype, _) in RESULT_ARRAYS.items()
        if getattr(found, name) is not None
    }
    check_result(arrays)
    message: Message = {"type": "result", "seed": int(found.seed), "side": found.side}
    message["seconds"] = float(found.seconds)
    if found.fitted is not None:
        message["fitted"] = float(found.fitted)
    if found.hands is not None:
        message["hands"] = int(found.hands)
    return message, arrays


def failure(fault: BaseException) -> tuple[str, str, str]:
    """(code, message, hint) of an exception. Unforeseen ones leave their traceback in the log."""
    if isinstance(fault, RequestError):
        return fault.code if fault.code in ERROR_CODES else "internal", fault.message, fault.hint
    if isinstance(fault, Cancelled):
        return "internal", "The job was stopped.", ""
    log("".join(traceback.format_exception(fault)))
    told = str(fault).lower()
    if isinstance(fault, MemoryError) or any(sign in told for sign in OUT_OF_MEMORY):
        return "out_of_memory", ERROR_CODES["out_of_memory"], "Ask for fewer hypotheses, or use the CPU."
    if isinstance(fault, ModuleNotFoundError):
        text = f"The engine's Python has no module '{fault.name}'."
        return "internal", text, "Install the engine anew, or choose a Python that has it."
    first_line = (str(fault).splitlines() or [""])[0][:200]
    text = f"The engine made a mistake ({type(fault).__name__}: {first_line})."
    return "internal", text, "Its log says more."


def log(text: str) -> None:
    sys.stderr.write(f"hhmr: {text}\n")
