"""The 24 angles of a hand: which bone each turns, about which axis, and within which limits.

Angles are radians relative to the neutral pose, which is the shipped hand's rest pose. Flexion > 0 closes
the hand, abduction > 0 moves a finger towards the thumb's side, and a bone's rotation is abduction after
flexion after twist, about axes fixed in its parent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .rotation import rotation_matrix
from .skeleton import BONE_NAMES, FINGER_BONES, LONG_FINGERS
from .template import Array, HandTemplate


@dataclass(frozen=True)
class Dof:
    """One angle; `limits` are degrees, as wide as recorded hands go (design: registration, hand)."""

    name: str
    bone: int
    kind: str  # "abd" | "flex" | "twist": the order in which a bone's rotations are multiplied
    limits: tuple[float, float]


def _dof(bone: str, kind: str, low: float, high: float) -> Dof:
    return Dof(f"{bone}_{kind}", BONE_NAMES.index(bone), kind, (low, high))


def _finger(finger: str) -> list[Dof]:
    spread = 30 if finger == "pinky" else 22
    return [
        _dof(f"{finger}_mcp", "abd", -spread, spread),
        _dof(f"{finger}_mcp", "flex", -38, 90),
        _dof(f"{finger}_pip", "flex", -15, 110),
        _dof(f"{finger}_dip", "flex", -22, 92),
    ]


DOFS: tuple[Dof, ...] = (
    _dof("thumb_cmc", "abd", -40, 50),
    _dof("thumb_cmc", "flex", -35, 45),
    _dof("thumb_cmc", "twist", -26, 58),
    _dof("thumb_mcp", "abd", -18, 18),
    _dof("thumb_mcp", "flex", -20, 62),
    _dof("thumb_ip", "flex", -38, 85),
    *(dof for finger in LONG_FINGERS for dof in _finger(finger)),
    _dof("ring_meta", "flex", -10, 21),
    _dof("pinky_meta", "flex", -10, 34),
)
DOF_NAMES = tuple(d.name for d in DOFS)
LIMITS = np.radians([d.limits for d in DOFS]).astype(np.float32)  # [24,2]


def rotations(template: HandTemplate, angles: Array, offsets: Array | None = None) -> Array:
    """Local bone rotations [N,20,3,3] for `angles` [N,24]; numpy in, numpy out, torch in, torch out.

    `offsets` [20,3] or [N,20,3]: rotation vectors (radians) applied before the angles: a source's other idea
    of the rest pose and axes (design: registration).
    """
    turn = rotation_matrix(template.from_rest(angles)[..., None] * template.axes)  # [N,24,3,3]
    by_bone: dict[int, list[int]] = {}
    for i, dof in enumerate(DOFS):
        by_bone.setdefault(dof.bone, []).append(i)
    identity = turn[:, 0] * 0 + rotation_matrix(angles[:, :1] * 0 * template.axes[0])
    out = []
    base = None if offsets is None else rotation_matrix(offsets)
    for bone in range(len(BONE_NAMES)):
        local = identity if base is None else identity @ base[..., bone, :, :]
        for i in by_bone.get(bone, ()):
            local = local @ turn[:, i]
        out.append(local[:, None])
    if isinstance(angles, np.ndarray):
        return np.concatenate(out, 1)
    import torch

    return torch.cat(out, 1)


def derive_axes(heads: np.ndarray, tips: np.ndarray) -> np.ndarray:
    """Rotation axes [24,3] from a rest skeleton (fingers along +Y, palm towards -Z, right hand).

    A finger's hinge is the normal of the plane it bends in, held near the palm's lateral direction because a
    rest pose bends little; the thumb's hinge comes from its own three bones.
    """
    ends = {bones[-1]: tip for bones, tip in zip(FINGER_BONES.values(), tips, strict=True)}
    ends |= {b: heads[b + 1] for bones in FINGER_BONES.values() for b in bones[:-1]}
    direction = {b: _unit(end - heads[b]) for b, end in ends.items()}
    axes = np.zeros((len(DOFS), 3))
    for finger, bones in FINGER_BONES.items():
        chain = bones if finger == "thumb" else bones[1:]
        d = [direction[b] for b in chain]
        curl = np.cross(d[0], d[1]) + np.cross(d[1], d[2])
        # Flexing a finger that points along +Y towards -Z turns about -X.
        hinge = curl if finger == "thumb" else _unit(curl) + 2 * _unit(np.cross(d[0], [0.0, 0.0, -1.0]))
        for i, dof in enumerate(DOFS):
            if dof.bone not in bones:
                continue
            along = direction[dof.bone]
            flex = _unit(hinge - along * (hinge @ along))
            # About +Z a finger along +Y moves to -X, which is the thumb's side of a right hand.
            axes[i] = {"flex": flex, "abd": _unit(np.cross(flex, along)), "twist": along}[dof.kind]
            if dof.kind == "abd" and finger != "thumb" and axes[i][2] < 0:
                axes[i] = -axes[i]
    return axes.astype(np.float32)


def _unit(v: np.ndarray) -> np.ndarray:
    return v / np.linalg.norm(v)
