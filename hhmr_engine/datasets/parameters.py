"""MANO's parameters, as datasets have them, into hands of both sides."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from ..hand.mano import OPENPOSE, TIPS, ManoModel
from ..hand.mano_file import read_mano
from .sample import LEFT

MIRROR = np.array([-1.0, 1.0, 1.0])
_TURNED = np.array([1.0, -1.0, -1.0])  # an axis-angle, seen in a mirror across x


class ManoHands:
    """MANO's right hand, and the left one as its mirror image in the same vertex order.

    MANO_LEFT is that mirror image, but for one known fault of its file: the shapes' x is not mirrored. Data
    whose makers corrected it (InterHand2.6M) want the true mirror, others (DexYCB) the file as it is:
    `faulty_left`.
    """

    def __init__(self, model: ManoModel) -> None:
        self.right = model
        self._faulty = replace(model, shapes=model.shapes * MIRROR)

    @classmethod
    def read(cls, path: Path) -> ManoHands:
        """From the user's file; ValueError with one sentence."""
        try:
            return cls(read_mano(path))
        except OSError as exc:
            raise ValueError(f"{path} cannot be read ({exc.strerror or exc}): check the name.") from exc

    def __call__(
        self,
        side: str,
        pose: np.ndarray,
        betas: np.ndarray,
        transl: np.ndarray,
        *,
        use_pca: bool = False,
        flat_hand_mean: bool = False,
        faulty_left: bool = False,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Vertices [778,3] and joints [21,3] in OpenPose order, in metres and in the parameters' axes.

        pose [48]: axis-angles, or with use_pca of the wrist and then coefficients; betas [10], transl [3].
        """
        left = side == LEFT
        if left:
            turn = _TURNED if use_pca else np.tile(_TURNED, len(pose) // 3)
            pose = np.concatenate([pose[:3] * turn, pose[3:]]) if use_pca else pose * turn
        model = self._faulty if left and faulty_left else self.right
        found = model(pose[None], betas[None], use_pca=use_pca, flat_hand_mean=flat_hand_mean)
        vertices, joints = (part[0] * MIRROR if left else part[0] for part in found)
        return vertices + transl, joints + transl

    def joints(self, vertices: np.ndarray) -> np.ndarray:
        """[21,3] joints of posed vertices [778,3], by the rest pose's regressor; tips are vertices."""
        return np.concatenate([self.right.regressor @ vertices, vertices[list(TIPS)]])[list(OPENPOSE)]
