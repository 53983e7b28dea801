"""What armatures do to the vertices of a mesh: one affine transform for each, and its inverse.

As Blender's armature modifier has it: linear blends, or dual quaternions where it preserves volume (Kavan et
al., "Geometric Skinning with Approximate Dual Quaternion Blending", 2008). Bone envelopes and the segments of
bendy bones, which no finger has, are not followed.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain

import bmesh
import bpy
import numpy as np
from mathutils import Matrix
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Array = NDArray[np.float64]

LEAST = 1e-4
"""Blender takes a smaller sum of weights for none."""
FLAT = 1e-3
"""A blend that shrinks volumes below this cannot be undone everywhere: it is undone as far as it goes."""
PAIR = np.dtype([("group", np.int32), ("weight", np.float32)])


@dataclass(frozen=True)
class Weights:
    """The vertex groups of a mesh, one entry for each vertex and group; vertices ascend."""

    vertex: Ints
    group: Ints
    weight: Floats

    def of(self, groups: list[int], count: int) -> Floats:
        """Sum [count] of every vertex's weights in some groups."""
        picked = np.isin(self.group, groups)
        return np.bincount(self.vertex[picked], self.weight[picked], count).astype(np.float32)


@dataclass(frozen=True)
class Deformer:
    """An armature modifier, or an armature that deforms its children as one would."""

    armature: bpy.types.Object
    preserve_volume: bool = False
    mask: str = ""
    invert: bool = False
    multi: bool = False


def weights(ob: bpy.types.Object) -> Weights:
    """All weights of a mesh, in Edit Mode too."""
    mesh = ob.data
    assert isinstance(mesh, bpy.types.Mesh)
    editing = ob.mode == "EDIT"
    built = bmesh.from_edit_mesh(mesh) if editing else bmesh.new()
    if not editing:
        built.from_mesh(mesh, face_normals=False, vertex_normals=False)
    layer = built.verts.layers.deform.active
    counts, pairs = np.zeros(len(built.verts), np.int32), np.empty(0, PAIR)
    if layer is not None:
        counts = np.fromiter((len(vertex[layer]) for vertex in built.verts), np.int32, len(counts))
        pairs = np.fromiter(chain.from_iterable(vertex[layer].items() for vertex in built.verts), PAIR)
    if not editing:
        built.free()
    vertex = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    return Weights(vertex, pairs["group"].copy(), pairs["weight"].copy())


def deformers(ob: bpy.types.Object) -> list[Deformer]:
    """Armatures that deform an object by its vertex groups, in their order."""
    found = []
    parent = ob.parent
    if parent is not None and parent.type == "ARMATURE" and ob.parent_type == "ARMATURE":
        found.append(Deformer(parent))
    for modifier in ob.modifiers:
        if not isinstance(modifier, bpy.types.ArmatureModifier):
            continue
        if modifier.object is None or not modifier.show_viewport or not modifier.use_vertex_groups:
            continue
        found.append(
            Deformer(
                modifier.object,
                modifier.use_deform_preserve_volume,
                modifier.vertex_group if modifier.vertex_group in ob.vertex_groups else "",
                modifier.invert_vertex_group,
                modifier.use_multi_modifier,
            )
        )
    return [one for one in found if one.armature.pose is not None]


def transforms(ob: bpy.types.Object, points: Floats, known: Weights) -> Floats:
    """What the object's armatures do to its vertices [n, 3], all in its own space: affine [n, 3, 4].

    Exact at `points`; elsewhere, too, but where volume is preserved between bones that are scaled.
    """
    total = np.tile(np.eye(3, 4, dtype=np.float32), (len(points), 1, 1))
    before = None
    for deformer in deformers(ob):
        start = total
        base = before if deformer.multi and before is not None else start
        if base is start:
            before = start
        total = _compose(_blend(ob, deformer, move(base, points), known), base)
        if deformer.mask:
            share = known.of([ob.vertex_groups[deformer.mask].index], len(points))
            share = (1 - share if deformer.invert else share)[:, None, None]
            total = share * total + (1 - share) * start
    return total


