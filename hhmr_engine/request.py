"""What is asked of the engine and what it answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

TASKS = ("generate", "inpaint", "motion")
SIDES = ("right", "left")
AUTO = "auto"  # a side too, of a surface: it is found
METHODS = ("network", "gaussian")
SAMPLERS = ("dpm", "ddim")
GUIDANCES = ("preconditioned", "x0", "xt", "none")
MAX_COUNT = 64
MAX_STEPS = 250
MAX_RHO = 50.0
MAX_WEIGHT = 5.0
MAX_FRAMES = 2000
MAX_JERK = 1000.0
MAX_SURFACE = 2_000_000  # vertices
MAX_BOUND = 20_000_000  # vertices of all hypotheses of a surface: what one frame of the wire can carry


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
    frames: np.ndarray | None = None  # [T,21,3] for a motion, NaN = unknown, in each frame as it may be
    jerk: float = 1.0  # of a motion: how much a point's acceleration changes, mm at hand size a frame cubed
    vertices: np.ndarray | None = None  # [V,3] in template order, NaN = missing
    # Or a hand of another topology, or a part of one; `joints` beside it are landmarks: its rig's, or a few.
    surface: np.ndarray | None = None  # [M,3]
    triangles: np.ndarray | None = None  # [F,3] int32 into surface
    keep: np.ndarray | None = None  # [M] bool: what of the surface is right; all of it where not given
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
    # Of a motion:
    motion: np.ndarray | None = None  # [n,T,21,3] its joints
    moving: np.ndarray | None = None  # [n,T,V,3] its vertices
    # Of a surface:
    bound: np.ndarray | None = None  # [n,M,3] its own vertices, posed like each hypothesis
    carried: np.ndarray | None = None  # [n,21,3] the joints given beside it, moved along; NaN stays NaN
    covered: np.ndarray | None = None  # [V] bool: template vertices that lie on the surface
    kept: np.ndarray | None = None  # [V] bool: those of them that lie on what is kept of it
    fitted: float | None = None  # millimetres at hand size: how well the template was laid onto it


def check(request: Request, vertex_count: int) -> None:
    """Raise RequestError for anything about the request itself that can't be done."""
    for value, allowed, what in (
        (request.task, TASKS, "task"),
        (request.side, SIDES if request.surface is None else (*SIDES, AUTO), "side"),
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
        (request.jerk, 1e-3, MAX_JERK, "jerk (mm a frame cubed)"),
    ):
        if not low <= number <= high:
            text = f"The {what} is {number:g}."
            raise RequestError("bad_request", text, f"Choose one from {low} to {high:g}.")
    if (request.task == "motion") != (request.frames is not None):
        raise RequestError("bad_request", "Frames and the task 'motion' belong together.", "Give both.")
    given = [name for name in ("joints", "vertices", "surface") if getattr(request, name) is not None]
    if request.task == "generate" and given:
        raise RequestError("bad_request", "Generating takes no condition.", "Use inpaint to complete a hand.")
    if request.task == "inpaint":
        if not given:
            raise RequestError(
                "no_condition", "No joints and no mesh were given.", "Select what is to be kept."
            )
        if "vertices" in given and len(given) > 1:
            other = "joints" if "joints" in given else "another mesh"
            text = f"Both a template's mesh and {other} were given."
            raise RequestError("bad_request", text, "Give one of them.")
        for name in given:
            _check_points(name, getattr(request, name), vertex_count)
        if request.surface is not None:
            _check_surface(request)
    if request.task == "motion":
        _check_frames(request, given)


def _check_points(name: str, array: np.ndarray, vertex_count: int) -> None:
    code = "bad_joints" if name in ("joints", "frames") else "bad_mesh"
    found = "x".join(map(str, array.shape))
    if name == "joints" and array.shape != (21, 3):
        raise RequestError(code, f"Joints must be 21 x 3 numbers, not {found}.", "Use the OpenPose order.")
    if name == "vertices" and array.shape != (vertex_count, 3):
        text = f"The mesh must have {vertex_count} x 3 coordinates in the template's order, not {found}."
        raise RequestError(code, text, "Start from the HHMR hand.")
    if name == "surface" and (array.ndim != 2 or array.shape[1] != 3):
        raise RequestError(code, f"A surface must be n x 3 coordinates, not {found}.", "Give its vertices.")
    if np.isinf(array).any() or (name == "surface" and np.isnan(array).any()):
        what = "infinite" if name != "surface" else "not a number"
        hint = "Give finite numbers, or NaN for the unknown." if name != "surface" else "Give finite numbers."
        raise RequestError(code, f"A coordinate is {what}.", hint)
    known = np.isfinite(array).all(1)
    if not known.any():
        raise RequestError("no_condition", "Nothing of the hand is known.", "Select what is to be kept.")
    if np.abs(array[known]).max() > 1e6:
        text = "A coordinate lies over 1,000 km away."
        raise RequestError(code, text, "Apply the object's scale and try again.")


def _check_surface(request: Request) -> None:
    assert request.surface is not None
    size, triangles, keep = len(request.surface), request.triangles, request.keep
    if size > MAX_SURFACE:
        text = f"The mesh has {size:,} vertices."
        raise RequestError("too_many", text, f"Give the hand alone, of {MAX_SURFACE:,} at most.")
    if size * request.count > MAX_BOUND:
        text = f"{request.count} hypotheses of {size:,} vertices are too much at once."
        raise RequestError("too_many", text, f"Ask for {MAX_BOUND // size} or fewer.")
    if triangles is None or triangles.ndim != 2 or triangles.shape[1] != 3 or len(triangles) == 0:
        raise RequestError("bad_mesh", "The mesh has no triangles.", "Give a mesh with faces.")
    if triangles.min() < 0 or triangles.max() >= size:
        raise RequestError(
            "bad_mesh", "A triangle names a vertex that is not there.", "Export the mesh again."
        )
    if keep is not None and keep.shape != (size,):
        found = "x".join(map(str, keep.shape))
        text = f"What is kept must be {size} times true or false, not {found}."
        raise RequestError("bad_request", text, "Give one for each vertex.")
    if keep is not None and not keep.any():
        raise RequestError("no_condition", "Nothing of the hand is kept.", "Select what is to be kept.")


def _check_frames(request: Request, given: list[str]) -> None:
    assert request.frames is not None
    frames = request.frames
    if given:
        text = f"Both frames and {given[0]} were given."
        raise RequestError("bad_request", text, "Give one of them.")
    if request.guidance in ("x0", "xt") or request.condition_weight != 1 or request.fit:
        text = "A motion takes no fit, no condition weight and no guidance through the gradient."
        raise RequestError("bad_request", text, "Leave them out.")
    if frames.ndim != 3 or frames.shape[1:] != (21, 3):
        found = "x".join(map(str, frames.shape))
        text = f"Frames must be T x 21 x 3 numbers, not {found}."
        raise RequestError("bad_joints", text, "Use the OpenPose order.")
    if not 1 <= len(frames) <= MAX_FRAMES:
        text = f"A motion of {len(frames)} frames can't be made."
        raise RequestError("too_many", text, f"Give 1 to {MAX_FRAMES} frames.")
    _check_points("frames", frames.reshape(-1, 3), 0)
