"""`hhmr train`: what its options mean, and its faults in one sentence."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

from .command import check_device, check_template
from .faults import InputError

SHIPPED = Path(__file__).with_name("training")


def run(args: argparse.Namespace) -> Path:
    """Train; the path of the weights. InputError: something given doesn't fit."""
    from safetensors import SafetensorError

    from .training.settings import load_settings
    from .training.train import Sources, train

    sources = Sources(_data(args), tuple(args.poses), args.pictures, args.trunk)
    config = _config(args.config)
    _check(args, sources.data)
    try:
        settings = load_settings(config)
        if args.steps is not None:
            settings = replace(settings, steps=args.steps)
        seconds = None if args.minutes is None else 60.0 * args.minutes
        weights = train(settings, args.out, sources, args.device, args.resume, seconds, args.template)
        if args.evaluate and os.environ.get("RANK", "0") == "0":
            from .training.progress import note_progress

            note_progress(args.out, settings, sources, args.device, args.template)
    except (ValueError, OSError, SafetensorError) as exc:
        # The trainer's words for settings, data and checkpoints that don't fit.
        raise InputError(f"Training stopped: {exc}") from exc
    return weights


def _data(args: argparse.Namespace) -> Path | None:
    return args.data or (Path(os.environ["HHMR_DATA"]) if os.environ.get("HHMR_DATA") else None)


def _config(path: Path | None) -> Path:
    """A file, or the name of one that ships."""
    if path is None:
        return SHIPPED / "hhmr.toml"
    shipped = SHIPPED / path.name
    return shipped if path.parent == Path(".") and not path.exists() and shipped.exists() else path


def _check(args: argparse.Namespace, data: Path | None) -> None:
    given = {
        "--config": _config(args.config),
        "--data": data,
        "--pictures": args.pictures,
        "--trunk": args.trunk,
    }
    for option, path in given.items():
        if path is not None and not path.exists():
            raise InputError(f"There is no {path} for {option}: check the name.")
    first = os.environ.get("RANK", "0") == "0"
    if first and not args.resume and (args.out / "state.safetensors").exists():
        raise InputError(f"{args.out} holds a run: add --resume to go on with it, or give another --out.")
    if args.steps is not None and args.steps < 1:
        raise InputError(f"--steps is {args.steps}: give 1 or more.")
    check_device(args.device)
    check_template(args.template)
