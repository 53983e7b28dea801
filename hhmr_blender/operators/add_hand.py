"""Add > Mesh > HHMR Hand."""

from __future__ import annotations

import bpy
from bpy.props import EnumProperty
from bpy_extras.object_utils import AddObjectHelper, add_object_align_init


class HHMR_OT_add_hand(bpy.types.Operator, AddObjectHelper):
    """Add a hand that HHMR can complete: delete what is wrong of it, or pose and sculpt what is right"""

    bl_idname = "hhmr.add_hand"
    bl_label = "HHMR Hand"
    bl_options = {"REGISTER", "UNDO"}

    side: EnumProperty(
        name="Side",
        items=[("RIGHT", "Right", "A right hand"), ("LEFT", "Left", "A left hand")],
        default="RIGHT",
    )

    def execute(self, context: bpy.types.Context) -> set[str]:
        from ..apply import hand_object

        if context.mode != "OBJECT":
            bpy.ops.object.mode_set(mode="OBJECT")
        ob = hand_object.add("HHMR Hand", self.side.lower(), [context.collection or context.scene.collection])
        ob.matrix_world = add_object_align_init(context, operator=self)
        hand_object.select_only(ob, context.view_layer)
        return {"FINISHED"}


def draw_menu(menu: bpy.types.Menu, _context: bpy.types.Context) -> None:
    """Entries of the Add > Mesh menu."""
    menu.layout.separator()
    for side in ("Right", "Left"):
        entry = menu.layout.operator(HHMR_OT_add_hand.bl_idname, text=f"HHMR Hand ({side})", icon="VIEW_PAN")
        entry.side = side.upper()


CLASSES = (HHMR_OT_add_hand,)
