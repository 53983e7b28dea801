"""What is asked of the engine and what it answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

TASKS = ("generate", "inpaint", "motion", "reconstruct")
SIDES = ("right", "left")
AUTO = "auto"  # a side too, of a surface or a picture: it is found
METHODS = ("network", "gaussian")
SAMPLERS = ("dpm", "ddim")
GUIDANCES = ("preconditioned", "x0", "xt", "none")
MAX_COUNT = 64
MAX_CROPS = 100
MAX_STEPS = 250
MAX_RHO = 50.0
# Millimetres. Joints of other devices and rigs: chosen on validation recordings, as their devices gave them.
ROOT_RHO = 8.0
MAX_WEIGHT = 5.0
MAX_FRAMES = 2000
MAX_JERK = 1000.0
MAX_SURFACE = 2_000_000  # vertices
MAX_PALM = 1000.0  # metres
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
    root_rho: float = 0.0  # further noise of given wrists and thumb's roots: devices and rigs disagree there
    joints: np.ndarray | None = None  # [21,3], NaN = unknown
    frames: np.ndarray | None = None  # [T,21,3] for a motion, NaN = unknown, in each frame as it may be
    jerk: float = 1.0  # of a motion: how much a point's acceleration changes, mm at hand size a frame cubed
    vertices: np.ndarray | None = None  # [V,3] in template order, NaN = missing
    # Or a hand of another topology, or a part of one; `joints` beside it are landmarks: its rig's, or a few.
    surface: np.ndarray | None = None  # [M,3]
    triangles: np.ndarray | None = None  # [F,3] int32 into surface
    keep: np.ndarray | None = None  # [M] bool: what of the surface is right; all of it where not given
    # Or a picture. Its pixels: x right, y down, the corner of the first one is (0, 0).
    photo: np.ndarray | None = None  # [H,W,3] uint8, upright RGB
    box: np.ndarray | None = None  # [4] x, y, width, height: where the hand is; found where not given
    which: int = 0  # of the hands found, the largest first
    joints2d: np.ndarray | None = None  # [21,2], NaN = unknown; beside a photo, in place of those found in it
    sigma2d: np.ndarray | None = None  # [21] pixels: their noise; 1.5 % of the hand's size where not given
    size: np.ndarray | None = None  # [2] width and height of a picture that is not given itself
    focal: float = 0.0  # pixels; 0: the picture's longer side, or of a camera not too near the hand
    palm: float = 0.0  # metres from wrist to middle knuckle, which no picture shows; 0: as the template's
    image: bool = True  # tell the network what the photo looks like; without, it only shows where joints are
    skeleton: bool = True  # tell it, and the guidance, where the joints are
    augment: bool = False  # test-time augmentation: draws from several crops of the photo
    crops: np.ndarray | None = (
        None  # [C,4] or from these: moved right, down by parts of the side, scale, turn
    )
    method: str = "network"  # "gaussian" is the closed-form baseline
    sampler: str = "dpm"
    guidance: str = "preconditioned"
    condition_weight: float = 1.0  # classifier-free guidance: 1 takes the condition as it is, 0 ignores it
    separate: bool = True  # take fingers out of each other and the palm, where what is given leaves it open
    fit: bool = False  # fit the skinned hand to every hypothesis: gives bone rotations
    diverse: bool = True  # keep the most different of more draws than asked for; of a picture all are kept
    preview: bool = False  # on_step gets the vertices of one hypothesis


@dataclass(frozen=True)
class Hypotheses:
    """n whole hands, best first, in the frame, scale and side of what was given."""

    vertices: np.ndarray  # [n,V,3] float32, metres
    joints: np.ndarray  # [n,21,3] float32
    faces: np.ndarray  # [F,3] int32
    residual: np.ndarray  # [n] metres: mean distance from what was given, before it is put back exactly
    self_intersection: np.ndarray  # [n] per cent of faces, adjacent segments left out
    score: np.ndarray  # [n] in (0,1]: halves with every 10 mm (at hand size) of error to be expected
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
    # Of a picture; hands then stand in Blender's camera axes: x right, y up, looking along -z.
    camera: np.ndarray | None = None  # [3] focal length and principal point x, y, pixels
    joints2d: np.ndarray | None = None  # [n,21,2] pixels: where the camera sees their joints
    given2d: np.ndarray | None = None  # [21,2] pixels: the 2D skeleton that was given or found, NaN = unknown
    sigma2d: np.ndarray | None = None  # [21] pixels: its noise, inf = unknown
    box: np.ndarray | None = None  # [4] x, y, width, height round the hand in the picture
    hands: int | None = None  # how many were found in the photo


def check(request: Request, vertex_count: int) -> None:
    """Raise RequestError for anything about the request itself that can't be done."""
    for value, allowed, what in (
        (request.task, TASKS, "task"),
        (request.side, (*SIDES, AUTO) if _side_is_found(request) else SIDES, "side"),
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
        (request.root_rho, 0, MAX_RHO, "noise of the wrist and the thumb's root (mm)"),
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
    _check_picture(request, given)


def _side_is_found(request: Request) -> bool:
    return request.surface is not None or request.task == "reconstruct"


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


def _check_picture(request: Request, others: list[str]) -> None:
    photo, joints2d = request.photo, request.joints2d
    names = [
        name for name in ("photo", "box", "joints2d", "size", "crops") if getattr(request, name) is not None
    ]
    if request.task != "reconstruct":
        if names:
            text = f"The task '{request.task}' takes no picture."
            raise RequestError("bad_request", text, "Use reconstruct.")
        return
    if others or (photo is None and joints2d is None):
        text = f"{others[0].capitalize()} were given." if others else "No photo and no 2D skeleton was given."
        raise RequestError("no_condition", text, "Give a picture, or where its joints are.")
    if photo is not None and (photo.ndim != 3 or photo.shape[2] != 3 or photo.dtype != np.uint8):
        text = f"A photo must be height x width x 3 bytes, not {'x'.join(map(str, photo.shape))}."
        raise RequestError("bad_picture", text, "Give it as RGB.")
    for name, shape in (("box", (4,)), ("size", (2,)), ("sigma2d", (21,)), ("joints2d", (21, 2))):
        array = getattr(request, name)
        if array is not None and array.shape != shape:
            wanted, found = ("x".join(map(str, s)) for s in (shape, array.shape))
            text = f"'{name}' must be {wanted} numbers, not {found}."
            raise RequestError("bad_request", text, "Send it so.")
    crops = request.crops
    if crops is not None and (crops.ndim != 2 or crops.shape[1] != 4 or not 0 < len(crops) <= MAX_CROPS):
        found = "x".join(map(str, crops.shape))
        text = f"Crops must be up to {MAX_CROPS} x 4 numbers, not {found}."
        raise RequestError("bad_request", text, "Give right, down, scale and turn of each.")
    if crops is not None and not (np.isfinite(crops).all() and (crops[:, 2] > 0).all()):
        raise RequestError("bad_request", "A crop has no size.", "Give each a scale above 0.")
    for name in ("box", "size"):
        array = getattr(request, name)
        if array is not None and not (np.isfinite(array).all() and (array[-2:] > 0).all()):
            text = f"The {name} has no width or no height."
            raise RequestError("bad_request", text, "Give them in pixels.")
    if request.sigma2d is not None and not (request.sigma2d > 0).all():
        raise RequestError("bad_request", "The noise of a 2D joint is not above 0.", "Give it in pixels.")
    if joints2d is not None and (np.isinf(joints2d).any() or np.nanmax(np.abs(joints2d), initial=0) > 1e6):
        raise RequestError("bad_joints", "A 2D joint lies far outside any picture.", "Give it in pixels.")
    for number, low, high, what in (
        (request.focal, 0, 1e6, "focal length (pixels)"),
        (request.palm, 0, MAX_PALM, "palm (metres)"),
        (request.which, 0, 100, "number of the hand"),
    ):
        if not low <= number <= high:
            text = f"The {what} is {number:g}."
            raise RequestError("bad_request", text, f"Choose one from {low} to {high:g}.")
    if request.guidance in ("x0", "xt") or request.condition_weight != 1:
        text = "A picture takes no condition weight and no guidance through the gradient."
        raise RequestError("bad_request", text, "Leave them out.")
