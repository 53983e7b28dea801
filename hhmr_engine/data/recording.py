"""What a user's file holds before it is made ours: frames of one hand, in the file's own units and side."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SIDES = ("right", "left")
UNITS = {"m": 1.0, "cm": 0.01, "mm": 0.001, "inch": 0.0254}  # metres


@dataclass(frozen=True)
class Recording:
    """Frames of one hand in a file; a file of both hands is two of these."""

    joints: np.ndarray  # [N,21,3] in the file's units, OpenPose order, any frame of reference, NaN = unknown
    side: str  # "right" | "left" | "" where the file does not say
    frame: np.ndarray  # [N] int: counts time; both hands of one moment share it
    rate: float | None = None  # frames a second; None: the file does not say
    names: np.ndarray | None = None  # [N] str, what a person would call a frame
    group: np.ndarray | None = None  # [N] str, the unit of the split, where the file has one

    def rows(self, keep: np.ndarray) -> Recording:
        """The frames that `keep` (bool [N] or row numbers) names."""
        names, group = (None if words is None else words[keep] for words in (self.names, self.group))
        return Recording(self.joints[keep], self.side, self.frame[keep], self.rate, names, group)


def side_named(word: str) -> str:
    """A file's or user's word for a side; "" for one that is none."""
    first = word.strip().lower()
    return {"r": "right", "right": "right", "l": "left", "left": "left"}.get(first, "")
