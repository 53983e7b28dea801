"""A hand of any mesh: scene -> its surface, what of it is kept, and how to bring results back onto it.

What is taken for the hand:

- Of a mesh whose armature has a hand: what that hand's bones deform, and a ring of forearm behind the wrist.
  Of two hands the one that is asked for by its side, else the one that has what is kept.
- Of any other mesh: the pieces that hold something kept, and small pieces that lie among them (nails, rings);
  not what is hidden in Edit Mode. Where that is over BODY times as large as what is kept, it is more than a
  hand, and what is kept is taken alone. Who wants the results on a body without bones hides the rest of it.

Positions are the base mesh's as they look now: shape keys as they are mixed, moved by the armatures. Other
modifiers (subdivision, mirror, solidify) make vertices that the mesh does not have; they act on the result as
they did before, and are left out here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import bpy
import numpy as np
from mathutils import Matrix
from numpy.typing import NDArray

from ..problems import Problem
from ..rigs.detect import Hand
from ..rigs.tables import PALM
from ..template import template
from . import armature, mesh, skin
from .islands import boxes, diagonal, islands

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Mask = NDArray[np.bool_]
Array = NDArray[np.float64]

FEWEST = 10
MOST = 2_000_000
"""Vertices."""
BODY = 4.0
"""Times the extent of what is kept: what is larger is no hand any more."""
SMALL = 0.35
"""Of the extent of what is kept: a piece that may be a nail or a ring on it."""
APART = 0.5
"""Of its extent: so far from another, a piece of like size is another hand."""
RING = 0.6
"""Of the palm's length: as much of the forearm goes with the hand."""
LEAST_SHARE = 0.01
"""Of a vertex's weights: it is moved by a bone."""
NEAR = 0.1
"""Of the hand's extent: a landmark or a nail farther off is not on it."""


@dataclass(frozen=True, eq=False)
class ForeignHand:
    """A hand of M vertices, in the world's axes as seen from `origin`: there it is not sheared."""

    surface: Floats
    """[M, 3]"""
    triangles: Ints
    """[F, 3], wound as the world sees them."""
    keep: Mask
    """[M]"""
    joints: Floats | None
    """[21, 3] of the armature, or landmarks; NaN = unknown."""
    side: str
    """"auto" where it is to be found out."""
    count: int
    """Of the whole mesh's vertices."""
    chosen: Ints
    """[M] numbers of the hand's among them."""
    rest: Floats
    """[M, 3] in the mesh's own space, before the armatures."""
    undo: Floats
    """[M, 3, 3] or [1, 3, 3]: from a displacement of the surface to one at rest."""
    origin: Array
    """[3] in the world."""
    matrix: Matrix
    """From the object's space to the world's, when this was captured."""
    alone: bool
    """Whether the mesh is more than a hand, so that only what is kept was taken."""


def capture(
    ob: bpy.types.Object, keep: str, group: str, side: str, landmarks: Mapping[int, bpy.types.Object]
) -> ForeignHand:
    """The hand of a mesh as it looks now; `keep` is SELECTION, GROUP or REST, `side` AUTO, RIGHT or LEFT.

    With SELECTION, an empty one means all there is. `landmarks`: joint -> an empty that is on it. Raises
    Problem: no faces, nothing kept, two hands, positions that are no numbers, too many of them.
    """
    if ob.mode == "EDIT":
        ob.update_from_editmode()
    triangles = _triangles(ob)
    looks = mesh.shape(ob)
    kept = mesh.picked(ob, keep, group, whole=False)
    known = skin.weights(ob) if skin.deformers(ob) else None
    affine = None if known is None else skin.transforms(ob, looks, known)
    matrix = np.array(ob.matrix_world, dtype=float)
    _check_space(ob, matrix)
    seen = _moved(matrix, looks if affine is None else skin.move(affine, looks))

    hand = None if known is None else _armature_hand(ob, known, kept, side, seen)
    alone = False
    if hand is not None:
        part, joints = hand
        side = "AUTO"  # it was the rig's hand that was meant; which one its mesh is, is seen
        _check(ob, seen, part, kept)
    else:
        part, joints = _pieces(ob, seen.astype(np.float32), kept), np.full((21, 3), np.nan)
        _check(ob, seen, part, kept)
        alone = diagonal(seen[part]) > BODY * diagonal(seen[part & kept])
        part = part & kept if alone else part

    chosen = np.flatnonzero(part).astype(np.int32)
    origin = seen[chosen].mean(axis=0)
    for joint, empty in landmarks.items():
        place = np.array(empty.matrix_world.translation, dtype=float)
        if _lie_on(place, seen[chosen]):
            joints[joint] = place
    linear = matrix[:3, :3] @ (np.eye(3)[None] if affine is None else affine[chosen, :, :3])
    return ForeignHand(
        surface=(seen[chosen] - origin).astype(np.float32),
        triangles=_of_part(triangles, part, mirrored=np.linalg.det(matrix[:3, :3]) < 0),
        keep=kept[chosen],
        joints=(joints - origin).astype(np.float32) if np.isfinite(joints).any() else None,
        side=side.lower(),
        count=len(looks),
        chosen=chosen,
        rest=looks[chosen],
        undo=skin.inverses(linear),
        origin=origin,
        matrix=ob.matrix_world.copy(),
        alone=alone,
    )


