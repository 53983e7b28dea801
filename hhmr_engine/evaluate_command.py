"""`hhmr evaluate`: tables by name, as json, Markdown and pictures, each written as soon as it is made."""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import platform
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .command import OK, make_engine, writing
from .faults import InputError

if TYPE_CHECKING:
    from .evaluation.tables.cost import Cost
    from .evaluation.tables.table import Maker, Table

DOCUMENT = Path(__file__).parents[1] / "docs" / "results.md"
PICTURES = "tables"  # folder of pictures beside the document
COLOURS = 64  # of those pictures


def evaluate(args: argparse.Namespace) -> int:
    makers = _makers(args)
    out = _output(args.out)
    if args.write and not DOCUMENT.is_file():
        raise InputError(f"There is no {DOCUMENT} to write into: leave --write out, or use a checkout.")
    data = args.data or (Path(os.environ["HHMR_DATA"]) if os.environ.get("HHMR_DATA") else None)
    if data is None:
        raise InputError("Nothing is given to measure on: name the folder of recorded poses with --data.")
    if not data.is_dir():
        raise InputError(f"There is no folder {data}: check --data.")
    from tqdm import tqdm

    from .evaluation.tables.cost import measured
    from .evaluation.tables.table import Context
    from .evaluation.tables.user_poses import read_user_poses
    from .training.train import data_cache

    engine = make_engine(args)
    others = dict(args.compare or ())
    for name, path in others.items():
        if not path.is_file():
            raise InputError(f"There is no file {path} for --compare {name}: check the name.")
    poses = read_user_poses(args.poses) if args.poses else None
    about = _about(args, engine.info())
    made: dict[str, tuple[Table, Cost]] = {}
    with tqdm(unit="request", total=0, disable=None) as bar:
        cache = data_cache(engine.arrays.name)
        context = Context(engine, data, cache, args.quick, bar, others, poses, args.share)
        for name, maker in makers.items():
            bar.set_description(name)
            with measured(engine.device) as cost:
                table = maker(context)
            made[table.name] = table, cost
            with writing(str(out)):
                _write(out, about, made)
    for table, cost in made.values():
        print(_text(table, cost, about))
    if args.write:
        for table, cost in made.values():
            _into_document(table, cost, about)
    print(f"{len(made)} {'table' if len(made) == 1 else 'tables'}: {out}, {out.with_suffix('.md')}")
    return OK


def _makers(args: argparse.Namespace) -> dict[str, Maker]:
    """What is to be made, by name; an InputError names what there is."""
    if args.paper:
        from .evaluation.paper import Options, makers

        for option, path in (("--data", args.data), ("--mano", args.mano)):
            if path is not None and not path.exists():
                raise InputError(f"There is no {path} for {option}: check the name.")
        if args.hands is not None and args.hands < 1:
            raise InputError(f"--hands is {args.hands}: give 1 or more.")
        files = args.out.with_suffix("")
        asked = tuple(args.table or "12345")
        known: dict[str, Maker] = makers(Options(args.crops, args.hands, args.mano, asked, files))
    else:
        from .evaluation.tables.catalogue import POSES, TABLES

        known = TABLES if args.poses is None else POSES
    names = args.table or list(known)
    for name in names:
        if name not in known:
            raise InputError(f"There is no table '{name}': use {', '.join(known)}.")
    return {name: known[name] for name in names}


def _output(path: Path) -> Path:
    """The json file; an InputError where nothing could be written there."""
    out = path.with_suffix(".json")
    if not out.parent.is_dir():
        raise InputError(f"There is no folder {out.parent}: make it, or give another --out.")
    if out.is_dir() or not out.name.strip("."):
        raise InputError(f"{out} is a folder: give another --out.")
    with writing(str(out)):
        probe = out.with_name(f".{out.name}.{os.getpid()}.part")
        probe.touch()
        probe.unlink()
    return out


def _about(args: argparse.Namespace, info: dict[str, object]) -> dict[str, Any]:
    import torch

    return {
        "weights": info["weights_sha256"],
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{platform.system()} {platform.machine()}, {info['device']}",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "quick": args.quick,
        "share": args.share,
        "compared": {name: path.name for name, path in args.compare or ()},
    }


def _write(out: Path, about: dict[str, Any], made: dict[str, tuple[Table, Cost]]) -> None:
    """Everything made so far, each file written beside and renamed."""
    pictures = {
        f"{out.stem}_{name}": png for table, _ in made.values() for name, png in table.pictures.items()
    }
    report = {"about": about, "tables": {name: _plain(*both) for name, both in made.items()}}
    text = "\n\n".join(_text(table, cost, about, f"{out.stem}_") for table, cost in made.values())
    contents = {out: json.dumps(report, indent=1).encode(), out.with_suffix(".md"): f"{text}\n".encode()}
    for path, content in (contents | {out.with_name(name): png for name, png in pictures.items()}).items():
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        part.write_bytes(content)
        part.replace(path)


def _plain(table: Table, cost: Cost) -> dict[str, Any]:
    """A table as json knows it: NaN is null, pictures are their names."""
    plain = asdict(table) | {"pictures": list(table.pictures), **asdict(cost)}
    return _without_nan(plain)


def _without_nan(value: Any) -> Any:
    match value:
        case dict():
            return {key: _without_nan(part) for key, part in value.items()}
        case list() | tuple():
            return [_without_nan(part) for part in value]
        case float() if not math.isfinite(value):
            return None
    return value.item() if hasattr(value, "item") else value


def _text(table: Table, cost: Cost, about: dict[str, Any], folder: str = "") -> str:
    from .evaluation.tables.table import as_markdown

    quick = ", few hands, to try and not to quote" if about["quick"] else ""
    if about["share"] < 1 and not quick:
        quick = f", {about['share']:.0%} of the hands (`--share {about['share']:g}`)"
    memory = "" if math.isnan(cost.memory) else f", {cost.memory:,.0f} MiB at most"
    device = "" if math.isnan(cost.device_memory) else f", {cost.device_memory:,.0f} MiB of the GPU"
    line = (
        f"Weights `{about['weights']}`, {about['date']}, {about['machine']}, {about['threads']} thread(s),"
        f" {cost.seconds:,.0f} s{memory}{device}{quick}."
    )
    title, rest = as_markdown(table, folder).split("\n\n", 1)
    return f"{title}\n\n{line}\n\n{rest}"


def _into_document(table: Table, cost: Cost, about: dict[str, Any]) -> None:
    from PIL import Image

    from .evaluation.report import write_between

    folder = DOCUMENT.parent / PICTURES
    folder.mkdir(exist_ok=True)
    for name, png in table.pictures.items():
        # A third of the bytes: a repository keeps every version.
        Image.open(io.BytesIO(png)).convert("RGB").quantize(COLOURS).save(folder / name, optimize=True)
    try:
        write_between(DOCUMENT, f"table {table.name}", _text(table, cost, about, f"{PICTURES}/"))
    except ValueError as exc:
        raise InputError(str(exc)) from exc
