"""The HHMR tab of the 3D viewport's sidebar. Drawing only: nothing here looks further than the session."""

from __future__ import annotations

import blf
import bpy

from .problems import ENGINE, MENDS
from .session import session

STATES = {
    "stopped": ("Stopped (starts when needed)", "RADIOBUT_OFF"),
    "starting": ("Starting ...", "SORTTIME"),
    "ready": ("Ready", "RADIOBUT_ON"),
    "outdated": ("Outdated", "ERROR"),
    "failed": ("Failed", "ERROR"),
}


class Tab:
    """Where every panel of ours is."""

    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "HHMR"


class HHMR_PT_complete(Tab, bpy.types.Panel):
    """From a partial hand."""

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
        draw_ask(layout, context, "hhmr.complete", "VIEW_PAN")


class HHMR_PT_armature(Tab, bpy.types.Panel):
    """From the joints of a rig."""

    bl_label = "From Armature"
    bl_order = 1

    def draw(self, context: bpy.types.Context) -> None:
        layout, chosen = self.layout, context.scene.hhmr
        layout.row().prop(chosen, "bones", expand=True)
        layout.row().prop(chosen, "side", expand=True)
        draw_ask(layout, context, "hhmr.from_armature", "ARMATURE_DATA")


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
            body.prop(chosen, "method")
            body.prop(chosen, "fit")


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
        from .apply import shape_keys

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
        from .apply import shape_keys

        names = {one.name for one in shape_keys.hypotheses(context.object)}
        shown = self.bitflag_filter_item
        return [shown if key.name in names else 0 for key in getattr(data, property)], []


class HHMR_PT_hypotheses(Tab, bpy.types.Panel):
    """What came, to choose from."""

    bl_label = "Hypotheses"
    bl_order = 3

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        from .apply import shape_keys

        return context.object is not None and bool(shape_keys.hypotheses(context.object))

    def draw(self, context: bpy.types.Context) -> None:
        from .apply import shape_keys

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
            column.label(text=f"Kept part off by {shown.residual_mm:.1f} mm")
            column.label(text=f"Self-intersection: {shown.self_intersection:.1f} %")
        row = layout.row(align=True)
        row.operator("hhmr.blend", depress=not ob.show_only_shape_key)
        row.operator("hhmr.discard_rest")
        known = shape_keys.provenance(ob.data)
        if (known and "armature" in known.request) or len(context.selected_objects) > 1:
            layout.operator("hhmr.to_armature", icon="ARMATURE_DATA")


class HHMR_PT_engine(Tab, bpy.types.Panel):
    """The engine's state."""

    bl_label = "Engine"
    bl_order = 5
    bl_options = {"DEFAULT_CLOSED"}

    def draw_header_preset(self, context: bpy.types.Context) -> None:
        self.layout.operator("hhmr.open_preferences", text="", icon="PREFERENCES", emboss=False)
        self.layout.separator()

    def draw(self, context: bpy.types.Context) -> None:
        draw_engine(self.layout, context)


def draw_engine(layout: bpy.types.UILayout, context: bpy.types.Context, in_preferences: bool = False) -> None:
    """State of the engine and what can be done about it; for the tab and for the preferences."""
    from .engine_command import has_engine

    client = session.client
    state = client.state if client is not None else "stopped"
    text, icon = STATES[state]
    if state == "stopped" and not has_engine():
        text = "Not installed"
    if client is not None and client.status == "loading":
        text, icon = "Loading ...", "SORTTIME"
    column = layout.column()
    column.label(text=text, icon=icon)
    if client is not None and client.state == "ready":
        for name in ("device", "weights", "template"):
            if client.info.get(name):
                column.label(text=f"{name.capitalize()}: {client.info[name]}", icon="BLANK1")
    if client is not None and client.error:
        wrapped(column, client.error, context)
    if client is not None and client.log_note:
        wrapped(column, client.log_note, context)
    if state in ("starting", "ready"):
        column.operator("hhmr.stop_engine", icon="SNAP_FACE")
    elif has_engine():
        column.operator("hhmr.start_engine", icon="PLAY")
    if session.installation is not None:
        draw_installation(column)
    else:
        column.operator("hhmr.install_engine", icon="IMPORT")
    if in_preferences and session.notice is not None and session.notice.code in ENGINE:
        draw_notice(column, context, buttons=False)
    column.operator("hhmr.show_log", icon="TEXT")
    column.operator("hhmr.copy_diagnostics", icon="COPYDOWN")


