"""MANO (Romero, Tzionas and Black, "Embodied Hands", SIGGRAPH Asia 2017), from the file that its users bring.

The model itself, as its paper defines it: a mean mesh, shapes and pose-dependent corrections added to it, and
linear blend skinning by 16 joints. `mano_hand` turns it into what `build_template` takes. Nothing of MANO is
part of this program.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch

from .build import SkinnedHand
from .rotation import rotation_matrix
from .skeleton import BONE_NAMES, LONG_FINGERS
from .skinning import blend
from .template import Array

VERTICES, FACES, JOINTS, SHAPES = 778, 1538, 16, 10
# Wrist, then three joints of each finger: index, middle, pinky, ring, thumb.
PARENTS = (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11, 0, 13, 14)
# The vertices that count as fingertips, thumb to pinky, as FreiHAND has them (smplx takes 554 and 671).
TIPS = (744, 320, 443, 555, 672)
# MANO's joints in OpenPose order; the tips come after the 16 joints.
OPENPOSE = (0, 13, 14, 15, 16, 1, 2, 3, 17, 4, 5, 6, 18, 10, 11, 12, 19, 7, 8, 9, 20)
# MANO's joint at the head of each of our bones; it has no metacarpals, whose place the wrist takes.
JOINT_OF_BONE = (0, 13, 14, 15, 0, 1, 2, 3, 0, 4, 5, 6, 0, 10, 11, 12, 0, 7, 8, 9)
METACARPALS = tuple(BONE_NAMES.index(f"{finger}_meta") for finger in LONG_FINGERS)
CARPUS = 0.3  # where they begin, on the way from the wrist to the knuckle


@dataclass(frozen=True)
class ManoModel:
    """MANO's parameters under our names, arrays or tensors; metres, V = 778 vertices."""

    vertices: Array  # [V,3] mean shape, flat hand
    faces: Array  # [1538,3] int
    shapes: Array  # [10,V,3] per unit of beta
    corrections: Array  # [135,V,3] per unit of the 15 joints' rotation matrices minus the identity
    regressor: Array  # [16,V] joints of the rest mesh
    weights: Array  # [V,16] skinning
    components: Array  # [45,45] principal components of hand poses, one a row
    mean: Array  # [45] mean hand pose, axis-angle

    def torch(self, dtype: torch.dtype = torch.float32, device: str | torch.device = "cpu") -> ManoModel:
        """The same model with tensors."""

        def convert(value: np.ndarray) -> torch.Tensor:
            return torch.tensor(value, dtype=dtype if value.dtype.kind == "f" else torch.int64, device=device)

        return replace(self, **{f.name: convert(getattr(self, f.name)) for f in fields(self)})

    def __call__(
        self,
        pose: Array,
        betas: Array | None = None,
        transl: Array | None = None,
        *,
        use_pca: bool = False,
        flat_hand_mean: bool = False,
    ) -> tuple[Array, Array]:
        """Vertices [B,778,3] and 21 joints [B,21,3] (OpenPose order, tips are vertices), metres.

        pose [B,48]: axis-angle of the wrist and of the 15 joints in MANO's order; with use_pca [B,3+n]: of
        the wrist, then n coefficients of the components. The mean pose is added unless flat_hand_mean. betas
        [B,10], transl [B,3]. Settings and results are those of smplx's MANO layer, whose joints end before
        the tips.
        """
        xp: Any = np if isinstance(pose, np.ndarray) else torch
        hand = pose[:, 3:] @ self.components[: pose.shape[1] - 3] if use_pca else pose[:, 3:]
        hand = hand if flat_hand_mean else hand + self.mean
        turns = rotation_matrix(_cat(xp, [pose[:, :3], hand]).reshape(-1, JOINTS, 3))
        shaped = self.vertices[None] + 0 * pose[:, :1, None]
        if betas is not None:
            shaped = shaped + _blended(betas, self.shapes)
        rest = self.regressor @ shaped
        eye = rotation_matrix(0 * pose[:1, :3])
        corrected = shaped + _blended((turns[:, 1:] - eye).reshape(len(pose), -1), self.corrections)
        turn, place = [turns[:, 0]], [rest[:, 0]]
        for joint, parent in enumerate(PARENTS[1:], 1):
            arm = rest[:, joint] - rest[:, parent]
            place.append(place[parent] + (turn[parent] @ arm[..., None])[..., 0])
            turn.append(turn[parent] @ turns[:, joint])
        linear, joints = xp.stack(turn, 1), xp.stack(place, 1)
        vertices = blend(self.weights, linear, joints - (linear @ rest[..., None])[..., 0], corrected)
        joints = _cat(xp, [joints, vertices[:, list(TIPS)]])[:, list(OPENPOSE)]
        if transl is None:
            return vertices, joints
        return vertices + transl[:, None], joints + transl[:, None]


