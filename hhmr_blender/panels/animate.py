"""Fingers over a range of frames."""

from __future__ import annotations

import bpy

from .parts import Tab, draw_ask


class HHMR_PT_motion(Tab, bpy.types.Panel):
    """Fingers over a range of frames; which are kept, From Armature says."""

    bl_label = "Motion"
    bl_parent_id = "HHMR_PT_armature"
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return context.object is not None and context.object.type == "ARMATURE"

    def draw(self, context: bpy.types.Context) -> None:
        from ..apply import motion

        layout, scene, rig = self.layout, context.scene, context.object
        chosen = scene.hhmr
        layout.row().prop(chosen, "motion_range", expand=True)
        if chosen.motion_range == "OWN":
            row = layout.row(align=True)
            row.prop(chosen, "motion_start")
            row.prop(chosen, "motion_end")
        column = layout.column(align=True)
        column.prop(chosen, "motion_count")
        column.prop(chosen, "jerk")
        draw_ask(layout, context, "hhmr.complete_motion", "ANIM")
        found = motion.motions(rig)
        if found:
            draw_motions(layout, rig, found)


def draw_motions(layout: bpy.types.UILayout, rig: bpy.types.Object, found: list[bpy.types.Action]) -> None:
    """A row for every motion, and for the action before them; the one that plays is pressed."""
    from ..apply import motion

    playing = rig.animation_data.action if rig.animation_data is not None else None
    before = motion.before(rig)
    column = layout.column(align=True)
    for action in [*([before] if before is not None else []), *found]:
        text = f"Before ({action.name})" if action == before else action.name
        button = column.operator("hhmr.show_motion", text=text, depress=action == playing, icon="ACTION")
        button.action = action.name
    layout.operator("hhmr.discard_motions", icon="TRASH")


CLASSES = (HHMR_PT_motion,)
