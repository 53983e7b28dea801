"""Hands that are not ours, posed by recordings: what registration is tested with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..hand.dof import derive_axes, rotations
from ..hand.hierarchy import mesh_edges
from ..hand.rotation import rotation_matrix
from ..hand.skeleton import FINGER_BONES, FINGERS
from ..hand.skinning import skin
from ..hand.template import HandTemplate
from ..raster import rasterise
from .gltf import read_skinned

FILES = {"godot": "godot_xr_hand/hand_r.gltf", "webxr": "webxr_generic_hand/right.glb"}
BONES_OF = {
    "webxr": ("metacarpal", "phalanx-proximal", "phalanx-intermediate", "phalanx-distal", "tip"),
    "godot": ("Metacarpal", "Proximal", "Intermediate", "Distal", "Tip"),
}


@dataclass(frozen=True)
class ForeignHand:
    """A right hand with its own mesh and skeleton, standing as our template stands.

    skinned: the template with this hand's vertices, weights, heads, tips and axes, for skin() and
    rotations(); nothing else of it is this hand's. triangles [F,3].
    """

    name: str
    skinned: HandTemplate
    triangles: np.ndarray

    def posed(self, angles: np.ndarray, offsets: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Vertices [V,3] and joints [21,3] of angles [24], metres."""
        vertices, joints = skin(self.skinned, rotations(self.skinned, angles[None], offsets))
        return vertices[0].astype(np.float64), joints[0].astype(np.float64)

    def finger(self) -> np.ndarray:
        """Which finger each vertex is of [V]: 0 to 4, -1 for the palm (a thumb's metacarpal is palm)."""
        share = [self.skinned.weights[:, list(bones[1:])].sum(1) for bones in FINGER_BONES.values()]
        best = np.argmax(share, 0)
        return np.where(np.max(share, 0) > 0.5, best, -1)


def load_foreign_hand(template: HandTemplate, root: Path, name: str) -> ForeignHand:
    """`name`: a key of FILES; root: the folder that holds hands/."""
    mesh = read_skinned(root / "hands" / FILES[name])
    rows = {joint.lower(): row for row, joint in enumerate(mesh.joints)}
    wrist, bones, tips = _rows(rows, name)
    vertices, first, weld = np.unique(mesh.vertices, axis=0, return_index=True, return_inverse=True)
    triangles = weld.reshape(-1)[mesh.triangles]
    weights = mesh.weights[first][:, [wrist, *bones]]
    weights[:, [3, 7, 11, 15, 19]] += mesh.weights[first][:, tips]
    heads, ends = mesh.places[[wrist, *bones]], mesh.places[tips]
    vertices, heads, ends = _upright(vertices, heads, ends)
    skinned = replace(
        template,
        name=name,
        vertices=vertices.astype(np.float32),
        weights=(weights / weights.sum(1, keepdims=True)).astype(np.float32),
        heads=heads.astype(np.float32),
        tips=ends.astype(np.float32),
        axes=derive_axes(heads, ends),
    )
    return ForeignHand(name, skinned, triangles)


def _rows(rows: dict[str, int], name: str) -> tuple[int, list[int], list[int]]:
    """Rows of the wrist, of our 19 other bones and of the five tips."""
    bones, tips = [], []
    for finger in FINGERS:
        parts = [part for part in BONES_OF[name] if finger != "thumb" or "ntermediate" not in part]
        if name == "webxr":
            names = [f"{finger}-{part}" if finger == "thumb" else f"{finger}-finger-{part}" for part in parts]
        else:
            names = [f"{'little' if finger == 'pinky' else finger}_{part}_r" for part in parts]
        found = [rows[joint.lower()] for joint in names]
        bones += found[:-1]
        tips.append(found[-1])
    return rows["wrist" if name == "webxr" else "wrist_r"], bones, tips


def _upright(*states: np.ndarray) -> tuple[np.ndarray, ...]:
    """Vertices, heads and tips with the wrist at 0, the middle finger's palm along +Y and the palm to -Z."""
    heads = states[1]
    y = heads[9] - heads[0]
    x = heads[17] - heads[5]
    y = y / np.linalg.norm(y)
    x = x - y * (x @ y)
    x = x / np.linalg.norm(x)
    turn = np.stack([x, y, np.cross(x, y)])
    return tuple((state - heads[0]) @ turn.T for state in states)