def is_hhmr(ob: bpy.types.Object) -> bool:
    """Whether a mesh is an HHMR hand or a part of one, whose vertices are known by their numbers."""
    try:
        mesh.template_ids(ob, template())
    except Problem:
        return False
    return True


def _triangles(ob: bpy.types.Object) -> Ints:
    """Triangles [F, 3] of all faces."""
    if not isinstance(ob.data, bpy.types.Mesh):
        raise Problem("not_a_hand", f"'{ob.name}' is not a mesh: select the mesh of a hand, or add a hand.")
    count = len(ob.data.vertices)
    if len(ob.data.polygons) == 0:
        raise Problem("no_faces", f"'{ob.name}' has no faces: select a mesh with a surface, or add a hand.")
    if count < FEWEST:
        raise Problem("no_faces", f"'{ob.name}' has only {count} vertices: that is too little for a hand.")
    ob.data.calc_loop_triangles()
    flat = np.empty(3 * len(ob.data.loop_triangles), np.int32)
    ob.data.loop_triangles.foreach_get("vertices", flat)
    return flat.reshape(-1, 3)


def _moved(matrix: Array, points: Floats) -> Array:
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def _check_space(ob: bpy.types.Object, matrix: Array) -> None:
    linear = matrix[:3, :3]
    if not np.isfinite(matrix).all() or abs(np.linalg.det(linear)) <= 1e-9 * np.linalg.norm(linear) ** 3:
        text = f"'{ob.name}' is scaled to nothing along an axis: give it a scale (Alt-S clears it)."
        raise Problem("flat", text)


def _check(ob: bpy.types.Object, seen: Array, part: Mask, kept: Mask) -> None:
    if not (part & kept).any():
        text = f"Nothing of the hand of '{ob.name}' is selected: in Edit Mode, select the part that is right."
        raise Problem("empty_selection", text)
    bad = int((~np.isfinite(seen[part]).all(axis=1)).sum())
    if bad:
        text = f"{bad} vertices of '{ob.name}' have no position (NaN): delete them and try again."
        raise Problem("nan", text)
    if part.sum() > MOST:
        text = (
            f"The hand of '{ob.name}' has {part.sum():,} vertices: decimate a copy of it to under {MOST:,}."
        )
        raise Problem("too_large", text)


def _of_part(triangles: Ints, part: Mask, mirrored: bool) -> Ints:
    """The triangles between vertices of a part, by its own numbers, with the winding that the world sees."""
    numbers = np.cumsum(part, dtype=np.int32) - 1
    inside = numbers[triangles[part[triangles].all(axis=1)]]
    return np.ascontiguousarray(inside[:, ::-1] if mirrored else inside)


def _lie_on(places: NDArray, points: NDArray) -> Mask:
    """Which places [..., 3] are among points [n, 3], or nearly."""
    low, high = points.min(axis=0), points.max(axis=0)
    margin = NEAR * np.linalg.norm(high - low)
    return np.all((places >= low - margin) & (places <= high + margin), axis=-1)


# ------------------------------------------------------------ of a mesh without bones


def _pieces(ob: bpy.types.Object, seen: Floats, kept: Mask) -> Mask:
    """Vertices [n] of the pieces that hold something kept, and of small ones that lie among them."""
    hidden = np.empty(len(seen), bool)
    ob.data.vertices.foreach_get("hide", hidden)
    visible = ~hidden & np.isfinite(seen).all(axis=1)
    if (kept & ~hidden).any() and not (kept & visible).any():
        return kept & ~hidden  # nothing but NaN: said elsewhere
    labels = islands(seen, *_edges(ob))
    if kept.all():
        _check_one_hand(ob, seen[visible], labels[visible])
        return ~hidden
    if not (kept & visible).any():
        return np.zeros(len(seen), bool)
    found, lows, highs = boxes(seen[visible], labels[visible])
    main = np.isin(found, labels[kept & visible])
    corners = np.concatenate([lows[main], highs[main]])
    among = _lie_on((lows + highs) / 2, corners)
    small = np.linalg.norm(highs - lows, axis=1) < SMALL * diagonal(seen[kept & visible])
    return ~hidden & (np.isin(labels, found[main | (among & small)]) | kept)


