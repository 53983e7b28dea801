"""Linear blend skinning of a HandTemplate, for numpy arrays and torch tensors alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from .skeleton import JOINT_BONE, PARENTS, TIP_BONES, TIP_JOINTS
from .template import Array, HandTemplate


def skin(
    template: HandTemplate, rotations: Array, beta: Array | None = None, lengths: Array | None = None
) -> tuple[Array, Array]:
    """Pose hands.

    rotations [N,20,3,3] local bone rotations about rest-pose axes (dof.rotations); beta [N,10] shape in
    standard deviations; lengths [N,20] stretch every bone along itself (1 = the template's). Returns vertices
    [N,V,3] and joints [N,21,3] (bone heads and fingertips), metres, the wrist bone at its rest place. Give
    `template.torch()` for tensors.
    """
    vertices, heads, tips = rest_shape(template, beta)
    linear, shift, place = bone_transforms(rotations, heads, tips, lengths)
    posed = blend(template.weights, linear, shift, corrected(template, vertices, rotations))
    joints = place[:, list(JOINT_BONE)]
    ends = (linear[:, list(TIP_BONES)] @ tips[..., None])[..., 0] + shift[:, list(TIP_BONES)]
    keep = [j for j in range(21) if j not in TIP_JOINTS]
    order = np.argsort(keep + list(TIP_JOINTS))
    cat = np.concatenate if isinstance(rotations, np.ndarray) else torch.cat
    return posed, cat([joints[:, keep], ends], 1)[:, order]


def bone_transforms(
    rotations: Array, heads: Array, tips: Array, lengths: Array | None = None
) -> tuple[Array, Array, Array]:
    """What every bone does to its rest state: x -> linear x + shift.

    rotations [N,20,3,3] and lengths [N,20] as in `skin`, rest heads [N,20,3] and tips [N,5,3] (N may be 1).
    Returns linear [N,20,3,3], shift [N,20,3] and the posed heads [N,20,3].
    """
    xp: Any = np if isinstance(rotations, np.ndarray) else torch
    turns: list[Array] = []
    for bone, parent in enumerate(PARENTS):
        turns.append(rotations[:, 0] if parent < 0 else turns[parent] @ rotations[:, bone])
    turn = xp.stack(turns, 1)
    linear = turn if lengths is None else turn @ _stretch(xp, heads, tips, lengths)
    above = list(PARENTS[1:])
    arms = (linear[:, above] @ (heads[:, 1:] - heads[:, above])[..., None])[..., 0]
    places = [heads[:, 0] + 0 * rotations[:, 0, :, 0]]
    for bone, parent in enumerate(above, 1):
        places.append(places[parent] + arms[:, bone - 1])
    place = xp.stack(places, 1)
    return linear, place - (linear @ heads[..., None])[..., 0], place


def rest_shape(template: HandTemplate, beta: Array | None) -> tuple[Array, Array, Array]:
    """Rest vertices [N,V,3], heads [N,20,3] and tips [N,5,3] of shapes `beta` [N,10]; N = 1 without beta."""
    parts = (
        (template.vertices, template.shape_vertices),
        (template.heads, template.shape_heads),
        (template.tips, template.shape_tips),
    )
    if beta is None:
        return tuple(mean[None] for mean, _ in parts)  # type: ignore[return-value]
    size = beta.shape[0]
    return tuple(
        mean[None] + (beta @ modes.reshape(modes.shape[0], -1)).reshape(size, -1, 3) for mean, modes in parts
    )  # type: ignore[return-value]


def corrected(template: HandTemplate, vertices: Array, rotations: Array) -> Array:
    """Rest vertices [N,V,3] with what pose-dependent corrections (MANO's) add at rotations [N,20,3,3]."""
    if template.corrections is None:
        return vertices
    n, modes = len(rotations), template.corrections
    eye = np.eye(3, dtype=np.float32)
    bent = rotations - (eye if isinstance(rotations, np.ndarray) else torch.from_numpy(eye).to(rotations))
    return vertices + (bent.reshape(n, -1) @ modes.reshape(len(modes), -1)).reshape(n, -1, 3)


def _stretch(xp: Any, heads: Array, tips: Array, lengths: Array) -> Array:
    """[N,20,3,3] I + (length - 1) d d^T along every bone's rest direction d."""
    cat = np.concatenate if xp is np else torch.cat
    order = [20 + TIP_BONES.index(b) if b in TIP_BONES else b + 1 for b in range(len(PARENTS))]
    order[0] = 8
    d = cat([heads, tips], 1)[:, order] - heads
    d = d / xp.sqrt((d * d).sum(-1))[..., None]
    eye = xp.eye(3, dtype=d.dtype) if xp is np else torch.eye(3, dtype=d.dtype, device=d.device)
    return eye + (lengths - 1)[..., None, None] * d[..., :, None] * d[..., None, :]


def blend(weights: Array, linear: Array, shift: Array, vertices: Array) -> Array:
    """sum_b w_vb (linear_b v + shift_b): [N,V,3] of weights [V,B], vertices [V,3] or [N,V,3]."""
    n, bones = linear.shape[:2]
    cat = np.concatenate if isinstance(linear, np.ndarray) else torch.cat
    affine = cat([linear, shift[..., None]], -1).reshape(n, bones, 12)
    per_vertex = (weights @ affine).reshape(n, -1, 3, 4)
    return (per_vertex[..., :3] * vertices[..., None, :]).sum(-1) + per_vertex[..., 3]
