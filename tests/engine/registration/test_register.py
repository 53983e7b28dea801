"""Bare surfaces, and such with joints, end up under the template: the right side, fingers, size and place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from hhmr_engine.data.foreign_hands import (
    FILES,
    Case,
    load_foreign_hand,
    make_case,
    one_sided,
    refined,
    rough,
)
from hhmr_engine.hand.dof import DOF_NAMES, rotations
from hhmr_engine.hand.rotation import rotation_matrix
from hhmr_engine.hand.skinning import skin
from hhmr_engine.hand.template import HandTemplate, load_template
from hhmr_engine.registration.correspondence import Registration, closest_on_mesh
from hhmr_engine.registration.matching import finger_of_vertices
from hhmr_engine.registration.register import register

TURN = rotation_matrix(np.array([0.7, -1.9, 0.8]))
CURL = {"index_mcp_flex": 35, "index_pip_flex": 40, "middle_mcp_abd": 8, "thumb_cmc_flex": 12}


@dataclass(frozen=True)
class Part:
    """Our own hand with another shape and pose, without middle and pinky, somewhere else in space."""

    vertices: np.ndarray
    triangles: np.ndarray
    joints: np.ndarray
    kept: np.ndarray  # [V] bool, of the template's vertices
    scale: float

    @property
    def mirrored(self) -> Part:
        flip = np.array([-1, 1, 1])
        vertices, joints = self.vertices * flip, self.joints * flip
        return replace(self, vertices=vertices, joints=joints, triangles=self.triangles[:, ::-1])


@pytest.fixture(scope="module")
def template() -> HandTemplate:
    return load_template()


@pytest.fixture(scope="module")
def part(template: HandTemplate) -> Part:
    angles = np.array([np.radians(CURL.get(name, 10)) for name in DOF_NAMES], np.float32)[None]
    beta = np.random.default_rng(0).normal(0, 0.8, (1, 10)).astype(np.float32)
    vertices, joints = (array[0] for array in skin(template, rotations(template, angles), beta))
    kept = ~np.isin(finger_of_vertices(template), (2, 4))
    triangles = template.faces[kept[template.faces].all(1)]
    place = [130.0 * (points @ TURN.T) + [5, -400, 20] for points in (vertices, joints)]
    return Part(place[0], triangles, place[1], kept, 130.0)


@pytest.fixture(scope="module")
def found(template: HandTemplate, part: Part) -> Registration:
    return register(template, part.vertices, part.triangles)


def test_a_part_of_a_hand_is_found(template: HandTemplate, part: Part, found: Registration) -> None:
    assert found.side == "right"
    assert found.fingers.tolist() == [True, True, False, True, False]
    assert found.scale == pytest.approx(part.scale, rel=0.12)
    assert found.residual < 0.5
    off = np.linalg.norm(found.vertices - part.vertices, axis=1)[part.kept] / part.scale * 1e3
    assert np.median(off) < 3 and np.quantile(off, 0.95) < 8, np.quantile(off, [0.5, 0.95])
    assert found.covered[part.kept].mean() > 0.85
    assert found.covered[~part.kept].mean() < 0.15


def test_its_correspondences(template: HandTemplate, part: Part, found: Registration) -> None:
    """Input vertices on triangles of the fitted hand: near, spread, and with the noise that they have."""
    corners = found.vertices[template.faces[found.face]]
    on_hand = (found.barycentric[..., None] * corners).sum(1)
    gap = np.linalg.norm(on_hand - part.vertices[found.source], axis=1) / part.scale * 1e3
    assert 200 < len(found.source) <= 800
    assert len(np.unique(found.source)) == len(found.source)
    assert part.kept[found.source].all()
    assert gap.max() < 5 and np.median(gap) < 0.6
    assert (found.sigma >= 1).all() and (found.sigma > gap).all()
    assert np.abs(found.barycentric.sum(1) - 1).max() < 1e-5 and found.barycentric.min() > -1e-6
    fingers = finger_of_vertices(template)
    assert set(np.unique(fingers[found.source])) == {-1, 0, 1, 3}


def test_it_is_the_same_every_time(template: HandTemplate, part: Part, found: Registration) -> None:
    again = register(template, part.vertices, part.triangles)
    assert (again.vertices == found.vertices).all() and (again.source == found.source).all()


def test_a_left_hand_inside_out_and_unmerged(template: HandTemplate, part: Part) -> None:
    left = part.mirrored
    soup = left.vertices[left.triangles[:, ::-1]].reshape(-1, 3)
    found = register(template, soup, np.arange(len(soup)).reshape(-1, 3))
    assert found.side == "left"
    assert found.fingers.tolist() == [True, True, False, True, False]
    off = np.linalg.norm(found.vertices - left.vertices, axis=1)[part.kept] / part.scale * 1e3
    assert np.median(off) < 3
    near = np.linalg.norm(soup[found.source][:, None] - found.vertices[None], axis=2).min(1)
    assert np.median(near) / part.scale < 5e-3  # `source` names input vertices, not welded ones


def test_a_side_that_is_known_is_kept(template: HandTemplate, part: Part) -> None:
    assert register(template, part.vertices, part.triangles, side="right").side == "right"
    with pytest.raises(ValueError, match="side must be"):
        register(template, part.vertices, part.triangles, side="both")


@pytest.mark.parametrize("mirrored", [False, True])
def test_joints_lead(template: HandTemplate, part: Part, mirrored: bool) -> None:
    """Another rig's joints, some millimetres off and one unknown."""
    given = part.mirrored if mirrored else part
    joints = given.joints + np.random.default_rng(3).normal(0, 2e-3 * part.scale, (21, 3))
    joints[7] = np.nan
    found = register(template, given.vertices, given.triangles, joints=joints)
    assert found.side == ("left" if mirrored else "right")
    assert found.fingers.tolist() == [True, True, False, True, False]
    off = np.linalg.norm(found.vertices - given.vertices, axis=1) / part.scale * 1e3
    assert np.median(off[part.kept]) < 2.5
    tip = np.linalg.norm(template.regressor[12] @ found.vertices - given.joints[12]) / part.scale
    assert tip < 8e-3  # of a finger that has no surface


