"""HHMR: many plausible whole hands from a part of one."""

from __future__ import annotations

import bpy

ADDON_ID = __package__
"""Name of the add-on to Blender; `__package__` of a sub-package is longer."""

from . import operators, overlay, panels, preferences, properties, pump  # noqa: E402
from .session import session  # noqa: E402

PARTS = (properties, preferences, operators, panels, overlay)


@bpy.app.handlers.persistent
def _before_load(*_args: object) -> None:
    """Another file is opened: what was asked for belongs to this one."""
    session.shut_down()
    pump.stop()


def register() -> None:
    for part in PARTS:
        part.register()
    bpy.app.handlers.load_pre.append(_before_load)


def unregister() -> None:
    """Also waits for the engine: on Windows its files can't be replaced while it runs."""
    bpy.app.handlers.load_pre.remove(_before_load)
    _before_load()
    for part in reversed(PARTS):
        part.unregister()
