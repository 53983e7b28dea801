"""Bind any points to the bones of a laid-on hand: smoothed weight transfer (design: registration)."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree
from scipy.special import ive

from ..hand.hierarchy import mesh_edges
from ..hand.normals import vertex_normals
from ..hand.skeleton import PALM_BONES
from ..hand.template import HandTemplate
from .surface import in_one_place

# Metres at the size of the template.
TURNED = 0.012  # a normal that is turned by a radian counts like this distance
ARM = (0.02, 0.08)  # beyond the wrist's cut: up to here the wrist is followed, from there on nothing
NEAR = 0.012  # a piece that nowhere comes this near is no part of the hand
PIECE = 0.025  # radius up to which a loose piece moves as one
TOUCH = 0.002  # how near a piece lies where it sits

SMOOTHING = 0.012  # how far weights flow (registration.md's eight rounds on a hand of some 1,500 vertices)

CANDIDATES = 6  # triangles that are looked at for each point
CHUNK = 65_536  # points at once
DEGREE = 64  # of the polynomial that smooths: what a mesh of millions can afford


def bind(
    template: HandTemplate, hand: np.ndarray, points: np.ndarray, triangles: np.ndarray | None
) -> np.ndarray:
    """Weights [M,20] float32 of points [M,3] to the bones of a right hand [V,3] in template order.

    triangles [F,3] of the points' own mesh, if they have one: then normals keep a finger from the next,
    weights are smoothed over the edges, and loose pieces (nails, rings) get one row each. Rows sum to 1;
    beyond the wrist they fall to 0, and 0 is all that is far from the hand: what is missing of a row's sum
    stays in place.
    """
    area = np.linalg.norm(_across(hand, template.faces), axis=1).sum()
    scale = float(np.sqrt(area / np.linalg.norm(_across(template.vertices, template.faces), axis=1).sum()))
    origin = hand.mean(0, dtype=np.float64)
    hand = ((hand - origin) / scale).astype(np.float32)
    points = ((points - origin) / scale).astype(np.float32)
    if triangles is None:
        rows, _ = _transfer(template, hand, points, None)
        return rows * _reach(template, hand, points, rows)[:, None]
    points, triangles, welded = _weld(points, triangles)
    rows, distance = _transfer(template, hand, points, vertex_normals(points[None], triangles)[0])
    reach = _reach(template, hand, points, rows)
    edges = mesh_edges(triangles)
    linked = edges[(reach[edges] > 0).all(1)]  # the arm parts the hand from the rest of the body
    rows, ours = _pieces(rows, points, distance, linked)
    length = np.linalg.norm(np.diff(points[linked[ours[linked].all(1)]], axis=1), axis=2)
    if len(length):
        rows = _smooth(rows, edges, float(np.median(length)))
    return (rows * (reach * ours)[:, None])[welded]


def _weld(points: np.ndarray, triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points in the same place become one. Returns points, triangles and which point each became."""
    different, _, welded = in_one_place(points)
    triangles = welded[triangles]
    a, b, c = triangles.T
    return different, triangles[(a != b) & (b != c) & (c != a)], welded


