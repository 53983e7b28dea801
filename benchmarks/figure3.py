"""The paper's Figure 3 on a held-out recording: eight hands each from a part of a mesh and of a skeleton.

    python -m benchmarks.figure3 --data ../shared/data [--weights F] [--out docs]

Writes figure3_mesh.png (thumb, index and middle cut off) and figure3_skeleton.png (middle, ring and pinky
unknown).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from hhmr_engine.data.retarget import load_poses
from hhmr_engine.engine import DEFAULT_WEIGHTS, Engine, Request
from hhmr_engine.evaluation.meshes import LEFT_OUT, kept_without
from hhmr_engine.evaluation.skeletons import hidden_joints
from hhmr_engine.evaluation.testset import recorded_hands
from hhmr_engine.sheet import Given, sheet_png
from hhmr_engine.training.train import data_cache

SOURCE, SEED = "handyjs", 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--weights", type=Path, default=DEFAULT_WEIGHTS, help="default: those that ship")
    parser.add_argument("--data", type=Path, required=True, help="folder that holds poses/")
    parser.add_argument("--out", type=Path, default=Path("docs"), help="folder for the two pictures")
    parser.add_argument("--hand", type=int, default=0, help=f"which held-out hand of {SOURCE}")
    arguments = parser.parse_args()

    engine = Engine(weights=arguments.weights, threads=1)
    recordings = [r for r in load_poses(engine.arrays, arguments.data, data_cache()) if r.name == SOURCE]
    hands = recorded_hands(engine.arrays, recordings, 1000)
    vertices, joints = hands.vertices[arguments.hand], hands.joints[arguments.hand]
    kept = kept_without(engine.arrays, LEFT_OUT)
    seen = np.where(hidden_joints(False)[:, None], np.nan, joints)
    part = np.where(kept[:, None], vertices, np.nan)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, request, given in (
        ("mesh", Request("inpaint", vertices=part, seed=SEED), Given(kept=kept)),
        ("skeleton", Request("inpaint", joints=seen, seed=SEED), Given(joints=seen)),
    ):
        path = arguments.out / f"figure3_{name}.png"
        path.write_bytes(sheet_png(engine.run(request), given))
        print(f"wrote {path}")


if __name__ == "__main__":
    main()
