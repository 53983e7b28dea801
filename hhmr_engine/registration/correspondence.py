"""What a registration says: which points of the surface lie where on the template, and how well."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ..hand.normals import vertex_normals
from ..hand.template import HandTemplate
from .matching import finger_cores
from .surface import Samples, Surface

NEAR = 0.004  # metres at hand scale between hand and surface where the surface is there
AGREEING = 0.4  # cosine between their normals
MOST = 800  # correspondences
PRESENT = 0.2  # of a finger that must be covered for it to be there: a scan from one side sees a third


@dataclass(frozen=True)
class Registration:
    """The template laid onto a foreign surface of M vertices; see `register`."""

    side: str  # "right" | "left", found
    vertices: NDArray[np.float32]  # [V,3] the template's hand in the surface's own space
    covered: NDArray[np.bool_]  # [V] the surface is there
    source: NDArray[np.int64]  # [K] input vertices, spread evenly over the matched surface
    face: NDArray[np.int64]  # [K] the template's triangle that each lies on
    barycentric: NDArray[np.float32]  # [K,3]
    sigma: NDArray[np.float32]  # [K] millimetres at hand scale: how well each is believed
    scale: float  # the user's units per metre of a template-sized hand
    residual: float  # millimetres at hand scale: median distance of the matched surface from `vertices`
    fingers: NDArray[np.bool_]  # [5] which fingers are there


@dataclass(frozen=True)
class Place:
    """Where the work was done: user = (hand-scale point * flip) * unit + origin."""

    surface: Surface
    origin: NDArray[np.float64]
    unit: float
    flip: NDArray[np.float64]  # (-1, 1, 1) for a left hand

    def to_user(self, points: NDArray) -> NDArray[np.float64]:
        return points * self.flip * self.unit + self.origin

    def to_hand(self, points: NDArray) -> NDArray[np.float64]:
        return (points - self.origin) / self.unit * self.flip


def describe(
    template: HandTemplate,
    points: NDArray,
    samples: Samples,
    size: float,
    place: Place,
    possible: NDArray[np.bool_],
) -> Registration:
    """The Registration of a hand `points` [V,3] laid onto samples, both right-handed and at hand scale;
    `size` is the hand's size relative to the template's, `possible` [5] which fingers may be there: one that
    may not lies where it lies by chance."""
    normals = vertex_normals(points[None], template.faces)[0].astype(np.float64)
    core = finger_cores(template)
    covered = covered_vertices(points, normals, samples, NEAR * size)
    covered &= (core < 0) | possible[core]
    vertex = _spread(samples, MOST)
    at = place.to_hand(place.surface.vertices[vertex])
    out = samples.normals[cKDTree(samples.points).query(at)[1]]
    face, barycentric, distance = closest_on_mesh(points, template.faces, at)
    facing = (normals[template.faces[face]].mean(1) * out).sum(1) > AGREEING
    good = (distance < NEAR * size) & facing
    sigma = np.sqrt(1.0 + (2e3 * distance[good] / size) ** 2)
    tree_face, _, gap = closest_on_mesh(points, template.faces, samples.points)
    matched = (normals[template.faces[tree_face]].mean(1) * samples.normals).sum(1) > AGREEING
    matched &= gap < 2 * NEAR * size
    return Registration(
        side="left" if place.flip[0] < 0 else "right",
        vertices=place.to_user(points).astype(np.float32),
        covered=covered,
        source=place.surface.source[vertex[good]],
        face=face[good],
        barycentric=barycentric[good].astype(np.float32),
        sigma=sigma.astype(np.float32),
        scale=place.unit * size,
        residual=1e3 * float(np.median(gap[matched])) / size if matched.any() else float("inf"),
        fingers=np.array([covered[core == finger].mean() > PRESENT for finger in range(5)]),
    )


def covered_vertices(points: NDArray, normals: NDArray, samples: Samples, near: float) -> NDArray[np.bool_]:
    """Which of points [V,3] the surface passes within `near`, with an agreeing normal."""
    distance, index = cKDTree(samples.points).query(points, 6)
    gap = points[:, None] - samples.points[index]
    off = np.abs((gap * samples.normals[index]).sum(2))
    agree = (normals[:, None] * samples.normals[index]).sum(2) > AGREEING
    return ((off < near) & (distance < 1.5 * near) & agree).any(1)


def closest_on_mesh(
    vertices: NDArray, faces: NDArray, points: NDArray, candidates: int = 12
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Nearest triangle [K], barycentric coordinates [K,3] and distance [K] for points [K,3].

    Only the triangles with the nearest middles are looked at, which is exact where they are about alike.
    """
    corners = vertices[faces].astype(np.float64)
    near = cKDTree(corners.mean(1)).query(points, min(candidates, len(faces)))[1].reshape(len(points), -1)
    bary = _barycentric(corners[near], points[:, None])
    placed = (bary[..., None] * corners[near]).sum(2)
    distance = np.linalg.norm(placed - points[:, None], axis=2)
    best = distance.argmin(1)
    rows = np.arange(len(points))
    return near[rows, best], bary[rows, best], distance[rows, best]


def _barycentric(corners: NDArray, points: NDArray) -> NDArray[np.float64]:
    """Barycentric coordinates [...,3] of the points of triangles [...,3,3] nearest to points [...,3].

    The projection if it lies inside, else the nearest point of the three edges.
    """
    a, b, c = (corners[..., k, :] for k in range(3))
    ab, ac, ap = b - a, c - a, points - a
    d00, d01, d11 = (ab * ab).sum(-1), (ab * ac).sum(-1), (ac * ac).sum(-1)
    d20, d21 = (ap * ab).sum(-1), (ap * ac).sum(-1)
    area = np.maximum(d00 * d11 - d01**2, 1e-30)
    v, w = (d11 * d20 - d01 * d21) / area, (d00 * d21 - d01 * d20) / area
    inside = np.stack([1 - v - w, v, w], -1)
    options = []
    for start, end in ((0, 1), (1, 2), (2, 0)):
        edge = corners[..., end, :] - corners[..., start, :]
        t = ((points - corners[..., start, :]) * edge).sum(-1) / np.maximum((edge**2).sum(-1), 1e-30)
        t = np.clip(t, 0, 1)
        option = np.zeros_like(inside)
        option[..., start], option[..., end] = 1 - t, t
        options.append(option)
    edges = np.stack(options, -2)  # [...,3,3]
    distance = np.linalg.norm(edges @ corners - points[..., None, :], axis=-1)
    nearest = np.take_along_axis(edges, distance.argmin(-1)[..., None, None], -2)[..., 0, :]
    return np.where((inside >= 0).all(-1, keepdims=True), inside, nearest)


def _spread(samples: Samples, most: int) -> NDArray[np.int64]:
    """Up to `most` welded vertices, spread evenly: one for each cell of a grid just coarse enough."""
    vertex, first = np.unique(samples.vertex, return_index=True)
    points = samples.points[first]
    cell = 1e-4 * float(np.ptp(points, axis=0).max())
    while True:
        grid = np.floor((points - points.min(0)) / cell).astype(np.int64)
        _, chosen = np.unique(grid, axis=0, return_index=True)
        if len(chosen) <= most:
            return vertex[np.sort(chosen)]
        cell *= 1.2
