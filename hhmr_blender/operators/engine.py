"""The engine: start, stop, install, look into it."""

from __future__ import annotations

import platform
from pathlib import Path

import bpy

from .. import pump
from ..problems import Problem
from ..session import session
from .generate import report


class HHMR_OT_start_engine(bpy.types.Operator):
    """Start the engine now, so that the first request needs not wait for it"""

    bl_idname = "hhmr.start_engine"
    bl_label = "Start Engine"
    bl_options = {"INTERNAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        from ..client.process import EngineFailure
        from ..engine_command import engine_command

        session.shut_down()  # also forgets that it has died too often
        try:
            engine_command()
        except EngineFailure as fault:
            return report(self, Problem(fault.code, str(fault)))
        client = session.engine()
        client.start()
        if client.state == "failed":
            return report(self, Problem("bad_command", client.error))
        pump.start()
        return {"FINISHED"}


class HHMR_OT_stop_engine(bpy.types.Operator):
    """Stop the engine and free its memory; the next request starts it again"""

    bl_idname = "hhmr.stop_engine"
    bl_label = "Stop Engine"
    bl_options = {"INTERNAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        session.shut_down()
        return {"FINISHED"}


class HHMR_OT_open_preferences(bpy.types.Operator):
    """Open the preferences of HHMR"""

    bl_idname = "hhmr.open_preferences"
    bl_label = "HHMR Preferences"
    bl_options = {"INTERNAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        from .. import ADDON_ID

        bpy.ops.preferences.addon_show(module=ADDON_ID)
        return {"FINISHED"}


class HHMR_OT_show_log(bpy.types.Operator):
    """Show the end of the engine's log as a text in Blender"""

    bl_idname = "hhmr.show_log"
    bl_label = "Show Log"
    bl_options = {"INTERNAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        from ..engine_command import newest_log

        lines = last_lines(newest_log(), 400)
        if not lines:
            self.report({"INFO"}, "The log is empty.")
            return {"CANCELLED"}
        text = bpy.data.texts.get("HHMR Log") or bpy.data.texts.new("HHMR Log")
        text.from_string("\n".join(lines))
        text.cursor_set(len(lines) - 1)
        if not bpy.app.background:
            bpy.ops.screen.area_dupli("INVOKE_DEFAULT")
            area = context.window_manager.windows[-1].screen.areas[0]
            area.type = "TEXT_EDITOR"
            area.spaces.active.text = text
        return {"FINISHED"}


class HHMR_OT_copy_diagnostics(bpy.types.Operator):
    """Copy what helps to find a fault to the clipboard: versions, the engine's state, the end of its log"""

    bl_idname = "hhmr.copy_diagnostics"
    bl_label = "Copy Diagnostics"
    bl_options = {"INTERNAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        context.window_manager.clipboard = diagnostics()
        self.report({"INFO"}, "Copied to the clipboard.")
        return {"FINISHED"}


class HHMR_OT_install_engine(bpy.types.Operator):
    """Make the engine's own Python environment beside the extension; some hundred megabytes are downloaded"""

    bl_idname = "hhmr.install_engine"
    bl_label = "Install Engine"
    bl_options = {"INTERNAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        from ..client.install import Installation
        from ..engine_command import preferences, user_folder

        if not bpy.app.online_access:
            text = "Installing the engine downloads Python packages, and online access is off."
            return report(self, Problem("offline", text))
        chosen = preferences()
        session.shut_down()  # a running engine holds its files
        python = bpy.path.abspath(chosen.python) if chosen is not None else ""
        session.installation = Installation(
            user_folder(), python, chosen.torch_index if chosen is not None else ""
        )
        pump.start()
        return {"FINISHED"}


class HHMR_OT_cancel_install(bpy.types.Operator):
    """Stop installing the engine; what was downloaded is kept for the next time"""

    bl_idname = "hhmr.cancel_install"
    bl_label = "Cancel"
    bl_options = {"INTERNAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        if session.installation is not None:
            session.installation.cancel()
        return {"FINISHED"}


class HHMR_OT_allow_online(bpy.types.Operator):
    """Open the preferences where online access is allowed"""

    bl_idname = "hhmr.allow_online"
    bl_label = "Online Access"
    bl_options = {"INTERNAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        bpy.ops.screen.userpref_show(section="SYSTEM")
        return {"FINISHED"}


class HHMR_OT_ask_for_fewer(bpy.types.Operator):
    """Halve the number of hypotheses"""

    bl_idname = "hhmr.ask_for_fewer"
    bl_label = "Ask for Fewer"
    bl_options = {"INTERNAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        context.scene.hhmr.count = max(1, context.scene.hhmr.count // 2)
        session.notice = None
        return {"FINISHED"}


def diagnostics() -> str:
    """What to send with a report: no scene data, no file names but the engine's."""
    from ..client.process import EngineFailure
    from ..engine_command import engine_command, newest_log

    try:
        command = " ".join(engine_command()[0])
    except EngineFailure as fault:
        command = str(fault)
    client = session.client
    lines = [
        f"Blender {bpy.app.version_string}, {platform.platform()}, Python {platform.python_version()}",
        f"Engine: {client.state if client else 'stopped'} {client.error if client else ''}".rstrip(),
        f"Command: {command}",
        f"Says of itself: {client.info if client else {}}",
        f"Message: {session.notice.text if session.notice else ''}",
        "",
        *last_lines(newest_log(), 40),
    ]
    return "\n".join(lines)


def last_lines(path: Path, count: int) -> list[str]:
    """Last lines of a log; none where there is no log."""
    try:
        with path.open("rb") as log:
            log.seek(max(0, path.stat().st_size - 256 * count))
            return log.read().decode("utf-8", "replace").splitlines()[-count:]
    except OSError:
        return []


CLASSES = (
    HHMR_OT_start_engine,
    HHMR_OT_stop_engine,
    HHMR_OT_open_preferences,
    HHMR_OT_show_log,
    HHMR_OT_copy_diagnostics,
    HHMR_OT_install_engine,
    HHMR_OT_cancel_install,
    HHMR_OT_allow_online,
    HHMR_OT_ask_for_fewer,
)
