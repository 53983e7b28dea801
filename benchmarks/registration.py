"""Measure how foreign hands are found: two other projects' meshes in recorded poses, fingers cut away.

python -m benchmarks.registration --data ../shared/data [--poses 20] [--threads 2] [--write]
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from hhmr_engine.data.foreign_hands import (
    FILES,
    Case,
    load_foreign_hand,
    make_case,
    one_sided,
    refined,
    rough,
)
from hhmr_engine.data.retarget import load_poses
from hhmr_engine.data.splits import TEST
from hhmr_engine.evaluation.report import number, table, write_between
from hhmr_engine.hand.skeleton import PALM_JOINTS
from hhmr_engine.hand.template import HandTemplate, load_template
from hhmr_engine.registration.correspondence import Registration, closest_on_mesh
from hhmr_engine.registration.matching import finger_of_vertices
from hhmr_engine.registration.register import register
from hhmr_engine.training.train import data_cache

DOCS = Path(__file__).resolve().parents[1] / "docs"
CUT = 3
NOISE = 1.5e-3  # metres at the foreign hand's own size
DENSE = 20_000  # vertices of the meshes that times are taken with

KINDS = ("bare", "with joints", "one-sided scan", "1.5 mm noise", "20,000 vertices")


@dataclass(frozen=True)
class Outcome:
    """One case: degrees, whether side and every kept finger are right, millimetres at hand scale, seconds."""

    hand: str
    kind: str
    rotation: float
    side: bool
    named: bool
    surface: float
    seconds: float

    @property
    def aligned(self) -> bool:
        return self.side and self.rotation < 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder that holds poses/ and hands/")
    parser.add_argument("--poses", type=int, default=20, help="recorded poses of each hand")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--out", type=Path, default=Path("out/registration.json"))
    parser.add_argument("--write", action="store_true", help="write the table into docs/results.md")
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    template = load_template()
    angles = recorded(template, arguments.data, arguments.poses)
    found: list[Outcome] = []
    for kind in arguments.kinds:
        for name in FILES:
            hand = load_foreign_hand(template, arguments.data, name)
            rng = np.random.default_rng(0)
            for k, pose in enumerate(angles):
                case = make_case(hand, pose, rng, CUT, ("right", "left")[k % 2])
                found.append(judged(template, name, kind, *altered(case, kind, rng)))
    text = report(found, arguments)
    print(text)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps([asdict(one) for one in found], indent=1))
    if arguments.write:
        write_between(DOCS / "results.md", "registration", text)


def recorded(template: HandTemplate, data: Path, count: int) -> np.ndarray:
    """`count` recorded poses [count,24] that no training has seen, spread over the sources."""
    sources = [pose.angles[pose.split == TEST] for pose in load_poses(template, data, data_cache())]
    rng = np.random.default_rng(1)
    return np.stack([(own := sources[k % len(sources)])[rng.integers(len(own))] for k in range(count)])


def altered(case: Case, kind: str, rng: np.random.Generator) -> tuple[Case, Case]:
    """What is given, and the truth that it is judged by."""
    if kind == "one-sided scan":
        scan = one_sided(refined(case, DENSE // 4), rng)
        return scan, scan
    if kind == "1.5 mm noise":
        case = refined(case, DENSE // 4)
        return rough(case, NOISE, rng), case
    if kind == "20,000 vertices":
        case = refined(case, DENSE)
    return case, case


def judged(template: HandTemplate, hand: str, kind: str, given: Case, case: Case) -> Outcome:
    joints = case.joints if kind == "with joints" else None
    started = time.perf_counter()
    try:
        result = register(template, given.vertices, given.triangles, joints=joints)
    except ValueError:
        return Outcome(hand, kind, 180.0, False, False, float("nan"), time.perf_counter() - started)
    seconds = time.perf_counter() - started
    face, barycentric, distance = closest_on_mesh(result.vertices, template.faces, case.vertices)
    distance *= 1e3 / result.scale
    corner = np.take_along_axis(template.faces[face], barycentric.argmax(1)[:, None], 1)[:, 0]
    named = finger_of_vertices(template)[corner]
    right = [
        bool(result.fingers[f] and (named[own] == f).mean() > 0.6 and distance[own].mean() < 4)
        for f in np.flatnonzero(case.kept)
        if (own := case.finger == f).any()
    ]
    rotation = turned_by(template, result, case)
    surface = float(np.median(distance))
    return Outcome(hand, kind, rotation, result.side == case.side, all(right), surface, seconds)


def turned_by(template: HandTemplate, result: Registration, case: Case) -> float:
    """Degrees between the palm's joints as found and as they are."""
    palm = list(PALM_JOINTS)
    ours, theirs = (template.regressor @ result.vertices)[palm], case.joints[palm]
    u, _, vt = np.linalg.svd((theirs - theirs.mean(0)).T @ (ours - ours.mean(0)))
    rotation = u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt
    return float(np.degrees(np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1, 1))))


def report(found: list[Outcome], arguments: argparse.Namespace) -> str:
    rows = []
    for kind in dict.fromkeys(one.kind for one in found):
        for hand in (*FILES, "both"):
            own = [one for one in found if one.kind == kind and hand in (one.hand, "both")]
            rows.append(
                (
                    f"{kind}, {hand}",
                    f"{sum(one.aligned for one in own)} of {len(own)}",
                    f"{sum(one.named for one in own)} of {len(own)}",
                    number(float(np.nanmedian([one.surface for one in own]))),
                    number(float(np.median([one.seconds for one in own]))),
                )
            )
    head = (
        f"{arguments.poses} recorded poses of each hand, {CUT} fingers cut away, turned at random,"
        f" scale 0.1 to 100, every other one a left hand; {arguments.threads} of {os.cpu_count()} threads,"
        f" load {os.getloadavg()[0]:.1f} at the end, {time.strftime('%Y-%m-%d')}."
    )
    columns = ("", "rotation and side right", "every finger right", "surface, median mm", "time, median s")
    return f"{head}\n\n{table(columns, rows)}"


if __name__ == "__main__":
    main()
