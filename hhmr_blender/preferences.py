"""Preferences: where the engine is, how it runs, and which hand it works on."""

from __future__ import annotations

from pathlib import Path

import bpy
from bpy.props import EnumProperty, StringProperty

from . import ADDON_ID
from .session import session


def _changed(_self: bpy.types.AddonPreferences, _context: bpy.types.Context) -> None:
    """What was started by the old settings goes; the next request starts anew."""
    session.shut_down()


def _hand_changed(self: HHMR_preferences, _context: bpy.types.Context) -> None:
    session.shut_down()
    self.use_hand()


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

    hand: StringProperty(
        name="Own Hand",
        description=(
            "A hand that 'hhmr import-hand' has made of your MANO, to work on instead of the one that comes "
            "with the add-on. Hands that are in the scene already stay what they are"
        ),
        subtype="FILE_PATH",
        update=_hand_changed,
    )
    weights: StringProperty(
        name="Own Weights",
        description="What 'hhmr train --template' has learnt of that hand; other weights do not fit it",
        subtype="FILE_PATH",
        update=_changed,
    )
    hand_problem: StringProperty(options={"SKIP_SAVE"})

    def use_hand(self) -> None:
        """Work on the hand that is chosen; where it is none, on the one that ships, and say so."""
        from .template import use

        self.hand_problem = ""
        try:
            use(Path(bpy.path.abspath(self.hand)) if self.hand else None)
        except ValueError as fault:
            use(None)
            self.hand_problem = f"{fault} Until then it is the hand that ships."

    def draw(self, context: bpy.types.Context) -> None:
        from .panels.engine import draw_engine
        from .panels.parts import wrapped

        layout = self.layout
        layout.use_property_split = True
        draw_engine(layout, context, in_preferences=True)
        layout.separator()
        column = layout.column()
        column.prop(self, "command", placeholder="the installed one")
        row = column.row()
        row.enabled = ours = len(self.command.split()) < 2  # a whole command line says it all itself
        row.prop(self, "device")
        column.prop(self, "log_file")
        column.separator()
        own = column.column()
        own.enabled = ours
        own.prop(self, "hand", placeholder="the one that ships")
        own.prop(self, "weights", placeholder="those that ship")
        if self.hand_problem:
            wrapped(column, self.hand_problem, context, icon="ERROR")
        column.separator()
        column.label(text="For Install Engine:")
        column.prop(self, "python")
        column.prop(self, "torch_index", placeholder="the default index")


def register() -> None:
    bpy.utils.register_class(HHMR_preferences)
    addon = bpy.context.preferences.addons.get(ADDON_ID)
    if addon is not None and addon.preferences.hand:  # of the last session
        addon.preferences.use_hand()


def unregister() -> None:
    bpy.utils.unregister_class(HHMR_preferences)
