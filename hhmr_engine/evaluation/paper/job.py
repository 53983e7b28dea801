"""What all tables of the paper share: the datasets that are there, what is asked of them, and cells."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from ...datasets.annotated import Annotated
from ...datasets.catalogue import find_datasets, find_mano, open_dataset
from ...datasets.sample import EVALUATION
from ..tables.table import Context
from .figures import Printed
from .hand_pca import HandPca
from .measuring import Runs

NAMES = {"freihand": "FreiHAND", "ho3d": "HO3D v3", "dexycb": "DexYCB"}
QUICK_HANDS, QUICK_COUNT = 4, 8
AT_TEN = {"3": 16, "4": 32}  # table -> most hypotheses of T = 10


@dataclass(frozen=True)
class Options:
    """crops None: as the paper, or the plain one with --quick."""

    crops: str | None = None  # one of augmentation.CROPS
    hands: int | None = None  # of each dataset; None: all
    mano: Path | None = None  # None: MANO_RIGHT.pkl beside the datasets, if it is there
    tables: tuple[str, ...] = ("1", "2", "3", "4", "5")  # that are to be made
    files: Path | None = None  # how the names of further files begin; None: none are written


@dataclass
class Job:
    """One run of `hhmr evaluate --paper`: what one table measured, the next one has."""

    context: Context
    options: Options
    _opened: dict[str, Annotated | str] = field(default_factory=dict)

    @cached_property
    def runs(self) -> Runs:
        files = self.options.files
        keep = files is not None and not self.context.quick
        return Runs(
            self.context,
            self.options.hands or (QUICK_HANDS if self.context.quick else None),
            Path(f"{files}_parts") if keep else None,
        )

    @property
    def crops(self) -> str:
        return self.options.crops or ("none" if self.context.quick else "paper")

    def at_once(self, count: int) -> int:
        """Hypotheses of T = 10 to ask for where a table needs `count`: another may need more of them."""
        if self.context.quick:
            return min(max(count, *self._needed()), QUICK_COUNT)
        return max(count, *self._needed())

    def _needed(self) -> list[int]:
        return [1, *(n for table, n in AT_TEN.items() if table in self.options.tables)]

    @cached_property
    def mano(self) -> Path | None:
        """The user's MANO file."""
        return self.options.mano or find_mano(self.context.data)

    @cached_property
    def pca(self) -> HandPca | None:
        """None: there is no MANO file. ValueError or OSError: it can't be read."""
        return None if self.mano is None else HandPca.read(self.mano)

    def dataset(self, name: str) -> Annotated | str:
        """The evaluation split of a dataset, or one sentence that says why there is none."""
        if name not in self._opened:
            self._opened[name] = self._open(name)
        return self._opened[name]

    def _open(self, name: str) -> Annotated | str:
        missing = f"{NAMES[name]} is not in {self.context.data}: its rows are left out."
        folder = next((f for f, n in find_datasets(self.context.data).items() if n == name), None)
        if folder is None:
            return missing
        try:
            dataset = open_dataset(folder, EVALUATION, self.mano, name)
        except (ValueError, OSError) as exc:
            return f"{NAMES[name]} is left out: {exc}"
        return dataset if len(dataset) else f"{NAMES[name]}'s evaluation split in {folder} has no good hands."


def beside(ours: float, printed: float) -> tuple[float, float, float]:
    """A figure of ours, the paper's, and their ratio."""
    return ours, printed, ours / printed


def errors_beside(ours: tuple[float, float], printed: Printed) -> tuple[float, ...]:
    """Cells of MPJPE and MPVPE."""
    return *beside(ours[0], printed.mpjpe), *beside(ours[1], printed.mpvpe)


UNPRINTED = Printed(float("nan"), float("nan"))
ERRORS_HEAD = ("MPJPE", "paper", "ratio", "MPVPE", "paper", "ratio")
