"""Which datasets there are, and how a folder of one is recognised and opened."""

from __future__ import annotations

from pathlib import Path

from .sample import HandDataset

DATASETS = ("freihand", "ho3d", "comphand", "interhand", "twohand", "dexycb")


def recognise(folder: Path) -> str | None:
    """Which of DATASETS has its layout in this folder; None: none of them."""
    raise NotImplementedError


def find_datasets(folder: Path) -> dict[Path, str]:
    """Datasets in a folder of datasets, or the one that the folder itself is, by layout: folder -> name."""
    raise NotImplementedError


def find_mano(folder: Path) -> Path | None:
    """MANO_RIGHT.pkl as it may lie beside the datasets: in `folder`, or in its sub-folder mano."""
    raise NotImplementedError


def open_dataset(
    folder: Path, split: str, mano: Path | None = None, name: str | None = None
) -> HandDataset:
    """The samples of a dataset; `split` is TRAIN or EVALUATION of sample.py, `name` one of DATASETS.

    mano: the file that `hhmr import-hand --mano` reads (MANO_RIGHT.pkl, an npz of its arrays, or smplx's
    folder of models); what import-hand writes keeps neither MANO's axes nor its principal components. With
    it, parameters become vertices where a dataset has no meshes; left hands are the mirrored right one.
    Without it such samples have no vertices, and those whose joints are known only by MANO are skipped.
    Raises ValueError, one sentence, where the folder is damaged, no such dataset, or has no such split.
    """
    raise NotImplementedError
