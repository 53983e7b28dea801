"""Where the hand is in the picture: a box dragged in the Image Editor."""

from __future__ import annotations

import bpy

from .. import overlay
from ..problems import Problem
from .generate import report
from .image import picture_of

SMALLEST = 8
"""Pixels of the picture: what is smaller was a click."""
NAVIGATION = {"MIDDLEMOUSE", "WHEELUPMOUSE", "WHEELDOWNMOUSE", "TRACKPADPAN", "TRACKPADZOOM", "HOME"}


class HHMR_OT_draw_box(bpy.types.Operator):
    """Drag a box around the hand that is meant"""

    bl_idname = "hhmr.draw_box"
    bl_label = "Draw Box"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return context.area is not None and context.area.type == "IMAGE_EDITOR"

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        self.image = context.space_data.image
        if self.image is None or not self.image.size[1]:
            return report(self, Problem("no_photo", "Show a picture in the Image Editor first."))
        self.start: tuple[int, int] | None = None
        context.window.cursor_modal_set("CROSSHAIR")
        context.area.header_text_set("Drag a box around the hand. Esc: leave it as it is.")
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if event.type in NAVIGATION:
            return {"PASS_THROUGH"}
        if event.type in ("ESC", "RIGHTMOUSE"):
            return self._end(context, {"CANCELLED"})
        here = self._pixel(context, event)
        if event.type == "LEFTMOUSE" and event.value == "PRESS":
            self.start = here
        elif event.type == "LEFTMOUSE" and event.value == "RELEASE" and self.start is not None:
            return self._drawn(context, box_between(self.start, here, tuple(self.image.size)))
        elif self.start is not None:
            overlay.dragged = box_between(self.start, here, tuple(self.image.size))
            context.area.tag_redraw()
        return {"RUNNING_MODAL"}

    def _pixel(self, context: bpy.types.Context, event: bpy.types.Event) -> tuple[int, int]:
        x, y = context.region.view2d.region_to_view(event.mouse_region_x, event.mouse_region_y)
        width, height = self.image.size
        return round(x * width), round((1 - y) * height)

    def _drawn(self, context: bpy.types.Context, box: tuple[int, int, int, int]) -> set[str]:
        if min(box[2:]) < SMALLEST:
            self.report({"INFO"}, "Drag from one corner of the hand to the other.")
            return self._end(context, {"CANCELLED"})
        self.image.hhmr_box = box
        return self._end(context, {"FINISHED"})

    def _end(self, context: bpy.types.Context, how: set[str]) -> set[str]:
        overlay.dragged = None
        context.window.cursor_modal_restore()
        context.area.header_text_set(None)
        context.area.tag_redraw()
        return how


def box_between(
    one: tuple[int, int], other: tuple[int, int], size: tuple[int, ...]
) -> tuple[int, int, int, int]:
    """x, y, width, height of the box with these corners, as far as it lies in the picture."""
    low = [min(max(min(a, b), 0), length) for a, b, length in zip(one, other, size)]
    high = [min(max(max(a, b), 0), length) for a, b, length in zip(one, other, size)]
    return low[0], low[1], high[0] - low[0], high[1] - low[1]


class HHMR_OT_draw_box_in_editor(bpy.types.Operator):
    """Drag a box around the hand that is meant, in an Image Editor; a window opens where there is none"""

    bl_idname = "hhmr.draw_box_in_editor"
    bl_label = "Draw Box"
    bl_options = {"INTERNAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        image = picture_of(context.scene)
        if image is None:
            return report(self, Problem("no_photo", "Choose a picture first, to draw a box on."))
        if bpy.app.background:
            return report(self, Problem("no_window", "Without a window, set the image's hhmr_box instead."))
        window, area = _editor(context)
        area.spaces.active.image = image
        region = next(one for one in area.regions if one.type == "WINDOW")
        with context.temp_override(window=window, area=area, region=region):
            bpy.ops.image.view_all(fit_view=True)
            bpy.ops.hhmr.draw_box("INVOKE_DEFAULT")
        return {"FINISHED"}


def _editor(context: bpy.types.Context) -> tuple[bpy.types.Window, bpy.types.Area]:
    """An open Image Editor, else one in a window of its own."""
    for window in context.window_manager.windows:
        for area in window.screen.areas:
            if area.ui_type == "IMAGE_EDITOR":
                return window, area
    bpy.ops.wm.window_new()
    window = context.window_manager.windows[-1]
    area = max(window.screen.areas, key=lambda one: one.width * one.height)
    area.ui_type = "IMAGE_EDITOR"
    return window, area


class HHMR_OT_clear_box(bpy.types.Operator):
    """Forget the box: the hand is looked for in the whole picture"""

    bl_idname = "hhmr.clear_box"
    bl_label = "Clear Box"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        image = context.space_data.image if HHMR_OT_draw_box.poll(context) else picture_of(context.scene)
        if image is None:
            return {"CANCELLED"}
        image.hhmr_box = (0, 0, 0, 0)
        return {"FINISHED"}


CLASSES = (HHMR_OT_draw_box, HHMR_OT_draw_box_in_editor, HHMR_OT_clear_box)
