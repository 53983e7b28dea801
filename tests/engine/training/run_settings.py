"""Settings of runs that take seconds."""

from __future__ import annotations

from dataclasses import replace

from hhmr_engine.training.machine import MachineSettings
from hhmr_engine.training.seeing import ViewSettings
from hhmr_engine.training.settings import OptimiserSettings, PathSettings, TrainSettings
from tests.engine.small_network import SMALL

TINY = TrainSettings(
    steps=3,
    batch=4,
    network=SMALL,
    path=PathSettings(steps=3, batch=4),
    optimiser=OptimiserSettings(warmup=2),
    views=ViewSettings(share=0.0),
)
# Four slices, of all that needs no pictures.
SLICED = replace(
    TINY,
    steps=8,
    batch=16,
    network=replace(SMALL, dropout=0.1),
    path=PathSettings(steps=6, batch=24),
    views=ViewSettings(share=0.4),
    machine=MachineSettings(slices=4),
)
