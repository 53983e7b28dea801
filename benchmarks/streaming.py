"""Measure the stream of datasets: samples a second on one core, what a training step needs, memory.

python -m benchmarks.streaming [--count 192] [--megabytes 640] [--out out/streaming.json] [--write]

The sets are drawn (our hand's 1609 vertices, twice MANO's), in the sizes that the datasets' photos have.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from hhmr_engine.data.hands import HandStream, StreamSettings
from hhmr_engine.datasets.annotated import read_image
from hhmr_engine.datasets.lanes import FolderSet, SampleSet
from hhmr_engine.datasets.sample import HandSample
from hhmr_engine.datasets.shards import write_shards
from hhmr_engine.datasets.stream import DatasetHands, DatasetPictures, Place, open_sets
from hhmr_engine.evaluation.report import number, table, write_between
from hhmr_engine.hand.template import load_template
from hhmr_engine.pictures import HandPictures, Pictures
from hhmr_engine.training.objective import PICTURE
from hhmr_engine.training.settings import load_settings
from hhmr_engine.training.sources import Sources
from hhmr_engine.training.train import Trainer
from hhmr_engine.vision.resnet import ResNet50
from hhmr_engine.vision.trunks import ResNetTrunk, Trunk, load_trunk

REPOSITORY = Path(__file__).resolve().parents[1]
PAPER = REPOSITORY / "hhmr_engine" / "training" / "paper.toml"
SEED = 7
BATCH = 64  # the paper's
STEPPED = 8  # hands of the training step that is timed: the whole batch takes minutes on a core
SHARE = 256  # megabytes: memory's share; the set that is streamed is ten times as large
STEPS = (50, 100, 200)  # milliseconds that a GPU's step may take
WIDE = (640, 480)  # pixels of HO-3D's and DexYCB's photos
TEMPLATE = load_template()


@dataclass
class Drawn:
    """Samples as a HandDataset."""

    samples: list[HandSample]
    name: str
    times: int = 1  # that each of them is there, under other keys
    split: str = "train"
    skipped: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.times * len(self.samples)

    def __getitem__(self, index: int) -> HandSample:
        sample = self.samples[index % len(self.samples)]
        return replace(sample, key=f"{index:07}") if self.times > 1 else sample


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--count", type=int, default=192, help="pictures of each set")
    parser.add_argument("--megabytes", type=int, default=10 * SHARE, help="of the set that is streamed")
    parser.add_argument("--out", type=Path, default=Path("out/streaming.json"))
    parser.add_argument("--write", action="store_true", help="write the tables into docs/results.md")
    parser.add_argument("--stream", type=Path, help=argparse.SUPPRESS)  # the part in a process of its own
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.stream:
        print(json.dumps(memory_of(arguments.stream)))
        return

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        narrow, wide = draw(folder, arguments.count)
        rates = throughput(folder, narrow, wide)
        step = training_step(folder)
        grown = streamed(folder / "large", wide, arguments.megabytes)
    measured = {"rates": rates, "step": step, "memory": grown}
    text = f"{speed_table(rates)}\n\n{need_table(rates, step)}\n\n{memory_table(grown)}"
    print(text)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(measured, indent=1), encoding="utf-8")
    if arguments.write:
        write_between(REPOSITORY / "docs" / "results.md", "streaming", text)


def draw(folder: Path, count: int) -> tuple[Drawn, Drawn]:
    """Photos of 224 pixels a side, as FreiHAND's, and the same in the middle of wide ones; JPEG files."""
    hands = HandStream(TEMPLATE, [], StreamSettings(), SEED).next(count)
    pictures = HandPictures(TEMPLATE, seed=SEED).draw(hands)
    grain = np.random.default_rng(SEED).normal(128, 12, (WIDE[1], WIDE[0], 3))
    ground = np.clip(grain, 0, 255).astype(np.uint8)
    narrow, wide = [], []
    for row in range(count):
        photo = pictures.pixels[row].permute(1, 2, 0).numpy()
        narrow.append(sample(folder / f"narrow{row}.jpg", photo, pictures, row, (0, 0)))
        side = photo.shape[0]
        left, top = (WIDE[0] - side) // 2, (WIDE[1] - side) // 2
        whole = ground.copy()
        whole[top : top + side, left : left + side] = photo
        wide.append(sample(folder / f"wide{row}.jpg", whole, pictures, row, (left, top)))
    return Drawn(narrow, "narrow"), Drawn(wide, "wide")


