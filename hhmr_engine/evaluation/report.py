"""Rows of measured figures as Markdown, written between the markers of a document."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

HOLDS = {True: "yes", False: "**no**", None: ""}


@dataclass(frozen=True)
class Row:
    """One figure. NaN: not measured, or there is no such thing. holds None: nothing was asked of it."""

    section: str
    what: str
    wanted: str = ""
    network: float = math.nan
    gaussian: float = math.nan
    fit: float = math.nan
    holds: bool | None = None

    @property
    def ratio(self) -> float:
        """network / gaussian."""
        return self.network / self.gaussian if self.gaussian else math.nan


def number(value: float) -> str:
    """Three digits that count; an empty cell for NaN."""
    if math.isnan(value):
        return ""
    if value == round(value) and abs(value) >= 100:
        return f"{value:,.0f}"
    digits = 2 if abs(value) < 9.995 else 1 if abs(value) < 99.95 else 0
    return f"{value:,.{digits}f}"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table; the first column is text, the others are set to the right."""
    head = list(head)
    lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


def as_markdown(rows: list[Row]) -> str:
    """A table for every section, in the order of the rows."""
    parts = []
    for section in dict.fromkeys(row.section for row in rows):
        cells = [
            (
                row.what,
                row.wanted,
                number(row.network),
                number(row.gaussian),
                number(row.ratio),
                number(row.fit),
                HOLDS[row.holds],
            )
            for row in rows
            if row.section == section
        ]
        head = ("", "wanted", "network", "Gaussian", "ratio", "network + fit", "holds")
        parts.append(f"### {section}\n\n{table(head, cells)}")
    return "\n\n".join(parts)


def summary(rows: list[Row]) -> str:
    """How much of what was asked holds, and what does not, as Markdown."""
    asked = [row for row in rows if row.holds is not None]
    short = [row for row in asked if not row.holds]
    text = f"{len(asked) - len(short)} of {len(asked)} figures hold."
    if short:
        text += " These fall short:\n\n" + "\n".join(
            f"- {row.section}: {row.what}: {number(row.network)} (wanted {row.wanted},"
            f" Gaussian {number(row.gaussian) or 'has none'})"
            for row in short
        )
    return text


def write_between(path: Path, name: str, text: str) -> None:
    """Replace what stands between `<!-- name -->` and `<!-- end name -->` in a document.

    Raises ValueError when the markers are not there.
    """
    document = path.read_text(encoding="utf-8")
    start, end = f"<!-- {name} -->", f"<!-- end {name} -->"
    if start not in document or end not in document:
        raise ValueError(f"{path} has no place for '{name}': put {start} and {end} where it goes.")
    before, rest = document.split(start, 1)
    path.write_text(f"{before}{start}\n{text.strip()}\n{end}{rest.split(end, 1)[1]}", encoding="utf-8")
