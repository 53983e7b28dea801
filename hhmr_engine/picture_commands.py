"""`hhmr reconstruct` and `hhmr fit`: hands that photos and 2D skeletons show."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from .command import OK, SOME_FAILED, chosen, explain, make_engine, run_with_bar, writing
from .export import write_files
from .faults import InputError
from .inputs import output_paths, read_skeleton2d
from .options import SENSOR
from .photo_batch import Report, photo_files, reconstruct_photo, reconstruct_photos
from .picture_files import Asked, contents, hands_of_skeleton, picture_size
from .request import Request
from .vision.photo import open_photo


def reconstruct(args: argparse.Namespace) -> int:
    photos = photo_files(args.photos)
    asked = _asked(args)
    if len(photos) > 1 or photos != args.photos or Path(args.out).is_dir() or args.out.endswith("/"):
        return _reconstruct_all(args, photos, asked)
    paths = output_paths(args.out)
    if photos[0].resolve() in {path.resolve() for path in paths.values()}:
        raise InputError(f"{photos[0]} would be written over: give another --out.")
    run = partial(run_with_bar, make_engine(args))
    with writing(args.out):
        line = reconstruct_photo(run, photos[0], asked, paths[".npz"].with_suffix(""))
    for sentence in line.get("failed", ()):
        print(f"hhmr: Another hand could not be made. {sentence}", file=sys.stderr)
    for hand in line["hands"]:
        files = ", ".join(str(paths[".npz"].with_name(name)) for name in hand["files"])
        print(f"A {hand['side']} hand, {hand['residual']:.1f} % off, in {hand['seconds']:.2f} s: {files}")
    return OK


def _reconstruct_all(args: argparse.Namespace, photos: list[Path], asked: Asked) -> int:
    """Many photos into a folder, from where the last run stopped."""
    if len(photos) > 1 and (args.box is not None or args.joints2d is not None):
        option = "--box" if args.box is not None else "--joints2d"
        raise InputError(f"{option} is of one photo: give that photo alone.")
    report = Report(Path(args.out))
    if any(path.is_dir() and path.resolve() == Path(args.out).resolve() for path in args.photos):
        raise InputError(f"{args.out} is the folder of the photos: give another one to --out.")
    rest = [photo for photo in photos if args.again or not report.is_done(photo)]
    before = len(photos) - len(rest)
    run = make_engine(args).run
    hands = failed = 0
    with writing(args.out), tqdm(total=len(photos), initial=before, unit="photo", disable=None) as bar:
        for line in reconstruct_photos(run, rest, asked, report, lambda exc: explain(exc)[1]):
            bar.update()
            hands += len(line.get("hands", ()))
            if "error" in line:
                failed += 1
                bar.write(f"hhmr: {Path(line['photo']).name}: {line['error']}", file=sys.stderr)
    parts = [f"{hands} hands in {len(rest) - failed} photos"]
    if failed:
        parts.append(f"{failed} photos could not be done")
    if before:
        parts.append(f"{before} were done before (--again does them again)")
    print(f"{', '.join(parts)}: {report.path}")
    return SOME_FAILED if failed else OK


def fit(args: argparse.Namespace) -> int:
    paths = output_paths(args.out)
    asked = _asked(args)
    picture = None if args.picture is None else open_photo(args.picture)
    if args.picture is not None and args.picture.resolve() in {path.resolve() for path in paths.values()}:
        raise InputError(f"{args.picture} would be written over: give another --out.")
    size = picture_size(args.size, asked, picture)
    found = hands_of_skeleton(partial(run_with_bar, make_engine(args)), asked, size)
    with writing(args.out):
        write_files(contents(found, paths, picture, size))
    written = ", ".join(str(path) for path in paths.values())
    print(f"{len(found.vertices)} {found.side} hands in {found.seconds:.2f} s: {written}")
    return OK


def _asked(args: argparse.Namespace) -> Asked:
    """What the options say of a picture; files are read, and InputError says what is wrong in them."""
    if args.sensor is not None and args.focal is None:
        raise InputError("--sensor alone says nothing of the camera: give --focal with it.")
    hand = getattr(args, "hand", None)
    box = getattr(args, "box", None)
    if hand is not None and (hand < 1 or box is not None):
        raise InputError("--hand is 1 for the largest hand that is found, 2 for the next; without --box.")
    request = Request(
        "reconstruct",
        box=None if box is None else np.array(box, np.float32),
        palm=(args.palm or 0.0) / 1000,
        **chosen(args),
    )
    skeleton = None if args.joints2d is None else read_skeleton2d(args.joints2d)
    lens = None if args.focal is None else args.focal / (args.sensor or SENSOR)
    return Asked(request, skeleton, lens, hand)
