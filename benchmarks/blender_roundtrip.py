"""Measure what Blender adds to a request: from the button to the shape keys, beside the engine's own time.

Run with an interpreter that has bpy; the engine runs in a process of its own, in --engine-python:

    python -m benchmarks.blender_roundtrip [--engine-python P] [--method gaussian] [--write]
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("BLENDER_USER_RESOURCES", tempfile.mkdtemp(prefix="hhmr-roundtrip-"))

import bpy
import numpy as np

from hhmr_engine.evaluation.report import number, table, write_between  # needs no torch

REPOSITORY = Path(__file__).resolve().parents[1]
ADDON = "hhmr_blender"
HYPOTHESES = 8
LIMIT_MS = 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--engine-python", type=Path, default=Path(sys.executable), help="has torch")
    parser.add_argument("--method", choices=("network", "gaussian"), default="network")
    parser.add_argument("--repeat", type=int, default=9)
    parser.add_argument("--write", action="store_true", help="write the figure into docs/results.md")
    arguments = parser.parse_args()

    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    import addon_utils  # on the path from `import bpy` on

    addon_utils.enable(ADDON, default_set=True)
    chosen = bpy.context.preferences.addons[ADDON].preferences
    chosen.command, chosen.device = str(arguments.engine_python), "cpu"
    bpy.context.scene.hhmr.method = arguments.method
    bpy.context.scene.hhmr.count = HYPOTHESES
    measured = [press() for _ in range(arguments.repeat + 1)][1:]  # the first one starts the engine
    sys.modules[f"{ADDON}.session"].session.shut_down()
    more, engine, write, longest, idle = (statistics.median(values) for values in zip(*measured))
    what = f"button to {HYPOTHESES} shape keys, beside the engine's own time, ms"
    cells = [
        (what, f"<= {LIMIT_MS}", number(more), holds(more <= LIMIT_MS)),
        ("the engine's own time, ms", "", number(engine), ""),
        (f"{HYPOTHESES} shape keys written alone, ms", "<= 5", number(write), holds(write <= 5)),
        ("longest poll while the engine works, ms", "<= 2", number(longest), holds(longest <= 2)),
        ("poll of an idle engine, µs", "<= 2000", number(1e3 * idle), holds(idle <= 2)),
    ]
    text = (
        f"Blender {bpy.app.version_string}, method {arguments.method}, part of a mesh kept, polled as"
        f" Blender's timer does; medians of {arguments.repeat}, {time.strftime('%Y-%m-%d')}.\n\n"
        + table(("", "wanted", "measured", "holds"), cells)
    )
    print(text)
    if arguments.write:
        write_between(REPOSITORY / "docs" / "results.md", "blender", text)


def holds(truth: bool) -> str:
    return "yes" if truth else "**no**"


def press() -> tuple[float, float, float, float, float]:
    """Complete a new hand from its palm.

    Milliseconds beside the engine's, of the engine, of writing the keys of a bare hand, of the longest poll
    before the one that has the result, and of a poll afterwards.
    """
    from hhmr_blender import pump
    from hhmr_blender.apply import result, shape_keys
    from hhmr_blender.session import session
    from hhmr_blender.template import template

    bpy.ops.hhmr.add_hand(side="RIGHT")
    ob = bpy.context.object
    ob.data.vertices.foreach_set("select", template().vertices[:, 1] < 0.1)
    started = time.perf_counter()
    bpy.ops.hhmr.complete(keep="SELECTION")
    assert session.run is not None
    job = session.run.job
    polls = []
    while session.busy:
        polls.append(seconds_of(pump.poll))
        if session.busy:
            time.sleep(pump.BUSY)
    seconds = time.perf_counter() - started
    if job.result is None:
        sys.exit(f"The engine gave no hands: {session.notice.text if session.notice else job.state}")
    check(ob, job.result[1]["vertices"])
    own = float(job.result[0]["seconds"])
    arrays = job.result[1]
    entries = result._entries(arrays)
    bpy.ops.hhmr.add_hand(side="RIGHT")
    bare = bpy.context.object
    write = seconds_of(lambda: shape_keys.write(bare, arrays["vertices"], entries, {}, {}))
    check(bare, arrays["vertices"])
    bpy.data.objects.remove(bare)
    idle = statistics.median(seconds_of(pump.poll) for _ in range(200))
    bpy.data.objects.remove(ob)
    longest = max(polls[:-1] or polls)
    return 1e3 * (seconds - own), 1e3 * own, 1e3 * write, 1e3 * longest, 1e3 * idle


def seconds_of(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def check(ob: bpy.types.Object, vertices: np.ndarray) -> None:
    """The keys are there and hold what the engine sent: a fast nothing is no figure."""
    keys = ob.data.shape_keys.key_blocks[1:]
    points = np.empty(3 * len(ob.data.vertices), np.float32)
    keys[-1].data.foreach_get("co", points)
    near = np.abs(points.reshape(1, -1, 3) - vertices).max((1, 2)).min()
    if len(keys) != HYPOTHESES or near > 1e-3:
        sys.exit(
            f"{len(keys)} shape keys were written, {near * 1e3:.1f} mm off: the figure would mean nothing."
        )


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # Blender's module can hang at interpreter exit