@dataclass(frozen=True)
class Case:
    """A part of a foreign hand somewhere in space, and the truth about it."""

    vertices: np.ndarray  # [M,3]
    triangles: np.ndarray  # [F,3]
    joints: np.ndarray  # [21,3] in the same space
    finger: np.ndarray  # [M] finger of each vertex, -1: palm
    kept: np.ndarray  # [5] bool
    side: str
    scale: float  # units per metre


def make_case(hand: ForeignHand, angles: np.ndarray, rng: np.random.Generator, cut: int, side: str) -> Case:
    """A posed hand with `cut` random fingers cut away, turned at random, scaled 0.1 to 100."""
    vertices, joints = hand.posed(angles)
    finger = hand.finger()
    gone = rng.permutation(5)[:cut]
    keep = ~np.isin(finger, gone)
    triangles = hand.triangles[keep[hand.triangles].all(1)]
    if side == "left":
        vertices, joints = vertices * [-1, 1, 1], joints * [-1, 1, 1]
        triangles = triangles[:, ::-1]
    turn = rotation_matrix(_random_rotation(rng))
    scale, shift = 10 ** rng.uniform(-1, 2), rng.normal(0, 1, 3)
    used, renumbered = np.unique(triangles, return_inverse=True)
    place = [scale * (points @ turn.T + shift) for points in (vertices[used], joints)]
    kept = ~np.isin(np.arange(5), gone)
    return Case(place[0], renumbered.reshape(-1, 3), place[1], finger[used], kept, side, scale)


def refined(case: Case, least: int) -> Case:
    """The same surface with at least `least` vertices: every triangle in four, again and again."""
    while len(case.vertices) < least:
        edges = mesh_edges(case.triangles)
        count = len(case.vertices)
        number = {tuple(edge): count + i for i, edge in enumerate(edges.tolist())}
        a, b, c = case.triangles.T
        ab, bc, ca = (
            np.array([number[tuple(pair)] for pair in np.sort(np.stack(ends, 1), 1).tolist()])
            for ends in ((a, b), (b, c), (c, a))
        )
        parts = ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))
        case = replace(
            case,
            vertices=np.concatenate([case.vertices, case.vertices[edges].mean(1)]),
            triangles=np.concatenate([np.stack(part, 1) for part in parts]),
            finger=np.concatenate([case.finger, case.finger[edges[:, 0]]]),
        )
    return case


def one_sided(case: Case, rng: np.random.Generator) -> Case:
    """What a camera sees from the back or the palm's side, give or take 30 degrees."""
    size = 400
    up = case.joints[9] - case.joints[0]
    out = np.cross(case.joints[5] - case.joints[17], up) * rng.choice([-1, 1])
    axes = np.stack([np.cross(up, out), up, out], 1)
    axes /= np.linalg.norm(axes, axis=0)
    view = (case.vertices - case.vertices.mean(0)) @ axes @ rotation_matrix(rng.normal(0, 0.3, 3))
    scale = 0.9 * size / np.ptp(view[:, :2], axis=0).max()
    pixels = np.stack([view[:, 0], -view[:, 1], -view[:, 2]], 1) * scale + size / 2
    seen = np.unique(rasterise(pixels, case.triangles, size, size).face)
    return _only(case, case.triangles[seen])


def rough(case: Case, sigma: float, rng: np.random.Generator) -> Case:
    """Every vertex moved at random by sigma metres at the hand's own size, in each direction."""
    noise = rng.normal(0, sigma * case.scale, case.vertices.shape)
    return replace(case, vertices=case.vertices + noise)


def _only(case: Case, triangles: np.ndarray) -> Case:
    used, renumbered = np.unique(triangles, return_inverse=True)
    return replace(
        case,
        vertices=case.vertices[used],
        triangles=renumbered.reshape(-1, 3),
        finger=case.finger[used],
    )


def _random_rotation(rng: np.random.Generator) -> np.ndarray:
    """A rotation vector, uniform over rotations."""
    w, *axis = (q := rng.normal(size=4)) / np.linalg.norm(q)
    angle = 2 * np.arccos(np.clip(w, -1, 1))
    return np.array(axis) / max(np.linalg.norm(axis), 1e-12) * angle
