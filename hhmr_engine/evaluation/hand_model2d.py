"""The skinned hand's 21 joints before a camera, from few parameters, with few operations: what a fit repeats.

The same hand as `hand.skinning.skin` and `template.regressor` make, without its vertices: all five fingers go
down their chains at once, and a joint is a sum over bones of their transforms.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from ..data.hands import HandStream, StreamSettings
from ..data.retarget import Retargeted
from ..hand import dof
from ..hand.build import random_shapes
from ..hand.rotation import rotation_matrix
from ..hand.skeleton import FINGER_BONES
from ..hand.skinning import skin
from ..hand.template import HandTemplate
from .testset import generator

PRIOR_SEED = "hhmr-baseline-prior-1"
PRIOR_HANDS = 20000
TrainingHands = tuple[np.ndarray, np.ndarray, np.ndarray]
BONE_OF_SLOT = np.array([(*bones, bones[-1])[:4] for bones in FINGER_BONES.values()])  # [5,4]; thumb: 1 2 3 3
VECTOR_OF_SLOT = np.where(np.arange(20).reshape(5, 4) == 3, 19, BONE_OF_SLOT - 1)  # 19: none


@dataclass(frozen=True)
class Gaussian:
    """x = mean + z @ root, z standard normal: mean [D], root [K,D], principal components first."""

    mean: Tensor
    root: Tensor

    @staticmethod
    def of(samples: np.ndarray, components: int, dtype: torch.dtype) -> Gaussian:
        """Of samples [N,D], with the first `components` of its principal components."""
        mean = samples.mean(0)
        _, deviation, modes = np.linalg.svd(samples - mean, full_matrices=False)
        root = modes[:components] * (deviation[:components, None] / np.sqrt(len(samples) - 1))
        return Gaussian(torch.from_numpy(mean).to(dtype), torch.from_numpy(root).to(dtype))

    def __call__(self, z: Tensor) -> Tensor:
        return self.mean + z @ self.root


class PosedJoints:
    """Parameters [n,size] of hands -> their joints in the hand's own axes, origin at the wrist bone.

    Parameters are standard normal a priori: principal components of the pose, shape [10], components of the
    bones' lengths [19]. A pose is the template's 24 angles, or with pose="rotations" a rotation vector for
    every bone [57], in which recorded hands, whose joints turn about other axes, have their place.
    """

    def __init__(
        self,
        template: HandTemplate,
        recordings: list[Retargeted],
        pose: str = "angles",
        components: int = 24,
        dtype: torch.dtype = torch.float64,
        hands: TrainingHands | None = None,
    ) -> None:
        """template as arrays. The priors are those of training hands; `components` of the pose's are kept.

        hands: what `training_hands` gave, where several models share it.
        """
        self.template, self.by_angles = template, pose == "angles"
        angles, offsets, lengths = hands or training_hands(template, recordings)
        poses = angles if self.by_angles else _rotation_vectors(template, angles, offsets)
        self.pose = Gaussian.of(poses, components, dtype)
        self.lengths = Gaussian.of(np.log(lengths[:, 1:]), 19, dtype)
        self.parts = [components, 10, 19]
        self.size = sum(self.parts)
        axes, places = _slots(template)
        self._axes, self._places = torch.from_numpy(axes).to(dtype), torch.from_numpy(places)
        heads, ends, moments = _linear_in_shape(template)
        self._heads, self._ends = torch.from_numpy(heads).to(dtype), torch.from_numpy(ends).to(dtype)
        self._moments = torch.from_numpy(moments).to(dtype).flatten(1)

    def __call__(self, z: Tensor) -> Tensor:
        """Joints [n,21,3] in metres."""
        pose, beta, lengths = z.split(self.parts, 1)
        shape = torch.cat([torch.ones_like(beta[:, :1]), beta], 1)
        heads = (shape @ self._heads).unflatten(1, (5, 4, 3))
        along = (shape @ self._ends).unflatten(1, (5, 4, 3)) - heads
        stretched = torch.exp(self.lengths(lengths))[:, BONE_OF_SLOT - 1]  # [n,5,4]
        turn = self._turns(self.pose(pose))
        direction = along / along.norm(dim=-1, keepdim=True)
        wide = (stretched - 1)[..., None, None] * direction[..., :, None] * direction[..., None, :]
        linear = turn + turn @ wide
        arms = (turn @ (stretched[..., None] * along)[..., None])[..., 0]
        places = heads[:, :, :1] + torch.cat([torch.zeros_like(arms[:, :, :1]), arms[:, :, :3]], 2).cumsum(2)
        shift = places - (linear @ heads[..., None])[..., 0]
        affine = torch.cat([linear, shift[..., None]], -1).flatten(1, 2)  # [n,20 slots,3,4]
        moments = (shape @ self._moments).unflatten(1, (21, 21, 4))
        moved = torch.einsum("nsik,njsk->nji", affine, moments[:, :, 1:])
        return moved + moments[:, :, 0, :3]  # the wrist bone stays where it is

    def _turns(self, pose: Tensor) -> Tensor:
        """What every bone has turned in the end [n,5,4,3,3], down the chains of the five fingers."""
        if self.by_angles:
            padded = torch.cat([pose, torch.zeros_like(pose[:, :1])], 1)[:, self._places]  # [n,5,4,3]
            one, two, three = rotation_matrix(padded[..., None] * self._axes).unbind(3)
            local = one @ two @ three
        else:
            vectors = torch.cat([pose, torch.zeros_like(pose[:, :3])], 1).unflatten(1, (20, 3))
            local = rotation_matrix(vectors[:, VECTOR_OF_SLOT])
        turns = [local[:, :, 0]]
        for level in range(1, 4):
            turns.append(turns[-1] @ local[:, :, level])
        return torch.stack(turns, 2)

    def skinned(self, z: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Vertices [n,V,3] and regressed joints [n,21,3] of parameters, float32."""
        pose, beta, lengths = (part.detach() for part in z.split(self.parts, 1))
        stretch = np.exp(self.lengths(lengths).numpy())
        stretch = np.concatenate([np.ones_like(stretch[:, :1]), stretch], 1)
        own = self.pose(pose).numpy()
        if self.by_angles:
            turn = dof.rotations(self.template, own)
        else:
            turn = rotation_matrix(np.concatenate([np.zeros((len(z), 3)), own], 1).reshape(-1, 20, 3))
        single = (array.astype(np.float32) for array in (turn, beta.numpy(), stretch))
        vertices = skin(self.template, *single)[0]
        return vertices, self.template.regressor @ vertices


