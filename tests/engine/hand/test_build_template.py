"""Any skinned hand mesh with joints becomes a template: the WebXR generic hand (MIT), read from its glTF."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hhmr_engine.hand.build import SkinnedHand, build_template
from hhmr_engine.hand.dof import DOF_NAMES, rotations
from hhmr_engine.hand.rotation import rotation_matrix
from hhmr_engine.hand.skeleton import FINGERS
from hhmr_engine.hand.skinning import skin
from hhmr_engine.hand.template import UNIT, HandTemplate, load_template
from hhmr_engine.observation import node_prior

# glTF component types.
DTYPES = {5121: np.uint8, 5123: np.uint16, 5126: np.float32}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
# WebXR's names of the bones of one digit in our order; the last is the fingertip.
THUMB = ("metacarpal", "phalanx-proximal", "phalanx-distal", "tip")
FINGER = ("metacarpal", "phalanx-proximal", "phalanx-intermediate", "phalanx-distal", "tip")


def _webxr_hand(path: Path) -> SkinnedHand:
    """The skinned mesh of a binary glTF file with WebXR's 25 joints, its seams welded."""
    raw = path.read_bytes()
    size = struct.unpack("<I", raw[12:16])[0]
    tree, binary = json.loads(raw[20 : 20 + size]), raw[28 + size :]

    def array(index: int) -> np.ndarray:
        accessor = tree["accessors"][index]
        view = tree["bufferViews"][accessor["bufferView"]]
        start = view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
        count = accessor["count"] * WIDTHS[accessor["type"]]
        values = np.frombuffer(binary, DTYPES[accessor["componentType"]], count, start)
        return values.reshape(accessor["count"], -1)

    primitive, bind = tree["meshes"][0]["primitives"][0], tree["skins"][0]
    joints, shares = (array(primitive["attributes"][key]) for key in ("JOINTS_0", "WEIGHTS_0"))
    names = [tree["nodes"][node]["name"] for node in bind["joints"]]
    place = np.linalg.inv(array(bind["inverseBindMatrices"]).reshape(-1, 4, 4))[:, 3, :3]
    by_joint = np.zeros((len(joints), len(names)))
    for column in range(4):
        np.add.at(by_joint, (np.arange(len(joints)), joints[:, column]), shares[:, column])
    digits = [f"{f}-finger" if f != "thumb" else f for f in FINGERS]
    bones = ["wrist", *(f"{d}-{part}" for d in digits for part in (THUMB if d == "thumb" else FINGER)[:-1])]
    tips = [names.index(f"{digit}-tip") for digit in digits]
    ends = [bones.index(f"{digit}-phalanx-distal") for digit in digits]
    weights = by_joint[:, [names.index(bone) for bone in bones]]
    weights[:, ends] += by_joint[:, tips]
    positions = array(primitive["attributes"]["POSITION"]).astype(np.float64)
    vertices, first, weld = np.unique(positions, axis=0, return_index=True, return_inverse=True)
    faces = weld.reshape(-1)[array(primitive["indices"]).reshape(-1, 3)]
    heads = place[[names.index(bone) for bone in bones]]
    return SkinnedHand("webxr", vertices, faces[:, [0, 1, 2, 2]], weights[first], heads, place[tips])


@pytest.fixture(scope="module")
def foreign(data_root: Path) -> SkinnedHand:
    return _webxr_hand(data_root / "hands" / "webxr_generic_hand" / "right.glb")


@pytest.fixture(scope="module")
def built(foreign: SkinnedHand) -> HandTemplate:
    """From a hand that stands anywhere: the template stands in its own frame."""
    turn = rotation_matrix(np.array([0.4, -2.0, 1.0]))
    moved = {key: getattr(foreign, key) @ turn.T + 5 for key in ("vertices", "heads", "tips")}
    return build_template(replace(foreign, **moved))


