"""Which bones are a hand: found, forgotten, or taken for the other side."""

from __future__ import annotations

import bpy
from bpy.props import EnumProperty

from ..problems import Problem
from ..session import session
from .generate import report


class _OnArmature:
    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return context.object is not None and context.object.type == "ARMATURE"

    def checked(self, context: bpy.types.Context) -> bpy.types.Object:
        """The armature. Raises Problem where nothing can be stored on it."""
        ob = context.object
        if not ob.is_editable:
            raise Problem(
                "linked", f"'{ob.name}' is linked from a library: make a library override of it first."
            )
        return ob

    def failed(self, problem: Problem) -> set[str]:
        """Say what is wrong where the armature's button is."""
        session.asked_by = "hhmr.from_armature"
        return report(self, problem)


class HHMR_OT_detect_mapping(_OnArmature, bpy.types.Operator):
    """Find the bones of the hands by their names, or by how they hang and lie, and store them here"""

    bl_idname = "hhmr.detect_mapping"
    bl_label = "Detect"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        from ..capture import armature as capture
        from ..capture import mapping

        try:
            ob = self.checked(context)
            hands = capture.detected_for(ob)
        except Problem as problem:
            return self.failed(problem)
        for hand in hands:
            mapping.store(ob, hand)
        for text in (text for hand in hands for text in (hand.doubt, hand.remark) if text):
            self.report({"WARNING"}, text)
        self.report({"INFO"}, ", ".join(f"{hand.side.capitalize()}: {hand.rig.label}" for hand in hands))
        if session.notice is not None and session.notice.code in (
            "unsure_hand",
            "stale_mapping",
            "no_rig_hand",
        ):
            session.notice = None
        return {"FINISHED"}


class HHMR_OT_clear_mapping(_OnArmature, bpy.types.Operator):
    """Forget the bones that are stored here: the hand is found anew each time it is read"""

    bl_idname = "hhmr.clear_mapping"
    bl_label = "Clear"
    bl_options = {"REGISTER", "UNDO"}

    side: EnumProperty(name="Side", items=[("RIGHT", "Right", ""), ("LEFT", "Left", "")], default="RIGHT")

    def execute(self, context: bpy.types.Context) -> set[str]:
        from ..capture import mapping

        try:
            mapping.clear(self.checked(context), self.side.lower())
        except Problem as problem:
            return self.failed(problem)
        return {"FINISHED"}


class HHMR_OT_swap_mapping(_OnArmature, bpy.types.Operator):
    """Take the right hand for the left one, and the other way round"""

    bl_idname = "hhmr.swap_mapping"
    bl_label = "Swap Sides"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        from ..capture import mapping

        try:
            mapping.swap(self.checked(context))
        except Problem as problem:
            return self.failed(problem)
        return {"FINISHED"}


CLASSES = (HHMR_OT_detect_mapping, HHMR_OT_clear_mapping, HHMR_OT_swap_mapping)
