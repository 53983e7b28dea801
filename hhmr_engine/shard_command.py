"""`hhmr data shard`: datasets as WebDataset shards, for sets that are larger than memory or slow to read."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from .command import OK, writing
from .faults import InputError

if TYPE_CHECKING:
    from .datasets.annotated import Annotated
    from .datasets.shards import Index

PROBED = 50  # samples, spread over a set, that are looked at for a mesh


def shard(args: argparse.Namespace) -> int:
    """Write the shards that are missing of every dataset in the folder; an InputError when there is none."""
    from .datasets.catalogue import DATASETS, find_datasets, find_mano
    from .datasets.shards import write_shards

    if not args.folder.is_dir():
        raise InputError(f"There is no folder {args.folder}: check the name.")
    mano = args.mano or find_mano(args.folder)
    found = find_datasets(args.folder)
    if not found:
        known = ", ".join(DATASETS)
        raise InputError(f"{args.folder} holds none of {known}: docs/datasets.md shows their layouts.")
    written = 0
    for folder, name in found.items():
        dataset = _opened(folder, name, args.split, mano)
        if isinstance(dataset, str):
            print(f"{name}: {dataset}")
            continue
        try:
            with writing(str(args.out)), _bar(name, len(dataset)) as bar:
                index = write_shards(dataset, args.out, args.size, bar.update)
        except ValueError as exc:
            raise InputError(str(exc)) from exc
        print(_said(index))
        written += index.samples
    if not written:
        raise InputError(f"Nothing of {args.folder} can go into shards: 'hhmr data check' says more.")
    print(
        f"{written:,} samples in {args.out}: train with 'hhmr train --config paper.toml --data {args.out}'."
    )
    return OK


def _bar(name: str, total: int):  # type: ignore[no-untyped-def]  # tqdm has no types
    from tqdm import tqdm

    return tqdm(total=total, unit="sample", desc=name, disable=None)


def _opened(folder: Path, name: str, split: str, mano: Path | None) -> Annotated | str:
    """A dataset with meshes, or why it is left out."""
    import numpy as np

    from .datasets.catalogue import open_dataset
    from .datasets.lanes import Rows

    try:
        dataset = open_dataset(folder, split, mano, name)
    except ValueError as exc:
        return str(exc)
    rows = np.unique(np.linspace(0, len(dataset) - 1, min(PROBED, len(dataset))).astype(int))
    if any(sample.vertices is not None for sample in Rows(dataset, rows).read()):
        return dataset
    return "left out, its hands are joints alone" + ("." if mano else ": give MANO_RIGHT.pkl as --mano.")


def _said(index: Index) -> str:
    """What was made of a set, and what was left out."""
    size = sum(each.bytes for each in index.shards) / 1e6
    text = f"{index.name}: {index.samples:,} samples in {len(index.shards)} shards of {size:,.0f} MB together"
    left_out = {**index.skipped, **index.left_out}
    return text + "".join(f"; left out: {count:,} ({reason})" for reason, count in left_out.items()) + "."
