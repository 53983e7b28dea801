"""How the engine is started, by what the preferences say."""

from __future__ import annotations

import inspect
import os
import shlex
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, cast

import bpy

from . import ADDON_ID, wire
from .client.jobs import EngineCommand
from .client.process import EngineFailure

if TYPE_CHECKING:
    from .preferences import HHMR_preferences


def preferences() -> HHMR_preferences | None:
    """The add-on's preferences; None while it is being enabled or disabled."""
    addon = bpy.context.preferences.addons.get(ADDON_ID)
    return cast("HHMR_preferences", addon.preferences) if addon is not None else None


def engine_path() -> Path:
    """Folder that holds the package hhmr_engine: in the extension, or the checkout."""
    return Path(inspect.getfile(wire.Decoder)).parents[1]


def user_folder() -> Path:
    """Folder of our own that survives an update of the extension."""
    try:
        return Path(bpy.utils.extension_path_user(ADDON_ID, create=True))
    except ValueError:  # run from a checkout, as an add-on and not as an extension
        return Path(tempfile.gettempdir()) / ADDON_ID


def log_path() -> Path:
    """The engine's log."""
    chosen = preferences()
    if chosen is not None and chosen.log_file:
        return Path(bpy.path.abspath(chosen.log_file))
    return user_folder() / "engine.log"


def newest_log() -> Path:
    """What was written last: by the engine, or by its installation."""
    logs = [log_path(), user_folder() / "install.log"]
    return max(logs, key=lambda log: log.stat().st_mtime if log.is_file() else 0.0)


def engine_command() -> EngineCommand:
    """Command line and environment of the engine. Raises EngineFailure where there is none yet."""
    from .client import install

    chosen = preferences()
    words = split(chosen.command) if chosen is not None and chosen.command.strip() else []
    if len(words) > 1:
        return EngineCommand(words)
    python = words[0] if words else install.installed_python(user_folder())
    if python is None:
        raise EngineFailure(
            "no_engine", "The engine is not installed yet.", "Install it, or name one in the preferences."
        )
    options = ["--device", chosen.device if chosen is not None else "auto"]
    for option, name in (("--template", "hand"), ("--weights", "weights")):
        path = getattr(chosen, name, "")
        if path and not getattr(chosen, "hand_problem", ""):
            options += [option, bpy.path.abspath(path)]
    return install.engine_command(Path(python), engine_path(), *options)


def has_engine() -> bool:
    """Whether an engine is installed, or one is named; whether it runs shows when it is started."""
    from .client import install

    chosen = preferences()
    named = chosen is not None and bool(chosen.command.strip())
    return named or install.installed_python(user_folder()) is not None


def split(command: str) -> list[str]:
    """Words of a command line; a path to an interpreter with spaces in it is one word."""
    command = command.strip()
    if Path(command).is_file():
        return [command]
    try:
        words = shlex.split(command, posix=os.name != "nt")
    except ValueError as fault:
        text = f"The engine's command line can't be read ({fault})."
        raise EngineFailure("bad_command", text, "Change it in the preferences.") from fault
    return [word.strip('"') for word in words] if os.name == "nt" else words
