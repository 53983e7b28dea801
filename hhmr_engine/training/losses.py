"""The paper's five losses (4.4; engine.md, formula 3), in units of what the Gaussian posterior leaves open.

Dividing every sample by that size makes a full skeleton at low noise count as much as an unconditional hand
in pure noise; the network's output has the same unit.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ..hand.hierarchy import mesh_edges
from ..hand.template import HandTemplate

NORMS = ("huber", "l1", "l2")
UNITS = ("open", "one")


@dataclass(frozen=True)
class LossSettings:
    """Weights. `data_norm` is "huber" (the score wants the mean), "l1" (the paper) or "l2"."""

    data: float = 1.0
    vertices: float = 0.3
    joints: float = 0.3
    normals: float = 0.1
    edges: float = 0.2
    data_norm: str = "huber"
    mesh_share: float = 0.25  # of the batch that normals and edges are computed on
    unit: str = "open"  # what the Gaussian leaves open; "one": the palm frame's unit (the paper)
    everywhere: bool = False  # also for hands before a camera, whose nodes alone are learnt from otherwise

    def __post_init__(self) -> None:
        if self.data_norm not in NORMS:
            raise ValueError(f"losses.data_norm is '{self.data_norm}'; use {', '.join(NORMS)}.")
        if self.unit not in UNITS:
            raise ValueError(f"losses.unit is '{self.unit}'; use {', '.join(UNITS)}.")


class Losses:
    """loss(x0_hat, vertices, unit) for node states [B,3N], true vertices [B,V,3] and the unit [B]."""

    def __init__(self, template: HandTemplate, settings: LossSettings) -> None:
        """template as tensors."""
        self.settings, self.template = settings, template
        self.edges = torch.from_numpy(mesh_edges(template.faces.cpu().numpy())).to(template.vertices.device)
        self.joint_rows = template.regressor

    def __call__(self, x0_hat: Tensor, vertices: Tensor, unit: Tensor) -> dict[str, Tensor]:
        s, t = self.settings, self.template
        nodes = x0_hat.unflatten(-1, (-1, 3))
        per_hand = 1 / unit[:, None, None]
        decoded = t.decoder @ nodes
        share = max(1, int(len(vertices) * s.mesh_share))
        terms = {
            "data": s.data * _norm((nodes - vertices[:, t.nodes]) * per_hand, s.data_norm),
            "vertices": s.vertices * ((decoded - vertices) * per_hand).abs().mean(),
            "joints": s.joints * (self.joint_rows @ (decoded - vertices) * per_hand).abs().mean(),
        }
        few, truth, scale = decoded[:share], vertices[:share], per_hand[:share, :, 0]
        terms["edges"] = s.edges * ((self._lengths(few) - self._lengths(truth)).abs() * scale).mean()
        terms["normals"] = s.normals * self._normals(few, truth, scale)
        return terms

    def _lengths(self, vertices: Tensor) -> Tensor:
        a, b = vertices[:, self.edges[:, 0]], vertices[:, self.edges[:, 1]]
        return ((a - b) ** 2).sum(-1).clamp_min(1e-12).sqrt()

    def _normals(self, predicted: Tensor, truth: Tensor, scale: Tensor) -> Tensor:
        """How far predicted edges leave the true faces' planes: |n . e|, per unit."""
        faces = self.template.faces
        a, b, c = (truth[:, faces[:, i]] for i in range(3))
        normal = F.normalize(torch.linalg.cross(b - a, c - a), dim=-1)
        total = predicted.new_zeros(())
        for i, j in ((0, 1), (1, 2), (2, 0)):
            edge = predicted[:, faces[:, i]] - predicted[:, faces[:, j]]
            total = total + ((normal * edge).sum(-1).abs() * scale).mean()
        return total / 3


def _norm(error: Tensor, kind: str) -> Tensor:
    if kind == "l1":
        return error.abs().mean()
    if kind == "l2":
        return 0.5 * (error**2).mean()
    return F.huber_loss(error, torch.zeros_like(error), delta=2.0)
