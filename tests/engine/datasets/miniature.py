"""Small datasets in the official layouts, of a made-up hand: nothing in them is of MANO or of anybody's data.

`write_miniature("freihand", folder)` writes both splits, both sides where the dataset has them, and some bad
annotations; `write_all(folder)` writes one of each, and the made-up MANO_RIGHT.pkl beside them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.engine.datasets.layouts import Miniature, write_comphand, write_freihand, write_ho3d
from tests.engine.datasets.made_up_hands import arrays
from tests.engine.datasets.sequence_layouts import write_dexycb, write_interhand, write_twohand
from tests.engine.hand.made_up_mano import write_mano

WRITERS: dict[str, Callable[[Miniature, bool], None]] = {
    "freihand": write_freihand,
    "ho3d": write_ho3d,
    "comphand": write_comphand,
    "interhand": write_interhand,
    "twohand": write_twohand,
    "dexycb": write_dexycb,
}
FOLDERS = {
    "freihand": "FreiHAND_pub_v2",
    "ho3d": "HO3D_v3",
    "comphand": "CompHand",
    "interhand": "InterHand2.6M",
    "twohand": "Two-hand_500K",
    "dexycb": "DexYCB",
}


def write_miniature(
    name: str, folder: Path, count: int = 12, seed: int = 0, bad: bool = True, truth: bool = True
) -> Miniature:
    """A miniature of one of DATASETS in `folder`, which is made; `count` pictures (or frames) a split.

    bad: some annotations are damaged, as they are in the large. truth: with what is annotated of evaluation
    splits of FreiHAND and HO-3D. FreiHAND's `count` are annotations; training has four pictures of each.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = Miniature(folder, count, seed, bad)
    WRITERS[name](made, truth)
    return made


def write_mano_file(folder: Path) -> Path:
    """mano/MANO_RIGHT.pkl of the made-up hand in a folder of datasets."""
    path = folder / "mano" / "MANO_RIGHT.pkl"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_mano(path, arrays())
    return path


def write_all(folder: Path, count: int = 8, seed: int = 0, bad: bool = True) -> dict[str, Miniature]:
    """A folder of datasets: all of them, and MANO."""
    write_mano_file(folder)
    return {name: write_miniature(name, folder / FOLDERS[name], count, seed, bad) for name in WRITERS}
