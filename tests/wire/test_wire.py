"""Frames: round trips, the golden bytes, and everything that a peer may claim without having it."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hhmr_engine import wire
from hhmr_engine.wire import Decoder, WireError, encode

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "wire_1_0.bin"


def golden_frames() -> list[tuple[dict[str, Any], dict[str, np.ndarray]]]:
    joints = np.arange(63, dtype=np.float32).reshape(21, 3) / 64
    joints[4] = np.nan
    every = {
        "vertices": np.linspace(-1, 1, 6, dtype=np.float32).reshape(1, 2, 3),
        "faces": np.array([[0, 1, -2]], np.int32),
        "bytes": np.arange(5, dtype=np.uint8),
        "mask": np.array([True, False, True]),
        "empty": np.zeros((0, 3), np.float32),
        "scalar": np.array(0.5, np.float32),
    }
    return [
        ({"type": "hello", "protocol": [1, 0]}, {}),
        ({"type": "run", "id": 7, "task": "inpaint", "rho": 1.5, "fit": False}, {"joints": joints}),
        ({"type": "error", "id": 7, "code": "bad_joints", "message": "Größe \u2028 ‹5 m›", "hint": ""}, {}),
        ({"type": "result", "id": 7, "seed": 0, "side": "left", "seconds": 0.25}, every),
    ]


def assert_frames(got: list[wire.Frame], wanted: list[wire.Frame]) -> None:
    assert [message for message, _ in got] == [message for message, _ in wanted]
    for (_, arrays), (_, expected) in zip(got, wanted, strict=True):
        assert list(arrays) == list(expected)
        for name, array in arrays.items():
            assert array.dtype == expected[name].dtype and array.flags.writeable
            np.testing.assert_array_equal(array, expected[name])


def test_the_bytes_of_protocol_1_0_stay_as_they_were() -> None:
    """A change here is a new protocol: add-on and engine are updated apart from each other."""
    golden = GOLDEN.read_bytes()
    assert b"".join(encode(message, arrays) for message, arrays in golden_frames()) == golden
    assert wire.PROTOCOL == (1, 2)


@pytest.mark.parametrize("size", [1, 2, 7, 64, 1000, 1 << 20])
def test_frames_survive_any_cutting(size: int) -> None:
    data = GOLDEN.read_bytes()
    decoder = Decoder()
    frames = [frame for at in range(0, len(data), size) for frame in decoder.feed(data[at : at + size])]
    assert_frames(frames, golden_frames())
    assert decoder.missing == 0


def test_arrays_of_any_layout_arrive_as_they_look() -> None:
    arrays = {
        "turned": np.arange(6, dtype=np.float32).reshape(2, 3).T,
        "big_endian": np.arange(4, dtype=">f4"),
        "every_second": np.arange(8, dtype=np.int32)[::2],
    }
    ((_, got),) = Decoder().feed(encode({"type": "x"}, arrays))
    for name, array in arrays.items():
        np.testing.assert_array_equal(got[name], array)


def test_missing_tells_how_much_of_the_arrays_is_still_to_come() -> None:
    data = encode({"type": "x"}, {"a": np.zeros(10, np.float32), "b": np.zeros(3, np.uint8)})
    header = data.index(b"\n") + 1
    decoder = Decoder()
    decoder.feed(data[:header])
    assert decoder.missing == 43
    decoder.feed(data[header : header + 41])
    assert decoder.missing == 2


def line(**fields: Any) -> bytes:
    return json.dumps({"type": "x", **fields}).encode() + b"\n"


BAD_HEADERS = {
    "no JSON": b"Welcome to gpu-box!\n",
    "an empty line": b"\n",
    "not UTF-8": b'{"type":"\xff\xfe"}\n',
    "no object": b"[1,2,3]\n",
    "no type": b'{"id":1}\n',
    "a type that is no string": b'{"type":1}\n',
    "NaN": b'{"type":"x","a":NaN}\n',
    "a number of 5,000 digits": b'{"type":"x","a":' + b"9" * 5000 + b"}\n",
    "30,000 brackets": b"[" * 30_000 + b"\n",
    "arrays that are no list": line(arrays={"a": 1}),
    "too many arrays": line(arrays=[[f"a{k}", "uint8", [0]] for k in range(33)]),
    "an entry of two": line(arrays=[["a", "uint8"]]),
    "an entry that is a string": line(arrays=["abc"]),
    "a name that is a number": line(arrays=[[1, "uint8", [1]]]),
    "an empty name": line(arrays=[["", "uint8", [1]]]),
    "a long name": line(arrays=[["a" * 65, "uint8", [1]]]),
    "a name twice": line(arrays=[["a", "uint8", [0]], ["a", "uint8", [0]]]),
    "float64": line(arrays=[["a", "float64", [1]]]),
    "object": line(arrays=[["a", "object", [1]]]),
    "a dtype that is a list": line(arrays=[["a", ["float32"], [1]]]),
    "a shape that is a number": line(arrays=[["a", "uint8", 3]]),
    "nine dimensions": line(arrays=[["a", "uint8", [1] * 9]]),
    "a negative dimension": line(arrays=[["a", "uint8", [-1]]]),
    "two negative dimensions": line(arrays=[["a", "uint8", [-4, -4]]]),
    "half a dimension": line(arrays=[["a", "uint8", [1.5]]]),
    "a true dimension": line(arrays=[["a", "uint8", [True]]]),
    "a dimension that is a string": line(arrays=[["a", "uint8", ["3"]]]),
    "one array too large": line(arrays=[["a", "float32", [wire.MAX_PAYLOAD // 4 + 1]]]),
    "many arrays too large together": line(arrays=[[f"a{k}", "uint8", [1 << 27]] for k in range(3)]),
    "2**64 elements": line(arrays=[["a", "uint8", [1 << 16] * 4]]),
    "2**64 + 1 elements": line(arrays=[["a", "uint8", [(1 << 64) + 1]]]),
    "nothing times a lot": line(arrays=[["a", "uint8", [0, 1 << 20, 1 << 20, 1 << 20]]]),
}


@pytest.mark.parametrize("data", BAD_HEADERS.values(), ids=BAD_HEADERS.keys())
def test_a_bad_header_is_refused_before_anything_is_allocated(data: bytes) -> None:
    decoder = Decoder()
    tracemalloc.start()
    with pytest.raises(WireError):
        decoder.feed(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8e6
    with pytest.raises(WireError):
        decoder.feed(line())


def test_a_header_has_an_end() -> None:
    decoder = Decoder()
    for _ in range(15):
        assert decoder.feed(b" " * 4096) == []
    with pytest.raises(WireError, match="more than 65536 bytes"):
        decoder.feed(b" " * 4096 + b"\n")
    with pytest.raises(WireError, match="more than 65536 bytes"):
        Decoder().feed(b" " * 70_000)


def test_a_bool_is_0_or_1() -> None:
    with pytest.raises(WireError, match="holds something else"):
        Decoder().feed(line(arrays=[["mask", "bool", [2]]]) + b"\x01\x02")


def test_frames_before_a_fault_are_not_lost() -> None:
    with pytest.raises(WireError) as caught:
        Decoder().feed(encode({"type": "result", "id": 1}) + b"Segmentation fault\n")
    assert caught.value.frames == [({"type": "result", "id": 1}, {})]


def test_random_bytes_are_either_frames_or_a_wire_error() -> None:
    rng = np.random.default_rng(0)
    golden = bytearray(GOLDEN.read_bytes())
    for _ in range(3000):
        data = bytearray(golden)
        for at in rng.integers(0, len(data), rng.integers(1, 4)):
            data[at] = rng.integers(0, 256)
        try:
            Decoder().feed(bytes(data))
        except WireError:
            pass


@pytest.mark.parametrize(
    ("message", "arrays"),
    [
        ({"id": 1}, {}),
        ({"type": 3}, {}),
        ({"type": "x", "arrays": []}, {}),
        ({"type": "x", "a": float("nan")}, {}),
        ({"type": "x", "a": object()}, {}),
        ({"type": "x", "a": "a" * 70_000}, {}),
        ({"type": "x"}, {"a": np.zeros(3)}),
        ({"type": "x"}, {"a": np.array(["a"])}),
        ({"type": "x"}, {"a" * 65: np.zeros(3, np.uint8)}),
        ({"type": "x"}, {"a": np.broadcast_to(np.uint8(0), (wire.MAX_PAYLOAD + 1,))}),
    ],
)
def test_what_is_no_frame_is_not_encoded(message: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    with pytest.raises(WireError):
        encode(message, arrays)


def test_a_large_frame_is_decoded_without_copies_of_it() -> None:
    """64 MiB in pieces of 16 KiB: a decoder that joined what it has at each would take minutes."""
    data = encode({"type": "x"}, {"a": np.zeros(1 << 26, np.uint8)})
    decoder = Decoder()
    pieces = [data[at : at + 16384] for at in range(0, len(data), 16384)]
    frames = decoder.feed(pieces[0])
    tracemalloc.start()
    for piece in pieces[1:]:
        frames += decoder.feed(piece)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(frames) == 1 and frames[0][1]["a"].nbytes == 1 << 26
    assert peak < 1 << 20


def test_every_code_has_one_sentence() -> None:
    for code, sentence in wire.ERROR_CODES.items():
        assert code.isidentifier() and sentence.endswith(".") and sentence.count(".") == 1
