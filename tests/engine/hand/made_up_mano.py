"""A file in MANO's format of a hand that is not MANO: ours, coarser, with invented corrections and poses.

778 vertices and 1538 triangles, 16 joints, the same names, shapes and types as the official file. The sizes
come out because our mesh is a disk, as theirs is.
"""

from __future__ import annotations

import heapq
from pathlib import Path
from typing import Any

import numpy as np

from hhmr_engine.hand.dof import DOFS
from hhmr_engine.hand.mano import JOINT_OF_BONE, METACARPALS, PARENTS, TIPS
from hhmr_engine.hand.rotation import rotation_matrix
from hhmr_engine.hand.template import HandTemplate, load_template
from tests.engine.hand import python2_pickle

VERTICES, FACES, RIM = 778, 1538, 16
ROOT = 2**32 - 1  # the parent of MANO's wrist
# MANO has its fingers along X and its wrist some centimetres off the origin.
TURN = rotation_matrix(np.array([0.3, 0.2, 1.4]))
SHIFT = np.array([0.096, 0.006, 0.006])


def made_up_mano(seed: int = 0, mirrored: bool = False) -> dict[str, np.ndarray]:
    """The arrays of the file, dense; `mirrored` makes a left hand."""
    template = load_template()
    rng = np.random.default_rng(seed)
    kept, faces = _coarse(template)
    turn = TURN @ np.diag([-1.0, 1.0, 1.0]) if mirrored else TURN
    faces = faces[:, ::-1] if mirrored else faces
    vertices = template.vertices[kept].astype(np.float64)
    heads = template.heads[[JOINT_OF_BONE.index(j) for j in range(16)]].astype(np.float64)
    weights = np.zeros((VERTICES, 16))
    for bone, joint in enumerate(JOINT_OF_BONE):
        weights[:, joint] += template.weights[kept, bone]
    mean, components = _poses(template, rng, turn)
    table = np.array([[ROOT, *PARENTS[1:]], range(16)], np.uint32)
    return {
        "v_template": vertices @ turn.T + SHIFT,
        "f": faces.astype(np.uint32),
        "shapedirs": (template.shape_vertices[:, kept].astype(np.float64) @ turn.T).transpose(1, 2, 0),
        "posedirs": _corrections(vertices, heads, rng),
        "J_regressor": _regressor(vertices, heads),
        "J": heads @ turn.T + SHIFT,
        "weights": weights / weights.sum(1, keepdims=True),
        "kintree_table": table,
        "hands_components": components,
        "hands_coeffs": rng.normal(0, 1, (20, 45)),
        "hands_mean": mean,
    }


def write_mano(path: Path, arrays: dict[str, np.ndarray], protocol: int = 2) -> None:
    """As the official file has it: chumpy terms, a sparse regressor, strings of Python 2."""
    shapes = arrays["shapedirs"]
    wide = np.concatenate([shapes, np.zeros_like(shapes[..., :2])], -1)
    ten = np.arange(wide.size).reshape(wide.shape)[..., :10]
    content: dict[str, Any] = dict(arrays)
    content |= {
        "shapedirs": python2_pickle.selected(wide, ten.ravel(), shapes.shape),
        "posedirs": python2_pickle.chumpy(arrays["posedirs"]),
        "weights": np.asfortranarray(arrays["weights"]),
        "J_regressor": python2_pickle.csc(arrays["J_regressor"]),
        "bs_style": "lbs",
        "bs_type": "lrotmin",
    }
    path.write_bytes(python2_pickle.dumps(content, protocol))


def _coarse(template: HandTemplate) -> tuple[np.ndarray, np.ndarray]:
    """Which vertices stay [778], those of MANO's tips at their places, and the triangles [1538,3]."""
    tips = np.linalg.norm(template.vertices[None] - template.tips[:, None], axis=2).argmin(1).tolist()
    faces = _collapsed(template.vertices.astype(np.float64), template.faces, set(tips))
    left = np.setdiff1d(np.unique(faces), tips)
    kept = np.zeros(VERTICES, int)
    kept[list(TIPS)] = tips
    kept[np.setdiff1d(np.arange(VERTICES), TIPS)] = left
    number = {int(v): i for i, v in enumerate(kept)}
    return kept, np.array([[number[int(v)] for v in face] for face in faces])


