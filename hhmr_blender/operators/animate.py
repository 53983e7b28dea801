"""A range of frames of an armature: ask for motions, choose among them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import bpy
import numpy as np
from bpy.props import EnumProperty, StringProperty
from mathutils import Matrix, Vector

from ..problems import Problem
from ..properties import RIG_SIDES
from ..session import Target, session
from .generate import Asking, report, request

if TYPE_CHECKING:
    from ..capture.motion import MotionHand


class HHMR_OT_complete_motion(Asking, bpy.types.Operator):
    """Make the fingers that are not kept move with the hand, over a range of frames, in several ways"""

    bl_idname = "hhmr.complete_motion"
    bl_label = "Complete Motion"
    bl_options = {"REGISTER"}

    side: EnumProperty(
        name="Side",
        items=[("AS_SET", "As Set", "What the HHMR tab says"), *RIG_SIDES],
        default="AS_SET",
        options={"SKIP_SAVE"},
    )

    def execute(self, context: bpy.types.Context) -> set[str]:
        return self.ask(lambda: self._complete(context))

    def _complete(self, context: bpy.types.Context) -> None:
        from ..apply import pose
        from ..capture import armature, motion

        ob, scene = context.object, context.scene
        if ob is None:
            raise Problem("no_armature", "No object is active: click the armature whose hand moves.")
        chosen = scene.hhmr
        side = chosen.side if self.side == "AS_SET" else self.side
        if side == "BOTH":
            hands = armature.capture_both(ob, chosen.bones, chosen.fingers)
        else:
            hands = [armature.capture(ob, chosen.bones, side, chosen.fingers)]
        pose.check_editable(ob)
        frames = motion.frame_range(scene)
        for one in motion.capture(scene, ob, hands, frames):
            self._ask_for(context, ob, one, frames)

    def _ask_for(
        self, context: bpy.types.Context, ob: bpy.types.Object, moving: MotionHand, frames: range
    ) -> None:
        chosen, found = context.scene.hhmr, moving.found
        asked = request(context, "motion", found.side)
        asked |= {"count": chosen.motion_count, "jerk": chosen.jerk, "fit": False}
        asked |= {"root_rho": chosen.root_rho, "separate": False}
        target = Target("MOTION", Matrix.Translation(Vector(moving.origin.tolist())), ob.session_uid, ob.name)
        kept = np.flatnonzero(np.isfinite(found.joints).all(axis=1)).tolist()
        note = {"source": "motion", "armature": ob.name, "wrist": found.hand.bones[0], "kept": kept}
        note |= {"start": frames[0], "end": frames[-1]}
        session.follow(asked, {"frames": moving.frames}, target, note)


class HHMR_OT_show_motion(bpy.types.Operator):
    """Have the rig play this motion; the others stay, as actions"""

    bl_idname = "hhmr.show_motion"
    bl_label = "Show Motion"
    bl_options = {"REGISTER", "UNDO"}

    action: StringProperty(name="Action", options={"SKIP_SAVE"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return context.object is not None and context.object.type == "ARMATURE"

    def execute(self, context: bpy.types.Context) -> set[str]:
        from ..apply import motion

        rig, action = context.object, bpy.data.actions.get(self.action)
        if action is None or action not in (*motion.motions(rig), motion.before(rig)):
            self.report({"ERROR"}, f"'{rig.name}' has no motion '{self.action}'.")
            return {"CANCELLED"}
        try:
            motion.show(rig, action)
        except Problem as problem:
            session.asked_by = "hhmr.complete_motion"
            return report(self, problem)
        return {"FINISHED"}


class HHMR_OT_discard_motions(bpy.types.Operator):
    """Remove the motions that the rig does not play"""

    bl_idname = "hhmr.discard_motions"
    bl_label = "Discard the Rest"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return context.object is not None and context.object.type == "ARMATURE"

    def execute(self, context: bpy.types.Context) -> set[str]:
        from ..apply import motion

        gone = motion.discard(context.object)
        self.report({"INFO"}, f"{gone} discarded.")
        return {"FINISHED"} if gone else {"CANCELLED"}


CLASSES = (HHMR_OT_complete_motion, HHMR_OT_show_motion, HHMR_OT_discard_motions)
