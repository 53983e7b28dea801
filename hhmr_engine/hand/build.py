"""Builds a HandTemplate from any skinned hand mesh with joints."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from . import dof
from .frame import palm_frame
from .hierarchy import build_hierarchy, farthest_points
from .skeleton import JOINT_BONE, TIP_JOINTS
from .skinning import skin
from .template import HandTemplate

NODES = 208
BASIS = 128
DECODER_NEIGHBOURS = 20
REGRESSOR_NEIGHBOURS = 80


@dataclass(frozen=True)
class SkinnedHand:
    """A right hand in rest pose, anywhere and any way round, in metres; the input of `build_template`.

    `heads` and `weights` follow skeleton.BONE_NAMES. A bone the mesh lacks (metacarpals) has a head on the
    way from the wrist to the next one, and is named in `fixed`: it never turns by itself. Its weight may be
    zero, or a part of the palm, which then can be stretched along it. Shapes are further rest states of the
    same mesh, each with its heads and tips; or `modes`, how all three change per standard deviation of beta.
    `corrections` are added to the rest vertices per unit of every bone's local rotation minus the identity.
    """

    name: str
    vertices: np.ndarray  # [V,3]
    quads: np.ndarray  # [Q,4]; a triangle repeats its last corner
    weights: np.ndarray  # [V,20]
    heads: np.ndarray  # [20,3]
    tips: np.ndarray  # [5,3]
    shapes: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None  # [M,V,3], [M,20,3], [M,5,3]
    modes: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None  # [10,V,3], [10,20,3], [10,5,3]
    corrections: np.ndarray | None = None  # [180,V,3]
    fixed: tuple[int, ...] = ()


def build_template(hand: SkinnedHand, seed: int = 0) -> HandTemplate:
    """Derive all that a HandTemplate holds, with a provisional basis of widely spread poses (see fit_basis).

    Raises ValueError when the mesh cannot be a hand (wrong shapes, weights that do not sum to 1).
    """
    _check(hand)
    rng = np.random.default_rng(seed)
    vertices, heads, tips, shape = _rest(hand)
    turns = np.array([[dof.bone not in hand.fixed] for dof in dof.DOFS], np.float32)
    faces = triangles(hand.quads)
    nodes, _ = farthest_points(vertices, faces, min(NODES, len(vertices)))
    v, n = len(vertices), len(nodes)
    template = HandTemplate(
        name=hand.name,
        vertices=vertices,
        quads=hand.quads.astype(np.int32),
        faces=faces,
        weights=(hand.weights / hand.weights.sum(1, keepdims=True)).astype(np.float32),
        heads=heads,
        tips=tips,
        shape_vertices=shape[0],
        shape_heads=shape[1],
        shape_tips=shape[2],
        axes=dof.derive_axes(heads, tips) * turns,
        regressor=np.zeros((21, v), np.float32),
        nodes=nodes.astype(np.int32),
        decoder=np.zeros((v, n), np.float32),
        basis_mean=vertices,
        basis=np.zeros((BASIS, v, 3), np.float32),
        basis_variance=np.ones(BASIS, np.float32),
        corrections=_upright_corrections(hand),
    )
    wide = rng.uniform(dof.LIMITS[:, 0], dof.LIMITS[:, 1], (2000, 24)) * rng.uniform(0, 1, (2000, 1))
    beta, lengths = random_shapes(rng, len(wide))
    posed, joints = skin(template, dof.rotations(template, wide.astype(np.float32)), beta, lengths)
    template = _fit_linear_maps(template, posed, joints)
    tensors, mesh = template.torch(), torch.from_numpy(posed)
    return fit_basis(template, palm_frame(tensors, tensors.regressor @ mesh).to_palm(mesh).numpy())


def fit_basis(template: HandTemplate, cloud: np.ndarray) -> HandTemplate:
    """The posed-shape basis: principal components of `cloud` [M,V,3], posed hands in the palm frame.

    Orthonormal on the nodes, since it is there that the diffusion's noise is white; extended to all vertices
    by least squares (engine.md, guidance).
    """
    mean = cloud.mean(0)
    centred = (cloud - mean).reshape(len(cloud), -1)
    on_nodes = (cloud - mean)[:, template.nodes].reshape(len(cloud), -1)
    rank = min(BASIS, on_nodes.shape[1])
    values, vectors = np.linalg.eigh(on_nodes.T.astype(np.float64) @ on_nodes / len(cloud))
    vectors, variance = vectors[:, ::-1][:, :rank], values[::-1][:rank]
    coefficients = on_nodes @ vectors
    basis = (coefficients.T @ centred / len(cloud)) / variance[:, None]
    return replace(
        template,
        basis_mean=mean.astype(np.float32),
        basis=basis.reshape(rank, -1, 3).astype(np.float32),
        basis_variance=variance.astype(np.float32),
    )


def at_resolution(template: HandTemplate, sizes: tuple[int, ...]) -> HandTemplate:
    """`template` (arrays) with the nodes that a network of these levels works on: its own, or every vertex.

    With every vertex a node, the decoder only puts them in order, and the basis is orthonormal on them all.
    Raises ValueError for another number.
    """
    count = len(template.vertices)
    if sizes[0] == len(template.nodes):
        return template
    if sizes[0] != count:
        own = len(template.nodes)
        raise ValueError(f"a network works on {own} or on all {count} vertices of this hand, not {sizes[0]}.")
    nodes = build_hierarchy(template.vertices, template.faces, sizes).nodes
    rank = len(template.basis)
    spread = template.basis.reshape(rank, -1) * np.sqrt(template.basis_variance)[:, None]
    _, deviation, basis = np.linalg.svd(spread.astype(np.float64), full_matrices=False)
    return replace(
        template,
        nodes=nodes,
        decoder=np.eye(count, dtype=np.float32)[:, nodes],
        basis=basis.reshape(rank, -1, 3).astype(np.float32),
        basis_variance=(deviation**2).astype(np.float32),
    )


def triangles(quads: np.ndarray) -> np.ndarray:
    """[F,3] triangles of quads [Q,4]; a quad that repeats its last corner is one triangle."""
    first, second = quads[:, [0, 1, 2]], quads[:, [2, 3, 0]]
    both = np.stack([first, second], 1).reshape(-1, 3)
    keep = np.stack([np.ones(len(quads), bool), quads[:, 2] != quads[:, 3]], 1).reshape(-1)
    return both[keep].astype(np.int32)


def random_shapes(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """beta [N,10] and bone lengths [N,20] as training hands vary: 12 % beyond beta (design: registration).

    Part of a length is common to a hand's fingers, part to the finger, part the bone's own.
    """
    beta = rng.normal(0, 1, (count, 10))
    finger = np.repeat(rng.normal(0, 0.06, (count, 5)), [3, 4, 4, 4, 4], 1)
    bone = rng.normal(0, 0.08, (count, 19)) + finger + rng.normal(0, 0.05, (count, 1))
    lengths = np.concatenate([np.ones((count, 1)), np.exp(bone.clip(-0.3, 0.3))], 1)
    palm = [1, 4, 8, 12, 16]
    lengths[:, palm] = 1 + 0.4 * (lengths[:, palm] - 1)
    return beta.astype(np.float32), lengths.astype(np.float32)


def _fit_linear_maps(template: HandTemplate, posed: np.ndarray, joints: np.ndarray) -> HandTemplate:
    """The joint regressor and the decoder: ridge regressions on few near supports, rows sum to 1."""
    order = [20 + TIP_JOINTS.index(j) if j in TIP_JOINTS else JOINT_BONE[j] for j in range(21)]
    rest_joints = np.concatenate([template.heads, template.tips])[order]
    rows = posed.transpose(0, 2, 1).reshape(-1, posed.shape[1])  # [3M,V]
    targets = joints.transpose(0, 2, 1).reshape(-1, 21)
    distance = np.linalg.norm(template.vertices[None] - rest_joints[:, None], axis=2)
    near = np.argsort(distance, 1)[:, :REGRESSOR_NEIGHBOURS]
    regressor = _sparse_rows(rows, targets, near, ridge=2e-4)
    skin_gap = np.abs(template.weights[:, None] - template.weights[template.nodes][None]).sum(2)
    apart = np.linalg.norm(template.vertices[:, None] - template.vertices[template.nodes][None], axis=2)
    near = np.argsort(apart + 0.02 * skin_gap, 1)[:, :DECODER_NEIGHBOURS]
    decoder = _sparse_rows(rows[:, template.nodes], rows, near, ridge=1e-5)
    decoder[template.nodes] = np.eye(len(template.nodes))
    return replace(template, regressor=regressor.astype(np.float32), decoder=decoder.astype(np.float32))


def _sparse_rows(inputs: np.ndarray, targets: np.ndarray, support: np.ndarray, ridge: float) -> np.ndarray:
    """Row i of the result takes `inputs` to targets[:, i], using only the columns support[i], with sum 1."""
    gram = (inputs.T @ inputs).astype(np.float64)
    cross = (inputs.T @ targets).astype(np.float64)
    result = np.zeros((targets.shape[1], inputs.shape[1]))
    for i, columns in enumerate(support):
        block = gram[np.ix_(columns, columns)]
        scale = np.trace(block) / len(columns)
        block = block + ridge * scale * np.eye(len(columns)) / len(columns) + 1e3 * scale
        right = cross[columns, i] + ridge * scale / len(columns) ** 2 + 1e3 * scale
        result[i, columns] = np.linalg.solve(block, right)
    return result / result.sum(1, keepdims=True)


def _rest(hand: SkinnedHand) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[np.ndarray, ...]]:
    """Rest state in the template's frame (wrist at 0, fingers +Y, palm -Z), and 10 shape components."""
    turn = _upright(hand.heads)
    states = hand.shapes or (hand.vertices[None], hand.heads[None], hand.tips[None])
    wrist = states[1][:, :1]
    states = tuple((s - wrist) @ turn.T for s in states)
    flat = np.concatenate(states, 1).reshape(len(wrist), -1)
    mean, split = flat.mean(0), [hand.vertices.size, hand.vertices.size + 60]
    modes = np.zeros((10, flat.shape[1]))
    if hand.modes is not None:
        flat_modes = np.concatenate([(m - hand.modes[1][:, :1]) @ turn.T for m in hand.modes], 1)
        modes[:] = flat_modes.reshape(10, -1)
    elif len(flat) > 1:
        _, singular, vt = np.linalg.svd(flat - mean, full_matrices=False)
        count = min(10, len(singular))
        modes[:count] = vt[:count] * singular[:count, None] / np.sqrt(len(flat) - 1)
    parts = [np.split(row, split) for row in (mean, *modes)]
    v, h, t = (np.stack([p[i].reshape(-1, 3) for p in parts]).astype(np.float32) for i in range(3))
    return v[0], h[0], t[0], (v[1:], h[1:], t[1:])