def _collapsed(vertices: np.ndarray, faces: np.ndarray, protected: set[int]) -> np.ndarray:
    """Short edges vanish into one of their ends, until the mesh and its rim have MANO's sizes."""
    around: dict[int, set[int]] = {v: set() for v in range(len(vertices))}
    corners = {i: tuple(map(int, face)) for i, face in enumerate(faces)}
    for i, face in corners.items():
        for v in face:
            around[v].add(i)

    def ring(v: int) -> set[int]:
        return {w for i in around[v] for w in corners[i]} - {v}

    pairs, count = np.unique(
        np.sort(faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), 1), axis=0, return_counts=True
    )
    rim = set(pairs[count == 1].ravel().tolist())

    def collapse(gone: int, stays: int) -> bool:
        shared = around[gone] & around[stays]
        if len(ring(gone) & ring(stays)) != len(shared):
            return False
        for i in around[gone] - shared:
            before = vertices[list(corners[i])]
            after = vertices[[stays if v == gone else v for v in corners[i]]]
            one, two = (np.cross(t[1] - t[0], t[2] - t[0]) for t in (before, after))
            if one @ two < 0.3 * np.linalg.norm(one) * np.linalg.norm(two):
                return False
        for i in shared:
            for v in corners.pop(i):
                around[v].discard(i)
        for i in around.pop(gone):
            corners[i] = tuple(stays if v == gone else v for v in corners[i])
            around[stays].add(i)
        return True

    queue = [(float(np.linalg.norm(vertices[a] - vertices[b])), int(a), int(b)) for a, b in pairs]
    heapq.heapify(queue)
    while len(around) > VERTICES:
        length, a, b = heapq.heappop(queue)
        if a not in around or b not in around or not around[a] & around[b]:
            continue
        on_rim = a in rim and b in rim
        if on_rim and (len(around[a] & around[b]) != 1 or len(rim) == RIM):
            continue
        # The rim shrinks first, and what lies inside never draws it in.
        if (len(rim) > RIM) != on_rim and len(rim) > RIM:
            heapq.heappush(queue, (length + 1, a, b))
            continue
        gone, stays = (b, a) if b not in protected and (on_rim or b not in rim) else (a, b)
        if gone in protected or (gone in rim and not on_rim) or not collapse(gone, stays):
            continue
        rim.discard(gone)
        for w in ring(stays):
            heapq.heappush(queue, (float(np.linalg.norm(vertices[stays] - vertices[w])), stays, w))
    return np.array([corners[i] for i in sorted(corners)])


def _regressor(vertices: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """[16,778] each joint out of its 30 nearest vertices, rows sum to 1."""
    regressor = np.zeros((len(joints), len(vertices)))
    for row, joint in zip(regressor, joints, strict=True):
        near = np.argsort(np.linalg.norm(vertices - joint, axis=1))[:30]
        system = np.vstack([vertices[near].T - joint[:, None], np.ones(len(near))])
        row[near] = np.linalg.pinv(system) @ [0, 0, 0, 1]
    return regressor


def _corrections(vertices: np.ndarray, heads: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """[778,3,135] skin near a joint swells by some millimetres when it turns."""
    near = np.exp(-0.5 * (np.linalg.norm(vertices[:, None] - heads[None, 1:], axis=2) / 0.012) ** 2)
    push = rng.normal(0, 0.002, (15, 9, 3))
    return np.einsum("vj,jec->vcje", near, push).reshape(VERTICES, 3, 135)


def _poses(
    template: HandTemplate, rng: np.random.Generator, turn: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """A mean pose [45] that closes the hand a little, and 45 orthonormal components."""
    pose = np.zeros((16, 3))
    mirror = np.linalg.det(turn)
    for dof, axis in zip(DOFS, template.axes, strict=True):
        if dof.kind == "flex" and dof.bone not in METACARPALS:
            pose[JOINT_OF_BONE[dof.bone]] = 0.3 * mirror * (turn @ axis)
    mean = pose[1:].ravel()
    start = np.concatenate([mean[:, None], rng.normal(0, 1, (45, 44))], 1)
    return mean, np.linalg.qr(start)[0].T.copy()
