"""Self-intersection against an exact brute force in whole numbers, and hand-made cases."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from hhmr_engine.hand.dof import LIMITS, rotations
from hhmr_engine.hand.intersection import (
    SelfIntersection,
    adjacent_bones,
    intersecting_pairs,
    sharing_vertex,
    triangles_intersect,
)
from hhmr_engine.hand.skeleton import PARENTS
from hhmr_engine.hand.skinning import skin
from hhmr_engine.hand.template import load_template

Triangle = list[tuple[int, int, int]]


def minus(a, b):
    return tuple(x - y for x, y in zip(a, b))


def dot(a, b):
    return sum(x * y for x, y in zip(a, b))


def cross(a, b):
    return (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])


def separated(a: Triangle, b: Triangle) -> bool:
    """Exact: two convex sets have no point in common exactly when one of these directions separates them."""
    edges = [[minus(t[(k + 1) % 3], t[k]) for k in range(3)] for t in (a, b)]
    normals = [cross(e[0], e[1]) for e in edges]
    directions = normals + [cross(p, q) for p in edges[0] for q in edges[1]]
    directions += [cross(normals[k], e) for k in range(2) for e in edges[k]]
    for direction in directions:
        if direction == (0, 0, 0):
            continue
        left, right = [dot(direction, p) for p in a], [dot(direction, p) for p in b]
        if max(left) < min(right) or max(right) < min(left):
            return True
    return False


def has_area(t: Triangle) -> bool:
    return cross(minus(t[1], t[0]), minus(t[2], t[0])) != (0, 0, 0)


def both_ways(a: Triangle, b: Triangle) -> bool:
    """The function's answer, which must not depend on the order of triangles or of their corners."""
    answers = set()
    for p, q in itertools.product(itertools.permutations(a), itertools.permutations(b)):
        first, second = np.array([p], np.float64), np.array([q], np.float64)
        answers.add(bool(triangles_intersect(first, second)[0]))
        answers.add(bool(triangles_intersect(second, first)[0]))
    assert len(answers) == 1
    return answers.pop()


Tubes = tuple[np.ndarray, SelfIntersection]
FLAT = [(0, 0, 0), (4, 0, 0), (0, 4, 0)]


@pytest.mark.parametrize(
    ("name", "other", "expected"),
    [
        ("piercing through the middle", [(1, 1, -1), (1, 1, 1), (9, 9, 1)], True),
        ("an edge across an edge", [(2, -1, -1), (2, 1, 1), (2, -1, 1)], True),
        ("beside, crossing the plane only", [(5, 5, -1), (5, 5, 1), (9, 9, 1)], False),
        ("above", [(0, 0, 1), (4, 0, 1), (0, 4, 1)], False),
        ("touching with a corner inside", [(1, 1, 0), (1, 1, 2), (2, 1, 2)], True),
        ("touching corner to corner", [(4, 0, 0), (6, 0, 3), (6, 1, 3)], True),
        ("touching along an edge", [(0, 0, 0), (4, 0, 0), (0, 0, 4)], True),
        ("a corner just short of it", [(1, 1, 1), (1, 1, 2), (2, 1, 2)], False),
        ("an edge in the plane, around it", [(-9, 1, 0), (9, 1, 0), (0, 1, 5)], True),
        ("an edge in the plane, beside it", [(-9, 5, 0), (9, 5, 0), (0, 5, 5)], False),
        ("in the plane, overlapping", [(1, 1, 0), (5, 1, 0), (1, 5, 0)], True),
        ("in the plane, inside", [(1, 1, 0), (2, 1, 0), (1, 2, 0)], True),
        ("in the plane, touching an edge", [(2, 2, 0), (5, 2, 0), (5, 5, 0)], True),
        ("in the plane, beside", [(3, 3, 0), (5, 3, 0), (5, 5, 0)], False),
        ("no area", [(1, 1, -1), (1, 1, 0), (1, 1, 1)], False),
    ],
)
def test_two_triangles(name: str, other: Triangle, expected: bool) -> None:
    assert both_ways(FLAT, other) is expected, name


def test_thousands_of_small_whole_number_triangles_agree_with_the_exact_answer() -> None:
    # Small coordinates make touching, coplanar and zero-area cases common.
    generator = np.random.default_rng(5)
    triangles = generator.integers(0, 5, (4000, 2, 3, 3))
    triangles[:800, :, :, 2] //= 3
    expected = [
        has_area(a) and has_area(b) and not separated(a, b)
        for a, b in ([[tuple(p) for p in t] for t in pair] for pair in triangles.tolist())
    ]
    found = triangles_intersect(triangles[:, 0], triangles[:, 1])
    assert np.flatnonzero(found != expected).tolist() == []
    assert 0.2 < np.mean(expected) < 0.8


@pytest.mark.parametrize("seed", range(6))
def test_random_meshes_agree_with_brute_force(seed: int) -> None:
    generator = np.random.default_rng(seed)
    vertices = generator.integers(0, 9, (3, 40, 3))
    faces = np.stack([generator.permutation(40)[:3] for _ in range(90)])
    expected = []
    for hand, points in enumerate(vertices.tolist()):
        corners = [[tuple(points[v]) for v in face] for face in faces]
        for a, b in itertools.combinations(range(len(faces)), 2):
            first, second = corners[a], corners[b]
            if not set(faces[a]).isdisjoint(faces[b]) or not has_area(first) or not has_area(second):
                continue
            if not separated(first, second):
                expected.append([hand, a, b])
    assert intersecting_pairs(vertices, faces, sharing_vertex(faces)).tolist() == expected
    assert expected