def move(affine: Floats, points: Floats) -> Floats:
    """Points [..., n, 3] moved by one affine transform each, [n, 3, 4]."""
    return np.einsum("nij,...nj->...ni", affine[:, :, :3], points) + affine[:, :, 3]


def inverses(linear: Floats) -> Floats:
    """Inverses of matrices [n, 3, 3]; damped where a blend of bones has crushed all volume.

    Inverted by cofactors, since numpy's solver takes a loop of 20,000 small calls for it.
    """
    a, b, c = (linear[:, :, i].astype(float) for i in range(3))
    rows = np.stack([np.cross(b, c), np.cross(c, a), np.cross(a, b)], axis=1)
    volume = np.einsum("ni,ni->n", a, rows[:, 0])
    size = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1) * np.linalg.norm(c, axis=1)
    flat = ~(np.abs(volume) > FLAT * size)
    found = rows / np.where(flat, 1.0, volume)[:, None, None]
    if flat.any():
        crushed = linear[flat].astype(float)
        damping = FLAT * np.maximum(size[flat], np.finfo(float).tiny) ** (2 / 3)
        square = np.swapaxes(crushed, 1, 2) @ crushed + damping[:, None, None] * np.eye(3)
        found[flat] = np.linalg.solve(square, np.swapaxes(crushed, 1, 2))
    return found.astype(np.float32)


def _compose(second: Floats, first: Floats) -> Floats:
    linear = second[:, :, :3] @ first
    linear[:, :, 3] += second[:, :, 3]
    return linear


def _blend(ob: bpy.types.Object, deformer: Deformer, points: Floats, known: Weights) -> Floats:
    """Blended bone transforms [n, 3, 4] at every vertex, in the object's space."""
    armature, n = deformer.armature, len(points)
    bones = [_bone(armature, group.name) for group in ob.vertex_groups]
    deforming = np.array([bone is not None for bone in bones] or [False])
    picked = deforming[np.minimum(known.group, len(deforming) - 1)] & (known.group < len(deforming))
    vertex, group, weight = known.vertex[picked], known.group[picked], known.weight[picked]
    total = np.bincount(vertex, weight, n)
    into = np.linalg.inv(np.array(armature.matrix_world, dtype=float)) @ np.array(
        ob.matrix_world, dtype=float
    )
    if deformer.preserve_volume:
        affine = _dual_quaternions(bones, _moved(into, points), vertex, group, weight, total)
    else:
        matrices = np.array([np.eye(4) if bone is None else _deformation(bone) for bone in bones])
        matrices = (np.linalg.inv(into) @ matrices @ into)[:, :3]
        affine = _sum(matrices.astype(np.float32)[group] * weight[:, None, None], vertex, n)
        affine /= np.maximum(total, LEAST)[:, None, None]
    still = total <= LEAST
    if deformer.preserve_volume:
        affine = np.linalg.inv(into)[:3, :3] @ affine @ into
        affine[:, :, 3] += np.linalg.inv(into)[:3, 3]
    affine[still] = np.eye(3, 4)
    return affine.astype(np.float32)


def _bone(armature: bpy.types.Object, name: str) -> bpy.types.PoseBone | None:
    """The bone that a vertex group belongs to, if it deforms."""
    assert armature.pose is not None
    bone = armature.pose.bones.get(name)
    return bone if bone is not None and bone.bone.use_deform else None


def _deformation(bone: bpy.types.PoseBone) -> Array:
    """From the rest pose to the pose [4, 4], in armature space."""
    return np.array(bone.matrix, dtype=float) @ np.linalg.inv(np.array(bone.bone.matrix_local, dtype=float))


def _sum(entries: NDArray, vertex: Ints, n: int) -> NDArray:
    """Sums [n, ...] over the entries [E, ...] of every vertex; vertices ascend."""
    found = np.zeros((n, *entries.shape[1:]), entries.dtype)
    if len(vertex):
        starts = np.flatnonzero(np.diff(vertex, prepend=-1))
        found[vertex[starts]] = np.add.reduceat(entries, starts)
    return found


