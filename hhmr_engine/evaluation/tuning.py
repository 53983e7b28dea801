"""Settings chosen on other hands than the tables': one knob after the other, all that was tried kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

S = TypeVar("S")


@dataclass(frozen=True)
class Tuned(Generic[S]):
    """best: the settings of the lowest cost; tried: all that were looked at, with their costs, in order."""

    best: S
    tried: list[tuple[S, float]]

    def told(self, who: str, what: str) -> str:
        """One sentence for a table's notes."""
        costs = "; ".join(f"{settings}: {cost:.2f}" for settings, cost in self.tried)
        return f"{who}, tuned on {what}: {self.best} (tried {costs})."


def tune(start: S, knobs: dict[str, tuple[Any, ...]], cost: Callable[[S], float]) -> Tuned[S]:
    """Knobs are fields of the settings, turned in their order, each to its best value before the next one."""
    best, tried = start, {start: cost(start)}
    for name, values in knobs.items():
        for value in values:
            settings = replace(best, **{name: value})  # type: ignore[type-var]
            if settings not in tried:
                tried[settings] = cost(settings)
        best = min(tried, key=lambda settings: tried[settings])
    return Tuned(best, list(tried.items()))
