"""`hhmr import-hand`: another hand model as the template that everything works on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from ..hand.build import build_template
from ..hand.dof import DOFS
from ..hand.kinematics import bone_directions, pose_skeleton
from ..hand.mano import TIPS, VERTICES, mano_hand
from ..hand.mano_file import read_mano
from ..hand.skeleton import FINGER_BONES, TIP_JOINTS
from ..hand.template import HandTemplate, load_template
from .build_hand import HANDS, with_posed_basis

DIRECTION_SIGMA = 0.02  # of a bone's direction
NEUTRAL_SIGMA = np.radians(20)  # how far another rest pose may be from ours
FINGER_PARTS = [bone for bones in FINGER_BONES.values() for bone in bones]


def import_mano(path: Path, data: Path | None = None, hands: int = HANDS) -> HandTemplate:
    """MANO_RIGHT as a template of 778 vertices, whose angles mean what ours do.

    Posed and shaped alike it is MANO's hand: linear blend skinning, betas, and the pose-dependent
    corrections, which `skin` adds as MANO does. The posed-shape basis is learnt with them, from `hands`
    sampled poses and those of the recordings in `data`. Its fingertips are MANO's vertices. Only where the
    hand is laid onto somebody's mesh (registration) the corrections are left out. Raises ValueError with
    one sentence when the file is no such hand.
    """
    template = build_template(mano_hand(read_mano(path)))
    regressor = template.regressor.copy()
    regressor[list(TIP_JOINTS)] = np.eye(VERTICES, dtype=np.float32)[list(TIPS)]
    neutral = neutral_angles(template, load_template())
    return with_posed_basis(replace(template, regressor=regressor, neutral=neutral), data, hands)


def neutral_angles(template: HandTemplate, like: HandTemplate) -> np.ndarray:
    """Angles [24] at which the bones of `template` point as those of `like` do at rest, as far as they can.

    Poses are told as angles from our rest pose, which bends its fingers a little; MANO's are stretched.
    """
    from scipy.optimize import least_squares

    aim = bone_directions(like)[FINGER_PARTS].astype(np.float64)
    along = bone_directions(template)[FINGER_PARTS].astype(np.float64)
    turns = [dof.kind != "twist" and template.axes[i].any() for i, dof in enumerate(DOFS)]
    free = np.flatnonzero(turns)  # a twist shows in no direction of its own bone

    def residuals(angles: np.ndarray) -> np.ndarray:
        whole = np.zeros((1, 24))
        whole[0, free] = angles
        turn = pose_skeleton(template, whole).turn[0, FINGER_PARTS]
        off = (turn @ along[..., None])[..., 0] - aim
        return np.concatenate([off.ravel() / DIRECTION_SIGMA, angles / NEUTRAL_SIGMA])

    neutral = np.zeros(24, np.float32)
    neutral[free] = least_squares(residuals, np.zeros(len(free))).x
    return neutral
