"""What the shipped hand promises about itself, and its file."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from hhmr_engine.hand.build import triangles
from hhmr_engine.hand.hierarchy import mesh_edges
from hhmr_engine.hand.template import DEFAULT_PATH, HandTemplate, load_template
from tests.engine.hand.posed import Posed


def test_the_mesh_is_the_one_that_is_promised(template: HandTemplate) -> None:
    """1609 vertices in 1598 quads, one open disk with one loop of 20 edges at the wrist."""
    assert template.vertices.shape == (1609, 3) and template.quads.shape == (1598, 4)
    np.testing.assert_array_equal(triangles(template.quads), template.faces)
    edges = mesh_edges(template.faces)
    assert 1609 - len(edges) + len(template.faces) == 1  # Euler's number of a disk
    pairs = np.sort(np.concatenate([template.faces[:, [a, b]] for a, b in ((0, 1), (1, 2), (2, 0))]), 1)
    rim = [edge for edge, count in zip(*np.unique(pairs, axis=0, return_counts=True)) if count == 1]
    assert len(rim) == 20
    assert template.vertices[np.unique(rim), 1].max() < template.joints[9, 1] / 3


def test_faces_look_outwards(template: HandTemplate) -> None:
    a, b, c = (template.vertices[template.faces[:, k]] - template.vertices.mean(0) for k in range(3))
    assert (a * np.cross(b, c)).sum() > 0


def test_joints_of_a_mesh_are_where_its_bones_meet(template: HandTemplate, posed: Posed) -> None:
    error = np.linalg.norm(template.regressor @ posed.vertices - posed.joints, axis=2).mean(0)
    assert error.max() < 0.8e-3, error
    assert error.mean() < 0.4e-3


def test_the_decoder_brings_back_the_whole_hand(template: HandTemplate, posed: Posed) -> None:
    error = np.linalg.norm(template.decoder @ posed.vertices[:, template.nodes] - posed.vertices, axis=2)
    assert error.mean() < 0.1e-3
    assert error.max() < 2e-3


def test_linear_maps_do_not_care_where_the_hand_is(template: HandTemplate, posed: Posed) -> None:
    """Rows that sum to 1: a hand 30 cm off is decoded as well as one at the origin."""
    for matrix in (template.regressor, template.decoder, template.weights):
        np.testing.assert_allclose(matrix.sum(1), 1, atol=1e-5)
    assert (template.weights >= 0).all()


def test_the_basis_is_orthonormal_on_the_nodes_and_explains_posed_hands(
    template: HandTemplate, posed: Posed
) -> None:
    rows = template.basis[:, template.nodes].reshape(len(template.basis), -1)
    np.testing.assert_allclose(rows @ rows.T, np.eye(len(rows)), atol=1e-3)
    assert (np.diff(template.basis_variance) <= 0).all() and template.basis_variance[-1] > 0


def test_the_file_is_readable_with_numpy_alone(template: HandTemplate) -> None:
    """The add-on reads it without this package."""
    with np.load(DEFAULT_PATH, allow_pickle=False) as data:
        np.testing.assert_allclose(data["joints"], template.joints, atol=1e-6)
        assert data["weights"].dtype == np.float16 and data["vertices"].dtype == np.float32


def test_saved_and_read_back(template: HandTemplate, tmp_path: Path) -> None:
    path = tmp_path / "hand.npz"
    template.save(path)
    again = load_template(path)
    for field in fields(HandTemplate):
        before, after = getattr(template, field.name), getattr(again, field.name)
        if isinstance(before, np.ndarray):
            np.testing.assert_allclose(after, before, rtol=2e-3, atol=1e-4)  # some are kept in 16 bits
        else:
            assert after == before
    assert [p.name for p in tmp_path.iterdir()] == ["hand.npz"]


@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "a key is missing", "objects"])
def test_a_damaged_file_gets_one_sentence(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "hand.npz"
    whole = DEFAULT_PATH.read_bytes()
    if damage == "a key is missing":
        np.savez(path, vertices=np.zeros((3, 3), np.float32))
    elif damage == "objects":
        np.savez(path, vertices=np.array([{}], dtype=object))
    else:
        path.write_bytes({"truncated": whole[: len(whole) // 2], "empty": b"", "text": b"no hand"}[damage])
    with pytest.raises(ValueError, match=r"^hand\.npz is no hand template: .*reinstall\.$"):
        load_template(path)


def test_a_missing_file_is_called_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_template(tmp_path / "nothing.npz")
