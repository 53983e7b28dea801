"""Measure how other projects' hands follow hypotheses: binding, posing, and what the skin does in a fist.

python -m benchmarks.binding --data ../shared/data [--threads 2] [--write]
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the engine's commands have it; before torch

import numpy as np
import torch

from benchmarks.latency import Line, cpu_name, median
from hhmr_engine.data.foreign_hands import FILES, Case, ForeignHand, load_foreign_hand, refined
from hhmr_engine.data.retarget import load_poses
from hhmr_engine.data.splits import TEST
from hhmr_engine.evaluation.report import number, table, write_between
from hhmr_engine.hand.dof import DOF_NAMES
from hhmr_engine.hand.hierarchy import mesh_edges
from hhmr_engine.hand.skeleton import FINGER_BONES, JOINT_PARENTS, LONG_FINGERS
from hhmr_engine.hand.template import HandTemplate, load_template
from hhmr_engine.registration.binding import bind
from hhmr_engine.registration.register import register
from hhmr_engine.registration.repose import Repose, carry
from hhmr_engine.training.train import data_cache

DOCS = Path(__file__).resolve().parents[1] / "docs"
DENSE = 18_000  # at least; every triangle becomes four until there are so many
HYPOTHESES = 8
FREE = ("middle", "ring", "pinky")
CURL = {"mcp_flex": 65, "pip_flex": 75, "dip_flex": 45}  # degrees of a fist
LONG = 1.5  # times its length: an edge that is stretched


@dataclass(frozen=True)
class Laid:
    """A foreign hand at rest with the template on it."""

    hand: ForeignHand
    rest: np.ndarray  # [M,3]
    vertices: np.ndarray  # [V,3] the template


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder that holds poses/ and hands/")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=5, help="runs whose median counts")
    parser.add_argument("--write", action="store_true", help="write the table into docs/results.md")
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    template = load_template()
    angles = recorded(template, arguments.data)
    lines: list[Line] = []
    for name in FILES:
        hand = load_foreign_hand(template, arguments.data, name)
        rest, joints = hand.posed(np.zeros(24, np.float32))
        laid = Laid(hand, rest, register(template, rest, hand.triangles, joints=joints).vertices)
        measured = measure(template, laid, angles, arguments.repeat)
        lines += [(f"{name}: {what}", wanted, value, holds) for what, wanted, value, holds in measured]
    cells = [
        (what, wanted, number(value), {True: "yes", False: "**no**", None: ""}[holds])
        for what, wanted, value, holds in lines
    ]
    head = (
        f"{cpu_name()}, {arguments.threads} of {os.cpu_count()} threads, {time.strftime('%Y-%m-%d')};"
        f" load {os.getloadavg()[0]:.1f} at the end. Two other projects' hands at rest; the hypotheses are"
        f" our hand laid onto theirs in {HYPOTHESES} recorded poses."
    )
    text = f"{head}\n\n{table(('', 'wanted', 'measured', 'holds'), cells)}"
    print(text)
    if arguments.write:
        write_between(DOCS / "results.md", "binding", text)


def recorded(template: HandTemplate, data: Path) -> np.ndarray:
    """Recorded poses [HYPOTHESES,24] that no training has seen."""
    sources = [pose.clear[pose.split == TEST] for pose in load_poses(template, data, data_cache())]
    rng = np.random.default_rng(3)
    return np.stack([(own := sources[k % len(sources)])[rng.integers(len(own))] for k in range(HYPOTHESES)])


def measure(template: HandTemplate, laid: Laid, angles: np.ndarray, repeat: int) -> list[Line]:
    hand = laid.hand
    dense = refined(
        Case(laid.rest, hand.triangles, np.zeros((21, 3)), hand.finger(), np.ones(5, bool), "right", 1.0),
        DENSE,
    )
    binding = partial(bind, template, laid.vertices, dense.vertices, dense.triangles)
    posed = [hand.posed(pose) for pose in angles]
    goals = np.stack([register(template, v, hand.triangles, joints=j).vertices for v, j in posed])
    kept = template.weights[:, [b for f in FREE for b in FINGER_BONES[f][1:]]].sum(1) < 0.5
    motions = Repose(template, laid.vertices, kept).hypotheses(goals)
    weights = binding()
    seconds = median(binding, repeat)
    fit = median(lambda: Repose(template, laid.vertices, kept).hypotheses(goals), repeat)
    moving = median(lambda: carry(dense.vertices, weights, motions), repeat)
    count = f"{len(dense.vertices):,} vertices"
    return [
        (f"binding {count}, s", "<= 1", seconds, seconds <= 1),
        (f"fitting the hand and {HYPOTHESES} hypotheses, three fingers free, s", "<= 0.3", fit, fit <= 0.3),
        (f"moving {count} like {HYPOTHESES} hypotheses, s", "", moving, None),
        *of_a_fist(template, laid, dense),
        *of_hypotheses(template, laid, motions, goals, kept),
    ]


def of_a_fist(template: HandTemplate, laid: Laid, dense: Case) -> list[Line]:
    """Edges that a fist of the long fingers stretches, on their mesh and on a fine one, and by their rig."""
    angles = np.zeros(24, np.float32)
    for i, name in enumerate(DOF_NAMES):
        finger, kind = name.split("_", 1)
        if finger in LONG_FINGERS:
            angles[i] = np.radians(CURL.get(kind, 0))
    fist, joints = laid.hand.posed(angles)
    goal = register(template, fist, laid.hand.triangles, joints=joints).vertices
    motions = Repose(template, laid.vertices, np.zeros(len(goal), bool)).hypotheses(goal[None])
    lines: list[Line] = []
    meshes = {
        "their mesh": (laid.rest, laid.hand.triangles),
        "the fine one": (dense.vertices, dense.triangles),
    }
    for name, (points, triangles) in meshes.items():
        moved = carry(points, bind(template, laid.vertices, points, triangles), motions)[0]
        lines += stretched(f"a fist, {name}", points, moved, triangles)
    return lines + stretched("the same by their own rig", laid.rest, fist, laid.hand.triangles)


def stretched(what: str, before: np.ndarray, after: np.ndarray, triangles: np.ndarray) -> list[Line]:
    a, b = mesh_edges(triangles).T
    ratio = np.linalg.norm(after[a] - after[b], axis=1) / np.linalg.norm(before[a] - before[b], axis=1)
    return [
        (f"{what}: edges over {LONG} times as long, %", "", 100 * float((ratio > LONG).mean()), None),
        (f"{what}: 99.9 % of edges below, times", "", float(np.percentile(ratio, 99.9)), None),
        (f"{what}: the worst edge, times", "", float(ratio.max()), None),
    ]


def of_hypotheses(
    template: HandTemplate, laid: Laid, motions: np.ndarray, goals: np.ndarray, kept: np.ndarray
) -> list[Line]:
    """How the free fingers differ from the hypotheses, and how far what is kept moves unsettled."""
    moved = carry(laid.vertices, template.weights, motions)
    joints, truth = template.regressor @ moved, template.regressor @ goals
    free = [j for f in FREE for j in range(FINGER_BONES[f][1] + 1, FINGER_BONES[f][1] + 4)]
    above = [JOINT_PARENTS[j] for j in free]
    one, other = (x[:, free] - x[:, above] for x in (joints, truth))
    cosine = (one * other).sum(-1) / np.linalg.norm(one, axis=-1) / np.linalg.norm(other, axis=-1)
    turned = float(np.degrees(np.arccos(cosine.clip(-1, 1))).mean())
    off = 1e3 * float(np.linalg.norm(moved - goals, axis=2)[:, ~kept].mean())
    locked = Repose(template, laid.vertices, kept).locked
    still = template.weights[:, ~locked].sum(1) == 0
    most = 1e3 * float(np.abs(moved - laid.vertices)[:, still].max())
    return [
        ("phalanges of free fingers off the hypothesis, degrees", "", turned, None),
        ("their skin off the hypothesis, mm", "", off, None),
        (f"{still.sum()} vertices of kept bones move, mm", "0", most, most == 0),
    ]


if __name__ == "__main__":
    main()
