"""The one door: deterministic, the same for a hand anywhere, and a sentence for all that is wrong."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from hhmr_engine.engine import Cancelled, Engine, Hypotheses, Request, RequestError
from hhmr_engine.hand import dof
from hhmr_engine.hand.build import at_resolution
from hhmr_engine.hand.hierarchy import geodesic_distance, mesh_edges
from hhmr_engine.hand.rotation import rotation_matrix
from hhmr_engine.hand.skinning import skin
from hhmr_engine.hand.template import load_template
from hhmr_engine.model.checkpoint import save_network
from hhmr_engine.wire import ERROR_CODES
from tests.engine.small_network import small_network, small_weights

TEMPLATE = load_template()
FLIP = np.array([-1, 1, 1], np.float32)
# The wire's own codes: what happens around a request, not to it.
NOT_THE_ENGINES = {"out_of_memory", "cancelled_by_unload", "internal"}


def _posed() -> np.ndarray:
    """A right hand [V,3], half closed, somewhere."""
    angles = np.zeros((1, 24), np.float32)
    angles[0, 6:22] = [0.05, 0.5, 0.6, 0.3] * 4
    vertices = skin(TEMPLATE, dof.rotations(TEMPLATE, angles))[0][0]
    return (vertices @ rotation_matrix(np.array([0.5, -0.2, 1.0])).T + [0.3, 1.2, -0.1]).astype(np.float32)


HAND = _posed()
JOINTS = (TEMPLATE.regressor @ HAND).astype(np.float32)
# The hand without thumb and index.
CUT = np.where((TEMPLATE.weights[:, [2, 3, 5, 6, 7]].sum(1) > 0.5)[:, None], np.nan, HAND).astype(np.float32)
VISIBLE = np.where(np.arange(21)[:, None] < 13, JOINTS, np.nan).astype(np.float32)
ASK = Request("inpaint", joints=VISIBLE, count=3, steps=4, seed=5)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def engine(weights: Path) -> Engine:
    return Engine(weights=weights, threads=1)


def _same(one: Hypotheses, other: Hypotheses) -> bool:
    """To the last byte, but for the time it took."""
    values = [
        (getattr(one, f.name), getattr(other, f.name)) for f in fields(Hypotheses) if f.name != "seconds"
    ]
    return all(a.tobytes() == b.tobytes() if isinstance(a, np.ndarray) else a == b for a, b in values)


# ---------------------------------------------------------------- what comes back


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"task": "generate", "joints": None},
        {"joints": None, "vertices": CUT},
        {"method": "gaussian"},
        {"sampler": "ddim"},
        {"guidance": "x0"},
        {"guidance": "xt"},
        {"guidance": "none"},
        {"diverse": False},
        {"steps": 1},
        {"count": 1},
    ],
    ids=lambda changes: "-".join(changes) or "as it is",
)
def test_every_way_of_asking(engine: Engine, changes: dict[str, object]) -> None:
    request = replace(ASK, **changes)
    found = engine.run(request)
    n = request.count
    assert found.vertices.shape == (n, 1609, 3) and found.vertices.dtype == np.float32
    assert found.joints.shape == (n, 21, 3) and found.spread.shape == (21,)
    assert found.faces.shape == (3196, 3) and found.rotations is None
    for name in ("vertices", "joints", "residual", "self_intersection", "score", "spread"):
        assert np.isfinite(getattr(found, name)).all(), name
    assert len(set(found.draw.tolist())) == n and (np.diff(found.score) <= 0).all()
    assert ((found.score > 0) & (found.score <= 1)).all() and (found.residual >= 0).all()
    np.testing.assert_allclose(found.joints, TEMPLATE.regressor @ found.vertices, atol=1e-5)
    if not request.diverse:
        assert sorted(found.draw.tolist()) == list(range(n))


def test_the_same_request_gives_the_same_bytes(engine: Engine, weights: Path) -> None:
    assert _same(engine.run(ASK), engine.run(ASK))
    assert _same(engine.run(ASK), Engine(weights=weights, threads=1).run(ASK))
    assert not np.array_equal(engine.run(replace(ASK, seed=6)).vertices, engine.run(ASK).vertices)


@pytest.mark.parametrize("method", ["network", "gaussian"])
def test_a_draw_does_not_depend_on_how_many_are_asked_for(engine: Engine, method: str) -> None:
    """Bit by bit, and its score too: within a batch and across batches."""
    ask = replace(ASK, method=method, diverse=False)
    many = engine.run(replace(ask, count=19))
    assert len(np.unique(many.vertices[:, 0], axis=0)) == 19
    for count in (1, 3, 10):
        few = engine.run(replace(ask, count=count))
        for a, k in enumerate(few.draw):
            b = list(many.draw).index(k)
            for name in ("vertices", "joints", "residual", "self_intersection", "score"):
                assert np.array_equal(getattr(few, name)[a], getattr(many, name)[b]), name


def test_diverse_hypotheses_differ_more_than_the_best_ones(engine: Engine) -> None:
    """Four of the same eight draws: chosen to differ, or by score alone."""
    ask = Request("generate", count=4, steps=1, method="gaussian")
    apart = np.zeros(2)
    for seed in range(4):
        chosen = engine.run(replace(ask, seed=seed))
        every = engine.run(replace(ask, seed=seed, count=8, diverse=False))
        assert set(chosen.draw.tolist()) <= set(range(8))
        for i, joints in enumerate((chosen.joints, every.joints[:4])):
            apart[i] += np.linalg.norm(joints[:, None] - joints, axis=-1).mean()
    assert apart[0] > 1.1 * apart[1]


def test_what_is_seen_is_kept_and_what_is_hidden_varies(engine: Engine) -> None:
    found = engine.run(replace(ASK, count=8))
    error = np.linalg.norm(found.joints - JOINTS, axis=2)
    assert error[:, :13].mean() < 2e-3 and found.residual.max() < 3e-3
    assert found.spread[[16, 20]].min() > 3 * found.spread[:13].mean()


@pytest.mark.parametrize("side", ["right", "left"])
def test_given_vertices_come_back_exactly(engine: Engine, side: str) -> None:
    """To the bit, on either side; and far from them the answer is the network's own."""
    given = CUT if side == "right" else CUT * FLIP
    found = engine.run(replace(ASK, joints=None, vertices=given, side=side))
    kept = np.isfinite(given).all(1)
    assert (found.vertices[:, kept] == given[kept]).all()
    distance = geodesic_distance(TEMPLATE.vertices, mesh_edges(TEMPLATE.faces), np.flatnonzero(kept))
    assert found.vertices[:, distance > 0.03].std(0).max() > 1e-3
    # No edge of the seam is torn: the vertices next to it move with it.
    a, b = mesh_edges(TEMPLATE.faces).T
    seam = (distance[a] == 0) != (distance[b] == 0)
    before = np.linalg.norm(HAND[a] - HAND[b], axis=1)[seam]
    after = np.linalg.norm(found.vertices[:, a] - found.vertices[:, b], axis=2)[:, seam]
    assert np.abs(after - before).mean() < 1.5e-3


