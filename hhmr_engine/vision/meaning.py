"""Where the landmark network's joints lie on our hand: it was taught other points than our regressor's.

Its fingertips are in the pads, its knuckles nearer the wrist, its thumb's root deeper in the palm.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Joint -> how far it lies towards which others, in parts of the way: least squares over 16,384 pictures of
# hhmr_engine.pictures, visible joints (benchmarks/landmarks.py measures it). Median distance from the truth,
# of all visible joints: 5.1 % of the hand's size before, 3.9 % after.
TOWARDS = {
    0: {1: 0.19, 9: -0.13, 17: 0.11},
    1: {0: 0.07, 2: 0.39, 5: -0.20},
    5: {0: 0.09},
    9: {0: 0.06, 5: 0.21, 17: 0.12},
    13: {0: 0.06, 5: 0.14, 17: 0.30},
    17: {0: 0.09},
    4: {3: 0.29},
    8: {7: 0.31},
    12: {11: 0.33},
    16: {15: 0.29},
    20: {19: 0.32},
}


def landmark_mixing() -> NDArray[np.float32]:
    """[21,21], rows sum to 1: its landmarks = mixing @ our joints, in space and in the picture alike."""
    mixing = np.eye(21, dtype=np.float32)
    for joint, others in TOWARDS.items():
        for other, share in others.items():
            mixing[joint, other] += share
            mixing[joint, joint] -= share
    return mixing
