"""What a table is, and what one is measured with."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ...data.retarget import Retargeted, load_poses
from ...engine import TRUNK, Engine
from ...faults import InputError
from ..asking import Asker
from ..report import HOLDS, number
from ..report import table as markdown
from .weights import left_out


@dataclass(frozen=True)
class Check:
    """A figure of which something was asked. holds None: it could not be judged here."""

    what: str
    value: float
    wanted: str
    holds: bool | None


@dataclass(frozen=True)
class Table:
    """What one question came to. NaN in a row is an empty cell; pictures are PNG by file name."""

    name: str
    title: str
    head: tuple[str, ...]
    rows: list[tuple[str | float, ...]]
    checks: list[Check] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    pictures: dict[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class UserPoses:
    """Somebody else's right hands: joints [N,21,3] metres, NaN = unknown, and the file they came in."""

    joints: np.ndarray
    file: str


@dataclass
class Context:
    """The engine that is judged, the hands it is judged on, and other weights to judge it against."""

    engine: Engine
    data: Path
    cache: Path | None
    quick: bool
    bar: tqdm
    others: dict[str, Path] = field(default_factory=dict)  # "deterministic", "attention"...: weight files
    poses: UserPoses | None = None
    share: float = 1.0  # of the full number of hands
    _engines: dict[str, Engine] = field(default_factory=dict)

    def size(self, full: int, quick: int) -> int:
        """How many of something: enough to quote, the share of it, or with --quick enough to try."""
        return quick if self.quick else max(quick, math.ceil(self.share * full))

    def expect(self, requests: int) -> None:
        """So many more requests of eight draws are to come: the bar's."""
        self.bar.total = (self.bar.total or 0) + requests
        self.bar.refresh()

    def asker(self, engine: Engine | None = None) -> Asker:
        """For many requests alike; of the engine that is judged, or of another one."""
        return Asker(engine or self.engine, self.bar)

    @cached_property
    def recordings(self) -> list[Retargeted]:
        """All recorded sources on our hand. InputError where a file is missing."""
        try:
            return load_poses(self.engine.arrays, self.data, self.cache)
        except FileNotFoundError as exc:
            raise InputError(f"There are no recordings to measure on: {exc}") from exc

    def other(self, name: str) -> Engine | None:
        """The engine with the weights of `--compare name=FILE`; None when they were not given.

        With the hand that they were trained on, where that lies beside them: FILE with .npz at its end.
        """
        if name not in self.others:
            return None
        if name not in self._engines:
            path, own = self.others[name], self.engine
            trunk = None if path.with_name(TRUNK).is_file() else own.trunk_file
            beside = path.with_suffix(".npz")
            hand = beside if beside.is_file() else own.template_file
            engine = Engine(str(own.device), path, template=hand, trunk=trunk)
            if len(engine.arrays.vertices) != len(self.engine.arrays.vertices):
                raise InputError(f"{self.others[name]} (--compare {name}) is for another hand: leave it out.")
            self._engines[name] = engine
        return self._engines[name]

    @cached_property
    def judges(self) -> dict[str, Engine]:
        """Source of recordings -> an engine whose weights never saw it, of those given with --compare.

        Their training's settings, in the header, say so: nothing else is believed.
        """
        found: dict[str, Engine] = {}
        for name, path in self.others.items():
            for source in left_out(path):
                engine = self.other(name)
                assert engine is not None
                found.setdefault(source, engine)
        return found


Maker = Callable[[Context], Table]


def as_markdown(table: Table, folder: str = "") -> str:
    """Title, rows, what was asked, notes and pictures; `folder` goes before the pictures' names."""
    parts = [f"### {table.title}", markdown(table.head, [cells(row) for row in table.rows])]
    if table.checks:
        asked = [(c.what, c.wanted, number(c.value), HOLDS[c.holds]) for c in table.checks]
        parts.append(markdown(("what is asked", "wanted", "measured", "holds"), asked))
    if table.notes:
        parts.append("\n".join(f"- {note}" for note in table.notes))
    parts += [f"![{table.title}]({folder}{name})" for name in table.pictures]
    return "\n\n".join(parts)


def cells(row: Sequence[str | float]) -> list[str]:
    return [cell if isinstance(cell, str) else number(float(cell)) for cell in row]


def at_most(what: str, value: float, limit: float, wanted: str = "") -> Check:
    """value <= limit; nothing holds of a NaN that was not measured."""
    return Check(what, value, wanted or f"<= {limit:g}", None if np.isnan(value) else value <= limit)


def at_least(what: str, value: float, limit: float, wanted: str = "") -> Check:
    return Check(what, value, wanted or f">= {limit:g}", None if np.isnan(value) else value >= limit)
