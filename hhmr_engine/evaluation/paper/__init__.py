"""The paper's own tables on its own data: `hhmr evaluate --paper`. `run_paper` makes one of them."""

from __future__ import annotations

from ..tables.table import Context, Maker, Table
from .job import Job, Options

__all__ = ["Options", "makers"]


def makers(options: Options) -> dict[str, Maker]:
    """Tables 1 to 5 by number; they share what they measure."""
    from . import fitting, reconstruction, variety

    tables = {
        "1": variety.table,
        "2": reconstruction.graph,
        "3": reconstruction.hypotheses,
        "4": reconstruction.steps,
        "5": fitting.table,
    }
    jobs: list[Job] = []

    def maker(number: str) -> Maker:
        def make(context: Context) -> Table:
            if not jobs:
                jobs.append(Job(context, options))
            return tables[number](jobs[0])

        return make

    return {number: maker(number) for number in tables}
