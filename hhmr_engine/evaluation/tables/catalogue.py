"""Every table by its name, in the order in which they are shown."""

from __future__ import annotations

from .ablations import ablations
from .calibration import calibration
from .fitting import fitting
from .generation import generation
from .inpainting import inpainting
from .poses import poses
from .reconstruction import reconstruction
from .selection import selection
from .sources import sources
from .steps import steps
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
    "steps": steps,
    "calibration": calibration,
    "selection": selection,
}
POSES: dict[str, Maker] = {"poses": poses}  # those that can be made of somebody else's joints
