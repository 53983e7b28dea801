"""The paper's graph U-Net as a denoiser of hand meshes (paper, 4.2 and Fig. 2).

Two things differ from the paper, both measured (engine.md, hand.md, docs/results.md). The network predicts
what the linear-Gaussian posterior of x0, which has a closed form, leaves open: x0_hat = E_gauss[x0 | x_t, y]
+ s(t) f(...), with s(t) the size of what is open. And next to cross-attention, every node receives the
visible joints that move it ("anchors"), by skinning weight.

Where the hand's rotation in a camera is unknown it is part of what is diffused: three more coordinates beside
the nodes, a rotation vector about the rotation that is told (paper: a rotation token beside the vertices).
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..diffusion.gaussian import Evidence, GaussianPrior
from ..hand.hierarchy import Hierarchy, build_hierarchy
from ..hand.skeleton import FINGER_BONES, FINGER_JOINTS, JOINT_BONE
from ..hand.template import UNIT, HandTemplate
from .blocks import GraphBlock, sinusoid
from .conditions import ConditionEncoder, Conditions

ANCHOR_FEATURES = 10
TOKEN = 21 * 6 + 3 + 9  # joints and kept fingers, the line of sight, the rotation that is told
TURN = 3  # coordinates of the rotation
TURN_DEVIATION = 0.5  # radians: how far the truth may be from the rotation that is told
VARIANCE = 0.075  # of a coordinate about the mean hand, UNIT squared
FLOOR = 0.3e-3 / UNIT  # what a Gaussian leaves open even where it is sure


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
    parallel: bool = False  # True: a block's three parts all read its input, and their outputs are added
    anchors: bool = True
    gaussian: bool = True  # False: the network predicts x0 alone
    path: int = 768  # width of the global path; 0 leaves it out
    unet_from: float = -100.0  # log-SNR from which on the U-Net corrects; in more noise the path stands alone
    image_features: int = 640  # of a patch (vision/trunks.py)

    def __post_init__(self) -> None:
        """Raises ValueError, one sentence, for a shape that can't be built."""
        if not self.sizes or len(self.sizes) != len(self.widths):
            raise ValueError("network.sizes and network.widths need a number for every level, finest first.")
        if list(self.sizes) != sorted(set(self.sizes), reverse=True) or self.sizes[-1] < 2:
            raise ValueError("network.sizes must fall from level to level, to no fewer than 2.")
        if any(width % max(1, width // self.head) for width in self.widths):
            raise ValueError(f"network.widths must be multiples of network.head, which is {self.head}.")


@dataclass(frozen=True)
class Encoded:
    """Conditions made ready once a request: anchors [B,N,F], keys and values per block, token mask [B,M]."""

    anchors: Tensor
    token: Tensor
    memories: list[tuple[Tensor, Tensor]]
    mask: Tensor


class NodeLinear(nn.Module):
    """A linear layer with weights of its own for every node: [B,N,in] -> [B,N,out]."""

    def __init__(self, nodes: int, channels_in: int, channels_out: int) -> None:
        super().__init__()
        shared = torch.randn(channels_in, channels_out) / channels_in**0.5
        own = torch.randn(nodes, channels_in, channels_out) / channels_in**0.5
        self.weight = nn.Parameter(0.9 * shared + 0.4 * own)
        bias = torch.randn(nodes, channels_out) * 0.2 if channels_out > 3 else torch.zeros(nodes, 3)
        self.bias = nn.Parameter(bias)

    def forward(self, x: Tensor) -> Tensor:
        return torch.baddbmm(self.bias[:, None], x.transpose(0, 1), self.weight).transpose(0, 1)


class GlobalPath(nn.Module):
    """The whole hand at a glance: an MLP on the prior's coefficients of x_t and of the Gaussian estimate.

    Gives coefficients of a correction (in units of what is open), and adds to the time embedding that
    modulates every block of the U-Net.
    """

    def __init__(self, rank: int, token: int, time: int, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(2 * rank + token + time, width)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(4))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(4))
        self.coefficients = nn.Linear(width, rank)
        self.time = nn.Linear(width, time)
        nn.init.zeros_(self.coefficients.weight)
        nn.init.zeros_(self.coefficients.bias)

    def forward(self, told: Tensor, token: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        h = self.first(torch.cat([told, token, time], -1))
        for norm, layer in zip(self.norms, self.layers, strict=True):
            h = h + layer(nn.functional.gelu(norm(h)))
        h = nn.functional.gelu(h)
        return self.coefficients(h), time + self.time(h)


class GraphDenoiser(nn.Module):
    """x_t [B,3N] -> x0_hat [B,3N] in the palm frame's UNIT, N nodes of the template.

    Or [B,3N+3] with the rotation; evidence is then about `turned`, the prior with the rotation in it.
    """

    anchor_weights: Tensor

    def __init__(self, template: HandTemplate, prior: GaussianPrior, settings: NetworkSettings) -> None:
        """template with tensors on the CPU; prior: the posed-shape Gaussian on the template's nodes."""
        super().__init__()
        self.settings, self.prior = settings, prior
        self.precision: torch.dtype | None = (
            None  # of what is learnt, in training: None is that of the weights
        )
        self.turned = prior.widened(TURN_DEVIATION, TURN)
        levels = hierarchy(template, settings.sizes)
        joints = template.regressor @ template.basis_mean
        self.encoder = ConditionEncoder(joints, settings.tokens, settings.dropout, settings.image_features)
        self.register_buffer("anchor_weights", anchor_weights(template), persistent=False)
        time = settings.widths[0] * 2
        self.time = nn.Sequential(nn.Linear(time, time), nn.GELU(), nn.Linear(time, time))
        self.inputs = NodeLinear(settings.sizes[0], 3 + 3 + ANCHOR_FEATURES + 1, settings.widths[0])
        told = TOKEN + settings.tokens
        self.path = GlobalPath(prior.rank + TURN, told, time, settings.path) if settings.path else None
        # Without Gaussian and path, the rotation goes in with the noise level and comes out of all nodes.
        self.bare = self.path is None and not settings.gaussian
        if self.bare:
            self.turn_in, self.turn_out = nn.Linear(TURN, time), nn.Linear(settings.widths[0], TURN)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        self.narrow, self.widen = nn.ModuleList(), nn.ModuleList()
        pairs = zip(settings.widths, settings.widths[1:], strict=False)
        laplacians = [torch.from_numpy(m) if settings.graph else None for m in levels.laplacians]
        for i, (fine, coarse) in enumerate(pairs):
            self.register_buffer(f"pool{i}", torch.from_numpy(levels.down[i]), persistent=False)
            self.register_buffer(f"unpool{i}", torch.from_numpy(levels.up[i]), persistent=False)
            self.down.append(self._block(i, laplacians[i]))
            self.narrow.append(nn.Linear(fine, coarse))
            self.widen.append(nn.Linear(coarse, fine))
            self.up.append(self._block(i, laplacians[i]))
        self.middle = nn.ModuleList(self._block(len(settings.sizes) - 1, laplacians[-1]) for _ in range(2))
        self.norm = nn.LayerNorm(settings.widths[0])
        self.out = NodeLinear(settings.sizes[0], settings.widths[0], 3)
        nn.init.zeros_(self.out.weight)

    def _block(self, level: int, laplacian: Tensor | None) -> GraphBlock:
        s = self.settings
        nodes, channels, time = s.sizes[level], s.widths[level], s.widths[0] * 2
        return GraphBlock(nodes, channels, time, s.tokens, laplacian, s.order, s.head, s.parallel)

    @property
    def blocks(self) -> list[GraphBlock]:
        return [*self.down, *self.middle, *self.up]  # type: ignore[list-item]

    def reduced(self) -> AbstractContextManager[Any]:
        """Inside, what is learnt is computed in `precision`. The Gaussian part never is: it falls apart."""
        if self.precision is None:
            return nullcontext()
        return torch.autocast(self.anchor_weights.device.type, self.precision)

    def compile_parts(self, backend: str = "inductor") -> None:
        """Compile what is learnt, for training: encoder, global path, graph U-Net."""
        self.encoder.compile(backend=backend)
        if self.path is not None:
            self.path.compile(backend=backend)
        self._unet = torch.compile(self._unet, backend=backend)  # type: ignore[method-assign]

    def encode(self, conditions: Conditions, batch: int) -> Encoded:
        """Tokens, anchors and every block's keys and values; batch = 1 serves all hypotheses of a request."""
        with self.reduced():
            tokens, mask, whole = self.encoder(conditions, batch)
            memories = [block.attend_cross.memory(tokens) for block in self.blocks]
        anchors = self._anchors(conditions, batch)
        return Encoded(anchors, self.token(conditions, whole.float()), memories, mask)

    def token(self, conditions: Conditions, whole: Tensor) -> Tensor:
        """What the global path is told: [B,TOKEN+C] with `whole` [B,C], the photo's global token.

        Visible joints, their noise, the share of each joint's nodes that is given, the line of sight, the
        rotation in the photo.
        """
        token = whole.new_zeros(len(whole), TOKEN)
        if conditions.joints is not None and conditions.joint_sigma is not None:
            token[:, :105] = joint_features(conditions, self.encoder.mean_joints).flatten(1)
        if conditions.kept is not None:
            near = self.anchor_weights[0]
            token[:, 105:126] = conditions.kept.to(token.dtype) @ (near / near.sum(0).clamp_min(1e-6))
        if conditions.line is not None:
            token[:, 126:129] = conditions.line
        if conditions.rotation is not None:
            token[:, 129:] = conditions.rotation.flatten(1)
        return torch.cat([token, whole], -1)

    def prior_of(self, x: Tensor) -> GaussianPrior:
        """The prior of states like x: of hands alone, or with a rotation beside them."""
        return self.prior if x.shape[-1] == len(self.prior.mean) else self.turned

    def _anchors(self, conditions: Conditions, batch: int) -> Tensor:
        """Per node: deviation and visibility of the joints that move it, and whether it is given."""
        nodes = self.settings.sizes[0]
        anchors = self.anchor_weights.new_zeros(batch, nodes, ANCHOR_FEATURES + 1)
        if conditions.kept is not None:
            anchors[..., -1] = conditions.kept.to(anchors.dtype)
        if conditions.joints is None or conditions.joint_sigma is None or not self.settings.anchors:
            return anchors
        features = joint_features(conditions, self.encoder.mean_joints)
        near, far = self.anchor_weights  # [N,21] each: a bone's near and far joint
        anchors[..., :ANCHOR_FEATURES] = torch.cat([near @ features, far @ features], -1)
        return anchors

    def forward(self, x: Tensor, alpha_bar: Tensor, encoded: Encoded, evidence: Evidence) -> Tensor:
        """x [B,3N] or [B,3N+3]; alpha_bar [B] or a scalar; evidence for the batch or one for each."""
        level = alpha_bar.clamp(1e-7, 1 - 1e-5)
        if self.bare:
            return self._alone(x, level, encoded)
        prior = self.prior_of(x)
        factor = prior.factor(level, evidence)
        base, whole, time = self.glance(x, level, encoded.token, evidence, factor)
        corrected = torch.logit(level) >= self.settings.unet_from
        if self.path is not None and not self.training and not corrected.any():
            return base + whole
        scale_in = (1 - level + level * VARIANCE).rsqrt()[..., None]
        noisy = (x - level.sqrt()[..., None] * prior.mean) * scale_in
        shape = base - prior.mean + whole
        nodes = len(self.prior.mean)
        parts = (noisy[:, :nodes], shape[:, :nodes] * 4)
        features = torch.cat([part.unflatten(-1, (-1, 3)) for part in parts], -1)
        with self.reduced():
            residual = self.out(self._unet(features, time, encoded)).flatten(1).float()
        residual = nn.functional.pad(residual, (0, x.shape[-1] - nodes))
        unit = open_scale(prior, factor) * (corrected | (self.path is None))
        return base + whole + unit[..., None] * residual

    def _alone(self, x: Tensor, level: Tensor, encoded: Encoded) -> Tensor:
        """The paper's network: x0_hat of x_t, the noise level and the conditions, and nothing else."""
        prior = self.prior_of(x)
        scale_in = (1 - level + level * VARIANCE).rsqrt()[..., None]
        noisy = (x - level.sqrt()[..., None] * prior.mean) * scale_in
        nodes = len(self.prior.mean)
        shape = noisy[:, :nodes].unflatten(-1, (-1, 3))
        log_snr = torch.logit(level).expand(len(x))
        time = self.time(sinusoid(log_snr, self.settings.widths[0] * 2))
        turned = x.shape[-1] > nodes
        if turned:
            time = time + self.turn_in(noisy[:, nodes:])
        with self.reduced():
            h = self._unet(torch.cat([shape, torch.zeros_like(shape)], -1), time, encoded)
            parts = [VARIANCE**0.5 * self.out(h).flatten(1).float()]
            if turned:
                parts.append(TURN_DEVIATION * self.turn_out(h.mean(1)).float())
        return prior.mean + torch.cat(parts, -1)

    def glance(
        self, x: Tensor, level: Tensor, token: Tensor, evidence: Evidence, factor: Tensor
    ) -> tuple[Tensor, Tensor | float, Tensor]:
        """The Gaussian estimate [B,3N], the global path's correction of it, the embedding for the blocks."""
        prior = self.prior_of(x)
        base = prior.mean.expand_as(x)
        if self.settings.gaussian:
            base = prior.denoise(x, level, evidence, factor)
        log_snr = torch.logit(level).expand(len(x))
        time = self.time(sinusoid(log_snr, self.settings.widths[0] * 2))
        if self.path is None:
            return base, 0.0, time
        variance = prior.variance
        signal = level.sqrt()[..., None]
        seen = prior.coefficients(x - signal * prior.mean + prior.mean) / variance.sqrt()
        seen = seen * (1 + level[..., None] * (variance - 1)).rsqrt()
        estimate = prior.coefficients(base) / variance
        absent = self.turned.rank - prior.rank
        told = torch.cat([nn.functional.pad(part, (0, absent)) for part in (seen, estimate)], -1)
        with self.reduced():
            coefficients, time = self.path(told, token.expand(len(x), -1), time)
        coefficients = coefficients[:, : prior.rank].float()
        return base, posterior_deviation(factor, coefficients) @ prior.scaled, time

    def _unet(self, features: Tensor, time: Tensor, encoded: Encoded) -> Tensor:
        anchors = encoded.anchors.expand(len(features), -1, -1)
        h = self.inputs(torch.cat([features, anchors], -1))
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
        return self.norm(h)


def open_scale(prior: GaussianPrior, factor: Tensor) -> Tensor:
    """What the Gaussian posterior leaves open, per coordinate: the unit of the network's output and loss."""
    return (prior.open_deviation(factor) ** 2 + FLOOR**2).sqrt()


def posterior_deviation(factor: Tensor, white: Tensor) -> Tensor:
    """Standard normal coefficients [B,R] under the posterior with this Cholesky factor: factor^-T white."""
    return torch.linalg.solve_triangular(factor.mT, white[..., None], upper=True)[..., 0]


def joint_features(conditions: Conditions, mean: Tensor) -> Tensor:
    """Deviation from the mean hand, visibility, log noise of every joint: [B,21,5]; zeros where unknown."""
    assert conditions.joints is not None and conditions.joint_sigma is not None
    seen = torch.isfinite(conditions.joint_sigma).to(mean.dtype)[..., None]
    deviation = torch.nan_to_num(conditions.joints - mean) * seen * 4
    noise = torch.log(conditions.joint_sigma.clamp(1e-3, 1.0))[..., None] / 3 * seen
    return torch.cat([deviation, seen, noise], -1)


def hierarchy(template: HandTemplate, sizes: tuple[int, ...]) -> Hierarchy:
    """The mesh pyramid of the template's rest pose; its first level is the template's own nodes."""
    return build_hierarchy(template.vertices.numpy(), template.faces.numpy().astype("int32"), sizes)


def anchor_weights(template: HandTemplate) -> Tensor:
    """[2,N,21]: how much a node follows each joint as the near and the far end of the bones that move it."""
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