def draw_ask(layout: bpy.types.UILayout, context: bpy.types.Context, operator: str, icon: str) -> None:
    """The button that a panel is about, and what came of pressing it: so that no other button moves."""
    row = layout.row()
    row.scale_y = 1.4
    mine = session.asked_by == operator
    if mine and session.run is not None:
        draw_progress(row)
    else:
        row.operator(operator, icon=icon)
    if mine and session.installation is not None:
        draw_installation(layout)
    elif mine and session.run is None and session.notice is not None:
        draw_notice(layout, context)


def draw_progress(layout: bpy.types.UILayout) -> None:
    """Bar and cancel button of the request under way."""
    assert session.run is not None
    job, client = session.run.job, session.engine()
    if job.cancelled_at is not None:
        text = "Cancelling ..."
    elif job.steps:
        text = f"Step {job.step} of {job.steps}"
    else:
        text = "Starting the engine ..." if client.state != "ready" else "Loading the engine ..."
        text = "Thinking ..." if client.status == "ready" else text
    row = layout.row(align=True)
    row.progress(factor=job.progress, type="BAR", text=text)
    row.operator("hhmr.cancel", text="", icon="CANCEL")


def draw_installation(layout: bpy.types.UILayout) -> None:
    """Bar and cancel button of what is being installed."""
    installation = session.installation
    assert installation is not None
    row = layout.row(align=True)
    row.progress(factor=installation.progress, type="BAR", text=installation.step)
    row.operator("hhmr.cancel_install", text="", icon="CANCEL")


def draw_notice(layout: bpy.types.UILayout, context: bpy.types.Context, buttons: bool = True) -> None:
    """The last message and, for a problem, the buttons that mend it."""
    notice = session.notice
    assert notice is not None
    box = layout.box()
    row = box.row()
    wrapped(row.column(align=True), notice.text, context, icon="ERROR" if notice.code else "INFO")
    row.operator("hhmr.dismiss", text="", icon="X", emboss=False)
    for mend in MENDS.get(notice.code, ()) if buttons else ():
        button = box.operator(mend.operator, text=mend.label, icon=mend.icon)
        for name, value in mend.properties.items():
            setattr(button, name, value)


def wrapped(layout: bpy.types.UILayout, text: str, context: bpy.types.Context, icon: str = "NONE") -> None:
    """A sentence over as many labels as the region is wide: labels do not wrap by themselves."""
    scale = context.preferences.system.ui_scale
    blf.size(0, context.preferences.ui_styles[0].widget.points * scale)
    width = context.region.width - 115 * scale  # the tabs, the icon, the button that dismisses
    lines, line = [], ""
    for word in text.split(" "):  # not at a no-break space
        longer = f"{line} {word}".strip()
        if line and blf.dimensions(0, longer)[0] > width:
            lines.append(line)
            longer = word
        line = longer
    for i, one in enumerate([*lines, line]):
        layout.label(text=one, icon=icon if i == 0 else "BLANK1" if icon != "NONE" else "NONE")


CLASSES = (
    HHMR_PT_complete,
    HHMR_PT_armature,
    HHMR_PT_generate,
    HHMR_PT_settings,
    HHMR_UL_hypotheses,
    HHMR_PT_hypotheses,
    HHMR_PT_engine,
)


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
