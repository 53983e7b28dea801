"""Frames and messages between the add-on and the engine: the one file that both ends run.

A frame is one UTF-8 JSON line, then the raw bytes of the arrays that its "arrays" entry lists as
`[name, dtype, shape]`, in that order, little endian:

    {"type":"run","id":1,"arrays":[["joints","float32",[21,3]]]}\n<252 bytes>

Everything a peer claims is checked before anything is allocated for it. Standard library and numpy only:
the add-on loads this file inside Blender.
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

# Another major number is another language; a higher minor one only adds messages and fields.
PROTOCOL = (1, 2)

MAX_HEADER = 64 * 1024  # bytes of the JSON line
MAX_PAYLOAD = 256 * 1024 * 1024  # bytes of all arrays of a frame
MAX_ARRAYS = 32
MAX_DIMENSIONS = 8
MAX_NAME = 64

DTYPES: dict[str, np.dtype] = {
    "float32": np.dtype("<f4"),
    "int32": np.dtype("<i4"),
    "uint8": np.dtype("u1"),
    "bool": np.dtype("?"),
}

# Why the engine refused a job, each in one plain sentence. Closed: both ends know all of them.
ERROR_CODES = {
    "bad_request": "The request has a field or a value that the engine does not know.",
    "no_condition": "Nothing of the hand was given to complete.",
    "bad_joints": "The joints are not those of a hand.",
    "bad_mesh": "The mesh is no hand, or no part of one.",
    "bad_picture": "The picture is none that the engine can read.",
    "no_hand": "No hand was found in the picture.",
    "degenerate": "The joints or vertices lie on a line or in one point, so they fix no hand.",
    "too_many": "More was asked for than the engine can do at once.",
    "wrong_topology": "The weights belong to another hand mesh.",
    "bad_weights": "The weight file is damaged.",
    "no_weights": "The weight file is missing.",
    "out_of_memory": "The device has not enough memory for this request.",
    "cancelled_by_unload": "The engine was unloaded before the job was finished.",
    "internal": "The engine made a mistake; its log says more.",
}

# What isn't float32 among the arrays of a request.
REQUEST_DTYPES = {"triangles": "int32", "keep": "bool", "photo": "uint8"}

# The arrays of a result: name -> (dtype, shape). n hypotheses, v vertices, f faces, m vertices of the surface
# that was given, t frames of a motion: each the same throughout.
RESULT_ARRAYS: dict[str, tuple[str, tuple[int | str, ...]]] = {
    "vertices": ("float32", ("n", "v", 3)),
    "joints": ("float32", ("n", 21, 3)),
    "faces": ("int32", ("f", 3)),
    "residual": ("float32", ("n",)),
    "self_intersection": ("float32", ("n",)),
    "score": ("float32", ("n",)),
    "draw": ("int32", ("n",)),
    "rotations": ("float32", ("n", 20, 3, 3)),
    "spread": ("float32", (21,)),
    "motion": ("float32", ("n", "t", 21, 3)),
    "bound": ("float32", ("n", "m", 3)),
    "carried": ("float32", ("n", 21, 3)),
    "covered": ("bool", ("v",)),
    "camera": ("float32", (3,)),
    "joints2d": ("float32", ("n", 21, 2)),
    "given2d": ("float32", (21, 2)),
    "sigma2d": ("float32", (21,)),
    "box": ("float32", (4,)),
}
_OF_SURFACES = {"bound", "carried", "covered"}
_OF_PICTURES = {"camera", "joints2d", "given2d", "sigma2d", "box"}
OPTIONAL_RESULT_ARRAYS = frozenset({"rotations", "motion"} | _OF_SURFACES | _OF_PICTURES)

Message = dict[str, Any]
Arrays = dict[str, np.ndarray]
Frame = tuple[Message, Arrays]


class WireError(Exception):
    """The bytes, or the message to become bytes, are not a frame. The connection can't be used further.

    `frames` holds what `Decoder.feed` had decoded of the same bytes before the fault.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.frames: list[Frame] = []


