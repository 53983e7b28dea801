"""Rotations of 3D space, for numpy arrays and torch tensors alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from .template import Array


def rotation_matrix(vector: Array) -> Array:
    """Rodrigues' formula: rotation vectors [...,3] in radians to matrices [...,3,3]; smooth at zero."""
    xp: Any = np if isinstance(vector, np.ndarray) else torch
    square = (vector * vector).sum(-1)[..., None, None]
    angle = xp.sqrt(square + 1e-24)
    x, y, z = vector[..., 0], vector[..., 1], vector[..., 2]
    zero = x * 0
    skew = xp.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*vector.shape[:-1], 3, 3)
    where = {} if xp is np else {"device": vector.device}
    eye = xp.eye(3, dtype=vector.dtype, **where)
    sine = xp.sin(angle) / angle
    cosine = 0.5 * (xp.sin(angle / 2) / (angle / 2)) ** 2
    return eye + sine * skew + cosine * (skew @ skew)


def from_quaternion(q: Array) -> Array:
    """Unit quaternions [...,4] (w, x, y, z) to rotations [...,3,3]."""
    xp: Any = np if isinstance(q, np.ndarray) else torch
    w, x, y, z = (q[..., i] for i in range(4))
    rows = [
        *(1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        *(2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        *(2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    ]
    return xp.stack(rows, -1).reshape(*q.shape[:-1], 3, 3)


def rotation_vector(matrix: Tensor) -> Tensor:
    """The inverse of `rotation_matrix` for rotations [...,3,3] of less than half a turn: [...,3] radians."""
    skew = 0.5 * (matrix - matrix.transpose(-1, -2))
    axis = torch.stack([skew[..., 2, 1], skew[..., 0, 2], skew[..., 1, 0]], -1)
    sine = axis.norm(dim=-1, keepdim=True)
    cosine = 0.5 * (matrix.diagonal(dim1=-2, dim2=-1).sum(-1, keepdim=True) - 1)
    return axis * torch.where(sine > 1e-6, torch.atan2(sine, cosine) / sine.clamp_min(1e-6), 1.0)


def procrustes(
    source: Tensor, target: Tensor, weights: Tensor, scale: bool = True
) -> tuple[Tensor, Tensor, Tensor]:
    """Similarity (s, R, t) that takes `source` to `target`: target ~ s R source + t (Umeyama 1991).

    source, target [...,P,3], weights [...,P] >= 0. Returns s [...], R [...,3,3], t [...,3]. A reflection is
    never returned. Torch tensors only; batched over leading dimensions.
    """
    w = (weights / weights.sum(-1, keepdim=True))[..., None]
    mu_s, mu_t = (w * source).sum(-2, keepdim=True), (w * target).sum(-2, keepdim=True)
    a, b = source - mu_s, target - mu_t
    rotation, d = _kabsch(a, b, w)
    variance = (w * a * a).sum((-1, -2)).clamp_min(1e-20)
    s = d.sum(-1) / variance if scale else torch.ones_like(variance)
    t = mu_t[..., 0, :] - s[..., None] * (rotation @ mu_s.transpose(-1, -2))[..., 0]
    return s, rotation, t


def rotation_between(source: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """The rotation R [...,3,3] about the origin with target ~ R source; shapes as in `procrustes`."""
    return _kabsch(source, target, weights[..., None])[0]


def _kabsch(source: Tensor, target: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """R [...,3,3] and the singular values [...,3], the last one below 0 where a reflection fits better."""
    u, d, vt = torch.linalg.svd((weights * target).transpose(-1, -2) @ source)
    sign = torch.linalg.det(u @ vt).sign()
    flip = torch.stack([torch.ones_like(sign), torch.ones_like(sign), sign], -1)
    return (u * flip[..., None, :]) @ vt, d * flip
