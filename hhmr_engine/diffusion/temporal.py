"""Smoothness over time in closed form: a penalty on third differences, against what every frame says.

The state is v [T,K], one row a frame, in units of its own jerk. Where frame t says W_t v_t = b_t (K equations
with precision W_t), the smooth path is the minimum of

    sum_t (v_t^T W_t v_t / 2 - b_t^T v_t) + |D v|^2 / 2,        D v = v_t - 3 v_t-1 + 3 v_t-2 - v_t-3

so a direction of which a frame knows much follows it, and one of which it knows nothing moves with a third
difference of about 1. The matrix W + D^T D is banded in blocks, and so is its Cholesky factor.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.linalg import solveh_banded
from torch import Tensor

DIFFERENCE = (-1.0, 3.0, -3.0, 1.0)
BAND = len(DIFFERENCE) - 1


def third_differences(values: Tensor) -> Tensor:
    """D v: [T,...] -> [T-3,...]; nothing for three frames or fewer."""
    return torch.diff(values, n=BAND, dim=0) if len(values) > BAND else values[:0]


def spread_back(differences: Tensor, frames: int) -> Tensor:
    """D^T of differences [T-3,...] for T = `frames`: [T,...]."""
    result = differences.new_zeros(frames, *differences.shape[1:])
    for k, factor in enumerate(DIFFERENCE):
        result[k : k + len(differences)] += factor * differences
    return result


def bands(frames: int) -> Tensor:
    """Of D^T D: [T,BAND+1], entry [t,k] couples frames t and t - k, and is 0 before the start."""
    result = torch.zeros(frames, BAND + 1, dtype=torch.float64)
    for i, factor in enumerate(DIFFERENCE):
        for k in range(i + 1):
            last = max(frames - BAND, 0)
            result[i : i + last, k] += factor * DIFFERENCE[i - k]
    return result


class Smoother:
    """The factor of W + D^T D for weights [T,K,K]; its memory is four times theirs."""

    def __init__(self, weights: Tensor) -> None:
        frames, size, _ = weights.shape
        penalty = bands(frames).to(weights)
        eye = torch.eye(size, dtype=weights.dtype, device=weights.device)
        self.lower = weights.new_zeros(frames, BAND + 1, size, size)  # [t,k]: block of frames t and t - k
        for t in range(frames):
            row, reach = self.lower[t], min(t, BAND)
            for k in range(reach, 0, -1):
                before = self.lower[t - k]
                block = penalty[t, k] * eye
                for j in range(k + 1, reach + 1):
                    block = block - row[j] @ before[j - k].T
                row[k] = torch.linalg.solve_triangular(before[0].T, block, upper=True, left=False)
            block = weights[t] + penalty[t, 0] * eye
            for k in range(1, reach + 1):
                block = block - row[k] @ row[k].T
            row[0] = torch.linalg.cholesky(block)

    def solve(self, right: Tensor) -> Tensor:
        """(W + D^T D)^-1 right for right [T,K] or [T,K,C]."""
        value = (right[..., None] if right.dim() == 2 else right).clone()
        frames = len(value)
        for t in range(frames):
            for k in range(1, min(t, BAND) + 1):
                value[t] -= self.lower[t, k] @ value[t - k]
            value[t] = torch.linalg.solve_triangular(self.lower[t, 0], value[t], upper=False)
        for t in range(frames - 1, -1, -1):
            for k in range(1, min(frames - 1 - t, BAND) + 1):
                value[t] -= self.lower[t + k, k].T @ value[t + k]
            value[t] = torch.linalg.solve_triangular(self.lower[t, 0].T, value[t], upper=True)
        return value[..., 0] if right.dim() == 2 else value


def smooth_columns(values: Tensor, weight: float) -> Tensor:
    """The smooth path of values [T,C], each of which is believed with precision `weight`."""
    frames = len(values)
    penalty = bands(frames).numpy()
    lower = np.zeros((BAND + 1, frames))
    for k in range(min(frames, BAND + 1)):
        lower[k, : frames - k] = penalty[k:, k]
    lower[0] += weight
    smooth = solveh_banded(lower, weight * values.cpu().double().numpy(), lower=True)
    return torch.from_numpy(smooth).to(values)
