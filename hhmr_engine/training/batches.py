"""What a training step is made of: hands, what is told of them, and the same as evidence."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..data.hands import HandStream
from ..data.picture_cache import PictureBatch, PictureCache
from ..diffusion.gaussian import Evidence
from ..model.conditions import Conditions
from ..model.image import mask_patches
from ..view import View
from ..vision.meaning import landmark_mixing
from .masking import Masker
from .seeing import Seen, Viewer

PATCH_SHARE = 0.5  # of a photo's patches masked at most, half of the time
PICTURE_NOISE = (0.015, 0.03)  # of the hand's size: what is told of the landmark network's joints


@dataclass(frozen=True)
class Batch:
    """B hands: states x0 [B,3N], or [B,3N+3] with the rotation; more where losses need it."""

    x0: Tensor
    conditions: Conditions
    evidence: Evidence
    vertices: Tensor | None = None  # [B,V,3]
    rotation: Tensor | None = None  # [B,3,3] palm frame -> photo

    def to(self, device: torch.device) -> Batch:
        return _each(self, lambda tensor: tensor.to(device))

    def repeated(self, times: int) -> Batch:
        """Every hand several times."""
        return _each(self, lambda tensor: tensor.repeat(times, *[1] * (tensor.dim() - 1)))


class Batches:
    """Three kinds of conditions: joints or a part of the mesh, a 2D skeleton, a photo with or without one."""

    def __init__(
        self, stream: HandStream, masker: Masker, viewer: Viewer, pictures: PictureCache | None
    ) -> None:
        self.stream, self.masker, self.viewer, self.cache = stream, masker, viewer, pictures
        self.mixing = torch.from_numpy(landmark_mixing())

    def joints(self, size: int, generator: torch.Generator, meshes: bool = False) -> Batch:
        """In a frame that is known; with `meshes` also all their vertices."""
        if meshes:
            vertices = self.stream.next(size)
            conditions, evidence = self.masker(vertices, generator)
            return Batch(vertices[:, self.masker.template.nodes].flatten(1), conditions, evidence, vertices)
        nodes, joints = self.stream.next_nodes(size)
        return Batch(nodes.flatten(1), *self.masker.tell(joints, nodes, generator))

    def views(self, size: int, generator: torch.Generator) -> Batch:
        """Seen by a camera: those whose view was found, `size` at most."""
        nodes, joints = self.stream.next_nodes(size)
        return _usable(nodes, self.viewer.see(joints, generator))

    def pictures(self, size: int, generator: torch.Generator) -> Batch:
        """In photos: two thirds with their 2D skeleton."""
        assert self.cache is not None
        batch = self.cache.batch(size, generator)
        true = View(batch.rotation, batch.translation / batch.scale[:, None])
        told = int(size * 2 / 3)
        target, sigma = self._joints(batch, generator)
        first = self.viewer.told(true[slice(told)], target[:told], sigma[:told], generator)
        second = self.viewer.guessed(true[slice(told, None)], generator)
        seen = Seen(
            torch.cat([first.turn, second.turn]),
            Conditions(
                joints=_padded(first.conditions.joints, size, torch.nan),
                joint_sigma=_padded(first.conditions.joint_sigma, size, torch.inf),
                line=torch.cat([first.conditions.line, second.conditions.line]),  # type: ignore[list-item]
                image=batch.patches.float(),
                image_seen=mask_patches(size, generator, PATCH_SHARE)
                | (torch.rand(size, 1, generator=generator) < 0.5),
                rotation=torch.cat([first.reference, second.reference]),
            ),
            Evidence(
                torch.cat([first.evidence.precision, second.evidence.precision]),
                torch.cat([first.evidence.information, second.evidence.information]),
            ),
            torch.cat([first.usable, second.usable]),
            torch.cat([first.reference, second.reference]),
        )
        return replace(_usable(batch.nodes, seen), rotation=batch.rotation[seen.usable])

    def _joints(self, batch: PictureBatch, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """2D joints in image coordinates and their noise: half of them as the landmark network finds them."""
        count = len(batch.joints2d)

        def normalised(joints: Tensor) -> Tensor:
            return (joints - batch.centre[:, None]) / batch.focal[:, None, None]

        exact = normalised(batch.joints2d)
        made, noise = self.viewer.skeleton(exact, generator)
        size = (exact.amax(1) - exact.amin(1)).amax(1)[:, None]
        low, high = PICTURE_NOISE
        own = size * (low + (high - low) * torch.rand(count, 1, generator=generator))
        found = (torch.rand(count, 1, generator=generator) < 0.5) & (batch.presence[:, None] > 0.5)
        landmarks = normalised(batch.found2d) + exact - self.mixing @ exact
        target = torch.where(found[..., None], landmarks, made)
        return target, torch.where(found, own, noise)


def _usable(nodes: Tensor, seen: Seen) -> Batch:
    x0 = torch.cat([nodes.flatten(1), seen.turn], 1)
    batch = Batch(x0, seen.conditions, seen.evidence)
    return _each(batch, lambda tensor: tensor[seen.usable])


def _padded(tensor: Tensor | None, size: int, value: float) -> Tensor:
    assert tensor is not None
    rest = tensor.new_full((size - len(tensor), *tensor.shape[1:]), value)
    return torch.cat([tensor, rest])


def _each(value: Any, change: Any) -> Any:
    """A dataclass of tensors, and of such dataclasses, with every tensor changed."""
    changed = {}
    for name, part in vars(value).items():
        if isinstance(part, Tensor):
            changed[name] = change(part)
        elif part is not None:
            changed[name] = _each(part, change)
    return replace(value, **changed)
