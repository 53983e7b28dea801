"""Miniatures of the datasets that the paper's tables are on, and a made-up MANO as a template."""

from __future__ import annotations

from pathlib import Path

import pytest

from hhmr_engine.data.import_hand import import_mano
from tests.engine.datasets.miniature import FOLDERS, write_mano_file, write_miniature

BASIS_HANDS = 2000  # that the template's basis is learnt from


@pytest.fixture(scope="session")
def paper_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with six hands of FreiHAND and of HO-3D a split, MANO beside them, and template.npz."""
    folder = tmp_path_factory.mktemp("paper")
    mano = write_mano_file(folder)
    for name in ("freihand", "ho3d"):
        write_miniature(name, folder / FOLDERS[name], 6, bad=False)
    import_mano(mano, hands=BASIS_HANDS).save(folder / "template.npz")
    return folder
