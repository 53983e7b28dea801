"""Conditions as tokens in one feature space (paper, "Condition Mapping"): 3D skeleton, 2D skeleton, image."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .image import ImageEncoder, PoseHead, RotationGuess

JOINTS = 21


@dataclass(frozen=True)
class Conditions:
    """What the network is told. A missing modality is None; a missing joint has sigma = inf.

    joints [B,21,3] palm frame, joint_sigma [B,21], UNIT. line [B,3]: of a 2D skeleton, the unit direction of
    the palm frame along which the camera looks, and along which nothing is known of `joints`. image [B,P,F]
    features of a photo's patches, image_seen [B,P] bool, rotation [B,3,3] from the palm frame, as far as it
    is known, to the photo's axes. kept [B,N] bool, nodes that are given.
    """

    joints: Tensor | None = None
    joint_sigma: Tensor | None = None
    line: Tensor | None = None
    image: Tensor | None = None
    image_seen: Tensor | None = None
    rotation: Tensor | None = None
    kept: Tensor | None = None


class JointTokens(nn.Module):
    """A token of every joint from its position, log noise and name: a three-layer MLP (dropout, GELU)."""

    def __init__(self, dimensions: int, channels: int, dropout: float) -> None:
        super().__init__()
        self.name = nn.Embedding(JOINTS, channels)
        self.mlp = nn.Sequential(
            nn.Linear(dimensions + 1, channels),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(channels, channels),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(channels, channels),
        )

    def forward(self, position: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """position [B,21,D], sigma [B,21] -> tokens [B,21,C], seen [B,21]."""
        seen = torch.isfinite(sigma)
        noise = torch.log(sigma.clamp(1e-3, 1.0)) / 3
        inputs = torch.cat([position, noise[..., None]], -1)
        inputs = torch.where(seen[..., None], inputs, torch.zeros_like(inputs))
        return self.mlp(inputs) + self.name.weight, seen


class ConditionEncoder(nn.Module):
    """Stacks the tokens of all modalities behind one token that is always there: [B,M,C] and mask [B,M]."""

    mean_joints: Tensor

    def __init__(self, mean_joints: Tensor, channels: int, dropout: float, image_features: int) -> None:
        super().__init__()
        self.register_buffer("mean_joints", mean_joints, persistent=False)
        self.always = nn.Parameter(torch.zeros(1, 1, channels))
        self.skeleton3d = JointTokens(3, channels, dropout)
        self.skeleton2d = JointTokens(6, channels, dropout)
        self.image = ImageEncoder(image_features, channels, dropout=dropout)
        self.pose = PoseHead(channels)

    def forward(self, conditions: Conditions, batch: int) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens, their mask, and c_I's global token [B,C]: zeros without a photo."""
        tokens = [self.always.expand(batch, -1, -1)]
        masks = [torch.ones(batch, 1, dtype=torch.bool, device=self.always.device)]
        whole = self.always.new_zeros(batch, self.always.shape[-1])
        if conditions.joints is not None and conditions.joint_sigma is not None:
            place = torch.nan_to_num(conditions.joints - self.mean_joints) * 4
            if conditions.line is None:
                token, seen = self.skeleton3d(place, conditions.joint_sigma)
            else:
                along = conditions.line[:, None].expand_as(place)
                token, seen = self.skeleton2d(torch.cat([place, along], -1), conditions.joint_sigma)
            tokens.append(token)
            masks.append(seen)
        if conditions.image is not None and conditions.image_seen is not None:
            token = self.image(conditions.image, conditions.image_seen)
            whole = token[:, 0]
            tokens.append(token)
            masks.append(torch.ones(token.shape[:2], dtype=torch.bool, device=token.device))
        return torch.cat(tokens, 1), torch.cat(masks, 1), whole

    def read_rotation(self, patches: Tensor) -> RotationGuess:
        """What a photo's patches [B,P,F] alone say of the hand's rotation."""
        seen = torch.ones(patches.shape[:2], dtype=torch.bool, device=patches.device)
        return self.pose(self.image(patches, seen)[:, 0])
