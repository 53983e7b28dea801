"""From the joints of a rig, and which of its bones they are."""

from __future__ import annotations

import bpy

from ..rigs.tables import CHAINS, JOINTS
from .parts import Tab, draw_ask, wrapped

LABELS = ("Thumb", "Index", "Middle", "Ring", "Pinky")


class HHMR_PT_armature(Tab, bpy.types.Panel):
    """From the joints of a rig."""

    bl_label = "From Armature"
    bl_order = 1

    def draw(self, context: bpy.types.Context) -> None:
        layout, chosen = self.layout, context.scene.hhmr
        layout.label(text="Keep:")
        layout.row().prop(chosen, "bones", expand=True)
        if chosen.bones == "FINGERS":
            layout.row(align=True).prop(chosen, "fingers", expand=True)
        layout.row().prop(chosen, "side", expand=True)
        draw_ask(layout, context, "hhmr.from_armature", "ARMATURE_DATA")


class HHMR_PT_mapping(Tab, bpy.types.Panel):
    """Joints -> bones, stored on the armature."""

    bl_label = "Mapping"
    bl_parent_id = "HHMR_PT_armature"
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return context.object is not None and context.object.type == "ARMATURE"

    def draw(self, context: bpy.types.Context) -> None:
        layout, chosen, ob = self.layout, context.scene.hhmr, context.object
        row = layout.row(align=True)
        row.operator("hhmr.detect_mapping", icon="VIEWZOOM")
        row.operator("hhmr.swap_mapping", text="", icon="ARROW_LEFTRIGHT")
        row.operator("hhmr.clear_mapping", text="", icon="X").side = chosen.mapping_side
        layout.row().prop(chosen, "mapping_side", expand=True)
        stored = getattr(ob.hhmr_mapping, chosen.mapping_side.lower())
        if not any(getattr(stored.read, joint) for joint in JOINTS):
            wrapped(layout.column(align=True), "Found anew each time.", context, icon="INFO")
        elif stored.note:
            wrapped(layout.column(align=True), stored.note, context, icon="INFO")
        layout.row().prop(chosen, "mapping_shows", expand=True)
        draw_bones(layout, ob, stored, chosen.mapping_shows)


def draw_bones(
    layout: bpy.types.UILayout, ob: bpy.types.Object, stored: bpy.types.PropertyGroup, shows: str
) -> None:
    """A field for the bone of every joint; fields of bones that are not there are red."""
    names = stored.read if shows == "READ" else stored.write
    layout.use_property_split = True
    layout.use_property_decorate = False
    column = layout.column(align=True)
    _draw_bone(column, ob, names, 0, "Wrist")
    for label, chain in zip(LABELS, CHAINS):
        column = layout.column(align=True)
        joints = chain if shows == "READ" else chain[:3]
        for i, joint in enumerate(joints):
            _draw_bone(column, ob, names, joint, f"{label} {i + 1}" if i < 3 else "Tip")


def _draw_bone(
    column: bpy.types.UILayout, ob: bpy.types.Object, names: bpy.types.PropertyGroup, joint: int, text: str
) -> None:
    row = column.row(align=True)
    name = getattr(names, JOINTS[joint])
    row.alert = bool(name) and name not in ob.data.bones
    row.prop_search(names, JOINTS[joint], ob.data, "bones", text=text)


CLASSES = (HHMR_PT_armature, HHMR_PT_mapping)
