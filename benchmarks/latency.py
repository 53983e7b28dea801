"""Measure times and memory: a request, the network alone, fitting the PCA prior, the engine's start.

python -m benchmarks.latency [--weights F] [--threads 2] [--out out/latency.json] [--write]
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
import trimesh

from hhmr_engine.data.sampler import sample_angles
from hhmr_engine.diffusion.schedule import Schedule
from hhmr_engine.draws import FIRST, LAST, Sampler
from hhmr_engine.engine import DEFAULT_WEIGHTS, Engine, Request
from hhmr_engine.evaluation.baselines import PcaFit
from hhmr_engine.evaluation.meshes import LEFT_OUT, kept_without
from hhmr_engine.evaluation.metrics import aligned_error
from hhmr_engine.evaluation.report import number, table, write_between
from hhmr_engine.evaluation.skeletons import hidden_joints
from hhmr_engine.evaluation.testset import synthetic_hands
from hhmr_engine.hand.intersection import SelfIntersection
from hhmr_engine.hand.skeleton import PARENTS
from hhmr_engine.hand.template import load_template
from hhmr_engine.model.graph_unet import GraphDenoiser
from hhmr_engine.observation import observe_joints
from hhmr_engine.sheet import sheet_png
from hhmr_engine.wire import PROTOCOL, Decoder, encode

REPOSITORY = Path(__file__).resolve().parents[1]
HYPOTHESES, STEPS = 8, 10
LIMITS = {10: 0.35, 4: 0.18}  # steps, and seconds that eight hypotheses may take with them

Line = tuple[str, str, float, bool | None]  # what, wanted, seconds (or another unit, said in `what`), holds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--weights", type=Path, default=DEFAULT_WEIGHTS, help="default: those that ship")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=21, help="runs whose median counts")
    parser.add_argument("--out", type=Path, default=Path("out/latency.json"))
    parser.add_argument("--write", action="store_true", help="write the table into docs/results.md")
    arguments = parser.parse_args()

    start = engine_start(arguments.weights, arguments.threads)
    engine = Engine(weights=arguments.weights, threads=arguments.threads)
    engine.warm_up()
    lines = [
        *requests(engine, arguments.repeat),
        *foreign(engine, max(3, arguments.repeat // 5)),
        *network_alone(engine, arguments.repeat),
        *fitting(engine, arguments.repeat),
        *parts(engine, arguments.repeat),
        *start,
    ]
    cells = [
        (what, wanted, number(value), {True: "yes", False: "**no**", None: ""}[holds])
        for what, wanted, value, holds in lines
    ]
    head = (
        f"{cpu_name()}, {arguments.threads} of {os.cpu_count()} threads, {time.strftime('%Y-%m-%d')};"
        f" load {os.getloadavg()[0]:.1f} at the end. Medians of {arguments.repeat} runs after a warm-up."
    )
    text = f"{head}\n\n{table(('', 'wanted', 'measured', 'holds'), cells)}"
    print(text)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps({what: value for what, _, value, _ in lines}, indent=1))
    if arguments.write:
        write_between(REPOSITORY / "docs" / "results.md", "latency", text)


def requests(engine: Engine, repeat: int) -> list[Line]:
    """Everything counted: conditions, guidance, decoding, self-intersection, scores."""
    hand = synthetic_hands(engine.arrays, 1)
    part = np.where(hidden_joints(False)[:, None], np.nan, hand.joints[0])
    cut = np.where(kept_without(engine.arrays, LEFT_OUT)[:, None], hand.vertices[0], np.nan)
    bases = {
        "3 fingers of a skeleton hidden": Request("inpaint", joints=part),
        "3 fingers of a mesh cut off": Request("inpaint", vertices=cut),
        "from nothing": Request("generate"),
    }
    lines: list[Line] = []
    for steps, limit in LIMITS.items():
        for name, base in bases.items():
            request = replace(with_draws(base, diverse=False), steps=steps)
            seconds = median(partial(engine.run, request), repeat)
            what = f"{HYPOTHESES} hypotheses, T = {steps}, everything counted, {name}, s"
            lines.append((what, f"<= {limit:g}", seconds, seconds <= limit))
    base = bases["3 fingers of a skeleton hidden"]
    chosen = median(lambda: engine.run(with_draws(base, diverse=True)), repeat)
    lines.append(("the same skeleton, 8 most different of 16 draws (the default), s", "", chosen, None))
    fitted = median(lambda: engine.run(with_draws(base, diverse=False, fit=True)), max(3, repeat // 3))
    lines.append(("the same skeleton with the skinned hand fitted at the end, s", "", fitted, None))
    baseline = median(lambda: engine.run(with_draws(base, diverse=False, method="gaussian")), repeat)
    lines.append(("the same skeleton by the Gaussian, s", "", baseline, None))
    return lines


def foreign(engine: Engine, repeat: int) -> list[Line]:
    """A mesh of another topology without bones: place, pose and side are found."""
    template = engine.arrays
    mesh = trimesh.Trimesh(synthetic_hands(template, 1).vertices[0], template.faces, process=False)
    free = ~kept_without(template, ("middle", "ring", "pinky"))
    mesh.vertex_attributes["free"] = free[:, None].astype(float)
    mesh = mesh.subdivide().subdivide()
    request = Request(
        "inpaint",
        side="auto",
        surface=np.asarray(mesh.vertices, np.float32),
        triangles=np.asarray(mesh.faces, np.int32),
        keep=mesh.vertex_attributes["free"][:, 0] < 0.5,
        count=HYPOTHESES,
        steps=STEPS,
    )
    joints = (template.regressor @ mesh.vertices[: len(template.vertices)]).astype(np.float32)
    bare = median(lambda: engine.run(request), repeat)
    rigged = median(lambda: engine.run(replace(request, joints=joints)), repeat)
    what = f"{HYPOTHESES} hypotheses on a mesh of {len(mesh.vertices):,} vertices"
    return [
        (f"{what}, bare, s", "<= 5", bare, bare <= 5),
        (f"{what}, with its rig's joints, s", "", rigged, None),
    ]


def with_draws(base: Request, **changes: bool | str) -> Request:
    return replace(base, count=HYPOTHESES, steps=STEPS, **changes)  # type: ignore[arg-type]


def network_alone(engine: Engine, repeat: int) -> list[Line]:
    """T evaluations of the network for all hypotheses; conditions are encoded before, nothing is decoded."""
    model, schedule = engine.network()
    hand = synthetic_hands(engine.arrays, 1)
    joints = torch.from_numpy(hand.joints[0])
    joints[hidden_joints(False)] = torch.nan
    with torch.no_grad():
        sampler = Sampler(
            engine.template,
            engine.prior,
            (model, schedule),
            observe_joints(engine.template, joints, 1.0),
            Request("inpaint"),
        )
        seconds = median(lambda: evaluate(model, schedule, sampler), repeat)
    return [(f"network alone, {STEPS} steps of {HYPOTHESES}, s", "<= 0.35", seconds, seconds <= 0.35)]


@torch.no_grad()
def evaluate(model: GraphDenoiser, schedule: Schedule, sampler: Sampler) -> None:
    x = sampler.prior.mean.expand(HYPOTHESES, -1).clone()
    for level in schedule.grid(STEPS, FIRST, LAST)[:STEPS]:
        model(x, level, sampler.encoded, sampler.evidence)


def fitting(engine: Engine, repeat: int) -> list[Line]:
    """The PCA prior fitted to the same joints with L-BFGS, 8 restarts for 8 hypotheses."""
    hand = synthetic_hands(engine.arrays, 1)
    joints, truth = hand.joints[0], hand.vertices[0]
    part = np.where(hidden_joints(False)[:, None], np.nan, joints)
    fit = PcaFit(engine.template, engine.prior)
    one = median(lambda: fit.fit(part, 1), max(3, repeat // 3))
    eight = median(lambda: fit.fit(part, HYPOTHESES), max(3, repeat // 7))
    request = Request("inpaint", joints=part, diverse=False)
    ours = median(lambda: engine.run(request), repeat)
    whole = engine.run(Request("inpaint", joints=joints, diverse=False)).vertices
    error, fitted = (
        1e3 * float(aligned_error(v, truth).mean()) for v in (whole, fit.fit(joints, HYPOTHESES))
    )
    return [
        ("fitting the PCA prior with L-BFGS once, s", "", one, None),
        (f"fitting it {HYPOTHESES} times, s", "", eight, None),
        (
            f"ratio per request: {HYPOTHESES} fits / one request of {HYPOTHESES} hypotheses",
            "",
            eight / ours,
            None,
        ),
        ("ratio per hypothesis: one fit / an eighth of a request", "", one / (ours / HYPOTHESES), None),
        ("PA-MPVPE of the fits on one full skeleton, mm", "", fitted, None),
        ("PA-MPVPE of the network's draws on it, mm", "", error, None),
    ]


def parts(engine: Engine, repeat: int) -> list[Line]:
    """What a request, a training and a command consist of, each alone."""
    hands = engine.run(Request("generate", count=HYPOTHESES, method="gaussian"))
    check = SelfIntersection(hands.faces, load_template().weights, np.array(PARENTS))
    crossing = median(lambda: check.pairs(hands.vertices), repeat)
    sheet = median(lambda: sheet_png(hands), max(3, repeat // 3))
    poses = 1000 / median(lambda: sample_angles(1000, np.random.default_rng(5)), max(3, repeat // 3))
    command = [sys.executable, "-m", "hhmr_engine", "--help"]
    usage = median(lambda: subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL), 3)
    return [
        (f"self-intersection of {HYPOTHESES} hands, s", "<= 0.06", crossing, crossing <= 0.06),
        (f"contact sheet of {HYPOTHESES} hands, s", "<= 1", sheet, sheet <= 1),
        ("poses drawn for training per second", ">= 750", poses, poses >= 750),
        ("hhmr --help, s", "<= 2", usage, usage <= 2),
    ]


def engine_start(weights: Path, threads: int) -> list[Line]:
    """`hhmr serve` from its start to `ready` (weights loaded, one step done), one request, and its memory."""
    command = [
        sys.executable,
        "-m",
        "hhmr_engine",
        "serve",
        "--threads",
        str(threads),
        "--weights",
        str(weights),
    ]
    times = []
    for _ in range(3):
        started = time.monotonic()
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=REPOSITORY
        )
        assert process.stdin is not None
        process.stdin.write(encode({"type": "hello", "protocol": list(PROTOCOL)}))
        process.stdin.flush()
        decoder = Decoder()
        listen(process, decoder, lambda m: m.get("type") == "status" and m.get("state") == "ready")
        times.append(time.monotonic() - started)
        process.stdin.write(
            encode({"type": "run", "id": 1, "task": "generate", "count": HYPOTHESES, "preview": True})
        )
        process.stdin.flush()
        listen(process, decoder, lambda m: m.get("type") == "result")
        process.stdin.close()
        process.wait(30)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    gigabytes = peak * (1 if sys.platform == "darwin" else 1024) / 1e9
    ready = statistics.median(times)
    return [
        ("engine from its start to ready (weights loaded, one step done), s", "<= 5", ready, ready <= 5),
        ("engine's peak memory after a request, GB", "<= 1", gigabytes, gigabytes <= 1),
    ]


def listen(process: subprocess.Popen[bytes], decoder: Decoder, wanted: Callable[[dict], bool]) -> None:
    """Read frames until the wanted one. Ends the command when the engine fails."""
    assert process.stdout is not None
    while True:
        data = os.read(process.stdout.fileno(), 1 << 20)
        if not data:
            sys.exit("The engine ended before it answered: run `python -m hhmr_engine doctor`.")
        for message, _ in decoder.feed(data):
            if message.get("code"):
                sys.exit(f"The engine says: {message['message']}")
            if wanted(message):
                return


def median(work: Callable[[], object], repeat: int) -> float:
    """Seconds that `work` takes, after two runs that don't count."""
    times = []
    for k in range(repeat + 2):
        started = time.perf_counter()
        work()
        if k >= 2:
            times.append(time.perf_counter() - started)
    return statistics.median(times) if times else math.nan


def cpu_name() -> str:
    """What the machine calls its processor."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    import platform

    return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
