"""Preferences: where the engine is and how it runs."""

from __future__ import annotations

import bpy
from bpy.props import EnumProperty, StringProperty

from . import ADDON_ID
from .session import session


def _changed(_self: bpy.types.AddonPreferences, _context: bpy.types.Context) -> None:
    """What was started by the old settings goes; the next request starts anew."""
    session.shut_down()


class HHMR_preferences(bpy.types.AddonPreferences):
    """The engine's place, device and log."""

    bl_idname = ADDON_ID

    command: StringProperty(
        name="Engine",
        description=(
            "Python that has the engine's packages, or the whole command line of an engine, for example "
            "'ssh gpu-box hhmr serve'. Empty: the engine that Install Engine has made"
        ),
        update=_changed,
    )
    python: StringProperty(
        name="Python",
        description="Python 3.11 to 3.13 to install the engine with. Empty: one is looked for",
        subtype="FILE_PATH",
    )
    torch_index: StringProperty(
        name="PyTorch From",
        description=(
            "Package index to install PyTorch from. Empty: the default one, which on Linux brings gigabytes "
            "for NVIDIA cards"
        ),
    )
    device: EnumProperty(
        name="Device",
        description="What the engine computes on",
        items=[
            ("auto", "Automatic", "The best device that the engine finds"),
            ("cpu", "CPU", "The processor"),
            ("cuda", "CUDA", "An NVIDIA graphics card"),
            ("mps", "Metal", "An Apple graphics processor"),
        ],
        default="auto",
        update=_changed,
    )
    log_file: StringProperty(
        name="Log File",
        description="What the engine has to say. Empty: engine.log in the extension's own folder",
        subtype="FILE_PATH",
        update=_changed,
    )

    def draw(self, context: bpy.types.Context) -> None:
        from .panels.engine import draw_engine

        layout = self.layout
        layout.use_property_split = True
        draw_engine(layout, context, in_preferences=True)
        layout.separator()
        column = layout.column()
        column.prop(self, "command", placeholder="the installed one")
        row = column.row()
        row.enabled = len(self.command.split()) < 2
        row.prop(self, "device")
        column.prop(self, "log_file")
        column.separator()
        column.label(text="For Install Engine:")
        column.prop(self, "python")
        column.prop(self, "torch_index", placeholder="the default index")


def register() -> None:
    bpy.utils.register_class(HHMR_preferences)


def unregister() -> None:
    bpy.utils.unregister_class(HHMR_preferences)