def _upright(heads: np.ndarray) -> np.ndarray:
    """The rotation [3,3] into the template's frame, by the wrist and the knuckles."""
    y = heads[9] - heads[0]
    x = heads[17] - heads[5]
    y = y / np.linalg.norm(y)
    x = x - y * (x @ y)
    x = x / np.linalg.norm(x)
    return np.stack([x, y, np.cross(x, y)])


def _upright_corrections(hand: SkinnedHand) -> np.ndarray | None:
    """The corrections per unit of rotations in the template's frame, there."""
    if hand.corrections is None:
        return None
    turn = _upright(hand.heads)
    by_bone = hand.corrections.reshape(20, 3, 3, -1, 3)
    turned = np.einsum("ca,db,kl,jabvl->jcdvk", turn, turn, turn, by_bone, optimize=True)
    return turned.reshape(180, -1, 3).astype(np.float32)


def _check(hand: SkinnedHand) -> None:
    v = len(hand.vertices)
    if hand.weights.shape != (v, 20) or hand.heads.shape != (20, 3) or hand.tips.shape != (5, 3):
        raise ValueError("a skinned hand needs weights [V,20], heads [20,3] and tips [5,3].")
    if not np.allclose(hand.weights.sum(1), 1, atol=0.05):
        raise ValueError("the skinning weights of every vertex must sum to 1.")
    if not all(np.isfinite(a).all() for a in (hand.vertices, hand.weights, hand.heads, hand.tips)):
        raise ValueError("the skinned hand has coordinates or weights that are not numbers.")
    palm = np.linalg.norm(hand.heads[9] - hand.heads[0])
    if not 0.03 < palm < 0.3:
        raise ValueError(f"the palm is {palm:g} long; give the skinned hand in metres.")
