"""Joints as a device recorded them, brought nearer to where our hand has them."""

from __future__ import annotations

import numpy as np

from ..data.joint_fit import RIGID_JOINTS, SHIFTED
from ..data.retarget import Retargeted
from ..hand.template import HandTemplate
from .nearest import similarities


def in_our_places(template: HandTemplate, recording: Retargeted, joints: np.ndarray) -> np.ndarray:
    """Recorded joints [N,21,3] in metres with wrist and thumb's root where our hand has them.

    The calibration's shifts are in the hand's own axes: those are told by the palm, not by the truth.
    """
    calibration, moved = recording.calibration, joints.copy()
    rest = template.joints.astype(np.float64)
    rest[list(SHIFTED)] += calibration.shifts
    for hand in moved:
        known = [j for j in RIGID_JOINTS if np.isfinite(hand[j]).all()]
        _, rotation, _ = similarities(rest[None, known], hand[known] * calibration.scale, scale=False)
        hand[list(SHIFTED)] -= calibration.shifts @ rotation[0] / calibration.scale
    return moved