def mano_hand(model: ManoModel, name: str = "mano") -> SkinnedHand:
    """MANO as `build_template` wants it: the flat hand, with 20 bones, the shapes and the corrections.

    MANO's palm is one piece. Our metacarpals share it among them, so that a palm can be given another width
    or length, but they never turn by themselves: posed and shaped, the hand is MANO's.
    """
    rest = model.regressor @ model.vertices
    heads = _heads(rest)
    weights = np.zeros((VERTICES, len(BONE_NAMES)))
    weights[:, [b for b in range(20) if b not in METACARPALS]] = model.weights[
        :, [j for b, j in enumerate(JOINT_OF_BONE) if b not in METACARPALS]
    ]
    weights[:, [0, *METACARPALS]] = model.weights[:, :1] * _palm_shares(model.vertices, heads)
    corrections = np.zeros((len(BONE_NAMES), 9, VERTICES, 3))
    moving = [b for b in range(1, 20) if b not in METACARPALS]
    by_joint = model.corrections.reshape(JOINTS - 1, 9, VERTICES, 3)
    corrections[moving] = by_joint[[JOINT_OF_BONE[b] - 1 for b in moving]]
    shape_joints = np.einsum("jv,svc->sjc", model.regressor, model.shapes)
    return SkinnedHand(
        name=name,
        vertices=model.vertices,
        quads=model.faces[:, [0, 1, 2, 2]],
        weights=weights,
        heads=heads,
        tips=model.vertices[list(TIPS)],
        modes=(model.shapes, _heads(shape_joints), model.shapes[:, list(TIPS)]),
        corrections=corrections.reshape(-1, VERTICES, 3),
        fixed=METACARPALS,
    )


def _heads(joints: np.ndarray) -> np.ndarray:
    """Bone heads [...,20,3] of MANO's joints [...,16,3]."""
    heads = joints[..., JOINT_OF_BONE, :]
    for bone in METACARPALS:
        heads[..., bone, :] += CARPUS * (heads[..., bone + 1, :] - heads[..., bone, :])
    return heads


def _palm_shares(vertices: np.ndarray, heads: np.ndarray) -> np.ndarray:
    """[V,5] how much of the palm belongs to the wrist (its bone to the thumb) and the four metacarpals."""
    ends = heads[[1, *(bone + 1 for bone in METACARPALS)]]
    along = ends - heads[0]
    t = ((vertices - heads[0]) @ along.T / (along**2).sum(1)).clip(0, 1)
    distance = np.linalg.norm(vertices[:, None] - heads[0] - t[..., None] * along, axis=2)
    near = (distance + 1e-3) ** -4
    return near / near.sum(1, keepdims=True)


def is_right(model: ManoModel) -> bool:
    """The mean pose closes a hand: in a right one the tips go to the palm, which is -Z in our frame."""
    _, (flat, closed) = model(
        np.stack([np.zeros(48), np.append(np.zeros(3), model.mean)]), flat_hand_mean=True
    )
    back = np.cross(flat[17] - flat[5], flat[9] - flat[0])
    return bool(((closed - flat)[[8, 12, 16, 20]] @ back).sum() < 0)


def _blended(amounts: Array, modes: Array) -> Array:
    """[B,V,3] sum of modes [S,V,3] in these amounts [B,S]."""
    return (amounts @ modes.reshape(len(modes), -1)).reshape(len(amounts), -1, 3)


def _cat(xp: Any, parts: list[Array]) -> Array:
    return np.concatenate(parts, 1) if xp is np else torch.cat(parts, 1)
