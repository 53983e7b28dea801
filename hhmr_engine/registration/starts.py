"""Where a bare hand might be: many rigid starts on a coarse hand, improved and sifted by closest points."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from ..hand import dof
from ..hand.rotation import from_quaternion, procrustes
from ..hand.template import UNIT
from ..observation import observe_joints
from .articulated import ANGLES, Pose, joined, neutral
from .matching import Matcher, Stage, Target, gathered, loss, robust, squares

ROTATIONS = 96
SAMPLES = 160
# Flexion in degrees of (MCP, PIP, DIP) of the long fingers: open, relaxed, fist.
CURLS = ((0, 0, 0), (30, 40, 20), (70, 90, 45))
REACH = (0.05, 0.02)
SAME = np.radians(13)
JOINT_NOISE = 4.0  # millimetres at hand scale by which another rig's joints are off ours
JOINTS_ALONE = Stage(6, (0.01, 0.01), torch.inf, coarse=True)


@lru_cache(maxsize=2)
def rotations(count: int) -> np.ndarray:
    """[count,3,3] rotations spread evenly (super-Fibonacci spirals, Alexa 2022)."""
    phi, psi = np.sqrt(2.0), 1.533751168755204288118041
    s = np.arange(count) + 0.5
    r, big = np.sqrt(s / count), np.sqrt(1 - s / count)
    alpha, beta = 2 * np.pi * s / phi, 2 * np.pi * s / psi
    x, y, z, w = r * np.sin(alpha), r * np.cos(alpha), big * np.sin(beta), big * np.cos(beta)
    return from_quaternion(np.stack([w, x, y, z], -1)).astype(np.float32)


def curled() -> Pose:
    """The hands that starts are tried with."""
    angles = torch.zeros(len(CURLS), ANGLES)
    for row, curl in enumerate(CURLS):
        for kind, value in zip(("mcp_flex", "pip_flex", "dip_flex"), np.radians(curl), strict=True):
            for i, name in enumerate(dof.DOF_NAMES):
                if name.endswith(kind) and not name.startswith("thumb"):
                    angles[row, i] = float(value)
    rest = neutral(len(CURLS))
    return Pose(angles, rest.beta, rest.lengths, rest.offsets, rest.rotation, rest.shift, rest.grow)


def likely_starts(
    matcher: Matcher, target: Target, mirrors: tuple[int, ...], keep: int, rounds: int = 6
) -> tuple[Pose, Tensor]:
    """The `keep` best different placements of the curled hands, and which are mirrored [keep] (0 or 1)."""
    hands, coarse = curled(), target.thinned(SAMPLES)
    bones = matcher.model.bones(hands)
    nodes = matcher.template.nodes
    points = matcher.model.points(hands, bones)[:, nodes]
    normals = matcher.model.posed_normals(hands, bones)[:, nodes]
    palm = matcher.on_palm[nodes]
    turns = torch.from_numpy(rotations(ROTATIONS))
    kind, side, turn = (
        grid.reshape(-1)
        for grid in torch.meshgrid(
            torch.arange(len(hands)), torch.tensor(mirrors), torch.arange(ROTATIONS), indexing="ij"
        )
    )
    x, n = points[kind], normals[kind]
    goal = coarse.points[side]
    rotation, scale = turns[turn], torch.ones(len(turn))
    # What is there of the hand is mostly palm: the middle of the palm counts twice.
    centre = 0.5 * (x.mean(1) + x[:, palm].mean(1))
    shift = goal.mean(1) - (rotation @ centre[..., None])[..., 0]
    weight_palm = palm / palm.sum() * SAMPLES * 0.5
    for k in range(rounds):
        reach = REACH[0] * (REACH[1] / REACH[0]) ** (k / (rounds - 1))
        placed = scale[:, None, None] * x @ rotation.mT + shift[:, None]
        square = squares(coarse, side, placed, n @ rotation.mT)
        forth, nearest = square.min(2)
        back, sample = square.min(1)
        score = loss(forth, 0.015).mean(1) + 0.5 * loss(back[:, palm], 0.015).mean(1)
        if k == rounds - 1:
            break
        if k in (1, 3):  # most starts are hopeless soon
            best = score.argsort()[: len(score) // 3]
            kind, side, x, n, goal = (v[best] for v in (kind, side, x, n, goal))
            rotation, scale, shift = rotation[best], scale[best], shift[best]
            forth, nearest, back, sample = forth[best], nearest[best], back[best], sample[best]
        source = torch.cat([gathered(x, nearest), x], 1)
        there = torch.cat([goal, gathered(goal, sample)], 1)
        weight = torch.cat([robust(forth, reach), robust(back, reach) * weight_palm], 1)
        scale, rotation, shift = procrustes(source, there, weight + 1e-9)
        scale = scale.clamp(0.75, 1.35)
    found = hands[kind]
    found = Pose(found.angles, found.beta, found.lengths, found.offsets, rotation, shift, scale.log())
    chosen = different(found, side, score, keep)
    return found[chosen], side[chosen]


def different(pose: Pose, side: Tensor, score: Tensor, keep: int) -> Tensor:
    """Rows of the `keep` best scores, no two of one side and nearly one placement."""
    chosen: list[int] = []
    for row in score.argsort().tolist():
        turns = [float((pose.rotation[row] * pose.rotation[c]).sum()) for c in chosen]
        same = [
            cosine > 1 + 2 * np.cos(SAME) and bool(side[row] == side[c])
            for c, cosine in zip(chosen, turns, strict=True)
        ]
        if not any(same):
            chosen.append(row)
        if len(chosen) == keep:
            break
    return torch.tensor(chosen)


def starts_from_joints(matcher: Matcher, target: Target, mirrors: tuple[int, ...]) -> tuple[Pose, Tensor]:
    """Hands posed to the known joints alone, from each curl and side, and which are mirrored."""
    poses, sides = [], []
    for side in mirrors:
        seen = observe_joints(matcher.template, target.joints[side], JOINT_NOISE)
        hands = curled()
        count = len(hands)
        grow = (seen.frame.scale / UNIT).log().expand(count)
        poses.append(
            replace(
                hands,
                rotation=seen.frame.rotation.expand(count, 3, 3),
                shift=seen.frame.origin.expand(count, 3),
                grow=grow,
            )
        )
        sides.append(torch.full((count,), side))
    pose, mirror = joined(poses), torch.cat(sides)
    return matcher.refine(pose, target.thinned(16), mirror, JOINTS_ALONE), mirror