def encode(message: Message, arrays: Arrays | None = None) -> bytes:
    """One frame. `message` needs a string "type". Arrays become little endian; no dtype is converted."""
    return b"".join(encode_parts(message, arrays))


def encode_parts(message: Message, arrays: Arrays | None = None) -> list[memoryview]:
    """The frame in pieces, without copying the arrays: they must stay unchanged until the pieces are sent."""
    given = {name: np.asarray(value) for name, value in (arrays or {}).items()}
    listing = [[name, array.dtype.name, list(array.shape)] for name, array in given.items()]
    if not isinstance(message.get("type"), str) or "arrays" in message:
        raise WireError('a message needs a string "type" and no "arrays"')
    check_listing(listing)
    try:
        line = json.dumps({**message, "arrays": listing}, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as fault:
        raise WireError(f"the message can't be written as JSON: {fault}") from fault
    header = line.encode("ascii") + b"\n"
    if len(header) > MAX_HEADER:
        raise WireError(f"the header has {len(header)} bytes, more than {MAX_HEADER}")
    little = [np.ascontiguousarray(a, dtype=DTYPES[a.dtype.name]).reshape(-1) for a in given.values()]
    # A memoryview of nothing can't be cast.
    return [memoryview(header), *(flat.view(np.uint8).data for flat in little if flat.size)]


def check_listing(listing: Any) -> list[tuple[str, np.dtype, tuple[int, ...]]]:
    """The "arrays" entry as (name, dtype, shape), or a WireError; allocates nothing."""
    if not isinstance(listing, list) or len(listing) > MAX_ARRAYS:
        raise WireError(f'"arrays" must be a list of at most {MAX_ARRAYS} entries')
    checked: list[tuple[str, np.dtype, tuple[int, ...]]] = []
    total = 0
    for entry in listing:
        if not isinstance(entry, list) or len(entry) != 3:
            raise WireError("an array is listed as [name, dtype, shape]")
        name, dtype, shape = entry
        if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME:
            raise WireError(f"an array's name is a string of 1 to {MAX_NAME} characters")
        if any(name == other for other, _, _ in checked):
            raise WireError(f"two arrays are called '{name}'")
        if not isinstance(dtype, str) or dtype not in DTYPES:
            raise WireError(f"array '{name}' is {dtype!r:.20}; the wire carries {', '.join(DTYPES)}")
        if not isinstance(shape, list) or len(shape) > MAX_DIMENSIONS:
            raise WireError(f"array '{name}' has a shape that is no list of at most {MAX_DIMENSIONS} numbers")
        # A bool is an int to isinstance; a dimension must not be one.
        if any(type(length) is not int or not 0 <= length <= MAX_PAYLOAD for length in shape):
            raise WireError(f"array '{name}' has a dimension that is negative, too large or no whole number")
        # Empty arrays are bounded by their other dimensions: numpy refuses [0, 2**40, 2**40].
        if math.prod(max(length, 1) for length in shape) > MAX_PAYLOAD:
            raise WireError(f"array '{name}' is larger than {MAX_PAYLOAD} bytes")
        total += math.prod(shape) * DTYPES[dtype].itemsize
        if total > MAX_PAYLOAD:
            raise WireError(f"the arrays hold more than {MAX_PAYLOAD} bytes")
        checked.append((name, DTYPES[dtype], tuple(shape)))
    return checked


def parse_header(line: bytes) -> tuple[Message, list[tuple[str, np.dtype, tuple[int, ...]]]]:
    """The message of a header line (without "arrays"), and its array listing."""
    try:
        message = json.loads(line.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as fault:
        raise WireError(f"not a line of JSON: {_shown(line)}") from fault
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise WireError(f'not an object with a "type": {_shown(line)}')
    return message, check_listing(message.pop("arrays", []))


class Decoder:
    """Bytes in whatever pieces they arrive -> frames. Looks at each byte once."""

    def __init__(self) -> None:
        self._header = bytearray()
        self._message: Message | None = None
        self._arrays: Arrays = {}
        self._unfilled: list[memoryview] = []  # of the frame at hand, the next one last
        self._fault: str | None = None

    @property
    def missing(self) -> int:
        """Bytes of arrays that the frame at hand still waits for; they are cheap to take in one piece."""
        return sum(view.nbytes for view in self._unfilled)

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that `data` completes. After a WireError every further call raises the same one."""
        if self._fault is not None:
            raise WireError(self._fault)
        frames: list[Frame] = []
        position = 0
        try:
            while position < len(data):
                position = self._take(data, position)
                if self._message is not None and not self._unfilled:
                    frames.append(self._finish())
        except WireError as error:
            self._fault = str(error)
            error.frames = frames
            raise
        return frames

    def _take(self, data: bytes, position: int) -> int:
        """Use some of `data` from `position` on, for the header or for an array; return the new position."""
        if self._unfilled:
            target = self._unfilled.pop()
            count = min(target.nbytes, len(data) - position)
            target[:count] = memoryview(data)[position : position + count]
            if count < target.nbytes:
                self._unfilled.append(target[count:])
            return position + count
        room = MAX_HEADER - len(self._header)
        newline = data.find(b"\n", position, position + room)
        if newline < 0:
            self._header += data[position : position + room]
            if len(self._header) >= MAX_HEADER:
                raise WireError(f"a header of more than {MAX_HEADER} bytes: {_shown(self._header)}")
            return len(data)
        self._header += data[position:newline]
        self._message, listing = parse_header(bytes(self._header))
        self._header.clear()
        try:
            self._arrays = {name: np.empty(shape, dtype) for name, dtype, shape in listing}
        except MemoryError as fault:
            raise WireError("not enough memory for the arrays of a frame") from fault
        self._unfilled = [a.reshape(-1).view(np.uint8).data for a in self._arrays.values() if a.size][::-1]
        return newline + 1

    def _finish(self) -> Frame:
        assert self._message is not None
        frame = (self._message, self._arrays)
        self._message, self._arrays = None, {}
        for name, array in frame[1].items():
            # numpy's behaviour on a bool that is neither 0 nor 1 is undefined.
            if array.dtype == np.bool_ and array.size and array.view(np.uint8).max() > 1:
                raise WireError(f"array '{name}' is bool and holds something else")
        return frame


def check_result(arrays: Arrays) -> None:
    """Raise WireError unless these are a result: agreeing shapes, finite hands, faces in range."""
    sizes: dict[int | str, int] = {}
    for name, (dtype, shape) in RESULT_ARRAYS.items():
        if name not in arrays:
            if name in OPTIONAL_RESULT_ARRAYS:
                continue
            raise WireError(f"the result has no '{name}'")
        array = arrays[name]
        wanted = tuple(d if isinstance(d, int) else sizes.get(d, "any") for d in shape)
        fits = array.dtype.name == dtype and array.ndim == len(shape)
        if not fits or any(w not in ("any", d) for w, d in zip(wanted, array.shape)):
            have = f"{array.dtype.name} {list(array.shape)}"
            raise WireError(f"the result's '{name}' is {have}, not {dtype} {list(wanted)}")
        sizes.update({d: length for d, length in zip(shape, array.shape) if isinstance(d, str)})
    for name in ("vertices", "joints", "motion", "bound", "camera", "joints2d"):
        if name in arrays and not np.isfinite(arrays[name]).all():
            raise WireError(f"the result's {name} are not all finite")
    faces = arrays["faces"]
    if faces.size and not (faces.min() >= 0 and faces.max() < sizes["v"]):
        raise WireError("the result's faces name vertices that it has not")


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _shown(line: bytes | bytearray) -> str:
    """The start of what came instead of a header, fit for a message."""
    return ascii(bytes(line[:80]).decode("utf-8", "replace"))
