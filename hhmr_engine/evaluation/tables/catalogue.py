"""Every table by its name, in the order in which they are shown."""

from __future__ import annotations

from .table import Maker

TABLES: dict[str, Maker] = {}
POSES: dict[str, Maker] = {}  # those that can be made of somebody else's joints
