"""Two-level random masking (paper, "Conditions with Random Mask"): what the network is told of a hand."""

from __future__ import annotations

import math
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
    mesh: float = 0.2  # share of a batch whose condition is a part of the mesh, with the joints in it
    finger: float = 0.3  # each finger masked
    joint: float = 0.12  # share of samples whose joints are masked one by one, half of them each
    noisy: float = 0.5  # share of samples with joint noise
    noise: tuple[float, float] = (0.5, 20.0)  # its size, log-uniform
    frame: float = 1.5  # degrees and millimetres by which the observed frame is off


class Masker:
    """Draws conditions for posed hands, on the device of its template and of the generators it is given."""

    def __init__(self, template: HandTemplate, prior: GaussianPrior, settings: MaskSettings) -> None:
        """template as tensors."""
        self.settings, self.template = settings, template
        self.joint_points = PointOperator(template, prior, template.regressor)
        rows = torch.nn.functional.one_hot(template.nodes, len(template.vertices)).to(template.vertices.dtype)
        self.node_points = PointOperator(template, prior, rows)
        follows = [template.weights[:, list(FINGER_BONES[f])[f != "thumb" :]].sum(1) for f in FINGERS]
        self.finger_share = torch.stack(follows)  # [5,V]: without the metacarpals, which stay with the palm
        self.frame_unit = template.vertices.new_tensor([1e-3 / UNIT] * 3 + [0.0175] * 3 + [0.005])

    def __call__(
        self, vertices: Tensor, generator: torch.Generator, strength: float = 1.0
    ) -> tuple[Conditions, Evidence]:
        """vertices [B,V,3] palm frame -> what is told of them, and the same as evidence for the Gaussian.

        strength: of all probabilities of a mask, from 0 (nothing is hidden) to 1 (the settings').
        """
        joints, nodes = self.template.regressor @ vertices, vertices[:, self.template.nodes]
        return self.tell(joints, nodes, generator, strength)

    def tell(
        self, joints: Tensor, nodes: Tensor, generator: torch.Generator, strength: float = 1.0
    ) -> tuple[Conditions, Evidence]:
        """The same from joints [B,21,3] and nodes [B,N,3]."""
        s, batch, device = self.settings, len(joints), joints.device

        def chance(p: float, *shape: int) -> Tensor:
            return torch.rand(batch, *shape, generator=generator, device=device) < strength * p

        # As many meshes in every batch: how many is known without waiting for a device.
        meshes = torch.rand(batch, generator=generator, device=device).argsort()
        meshes = meshes[: round(strength * s.mesh * batch)]
        mesh = torch.zeros(batch, dtype=torch.bool, device=device).index_fill(0, meshes, True)
        nothing, hidden = chance(s.unconditional), chance(s.finger, 5)
        sigma = self._noise(batch, generator)
        seen = self._seen_joints(hidden, chance(s.joint), generator)
        skin = self._kept_vertices(hidden, generator)
        kept = skin[:, self.template.nodes] & (mesh & ~nothing)[:, None]
        seen = torch.where(mesh[:, None], seen & covered_joints(self.template, skin), seen)
        seen = seen & ~nothing[:, None]
        sigma = torch.where(mesh, sigma.clamp_max(2e-3 / UNIT), sigma)
        size = torch.where(mesh, 0 * sigma, sigma)[:, None, None]
        noise = torch.randn(batch, 21, 3, generator=generator, device=device) * size
        joints, nodes = self._moved(joints + noise, nodes, generator)
        joint_sigma = torch.where(seen, sigma.clamp_min(REGRESSION_NOISE)[:, None], torch.inf)
        node_sigma = torch.where(kept, sigma.clamp_min(REGRESSION_NOISE)[:, None], torch.inf)
        # A kept mesh speaks for its joints: they are tokens for the network, but no evidence of their own.
        told = torch.where(mesh[:, None], torch.inf, joint_sigma)
        evidence = self.joint_points.evidence(joints, told)
        of_mesh = self.node_points.evidence(nodes[meshes], node_sigma[meshes])
        evidence.precision[meshes] += of_mesh.precision
        evidence.information[meshes] += of_mesh.information
        return Conditions(joints=joints, joint_sigma=joint_sigma, kept=kept), evidence

    def _noise(self, batch: int, generator: torch.Generator) -> Tensor:
        low, high = (math.log(v * 1e-3 / UNIT) for v in self.settings.noise)
        size, noisy = torch.rand(2, batch, generator=generator, device=generator.device)
        return torch.where(noisy < self.settings.noisy, torch.exp(low + (high - low) * size), 0.0)

    def _seen_joints(self, hidden: Tensor, single: Tensor, generator: torch.Generator) -> Tensor:
        count, device = len(hidden), hidden.device
        by_finger = torch.ones(count, 21, dtype=torch.bool, device=device)
        knuckle = torch.rand(count, generator=generator, device=device) < 0.5  # half of the time seen
        for i, (first, *_, last) in enumerate(FINGER_JOINTS.values()):
            by_finger[:, first] = ~hidden[:, i] | knuckle
            by_finger[:, first + 1 : last + 1] = ~hidden[:, i, None]
        one_by_one = torch.rand(count, 21, generator=generator, device=device) < 0.5
        return torch.where(single[:, None], one_by_one, by_finger)

    def _kept_vertices(self, hidden: Tensor, generator: torch.Generator) -> Tensor:
        """[B,V] what is left where `hidden` fingers are cut off."""
        # Where along the finger's root.
        cut = 0.1 + 0.8 * torch.rand(len(hidden), 1, generator=generator, device=hidden.device)
        return hidden.to(cut.dtype) @ self.finger_share <= cut

    def _moved(self, joints: Tensor, nodes: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Observed points in a frame that is off by a small similarity, as frames from few points are."""
        count, device = len(joints), joints.device
        size = self.settings.frame * torch.rand(count, 1, generator=generator, device=device)
        off = torch.randn(count, 7, generator=generator, device=device) * self.frame_unit * size
        return tuple(p + (frame_jacobian(p) @ off[:, None, :, None])[..., 0] for p in (joints, nodes))  # type: ignore
