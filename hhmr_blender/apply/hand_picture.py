"""A small picture of a pose: its joints as a mannequin's hand, drawn with numpy alone."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np
from numpy.typing import NDArray

from ..rigs.tables import CHAINS, PALM

Array = NDArray[np.float64]

SIZE = 128
"""Pixels: the size of Blender's own previews."""
FINER = 2
"""Drawn so many times larger, then averaged: smooth edges."""
MARGIN = 0.06
GIVEN, MADE = (0.22, 0.46, 0.86), (0.95, 0.66, 0.42)
LIGHT = np.array([-0.45, 0.55, 0.70])
TURN = np.radians([-12.0, 28.0])
"""Of the view from the palm's side, about x and then y: straight on, bent fingers hide their own bend."""

# Of the palm's length, at each joint.
RADII = (0.15, 0.16, 0.115, 0.10, 0.075) + (0.12, 0.09, 0.082, 0.062) * 3 + (0.11, 0.078, 0.07, 0.055)
STEP = 0.03
HEEL = 0.45
"""How broad the palm is at the wrist, of how broad it is at the knuckles."""


def draw(joints: Array, side: str, given: Collection[int] = ()) -> NDArray[np.float32]:
    """Picture [SIZE, SIZE, 4] of joints [21, 3] (NaN: not there) as RGBA, from the lowest row on.

    What lies between two `given` joints is blue. Raises ValueError where there is no palm to see it from.
    """
    places = _seen(joints, side)
    centres, radii, colours = (np.array(column) for column in zip(*_spheres(places, given)))
    low, high = (centres - radii[:, None]).min(0)[:2], (centres + radii[:, None]).max(0)[:2]
    size = SIZE * FINER
    scale = size * (1 - 2 * MARGIN) / float((high - low).max())
    centres[:, :2] = size / 2 + (centres[:, :2] - (low + high) / 2) * scale
    centres[:, 2] *= scale
    fine = _shaded(centres, radii * scale, colours, size)
    alpha = fine[..., 3:]
    fine = np.concatenate([fine[..., :3] * alpha, alpha], axis=2)
    coarse = fine.reshape(SIZE, FINER, SIZE, FINER, 4).mean(axis=(1, 3))
    coarse[..., :3] /= np.maximum(coarse[..., 3:], 1e-6)
    return coarse.astype(np.float32)


def _seen(joints: Array, side: str) -> Array:
    """Joints [21, 3] in the view: x to the right, y up, z to the eye, the palm of length 1."""
    up = joints[9] - joints[0] if np.isfinite(joints[9]).all() else joints[5] - joints[0]
    roots = [joint for joint in PALM[2:] if np.isfinite(joints[joint]).all()]
    if not np.isfinite(up).all() or len(roots) < 2:
        raise ValueError("A hand needs the wrist and two finger roots to be drawn.")
    length = np.linalg.norm(up)
    up = up / length
    across = joints[roots[0]] - joints[roots[-1]]  # towards the thumb
    across = across - up * (across @ up)
    across *= (1 if side == "right" else -1) / np.linalg.norm(across)
    view = np.stack([across, up, np.cross(across, up)])
    (ca, cb), (sa, sb) = np.cos(TURN), np.sin(TURN)
    view = np.array([[1, 0, 0], [0, ca, -sa], [0, sa, ca]]) @ view
    view = np.array([[cb, 0, sb], [0, 1, 0], [-sb, 0, cb]]) @ view
    return (joints - joints[0]) / length @ view.T


def _spheres(places: Array, given: Collection[int]) -> Iterator[tuple[Array, float, tuple[float, ...]]]:
    """Centre, radius and colour of the spheres that the hand is made of."""
    known = np.isfinite(places).all(axis=1)
    roots = [chain[0] for chain in CHAINS if known[chain[0]]]
    bones = [(0, root) for root in roots] + list(zip(roots[:-1], roots[1:]))
    for chain in CHAINS:
        there = [joint for joint in chain if known[joint]]
        bones += list(zip(there[:-1], there[1:]))
    for a, b in bones:
        colour = GIVEN if {a, b} <= set(given) else MADE
        begin = places[a] if a or b == 1 else places[b] * [HEEL, 0.06, HEEL]
        for t in np.linspace(0, 1, 2 + int(np.linalg.norm(places[b] - begin) / STEP)):
            yield begin * (1 - t) + places[b] * t, RADII[a] * (1 - t) + RADII[b] * t, colour


def _shaded(centres: Array, radii: Array, colours: Array, size: int) -> Array:
    """Image [size, size, 4] of spheres seen straight on, in pixels; the nearest one is seen."""
    depth = np.full((size, size), -np.inf)
    image = np.zeros((size, size, 4))
    light = LIGHT / np.linalg.norm(LIGHT)
    for (x, y, z), radius, colour in zip(centres, radii, colours):
        left, right = max(0, int(x - radius)), min(size, int(x + radius) + 2)
        bottom, top = max(0, int(y - radius)), min(size, int(y + radius) + 2)
        nx = (np.arange(left, right) + 0.5 - x)[None, :] / radius
        ny = (np.arange(bottom, top) + 0.5 - y)[:, None] / radius
        rest = 1 - nx**2 - ny**2
        nz = np.sqrt(np.maximum(rest, 0))
        window = (slice(bottom, top), slice(left, right))
        nearer = (rest > 0) & (z + radius * nz > depth[window])
        lit = 0.32 + 0.68 * np.clip(nx * light[0] + ny * light[1] + nz * light[2], 0, 1)
        lit = lit * (0.55 + 0.45 * nz)  # darker towards the outline, so that fingers stand apart
        depth[window] = np.where(nearer, z + radius * nz, depth[window])
        painted = np.concatenate([lit[..., None] * colour, np.ones((*lit.shape, 1))], axis=2)
        image[window] = np.where(nearer[..., None], painted, image[window])
    return image
