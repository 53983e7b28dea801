"""What a picture tells of a hand: 2D joints, what the photo looks like, and the views that explain them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .diffusion.gaussian import Evidence
from .hand.rotation import rotation_vector
from .model.conditions import Conditions
from .model.image import RotationGuess
from .view import JointCamera, View

SAME = 0.2  # radians: nearer views of the same joints are one
GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True)
class Appearance:
    """What a photo looks like, from one or several crops of it [C].

    patches [C,49,F]; axes [C,3,3] take the picture's camera axes to those of the crop; guess: the rotation
    that the network reads from each, palm frame -> the crop's axes.
    """

    patches: Tensor
    axes: Tensor
    guess: RotationGuess

    def rotations(self) -> Tensor:
        """The guesses [C,3,3] in the picture's axes."""
        return self.axes.mT @ self.guess.rotation


@dataclass(frozen=True)
class Sighting:
    """Joints [1,21,2] in image coordinates (NaN = unknown), their noise [1,21], and views that explain them.

    Modes: views [M] with coefficients u [M,R+3] and probabilities [M]. told: whether the joints are
    conditions, or show no more than where the hand is.
    """

    camera: JointCamera
    target: Tensor
    sigma: Tensor
    appearance: Appearance | None
    told: bool
    views: View
    u: Tensor
    probability: Tensor
    energy: float = 0.0  # of the likeliest: -2 log evidence, to compare sides by

    def pick(self, seed: int, draws: range) -> Tensor:
        """The mode of each draw [n]: as often as it is likely; the same one for a draw of a seed, always."""
        offset = float(np.random.default_rng(seed).random())
        places = torch.tensor([math.fmod(offset + (k + 1) * GOLDEN, 1.0) for k in draws])
        return torch.searchsorted(self.probability.cumsum(0).cpu(), places).clamp_max(len(self.u) - 1)

    def many(self, count: int) -> tuple[Tensor, Tensor]:
        """Target and noise for `count` views."""
        return self.target.expand(count, -1, -1), self.sigma.expand(count, -1)

    def evidence(self, modes: Tensor) -> Evidence:
        """What the joints say of hand and rotation, linearised at each draw's mode."""
        if not self.told:
            nothing, count = self.camera.prior.nothing(), len(modes)
            return Evidence(nothing.precision.expand(count, -1, -1), nothing.information.expand(count, -1))
        u = self.u[modes]
        return self.camera.evidence(self.views[modes], self.camera.joints(u), u, *self.many(len(modes)))

    def conditions(self, modes: Tensor, draws: range) -> Conditions:
        """What the network is told for each draw; draws take turns with the photo's crops."""
        views = self.views[modes]
        place, noise, line = self.camera.on_lines_of_sight(
            views, self.camera.joints(self.u[modes]), *self.many(len(modes))
        )
        joints = {"joints": place, "joint_sigma": noise} if self.told else {}
        if self.appearance is None:
            return Conditions(line=line, **joints)
        crop = torch.tensor([k % len(self.appearance.patches) for k in draws])
        patches = self.appearance.patches[crop]
        return Conditions(
            line=line,
            image=patches,
            image_seen=torch.ones(patches.shape[:2], dtype=torch.bool, device=patches.device),
            rotation=self.appearance.axes[crop] @ views.rotation,
            **joints,
        )


def sight(
    camera: JointCamera,
    target: Tensor,
    sigma: Tensor,
    appearance: Appearance | None,
    told: bool,
    starts: View | None = None,
) -> Sighting:
    """Finds the views that explain 2D joints [21,2] with noise [21] of a right hand, and how likely each is.

    Starts all round, or at `starts`, and where the photo says. With `told` false the photo's rotation is
    taken, and the joints only place it.
    """
    target, sigma = target[None], sigma[None]
    if starts is None:
        starts = camera.starts(target, sigma)
    mean = camera.mean
    if appearance is not None:
        guess = appearance.rotations()
        far = starts.position[:1].expand(len(guess), -1)
        there = target.expand(len(guess), -1, -1), sigma.expand(len(guess), -1)
        guessed = camera.settle(View(guess, far), mean.expand(len(guess), -1, -1), *there)
        if not told:
            u = target.new_zeros(len(guess), camera.prior.rank)
            even = torch.full((len(guess),), 1 / len(guess), device=u.device)
            return Sighting(camera, target, sigma, appearance, told, guessed, u, even)
        starts = View(*(torch.cat(pair) for pair in zip(_parts(starts), _parts(guessed))))
    count = len(starts)
    many = target.expand(count, -1, -1), sigma.expand(count, -1)
    views, u, cost = camera.fit(starts, target.new_zeros(count, camera.prior.rank), *many)
    precision = camera.evidence(views, camera.joints(u), u, *many).precision
    eye = torch.eye(camera.prior.rank, dtype=u.dtype, device=u.device)
    energy = cost + torch.linalg.slogdet(precision + eye)[1]
    if appearance is not None:
        concentration = appearance.guess.log_concentration.exp()
        apart = _angle(views.rotation[:, None], appearance.rotations())
        energy = energy + 2 * (concentration * (1 - apart.cos())).mean(-1)
    rows = _distinct(views.rotation, energy)
    probability = torch.softmax(-0.5 * energy[rows], 0)
    return Sighting(
        camera, target, sigma, appearance, told, views[rows], u[rows], probability, float(energy.min())
    )


def _parts(view: View) -> tuple[Tensor, Tensor]:
    return view.rotation, view.position


def _angle(a: Tensor, b: Tensor) -> Tensor:
    return rotation_vector(a.mT @ b).norm(dim=-1)


def _distinct(rotations: Tensor, energy: Tensor) -> Tensor:
    """The best of every group of views that are the same, best first."""
    kept: list[int] = []
    for row in energy.argsort().tolist():
        if all(float(_angle(rotations[row], rotations[k])) > SAME for k in kept):
            kept.append(row)
    return torch.tensor(kept, device=energy.device)
