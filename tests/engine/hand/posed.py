"""Posed hands with everything that went into them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Posed:
    """angles [N,24], beta [N,10], lengths [N,20] and what skinning makes of them, metres."""

    angles: np.ndarray
    beta: np.ndarray
    lengths: np.ndarray
    vertices: np.ndarray
    joints: np.ndarray
