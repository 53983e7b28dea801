"""From the joints of a rig, and which of its bones they are."""

from __future__ import annotations

import bpy

from ..capture import mapping
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
        hand = mapping.stored(ob, chosen.mapping_side.lower())
        if not hand.read:
            layout.label(text="Not stored: found each time.", icon="INFO")
        elif hand.note:
            wrapped(layout.column(align=True), hand.note, context, icon="INFO")
        layout.row().prop(chosen, "mapping_shows", expand=True)
        if chosen.mapping_shows == "WRITE":
            layout.label(text="Empty: the bone that is read.")
        fields = layout.column()
        fields.enabled = ob.is_editable
        draw_bones(fields, ob, chosen.mapping_bones, chosen.mapping_shows == "READ")


def draw_bones(
    layout: bpy.types.UILayout, ob: bpy.types.Object, bones: bpy.types.PropertyGroup, tips: bool
) -> None:
    """A field for the bone of every joint; names of bones that are not there are red."""
    _draw_bone(layout.column(align=True), ob, bones, 0, "Wrist")
    for label, chain in zip(LABELS, CHAINS):
        column = layout.column(align=True)
        for i, joint in enumerate(chain if tips else chain[:3]):
            _draw_bone(column, ob, bones, joint, f"{label} {i + 1}" if i < 3 else "Tip")


def _draw_bone(
    column: bpy.types.UILayout, ob: bpy.types.Object, bones: bpy.types.PropertyGroup, joint: int, text: str
) -> None:
    row = column.split(factor=0.27)  # names are long
    row.label(text=text)
    bone = getattr(bones, JOINTS[joint])
    row.alert = bool(bone) and bone not in ob.data.bones
    row.prop_search(bones, JOINTS[joint], ob.data, "bones", text="")


CLASSES = (HHMR_PT_armature, HHMR_PT_mapping)