def _moved(matrix: Array, points: NDArray) -> Array:
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def _dual_quaternions(
    bones: list[bpy.types.PoseBone | None],
    points: Array,
    vertex: Ints,
    group: Ints,
    weight: Floats,
    total: Array,
) -> Array:
    """Volume preserving blends [n, 3, 4] in armature space.

    A bone that is scaled moves the vertex by its scale before it turns it, as in Blender; the scales
    themselves are averaged.
    """
    rotations, scales = np.zeros((len(bones), 4)), np.tile(np.eye(4), (len(bones), 1, 1))
    offsets = np.zeros((len(bones), 3))
    for i, bone in enumerate(bones):
        if bone is not None:
            rotations[i], offsets[i], scales[i] = _split(bone)
    real, dual = np.zeros((len(points), 4)), np.zeros((len(points), 4))
    ranks = np.arange(len(vertex)) - np.searchsorted(vertex, vertex)
    for rank in range(ranks.max(initial=-1) + 1):
        entry = ranks == rank
        v, g, w = vertex[entry], group[entry], weight[entry][:, None]
        # A scaled bone: the pull of its scale on this vertex becomes part of the translation.
        pull = np.einsum("nij,nj->ni", scales[g, :3, :3], points[v]) + scales[g, :3, 3] - points[v]
        translation = offsets[g] + _rotate(rotations[g], pull)
        w = np.where(np.einsum("ni,ni->n", rotations[g], real[v]) < 0, -w[:, 0], w[:, 0])[:, None]
        real[v] += w * rotations[g]
        dual[v] += w * 0.5 * _product(np.pad(translation, ((0, 0), (1, 0))), rotations[g])
    length = np.linalg.norm(real, axis=1, keepdims=True)
    length[length == 0] = 1
    real, dual = real / length, dual / length
    conjugate = real * [1, -1, -1, -1]
    shift = 2 * _product(dual, conjugate)[:, 1:]
    turn = np.stack([_rotate(real, np.tile(axis, (len(real), 1))) for axis in np.eye(3)], axis=2)
    moved = _rotate(real, points) + shift
    stretch = _sum(scales[group, :3, :3] * weight[:, None, None], vertex, len(points))
    linear = turn @ (stretch / np.maximum(total, LEAST)[:, None, None])
    return np.concatenate([linear, (moved - np.einsum("nij,nj->ni", linear, points))[:, :, None]], axis=2)


def _split(bone: bpy.types.PoseBone) -> tuple[Array, Array, Array]:
    """A bone's deformation as quaternion [4], translation [3], and what it scales before both [4, 4].

    A bone that is sheared keeps its own direction, Y, and the plane of X and Y.
    """
    posed, rest = np.array(bone.matrix, dtype=float), np.array(bone.bone.matrix_local, dtype=float)
    deformation = posed @ np.linalg.inv(rest)
    rigid, linear = posed.copy(), deformation[:3, :3]
    scaled = not np.allclose(linear.T @ linear, np.eye(3), atol=LEAST) or np.linalg.det(linear) < 0
    if scaled:
        y = posed[:3, 1] / np.linalg.norm(posed[:3, 1])
        z = np.cross(posed[:3, 0], y)
        z /= np.linalg.norm(z)
        rigid[:3, :3] = np.stack([np.cross(y, z), y, z], axis=1)
    rotation = rigid @ np.linalg.inv(rest)
    scale = np.linalg.inv(rotation) @ deformation if scaled else np.eye(4)
    return np.array(Matrix(rotation[:3, :3].tolist()).to_quaternion()), rotation[:3, 3], scale


def _product(a: Array, b: Array) -> Array:
    """Products of quaternions [n, 4], real part first."""
    real = a[:, :1] * b[:, :1] - np.einsum("ni,ni->n", a[:, 1:], b[:, 1:])[:, None]
    return np.concatenate([real, a[:, :1] * b[:, 1:] + b[:, :1] * a[:, 1:] + np.cross(a[:, 1:], b[:, 1:])], 1)


def _rotate(quaternion: Array, points: Array) -> Array:
    """Points [n, 3] turned by unit quaternions [n, 4]."""
    across = 2 * np.cross(quaternion[:, 1:], points)
    return points + quaternion[:, :1] * across + np.cross(quaternion[:, 1:], across)
