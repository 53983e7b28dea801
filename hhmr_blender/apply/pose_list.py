"""Hypotheses on the rig itself: poses to choose from, stored with the armature object."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ..capture import armature as capture
from ..capture import skin
from ..problems import Problem
from ..rigs.hand import Hand
from ..rigs.tables import PALM
from ..session import Target
from ..template import template
from . import freedom, pose, shape_keys
from .controls import finger_ik

Array = NDArray[np.float64]

STILL = 1e-4
"""Of the palm's length: a joint that moves less in every hypothesis was kept."""

_silent = False


@dataclass(frozen=True)
class Pose:
    """One row of an armature's list: a hypothesis, or how the hand was before."""

    name: str
    kept: bool
    wrist: str
    """Bone of the hand's wrist: it says which hand is meant, where an armature has several."""
    side: str
    joints: list[list[float]] | None = None
    """[21, 3] in any space; None for how the hand was before."""
    held: tuple[int, ...] = ()
    """Joints that were given: bones between them stay."""
    own: bool = False
    """Whether the joints are this rig's own, moved along, and not those of the HHMR hand."""
    rotations: dict[str, list[float]] | None = None
    """Bone -> what its location and rotation channels held before; None for a hypothesis."""
    switches: dict[str, float] | None = None
    """Bone -> its switch from FK to IK before."""
    about: dict[str, Any] | None = None
    """What is known of a hypothesis: seed, score, draw, residual_mm, self_intersection."""

    @property
    def before(self) -> bool:
        """Whether this is how the hand was before."""
        return self.rotations is not None


def rig_of(context: bpy.types.Context) -> bpy.types.Object | None:
    """The rig with poses that is meant: the active one, or that of the active mesh; None where none has any.

    A mesh's rig is the one that moves it, or that its hypotheses were made from.
    """
    ob = context.object
    if ob is None:
        return None
    found = [ob]
    if isinstance(ob.data, bpy.types.Mesh):
        found = [one.armature for one in skin.deformers(ob)]
        known = shape_keys.provenance(ob.data)
        found.append(bpy.data.objects.get(known.request.get("armature", "")) if known is not None else None)
    return next((one for one in found if one is not None and len(one.hhmr_poses)), None)


def poses(ob: bpy.types.Object) -> list[Pose]:
    """The rows of an object's list."""
    return [_read(item) for item in ob.hhmr_poses]


def take(
    context: bpy.types.Context,
    target: Target,
    request: dict[str, Any],
    engine: dict[str, Any],
    arrays: dict[str, NDArray[Any]],
) -> str:
    """Put the engine's answer on the list of the armature that it was made from, and show the first.

    Returns what to tell beside the message about the hands, "" where nothing or where no armature is in it.
    """
    ob = _armature(target, request)
    if ob is None:
        return ""
    own = "carried" in arrays and bool(np.isfinite(arrays["carried"][0]).all(axis=1).sum() > 3)
    if request.get("source") != "armature" and not own:
        return ""
    matrix = np.array(target.matrix, dtype=float)
    joints = arrays["carried" if own else "joints"].astype(float) @ matrix[:3, :3].T + matrix[:3, 3]
    try:
        pose.check_editable(ob)
        hand = _nearest_hand(ob, request, joints[0])
    except Problem as problem:
        return f"They are not on the rig: {problem.text}"
    given = request.get("kept")
    held = tuple(given) if isinstance(given, list) else _still(ob, hand, joints)
    abouts = [
        {
            "seed": request.get("seed", 0),
            "draw": int(arrays["draw"][i]),
            "score": round(float(arrays["score"][i]), 4),
            "residual_mm": round(1000 * float(arrays["residual"][i]), 3),
            "self_intersection": round(float(arrays["self_intersection"][i]), 3),
            "engine": engine,
        }
        for i in range(len(joints))
    ]
    add(ob, hand, joints, held, own, abouts)
    if not held or request.get("source") == "surface":  # a mesh shows them by itself, in the pose as it is
        return f"{len(joints)} poses of '{ob.name}' are listed under Poses."
    written = show(ob, _first(ob, hand), context)
    return f"'{ob.name}' is posed by the first; the others are listed under Poses. {written}".strip()