def _edges(ob: bpy.types.Object) -> tuple[Ints, Mask]:
    """Edges [E, 2] of a mesh, and which of them have less than two faces."""
    edges, of_corner = np.empty(2 * len(ob.data.edges), np.int32), np.empty(len(ob.data.loops), np.int32)
    ob.data.edges.foreach_get("vertices", edges)
    ob.data.loops.foreach_get("edge_index", of_corner)
    return edges.reshape(-1, 2), np.bincount(of_corner, minlength=len(ob.data.edges)) < 2


def _check_one_hand(ob: bpy.types.Object, seen: Floats, labels: Ints) -> None:
    """Two large pieces far from each other are two hands, and nobody said which."""
    found, lows, highs = boxes(seen, labels)
    sizes = np.linalg.norm(highs - lows, axis=1)
    large = np.flatnonzero(sizes > 0.6 * sizes.max())
    for i in large:
        gaps = np.maximum(0, np.maximum(lows[large] - highs[i], lows[i] - highs[large]))
        if (np.linalg.norm(gaps, axis=1) > APART * sizes[i]).any():
            text = f"'{ob.name}' has two parts that may be hands: in Edit Mode, select what is right of one."
            raise Problem("two_parts", text)


# ------------------------------------------------------------ of a mesh on an armature


def _armature_hand(
    ob: bpy.types.Object, known: skin.Weights, kept: Mask, side: str, seen: Array
) -> tuple[Mask, Array] | None:
    """Vertices [n] and joints [21, 3] in the world of the hand that is meant; None where no bone is a hand's.

    Raises Problem where two are, and neither the side nor what is kept says which.
    """
    found = []
    for rig in dict.fromkeys(deformer.armature for deformer in skin.deformers(ob)):
        for hand in (one for one in armature.hands(rig) if one.sure):
            joints = armature.posed_joints(rig, hand)
            part = _deformed(ob, rig, hand, known, seen, joints)
            if part.any():
                found.append((hand.side, part, joints))
    if not found:
        return None
    if side != "AUTO" and any(one == side.lower() for one, _, _ in found):
        found = [one for one in found if one[0] == side.lower()]
    elif len(found) > 1 and not kept.all():
        found = [one for one in found if (one[1] & kept).any()] or found[:1]
    if len(found) > 1:
        raise Problem("two_hands_mesh", f"'{ob.name}' has two hands: which one?")
    return found[0][1:]


def _deformed(
    ob: bpy.types.Object, rig: bpy.types.Object, hand: Hand, known: skin.Weights, seen: Array, joints: Array
) -> Mask:
    """Vertices [n] that a hand's bones move, and those around the wrist that the bones next to them move."""
    n, bones = len(seen), _bones(rig, hand)
    groups = [group.index for group in ob.vertex_groups if group.name in bones]
    deforming = [g.index for g in ob.vertex_groups if rig.pose and g.name in rig.pose.bones]
    total = np.maximum(known.of(deforming, n), np.finfo(np.float32).tiny)
    part = known.of(groups, n) > LEAST_SHARE * total
    if not part.any() or not np.isfinite(joints[[5, 9, 13, 17]] - joints[0]).any():
        return part
    with_hand = np.unique(known.group[part[known.vertex] & (known.weight > 0)])
    beside = [g for g in with_hand.tolist() if g in deforming and g not in groups]
    palm = np.nanmedian(np.linalg.norm(joints[[5, 9, 13, 17]] - joints[0], axis=1))
    around = np.linalg.norm(seen - joints[0], axis=1) < RING * palm
    return part | (around & (known.of(beside, n) > LEAST_SHARE * total))


def _bones(rig: bpy.types.Object, hand: Hand) -> set[str]:
    """A hand's bones, what hangs on them, and what begins in the palm: some rigs hang that elsewhere."""
    assert isinstance(rig.data, bpy.types.Armature)
    own = [rig.data.bones[name] for name in hand.bones if name]
    bones = {below.name for bone in own for below in (bone, *bone.children_recursive)}
    palm = armature.rest_joints(rig, hand)[list(PALM)]
    palm = palm[np.isfinite(palm).all(axis=1)]
    centre = palm.mean(axis=0)
    radius = np.linalg.norm(palm - centre, axis=1).max()
    heads = np.array([bone.head_local for bone in rig.data.bones], dtype=float)
    inside = np.linalg.norm(heads - centre, axis=1) < radius
    return bones | {bone.name for bone, within in zip(rig.data.bones, inside) if within}
