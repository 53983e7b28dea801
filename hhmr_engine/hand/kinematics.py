"""Forward kinematics of the 20 bones alone: no skin, numpy, and with derivatives.

The same chain as `hand.skinning.skin` (a test compares them), for what needs thousands of skeletons or their
Jacobian: cleaning sampled poses and fitting recorded joints.
"""

from dataclasses import dataclass

import numpy as np

from .dof import DOFS
from .rotation import rotation_matrix
from .skeleton import JOINT_BONE, PARENTS, TIP_BONES, TIP_JOINTS
from .template import HandTemplate

# Bones whose parents are done, one step at a time: all fingers move at once.
LEVELS = ((1, 4, 8, 12, 16), (2, 5, 9, 13, 17), (3, 6, 10, 14, 18), (7, 11, 15, 19))
DOF_BONE = np.array([dof.bone for dof in DOFS])
# What the wrist bone points at, and every other bone: the next bone's head, or the fingertip.
AIM = {0: 8} | {bone: bone + 1 for bone in range(1, 20) if bone not in TIP_BONES}


def _moved_joints() -> np.ndarray:
    """[20,21] bool: joint j moves when bone b turns (its head is not b's own and lies beyond b)."""
    moved = np.zeros((20, 21), bool)
    for joint, bone in enumerate(JOINT_BONE):
        ancestor = bone if joint in TIP_JOINTS else PARENTS[bone]
        while ancestor >= 0:
            moved[ancestor, joint] = True
            ancestor = PARENTS[ancestor]
    return moved


MOVED_JOINTS = _moved_joints()


@dataclass(frozen=True)
class Skeleton:
    """N posed skeletons, metres, the wrist bone at its rest place."""

    turn: np.ndarray  # [N,20,3,3] world rotations of the bones, without stretch
    heads: np.ndarray  # [N,20,3]
    joints: np.ndarray  # [N,21,3]
    hinges: np.ndarray  # [N,24,3] world axes of the angles: d joint / d angle = hinge x (joint - head)
    base: np.ndarray  # [N,20,3,3] world frames in which the offsets turn each bone


def bone_ends(template: HandTemplate) -> np.ndarray:
    """[20,2,3] rest head of every bone and where it points: the next head or its fingertip."""
    ends = np.stack([template.heads, template.heads], 1)
    for bone, aim in AIM.items():
        ends[bone, 1] = template.heads[aim]
    ends[list(TIP_BONES), 1] = template.tips
    return ends


def bone_directions(template: HandTemplate) -> np.ndarray:
    """[20,3] unit rest directions along which `lengths` stretch the bones."""
    along = np.diff(bone_ends(template), axis=1)[:, 0]
    return along / np.linalg.norm(along, axis=1, keepdims=True)


def dof_rotations(axes: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """[N,24,3,3] rotations by `angles` [N,24] radians about the rest axes [24,3]."""
    x, y, z = axes.T
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(-1, 3, 3)
    sine, versine = np.sin(angles)[..., None, None], (1.0 - np.cos(angles))[..., None, None]
    return np.eye(3, dtype=angles.dtype) + sine * cross + versine * (cross @ cross)


def pose_skeleton(
    template: HandTemplate,
    angles: np.ndarray,
    offsets: np.ndarray | None = None,
    lengths: np.ndarray | None = None,
) -> Skeleton:
    """Pose by `angles` [N,24] radians, `offsets` [20,3] or [N,20,3] and `lengths` [20] or [N,20].

    The result has the dtype of `angles`.
    """
    kind, count = angles.dtype, len(angles)
    axes, rest, tips = (getattr(template, key).astype(kind) for key in ("axes", "heads", "tips"))
    each = dof_rotations(axes, template.from_rest(angles).astype(kind))
    eye = np.eye(3, dtype=kind)
    local = np.empty((count, 20, 3, 3), kind)
    local[:] = eye if offsets is None else rotation_matrix(np.asarray(offsets, kind))
    hinges = np.empty((count, len(DOFS), 3), kind)
    for i, bone in enumerate(DOF_BONE):
        hinges[:, i] = local[:, bone] @ axes[i]
        local[:, bone] = local[:, bone] @ each[:, i]

    stretch = np.broadcast_to(eye, (20, 3, 3))
    if lengths is not None:
        along = bone_directions(template).astype(kind)
        extra = np.asarray(lengths, kind)[..., None, None] - 1.0
        stretch = eye + extra * (along[:, :, None] * along[:, None, :])
    turn, base = np.empty_like(local), np.empty_like(local)
    heads = np.empty((count, 20, 3), kind)
    turn[:, 0], base[:, 0], heads[:, 0] = local[:, 0], eye, rest[0]
    for level in LEVELS:
        bones, parents = list(level), [PARENTS[bone] for bone in level]
        turn[:, bones] = turn[:, parents] @ local[:, bones]
        base[:, bones] = turn[:, parents]
        arm = stretch[..., parents, :, :] @ (rest[bones] - rest[parents])[:, :, None]
        heads[:, bones] = heads[:, parents] + (turn[:, parents] @ arm)[..., 0]
    hinges = (base[:, DOF_BONE] @ hinges[..., None])[..., 0]
    joints = heads[:, list(JOINT_BONE)]
    ends = list(TIP_BONES)
    arm = stretch[..., ends, :, :] @ (tips - rest[ends])[:, :, None]
    joints[:, list(TIP_JOINTS)] = heads[:, ends] + (turn[:, ends] @ arm)[..., 0]
    return Skeleton(turn, heads, joints, hinges, base)


def subtree() -> np.ndarray:
    """[20,20] bool: bone c hangs below bone b or is b."""
    below = np.eye(20, dtype=bool)
    for bone in range(1, 20):
        ancestor = PARENTS[bone]
        while ancestor >= 0:
            below[ancestor, bone] = True
            ancestor = PARENTS[ancestor]
    return below
