"""What is asked of the engine and what it answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

TASKS = ("generate", "inpaint")
SIDES = ("right", "left")
METHODS = ("network", "gaussian")
SAMPLERS = ("dpm", "ddim")
GUIDANCES = ("preconditioned", "x0", "xt", "none")
MAX_COUNT = 64
MAX_STEPS = 250
MAX_RHO = 50.0
MAX_WEIGHT = 5.0


class Cancelled(Exception):
    """Raised by `on_step` to stop a request between two denoising steps."""


class RequestError(Exception):
    """A request that can't be done: a code of wire.ERROR_CODES, what is wrong, and what to do about it."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(f"{message} {hint}".strip())
        self.code, self.message, self.hint = code, message, hint


@dataclass(frozen=True)
class Request:
    """One job. Metres, in any frame, scale and side; the answer comes back in the same."""

    task: str
    side: str = "right"
    count: int = 8  # hypotheses, 1 to MAX_COUNT
    seed: int = 0
    steps: int = 10  # denoising steps
    rho: float = 1.0  # noise of what is observed, millimetres at the template's hand size
    joints: np.ndarray | None = None  # [21,3], NaN = unknown
    vertices: np.ndarray | None = None  # [V,3] in template order, NaN = missing
    method: str = "network"  # "gaussian" is the closed-form baseline
    sampler: str = "dpm"
    guidance: str = "preconditioned"
    condition_weight: float = 1.0  # classifier-free guidance: 1 takes the condition as it is, 0 ignores it
    fit: bool = False  # fit the skinned hand to every hypothesis: gives bone rotations
    diverse: bool = True  # keep the most different of more draws than asked for
    preview: bool = False  # on_step gets the vertices of one hypothesis


@dataclass(frozen=True)
class Hypotheses:
    """n whole hands, best first, in the frame, scale and side of what was given."""

    vertices: np.ndarray  # [n,V,3] float32, metres
    joints: np.ndarray  # [n,21,3] float32
    faces: np.ndarray  # [F,3] int32
    residual: np.ndarray  # [n] metres: mean distance from what was given, before it is put back exactly
    self_intersection: np.ndarray  # [n] per cent of faces, adjacent segments left out
    score: np.ndarray  # [n] in (0,1]: how plausible, known without the truth
    draw: np.ndarray  # [n] int32: which draw of the seed; draw k is the same however many are asked for
    spread: np.ndarray  # [21] metres: how much the hypotheses differ at each joint
    seed: int
    side: str
    seconds: float
    rotations: np.ndarray | None = None  # [n,20,3,3] local bone rotations of the right hand's rig, with `fit`


def check(request: Request, vertex_count: int) -> None:
    """Raise RequestError for anything about the request itself that can't be done."""
    for value, allowed, what in (
        (request.task, TASKS, "task"),
        (request.side, SIDES, "side"),
        (request.method, METHODS, "method"),
        (request.sampler, SAMPLERS, "sampler"),
        (request.guidance, GUIDANCES, "guidance"),
    ):
        if value not in allowed:
            raise RequestError("bad_request", f"The {what} is '{value}'.", f"Use {' or '.join(allowed)}.")
    if request.count > MAX_COUNT:
        text = f"{request.count} hypotheses are too many."
        raise RequestError("too_many", text, f"Ask for {MAX_COUNT} or fewer.")
    for number, low, high, what in (
        (request.count, 1, MAX_COUNT, "number of hypotheses"),
        (request.steps, 1, MAX_STEPS, "number of steps"),
        (request.rho, 0, MAX_RHO, "observation noise (mm)"),
        (request.condition_weight, 0, MAX_WEIGHT, "condition weight"),
        (request.seed, 0, 2**31 - 1, "seed"),
    ):
        if not low <= number <= high:
            text = f"The {what} is {number:g}."
            raise RequestError("bad_request", text, f"Choose one from {low} to {high:g}.")
    if request.task == "generate" and (request.joints is not None or request.vertices is not None):
        raise RequestError("bad_request", "Generating takes no condition.", "Use inpaint to complete a hand.")
    if request.task == "inpaint":
        _check_condition(request, vertex_count)


def _check_condition(request: Request, vertex_count: int) -> None:
    given = [a for a in (request.joints, request.vertices) if a is not None]
    if not given:
        raise RequestError("no_condition", "No joints and no mesh were given.", "Select what is to be kept.")
    if len(given) > 1:
        raise RequestError("bad_request", "Both joints and a mesh were given.", "Give one of them.")
    array = given[0]
    code = "bad_joints" if request.joints is not None else "bad_mesh"
    if request.joints is not None and array.shape != (21, 3):
        found = "x".join(map(str, array.shape))
        text = f"Joints must be 21 x 3 numbers, not {found}."
        raise RequestError("bad_joints", text, "Use the OpenPose order.")
    if request.vertices is not None and array.shape != (vertex_count, 3):
        found = "x".join(map(str, array.shape))
        text = f"The mesh must have {vertex_count} x 3 coordinates in the template's order, not {found}."
        raise RequestError("bad_mesh", text, "Start from the HHMR hand.")
    if np.isinf(array).any():
        raise RequestError(code, "A coordinate is infinite.", "Give finite numbers, or NaN for the unknown.")
    known = np.isfinite(array).all(1)
    if not known.any():
        raise RequestError("no_condition", "Nothing of the hand is known.", "Select what is to be kept.")
    if np.abs(array[known]).max() > 1e6:
        text = "A coordinate lies over 1,000 km away."
        raise RequestError(code, text, "Apply the object's scale and try again.")
