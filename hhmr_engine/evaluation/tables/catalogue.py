"""Every table by its name, in the order in which they are shown."""

from __future__ import annotations

from .ablations import ablations
from .fitting import fitting
from .generation import generation
from .inpainting import inpainting
from .poses import poses
from .reconstruction import reconstruction
from .sources import sources
from .table import Maker
from .training_data import training_data

TABLES: dict[str, Maker] = {
    "generation": generation,
    "inpainting": inpainting,
    "sources": sources,
    "reconstruction": reconstruction,
    "fitting": fitting,
    "ablations": ablations,
    "training_data": training_data,
}
POSES: dict[str, Maker] = {"poses": poses}  # those that can be made of somebody else's joints
