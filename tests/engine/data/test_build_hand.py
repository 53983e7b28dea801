"""The posed-shape basis of the hand that ships, and of one for networks that never see a source."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hhmr_engine.data.build_hand import SEED, with_posed_basis
from hhmr_engine.data.hands import HandStream, StreamSettings
from hhmr_engine.data.retarget import load_poses
from hhmr_engine.hand.build import fit_basis
from hhmr_engine.hand.template import load_template
from hhmr_engine.training.sources import data_cache

HANDS = 500


def test_a_source_that_is_left_out_has_no_part_in_the_basis(data_root: Path) -> None:
    template = load_template()
    without = with_posed_basis(template, data_root, HANDS, ("dex",), data_cache())
    others = [r for r in load_poses(template, data_root, data_cache()) if r.name != "dex"]
    stream = HandStream(template, others, StreamSettings(refresh=1.0), SEED)
    expected = fit_basis(template, stream.next(HANDS).numpy())
    np.testing.assert_array_equal(without.basis_variance, expected.basis_variance)
    np.testing.assert_array_equal(without.basis, expected.basis)
