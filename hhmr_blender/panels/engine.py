"""The engine: its state, and what can be done about it."""

from __future__ import annotations

import bpy

from ..problems import ENGINE
from ..session import session
from .parts import Tab, draw_installation, draw_notice, wrapped

STATES = {
    "stopped": ("Stopped (starts when needed)", "RADIOBUT_OFF"),
    "starting": ("Starting ...", "SORTTIME"),
    "ready": ("Ready", "RADIOBUT_ON"),
    "outdated": ("Outdated", "ERROR"),
    "failed": ("Failed", "ERROR"),
}


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
    from ..engine_command import has_engine

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


CLASSES = (HHMR_PT_engine,)
