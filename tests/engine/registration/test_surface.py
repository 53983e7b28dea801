"""Foreign meshes are welded, wound outwards and sampled; what is no surface gets a sentence."""

from __future__ import annotations

import numpy as np
import pytest

from hhmr_engine.hand.template import HandTemplate, load_template
from hhmr_engine.registration.surface import Surface, clean, hand_area, pieces, sample


@pytest.fixture(scope="module")
def template() -> HandTemplate:
    return load_template()


def volume(surface: Surface) -> float:
    """Six times the signed volume about the vertices' mean."""
    corners = surface.vertices[surface.triangles] - surface.vertices.mean(0)
    return float(np.linalg.det(corners).sum())


def soup(template: HandTemplate) -> tuple[np.ndarray, np.ndarray]:
    """Every triangle with corners of its own, as an STL file has them."""
    return template.vertices[template.faces].reshape(-1, 3), np.arange(template.faces.size).reshape(-1, 3)


def test_unmerged_vertices_are_welded(template: HandTemplate) -> None:
    surface = clean(*soup(template))
    assert len(surface.vertices) == len(template.vertices)
    assert len(surface.triangles) == len(template.faces)
    assert np.abs(surface.vertices - soup(template)[0][surface.source]).max() == 0
    assert len(np.unique(pieces(surface))) == 1
    assert surface.area == pytest.approx(hand_area(template))


@pytest.mark.parametrize("scale", [1e-3, 1.0, 250.0])
def test_a_surface_is_turned_right_side_out(template: HandTemplate, scale: float) -> None:
    assert volume(clean(template.vertices, template.faces)) > 0
    inside_out = clean(template.vertices * scale + 7 * scale, template.faces[:, ::-1])
    assert volume(inside_out) > 0


def test_faces_wound_at_random_are_wound_alike(template: HandTemplate) -> None:
    flip = np.random.default_rng(0).random(len(template.faces)) < 0.3
    mixed = np.where(flip[:, None], template.faces[:, ::-1], template.faces)
    right, found = clean(template.vertices, template.faces), clean(template.vertices, mixed)
    assert volume(found) == pytest.approx(volume(right))
    assert np.abs(found.cross() - right.cross()).max() < 1e-12


def test_samples_lie_on_the_surface_evenly(template: HandTemplate) -> None:
    surface = clean(template.vertices, template.faces)
    samples, again = sample(surface, 2000), sample(surface, 2000)
    assert (samples.points == again.points).all()
    assert np.abs(np.linalg.norm(samples.normals, axis=1) - 1).max() < 1e-9
    gap = np.linalg.norm(samples.points - surface.vertices[samples.vertex], axis=1)
    assert gap.max() < 0.015  # on a triangle at that vertex, of which the wrist has long ones
    palm = template.weights[:, [0, 4, 8, 12, 16]].sum(1) > 0.9
    area = np.linalg.norm(surface.cross(), axis=1)
    share = (area * palm[surface.source][surface.triangles].mean(1)).sum() / area.sum()
    assert palm[surface.source][samples.vertex].mean() == pytest.approx(share, abs=0.05)


def test_a_large_mesh_is_thinned(template: HandTemplate) -> None:
    """Two million vertices cost no more than a few ten thousand."""
    rng = np.random.default_rng(1)
    faces = template.faces[rng.integers(0, len(template.faces), 150_000)]
    share = rng.dirichlet([1, 1, 1], (150_000, 3))
    vertices = (share[..., None] * template.vertices[faces][:, None]).sum(2).reshape(-1, 3)
    surface = clean(vertices, np.arange(len(vertices)).reshape(-1, 3))
    assert len(surface.vertices) < 100_000


def test_a_scans_noise_is_smoothed_and_a_hand_is_not(template: HandTemplate) -> None:
    surface = clean(template.vertices, template.faces)
    assert np.abs(surface.vertices - template.vertices[surface.source]).max() < 1e-7
    noise = np.random.default_rng(2).normal(0, 1.5e-3, template.vertices.shape)
    found = clean(template.vertices + noise, template.faces)
    off = np.linalg.norm(found.vertices - template.vertices[found.source], axis=1)
    assert np.median(off) < 0.75 * np.median(np.linalg.norm(noise, axis=1))


def test_one_side_of_a_hand_counts_for_both(template: HandTemplate) -> None:
    surface = clean(template.vertices, template.faces)
    assert surface.whole_area == pytest.approx(surface.area, rel=0.08)  # the wrist is open
    back = surface.triangles[surface.cross()[:, 2] > 0]
    half = clean(surface.vertices, back)
    assert half.whole_area == pytest.approx(surface.area, rel=0.15)


FLAT = np.random.default_rng(3).random((40, 3)) * [1, 1, 0]
LINE = np.linspace(0, 1, 40)[:, None] * [1.0, 2, 3]


@pytest.mark.parametrize(
    ("vertices", "triangles", "sentence"),
    [
        (np.zeros((5, 3)), np.zeros((2, 3), int), "only 5 vertices"),
        (np.random.default_rng(0).random((40, 3)), np.zeros((0, 3), int), "no faces"),
        (np.random.default_rng(0).random((40, 3)), np.arange(9).reshape(3, 3), "only 9 vertices"),
        (np.random.default_rng(0).random((40, 3)), np.full((3, 3), 40), "does not exist"),
        (np.random.default_rng(0).random((40, 2)), np.zeros((3, 3), int), r"\[M,3\]"),
        (np.random.default_rng(0).random((40, 3)), np.zeros((3, 4), int), r"\[F,3\]"),
        (np.full((40, 3), np.nan), np.arange(39).reshape(13, 3), "not numbers"),
        (np.full((40, 3), 3.0), np.arange(39).reshape(13, 3), "in one place"),
        (LINE, np.arange(39).reshape(13, 3), "on one line"),
        (FLAT, np.arange(39).reshape(13, 3), "in one plane"),
    ],
)
def test_what_is_no_surface_gets_a_sentence(
    vertices: np.ndarray, triangles: np.ndarray, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        clean(vertices, triangles)