def sample(path: Path, photo: np.ndarray, pictures: Pictures, row: int, shift: tuple[int, int]) -> HandSample:
    Image.fromarray(photo).save(path, quality=92)
    focal, (x, y) = float(pictures.focal[row]), pictures.centre[row].tolist()
    vertices = pictures.vertices[row].numpy()
    return HandSample(
        key=path.stem,
        side="right",
        joints=TEMPLATE.regressor @ vertices,
        vertices=vertices,
        intrinsics=np.array([[focal, 0, x + shift[0]], [0, focal, y + shift[1]], [0, 0, 1]], np.float32),
        image=partial(read_image, path),
    )


def throughput(folder: Path, narrow: Drawn, wide: Drawn) -> dict[str, float]:
    """What -> samples a second of one core's time."""
    for drawn in (narrow, wide):
        write_shards(drawn, folder / drawn.name, 4_000_000)
    sets = {drawn.name: open_sets([folder / drawn.name]) for drawn in (narrow, wide)}

    def crops(sets: list[SampleSet], trunk: Trunk | None = None) -> Callable[[int], Tensor]:
        place = Place(0, 12) if trunk else Place()  # less is read ahead
        stream = DatasetPictures(sets, None, TEMPLATE, trunk, SEED, place=place)
        return lambda count: stream.batch(count).scale

    hands = DatasetHands(sets["narrow"], None, TEMPLATE, SEED)
    hand, resnet = load_trunk("hand"), ResNetTrunk(ResNet50().eval().requires_grad_(False))
    return {
        "shards of 224 x 224 pixels -> crops": rate(crops(sets["narrow"]), 4 * 192),
        "shards of 640 x 480 pixels -> crops": rate(crops(sets["wide"]), 4 * 192),
        "files of 640 x 480 pixels -> crops": rate(crops([FolderSet(wide)]), 2 * 192),
        "shards -> meshes alone": rate(hands.next, 4 * 768),
        "shards -> crops -> patches of the hand network": rate(crops(sets["narrow"], hand), 64),
        "shards -> crops -> patches of ResNet-50": rate(crops(sets["narrow"], resnet), 16),
    }


