"""From a picture, or from a 2D skeleton before the camera."""

from __future__ import annotations

import bpy

from .parts import Tab, draw_ask

THUMBNAIL = 6.0


class HHMR_PT_image(Tab, bpy.types.Panel):
    """From a picture of a hand, where the scene's camera sees it."""

    bl_label = "From Image"
    bl_order = 2
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        from ..operators.image import picture_of

        layout, scene = self.layout, context.scene
        chosen, image = scene.hhmr, picture_of(scene)
        layout.template_ID(chosen, "photo", open="image.open")
        if image is not None:
            layout.template_icon(icon_value=layout.icon(image), scale=THUMBNAIL)
            if chosen.photo is None:
                layout.label(text="The camera's background", icon="CAMERA_DATA")
            draw_box(layout, image, "hhmr.draw_box_in_editor")
        layout.row().prop(chosen, "photo_side", expand=True)
        layout.prop(chosen, "palm")
        draw_camera(layout, scene, image)
        draw_ask(layout, context, "hhmr.reconstruct", "IMAGE_DATA")
        draw_hands(layout, context.object)


def draw_box(layout: bpy.types.UILayout, image: bpy.types.Image, operator: str) -> None:
    """The box on a picture, as numbers, and what is done with it."""
    row = layout.row(align=True)
    row.operator(operator, icon="SELECT_SET")
    if image.hhmr_box[2] > 0:
        row.operator("hhmr.clear_box", text="", icon="X")
        grid = layout.grid_flow(columns=2, align=True, row_major=True)
        for i, text in enumerate(("X", "Y", "Width", "Height")):
            grid.prop(image, "hhmr_box", index=i, text=text)


def draw_camera(layout: bpy.types.UILayout, scene: bpy.types.Scene, image: bpy.types.Image | None) -> None:
    """What the camera lacks, and whether it shows the picture."""
    if scene.camera is None:
        row = layout.row(align=True)
        row.label(text="No camera", icon="ERROR")
        row.operator("hhmr.add_camera", icon="ADD")
        return
    from ..capture.camera import agrees, pixels

    if image is not None:
        layout.prop(scene.hhmr, "photo_behind")
        if pixels(image)[1] and not agrees(scene, image):
            layout.operator("hhmr.match_render", icon="RESTRICT_RENDER_OFF")


def draw_hands(layout: bpy.types.UILayout, ob: bpy.types.Object | None) -> None:
    """Buttons for the other hands of the picture that the active one was found in."""
    from ..apply import shape_keys

    known = shape_keys.provenance(ob.data) if ob is not None and ob.type == "MESH" else None
    hands = known.request.get("hands", 1) if known is not None and "image" in known.request else 1
    if hands < 2:
        return
    layout.label(text=f"{hands} hands found:")
    row = layout.row(align=True)
    for i in range(min(hands, 6)):
        shown = known.request.get("which") == i
        row.operator("hhmr.reconstruct", text=str(i + 1), depress=shown).hand = i + 1


class HHMR_PT_skeleton2d(Tab, bpy.types.Panel):
    """Joints as empties before the camera."""

    bl_label = "2D Skeleton"
    bl_parent_id = "HHMR_PT_image"

    def draw(self, context: bpy.types.Context) -> None:
        from ..capture import skeleton2d

        layout = self.layout
        root = skeleton2d.root_of(context.object)
        row = layout.row(align=True)
        row.operator("hhmr.edit_skeleton", icon="EMPTY_DATA")
        row.operator("hhmr.add_skeleton", icon="ADD", text="Add")
        if root is not None:
            shown = len(skeleton2d.joints(root))
            layout.label(text=f"{root.name}: {shown} of 21 joints known", icon="INFO")
        draw_ask(layout, context, "hhmr.fit_skeleton", "CON_KINEMATIC")


class HHMR_PT_box(bpy.types.Panel):
    """The box, where it is drawn."""

    bl_label = "Hand"
    bl_space_type = "IMAGE_EDITOR"
    bl_region_type = "UI"
    bl_category = "HHMR"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return getattr(context.space_data, "image", None) is not None

    def draw(self, context: bpy.types.Context) -> None:
        draw_box(self.layout, context.space_data.image, "hhmr.draw_box")


CLASSES = (HHMR_PT_image, HHMR_PT_skeleton2d, HHMR_PT_box)
