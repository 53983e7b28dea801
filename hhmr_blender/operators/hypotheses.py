"""Choose among the hypotheses of a hand."""

from __future__ import annotations

import bpy
from bpy.props import StringProperty

from ..session import session


class OnHypotheses:
    """Operators that need an active object with hypotheses."""

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        from ..apply import shape_keys

        return context.object is not None and bool(shape_keys.hypotheses(context.object))


class HHMR_OT_show(OnHypotheses, bpy.types.Operator):
    """Show exactly this hypothesis"""

    bl_idname = "hhmr.show"
    bl_label = "Show Hypothesis"
    bl_options = {"REGISTER", "UNDO"}

    name: StringProperty(name="Shape Key")

    def execute(self, context: bpy.types.Context) -> set[str]:
        from ..apply import shape_keys

        if self.name not in context.object.data.shape_keys.key_blocks:
            self.report({"ERROR"}, f"There is no shape key '{self.name}'.")
            return {"CANCELLED"}
        shape_keys.show(context.object, self.name)
        return {"FINISHED"}


class HHMR_OT_keep(OnHypotheses, bpy.types.Operator):
    """Keep this hypothesis: neither Discard the Rest nor the next request removes it"""

    bl_idname = "hhmr.keep"
    bl_label = "Keep"
    bl_options = {"REGISTER", "UNDO"}

    name: StringProperty(name="Shape Key")

    def execute(self, context: bpy.types.Context) -> set[str]:
        from ..apply import shape_keys

        entry = next((one for one in shape_keys.hypotheses(context.object) if one.name == self.name), None)
        if entry is None:
            self.report({"ERROR"}, f"'{self.name}' is not one of the hypotheses.")
            return {"CANCELLED"}
        shape_keys.keep(context.object, self.name, not entry.kept)
        return {"FINISHED"}


class HHMR_OT_discard_rest(OnHypotheses, bpy.types.Operator):
    """Remove every hypothesis that is not kept; without any kept, all but the one that is shown"""

    bl_idname = "hhmr.discard_rest"
    bl_label = "Discard the Rest"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        from ..apply import result, shape_keys

        with result.object_mode(context, context.object):
            gone = shape_keys.discard_rest(context.object)
        if gone == 0:
            self.report({"INFO"}, "Show or keep a hypothesis first: then the others are the rest.")
            return {"CANCELLED"}
        self.report({"INFO"}, f"{gone} discarded.")
        return {"FINISHED"}


class HHMR_OT_blend(OnHypotheses, bpy.types.Operator):
    """Mix the hypotheses by their sliders, or go back to showing exactly one"""

    bl_idname = "hhmr.blend"
    bl_label = "Blend"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        from ..apply import shape_keys

        shape_keys.blend(context.object, on=context.object.show_only_shape_key)
        return {"FINISHED"}


class HHMR_OT_dismiss(bpy.types.Operator):
    """Take this message away"""

    bl_idname = "hhmr.dismiss"
    bl_label = "Dismiss"
    bl_options = {"INTERNAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        session.notice = None
        return {"FINISHED"}


CLASSES = (HHMR_OT_show, HHMR_OT_keep, HHMR_OT_discard_rest, HHMR_OT_blend, HHMR_OT_dismiss)