def _transfer(
    template: HandTemplate, hand: np.ndarray, points: np.ndarray, normals: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Rows [M,20] of the nearest points on the hand, and their distances [M].

    Nearest in place and, with normals, in direction: a finger's side does not take the weights of the next
    finger's side across a gap, which looks the other way.
    """
    corners = hand[template.faces]
    facing = _across(hand, template.faces)
    facing /= np.linalg.norm(facing, axis=1, keepdims=True) + 1e-12
    key = corners.mean(1)
    if normals is not None:
        key = np.concatenate([key, TURNED * facing], 1)
    tree = cKDTree(key)
    rows = np.empty((len(points), template.weights.shape[1]), np.float32)
    distance = np.empty(len(points), np.float32)
    for start in range(0, len(points), CHUNK):
        part = slice(start, start + CHUNK)
        place = points[part]
        sought = place if normals is None else np.concatenate([place, TURNED * normals[part]], 1)
        _, face = tree.query(sought, CANDIDATES)
        share = _closest(place[:, None], corners[face])
        gap = ((share[..., None] * corners[face]).sum(2) - place[:, None]) ** 2
        cost = gap.sum(2)
        if normals is not None:
            cost = cost + TURNED**2 * ((facing[face] - normals[part, None]) ** 2).sum(2)
        best = cost.argmin(1)[:, None]
        share = np.take_along_axis(share, best[..., None], 1)[:, 0]
        face = np.take_along_axis(face, best, 1)[:, 0]
        rows[part] = (share[..., None] * template.weights[template.faces[face]]).sum(1)
        distance[part] = np.sqrt(np.take_along_axis(gap.sum(2), best, 1)[:, 0])
    return rows, distance


def _closest(point: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Barycentric coordinates [...,3] of the points of triangles [...,3,3] nearest to points [...,3]."""
    a, b, c = np.moveaxis(corners, -2, 0)
    ab, ac, ap = b - a, c - a, point - a
    bb, bc, cc = (ab * ab).sum(-1), (ab * ac).sum(-1), (ac * ac).sum(-1)
    pb, pc = (ap * ab).sum(-1), (ap * ac).sum(-1)
    determinant = np.maximum(bb * cc - bc * bc, 1e-20)
    v, w = (cc * pb - bc * pc) / determinant, (bb * pc - bc * pb) / determinant
    inside = np.stack([1 - v - w, v, w], -1)
    # On the edges: the nearest of three segments.
    along_ab = np.clip(pb / np.maximum(bb, 1e-20), 0, 1)
    along_ac = np.clip(pc / np.maximum(cc, 1e-20), 0, 1)
    edge = bb + cc - 2 * bc
    along_bc = np.clip((pc - pb + bb - bc) / np.maximum(edge, 1e-20), 0, 1)
    zero = np.zeros_like(v)
    options = np.stack(
        [
            np.stack([1 - along_ab, along_ab, zero], -1),
            np.stack([1 - along_ac, zero, along_ac], -1),
            np.stack([zero, 1 - along_bc, along_bc], -1),
        ],
        -2,
    )
    gap = ((options @ corners - point[..., None, :]) ** 2).sum(-1)
    nearest = np.take_along_axis(options, gap.argmin(-1)[..., None, None], -2)[..., 0, :]
    return np.where((inside >= 0).all(-1, keepdims=True), inside, nearest)


def _reach(template: HandTemplate, hand: np.ndarray, points: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """[M] float32, from 1 on the hand to 0 far up the arm."""
    rim = _rim(template.faces)
    centre = hand[rim].mean(0)
    axis = centre - (template.regressor @ hand)[[5, 9, 13, 17]].mean(0)
    along = (points - centre) @ (axis / np.linalg.norm(axis))
    left = np.clip((ARM[1] - along) / (ARM[1] - ARM[0]), 0, 1)
    bent_back = rows[:, PALM_BONES].sum(1) < 0.5  # a finger, beside the arm
    return np.where(bent_back, 1, left * left * (3 - 2 * left)).astype(np.float32)


def _rim(faces: np.ndarray) -> np.ndarray:
    """Vertices of the template's open end, where the wrist is cut."""
    directed = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).astype(np.int64)
    size = int(faces.max()) + 1
    return np.unique(directed[~np.isin(directed @ [size, 1], directed @ [1, size])])


def _pieces(
    rows: np.ndarray, points: np.ndarray, distance: np.ndarray, edges: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Rows with one for every loose piece, that of where it sits; and which points are the hand's."""
    size = len(points)
    graph = sparse.coo_matrix((np.ones(len(edges), bool), tuple(edges.T)), (size, size))
    count, piece = connected_components(graph, directed=False)
    members = np.bincount(piece, minlength=count)
    nearest = np.full(count, np.inf)
    np.minimum.at(nearest, piece, distance)
    centre = np.stack([np.bincount(piece, points[:, k]) for k in range(3)], 1) / members[:, None]
    radius = np.zeros(count)
    np.maximum.at(radius, piece, np.linalg.norm(points - centre[piece], axis=1))
    touch = 1 / (np.maximum(distance - nearest[piece], 0) ** 2 + TOUCH**2)
    total = np.bincount(piece, touch, count)
    mean = np.stack([np.bincount(piece, touch * column, count) for column in rows.T], 1) / total[:, None]
    rows = np.where((radius < PIECE)[piece][:, None], mean[piece], rows)
    return rows.astype(np.float32), (nearest < NEAR)[piece]


def _smooth(rows: np.ndarray, edges: np.ndarray, length: float) -> np.ndarray:
    """Heat flow of the rows over a mesh with edges of `length`: on a fine mesh as far as on a coarse one.

    exp(-t (1 - P)) for the mean P over neighbours, as a sum of Chebyshev polynomials of P with Bessel
    functions for coefficients: sqrt(t) products instead of t.
    """
    size = len(rows)
    time = (SMOOTHING / max(length, 1e-6)) ** 2
    degree = min(int(3 * np.sqrt(time)) + 3, DEGREE)
    time = min(time, (degree / 3) ** 2)
    share = 2 * ive(np.arange(degree + 1), time)
    share[0] /= 2
    share = (share / share.sum()).astype(np.float32)
    a, b = edges.T
    alone = np.setdiff1d(np.arange(size), edges)
    both = np.concatenate([a, b, alone]), np.concatenate([b, a, alone])
    graph = sparse.csr_matrix((np.ones(len(both[0]), np.float32), both), (size, size))
    mean = sparse.diags(1 / np.asarray(graph.sum(1)).ravel()).astype(np.float32) @ graph
    last, now = rows, mean @ rows
    result = share[0] * last + share[1] * now
    for part in share[2:]:
        last, now = now, 2 * (mean @ now) - last
        result += part * now
    return np.maximum(result, 0)


def _across(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Normals [F,3] of triangles, twice as long as their areas."""
    a, b, c = np.moveaxis(vertices[faces], 1, 0)
    return np.cross(b - a, c - a)