def test_wrist_and_tips_are_enough(template: HandTemplate, part: Part) -> None:
    joints = np.full((21, 3), np.nan)
    joints[[0, 4, 8, 16]] = part.joints[[0, 4, 8, 16]]
    found = register(template, part.vertices, part.triangles, joints=joints)
    assert found.side == "right"
    assert found.fingers.tolist() == [True, True, False, True, False]


def test_a_mitten(template: HandTemplate) -> None:
    """Fingers together, a whole hand."""
    flat = {f"{f}_mcp_abd": a for f, a in zip(("index", "ring", "pinky"), (-5, 4, 9), strict=True)}
    angles = np.array([np.radians(flat.get(name, 3)) for name in DOF_NAMES], np.float32)[None]
    vertices = skin(template, rotations(template, angles))[0][0] @ TURN.T
    found = register(template, vertices, template.faces)
    assert found.side == "right" and found.fingers.all()
    off = np.linalg.norm(found.vertices - vertices, axis=1) * 1e3
    assert np.median(off) < 3


def ball() -> tuple[np.ndarray, np.ndarray]:
    import trimesh

    mesh = trimesh.creation.icosphere(4)
    return mesh.vertices, mesh.faces


def foot() -> tuple[np.ndarray, np.ndarray]:
    """A sole with five short toes and an ankle, as a star-shaped surface about its middle."""
    directions, faces = ball()
    toes = [(-0.03, 0.05, 0.014), (-0.012, 0.045, 0.009), (0.004, 0.04, 0.009), (0.018, 0.034, 0.008)]
    limbs = [([0.0, 0.0, 0.0], [0.0, 0.16, -0.01], 0.038), ([0.0, -0.01, 0.0], [0.0, -0.02, 0.12], 0.037)]
    limbs += [([x, 0.17, -0.025], [1.15 * x, 0.18 + long, -0.03], r) for x, long, r in toes]
    middle, reach = np.array([0, 0.1, 0]), np.zeros(len(directions))
    for distance in np.linspace(0.005, 0.45, 300):
        points = middle + distance * directions
        for a, b, radius in limbs:
            axis = np.subtract(b, a)
            along = np.clip((points - a) @ axis / (axis @ axis), 0, 1)
            inside = np.linalg.norm(points - a - along[:, None] * axis, axis=1) < radius
            reach = np.where(inside, distance, reach)
    return middle + reach[:, None] * directions, faces


@pytest.mark.parametrize("shape", [ball, foot])
def test_what_is_no_hand_gets_a_sentence(
    template: HandTemplate, shape: Callable[[], tuple[np.ndarray, np.ndarray]]
) -> None:
    vertices, faces = shape()
    with pytest.raises(ValueError, match="does not look like a hand"):
        register(template, vertices, faces)


def test_two_hands_get_a_sentence(template: HandTemplate) -> None:
    other = template.vertices * [-1, 1, 1] + [0.3, 0, 0]
    vertices = np.concatenate([template.vertices, other])
    triangles = np.concatenate([template.faces, template.faces[:, ::-1] + len(template.vertices)])
    with pytest.raises(ValueError, match="only one hand"):
        register(template, vertices, triangles)


def test_joints_of_another_kind_get_a_sentence(template: HandTemplate) -> None:
    with pytest.raises(ValueError, match=r"\[21,3\]"):
        register(template, template.vertices, template.faces, joints=np.zeros((20, 3)))


def rightly_named(template: HandTemplate, case: Case, found: Registration) -> bool:
    face, barycentric, distance = closest_on_mesh(found.vertices, template.faces, case.vertices)
    corner = np.take_along_axis(template.faces[face], barycentric.argmax(1)[:, None], 1)[:, 0]
    named = finger_of_vertices(template)[corner]
    own = [case.finger == finger for finger in np.flatnonzero(case.kept)]
    shares = [(named[rows] == f).mean() for f, rows in zip(np.flatnonzero(case.kept), own, strict=True)]
    return min(shares) > 0.6 and float(np.median(distance)) / found.scale < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(FILES))
@pytest.mark.parametrize("kind", ["bare", "scan from one side", "noise"])
def test_other_projects_hands(template: HandTemplate, data_root: Path, name: str, kind: str) -> None:
    """Three fingers cut away, turned at random, any scale; `benchmarks.registration` tries forty."""
    rng = np.random.default_rng(5)
    angles = np.array([np.radians(CURL.get(name, 10)) for name in DOF_NAMES], np.float32)
    case = make_case(load_foreign_hand(template, data_root, name), angles, rng, 3, "left")
    if kind != "bare":
        case = refined(case, 5000)
    if kind == "scan from one side":
        case = one_sided(case, rng)
    given = rough(case, 1.5e-3, rng) if kind == "noise" else case
    found = register(template, given.vertices, given.triangles)
    assert found.side == "left"
    assert found.fingers.tolist() == case.kept.tolist()
    assert rightly_named(template, case, found)
