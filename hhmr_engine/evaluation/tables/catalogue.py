"""Every table by its name, in the order in which they are shown."""

from __future__ import annotations

from .generation import generation
from .inpainting import inpainting
from .reconstruction import reconstruction
from .sources import sources
from .table import Maker

TABLES: dict[str, Maker] = {
    "generation": generation,
    "inpainting": inpainting,
    "sources": sources,
    "reconstruction": reconstruction,
}
POSES: dict[str, Maker] = {}  # those that can be made of somebody else's joints
