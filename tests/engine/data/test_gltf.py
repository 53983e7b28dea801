"""Skinned meshes out of glTF files, and other projects' hands posed by our angles."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hhmr_engine.data.foreign_hands import FILES, load_foreign_hand, make_case, one_sided, refined
from hhmr_engine.data.gltf import read_skinned
from hhmr_engine.hand.dof import DOF_NAMES
from hhmr_engine.hand.template import load_template


@pytest.mark.parametrize(("name", "joints"), [("godot", 26), ("webxr", 25)])
def test_a_skinned_mesh_is_read(data_root: Path, name: str, joints: int) -> None:
    mesh = read_skinned(data_root / "hands" / FILES[name])
    assert mesh.weights.shape == (len(mesh.vertices), joints) and len(mesh.joints) == joints
    assert np.abs(mesh.weights.sum(1) - 1).max() < 1e-3
    assert mesh.triangles.max() < len(mesh.vertices)
    low, high = mesh.vertices.min(0), mesh.vertices.max(0)
    assert ((mesh.places > low - 0.02) & (mesh.places < high + 0.02)).all()  # joints lie in the hand


def test_a_file_without_a_skin_gets_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "cube.gltf"
    path.write_text(json.dumps({"nodes": [{"mesh": 0}], "buffers": [{"uri": "data:,"}]}))
    with pytest.raises(ValueError, match="no skinned mesh"):
        read_skinned(path)


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_foreign_hand_closes_like_ours(data_root: Path, name: str) -> None:
    hand = load_foreign_hand(load_template(), data_root, name)
    fist = np.array([np.radians(60) * n.endswith(("mcp_flex", "pip_flex")) for n in DOF_NAMES], np.float32)
    open_hand, closed = (hand.posed(angles)[1] for angles in (0 * fist, fist))
    for knuckle in (5, 9, 13, 17):
        assert closed[knuckle + 3, 1] < open_hand[knuckle + 3, 1] - 0.03
        assert closed[knuckle + 3, 2] < closed[knuckle, 2] - 0.01  # on the palm's side
    assert sorted(np.unique(hand.finger())) == [-1, 0, 1, 2, 3, 4]


def test_cases_are_parts_of_hands(data_root: Path) -> None:
    hand = load_foreign_hand(load_template(), data_root, "webxr")
    rng = np.random.default_rng(0)
    case = make_case(hand, np.zeros(24, np.float32), rng, 3, "left")
    assert case.kept.sum() == 2
    assert set(np.unique(case.finger)) == {-1, *np.flatnonzero(case.kept)}
    size = np.linalg.norm(case.joints[9] - case.joints[0])
    assert size == pytest.approx(case.scale * np.linalg.norm(hand.skinned.heads[9]), rel=1e-3)
    fine = refined(case, 3000)
    assert len(fine.vertices) >= 3000 and len(fine.triangles) % len(case.triangles) == 0
    seen = one_sided(fine, rng)
    assert 0.25 < len(seen.triangles) / len(fine.triangles) < 0.65
