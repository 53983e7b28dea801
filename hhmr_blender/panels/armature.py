"""From the joints of a rig."""

from __future__ import annotations

import bpy

from .parts import Tab, draw_ask


class HHMR_PT_armature(Tab, bpy.types.Panel):
    """From the joints of a rig."""

    bl_label = "From Armature"
    bl_order = 1

    def draw(self, context: bpy.types.Context) -> None:
        layout, chosen = self.layout, context.scene.hhmr
        layout.row().prop(chosen, "bones", expand=True)
        layout.row().prop(chosen, "side", expand=True)
        draw_ask(layout, context, "hhmr.from_armature", "ARMATURE_DATA")


CLASSES = (HHMR_PT_armature,)
