"""What each command of `hhmr` may be told: options and their help, nothing that takes long to import."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Options that are fields of Request under their own names: only what is given is handed on.
REQUEST_FIELDS = (
    *("side", "count", "seed", "steps", "rho", "root_rho", "method", "sampler", "guidance"),
    *("condition_weight", "separate", "fit", "diverse", "jerk", "image", "skeleton", "augment"),
)
SENSOR = 36.0  # millimetres: the width that the focal length of most cameras is said for
_X = "writes X.npz, X.glb and X.png"


def numbers(count: int, what: str, above: float = -math.inf) -> Callable[[str], Any]:
    """A type for argparse: one finite number, or a tuple of `count` with commas between, each larger."""

    def parse(text: str) -> float | tuple[float, ...]:
        try:
            values = tuple(float(part) for part in text.split(","))
        except ValueError:
            values = ()
        if len(values) != count or not all(math.isfinite(v) and v > above for v in values):
            raise argparse.ArgumentTypeError(f"{text} is not {what}")
        return values if count > 1 else values[0]

    return parse


def _bytes(text: str) -> int:
    units = {"KB": 10**3, "MB": 10**6, "GB": 10**9}
    number, unit = text[:-2], text[-2:].upper()
    if unit not in units or not number.isdigit() or int(number) * units[unit] < 10**5:
        raise argparse.ArgumentTypeError(f"{text} is not a size such as 512MB, of 100KB or more")
    return int(number) * units[unit]


def _box(text: str) -> tuple[float, ...]:
    what = "X,Y,W,H in pixels, with a width and a height above 0"
    values = numbers(4, what)(text)
    if min(values[2:]) <= 0:
        raise argparse.ArgumentTypeError(f"{text} is not {what}")
    return values


def add_sampling(parser: argparse.ArgumentParser) -> None:
    """Options of Request for what is known in space, under its own defaults."""
    from .request import GUIDANCES, MAX_RHO, ROOT_RHO, SIDES, Request

    usual = Request("generate")
    _add_draws(parser, _X)
    text = "take the first N draws, not the most different of more"
    parser.add_argument(
        "--no-diverse", dest="diverse", action="store_false", default=argparse.SUPPRESS, help=text
    )
    text = f"which hand (default {usual.side}; of a scan it is found)"
    parser.add_argument("--side", choices=SIDES, default=argparse.SUPPRESS, help=text)
    text = f"noise of what is given, 0 to {MAX_RHO:g} millimetres (default {usual.rho:g})"
    parser.add_argument("--rho", type=float, metavar="MM", default=argparse.SUPPRESS, help=text)
    text = (
        "of --joints, further noise of the wrist and the thumb's root, which devices and rigs have in other "
        f"places; 0 for joints of our own hand (default {ROOT_RHO:g})"
    )
    parser.add_argument("--root-rho", type=float, metavar="MM", default=argparse.SUPPRESS, help=text)
    text = f"default {usual.guidance}"
    parser.add_argument("--guidance", choices=GUIDANCES, default=argparse.SUPPRESS, help=text)
    text = f"classifier-free guidance: 1 takes the condition as it is (default {usual.condition_weight:g})"
    parser.add_argument("--condition-weight", type=float, metavar="W", default=argparse.SUPPRESS, help=text)


def _add_draws(parser: argparse.ArgumentParser, out: str) -> None:
    """How many hands are drawn, and how."""
    from .request import MAX_COUNT, MAX_STEPS, METHODS, SAMPLERS, Request

    def add(*names: str, **settings: Any) -> None:
        parser.add_argument(*names, default=argparse.SUPPRESS, **settings)

    usual = Request("generate")
    parser.add_argument("--out", required=True, metavar="X", help=out)
    text = f"hypotheses, 1 to {MAX_COUNT} (default {usual.count})"
    add("-n", "--count", type=int, metavar="N", help=text)
    add("--seed", type=int, metavar="N", help=f"same seed, same hands (default {usual.seed})")
    add("--steps", type=int, metavar="N", help=f"denoising steps, 1 to {MAX_STEPS} (default {usual.steps})")
    add("--method", choices=METHODS, help=f"gaussian is the baseline (default {usual.method})")
    add("--sampler", choices=SAMPLERS, help=f"default {usual.sampler}")
    text = "leave fingers in each other and in the palm where they come out so"
    add("--no-separate", dest="separate", action="store_false", help=text)
    add("--fit", action="store_true", help="end with a fit of the skinned hand, which gives bone rotations")
    add_engine(parser)


def add_inpaint(parser: argparse.ArgumentParser) -> None:
    text = (
        "json or npz: joints [21,3] in metres, null or NaN = unknown, or [T,21,3] of a motion; with a scan, "
        "its landmarks"
    )
    parser.add_argument("--joints", type=Path, metavar="FILE", help=text)
    text = (
        "a hand or part of one (obj, ply, glb, stl), or npz: vertices [V,3] in template order, NaN = missing"
    )
    parser.add_argument("--mesh", type=Path, metavar="FILE", help=text)
    text = "of a motion: how much accelerations change, mm a frame cubed at hand size (default 1)"
    parser.add_argument("--jerk", type=float, metavar="MM", default=argparse.SUPPRESS, help=text)
    text = "npz: keep [V] true or false, or vertex numbers; with --mesh"
    parser.add_argument("--keep", type=Path, metavar="FILE", help=text)
    add_sampling(parser)


def add_reconstruct(parser: argparse.ArgumentParser) -> None:
    text = "picture files, or folders of them"
    parser.add_argument("photos", type=Path, nargs="+", metavar="PHOTO", help=text)
    text = "the hand is in this box of the upright photo, in pixels; for what is not found, or to choose"
    parser.add_argument("--box", type=_box, metavar="X,Y,W,H", help=text)
    text = "only hand K of those found, the largest is 1 (default: all of them)"
    parser.add_argument("--hand", type=int, metavar="K", help=text)
    text = "json or npz, as for 'hhmr fit': joints that correct what is found in the photo"
    parser.add_argument("--joints2d", type=Path, metavar="FILE", help=text)
    _add_camera(parser)
    only = parser.add_mutually_exclusive_group()
    text = "the photo only shows where the 21 joints are"
    only.add_argument("--no-image", dest="image", action="store_false", default=argparse.SUPPRESS, help=text)
    text = "use the photo alone: tell neither the network nor the guidance where the 21 joints are"
    only.add_argument(
        "--no-skeleton", dest="skeleton", action="store_false", default=argparse.SUPPRESS, help=text
    )
    text = "test-time augmentation: draw from several crops of the photo"
    parser.add_argument("--augment", action="store_true", default=argparse.SUPPRESS, help=text)
    text = "of a folder: do those photos again that the report says are done"
    parser.add_argument("--again", action="store_true", help=text)
    _add_draws(parser, f"{_X}; of a folder or several photos, the folder for their files and report.jsonl")


def add_fit(parser: argparse.ArgumentParser) -> None:
    text = (
        "json or npz: joints2d [21,2] in pixels, null or NaN = unknown; also confidence [21] from 0 to 1, "
        "image_size [2], focal in pixels"
    )
    parser.add_argument("--joints2d", type=Path, required=True, metavar="FILE", help=text)
    size = numbers(2, "W,H in pixels, each above 0", 0.0)
    text = "the picture's size in pixels (default: the file's, or the picture's)"
    parser.add_argument("--size", type=size, metavar="W,H", help=text)
    text = "drawn under the hand in X.png, and not used otherwise"
    parser.add_argument("--picture", type=Path, metavar="PHOTO", help=text)
    _add_camera(parser)
    _add_draws(parser, _X)


def _add_camera(parser: argparse.ArgumentParser) -> None:
    """Of what camera, and how large the hand is: what cannot be seen in one picture."""
    from .request import AUTO, SIDES

    length = numbers(1, "a length in millimetres above 0", 0.0)
    text = "which hand (default auto: it is found)"
    parser.add_argument("--side", choices=(AUTO, *SIDES), default=AUTO, help=text)
    text = "focal length of the lens (default: the photo's own word, or a guess: a wide angle or longer)"
    parser.add_argument("--focal", type=length, metavar="MM", help=text)
    text = f"length of the sensor's longer side (default {SENSOR:g})"
    parser.add_argument("--sensor", type=length, metavar="MM", help=text)
    text = "from the wrist to the middle knuckle (default: an average hand's)"
    parser.add_argument("--palm", type=length, metavar="MM", help=text)
    text = "leave all to the network: do not pull the hands to the joints while they are made"
    parser.add_argument(
        "--no-guidance",
        dest="guidance",
        action="store_const",
        const="none",
        default=argparse.SUPPRESS,
        help=text,
    )


def add_import_hand(parser: argparse.ArgumentParser) -> None:
    text = "MANO_RIGHT.pkl as its makers publish it, the same arrays as npz, or smplx's folder of models"
    parser.add_argument("--mano", "--smplx", type=Path, required=True, metavar="FILE", help=text)
    text = "npz, for --template of the other commands"
    parser.add_argument("--out", type=Path, required=True, metavar="HAND", help=text)
    parser.add_argument("--data", type=Path, help="folder of recorded poses (default HHMR_DATA)")


def add_import_poses(parser: argparse.ArgumentParser) -> None:
    from .data.recording import SIDES, UNITS

    text = (
        "bvh with fingers; or npz, npy, json, csv of N x J x 3 joints: J is 21 (OpenPose), 25 (WebXR) or 26 "
        "(OpenXR)"
    )
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help=text)
    text = "npz, for --poses of train and evaluate"
    parser.add_argument("--out", type=Path, required=True, metavar="POSES", help=text)
    text = "of the source, which is one device on one person's hands (default the name of --out)"
    parser.add_argument("--name", metavar="NAME", help=text)
    text = "which hand lists are of, and which to take of files that name both (default auto)"
    parser.add_argument("--side", choices=("auto", *SIDES), default="auto", help=text)

    def unit(word: str) -> float | None:
        if word == "auto":
            return None
        what = f"auto, {', '.join(UNITS)} or a number of metres above 0"
        return UNITS.get(word) or numbers(1, what, 0.0)(word)

    text = f"auto (by the hand's size), {', '.join(UNITS)}, or metres (default auto)"
    parser.add_argument("--unit", type=unit, default=None, metavar="UNIT", help=text)
    text = "frames a second that are taken of films which say how fast they are (default 30)"
    rate = numbers(1, "a number of frames above 0", 0.0)
    parser.add_argument("--fps", type=rate, default=30.0, metavar="F", help=text)


def add_data(parser: argparse.ArgumentParser, runs: dict[str, Callable[[argparse.Namespace], int]]) -> None:
    """What is done with datasets: `runs` has the function of each sub-command."""
    acts = parser.add_subparsers(title="commands", required=True, metavar="command")

    def act(name: str, text: str) -> argparse.ArgumentParser:
        added = acts.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        added.set_defaults(run=runs[name])
        added.add_argument("--debug", action="store_true", help="show where a fault comes from")
        text = "a dataset as it was unpacked, or a folder of several"
        added.add_argument("folder", type=Path, metavar="DIR", help=text)
        text = "MANO_RIGHT.pkl, for meshes of sets with parameters (default: DIR/mano/MANO_RIGHT.pkl)"
        added.add_argument("--mano", type=Path, metavar="FILE", help=text)
        return added

    check = act("check", "say which datasets a folder holds and what is missing, and draw some hands")
    text = "the drawing (default hhmr-data.png)"
    check.add_argument("--out", default="hhmr-data.png", metavar="PNG", help=text)
    text = "write WebDataset shards of datasets, for 'hhmr train --data'; a run that was stopped goes on"
    shard = act("shard", text)
    shard.add_argument("--out", type=Path, required=True, metavar="SHARDS", help="folder of the shards")
    text = "train (default) or evaluation"
    shard.add_argument("--split", choices=("train", "evaluation"), default="train", help=text)
    text = "of a shard, at most (default 512MB)"
    shard.add_argument("--size", type=_bytes, default=512_000_000, metavar="SIZE", help=text)


def add_train(parser: argparse.ArgumentParser) -> None:
    text = "settings, or the name of those that ship: hhmr.toml (default), paper.toml"
    parser.add_argument("--config", type=Path, metavar="TOML", help=text)
    parser.add_argument("--out", type=Path, required=True, help="folder of checkpoints and weights")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint in --out")
    parser.add_argument(
        "--steps", type=int, metavar="N", help="stop after N steps, in place of the settings'"
    )
    parser.add_argument("--minutes", type=float, metavar="M", help="stop after M minutes; --resume goes on")
    text = "then measure on the validation split: a line in progress.jsonl of --out"
    parser.add_argument("--evaluate", action="store_true", help=text)
    text = "folder of recorded poses (default HHMR_DATA); with settings that name datasets, of those"
    parser.add_argument("--data", type=Path, help=text)
    text = "npz of 'hhmr import-poses': recordings of your own, beside those of --data"
    parser.add_argument("--poses", type=Path, nargs="+", default=(), metavar="FILE", help=text)
    text = "a usual resnet50 file, where the settings' trunk is one"
    parser.add_argument("--trunk", type=Path, metavar="FILE", help=text)
    text = "folder of training pictures, made by python -m hhmr_engine.training.fill_pictures"
    parser.add_argument("--pictures", type=Path, metavar="DIR", help=text)
    _add_template(parser)
    _add_device(parser)


def add_evaluate(parser: argparse.ArgumentParser) -> None:
    text = "tables to make, with commas between; with --paper, 1 to 5 (default: all; with --poses, that one)"
    parser.add_argument("--table", type=_names, metavar="NAME[,NAME]", help=text)
    text = "writes F.json, F.md and pictures beside it"
    parser.add_argument("--out", type=Path, required=True, metavar="F.json", help=text)
    parser.add_argument("--data", type=Path, help="folder of recorded poses (default HHMR_DATA)")
    parser.add_argument("--quick", action="store_true", help="few hands: to try the command, not to quote")
    text = "of the hands of each table, where time is short (default 1)"
    parser.add_argument("--share", type=_share, default=1.0, metavar="0..1", help=text)
    text = "other weights to compare with: deterministic, attention, graph, sampler, recordings, both, or any"
    parser.add_argument("--compare", type=_compared, nargs="+", action="extend", metavar="NAME=F", help=text)
    text = "npz with joints [N,21,3] in metres, NaN = unknown: measure on these"
    parser.add_argument("--poses", type=Path, metavar="FILE", help=text)
    text = "the paper's own tables, on its data in --data"
    parser.add_argument("--paper", action="store_true", help=text)
    text = "of --paper: crops of each photo, fused; default: paper, MeshGraphormer's 95 (with --quick: none)"
    parser.add_argument("--crops", choices=("none", "few", "paper"), help=text)
    text = "of --paper: N hands of each dataset, evenly over it (default: all)"
    parser.add_argument("--hands", type=int, metavar="N", help=text)
    text = "of --paper: MANO_RIGHT.pkl (default: beside the datasets, if it is there)"
    parser.add_argument("--mano", type=Path, metavar="FILE", help=text)
    text = "write the tables into docs/results.md of the checkout"
    parser.add_argument("--write", action="store_true", help=text)
    add_engine(parser)


def _share(text: str) -> float:
    share = float(text)
    if not 0 < share <= 1:
        raise argparse.ArgumentTypeError(f"{text} is no share: give a number above 0, up to 1")
    return share


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _compared(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise argparse.ArgumentTypeError(f"{text} is not NAME=FILE")
    return name, Path(path)


def add_doctor(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--weights", type=Path, metavar="FILE", help="also look at this weight file")


def add_engine(parser: argparse.ArgumentParser) -> None:
    _add_device(parser)
    _add_template(parser)
    text = "safetensors, in place of the weights that ship"
    parser.add_argument("--weights", type=Path, metavar="FILE", help=text)
    text = "a usual resnet50 file, for weights that were trained to look at photos through one"
    parser.add_argument("--trunk", type=Path, metavar="FILE", help=text)
    parser.add_argument(
        "--threads", type=int, metavar="N", help="processor threads (default torch's own choice)"
    )


def _add_template(parser: argparse.ArgumentParser) -> None:
    text = "the hand, an npz of 'hhmr import-hand', in place of the one that ships; weights are for one hand"
    parser.add_argument("--template", type=Path, metavar="HAND", help=text)


def _add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda, cuda:1, mps or auto")