def rate(take: Callable[[int], Tensor], count: int) -> float:
    """Samples a second of this core's time; `count`: whole rounds, so that what is read ahead evens out."""
    take(count // 4)
    take(count - count // 4)
    started = time.process_time()
    for _ in range(4):
        take(count // 4)
    return count / (time.process_time() - started)


def training_step(folder: Path) -> dict[str, float]:
    """Milliseconds of a core for each hand of a step: loading it, and all the rest, the paper's recipe.

    On pictures alone, ResNet-50 trained from random weights, the network on the 208 nodes of our hand in
    place of MANO's 778 vertices: less to do than in earnest.
    """
    weights = folder / "resnet50.pth"
    torch.save(ResNet50().state_dict(), weights)
    paper = load_settings(PAPER)
    settings = replace(
        paper,
        batch=STEPPED,
        network=replace(paper.network, sizes=(208, 52, 13)),
        datasets={"narrow": 1.0},
        views=replace(paper.views, pictures=1.0),
        machine=replace(paper.machine, loaders=0, slices=1),
    )
    trainer = Trainer(settings, Sources(data=folder / "narrow", trunk=weights))
    (photos,) = trainer.streams.photos.values()
    loading = 0.0
    plain = photos.batch

    def timed(count: int, generator: torch.Generator):  # type: ignore[no-untyped-def]
        nonlocal loading
        started = time.process_time()
        taken = plain(count, generator)
        loading += time.process_time() - started
        return taken

    photos.batch = timed  # type: ignore[method-assign]
    trainer.step()
    loading, started, steps = 0.0, time.process_time(), 2
    for _ in range(steps):
        trainer.step()
    whole, hands = time.process_time() - started, trainer.hands[PICTURE] * steps / (steps + 1)
    return {"rest": 1e3 * (whole - loading) / hands}


def streamed(folder: Path, wide: Drawn, megabytes: int) -> dict[str, float]:
    """A large set read once by a process of its own: megabytes of it, and by which memory grew.

    Its photos are noise, which JPEG hardly makes smaller, and its shards copies of one.
    """
    noise = np.random.default_rng(SEED).integers(0, 256, (WIDE[1], WIDE[0], 3), np.uint8)
    wide = replace(wide, samples=[replace(s, image=lambda: noise) for s in wide.samples[:32]])
    index = write_shards(replace(wide, name="large", times=8), folder, 10**9)
    (shard,) = index.shards
    times = math.ceil(1e6 * megabytes / shard.bytes)
    names = [f"large-train-{number:06}.tar" for number in range(times)]
    for name in names[1:]:
        shutil.copy(folder / shard.file, folder / name)
    said = asdict(replace(index, total=times * shard.end))
    said["shards"] = [
        asdict(replace(shard, file=name, first=number * shard.end, end=(number + 1) * shard.end))
        for number, name in enumerate(names)
    ]
    (folder / "large-train.json").write_text(json.dumps(said), encoding="utf-8")
    command = [sys.executable, "-m", "benchmarks.streaming", "--stream", str(folder)]
    found = subprocess.run(command, check=True, capture_output=True, text=True, cwd=REPOSITORY)
    return {"size": times * shard.bytes / 1e6, **json.loads(found.stdout)}


def memory_of(folder: Path) -> dict[str, float]:
    """Megabytes: resident before, at most while all samples are read once, and after each tenth of them."""
    sets = open_sets([folder])
    stream = DatasetPictures(sets, None, TEMPLATE, None, SEED, place=Place())
    before, tenths = resident(), []
    batches = len(sets[0]) // BATCH
    for step in range(batches):
        stream.batch(BATCH)
        if step * 10 // batches != (step + 1) * 10 // batches:
            tenths.append(resident() - before)
    peak = resident("VmHWM") - before
    return {"samples": batches * BATCH, "peak": peak, "first": tenths[0], "last": tenths[-1]}


def resident(which: str = "VmRSS") -> float:
    """Megabytes of this process, now or (VmHWM) at most; of Linux."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(which)) * 1024 / 1e6


def speed_table(rates: dict[str, float]) -> str:
    cells = [
        (what, number(found), number(1e3 / found), number(1e3 * BATCH / found))
        for what, found in rates.items()
    ]
    return table(("", "samples a second of a core", "ms each", f"ms for {BATCH}"), cells)


def need_table(rates: dict[str, float], step: dict[str, float]) -> str:
    """Loader processes for steps of a GPU, and the share of a step on the very core that was measured."""
    first, second, files = list(rates)[:3]
    cells = []
    for what in (first, second, files):
        own = 1e3 / rates[what]
        processes = [str(math.ceil(own * BATCH / milliseconds)) for milliseconds in STEPS]
        cells.append((what, *processes, number(100 * own / step["rest"]) + " %"))
    head = [f"a step of {milliseconds} ms" for milliseconds in STEPS]
    text = table(("loader processes needed for a batch of 64", *head, "of the step on this core"), cells)
    how = (
        f"(steps of {STEPPED} pictures, ResNet-50 trained from random weights, the network on 208 nodes in"
        " place of MANO's 778)"
    )
    rest = number(step["rest"])
    return f"{text}\n\nA step of the paper's recipe takes {rest} ms for each hand on this core {how}."


def memory_table(grown: dict[str, float]) -> str:
    lines = (
        ("read once, MB", grown["size"]),
        ("samples", grown["samples"]),
        ("memory more than before, after a tenth, MB", grown["first"]),
        ("memory more than before, at the end, MB", grown["last"]),
        ("memory more than before, at most, MB", grown["peak"]),
    )
    return table(("a set as a stream, one process", ""), [(what, number(value)) for what, value in lines])


if __name__ == "__main__":
    main()
