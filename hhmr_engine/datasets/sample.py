"""What every dataset of hands comes down to: one annotated hand, and a sequence of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

TRAIN, EVALUATION = "train", "evaluation"
SPLITS = (TRAIN, EVALUATION)
RIGHT, LEFT = "right", "left"


@dataclass(frozen=True)
class HandSample:
    """One hand. Camera axes: x right, y down, z away; metres and pixels.

    A left hand really is a left one. Pixels count from the outer corner of the first one, as far as the
    dataset says where it counts from.
    """

    key: str  # unique in its dataset and split, e.g. "training/00000012"
    side: str  # RIGHT or LEFT
    joints: np.ndarray  # [21,3] f32, OpenPose order; NaN: unknown
    vertices: np.ndarray | None = None  # [V,3] f32 in MANO's order; None: only joints are annotated
    intrinsics: np.ndarray | None = None  # [3,3] f32; None: pose only
    box: np.ndarray | None = None  # [4] f32 x, y, width, height, where a dataset tells it in place of joints
    image: Callable[[], np.ndarray] | None = None  # -> [H,W,3] uint8 RGB, read when called
    sequence: str = ""  # which recording it is a frame of; "": none
    frame: int = 0  # its number there


class HandDataset(Protocol):
    """A sequence of samples whose annotations and images are read when they are asked for."""

    name: str
    split: str  # TRAIN or EVALUATION
    skipped: dict[str, int]  # reason -> how many bad annotations were left out for it
    notes: list[str]  # what is missing in the folder and what follows from it, a sentence each

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> HandSample: ...
