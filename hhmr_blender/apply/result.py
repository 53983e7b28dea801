"""The engine's answer -> scene: on the hand itself, or as a new hand beside it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import bpy
import numpy as np
from mathutils import Matrix

from ..capture.foreign import ForeignHand
from ..capture.mesh import template_ids
from ..problems import Problem
from ..session import Target
from ..template import template
from . import foreign, hand_object, in_camera, shape_keys
from .shape_keys import Entry


def place(
    context: bpy.types.Context,
    target: Target,
    request: dict[str, Any],
    engine: dict[str, Any],
    arrays: dict[str, np.ndarray],
) -> bpy.types.Object:
    """Write the hypotheses into the scene and return the object that has them.

    Raises Problem, and leaves the scene as it was, where the target is gone, changed or not ours to change.
    """
    vertices = arrays["vertices"]
    if vertices.shape[1:] != template().vertices.shape or not np.isfinite(vertices).all():
        raise Problem("internal", "The engine answered with something that is no hand.")
    source = _source(target)
    if target.hand is not None:
        assert source is not None
        return _on_surface(context, source, target.hand, request, engine, arrays)
    if target.kind == "CAMERA":
        return _before_camera(context, source, target, request, engine, arrays)
    entries = _entries(arrays)
    if target.kind == "KEYS":
        assert source is not None
        check_editable(source)
        with object_mode(context, source):
            ids, _ = template_ids(source, template())
            if len(ids) != vertices.shape[1]:
                raise Problem(
                    "target_changed", f"'{source.name}' was cut while the hands were made: try again."
                )
            shape_keys.write(source, vertices[:, ids], entries, request, engine)
        return source
    place = target.matrix
    if source is not None and target.kind == "BESIDE":
        place = source.matrix_world  # it may have been moved meanwhile
    return _new_hand(context, source, place, vertices, entries, request, engine)


def _on_surface(
    context: bpy.types.Context,
    source: bpy.types.Object,
    hand: ForeignHand,
    request: dict[str, Any],
    engine: dict[str, Any],
    arrays: dict[str, np.ndarray],
) -> bpy.types.Object:
    """On a mesh of any topology; where fingers are missing on it, or it is more than a hand, in its place."""
    covered = arrays["covered"]
    foreign.check(hand, source, covered)
    # Residuals come in the user's units: people think of them at the size of a hand.
    entries = _entries(arrays, foreign.size(arrays["joints"]))
    if hand.alone or foreign.missing(covered):
        vertices, place = foreign.beside(hand, arrays["vertices"]), foreign.frame(source.matrix_world)
        return _new_hand(context, source, place, vertices, entries, request, engine)
    check_editable(source)
    with object_mode(context, source):
        foreign.write(source, hand, arrays["bound"], entries, request, engine)
    return source


def _before_camera(
    context: bpy.types.Context,
    source: bpy.types.Object | None,
    target: Target,
    request: dict[str, Any],
    engine: dict[str, Any],
    arrays: dict[str, np.ndarray],
) -> bpy.types.Object:
    """On a hand that such a request made before, wherever it stands now, or as a new one."""
    assert target.shot is not None
    vertices, entries = arrays["vertices"], _entries(arrays)
    if source is None or not in_camera.can_take(source):
        place = in_camera.stand(target.matrix, arrays["joints"][0, 0])
        vertices = in_camera.local(vertices, target.matrix, place)
        ob = _new_hand(context, None, place, vertices, entries, request, engine)
    else:
        ob = source
        check_editable(ob)
        vertices = in_camera.local(vertices, target.matrix, ob.matrix_world)
        with object_mode(context, ob):
            ids, _ = template_ids(ob, template())
            in_camera.set_side(ob, str(request["side"]), vertices[0][ids])
            shape_keys.write(ob, vertices[:, ids], entries, request, engine)
    in_camera.link_skeleton(ob, target.shot)
    return ob


def _new_hand(
    context: bpy.types.Context,
    source: bpy.types.Object | None,
    place: Matrix,
    vertices: np.ndarray,
    entries: list[Entry],
    request: dict[str, Any],
    engine: dict[str, Any],
) -> bpy.types.Object:
    """A new hand object with the hypotheses [n, V, 3], where the source is."""
    with object_mode(context, context.object, restore=False):
        ob = hand_object.add("HHMR Hand", str(request["side"]), _collections(context, source), vertices[0])
        ob.matrix_world = place
        shape_keys.write(ob, vertices, entries, request, engine)
        hand_object.select_only(ob, context.view_layer)
    return ob


def check_editable(ob: bpy.types.Object) -> None:
    """Raise Problem where an object or its mesh comes from a library and can't take shape keys."""
    keys = ob.data.shape_keys if isinstance(ob.data, bpy.types.Mesh) else None
    if not (ob.is_editable and ob.data.is_editable and (keys is None or keys.is_editable)):
        text = f"'{ob.name}' is linked from a library: make it local first (Object > Relations > Make Local)."
        raise Problem("linked", text)


@contextmanager
def object_mode(
    context: bpy.types.Context, ob: bpy.types.Object | None, restore: bool = True
) -> Iterator[None]:
    """Object Mode while shape keys are written, since Edit Mode would undo them; then the mode before."""
    mode = ob.mode if ob is not None else "OBJECT"
    if ob is None or mode == "OBJECT":
        yield
        return
    layer = context.view_layer
    active = layer.objects.active
    layer.objects.active = ob
    bpy.ops.object.mode_set(mode="OBJECT")
    try:
        yield
    finally:
        if restore:
            bpy.ops.object.mode_set(mode=mode)
            layer.objects.active = active


def _source(target: Target) -> bpy.types.Object | None:
    if target.uid == 0:
        return None
    found = target.find()
    if found is None:
        raise Problem(
            "target_gone", f"'{target.name}' was deleted while the hands were made: nothing was changed."
        )
    return found


def _collections(context: bpy.types.Context, source: bpy.types.Object | None) -> list[bpy.types.Collection]:
    """Where the source is, as far as it may be added to; else the active collection."""
    found = [one for one in source.users_collection if one.is_editable] if source is not None else []
    return found or [context.collection or context.scene.collection]


def _entries(arrays: dict[str, np.ndarray], size: float = 1.0) -> list[Entry]:
    """`size`: of the hand, in units of the template's."""
    return [
        Entry(
            name=f"HHMR {i + 1} ({score:.2f})",
            score=round(float(score), 4),
            residual_mm=round(1000 * float(arrays["residual"][i]) / size, 3),
            self_intersection=round(float(arrays["self_intersection"][i]), 3),
            draw=int(arrays["draw"][i]),
        )
        for i, score in enumerate(arrays["score"])
    ]
