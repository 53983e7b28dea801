"""The paper's graph U-Net as a denoiser of hand meshes (paper, 4.2 and Fig. 2).

Two things differ from the paper, both measured (engine.md, hand.md, docs/results.md). The network predicts what the
linear-Gaussian posterior of x0, which has a closed form, leaves open: x0_hat = E_gauss[x0 | x_t, y] + s(t) f(...),
with s(t) the size of what is open. And next to cross-attention, every node receives the visible joints that move it
("anchors"), by skinning weight.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..diffusion.gaussian import Evidence, GaussianPrior
from ..hand.hierarchy import Hierarchy, build_hierarchy
from ..hand.skeleton import FINGER_BONES, FINGER_JOINTS, JOINT_BONE
from ..hand.template import UNIT, HandTemplate
from .blocks import GraphBlock, sinusoid
from .conditions import ConditionEncoder, Conditions


@dataclass(frozen=True)
class NetworkSettings:
    """What fixes the network's shape; stored in every checkpoint."""

    sizes: tuple[int, ...] = (208, 52, 13)  # nodes per level; the first = V works on the full mesh
    widths: tuple[int, ...] = (64, 128, 256)
    tokens: int = 128
    order: int = 3  # Chebyshev K
    head: int = 32  # channels per attention head
    dropout: float = 0.0
    graph: bool = True  # False: "attention only", the paper's Table 2
    anchors: bool = True
    gaussian: bool = True  # False: the network predicts x0 alone
    image_features: int = 112


@dataclass(frozen=True)
class Encoded:
    """Conditions made ready once a request: anchors [B,N,F], keys and values per block, token mask [B,M]."""

    anchors: Tensor
    memories: list[tuple[Tensor, Tensor]]
    mask: Tensor


