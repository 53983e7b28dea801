"""Smooth vertex normals of a batch of meshes, for pictures and files."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def vertex_normals(vertices: NDArray, faces: NDArray) -> NDArray[np.float32]:
    """Unit normals `[n, V, 3]` of `vertices [n, V, 3]`, faces weighted by area; z where a vertex has none."""
    corners = [vertices[:, faces[:, k]].astype(np.float64) for k in range(3)]
    face_normal = np.cross(corners[1] - corners[0], corners[2] - corners[0])
    # Scaled first, so that the length below is a fair test at any unit.
    face_normal /= max(float(np.abs(face_normal).max(initial=0.0)), np.finfo(np.float64).tiny)
    count, size = vertices.shape[:2]
    normal = np.zeros((count * size, 3))
    rows = (size * np.arange(count)[:, None, None] + faces).reshape(-1)
    for axis in range(3):
        weight = np.repeat(face_normal[..., axis].reshape(-1), 3)
        normal[:, axis] = np.bincount(rows, weight, minlength=count * size)
    length = np.linalg.norm(normal, axis=1, keepdims=True)
    normal = np.where(length > 1e-12, normal / np.maximum(length, 1e-12), [0.0, 0.0, 1.0])
    return normal.reshape(count, size, 3).astype(np.float32)
