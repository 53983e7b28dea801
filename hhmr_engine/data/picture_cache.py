"""Training pictures kept as what the network sees of them: the reader of what `fill_pictures` writes.

A frozen trunk says the same of a picture each time, so its features are kept, 67 kB a picture, and no pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

FORMAT = "hhmr-pictures-1"
COMMAND = "python -m hhmr_engine.training.fill_pictures"


@dataclass(frozen=True)
class PictureBatch:
    """B pictures of right hands, as crops of 224 pixels a side, and the truth about them.

    The camera's axes are the crop's: x right, y down, z away; x_camera = scale * rotation @ x_palm +
    translation, pixel = focal * x / z + centre.
    """

    patches: Tensor  # [B,49,F] float16: of the trunk (vision/trunks.py)
    nodes: Tensor  # [B,N,3] palm frame, UNIT
    joints: Tensor  # [B,21,3] palm frame, UNIT
    scale: Tensor  # [B] metres a unit of the palm frame
    rotation: Tensor  # [B,3,3]
    translation: Tensor  # [B,3] metres
    focal: Tensor  # [B] pixels
    centre: Tensor  # [B,2] pixels
    joints2d: Tensor  # [B,21,2] pixels
    visible: Tensor  # [B,21] bool
    found2d: Tensor  # [B,21,2] pixels: where the landmark network sees the joints in this crop
    found3d: Tensor  # [B,21,3] metres, its world landmarks in the crop's axes
    presence: Tensor  # [B] its own word
    pixels: Tensor | None = None  # [B,3,224,224] uint8 RGB, in the place of patches

    def to(self, device: str | torch.device) -> PictureBatch:
        given = {name: tensor for name, tensor in vars(self).items() if tensor is not None}
        return PictureBatch(**{name: tensor.to(device) for name, tensor in given.items()})


FIELDS = tuple(f.name for f in fields(PictureBatch) if f.name != "pixels")


class PictureCache:
    """Random batches out of a folder of shards.

    Patches are read from the disk when they are asked for; the rest, 4 kB a picture, is kept in memory.
    """

    def __init__(self, folder: Path) -> None:
        """ValueError, one sentence: there are no shards, or they don't belong together."""
        paths = sorted(folder.glob("*.safetensors"))
        if not paths:
            raise ValueError(f"There are no pictures in {folder}: make them with {COMMAND}.")
        headers = [shard_header(path) for path in paths]
        self.trunk, self.template_hash = headers[0]["trunk"], headers[0]["template_hash"]
        if any((h["trunk"], h["template_hash"]) != (self.trunk, self.template_hash) for h in headers):
            raise ValueError(
                f"The shards in {folder} are of more than one trunk or hand: keep one kind of them."
            )
        shards = [load_file(path) for path in paths]
        self.patches = [shard.pop("patches") for shard in shards]  # mapped, not read
        self.first = torch.tensor([0, *(len(p) for p in self.patches)]).cumsum(0)
        self.rest = {
            name: torch.cat([shard[name] for shard in shards]) for name in FIELDS if name != "patches"
        }

    def __len__(self) -> int:
        return int(self.first[-1])

    @property
    def width(self) -> int:
        """F, features of a patch."""
        return self.patches[0].shape[-1]

    def rows(self, rows: Tensor) -> PictureBatch:
        """The pictures with these numbers [B] int64."""
        shard = torch.searchsorted(self.first, rows, right=True) - 1
        inside = (rows - self.first[shard]).tolist()
        patches = torch.stack([self.patches[s][i] for s, i in zip(shard.tolist(), inside)])
        return PictureBatch(patches, **{name: tensor[rows] for name, tensor in self.rest.items()})

    def batch(self, count: int, generator: torch.Generator) -> PictureBatch:
        """`count` random pictures."""
        return self.rows(torch.randint(0, len(self), (count,), generator=generator))


def shard_header(path: Path) -> dict[str, str]:
    """What a shard says of itself. ValueError: it is none, or of another version."""
    try:
        with safe_open(path, "pt") as file:
            header = file.metadata() or {}
    except (SafetensorError, OSError) as exc:
        raise ValueError(f"{path} is damaged ({exc}): delete it and run {COMMAND} again.") from exc
    if header.get("format") != FORMAT:
        raise ValueError(f"{path} holds no pictures of this version: choose another folder.")
    return header
