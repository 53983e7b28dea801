"""What came, to choose from."""

from __future__ import annotations

import bpy

from .parts import Tab


class HHMR_UL_hypotheses(bpy.types.UIList):
    """Rows of hypotheses among the shape keys of a mesh."""

    def draw_item(
        self,
        context: bpy.types.Context,
        layout: bpy.types.UILayout,
        data: bpy.types.Key,
        item: bpy.types.ShapeKey,
        icon: int | None,
        active_data: bpy.types.Object,
        active_property: str | None,
        index: int | None = 0,
        flt_flag: int | None = 0,
    ) -> None:
        from ..apply import shape_keys

        entry = next((one for one in shape_keys.hypotheses(active_data) if one.name == item.name), None)
        row = layout.row(align=True)
        row.label(text=item.name)
        if not active_data.show_only_shape_key:
            row.prop(item, "value", text="", slider=True)
        if entry is not None:
            pin = "PINNED" if entry.kept else "UNPINNED"
            row.operator("hhmr.keep", text="", icon=pin, emboss=False).name = item.name

    def filter_items(
        self, context: bpy.types.Context, data: bpy.types.Key, property: str
    ) -> tuple[list[int], list[int]]:
        from ..apply import shape_keys

        names = {one.name for one in shape_keys.hypotheses(context.object)}
        shown = self.bitflag_filter_item
        return [shown if key.name in names else 0 for key in getattr(data, property)], []


class HHMR_PT_hypotheses(Tab, bpy.types.Panel):
    """What came, to choose from."""

    bl_label = "Hypotheses"
    bl_order = 3

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        from ..apply import shape_keys

        return context.object is not None and bool(shape_keys.hypotheses(context.object))

    def draw(self, context: bpy.types.Context) -> None:
        from ..apply import shape_keys

        layout, ob = self.layout, context.object
        found = shape_keys.hypotheses(ob)
        layout.template_list(
            "HHMR_UL_hypotheses", "", ob.data.shape_keys, "key_blocks", ob, "active_shape_key_index", rows=8
        )
        shown = next(
            (one for one in found if ob.active_shape_key and one.name == ob.active_shape_key.name), None
        )
        if shown is not None:
            column = layout.column(align=True)
            known = shape_keys.provenance(ob.data)
            what = "Seen joints" if known and "rays" in known.request else "Kept part"
            column.label(text=f"{what} off by {shown.residual_mm:.1f} mm")
            column.label(text=f"Self-intersection: {shown.self_intersection:.1f} %")
        row = layout.row(align=True)
        row.operator("hhmr.blend", depress=not ob.show_only_shape_key)
        row.operator("hhmr.discard_rest")
        known = shape_keys.provenance(ob.data)
        if (known and "armature" in known.request) or len(context.selected_objects) > 1:
            layout.operator("hhmr.to_armature", icon="ARMATURE_DATA")


CLASSES = (HHMR_UL_hypotheses, HHMR_PT_hypotheses)
