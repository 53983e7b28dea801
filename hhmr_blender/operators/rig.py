"""Hands from an armature's joints, and a hypothesis back onto its bones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import bpy
import numpy as np
from bpy.props import EnumProperty
from mathutils import Matrix, Vector

from ..problems import Problem
from ..properties import RIG_SIDES
from ..session import Target, session
from .generate import Asking, report, request

if TYPE_CHECKING:
    from ..apply.pose import Written
    from ..capture.armature import ArmatureHand


class HHMR_OT_from_armature(Asking, bpy.types.Operator):
    """Make hands from the joints of the active armature, posed where they are"""

    bl_idname = "hhmr.from_armature"
    bl_label = "Hand from Armature"
    bl_options = {"REGISTER"}

    side: EnumProperty(
        name="Side",
        items=[("AS_SET", "As Set", "What the HHMR tab says"), *RIG_SIDES],
        default="AS_SET",
        options={"SKIP_SAVE"},
    )

    def execute(self, context: bpy.types.Context) -> set[str]:
        return self.ask(lambda: self._from_armature(context))

    def _from_armature(self, context: bpy.types.Context) -> None:
        from ..capture import armature as capture

        ob = context.object
        if ob is None:
            raise Problem(
                "no_armature", "No object is active: click the armature whose hand is to be completed."
            )
        chosen = context.scene.hhmr
        side = chosen.side if self.side == "AS_SET" else self.side
        if side == "BOTH":
            found = capture.capture_both(ob, chosen.bones, chosen.fingers)
        else:
            found = [capture.capture(ob, chosen.bones, side, chosen.fingers)]
        for one in found:
            for said in (one.hand.doubt, one.hand.remark):
                if said:
                    self.report({"WARNING"}, said)
            self._ask_for(context, ob, one)

    def _ask_for(self, context: bpy.types.Context, ob: bpy.types.Object, found: ArmatureHand) -> None:
        from ..capture.armature import posed_joints

        # The new hand's origin is the wrist, so that it can be turned about it; numbers stay small, too.
        wrist = found.joints[0].copy()
        target = Target("FREE", Matrix.Translation(Vector(wrist.tolist())), ob.session_uid, ob.name)
        asked = request(context, "inpaint", found.side) | {"root_rho": context.scene.hhmr.root_rho}
        kept = np.flatnonzero(np.isfinite(found.joints).all(axis=1)).tolist()
        if len(kept) == np.isfinite(posed_joints(ob, found.hand)).all(axis=1).sum():
            kept = []  # all that the rig has was given, to be made better: nothing of it is held
        note = {"source": "armature", "armature": ob.name, "wrist": found.hand.bones[0], "kept": kept}
        session.follow(asked, {"joints": found.joints - wrist}, target, note)


class HHMR_OT_to_armature(bpy.types.Operator):
    """Turn the armature's finger bones so that they follow the hand shown; palm and kept fingers stay"""

    bl_idname = "hhmr.to_armature"
    bl_label = "Pose Armature"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return context.object is not None and context.object.type == "MESH"

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            name, written = self._pose(context)
        except Problem as problem:
            return report(self, problem)
        self.report({"INFO"}, f"'{name}' is posed. {written.sentence()}".strip())
        return {"FINISHED"}

    def _pose(self, context: bpy.types.Context) -> tuple[str, Written]:
        from ..apply import pose
        from ..capture import armature as capture
        from ..capture import mesh as capture_mesh
        from ..template import template

        ob = context.object
        if ob.mode == "EDIT":
            ob.update_from_editmode()
        ids, side = capture_mesh.template_ids(ob, template())
        if len(ids) != len(template().vertices):
            raise Problem(
                "not_a_hand", f"'{ob.name}' has lost parts: choose a whole hand to pose the armature with."
            )
        rig = _armature_of(context, ob)
        pose.check_editable(rig)
        hand = capture.choose(rig, side.upper(), None)
        vertices = np.empty((len(ids), 3))
        vertices[ids] = capture_mesh.shape(ob)
        world = np.array(ob.matrix_world, dtype=float)
        joints = template().regressor @ vertices @ world[:3, :3].T + world[:3, 3]
        rest = template().regressor @ template().side_vertices(side)
        written = pose.write(rig, hand, joints, context.view_layer, _kept(ob, rig), rest)
        if context.scene.tool_settings.use_keyframe_insert_auto:
            pose.insert_keys(rig, hand)
        return rig.name, written


def _armature_of(context: bpy.types.Context, ob: bpy.types.Object) -> bpy.types.Object:
    """Armature to pose: one that is selected beside the hand, else the one that its joints came from."""
    from ..apply import shape_keys

    others = [one for one in context.selected_objects if one.type == "ARMATURE"]
    if others:
        return others[0]
    assert isinstance(ob.data, bpy.types.Mesh)
    known = shape_keys.provenance(ob.data)
    found = bpy.data.objects.get(known.request.get("armature", "")) if known is not None else None
    if found is None or found.type != "ARMATURE":
        raise Problem(
            "no_armature", "Which armature? Select it together with the hand (Shift-click), hand last."
        )
    return found


def _kept(ob: bpy.types.Object, rig: bpy.types.Object) -> list[int]:
    """Joints of this armature that are held while the others are made."""
    from ..apply import shape_keys

    assert isinstance(ob.data, bpy.types.Mesh)
    known = shape_keys.provenance(ob.data)
    if known is None or known.request.get("armature") != rig.name:
        return []
    return known.request.get("kept", [])


CLASSES = (HHMR_OT_from_armature, HHMR_OT_to_armature)
