"""A code and a sentence for all that is wrong with a request or with weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from hhmr_engine.engine import Engine, Request, RequestError
from hhmr_engine.wire import ERROR_CODES
from tests.engine.engine.asked import ASK, CUT, FLIP, HAND, JOINTS, NOT_THE_ENGINES


def _with(array: np.ndarray, where: object, value: float) -> np.ndarray:
    changed = array.copy()
    changed[where] = value
    return changed


LINE = np.linspace(0, 0.2, 21, dtype=np.float32)[:, None] * np.array([1, 0, 0], np.float32)
NOISE = np.random.default_rng(0).normal(0, 0.1, (21, 3)).astype(np.float32)
PICTURE: dict[str, object] = {"task": "reconstruct", "joints": None, "vertices": None, "side": "auto"}
WRONG: list[tuple[str, str, dict[str, object]]] = [
    ("an unknown task", "bad_request", {"task": "fly"}),
    ("an unknown side", "bad_request", {"side": "middle"}),
    ("an unknown method", "bad_request", {"method": "magic"}),
    ("an unknown sampler", "bad_request", {"sampler": "luck"}),
    ("an unknown guidance", "bad_request", {"guidance": "stars"}),
    ("none wanted", "bad_request", {"count": 0}),
    ("fewer than none", "bad_request", {"count": -3}),
    ("ten thousand", "too_many", {"count": 10_000}),
    ("no steps", "bad_request", {"steps": 0}),
    ("too many steps", "bad_request", {"steps": 251}),
    ("a condition that weighs less than nothing", "bad_request", {"condition_weight": -0.5}),
    ("a negative seed", "bad_request", {"seed": -1}),
    ("a huge seed", "bad_request", {"seed": 2**31}),
    ("a dot for a picture", "bad_picture", PICTURE | {"photo": np.zeros((1, 1, 3), np.uint8)}),
    ("a picture of nothing", "no_hand", PICTURE | {"photo": np.full((200, 300, 3), 90, np.uint8)}),
    ("noise that is none", "bad_request", {"rho": float("nan")}),
    ("negative noise", "bad_request", {"rho": -1.0}),
    ("endless noise", "bad_request", {"rho": float("inf")}),
    ("generating from something", "bad_request", {"task": "generate"}),
    ("joints and a mesh", "bad_request", {"vertices": CUT}),
    ("nothing given", "no_condition", {"joints": None}),
    ("joints that are all unknown", "no_condition", {"joints": JOINTS * np.nan}),
    ("a mesh that is all missing", "no_condition", {"joints": None, "vertices": HAND * np.nan}),
    ("20 joints", "bad_joints", {"joints": JOINTS[:20]}),
    ("flat joints", "bad_joints", {"joints": JOINTS[:, :2]}),
    ("an infinite joint", "bad_joints", {"joints": _with(JOINTS, (3, 1), np.inf)}),
    ("a joint light years away", "bad_joints", {"joints": _with(JOINTS, (3, 1), 1e30)}),
    ("joints of no hand", "bad_joints", {"joints": NOISE}),
    ("a cube", "bad_mesh", {"joints": None, "vertices": np.zeros((8, 3), np.float32)}),
    ("a million vertices", "bad_mesh", {"joints": None, "vertices": np.zeros((1_000_000, 3), np.float32)}),
    ("no vertices", "bad_mesh", {"joints": None, "vertices": np.zeros((0, 3), np.float32)}),
    ("an infinite vertex", "bad_mesh", {"joints": None, "vertices": _with(HAND, (3, 1), -np.inf)}),
    ("a mesh of no hand", "bad_mesh", {"joints": None, "vertices": HAND[::-1].copy()}),
    ("a left hand's mesh", "bad_mesh", {"joints": None, "vertices": HAND * FLIP}),
    ("joints on a line", "degenerate", {"joints": LINE}),
    ("joints in one place", "degenerate", {"joints": np.ones((21, 3), np.float32)}),
    ("two joints", "degenerate", {"joints": _with(JOINTS, slice(2, None), np.nan)}),
    ("two vertices", "degenerate", {"joints": None, "vertices": _with(HAND, slice(2, None), np.nan)}),
]


def _refused(engine: Engine, request: Request) -> RequestError:
    with pytest.raises(RequestError) as caught:
        engine.run(request)
    error = caught.value
    assert error.code in ERROR_CODES
    assert not error.message[0].islower() and error.message.endswith((".", "!")) and "\n" not in str(error)
    assert not error.hint or (error.hint[0].isupper() and error.hint.endswith("."))
    assert len(str(error)) < 300 and "Traceback" not in str(error)
    return error


@pytest.mark.parametrize(("code", "changes"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_what_is_wrong_gets_its_code_and_a_sentence(
    engine: Engine, code: str, changes: dict[str, object]
) -> None:
    assert _refused(engine, replace(ASK, **changes)).code == code


def _rewritten(path: Path, target: Path, change: str) -> Path:
    """A copy of a weight file with one thing wrong."""
    with safe_open(path, "pt") as file:
        tensors, metadata = {k: file.get_tensor(k) for k in file.keys()}, file.metadata()
    if change == "of another hand":
        metadata["template_hash"] = "0123456789abcdef"
    elif change == "not finite":
        next(iter(tensors.values())).view(-1)[0] = torch.inf
    elif change == "a layer less":
        tensors.popitem()
    save_file(tensors, target, metadata)
    raw = target.read_bytes()
    if change == "truncated":
        target.write_bytes(raw[: len(raw) // 2])
    elif change == "corrupt":
        target.write_bytes(b"\xff" * 64 + raw[64:])
    elif change == "empty":
        target.write_bytes(b"")
    elif change == "missing":
        target.unlink()
    return target


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("truncated", "bad_weights"),
        ("corrupt", "bad_weights"),
        ("empty", "bad_weights"),
        ("a layer less", "bad_weights"),
        ("not finite", "bad_weights"),
        ("of another hand", "wrong_topology"),
        ("missing", "no_weights"),
    ],
)
def test_weights_that_are_wrong_get_their_code_and_a_sentence(
    weights: Path, tmp_path: Path, change: str, code: str
) -> None:
    engine = Engine(weights=_rewritten(weights, tmp_path / "w.safetensors", change), threads=1)
    error = _refused(engine, ASK)
    assert error.code == code and "w.safetensors" in error.message
    assert engine.run(replace(ASK, method="gaussian")).vertices.shape[0] == 3  # and the baseline goes on


def test_every_code_of_the_closed_list_is_tried() -> None:
    tried = {code for _, code, _ in WRONG} | {"bad_weights", "wrong_topology", "no_weights"}
    assert tried == set(ERROR_CODES) - NOT_THE_ENGINES
