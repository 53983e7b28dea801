"""A curriculum: how much of the settings' views, photos and masks applies, from a run's start to its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Stage:
    """Factors of the settings, at a point of the run. Between two stages they change evenly."""

    at: float = 0.0  # share of the run, both phases together
    views: float = 1.0  # of views.share
    pictures: float = 1.0  # of views.pictures
    masks: float = 1.0  # of the probabilities of [masks]

    def __post_init__(self) -> None:
        for field in fields(self):
            if not 0 <= getattr(self, field.name) <= 1:
                raise ValueError(f"curriculum: '{field.name}' must be from 0 to 1.")


def stage_at(curriculum: Sequence[Stage], done: float) -> Stage:
    """The stage at the share `done` of the run; before the first and after the last, those themselves."""
    if not curriculum:
        return Stage()
    if done <= curriculum[0].at:
        return curriculum[0]
    for before, after in zip(curriculum, curriculum[1:]):
        if before.at <= done < after.at:
            share = (done - before.at) / (after.at - before.at)
            mixed = {
                field.name: (1 - share) * getattr(before, field.name) + share * getattr(after, field.name)
                for field in fields(Stage)
            }
            return Stage(**mixed)
    return curriculum[-1]