def add(
    ob: bpy.types.Object,
    hand: Hand,
    joints: Array,
    held: tuple[int, ...],
    own: bool,
    abouts: list[dict[str, Any]],
) -> None:
    """List hypotheses [n, 21, 3] of a hand; its earlier ones that are not kept make room."""
    with _quietly():
        stay = [one for one in poses(ob) if one.kept or one.wrist != hand.bones[0]]
        word = hand.side.capitalize()
        before = {bone.name: list(freedom.values(bone)) for bone in pose.turned_bones(ob, hand)}
        switches = {bone.name: float(bone["FK_IK"]) for bone in finger_ik(ob, hand).values()}
        name = f"{word} as It Was"
        new = [Pose(name, False, hand.bones[0], hand.side, rotations=before, switches=switches)]
        for i, (one, about) in enumerate(zip(joints, abouts)):
            name = f"{word} {i + 1} ({about['score']:.2f})"
            places = np.round(one, 7).tolist()
            new.append(Pose(name, False, hand.bones[0], hand.side, places, held, own, about=about))
        _store(ob, [*stay, *new])
        ob.hhmr_pose_index = len(stay)


def show(ob: bpy.types.Object, index: int, context: bpy.types.Context) -> str:
    """Pose the rig by a row of its list; returns what the animator should know of it, or "".

    With auto keying the pose is keyed. Raises Problem, and leaves the rig as it was, where it can't be posed.
    """
    chosen = poses(ob)[index]
    pose.check_editable(ob)
    hand = hand_of(ob, chosen)
    _take_off_meshes(ob, context.scene)
    said = write(ob, hand, chosen, context.view_layer).sentence()
    if context.scene.tool_settings.use_keyframe_insert_auto:
        pose.insert_keys(ob, hand)
    with _quietly():
        ob.hhmr_pose_index = index
    return said


def write(ob: bpy.types.Object, hand: Hand, chosen: Pose, view_layer: bpy.types.ViewLayer) -> pose.Written:
    """Turn the bones of a hand as a row of the list says."""
    if chosen.rotations is not None:
        _restore(ob, chosen.rotations, chosen.switches or {})
        view_layer.update()
        return pose.Written()
    rest = None if chosen.own else template().regressor @ template().side_vertices(chosen.side)
    return pose.write(ob, hand, np.array(chosen.joints, dtype=float), view_layer, chosen.held, rest)


def _take_off_meshes(ob: bpy.types.Object, scene: bpy.types.Scene) -> None:
    """What a mesh of this rig shows was made for the pose before: with a new one it would come twice."""
    for mesh in scene.objects:
        if shape_keys.hypotheses(mesh) and any(one.armature == ob for one in skin.deformers(mesh)):
            shape_keys.hide(mesh)


def _restore(ob: bpy.types.Object, rotations: dict[str, list[float]], switches: dict[str, float]) -> None:
    """Put back what is still there to take it."""
    assert ob.pose is not None
    for name, values in rotations.items():
        bone = ob.pose.bones.get(name)
        if bone is not None and len(values) == len(freedom.values(bone)):
            freedom.set_values(bone, tuple(values))
    for name, value in switches.items():
        bone = ob.pose.bones.get(name)
        if bone is not None and "FK_IK" in bone:
            bone["FK_IK"] = value
    ob.update_tag()


def hand_of(ob: bpy.types.Object, chosen: Pose) -> Hand:
    """Hand that a row poses. Raises Problem where the armature has it no more."""
    found = next((hand for hand in capture.hands(ob) if hand.bones[0] == chosen.wrist), None)
    if found is None:
        raise Problem("no_rig_hand", f"'{ob.name}' has no hand at '{chosen.wrist}' any more.")
    return found


