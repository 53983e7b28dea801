"""Measure synthetic pictures: how fast they are drawn, and what networks trained on photos see in them.

python -m benchmarks.renders [--count 384] [--sheet F.png] [--out out/renders.json] [--write]
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from hhmr_engine.data.hands import HandStream, StreamSettings
from hhmr_engine.evaluation.report import number, table, write_between
from hhmr_engine.hand.skeleton import JOINT_PARENTS
from hhmr_engine.hand.template import load_template
from hhmr_engine.pictures import HandPictures, Pictures, PictureSettings
from hhmr_engine.vision.networks import PALM_SIDE, hand_network, palm_network

REPOSITORY = Path(__file__).resolve().parents[1]
SEED = 20
COLUMNS, ROWS = 8, 6
BARE = PictureSettings(held=0.0, occluder=0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--count", type=int, default=384, help="pictures that are measured")
    parser.add_argument("--sheet", type=Path, help=f"write {COLUMNS * ROWS} pictures here")
    parser.add_argument("--out", type=Path, default=Path("out/renders.json"))
    parser.add_argument("--write", action="store_true", help="write the table into docs/results.md")
    arguments = parser.parse_args()

    template = load_template()
    hands = HandStream(template, [], StreamSettings(), SEED).next(arguments.count)
    drawers = {
        "nothing held, nothing before the hand": HandPictures(template, seed=SEED, settings=BARE),
        "as in training": HandPictures(template, seed=SEED),
    }
    figures: dict[str, dict[str, float]] = {}
    for name, drawer in drawers.items():
        pictures = drawer.draw(hands)
        figures[name] = judge(pictures)
    if arguments.sheet:
        save_sheet(pictures, arguments.sheet)
    speed = {f"{n} threads" if n > 1 else "1 thread": rate(drawer, hands, n) for n in (1, 2)}

    rows = [(what, *(number(figures[name][what]) for name in figures)) for what in figures["as in training"]]
    text = (
        table(("", *figures), rows)
        + "\n\n"
        + table(
            ("", "pictures a second of CPU time", "by the clock"),
            [(threads, number(cpu), number(wall)) for threads, (cpu, wall) in speed.items()],
        )
    )
    print(text)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps({"judged": figures, "speed": speed}, indent=1))
    if arguments.write:
        write_between(REPOSITORY / "docs" / "results.md", "renders", text)


def judge(pictures: Pictures) -> dict[str, float]:
    """What MediaPipe's two networks, which have seen photos alone, say of pictures of right hands."""
    shown = pictures.pixels.float() / 255
    with torch.inference_mode():
        small = torch.nn.functional.interpolate(shown, size=PALM_SIDE, mode="area")
        palm = torch.cat([palm_network()(part)[0].amax(1) for part in small.split(16)]).sigmoid()
        outputs = [hand_network()(part) for part in shown.split(16)]
    presence = torch.cat([o.presence for o in outputs])
    right = torch.cat([o.right for o in outputs])
    found = torch.cat([o.landmarks for o in outputs])[..., :2]
    size = (pictures.joints2d.amax(1) - pictures.joints2d.amin(1)).amax(1)
    offset = (found - pictures.joints2d) / size[:, None, None] * 100
    error, seen = offset.norm(dim=2), pictures.visible
    agreed, held_out = same_joints(pictures, offset, size), torch.arange(len(seen)) % 2 == 1
    return {
        "a palm is detected (score above 0.5), %": share(palm > 0.5),
        "presence above 0.5, %": share(presence > 0.5),
        "taken for a right hand, %": share(right > 0.5),
        "2D error of visible joints, median, % of hand size": float(error[seen].median()),
        "the same, where both mean the same points by joints, %": float(
            agreed[held_out][seen[held_out]].median()
        ),
        "2D error of a picture's visible joints, median, %": float(_means(error, seen).nanmedian()),
        "the same, 90th percentile, %": float(_means(error, seen).nanquantile(0.9)),
        "2D error of hidden joints, median, %": float(error[~seen].median()),
        "joints hidden, %": share(~seen),
    }


def same_joints(pictures: Pictures, offset: Tensor, size: Tensor) -> Tensor:
    """Error [B,21] without what comes of the network's other idea of where joints are.

    It has knuckles nearer to the wrist and tips inside the fingers. Each joint may move towards its
    neighbours by fixed parts of the way, fitted to every other picture: `offset [B,21,2]` in % of `size [B]`.
    """
    joints, error = pictures.joints2d, torch.empty_like(offset[..., 0])
    for joint, parent in enumerate(JOINT_PARENTS):
        following = (
            9 if joint in (1, 5, 13, 17) else 5 if joint == 9 else joint - 2 if joint % 4 == 0 else joint + 1
        )
        others = [5, 9, 17] if joint == 0 else [parent, following]
        ways = (joints[:, others] - joints[:, joint : joint + 1]) / size[:, None, None] * 100
        known = pictures.visible[:, joint] & (offset[:, joint].norm(dim=1) < 15)
        known &= torch.arange(len(known)) % 2 == 0
        a, b = ways[known].transpose(1, 2).flatten(0, 1), offset[known, joint].flatten()
        small = torch.eye(len(others)) * 10
        part = torch.linalg.lstsq(torch.cat([a, small]), torch.cat([b, 0 * small[0]])).solution
        error[:, joint] = (offset[:, joint] - (ways * part[None, :, None]).sum(1)).norm(dim=1)
    return error


def _means(error: Tensor, seen: Tensor) -> Tensor:
    return torch.where(seen, error, torch.nan).nanmean(1)


def share(true: Tensor) -> float:
    return 100 * float(true.float().mean())


def rate(drawer: HandPictures, hands: Tensor, threads: int) -> tuple[float, float]:
    """Pictures a second, of CPU time of one thread (what a free core would give) and by the clock."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    drawer.draw(hands[:64])
    cpu, wall, drawn = time.process_time(), time.perf_counter(), 0
    while drawn < 256:
        drawn += len(drawer.draw(hands[:128]).pixels)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    torch.set_num_threads(before)
    return drawn / cpu * threads, drawn / wall


def save_sheet(pictures: Pictures, path: Path) -> None:
    """The first pictures side by side."""
    shown = pictures.pixels[: COLUMNS * ROWS].permute(0, 2, 3, 1).cpu().numpy()
    rows = [np.concatenate(list(shown[r : r + COLUMNS]), 1) for r in range(0, len(shown), COLUMNS)]
    Image.fromarray(np.concatenate(rows, 0)).save(path)


if __name__ == "__main__":
    main()
