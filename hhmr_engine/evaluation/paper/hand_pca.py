"""What the paper compares with: the principal components of MANO's hand poses, sampled, or fitted to joints.

From the user's MANO file. How widely its poses lie along each component is read from the coefficients in the
file (`hands_coeffs`); a file without them counts as one deviation for each.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...hand.mano import JOINTS, OPENPOSE, PARENTS, TIPS, ManoModel
from ...hand.mano_file import PLACES, read_mano
from ...hand.pickled import read_pickle
from ...hand.pickled_arrays import array_of
from ...hand.rotation import rotation_matrix

COMPONENTS, SHAPES = 45, 10


class HandPca:
    """MANO's poses and shapes as standard normal parameters z [n,45+10]: components of the pose, betas."""

    size = COMPONENTS + SHAPES

    def __init__(self, model: ManoModel, deviation: np.ndarray) -> None:
        """deviation [45]: of the coefficients of each component."""
        self.model, self.deviation = model, deviation
        double = model.torch(torch.float64)
        self._rows = torch.from_numpy(deviation)[:, None] * double.components
        self._mean = double.mean
        rest = double.regressor @ double.vertices
        self._rest = torch.cat([rest[None], double.regressor @ double.shapes]).flatten(1)  # [11,16*3]
        tips = list(TIPS)
        self._tips = torch.cat([double.vertices[None, tips], double.shapes[:, tips]]).flatten(1)
        self._corrections = double.corrections[:, tips].flatten(1)  # [135,15]
        self._weights = double.weights[tips]  # [5,16]

    @classmethod
    def read(cls, path: Path) -> HandPca:
        """From MANO_RIGHT.pkl, an npz of its arrays, or smplx's folder. ValueError (a sentence); OSError."""
        model = read_mano(path)
        coefficients = _coefficients(path)
        if coefficients is None or coefficients.ndim != 2 or coefficients.shape[1] != COMPONENTS:
            return cls(model, np.ones(COMPONENTS))
        return cls(model, coefficients.astype(np.float64).std(0))

    def poses(self, z: Tensor) -> Tensor:
        """Axis-angles [n,48] of the wrist, which does not turn, and 15 joints."""
        hand = z[:, :COMPONENTS] @ self._rows + self._mean
        return torch.cat([torch.zeros_like(hand[:, :3]), hand], 1)

    def __call__(self, z: Tensor) -> Tensor:
        """Joints [n,21,3] in MANO's own axes, metres: joints of the chain, fingertips of the skin."""
        ones = torch.cat([torch.ones_like(z[:, :1]), z[:, COMPONENTS:]], 1)
        turns = rotation_matrix(self.poses(z).unflatten(1, (JOINTS, 3)))
        rest = (ones @ self._rest).unflatten(1, (JOINTS, 3))
        turn, place = [turns[:, 0]], [rest[:, 0]]
        for joint, parent in enumerate(PARENTS[1:], 1):
            arm = (rest[:, joint] - rest[:, parent])[..., None]
            place.append(place[parent] + (turn[parent] @ arm)[..., 0])
            turn.append(turn[parent] @ turns[:, joint])
        linear, joints = torch.stack(turn, 1), torch.stack(place, 1)
        bent = (turns[:, 1:] - torch.eye(3, dtype=z.dtype)).flatten(1)
        skin = (ones @ self._tips + bent @ self._corrections).unflatten(1, (5, 3))
        shift = joints - (linear @ rest[..., None])[..., 0]
        moved = torch.einsum("tb,nbij,ntj->nti", self._weights, linear, skin)
        tips = moved + torch.einsum("tb,nbi->nti", self._weights, shift)
        return torch.cat([joints, tips], 1)[:, list(OPENPOSE)]

    def skinned(self, z: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Vertices [n,778,3] and joints [n,21,3] of parameters, float32."""
        vertices, joints = self.model(self.poses(z).numpy(), z[:, COMPONENTS:].numpy(), flat_hand_mean=True)
        return vertices.astype(np.float32), joints.astype(np.float32)

    def sample(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Vertices [count,778,3] of poses and shapes drawn from the components."""
        return self.skinned(torch.from_numpy(rng.standard_normal((count, self.size))))[0]


def _coefficients(path: Path) -> np.ndarray | None:
    """Those of the poses that the components were found in [M,45]; None where the file has none."""
    path = next((path / place for place in PLACES if (path / place).is_file()), path)
    raw = path.read_bytes()
    if raw[:4] == b"PK\x03\x04":
        with np.load(path, allow_pickle=False) as file:
            return file["hands_coeffs"] if "hands_coeffs" in file.files else None
    content = read_pickle(raw)
    try:
        return array_of(content["hands_coeffs"]) if isinstance(content, dict) else None
    except (KeyError, ValueError):
        return None
