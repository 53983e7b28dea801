"""Train the networks that `hhmr evaluate --compare` sets beside each other, all with the same small budget.

python -m benchmarks.compared --data ../shared/data --out runs/compared [NAME ...]

A thousand steps of the global path, or 900 of the U-Net without one: about ten minutes each on a core. What
is there already is left as it is. Sources that are left out have no part in the hand's posed-shape basis
either: that hand lies beside the weights.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from hhmr_engine.data.build_hand import with_posed_basis
from hhmr_engine.hand.template import load_template
from hhmr_engine.training.settings import TrainSettings, from_dict
from hhmr_engine.training.sources import Sources, data_cache
from hhmr_engine.training.state import WEIGHTS
from hhmr_engine.training.train import train

PATH = {"steps": 1000, "batch": 512, "rate": 1.5e-3}
UNET = {"path": {"steps": 0}, "steps": 900}
STREAM = {"recorded": 0.45, "crossed": 0.15}
# fold_a and fold_b each never see half of the sources, so that every source has a network to be judged by.
COMPARED: dict[str, dict] = {
    "both": {},
    "deterministic": {"deterministic": True},
    "fold_a": {"stream": {**STREAM, "left_out": ["handyjs", "dex"]}},
    "fold_b": {"stream": {**STREAM, "left_out": ["godot", "glove", "leap_confidence2", "leap_finger_tap"]}},
    "sampler": {"recordings": False},
    "recordings": {"stream": {"recorded": 1.0, "crossed": 0.0}},
    "graph": {**UNET, "network": {"path": 0}},
    "attention": {**UNET, "network": {"path": 0, "graph": False}},
    "parallel": {**UNET, "network": {"path": 0, "parallel": True}},
    "no_anchors": {**UNET, "network": {"path": 0, "anchors": False}},
    "no_gaussian": {**UNET, "network": {"path": 0, "gaussian": False}},
    "no_finger_masks": {**UNET, "network": {"path": 0}, "masks": {"finger": 0.0}},
    "no_joint_masks": {**UNET, "network": {"path": 0}, "masks": {"joint": 0.0}},
}


def settings_of(name: str) -> TrainSettings:
    common = {
        "seed": 6,
        "steps": 0,
        "path": PATH,
        "optimiser": {"rate": 1.5e-3, "warmup": 150, "ema": 0.998},
        "views": {"share": 0.0, "pictures": 0.0},
        "stream": STREAM,
    }
    return from_dict(TrainSettings, common | COMPARED[name])


def hand_without(left_out: tuple[str, ...], data: Path, folder: Path) -> Path:
    """The hand that ships, its posed-shape basis without these sources; beside the weights to come."""
    path = (folder / WEIGHTS).with_suffix(".npz")
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with_posed_basis(load_template(), data, left_out=left_out, cache=data_cache()).save(path)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(COMPARED)}; default all")
    parser.add_argument("--data", type=Path, required=True, help="folder that holds poses/")
    parser.add_argument("--out", type=Path, required=True, help="folder for a run of each")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(COMPARED)
    if unknown:
        parser.error(f"there is no {', '.join(sorted(unknown))}; known are {', '.join(COMPARED)}.")
    for name in arguments.names or COMPARED:
        folder, settings = arguments.out / name, settings_of(name)
        left_out = settings.stream.left_out
        hand = hand_without(left_out, arguments.data, folder) if left_out else None
        sources = Sources(arguments.data)
        print(train(settings, folder, sources, arguments.device, go_on=True, template=hand))


if __name__ == "__main__":
    main()
