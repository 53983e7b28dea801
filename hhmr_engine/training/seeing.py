"""Hands before cameras, for training: noisy 2D skeletons with hidden fingers, and the view told of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..diffusion.gaussian import Evidence
from ..hand.rotation import from_quaternion, rotation_matrix, rotation_vector
from ..hand.skeleton import FINGER_JOINTS
from ..model.conditions import Conditions
from ..model.graph_unet import TURN_DEVIATION
from ..view import JointCamera, View, project

FAR = 1.0  # radians: a start this far from the truth is another answer, not to be learnt from


@dataclass(frozen=True)
class ViewSettings:
    """What cameras see; noise in parts of the hand's size in the picture."""

    share: float = 0.35  # of the steps whose condition is a 2D skeleton
    distance: tuple[float, float] = (
        20.0,
        120.0,
    )  # from the camera in UNIT, log-uniform: 5 to 30 hand lengths
    noise: tuple[float, float] = (0.004, 0.04)  # log-uniform
    bad_finger: float = 0.2  # share of hands one finger of which is off by 5 to 10 %, and not said to be
    finger: float = 0.15  # each finger hidden
    joint: float = 0.3  # share of hands whose joints are hidden one by one, a third of them
    covered: float = 0.2  # share of hands that are hidden beyond a line, a fifth to three fifths of them
    pictures: float = 0.35  # share of the steps whose condition is a photo, where there are photos
    guess_weight: float = 0.2  # of the loss of the rotation that a photo alone tells
    start: float = 0.25  # radians: from where the view is fitted
    rounds: int = 6  # of the fit
    turn_weight: float = 0.1  # of the loss of the rotation
    draws: int = 3  # noise levels for each hand that is fitted


@dataclass(frozen=True)
class Seen:
    """Hands [B] as the network meets them: the rotation vector from the view that is told to the true one."""

    turn: Tensor  # [B,3] radians
    conditions: Conditions
    evidence: Evidence
    usable: Tensor  # [B] bool: the view is near enough the truth
    reference: Tensor  # [B,3,3] the rotation that is told, palm frame -> camera


class Viewer:
    """Draws views of posed hands and what is told of them, on the device of its camera."""

    def __init__(self, camera: JointCamera, settings: ViewSettings) -> None:
        self.settings, self.camera = settings, camera

    def views(self, count: int, generator: torch.Generator) -> View:
        """Cameras all round, the hand somewhere near the middle of the picture."""
        low, high = self.settings.distance
        device = generator.device
        q = torch.nn.functional.normalize(torch.randn(count, 4, generator=generator, device=device), dim=-1)
        depth = low * (high / low) ** torch.rand(count, 1, generator=generator, device=device)
        aside = 0.3 * (2 * torch.rand(count, 2, generator=generator, device=device) - 1)
        return View(from_quaternion(q), torch.cat([aside, torch.ones_like(depth)], -1) * depth)

    def see(self, joints: Tensor, generator: torch.Generator) -> Seen:
        """joints [B,21,3] palm frame: seen from random views."""
        true = self.views(len(joints), generator)
        target, sigma = self.skeleton(project(true.place(joints)), generator)
        return self.told(true, target, sigma, generator)

    def told(self, true: View, target: Tensor, sigma: Tensor, generator: torch.Generator) -> Seen:
        """What a 2D skeleton [B,21,2] (image coordinates, NaN = hidden) with noise sigma [B,21] tells."""
        off = torch.randn(len(target), 3, generator=generator, device=generator.device)
        off = off * self.settings.start
        start = View(true.rotation @ rotation_matrix(off), true.position)
        u = target.new_zeros(len(target), self.camera.prior.rank)
        view, u, _ = self.camera.fit(start, u, target, sigma, self.settings.rounds)
        likely = self.camera.joints(u)
        place, noise, line = self.camera.on_lines_of_sight(view, likely, target, sigma)
        evidence = self.camera.evidence(view, likely, u, target, sigma)
        turn = rotation_vector(view.rotation.mT @ true.rotation)
        conditions = Conditions(joints=place, joint_sigma=noise, line=line)
        return Seen(turn, conditions, evidence, turn.norm(dim=1) < FAR, view.rotation)

    def guessed(self, true: View, generator: torch.Generator) -> Seen:
        """What a photo alone tells: nothing but a rotation that is more or less right."""
        count = len(true)
        size = TURN_DEVIATION * torch.rand(count, 1, generator=generator, device=generator.device)
        turn = size * torch.randn(count, 3, generator=generator, device=generator.device)
        rotation = true.rotation @ rotation_matrix(turn).mT
        nothing = self.camera.prior.nothing()
        many = Evidence(
            *(part.expand(count, *part.shape) for part in (nothing.precision, nothing.information))
        )
        return Seen(turn, Conditions(line=rotation[:, 2]), many, turn.norm(dim=1) < FAR, rotation)

    def skeleton(self, exact: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Image coordinates [B,21,2] with noise, NaN where hidden, and the noise that is told."""
        s, count, device = self.settings, len(exact), generator.device

        def uniform(*shape: int) -> Tensor:
            return torch.rand(count, *shape, generator=generator, device=device)

        def normal(*shape: int) -> Tensor:
            return torch.randn(count, *shape, generator=generator, device=device)

        size = (exact.amax(1) - exact.amin(1)).amax(1)[:, None]  # [B,1]
        low, high = s.noise
        sigma = (size * low * (high / low) ** uniform(1)).expand(-1, 21)
        target = exact + sigma[..., None] * normal(21, 2)
        hidden = uniform(5) < s.finger
        bad = torch.randint(0, 5, (count,), generator=generator, device=device)
        worse = size * (0.05 + 0.05 * uniform(1)) * (uniform(1) < s.bad_finger)
        unseen = (uniform(21) < 0.33) & (uniform(1) < s.joint)
        knuckle = uniform(1) < 0.5
        for i, (first, *_, last) in enumerate(FINGER_JOINTS.values()):
            unseen[:, first] |= hidden[:, i] & ~knuckle[:, 0]
            unseen[:, first + 1 : last + 1] |= hidden[:, i, None]
            wrong = worse[..., None] * normal(4, 2) * (bad == i)[:, None, None]
            target[:, first : last + 1] += wrong
        unseen |= (uniform(1) < s.covered) & self._beyond_a_line(exact, generator)
        enough = (~unseen).sum(1, keepdim=True) >= 6
        return torch.where((unseen & enough)[..., None], torch.nan, target), sigma

    def _beyond_a_line(self, points: Tensor, generator: torch.Generator) -> Tensor:
        """[B,21] bool: what something in front of the hand would cover, from any side."""
        count, device = len(points), points.device
        angle = 2 * torch.pi * torch.rand(count, 1, generator=generator, device=device)
        along = points[..., 0] * angle.cos() + points[..., 1] * angle.sin()
        share = 0.2 + 0.4 * torch.rand(count, 1, generator=generator, device=device)
        return along.argsort(1).argsort(1) >= (1 - share) * points.shape[1]
