"""The `hhmr` command: generate, inpaint, reconstruct, fit, train, evaluate, import-hand, serve, doctor.

Exit code 0: done; 1: a fault of the engine, or doctor found a problem; 2: bad input; 3: some of many photos
could not be done; 130: stopped by Ctrl-C.
Faults are one sentence on stderr. Sub-commands import what they need when they run, so `--help` is instant.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from .command import (
    BAD_INPUT,
    FAULT,
    OK,
    SOME_FAILED,
    STOPPED,
    chosen,
    explain,
    make_engine,
    run_with_bar,
    writing,
)
from .options import (
    add_data,
    add_doctor,
    add_engine,
    add_evaluate,
    add_fit,
    add_import_hand,
    add_import_poses,
    add_inpaint,
    add_reconstruct,
    add_sampling,
    add_train,
)
from .version import VERSION

if TYPE_CHECKING:
    from .engine import Engine, Hypotheses, Request


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence, without the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(BAD_INPUT, f"{self.prog}: {message} (see {self.prog} --help)\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code (argparse itself leaves by SystemExit)."""
    # Threads that wait must sleep, not spin: beside a busy Blender, spinning made the network thirty times
    # slower. Read when torch is first imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    args = _parser().parse_args(argv)
    try:
        return args.run(args)
    except KeyboardInterrupt:
        print("hhmr: stopped by Ctrl-C.", file=sys.stderr)
        return STOPPED
    except Exception as exc:  # noqa: BLE001 the last stop before a user would see a traceback
        if args.debug:
            traceback.print_exc()
        code, sentence = explain(exc)
        print(f"hhmr: {' '.join(sentence.split())}", file=sys.stderr)
        return code


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="hhmr", description="Complete a partial hand: many plausible whole hands.")
    parser.add_argument("--version", action="version", version=f"hhmr {VERSION}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="command")

    def command(name: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        added.set_defaults(run=run)
        added.add_argument("--debug", action="store_true", help="show where a fault comes from")
        return added

    add_sampling(command("generate", _generate, "make whole hands from nothing"))
    add_inpaint(command("inpaint", _inpaint, "complete some joints, or a part of a hand's mesh"))
    add_reconstruct(command("reconstruct", _reconstruct, "make the hands that photos show"))
    add_fit(command("fit", _fit, "make the hands that a 2D skeleton may be of"))
    add_train(command("train", _train, "train the network"))
    add_evaluate(command("evaluate", _evaluate, "measure the weights: tables as json and Markdown"))
    add_import_hand(command("import-hand", _import_hand, "turn your MANO into a hand to work on"))
    add_import_poses(command("import-poses", _import_poses, "make poses to train on of your own recordings"))
    add_data(
        command("data", _data_check, "look into the datasets that the paper was trained on"),
        {"check": _data_check, "shard": _data_shard},
    )
    add_engine(command("serve", _serve, "answer requests on stdin and stdout, for the Blender add-on"))
    add_doctor(command("doctor", _doctor, "say what the engine runs on, what is wrong and what to do"))
    return parser


def _generate(args: argparse.Namespace) -> int:
    return _sample(args, "generate", {})


def _inpaint(args: argparse.Namespace) -> int:
    from .faults import InputError
    from .inputs import SURFACES, read_joints, read_mesh, read_surface
    from .request import ROOT_RHO

    if args.keep is not None and args.mesh is None:
        raise InputError("--keep says which vertices of a mesh are kept: give --mesh with it.")
    if args.mesh is None and args.joints is None:
        raise InputError("Nothing is given to complete: give --joints or --mesh.")
    condition: dict[str, Any] = {}
    if args.joints is not None:
        condition["joints"] = read_joints(args.joints)
        if args.mesh is None:
            condition["root_rho"] = getattr(args, "root_rho", ROOT_RHO)
        if condition["joints"].ndim == 3:
            if args.mesh is not None:
                raise InputError("A motion is made of joints alone: leave --mesh out, or give one frame.")
            frames = condition.pop("joints")
            return _sample(args, "motion", condition | {"frames": frames})
    if args.mesh is not None and args.mesh.suffix.lower() in SURFACES:
        names = ("surface", "triangles", "keep")
        condition |= dict(zip(names, read_surface(args.mesh, args.keep)))
        condition["side"] = getattr(args, "side", "auto")
    elif args.mesh is not None:
        condition["vertices"] = read_mesh(args.mesh, args.keep)
    return _sample(args, "inpaint", condition)


def _sample(args: argparse.Namespace, task: str, condition: dict[str, Any]) -> int:
    """Ask the engine, then write the files; nothing is computed for a place that can't be written to."""
    from .inputs import output_paths

    paths = output_paths(args.out)
    from .engine import Request

    request = Request(task=task, **(chosen(args) | condition))
    found = run_with_bar(make_engine(args), request)
    with writing(args.out):
        _write(found, request, paths)
    written = ", ".join(str(path) for path in paths.values())
    what = "hands" if found.motion is None else f"motions of {found.motion.shape[1]} frames"
    print(f"{len(found.vertices)} {found.side} {what} in {found.seconds:.2f} s: {written}")
    return OK


def _write(found: Hypotheses, request: Request, paths: dict[str, Path]) -> None:
    import numpy as np

    from .export import glb_bytes, npz_bytes, write_files
    from .sheet import Given, sheet_png

    kept = None if request.vertices is None else np.isfinite(request.vertices).all(1)
    if found.kept is not None:
        kept = found.kept
    joints = request.joints
    if request.frames is not None:  # the sheet shows the frame in the middle
        joints = request.frames[len(request.frames) // 2]
    picture = sheet_png(found, Given(joints, kept))
    contents = {".npz": npz_bytes(found), ".glb": glb_bytes(found, request.triangles), ".png": picture}
    write_files({paths[suffix]: content for suffix, content in contents.items()})


def _reconstruct(args: argparse.Namespace) -> int:
    from .picture_commands import reconstruct

    return reconstruct(args)


def _fit(args: argparse.Namespace) -> int:
    from .picture_commands import fit

    return fit(args)


def _import_hand(args: argparse.Namespace) -> int:
    from .data.import_hand import import_mano
    from .faults import InputError

    data = args.data or (Path(os.environ["HHMR_DATA"]) if os.environ.get("HHMR_DATA") else None)
    out = args.out.with_suffix(".npz")
    if not out.parent.is_dir():
        raise InputError(f"There is no folder {out.parent}: make it, or give another --out.")
    try:
        hand = import_mano(args.mano, data)
    except OSError as exc:
        text = f"{exc.filename or args.mano} cannot be read ({exc.strerror or exc}): check the name."
        raise InputError(text) from exc
    except ValueError as exc:
        raise InputError(str(exc)) from exc
    with writing(args.out):
        hand.save(out)
    print(f"A hand of {len(hand.vertices)} vertices: {out}; train it with 'hhmr train --template {out}'.")
    return OK


def _import_poses(args: argparse.Namespace) -> int:
    from .data.film import Wishes
    from .data.import_poses import import_poses
    from .faults import InputError
    from .hand.template import load_template

    out = args.out.with_suffix(".npz")
    if not out.parent.is_dir():
        raise InputError(f"There is no folder {out.parent}: make it, or give another --out.")
    wishes = Wishes(args.side, args.unit, args.fps)
    try:
        with writing(args.out):
            imported = import_poses(load_template(), args.files, out, args.name or out.stem, wishes)
    except ValueError as exc:
        raise InputError(str(exc)) from exc
    print("\n".join(imported.lines))
    for sentence in imported.failed:
        print(f"hhmr: {sentence}", file=sys.stderr)
    return SOME_FAILED if imported.failed else OK


def _train(args: argparse.Namespace) -> int:
    from .train_command import run

    weights = run(args)
    if os.environ.get("RANK", "0") == "0":
        print(f"Trained: {weights}")
    return OK


def _evaluate(args: argparse.Namespace) -> int:
    from .evaluate_command import evaluate

    return evaluate(args)


def _data_check(args: argparse.Namespace) -> int:
    from .data_command import check

    return check(args)


def _data_shard(args: argparse.Namespace) -> int:
    from .shard_command import shard

    return shard(args)


def _serve(args: argparse.Namespace) -> int:
    from .serve import serve

    def ready() -> Engine:
        engine = make_engine(args)
        others = (
            args.template is not None and args.weights is None
        )  # the weights that ship are of another hand
        if engine.weights.is_file() and not others:
            engine.warm_up()
        return engine

    return serve(ready)


def _doctor(args: argparse.Namespace) -> int:
    import json

    from .doctor import as_text, examine

    report = examine(args.weights)
    print(json.dumps(report, indent=2) if args.json else as_text(report))
    return OK if report["ok"] else FAULT
