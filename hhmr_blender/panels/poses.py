"""The hypotheses of a rig's hands, as poses to choose from."""

from __future__ import annotations

import bpy

from .parts import Tab


class HHMR_UL_poses(bpy.types.UIList):
    """Rows of poses of an armature."""

    def draw_item(
        self,
        context: bpy.types.Context,
        layout: bpy.types.UILayout,
        data: bpy.types.Object,
        item: bpy.types.PropertyGroup,
        icon: int | None,
        active_data: bpy.types.Object,
        active_property: str | None,
        index: int | None = 0,
        flt_flag: int | None = 0,
    ) -> None:
        row = layout.row(align=True)
        row.label(text=item.name, icon="LOOP_BACK" if item.before else "POSE_HLT")
        if not item.before:
            pin = "PINNED" if item.kept else "UNPINNED"
            row.operator("hhmr.keep_pose", text="", icon=pin, emboss=False).index = index


class HHMR_PT_poses(Tab, bpy.types.Panel):
    """What came for a rig, to choose from."""

    bl_label = "Poses"
    bl_order = 3

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        from ..apply import pose_list

        return pose_list.rig_of(context) is not None

    def draw(self, context: bpy.types.Context) -> None:
        from ..apply import pose_list

        layout, rig = self.layout, pose_list.rig_of(context)
        if rig != context.object:
            layout.label(text=rig.name, icon="ARMATURE_DATA")
        layout.template_list("HHMR_UL_poses", "", rig, "hhmr_poses", rig, "hhmr_pose_index", rows=8)
        shown = pose_list.active(rig)
        if shown is not None and shown.about is not None:
            layout.label(text=f"Self-intersection: {shown.about['self_intersection']:.1f} %")
        row = layout.row(align=True)
        row.operator("hhmr.key_pose", icon="KEY_HLT")
        row.operator("hhmr.discard_poses")
        layout.label(text="Save as Pose Assets:")
        row = layout.row(align=True)
        row.operator("hhmr.save_pose_assets", text="Shown", icon="ASSET_MANAGER").which = "SHOWN"
        row.operator("hhmr.save_pose_assets", text="All").which = "ALL"


CLASSES = (HHMR_UL_poses, HHMR_PT_poses)