def test_a_foreign_hand_becomes_a_template(built: HandTemplate, foreign: SkinnedHand) -> None:
    assert built.vertices.shape == (len(foreign.vertices), 3) == (1159, 3)
    assert len(built.faces) == len(foreign.quads)
    assert np.abs(built.heads[0]).max() < 1e-6
    assert built.joints[9, 1] > 0.05 and abs(built.joints[9, 0]) < 0.01  # the middle finger along +Y
    ours = np.linalg.norm(foreign.heads[9] - foreign.heads[0])
    assert abs(np.linalg.norm(built.heads[9]) - ours) < 1e-6
    assert built.joints[5, 0] < built.joints[17, 0]  # a right hand with the palm down
    assert (built.joints[[1, 4], 0] < built.joints[17, 0]).all()


def test_it_moves_like_ours(built: HandTemplate) -> None:
    """The same angles make a fist of both."""
    angles = np.zeros((2, 24), np.float32)
    for name in DOF_NAMES:
        if name.endswith(("mcp_flex", "pip_flex", "dip_flex")) and "thumb" not in name:
            angles[1, DOF_NAMES.index(name)] = np.radians(55)
    for template in (load_template(), built):
        vertices, joints = skin(template, rotations(template, angles))
        assert np.abs(vertices[0] - template.vertices).max() < 1e-6
        for knuckle in (5, 9, 13, 17):
            assert joints[1, knuckle + 3, 1] < joints[1, knuckle + 1, 1] - 0.01  # turned back to the wrist
            assert joints[1, knuckle + 3, 2] < joints[1, knuckle, 2] - 0.02  # on the palm's side


def test_its_fingers_spread_like_ours(built: HandTemplate) -> None:
    """Abduction goes to the thumb's side, which is -X."""
    for knuckle, finger in zip((5, 9, 13, 17), FINGERS[1:], strict=True):
        angles = np.zeros((1, 24), np.float32)
        angles[0, DOF_NAMES.index(f"{finger}_mcp_abd")] = np.radians(10)
        joints = np.concatenate([skin(built, rotations(built, a))[1] for a in (0 * angles, angles)])
        assert joints[1, knuckle + 3, 0] < joints[0, knuckle + 3, 0] - 5e-3


def test_its_linear_maps_hold_on_fresh_poses(built: HandTemplate) -> None:
    rng = np.random.default_rng(4)
    angles = rng.uniform(-0.2, 0.6, (32, 24)).astype(np.float32)
    vertices, joints = skin(built, rotations(built, angles))
    off = np.linalg.norm(built.regressor @ vertices - joints, axis=2).mean(0)
    assert off.max() < 1.5e-3, off
    decoded = built.decoder @ vertices[:, built.nodes]
    assert np.linalg.norm(decoded - vertices, axis=2).mean() < 0.2e-3


def test_its_prior_draws_hands(built: HandTemplate, tmp_path: Path) -> None:
    """Saved, read back, and used as the engine uses its own."""
    built.save(tmp_path / "webxr.npz")
    tensors = load_template(tmp_path / "webxr.npz").torch()
    prior = node_prior(tensors)
    rest = prior.expand(prior.coefficients(prior.mean) / prior.variance).reshape(-1, 3)
    assert (rest - tensors.basis_mean[tensors.nodes]).abs().max() < 1e-4
    assert 0.02 < float(prior.variance.sum()) / len(prior.mean) < 0.5  # about our own hand's, 0.075
    assert float(rest.norm(dim=1).max()) * UNIT < 0.3


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"heads": np.zeros((5, 3))}, "needs weights"),
        ({"weights": np.zeros((1159, 20))}, "sum to 1"),
        ({"tips": np.full((5, 3), np.nan)}, "not numbers"),
        ({"heads": np.arange(60.0).reshape(20, 3)}, "metres"),
    ],
)
def test_what_is_no_skinned_hand_gets_a_sentence(
    foreign: SkinnedHand, change: dict[str, np.ndarray], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        build_template(replace(foreign, **change))
