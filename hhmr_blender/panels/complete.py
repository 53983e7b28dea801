"""From a part of a hand, from nothing, and the settings that all requests share."""

from __future__ import annotations

import bpy

from .parts import Tab, draw_ask

ATTRIBUTE = "hhmr_vertex"
"""See capture/mesh.py, which is not imported for drawing: it loads numpy."""


class HHMR_PT_complete(Tab, bpy.types.Panel):
    """From a part of a hand, of whatever mesh."""

    bl_label = "Complete"
    bl_order = 0

    def draw(self, context: bpy.types.Context) -> None:
        layout, chosen, ob = self.layout, context.scene.hhmr, context.object
        layout.label(text="Keep:")
        layout.row().prop(chosen, "keep", expand=True)
        mesh = ob is not None and ob.type == "MESH"
        if chosen.keep == "GROUP" and mesh:
            layout.prop_search(chosen, "group", ob, "vertex_groups", text="")
        elif chosen.keep == "SELECTION" and mesh and ob.mode == "EDIT":
            layout.label(text=f"Keeps {ob.data.total_vert_sel:,} of {len(ob.data.vertices):,} vertices")
        # Our own hands know their side and their joints.
        if mesh and ATTRIBUTE not in ob.data.attributes:
            layout.row().prop(chosen, "mesh_side", expand=True)
            _draw_landmarks(layout, ob)
        draw_ask(layout, context, "hhmr.complete", "VIEW_PAN")


def _draw_landmarks(layout: bpy.types.UILayout, ob: bpy.types.Object) -> None:
    header, body = layout.panel("hhmr_landmarks", default_closed=True)
    header.label(text="Landmarks")
    if body is None:
        return
    column = body.column(align=True)
    for name in ("wrist", "thumb", "index", "middle", "ring", "pinky"):
        column.prop(ob.hhmr_landmarks, name)
    body.operator("hhmr.add_landmarks", icon="EMPTY_DATA")


class HHMR_PT_generate(Tab, bpy.types.Panel):
    """From nothing."""

    bl_label = "Generate"
    bl_order = 2
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.row().prop(context.scene.hhmr, "new_side", expand=True)
        draw_ask(layout, context, "hhmr.generate", "ADD")


class HHMR_PT_settings(Tab, bpy.types.Panel):
    """What all three share."""

    bl_label = "Settings"
    bl_order = 4

    def draw(self, context: bpy.types.Context) -> None:
        layout, chosen = self.layout, context.scene.hhmr
        layout.use_property_split = True
        layout.use_property_decorate = False
        column = layout.column()
        column.prop(chosen, "count")
        column.prop(chosen, "seed")
        header, body = layout.panel("hhmr_more_settings", default_closed=True)
        header.label(text="More")
        if body is not None:
            body.prop(chosen, "steps")
            body.prop(chosen, "rho")
            body.prop(chosen, "root_rho")
            body.prop(chosen, "method")
            body.prop(chosen, "separate")
            body.prop(chosen, "fit")


CLASSES = (HHMR_PT_complete, HHMR_PT_generate, HHMR_PT_settings)