def training_hands(
    template: HandTemplate, recordings: list[Retargeted], count: int = PRIOR_HANDS
) -> TrainingHands:
    """Angles [count,24], axis offsets [count,20,3] and bone lengths [count,20] as training's stream has them.

    Without held-out frames; of some of them, the proportions and axes are those of a recording's hand.
    """
    rng = generator(PRIOR_SEED)
    stream = HandStream(template, recordings, StreamSettings(), int(rng.integers(2**31)))
    drawn = [stream.poses(min(500, count - done)) for done in range(0, count, 500)]
    angles, source = (torch.cat(parts).numpy() for parts in zip(*drawn))
    _, lengths = random_shapes(rng, count)
    offsets = np.zeros((count, 20, 3), np.float32)
    if recordings:
        lent = np.where(source >= 0, 1 / 2, 1 / 6) > rng.random(count)
        owner = np.where(source >= 0, source, rng.integers(0, len(recordings), count))[lent]
        measured = np.stack([r.calibration.lengths for r in recordings])[owner]
        lengths[lent] = measured * (1 + 0.3 * (lengths[lent] - 1))
        offsets[lent] = np.stack([r.calibration.offsets for r in recordings])[owner]
    return angles, offsets, lengths


def _rotation_vectors(template: HandTemplate, angles: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """[N,57]: every bone's local rotation but the wrist's."""
    turn = dof.rotations(template, angles, offsets)[:, 1:]
    return Rotation.from_matrix(turn.reshape(-1, 3, 3)).as_rotvec().reshape(len(turn), 57)


def _slots(template: HandTemplate) -> tuple[np.ndarray, np.ndarray]:
    """Axes [5,4,3,3] of up to three angles a bone, and where those are among the 24 [5,4,3]; 24 is none."""
    axes, places = np.zeros((5, 4, 3, 3)), np.full((5, 4, 3), len(dof.DOFS))
    for finger, bones in enumerate(FINGER_BONES.values()):
        for level, bone in enumerate(bones):
            own = [i for i, d in enumerate(dof.DOFS) if d.bone == bone]
            axes[finger, level, : len(own)], places[finger, level, : len(own)] = template.axes[own], own
    return axes, places


def _linear_in_shape(template: HandTemplate) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Heads and far ends of the bones [11,5*4*3], and the joints' sums over vertices [11,21,21,4].

    The first row is the mean shape, the others what each component of beta adds. A joint is the sum over the
    wrist and 20 slots of (a bone's affine map) times (its sum of regressor x weight x (vertex, 1)).
    """
    stacked = (
        np.concatenate([mean[None], modes]).astype(np.float64)
        for mean, modes in (
            (template.vertices, template.shape_vertices),
            (template.heads, template.shape_heads),
            (template.tips, template.shape_tips),
        )
    )
    vertices, heads, tips = stacked
    ends = np.concatenate([heads[:, BONE_OF_SLOT[:, 1:]], tips[:, :, None]], 2)
    ends[:, 0, 2:] = tips[:, :1]
    share = np.einsum("jv,vb->jbv", template.regressor.astype(np.float64), template.weights)
    moments = np.zeros((len(vertices), 21, 20, 4))
    moments[..., :3] = np.einsum("jbv,kvc->kjbc", share, vertices)
    moments[0, ..., 3] = share.sum(2)
    bones = [0, *BONE_OF_SLOT.ravel()]
    in_slots = moments[:, :, bones]
    in_slots[:, :, 4] = 0  # the thumb's fourth
    return heads[:, BONE_OF_SLOT].reshape(11, -1), ends.reshape(11, -1), in_slots
