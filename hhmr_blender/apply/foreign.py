"""Hypotheses of a hand of any mesh: onto that mesh as shape keys, or as whole hands in its place."""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np
from mathutils import Matrix
from numpy.typing import NDArray

from ..capture.foreign import ForeignHand
from ..capture.mesh import mix
from ..problems import Problem
from ..template import fingers, template
from . import shape_keys
from .shape_keys import Entry

FINGERS = ("thumb", "index", "middle", "ring", "pinky")
THERE = 0.6
"""Of a finger's surface: with less of it, the mesh does not have that finger."""

Floats = NDArray[np.float32]


def missing(covered: NDArray[np.bool_]) -> list[str]:
    """Fingers that a mesh has not, or only a part of; covered [V]: what of the template lies on it."""
    return [name for name, own in zip(FINGERS, fingers()) if covered[own].mean() < THERE]


def check(hand: ForeignHand, ob: bpy.types.Object, covered: NDArray[np.bool_]) -> None:
    """Raise Problem where nothing was to be made, or the mesh is another one by now."""
    assert isinstance(ob.data, bpy.types.Mesh)
    if len(ob.data.vertices) != hand.count:
        raise Problem("target_changed", f"'{ob.name}' was cut while the hands were made: try again.")
    if hand.keep.all() and not hand.alone and not missing(covered):
        raise Problem(
            "nothing_missing",
            f"'{ob.name}' has all five fingers and all of it would be kept, so nothing is left to complete: "
            "select only the part that is right.",
        )


def size(joints: Floats) -> float:
    """How large hands [n, 21, 3] are, in units of the template's: by wrist and finger roots."""

    def reach(one: NDArray) -> float:
        return float(np.linalg.norm(one[[5, 9, 13, 17]] - one[0], axis=1).sum())

    return reach(joints[0]) / reach(template().regressor @ template().vertices)


def write(
    ob: bpy.types.Object, hand: ForeignHand, bound: Floats, entries: list[Entry], request: dict, engine: dict
) -> None:
    """Hypotheses bound [n, M, 3] of the captured surface as shape keys of the whole mesh, in its rest space.

    A displacement of the surface becomes the one at rest that the armatures turn into it; what is not
    displaced stays as it is, to the bit. The keys come on top of those that are mixed now. The object must
    not be in Edit Mode. Raises Problem before anything is changed.
    """
    if bound.shape[1:] != hand.surface.shape or not np.isfinite(bound).all():
        raise Problem("internal", "The engine answered with positions that do not fit the mesh.")
    shape_keys.make_room(ob)
    before = mix(ob)
    keys = ob.data.shape_keys
    plain = keys is None or np.array_equal(before.reshape(-1), _positions(keys.reference_key, len(before)))
    found = at_rest(hand, bound, before)
    shape_keys.write(ob, found, entries, request, engine, None if plain else before)


def at_rest(hand: ForeignHand, bound: Floats, before: Floats) -> Floats:
    """Positions [n, V, 3] at rest of all the mesh's vertices, which look like [V, 3] before."""
    displaced = (bound - hand.surface).transpose(1, 2, 0)  # [M, 3, n]: one product for each vertex
    found = np.repeat(before[None], len(bound), axis=0)
    found[:, hand.chosen] = hand.rest + np.matmul(hand.undo, displaced).transpose(2, 0, 1)
    return found


def frame(matrix: Matrix) -> Matrix:
    """A transform without shear or mirroring, of the same place, turn and size as a given one."""
    location, rotation, _ = matrix.decompose()
    size = abs(matrix.to_3x3().determinant()) ** (1 / 3)
    return Matrix.LocRotScale(location, rotation, (size, size, size))


def beside(hand: ForeignHand, points: Floats) -> Floats:
    """Points [..., 3] of the request in the space of `frame` of the object that it was made from."""
    into = np.linalg.inv(np.array(frame(hand.matrix), dtype=float))
    return ((points + hand.origin) @ into[:3, :3].T + into[:3, 3]).astype(np.float32)


def fit_text(message: dict[str, Any], covered: NDArray[np.bool_] | None, hand: ForeignHand) -> str:
    """What was recognised, in a sentence or two for the panel."""
    fitted = message.get("fitted")
    within = f", fitted within {fitted:.1f}\u00a0mm" if isinstance(fitted, float) else ""
    text = f"{str(message.get('side', 'right')).capitalize()} hand{within}."
    gone = missing(covered) if covered is not None else []
    if hand.alone:
        text += " The mesh is more than a hand: hide the rest of it to get the hands on the mesh itself."
    elif gone:
        text += f" It lacks {_listed(gone)}, so whole hands stand in its place."
    return text


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _positions(key: bpy.types.ShapeKey, count: int) -> Floats:
    flat = np.empty(3 * count, np.float32)
    key.points.foreach_get("co", flat)
    return flat
