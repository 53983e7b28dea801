"""`hhmr data`: what a folder of datasets holds."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from .command import OK, writing
from .faults import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

SAMPLES = 12


def check(args: argparse.Namespace) -> int:
    """Say what is in the folder and draw some of it; an InputError when there is nothing."""
    from .datasets.catalogue import DATASETS, find_mano
    from .datasets.check import chosen, look, report
    from .datasets.check_sheet import sheet
    from .export import write_files

    if not args.folder.is_dir():
        raise InputError(f"There is no folder {args.folder}: check the name.")
    out = Path(args.out).with_suffix(".png")
    if not out.parent.is_dir():
        raise InputError(f"There is no folder {out.parent}: make it, or give another --out.")
    mano = args.mano or find_mano(args.folder)
    faces = _faces(mano)
    splits = look(args.folder, mano)
    if not splits:
        known = ", ".join(DATASETS)
        raise InputError(f"{args.folder} holds none of {known}: docs/datasets.md shows their layouts.")
    print("\n".join(report(splits, args.folder, mano)))
    shown = chosen(splits, SAMPLES)
    if shown:
        with writing(args.out):
            write_files({out: sheet(shown, faces)})
        print(f"\n{len(shown)} samples with what is annotated: {out}")
    return OK


def _faces(mano: Path | None) -> NDArray | None:
    """[1538,3] of the user's MANO; None without one. InputError: it is none."""
    from .hand.mano_file import read_mano

    if mano is None:
        return None
    try:
        return read_mano(mano).faces
    except OSError as exc:
        raise InputError(f"{mano} cannot be read ({exc.strerror or exc}): check --mano.") from exc
    except ValueError as exc:
        raise InputError(str(exc)) from exc
