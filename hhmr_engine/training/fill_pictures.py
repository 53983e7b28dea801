"""Pictures for training as shards: `python -m hhmr_engine.training.fill_pictures --out FOLDER --count N`.

A shard is made from the seed and its own number alone: a run that was stopped goes on with the first one that
is missing, and more can be made later.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm

from ..arithmetic import flush_denormals
from ..data.hands import HandStream, StreamSettings
from ..data.picture_cache import COMMAND, FIELDS, FORMAT, PictureBatch, shard_header
from ..data.retarget import Retargeted, load_poses
from ..hand.build import at_resolution
from ..hand.template import HandTemplate, load_template
from ..model.checkpoint import template_hash
from ..pictures import HandPictures, Pictures, PictureSettings
from ..vision.networks import hand_network
from ..vision.trunks import TRUNKS, Trunk, load_trunk, look
from .settings import load_settings
from .train import data_cache

DEFAULT_SETTINGS = Path(__file__).with_name("hhmr.toml")
SHARD = 2048  # pictures; every shard has people and places of its own, which take seconds to make
DRAWN = 128  # pictures drawn at once
READ = 4  # crops through a CNN at once: more leave a core's cache


class PictureMaker:
    """Makes shards: hands of the training stream, pictures of them, and what CNNs say of those."""

    def __init__(
        self,
        template: HandTemplate,
        recordings: list[Retargeted],
        settings: StreamSettings,
        trunk: Trunk,
        device: str = "cpu",
        pictures: PictureSettings | None = None,
    ) -> None:
        self.template, self.recordings, self.settings = template, recordings, settings
        self.trunk, self.device, self.pictures = trunk, device, pictures
        self.nodes = torch.from_numpy(np.asarray(template.nodes, np.int64))
        self.regressor = torch.from_numpy(np.asarray(template.regressor, np.float32))
        self.landmarks = hand_network(device)

    def shard(self, seed: int, number: int, count: int) -> Iterator[PictureBatch]:
        """`count` pictures in batches of DRAWN; always the same ones."""
        own = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
        stream = HandStream(self.template, self.recordings, self.settings, own)
        pictures = HandPictures(self.template, self.device, own, self.pictures)
        for first in range(0, count, DRAWN):
            vertices = stream.next(min(DRAWN, count - first))
            yield self._batch(vertices, pictures.draw(vertices))

    def _batch(self, vertices: Tensor, drawn: Pictures) -> PictureBatch:
        patches, landmarks, world, presence = (
            torch.cat(parts) for parts in zip(*(self._read(part) for part in drawn.pixels.split(READ)))
        )
        return PictureBatch(
            patches=patches,
            nodes=vertices[:, self.nodes],
            joints=self.regressor @ vertices,
            scale=drawn.scale,
            rotation=drawn.rotation,
            translation=drawn.translation,
            focal=drawn.focal,
            centre=drawn.centre,
            joints2d=drawn.joints2d,
            visible=drawn.visible,
            found2d=landmarks[..., :2].contiguous(),
            found3d=world,
            presence=presence,
        ).to("cpu")

    def _read(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Patches in 16 bits, landmarks, world landmarks and presence of crops [B,3,SIDE,SIDE] uint8."""
        patches, output = look(self.trunk, self.landmarks, pixels.float() / 255)
        return patches.half(), output.landmarks, output.world, output.presence


def fill(folder: Path, maker: PictureMaker, seed: int, count: int, size: int) -> int:
    """Make what is missing of `count` pictures, in shards of `size`; returns how many there are now.

    ValueError, one sentence: the folder holds pictures that these would not go with.
    """
    folder.mkdir(parents=True, exist_ok=True)
    header = {
        "format": FORMAT,
        "trunk": maker.trunk.name,
        "template_hash": template_hash(maker.template),
        "seed": str(seed),
        "size": str(size),
    }
    shards = -(-count // size)
    paths = [folder / f"{number:05}.safetensors" for number in range(shards)]
    for path in paths:
        if path.exists() and shard_header(path) != header:
            text = f"{path} is of other pictures (trunk, hand, seed or shards' size): choose another folder."
            raise ValueError(text)
    missing = [(number, path) for number, path in enumerate(paths) if not path.exists()]
    with tqdm(total=shards * size, initial=(shards - len(missing)) * size, unit="picture") as bar:
        for number, path in missing:
            batches = []
            for batch in maker.shard(seed, number, size):
                batches.append(batch)
                bar.update(len(batch.scale))
            tensors = {name: torch.cat([getattr(batch, name) for batch in batches]) for name in FIELDS}
            part = path.with_name(path.name + ".part")
            save_file(tensors, part, header)
            part.replace(path)
    return shards * size


def main() -> int:
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the shards")
    text = f"pictures, rounded up to shards of {SHARD}"
    parser.add_argument("--count", type=int, required=True, metavar="N", help=text)
    text = "same seed, same pictures (default 1)"
    parser.add_argument("--seed", type=int, default=1, metavar="N", help=text)
    text = "training settings, for the hands (default those of the weights that ship)"
    parser.add_argument("--config", type=Path, default=DEFAULT_SETTINGS, metavar="TOML", help=text)
    text = "folder of recorded poses (default: sampled poses alone)"
    parser.add_argument("--data", type=Path, help=text)
    parser.add_argument("--trunk", choices=TRUNKS, default=TRUNKS[0], help=f"default {TRUNKS[0]}")
    parser.add_argument("--weights", type=Path, metavar="FILE", help="of a ResNet-50: .safetensors or .pth")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default cpu)")
    arguments = parser.parse_args()
    flush_denormals()
    try:
        settings = load_settings(arguments.config)
        template = at_resolution(load_template(), settings.network.sizes)
        recordings = load_poses(template, arguments.data, data_cache()) if arguments.data else []
        trunk = load_trunk(arguments.trunk, arguments.weights, arguments.device)
        maker = PictureMaker(template, recordings, settings.stream, trunk, arguments.device)
        there = fill(arguments.out, maker, arguments.seed, arguments.count, SHARD)
    except (OSError, ValueError) as exc:
        sys.stderr.write(f"{exc}\n")
        return 1
    sys.stdout.write(f"{there} pictures in {arguments.out}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
