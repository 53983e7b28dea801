"""Two-level random masking (paper, "Conditions with Random Mask"): what the network is told of a hand."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..diffusion.gaussian import Evidence, GaussianPrior
from ..hand.skeleton import FINGER_BONES, FINGER_JOINTS, FINGERS
from ..hand.template import UNIT, HandTemplate
from ..model.conditions import Conditions
from ..observation import REGRESSION_NOISE, PointOperator, covered_joints, frame_jacobian


@dataclass(frozen=True)
class MaskSettings:
    """Probabilities, and noise in millimetres at hand scale."""

    unconditional: float = 0.12  # all conditions masked at once
    mesh: float = 0.2  # the condition is a part of the mesh, with the joints in it
    finger: float = 0.3  # each finger masked
    joint: float = 0.12  # share of samples whose joints are masked one by one, half of them each
    noisy: float = 0.5  # share of samples with joint noise
    noise: tuple[float, float] = (0.5, 20.0)  # its size, log-uniform
    frame: float = 1.5  # degrees and millimetres by which the observed frame is off


class Masker:
    """Draws conditions for posed hands."""

    def __init__(self, template: HandTemplate, prior: GaussianPrior, settings: MaskSettings) -> None:
        """template as tensors."""
        self.settings, self.template = settings, template
        self.joint_points = PointOperator(template, prior, template.regressor)
        rows = torch.nn.functional.one_hot(template.nodes, len(template.vertices)).to(template.vertices.dtype)
        self.node_points = PointOperator(template, prior, rows)
        follows = [template.weights[:, list(FINGER_BONES[f])[f != "thumb" :]].sum(1) for f in FINGERS]
        self.finger_share = torch.stack(follows)  # [5,V]: without the metacarpals, which stay with the palm

    def __call__(self, vertices: Tensor, generator: torch.Generator) -> tuple[Conditions, Evidence]:
        """vertices [B,V,3] palm frame -> what is told of them, and the same as evidence for the Gaussian."""
        return self.tell(self.template.regressor @ vertices, vertices[:, self.template.nodes], generator)

    def tell(self, joints: Tensor, nodes: Tensor, generator: torch.Generator) -> tuple[Conditions, Evidence]:
        """The same from joints [B,21,3] and nodes [B,N,3]."""
        s, batch = self.settings, len(joints)

        def chance(p: float, *shape: int) -> Tensor:
            return torch.rand(batch, *shape, generator=generator) < p

        nothing, mesh = chance(s.unconditional), chance(s.mesh)
        hidden = chance(s.finger, 5)
        sigma = self._noise(batch, generator)
        seen = self._seen_joints(hidden, chance(s.joint), generator)
        skin = self._kept_vertices(hidden, generator)
        kept = skin[:, self.template.nodes] & (mesh & ~nothing)[:, None]
        seen = torch.where(mesh[:, None], seen & covered_joints(self.template, skin), seen)
        seen = seen & ~nothing[:, None]
        sigma = torch.where(mesh, sigma.clamp_max(2e-3 / UNIT), sigma)
        size = torch.where(mesh, 0 * sigma, sigma)[:, None, None]
        noise = torch.randn(batch, 21, 3, generator=generator) * size
        joints, nodes = self._moved(joints + noise, nodes, generator)
        joint_sigma = torch.where(seen, sigma.clamp_min(REGRESSION_NOISE)[:, None], torch.inf)
        node_sigma = torch.where(kept, sigma.clamp_min(REGRESSION_NOISE)[:, None], torch.inf)
        # A kept mesh speaks for its joints: they are tokens for the network, but no evidence of their own.
        told = torch.where(mesh[:, None], torch.inf, joint_sigma)
        evidence = self.joint_points.evidence(joints, told)
        rows = kept.any(1).nonzero()[:, 0]
        of_mesh = self.node_points.evidence(nodes[rows], node_sigma[rows])
        evidence.precision[rows] += of_mesh.precision
        evidence.information[rows] += of_mesh.information
        return Conditions(joints=joints, joint_sigma=joint_sigma, kept=kept), evidence

    def _noise(self, batch: int, generator: torch.Generator) -> Tensor:
        low, high = (torch.log(torch.tensor(v * 1e-3 / UNIT)) for v in self.settings.noise)
        sigma = torch.exp(low + (high - low) * torch.rand(batch, generator=generator))
        return torch.where(torch.rand(batch, generator=generator) < self.settings.noisy, sigma, 0.0)

    def _seen_joints(self, hidden: Tensor, single: Tensor, generator: torch.Generator) -> Tensor:
        by_finger = torch.ones(len(hidden), 21, dtype=torch.bool)
        knuckle = torch.rand(len(hidden), generator=generator) < 0.5  # half of the time knuckles stay seen
        for i, joints in enumerate(FINGER_JOINTS.values()):
            by_finger[:, joints[0]] = ~hidden[:, i] | knuckle
            by_finger[:, joints[1:]] = ~hidden[:, i, None]
        one_by_one = torch.rand(len(hidden), 21, generator=generator) < 0.5
        return torch.where(single[:, None], one_by_one, by_finger)

    def _kept_vertices(self, hidden: Tensor, generator: torch.Generator) -> Tensor:
        """[B,V] what is left where `hidden` fingers are cut off."""
        cut = 0.1 + 0.8 * torch.rand(len(hidden), 1, generator=generator)  # where along the finger root
        return hidden.to(cut.dtype) @ self.finger_share <= cut

    def _moved(self, joints: Tensor, nodes: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Observed points in a frame that is off by a small similarity, as frames from few points are."""
        size = self.settings.frame * torch.rand(len(joints), 1, generator=generator)
        unit = torch.tensor([1e-3 / UNIT] * 3 + [0.0175] * 3 + [0.005])
        off = torch.randn(len(joints), 7, generator=generator) * unit * size
        return tuple(p + (frame_jacobian(p) @ off[:, None, :, None])[..., 0] for p in (joints, nodes))  # type: ignore