def test_sharing_vertex() -> None:
    faces = np.array([[0, 1, 2], [2, 3, 4], [5, 6, 7]])
    assert sharing_vertex(faces).tolist() == [[True, True, False], [True, True, False], [False, False, True]]


def test_adjacent_bones_are_the_same_or_parent_and_child_and_the_palm_is_one_bone() -> None:
    # root, thumb cmc and mcp, index meta, mcp and pip
    parents = np.array([-1, 0, 1, 0, 3, 4])
    near = adjacent_bones(parents)
    assert near[0].tolist() == [True, True, True, True, True, False]
    assert near[1].tolist() == [True, True, True, True, True, False]
    assert near[2].tolist() == [True, True, True, True, False, False]
    assert near[4].tolist() == [True, True, False, True, True, True]
    assert near[5].tolist() == [False, False, False, False, True, True]
    assert (near == near.T).all()


@pytest.fixture(scope="module")
def tubes() -> Tubes:
    """Four boxes, a chain of bones, whose last one is moved: apart, into the first, and into the third."""
    trimesh = pytest.importorskip("trimesh")
    box = trimesh.creation.box(extents=(1, 1, 1)).subdivide()
    boxes = [box.copy().apply_translation((3 * k, 0, 0)) for k in range(4)]
    whole = trimesh.util.concatenate(boxes)
    size = len(boxes[0].vertices)
    rest = np.asarray(whole.vertices)
    hands = np.stack([rest, rest, rest])
    hands[1, 3 * size :] += [-9 + 0.4, 0.3, 0.2]
    hands[2, 3 * size :] += [-3 + 0.4, 0.3, 0.2]
    weights = np.repeat(np.eye(4), size, axis=0)
    return hands, SelfIntersection(np.asarray(whole.faces), weights, np.array([-1, 0, 1, 2]))


def test_adjacent_segments_are_left_out_and_counted_on_demand(tubes: Tubes) -> None:
    hands, check = tubes
    left_out, everything = check.percentage(hands), check.percentage(hands, adjacent=True)
    assert left_out[0] == everything[0] == 0.0
    assert left_out[1] == everything[1] > 5.0
    assert left_out[2] == 0.0 and everything[2] > 5.0
    assert check.penetrating_pairs(hands).tolist() == [[1, 0, 3]]
    pairs = check.pairs(hands)
    share = 100.0 * len(np.unique(pairs[:, 1:])) / len(check.faces)
    assert left_out[1] == pytest.approx(share)


def test_the_figure_does_not_depend_on_place_direction_or_size(tubes: Tubes) -> None:
    hands, check = tubes
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    moved = (0.01 * hands @ turn + [5.0, -3.0, 8.0]).astype(np.float32)
    assert (check.percentage(moved) == check.percentage(hands)).all()


def test_bad_vertices_get_a_sentence(tubes: Tubes) -> None:
    hands, check = tubes
    with pytest.raises(ValueError, match="finite"):
        check.pairs(np.full_like(hands, np.nan))
    with pytest.raises(ValueError, match=r"\[n, V, 3\]"):
        check.pairs(hands[0])


def test_no_hands_give_no_pairs(tubes: Tubes) -> None:
    hands, check = tubes
    assert check.pairs(hands[:0]).shape == (0, 3) and check.percentage(hands[:0]).shape == (0,)


@pytest.fixture(scope="module")
def posed_hands() -> tuple[np.ndarray, SelfIntersection]:
    """Eight careless poses of the hand that ships: fingers anywhere within their limits, many crossing."""
    template = load_template()
    angles = np.random.default_rng(2).uniform(0.0, 0.9, (8, len(LIMITS))) * LIMITS[:, 1]
    vertices, _ = skin(template, rotations(template, angles.astype(np.float32)))
    return vertices, SelfIntersection(template.faces, template.weights, np.array(PARENTS))


def test_the_shipped_hand_at_rest_does_not_intersect_itself() -> None:
    template = load_template()
    check = SelfIntersection(template.faces, template.weights, np.array(PARENTS))
    assert check.percentage(template.vertices[None], adjacent=True).tolist() == [0.0]


def test_grouping_faces_by_segment_changes_nothing_that_is_found(posed_hands: Tubes) -> None:
    vertices, check = posed_hands
    assert len(check.faces) == 3196
    sharing = sharing_vertex(check.faces)
    everything = intersecting_pairs(vertices, check.faces, sharing)
    assert np.array_equal(check.pairs(vertices, adjacent=True), everything)
    bones = check.segments[everything[:, 1:]]
    apart = ~adjacent_bones(np.array(PARENTS))[bones[:, 0], bones[:, 1]]
    assert np.array_equal(check.pairs(vertices), everything[apart])
    assert 0 < apart.sum() < len(apart)
    # The groups come from the first hands that are looked at; the answers do not.
    turned = SelfIntersection(check.faces, load_template().weights, np.array(PARENTS))
    found = turned.pairs(vertices[::-1])
    found[:, 0] = len(vertices) - 1 - found[:, 0]
    assert np.array_equal(found[np.argsort(found[:, 0], kind="stable")], check.pairs(vertices))