def test_with_a_fit_there_are_rotations_for_a_rig(engine: Engine) -> None:
    """The hypotheses are then skinned hands: the rotations, with the hand's own shape, are what they show."""
    found = engine.run(replace(ASK, fit=True, count=2))
    assert found.rotations is not None and found.rotations.shape == (2, 20, 3, 3)
    product = found.rotations @ found.rotations.transpose(0, 1, 3, 2)
    np.testing.assert_allclose(product, np.broadcast_to(np.eye(3), product.shape), atol=1e-4)
    assert np.linalg.norm(found.joints[:, :13] - JOINTS[:13], axis=2).mean() < 3e-3
    # The template under these rotations bends as the answer does.
    posed = skin(TEMPLATE, found.rotations)[1]
    for given in (6, 10):
        bend = [
            _angle(joints[:, given - 1], joints[:, given], joints[:, given + 1])
            for joints in (posed, found.joints)
        ]
        assert np.abs(bend[0] - bend[1]).max() < np.radians(15)


def _angle(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """At b, [n] radians."""
    one, other = ((v / np.linalg.norm(v, axis=1, keepdims=True)) for v in (b - a, c - b))
    return np.arccos(np.clip((one * other).sum(1), -1, 1))


def test_a_condition_may_weigh_less_and_more(engine: Engine) -> None:
    """Classifier-free guidance: 1 is the network as it is; others are other hands."""
    ask = replace(ASK, guidance="none")
    plain = engine.run(ask)
    assert _same(engine.run(replace(ask, condition_weight=1.0)), plain)
    for weight in (0.0, 2.0):
        other = engine.run(replace(ASK, condition_weight=weight))
        assert not np.array_equal(other.vertices, plain.vertices) and np.isfinite(other.vertices).all()


# ---------------------------------------------------------------- side, place and size


@pytest.mark.parametrize("given", ["joints", "vertices"])
def test_a_left_hand_is_a_right_hand_in_the_mirror(engine: Engine, given: str) -> None:
    """Exactly: the same numbers with another sign, and faces the other way round."""
    condition = {"joints": VISIBLE} if given == "joints" else {"joints": None, "vertices": CUT}
    right = engine.run(replace(ASK, **condition))
    mirrored = {key: None if value is None else value * FLIP for key, value in condition.items()}
    left = engine.run(replace(ASK, side="left", **mirrored))
    assert np.array_equal(left.vertices, right.vertices * FLIP)
    assert np.array_equal(left.joints, right.joints * FLIP)
    assert np.array_equal(left.faces, right.faces[:, ::-1])
    assert np.array_equal(left.score, right.score) and left.side == "left"


def test_left_hands_out_of_nothing_are_mirrored_too(engine: Engine) -> None:
    ask = Request("generate", count=2, steps=2)
    right, left = engine.run(ask), engine.run(replace(ask, side="left"))
    assert np.array_equal(left.vertices, right.vertices * FLIP)


def test_a_left_hand_called_right_is_told_so(engine: Engine) -> None:
    with pytest.raises(RequestError, match="looks like a left hand") as caught:
        engine.run(replace(ASK, joints=JOINTS * FLIP))
    assert caught.value.code == "bad_joints" and "left side" in caught.value.hint
    engine.run(replace(ASK, joints=JOINTS * FLIP, side="left"))


@pytest.mark.parametrize("size", [0.01, 1.0, 39.37, 1000.0], ids=["small", "moved", "inches", "millimetres"])
@pytest.mark.parametrize("given", ["joints", "vertices"])
def test_place_turn_and_size_are_the_users(engine: Engine, given: str, size: float) -> None:
    """The same hands come back, moved, turned and sized like the condition."""
    turn = rotation_matrix(np.array([1.0, 2.0, -0.5], np.float32))
    shift = size * np.array([0.4, -1.0, 0.2], np.float32)

    def move(points: np.ndarray) -> np.ndarray:
        return (size * points @ turn.T + shift).astype(np.float32)

    condition, elsewhere = (
        {"joints": f(VISIBLE)} if given == "joints" else {"joints": None, "vertices": f(CUT)}
        for f in (lambda points: points, move)
    )
    ask = replace(ASK, diverse=False)
    here, there = engine.run(replace(ask, **condition)), engine.run(replace(ask, **elsewhere))
    order = [list(there.draw).index(k) for k in here.draw]
    off = np.linalg.norm(there.vertices[order] - move(here.vertices), axis=2) / size
    assert off.mean() < 3e-4, off.mean()
    np.testing.assert_allclose(there.residual[order], here.residual * size, rtol=0.1, atol=1e-5 * size)


# ---------------------------------------------------------------- progress and cancelling


def test_progress_counts_every_step_and_shows_a_hand(engine: Engine) -> None:
    seen: list[tuple[int, int, np.ndarray | None]] = []
    engine.run(replace(ASK, count=5, preview=True), lambda *step: seen.append(step))
    assert [step[0] for step in seen] == list(range(1, 9))  # two batches of four steps
    assert {step[1] for step in seen} == {8}
    last = seen[-1][2]
    assert last is not None and last.shape == (1609, 3) and np.isfinite(last).all()
    assert np.linalg.norm(TEMPLATE.regressor[:13] @ last - JOINTS[:13], axis=1).mean() < 5e-3
    engine.run(ASK, lambda done, total, preview: seen.append((done, total, preview)))
    assert seen[-1][2] is None


def test_a_left_preview_is_on_the_left(engine: Engine) -> None:
    previews = []
    for side, joints in (("right", VISIBLE), ("left", VISIBLE * FLIP)):
        ask = replace(ASK, side=side, joints=joints, preview=True)
        engine.run(ask, lambda done, total, preview: previews.append(preview))
    assert np.array_equal(previews[0] * FLIP, previews[len(previews) // 2])


def test_cancelling_stops_between_steps_and_leaves_the_engine_usable(engine: Engine) -> None:
    before, steps = engine.run(ASK), []

    def stop(done: int, total: int, preview: np.ndarray | None) -> None:
        steps.append(done)
        if done == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        engine.run(ASK, stop)
    assert steps == [1, 2]
    assert _same(engine.run(ASK), before)


def test_a_request_leaves_what_it_was_given_alone(engine: Engine) -> None:
    joints = VISIBLE.copy()
    engine.run(replace(ASK, joints=joints, side="right"))
    assert np.array_equal(joints, VISIBLE, equal_nan=True)


def test_the_engine_says_who_it_is(engine: Engine, tmp_path: Path) -> None:
    info = engine.info()
    assert info["weights"] == "small.safetensors" and len(str(info["weights_sha256"])) == 16
    assert info["vertices"] == 1609 and info["device"] == "cpu"
    assert Engine(weights=tmp_path / "none.safetensors").info()["weights"] is None
    json.dumps(info)


def test_without_weights_the_baseline_still_works(tmp_path: Path) -> None:
    engine = Engine(weights=tmp_path / "none.safetensors", threads=1)
    assert engine.run(replace(ASK, method="gaussian")).vertices.shape[0] == 3


def test_weights_may_work_on_every_vertex(tmp_path: Path) -> None:
    """Full resolution: the engine takes its nodes from the weight file, with a network and without."""
    sizes = (1609, 101, 26)
    full = at_resolution(TEMPLATE, sizes)
    network = small_network(full.torch(), sizes=sizes, widths=(8, 16, 16), head=8)
    save_network(tmp_path / "full.safetensors", network, full, shift=3.0)
    engine = Engine(weights=tmp_path / "full.safetensors", threads=1)
    for method in ("network", "gaussian"):
        found = engine.run(replace(ASK, count=2, method=method, diverse=False))
        assert found.residual.max() < 3e-3 and np.isfinite(found.vertices).all()


def test_a_device_that_is_not_there(weights: Path) -> None:
    for name in ("abacus", "cuda:99", "mps"):
        with pytest.raises(ValueError, match="has no device|no such device"):
            Engine(device=name, weights=weights)
    assert str(Engine(device="auto", weights=weights).device) in ("cpu", "cuda")


# ---------------------------------------------------------------- what is wrong


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
