"""What a training step is made of: hands, what is told of them, and the same as evidence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from ..data.picture_cache import PictureBatch
from ..diffusion.gaussian import Evidence
from ..model.conditions import Conditions
from ..model.image import mask_patches
from ..view import View
from ..vision.meaning import landmark_mixing
from .masking import Masker
from .seeing import Seen, Viewer

PATCH_SHARE = 0.5  # of a photo's patches masked at most, half of the time
PICTURE_NOISE = (0.015, 0.03)  # of the hand's size: what is told of the landmark network's joints


class Position(Protocol):
    """What goes on where it was."""

    def state(self) -> dict[str, Any]: ...

    def restore(self, state: dict[str, Any]) -> None: ...


class Hands(Position, Protocol):
    """Where hands come from: data.hands.HandStream, or those of datasets. Palm frame, UNIT."""

    def next(self, count: int, generator: torch.Generator) -> Tensor:
        """[count,V,3]"""

    def next_nodes(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """[count,N,3] and joints [count,21,3]"""

    def advance(self, hands: int) -> None:
        """So many hands are about to be taken, by all processes together."""


class Photos(Protocol):
    """Where pictures come from: data.picture_cache.PictureCache, or those of datasets."""

    def batch(self, count: int, generator: torch.Generator) -> PictureBatch: ...


@dataclass(frozen=True)
class Batch:
    """B hands: states x0 [B,3N], or [B,3N+3] with the rotation; more where losses need it."""

    x0: Tensor
    conditions: Conditions
    evidence: Evidence
    vertices: Tensor | None = None  # [B,V,3] palm frame
    rotation: Tensor | None = None  # [B,3,3] palm frame -> photo

    def repeated(self, times: int) -> Batch:
        """Every hand several times."""
        return _each(self, lambda tensor: tensor.repeat(times, *[1] * (tensor.dim() - 1)))


@dataclass(frozen=True)
class Dice:
    """Random numbers of one slice of one step: where the batch is made, and where pictures are read."""

    device: torch.Generator
    host: torch.Generator


class Batches:
    """Three kinds of conditions: joints or a part of the mesh, a 2D skeleton, a photo with or without one."""

    def __init__(
        self,
        hands: Hands,
        masker: Masker,
        viewer: Viewer,
        photos: Photos | None,
        look: Callable[[Tensor], Tensor],
    ) -> None:
        """look: patches of pixels, where photos come as these."""
        self.hands, self.masker, self.viewer, self.photos, self.look = hands, masker, viewer, photos, look
        self.mixing = torch.from_numpy(landmark_mixing()).to(viewer.camera.mean)

    def joints(self, size: int, dice: Dice, strength: float = 1.0, meshes: bool = False) -> Batch:
        """In a frame that is known; with `meshes` also all their vertices. strength: of the masks."""
        if meshes:
            vertices = self.hands.next(size, dice.device)
            conditions, evidence = self.masker(vertices, dice.device, strength)
            return Batch(vertices[:, self.masker.template.nodes].flatten(1), conditions, evidence, vertices)
        nodes, joints = self.hands.next_nodes(size, dice.device)
        return Batch(nodes.flatten(1), *self.masker.tell(joints, nodes, dice.device, strength))

    def views(self, size: int, dice: Dice) -> Batch:
        """Seen by a camera."""
        nodes, joints = self.hands.next_nodes(size, dice.device)
        seen = self.viewer.see(joints, dice.device)
        return _usable(Batch(_with_turn(nodes, seen), seen.conditions, seen.evidence), seen)

    def pictures(self, size: int, dice: Dice) -> Batch:
        """In photos: two thirds with their 2D skeleton."""
        assert self.photos is not None
        batch = self.photos.batch(size, dice.host).to(dice.device.device)
        true = View(batch.rotation, batch.translation / batch.scale[:, None])
        told = int(size * 2 / 3)
        target, sigma = self._joints(batch, dice.device)
        first = self.viewer.told(true[slice(told)], target[:told], sigma[:told], dice.device)
        second = self.viewer.guessed(true[slice(told, None)], dice.device)
        hidden = torch.rand(size, 1, generator=dice.device, device=dice.device.device) < 0.5
        patches = batch.patches.float() if batch.pixels is None else self.look(batch.pixels)
        seen = Seen(
            torch.cat([first.turn, second.turn]),
            Conditions(
                joints=_padded(first.conditions.joints, size, torch.nan),
                joint_sigma=_padded(first.conditions.joint_sigma, size, torch.inf),
                line=torch.cat([first.conditions.line, second.conditions.line]),  # type: ignore[list-item]
                image=patches,
                image_seen=mask_patches(size, dice.device, PATCH_SHARE) | hidden,
                rotation=torch.cat([first.reference, second.reference]),
            ),
            Evidence(
                torch.cat([first.evidence.precision, second.evidence.precision]),
                torch.cat([first.evidence.information, second.evidence.information]),
            ),
            torch.cat([first.usable, second.usable]),
            torch.cat([first.reference, second.reference]),
        )
        x0 = _with_turn(batch.nodes, seen)
        return _usable(Batch(x0, seen.conditions, seen.evidence, rotation=batch.rotation), seen)

    def _joints(self, batch: PictureBatch, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """2D joints in image coordinates and their noise: half of them as the landmark network finds them."""

        def normalised(joints: Tensor) -> Tensor:
            return (joints - batch.centre[:, None]) / batch.focal[:, None, None]

        exact = normalised(batch.joints2d)
        made, noise = self.viewer.skeleton(exact, generator)
        size = (exact.amax(1) - exact.amin(1)).amax(1)[:, None]
        low, high = PICTURE_NOISE
        chance, level = torch.rand(2, len(exact), 1, generator=generator, device=generator.device)
        own = size * (low + (high - low) * level)
        found = (chance < 0.5) & (batch.presence[:, None] > 0.5)
        landmarks = normalised(batch.found2d) + exact - self.mixing @ exact
        target = torch.where(found[..., None], landmarks, made)
        return target, torch.where(found, own, noise)


def _with_turn(nodes: Tensor, seen: Seen) -> Tensor:
    return torch.cat([nodes.flatten(1), seen.turn], 1)


def _usable(batch: Batch, seen: Seen) -> Batch:
    """Those whose view was found near the truth; the first of them again in the place of the others.

    So a batch has one size, and a device need not be waited for.
    """
    size, order = len(seen.usable), (~seen.usable).to(torch.int8).argsort(stable=True)
    count = seen.usable.sum().clamp_min(1)
    rows = order[torch.arange(size, device=order.device) % count]
    return _each(batch, lambda tensor: tensor[rows])


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
