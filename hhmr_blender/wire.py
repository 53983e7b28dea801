"""The one place that finds the wire: in `engine/` inside the extension's zip, beside us in the checkout."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

__all__ = [
    "ERROR_CODES",
    "PROTOCOL",
    "Arrays",
    "Decoder",
    "Frame",
    "Message",
    "WireError",
    "check_result",
    "encode",
    "encode_parts",
    "engine_folder",
]

if TYPE_CHECKING:
    from hhmr_engine import wire
else:
    try:
        from .engine.hhmr_engine import wire
    except ModuleNotFoundError as fault:
        # A module that is missing further inside is a real fault, and no sign of a checkout.
        if fault.name != f"{__package__}.engine":
            raise
        from hhmr_engine import wire

ERROR_CODES = wire.ERROR_CODES
PROTOCOL = wire.PROTOCOL
Arrays = wire.Arrays
Decoder = wire.Decoder
Frame = wire.Frame
Message = wire.Message
WireError = wire.WireError
check_result = wire.check_result
encode = wire.encode
encode_parts = wire.encode_parts


def engine_folder() -> Path:
    """The folder of the package `hhmr_engine` that came with this add-on."""
    return Path(wire.__file__).parent