def active(ob: bpy.types.Object) -> Pose | None:
    """The row that is shown."""
    rows = poses(ob)
    return rows[ob.hhmr_pose_index] if 0 <= ob.hhmr_pose_index < len(rows) else None


def keep(ob: bpy.types.Object, index: int) -> None:
    """Turn on or off that a row is kept when others are discarded or made."""
    ob.hhmr_poses[index].kept = not ob.hhmr_poses[index].kept


def discard_rest(ob: bpy.types.Object) -> int:
    """Remove every hypothesis that is neither kept nor, where none is kept, shown; return how many.

    How a hand was before goes with the last of its hypotheses. The rig stays as it is posed.
    """
    rows = poses(ob)
    staying = [i for i, row in enumerate(rows) if row.kept and not row.before]
    if not staying:
        shown = active(ob)
        staying = [ob.hhmr_pose_index] if shown is not None and not shown.before else []
    gone = [i for i, row in enumerate(rows) if not row.before and i not in staying]
    if not staying or not gone:
        return 0
    wrists = {rows[i].wrist for i in staying}
    left = [i for i, row in enumerate(rows) if i in staying or (row.before and row.wrist in wrists)]
    at = left.index(ob.hhmr_pose_index) if ob.hhmr_pose_index in left else left.index(staying[0])
    with _quietly():
        _store(ob, [rows[i] for i in left])
        ob.hhmr_pose_index = at
    return len(gone)


def silent() -> bool:
    """Whether the active row is being changed from here, so that its change shows nothing."""
    return _silent


@contextmanager
def _quietly() -> Iterator[None]:
    global _silent
    _silent = True
    try:
        yield
    finally:
        _silent = False


def _first(ob: bpy.types.Object, hand: Hand) -> int:
    """Row of a hand's first new hypothesis: after how it was before."""
    rows = poses(ob)
    return 1 + max(i for i, row in enumerate(rows) if row.before and row.wrist == hand.bones[0])


def _armature(target: Target, request: dict[str, Any]) -> bpy.types.Object | None:
    """Armature that a request was made from, or that moves the mesh that it was made from."""
    source = target.find()
    if source is None or source.type == "ARMATURE":
        return source
    moved_by = [one.armature for one in skin.deformers(source)] if request.get("source") == "surface" else []
    return next(iter(moved_by), None)


def _nearest_hand(ob: bpy.types.Object, request: dict[str, Any], joints: Array) -> Hand:
    """The hand whose wrist is named by the request, or lies where the joints' does."""
    found = capture.hands(ob)
    named = next((hand for hand in found if hand.bones[0] == request.get("wrist")), None)
    if named is not None:
        return named
    if not found:
        raise Problem("no_rig_hand", f"'{ob.name}' has no hand any more.")
    return min(found, key=lambda hand: _distance(capture.posed_joints(ob, hand), joints))


def _distance(a: Array, b: Array) -> float:
    apart = np.linalg.norm(a - b, axis=1)
    return float(np.nanmean(apart)) if np.isfinite(apart).any() else np.inf


def _still(ob: bpy.types.Object, hand: Hand, joints: Array) -> tuple[int, ...]:
    """Joints that no hypothesis [n, 21, 3] moves from where the rig has them."""
    now = capture.posed_joints(ob, hand)
    palm = max(np.linalg.norm(now[joint] - now[0]) for joint in PALM[1:] if np.isfinite(now[joint]).all())
    moved = np.linalg.norm(joints - now, axis=2).max(axis=0)
    return tuple(int(joint) for joint in np.flatnonzero(moved < STILL * palm))


def _read(item: Any) -> Pose:
    stored = json.loads(item.data)
    return Pose(name=item.name, kept=item.kept, **{**stored, "held": tuple(stored["held"])})


def _store(ob: bpy.types.Object, rows: list[Pose]) -> None:
    ob.hhmr_poses.clear()
    for row in rows:
        item = ob.hhmr_poses.add()
        item.name, item.kept, item.before = row.name, row.kept, row.before
        item.data = json.dumps({n: v for n, v in vars(row).items() if n not in ("name", "kept")})
