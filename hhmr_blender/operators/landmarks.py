"""Empties for a hand's wrist and fingertips."""

from __future__ import annotations

import bpy

from ..problems import Problem
from .generate import report


class HHMR_OT_add_landmarks(bpy.types.Operator):
    """Make empties for the wrist and the fingertips: those that you put on the mesh show where they are"""

    bl_idname = "hhmr.add_landmarks"
    bl_label = "Add Landmarks"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return context.object is not None and context.object.type == "MESH"

    def execute(self, context: bpy.types.Context) -> set[str]:
        from ..capture import landmarks

        ob = context.object
        if not ob.is_editable:
            return report(
                self, Problem("linked", f"'{ob.name}' is linked from a library: make it local first.")
            )
        made = landmarks.add(ob, [context.collection or context.scene.collection])
        if not made:
            self.report({"INFO"}, "All six are there already.")
            return {"CANCELLED"}
        return {"FINISHED"}


CLASSES = (HHMR_OT_add_landmarks,)
