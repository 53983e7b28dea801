"""Which datasets there are, and how a folder of one is recognised and opened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..hand.mano_file import PLACES
from . import comphand, dexycb, freihand, ho3d, interhand, twohand
from .annotated import Annotated
from .parameters import ManoHands
from .sample import SPLITS

# Name -> what sees its layout in a folder, and what reads it.
DATASETS: dict[str, tuple[Callable[[Path], bool], type[Annotated]]] = {
    "freihand": (freihand.recognises, freihand.FreiHand),
    "ho3d": (ho3d.recognises, ho3d.Ho3d),
    "interhand": (interhand.recognises, interhand.InterHand),
    "dexycb": (dexycb.recognises, dexycb.DexYcb),
    "comphand": (comphand.recognises, comphand.CompHand),
    "twohand": (twohand.recognises, twohand.TwoHand),
}


def recognise(folder: Path) -> str | None:
    """Which of DATASETS has its layout in this folder; None: none of them."""
    return next((name for name, (recognises, _) in DATASETS.items() if recognises(folder)), None)


def find_datasets(folder: Path) -> dict[Path, str]:
    """Datasets in a folder of datasets, or the one that the folder itself is, by layout: folder -> name."""
    inside = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    found = {path: name for path in inside if (name := recognise(path)) is not None}
    # CompHand's parts look like CompHand.
    if set(found.values()) <= {"comphand"} and (name := recognise(folder)) is not None:
        return {folder: name}
    return found


def find_mano(folder: Path) -> Path | None:
    """MANO's right hand as it may lie beside datasets: in `folder`, or in its sub-folder mano."""
    return next((folder / place for place in PLACES if place and (folder / place).is_file()), None)


def open_dataset(folder: Path, split: str, mano: Path | None = None, name: str | None = None) -> Annotated:
    """The samples of a dataset; `split` is TRAIN or EVALUATION of sample.py, `name` one of DATASETS.

    mano: the file that `hhmr import-hand --mano` reads (MANO_RIGHT.pkl, an npz of its arrays, or smplx's
    folder of models); what import-hand writes keeps neither MANO's axes nor its principal components. With
    it, parameters become vertices where a dataset has no meshes; left hands are the mirrored right one.
    Without it such samples have no vertices, and those that are parameters alone are skipped. `notes` of the
    result says what is missing. Raises ValueError, one sentence, where the folder is damaged, no such
    dataset, or has no such split.
    """
    if split not in SPLITS:
        raise ValueError(f"There is no split {split}: it is {' or '.join(SPLITS)}.")
    name = name or recognise(folder)
    if name is None or name not in DATASETS:
        known = ", ".join(DATASETS)
        raise ValueError(
            f"{folder} has the layout of no dataset that is known ({known}): see docs/datasets.md."
        )
    hands = None if mano is None else ManoHands.read(mano)
    try:
        return DATASETS[name][1](folder, split, hands)
    except (AttributeError, IndexError, KeyError, TypeError) as exc:  # JSON of another structure
        text = f"{folder} has annotations that are not built as those of {name}: unpack the official files."
        raise ValueError(text) from exc
