"""Measure motions: held-out recordings in their order, three fingers hidden in every frame.

python -m benchmarks.sequence --data ../shared/data --out out/sequence.json [--weights F] [--quick] [--write]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from hhmr_engine.data.clips import Clip, load_clips
from hhmr_engine.engine import DEFAULT_WEIGHTS, Engine, Request, RequestError
from hhmr_engine.evaluation.report import number, table, write_between
from hhmr_engine.hand.rotation import procrustes

REPOSITORY = Path(__file__).resolve().parents[1]
HIDDEN = [10, 11, 12, 14, 15, 16, 18, 19, 20]  # middle, ring, pinky beyond their knuckles
GIVEN = [joint for joint in range(21) if joint not in HIDDEN]
PALM = [1, 5, 9, 13, 17]
GONE = 0.3  # of the joints that are given, where they come and go
WANTED = 1.2  # times the truth's jerk, at most
SEED, DRAWS = 7, 4

Motions = np.ndarray  # [n,T,21,3]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--weights", type=Path, default=DEFAULT_WEIGHTS, help="default: those that ship")
    parser.add_argument("--data", type=Path, required=True, help="folder that holds poses/")
    parser.add_argument("--out", type=Path, default=Path("out/sequence.json"), help="everything as JSON")
    parser.add_argument("--frames", type=int, default=80, help="of each clip, out of its middle")
    parser.add_argument("--quick", action="store_true", help="few frames: to try the command, not to quote")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="write the table into docs/results.md")
    arguments = parser.parse_args()

    engine = Engine(weights=arguments.weights, threads=arguments.threads)
    engine.warm_up()
    clips = [middle(clip, 24 if arguments.quick else arguments.frames) for clip in load_clips(arguments.data)]
    clips = clips[::4] if arguments.quick else clips
    found: dict[str, list[dict[str, float]]] = {name: [] for name in METHODS}
    for clip in clips:
        for name, method in METHODS.items():
            started = time.perf_counter()
            motions = method(engine, told(clip, 0.0 if name != COMES_AND_GOES else GONE))
            seconds = time.perf_counter() - started
            figures = measure(clip.joints, motions) | {"ms": 1e3 * seconds / motions[..., 0, 0].size}
            found[name].append(figures | {"frames": float(len(clip.joints))})
            print(clip.source, clip.name, name, {k: round(v, 2) for k, v in figures.items()}, flush=True)
    text = report(clips, found, arguments.threads, str(engine.info()["weights_sha256"]))
    print(text)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    named = [f"{clip.source} {clip.name}" for clip in clips]
    arguments.out.write_text(json.dumps({"clips": named, **found}, indent=1), encoding="utf-8")
    if arguments.write:
        write_between(REPOSITORY / "docs" / "results.md", "sequence", text)


def middle(clip: Clip, frames: int) -> Clip:
    """That many frames out of the middle of a clip."""
    start = max(0, (len(clip.joints) - frames) // 2)
    return Clip(clip.source, clip.name, clip.joints[start : start + frames].astype(np.float32))


def told(clip: Clip, gone: float) -> np.ndarray:
    """Frames [T,21,3] without the hidden fingers, and without a share of the other joints."""
    frames = clip.joints.copy()
    frames[:, HIDDEN] = np.nan
    frames[np.random.default_rng(SEED).random(frames.shape[:2]) < gone] = np.nan
    return frames


def one_motion(engine: Engine, frames: np.ndarray) -> Motions:
    found = engine.run(Request("motion", frames=frames, count=DRAWS, seed=SEED))
    assert found.motion is not None
    return found.motion


def frame_by_frame(engine: Engine, frames: np.ndarray, shared: bool) -> Motions:
    """Requests for single frames; with `shared` noise draw k of every frame is from the same noise.

    Where a frame by itself is refused, the hands of the one before it stand still.
    """
    motions: list[np.ndarray] = []
    for t, joints in enumerate(frames):
        request = Request("inpaint", joints=joints, count=DRAWS, seed=SEED if shared else 1000 + t)
        try:
            found = engine.run(replace(request, diverse=False))
            motions.append(found.joints[np.argsort(found.draw)])
        except RequestError:
            motions.append(motions[-1])
    return np.stack(motions, 1)


COMES_AND_GOES = f"one motion, {GONE:.0%} of the given joints missing, others in each frame"
METHODS: dict[str, Callable[[Engine, np.ndarray], Motions]] = {
    "a new draw in each frame": lambda engine, frames: frame_by_frame(engine, frames, shared=False),
    "the same noise in each frame": lambda engine, frames: frame_by_frame(engine, frames, shared=True),
    "one motion": one_motion,
    COMES_AND_GOES: one_motion,
}


def measure(truth: np.ndarray, motions: Motions) -> dict[str, float]:
    """Means over the draws; millimetres, and per frame for what is over time."""
    steady, held = in_palm(truth, motions), in_palm(truth, truth[None])[0]
    error = 1e3 * np.linalg.norm(motions - truth, axis=-1)
    apart = 1e3 * np.linalg.norm(motions[:, None] - motions[None], axis=-1)[..., HIDDEN]
    return {
        "jerk": change(motions, 3),
        "truth": change(truth, 3),
        "palm": change(steady, 3) / change(held, 3),
        "ratio": change(motions, 3) / change(truth, 3),
        "speed": change(steady, 1) / change(held, 1),
        "error": float(np.nanmean(error[..., HIDDEN])),
        "best": float(np.nanmean(error[..., HIDDEN], (1, 2)).min()),
        "given": float(np.nanmean(error[..., GIVEN])),
        "apart": float(apart.sum() / (len(motions) * (len(motions) - 1)) / apart[0, 0].size),
    }


def change(joints: np.ndarray, order: int) -> float:
    """Mean length of the differences of an order of the hidden joints over time, millimetres."""
    moved = np.diff(joints[..., HIDDEN, :], n=order, axis=-3)
    return float(1e3 * np.linalg.norm(moved, axis=-1).mean())


def in_palm(truth: np.ndarray, motions: Motions) -> Motions:
    """Motions as the true palm sees them: how the hand is carried is left out."""
    palm = torch.from_numpy(truth[:, PALM]).double()
    first = palm[:1].expand_as(palm)
    _, turn, away = procrustes(first, palm, torch.ones(palm.shape[:2], dtype=torch.float64), scale=False)
    return (motions - away[:, None].numpy()) @ turn.numpy()


def report(clips: list[Clip], found: dict[str, list[dict[str, float]]], threads: int, weights: str) -> str:
    """The table, a row for every method, and the jerk of every source."""
    frames = np.array([len(clip.joints) for clip in clips], float)
    rows = []
    for name, each in found.items():
        mean = {key: float(np.average([one[key] for one in each], weights=frames)) for key in each[0]}
        worst = max(one["ratio"] for one in each)
        holds = "" if name not in ("one motion",) else "yes" if worst <= WANTED else "**no**"
        keys = ("ratio", "palm", "speed", "error", "best", "given", "apart", "ms")
        rows.append((name, number(mean["ratio"]), number(worst), holds, *(number(mean[k]) for k in keys[1:])))
    head = (
        f"Weights `{weights}`, {time.strftime('%Y-%m-%d')}, {threads} thread(s). {len(clips)} clips of the"
        f" test split with {int(frames.sum())} frames: middle, ring and pinky hidden beyond their knuckles,"
        f" {DRAWS} draws each. Jerk is the mean length of the third difference of the hidden joints over that"
        " of the recording, as recorded and as its palm sees it; speed is that of the first difference."
    )
    names = (
        *("", "jerk / truth's", "worst clip", f"<= {WANTED}", "jerk in the palm", "speed in the palm"),
        *("hidden, mm", "best draw, mm", "given, mm", "between draws, mm", "ms a frame"),
    )
    return f"{head}\n\n{table(names, rows)}"


if __name__ == "__main__":
    main()
