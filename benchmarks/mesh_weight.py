"""How many independent observations a kept mesh is worth (observation.INDEPENDENT), on the validation split.

    python -m benchmarks.mesh_weight --data ../shared/data [--weights F] [--write]

More of them keep the given part closer and leave the rest less variety: the largest number that leaves nine
tenths of the unguided variety is the one to take.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tqdm import tqdm

from hhmr_engine import observation
from hhmr_engine.data.retarget import load_poses
from hhmr_engine.data.splits import VALIDATION
from hhmr_engine.engine import DEFAULT_WEIGHTS, Engine
from hhmr_engine.evaluation.asking import Asker
from hhmr_engine.evaluation.meshes import LEFT_OUT, kept_without, mesh_inpainting, random_cuts
from hhmr_engine.evaluation.report import write_between
from hhmr_engine.evaluation.testset import generator, recorded_hands
from hhmr_engine.training.train import data_cache

RESULTS = Path(__file__).resolve().parents[1] / "docs" / "results.md"
WORTHS = (16, 24, 32, 48, 64, 96)
SEED = "hhmr-validation-cuts-1"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--weights", type=Path, default=DEFAULT_WEIGHTS, help="default: those that ship")
    parser.add_argument("--data", type=Path, required=True, help="folder that holds poses/")
    parser.add_argument("--per-source", type=int, default=5, help="hands of each source")
    parser.add_argument("--write", action="store_true", help="write the table into docs/results.md")
    arguments = parser.parse_args()

    engine = Engine(weights=arguments.weights, threads=1)
    template = engine.arrays
    recordings = load_poses(template, arguments.data, data_cache())
    hands = recorded_hands(template, recordings, arguments.per_source, VALIDATION)
    cuts = {
        "thumb, index, middle": kept_without(template, LEFT_OUT),
        "any three": random_cuts(template, len(hands), generator(SEED)),
    }
    lines = [
        f"{len(hands)} validation hands, eight draws each; the figure in use is {observation.INDEPENDENT}.\n",
        "| cut off | worth | kept part, mm | edges at the seam, % | APD / unguided |",
        "|---|---:|---:|---:|---:|",
    ]
    with tqdm(total=3 * len(cuts) * len(WORTHS) * len(hands), disable=None) as bar:
        for name, kept in cuts.items():
            for worth in WORTHS:
                observation.INDEPENDENT = worth
                found = mesh_inpainting(Asker(engine, bar), hands, kept, "network")
                share = found.apd / found.unguided_apd
                lines.append(f"| {name} | {worth} | {found.kept:.2f} | {found.edges:.1f} | {share:.2f} |")
    print("\n".join(lines))
    if arguments.write:
        write_between(RESULTS, "mesh weight", "\n".join(lines))


if __name__ == "__main__":
    main()