class GraphDenoiser(nn.Module):
    """x_t [B,3N] -> x0_hat [B,3N] in the palm frame's UNIT, N nodes of the template."""

    def __init__(self, template: HandTemplate, prior: GaussianPrior, settings: NetworkSettings) -> None:
        """template with tensors on the CPU; prior: the posed-shape Gaussian on the template's nodes."""
        super().__init__()
        self.settings, self.prior = settings, prior
        levels = hierarchy(template, settings.sizes)
        joints = template.regressor @ template.basis_mean
        self.encoder = ConditionEncoder(joints, settings.tokens, settings.dropout, settings.image_features)
        self.register_buffer("anchor_weights", anchor_weights(template), persistent=False)
        time = settings.widths[0] * 2
        self.time = nn.Sequential(nn.Linear(time, time), nn.GELU(), nn.Linear(time, time))
        self.place = nn.Parameter(torch.zeros(settings.sizes[0], settings.widths[0]))
        self.inputs = nn.Linear(3 + 3 + ANCHOR_FEATURES + 1, settings.widths[0])
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        self.narrow, self.widen = nn.ModuleList(), nn.ModuleList()
        pairs = zip(settings.widths, settings.widths[1:], strict=False)
        laplacians = [torch.from_numpy(m) if settings.graph else None for m in levels.laplacians]
        for i, (fine, coarse) in enumerate(pairs):
            self.register_buffer(f"pool{i}", torch.from_numpy(levels.down[i]), persistent=False)
            self.register_buffer(f"unpool{i}", torch.from_numpy(levels.up[i]), persistent=False)
            self.down.append(self._block(fine, laplacians[i]))
            self.narrow.append(nn.Linear(fine, coarse))
            self.widen.append(nn.Linear(coarse, fine))
            self.up.append(self._block(fine, laplacians[i]))
        self.middle = nn.ModuleList(self._block(settings.widths[-1], laplacians[-1]) for _ in range(2))
        self.norm = nn.LayerNorm(settings.widths[0])
        self.out = nn.Linear(settings.widths[0], 3)
        nn.init.normal_(self.place, std=0.5)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def _block(self, channels: int, laplacian: Tensor | None) -> GraphBlock:
        s = self.settings
        return GraphBlock(channels, s.widths[0] * 2, s.tokens, laplacian, s.order, s.head)

    @property
    def blocks(self) -> list[GraphBlock]:
        return [*self.down, *self.middle, *self.up]  # type: ignore[list-item]

    def encode(self, conditions: Conditions, batch: int) -> Encoded:
        """Tokens, anchors and every block's keys and values; batch = 1 serves all hypotheses of a request."""
        tokens, mask = self.encoder(conditions, batch)
        memories = [block.attend_cross.memory(tokens) for block in self.blocks]
        return Encoded(self._anchors(conditions, batch), memories, mask)

    def _anchors(self, conditions: Conditions, batch: int) -> Tensor:
        """Per node the deviation of the visible joints that move it, how far they are seen, and whether it is given."""
        nodes = self.settings.sizes[0]
        anchors = self.place.new_zeros(batch, nodes, ANCHOR_FEATURES + 1)
        if conditions.kept is not None:
            anchors[..., -1] = conditions.kept.to(anchors.dtype)
        if conditions.joints is None or conditions.joint_sigma is None or not self.settings.anchors:
            return anchors
        seen = torch.isfinite(conditions.joint_sigma).to(anchors.dtype)
        deviation = torch.nan_to_num(conditions.joints - self.encoder.mean_joints) * seen[..., None] * 4
        noise = torch.log(conditions.joint_sigma.clamp(1e-3, 1.0)) / 3 * seen
        features = torch.cat([deviation, seen[..., None], noise[..., None]], -1)  # [B,21,5]
        near, far = self.anchor_weights  # [N,21] each: a bone's near and far joint
        anchors[..., :ANCHOR_FEATURES] = torch.cat([near @ features, far @ features], -1)
        return anchors

    def forward(self, x: Tensor, alpha_bar: Tensor, encoded: Encoded, evidence: Evidence) -> Tensor:
        """x [B,3N]; alpha_bar [B] or a scalar for the whole batch; evidence for the batch or one for each."""
        level = alpha_bar.clamp(1e-7, 1 - 1e-5)
        factor = self.prior.factor(level, evidence)
        if self.settings.gaussian:
            base = self.prior.denoise(x, level, evidence, factor)
        else:
            base = self.prior.mean.expand_as(x)
        log_snr = torch.logit(level).expand(len(x))
        scale_in = (1 - level + level * 0.06).rsqrt()[..., None]  # 0.06: a coordinate's variance about the mean
        noisy = (x - level.sqrt()[..., None] * self.prior.mean) * scale_in
        features = torch.cat(
            [noisy.unflatten(-1, (-1, 3)), (base - self.prior.mean).unflatten(-1, (-1, 3)) * 4], -1
        )
        residual = self._unet(features, log_snr, encoded)
        return base + open_scale(self.prior, factor)[..., None] * residual.flatten(1)

    def _unet(self, features: Tensor, log_snr: Tensor, encoded: Encoded) -> Tensor:
        time = self.time(sinusoid(log_snr, self.settings.widths[0] * 2))
        anchors = encoded.anchors.expand(len(features), -1, -1)
        h = self.inputs(torch.cat([features, anchors], -1)) + self.place
        memories, mask = iter(encoded.memories), encoded.mask
        skips = []
        for i, block in enumerate(self.down):
            h = block(h, time, next(memories), mask)
            skips.append(h)
            h = getattr(self, f"pool{i}") @ self.narrow[i](h)
        for block in self.middle:
            h = block(h, time, next(memories), mask)
        later = list(memories)
        for i in reversed(range(len(self.up))):
            h = skips[i] + getattr(self, f"unpool{i}") @ self.widen[i](h)
            h = self.up[i](h, time, later[i], mask)
        return self.out(self.norm(h))


ANCHOR_FEATURES = 10
FLOOR = 0.3e-3 / UNIT  # what a Gaussian leaves open even where it is sure


def open_scale(prior: GaussianPrior, factor: Tensor) -> Tensor:
    """The size of what the Gaussian posterior leaves open, per coordinate: the network's unit of output and loss."""
    return (prior.open_deviation(factor) ** 2 + FLOOR**2).sqrt()


def hierarchy(template: HandTemplate, sizes: tuple[int, ...]) -> Hierarchy:
    """The mesh pyramid of the template's rest pose; its first level is the template's own nodes."""
    return build_hierarchy(template.vertices.numpy(), template.faces.numpy().astype("int32"), sizes)


def anchor_weights(template: HandTemplate) -> Tensor:
    """[2,N,21]: how much each node follows a joint as the near and as the far end of the bones that move it."""
    near = torch.zeros(20, 21)
    far = torch.zeros(20, 21)
    for joint, bone in enumerate(JOINT_BONE):
        if joint % 4 or joint == 0:
            near[bone, joint] = 1
    for finger, joints in FINGER_JOINTS.items():
        for bone, end in zip(FINGER_BONES[finger][-3:], joints[1:], strict=True):
            far[bone, end] = 1
        if finger != "thumb":  # the metacarpal runs from the wrist to the knuckle
            near[FINGER_BONES[finger][0], 0] = 1
            far[FINGER_BONES[finger][0], joints[0]] = 1
    far[0, 9] = 1
    skin = template.weights[template.nodes]
    return torch.stack([skin @ near, skin @ far])
