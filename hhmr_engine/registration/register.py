"""A foreign hand's surface -> our template on it: `register`."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..hand.template import HandTemplate
from .articulated import Pose, joined
from .correspondence import Place, Registration, describe
from .doubts import check_hand, check_one_hand
from .fingers import FingerNames
from .matching import ANY, Matcher, Stage, Target
from .offset import fitted_closely
from .pieces import skin_of
from .starts import different, likely_starts, starts_from_joints
from .surface import Samples, clean, hand_area, sample

SAMPLES = 2500
ROUGH, FINE, MANY, LAST = 200, 500, 1000, 1200  # samples that the fits look at
CANDIDATES = 12
LIKELIEST = 5
WAYS = (6, 4, 2, 1, 1)  # namings of the fingers that are tried for the best hand, the next, ...
FINALISTS = len(WAYS)
ENOUGH = 8  # joints that fix place and pose without a search
TYPICAL_SHARE = 0.75  # of a hand's area that a part of one has: the first guess of the scale
SEARCH = Stage(10, (0.04, 0.01), 2e-3, coarse=True, stiff=30)
APPROACH = Stage(10, (0.08, 0.005), 1e-3, coarse=True, stiff=30)
DECIDE = Stage(8, (0.02, 0.004), 0.7e-3, coarse=True)
GUIDED = Stage(4, (0.015, 0.005), 1e-3, coarse=True)
POLISH = Stage(5, (0.008, 0.004), 0.5e-3, offsets=True)
MIRRORS = {"auto": (0, 1), "right": (0,), "left": (1,)}


# A batch of one hand, whether it is mirrored [1], and the fingers allowed each sample [1,N] (see Matcher).
Fit = tuple[Pose, Tensor, Tensor]


def register(
    template: HandTemplate,
    vertices: NDArray,
    triangles: NDArray,
    side: str = "auto",
    joints: NDArray | None = None,
) -> Registration:
    """Lay the template (arrays) onto a surface: vertices [M,3] in any unit, triangles [F,3] wound either way.

    The surface is a hand or a part of one with most of its palm; pose, place, scale and side are found.
    joints [21,3] in the same space, NaN = unknown, are another rig's: 3 to 6 mm off ours is expected.
    Raises ValueError with one sentence: what is wrong and what to do.
    """
    if side not in MIRRORS:
        raise ValueError(f'the side must be "auto", "right" or "left", not "{side}".')
    surface = clean(vertices, triangles)
    check_one_hand(surface)
    samples = sample(surface, SAMPLES)
    origin = samples.points.mean(0)
    matcher = Matcher(template)
    unit = float(np.sqrt(surface.whole_area / (TYPICAL_SHARE * hand_area(template))))
    target = _target(samples, origin, unit, joints)
    with torch.no_grad():
        names = FingerNames(template, matcher, skin_of(surface, samples, unit))
        find = _by_joints if target.known >= ENOUGH else _by_search
        pose, mirror, allowed = find(matcher, names, target, MIRRORS[side])
        pose = matcher.refine(pose, target.thinned(LAST), mirror, POLISH, target.thin(allowed, LAST))
        if target.known < ENOUGH:
            check_hand(matcher, pose, target.thinned(MANY), mirror)
        points = matcher.model.points(pose, matcher.model.bones(pose))[0, : matcher.count].numpy()
    flip = np.array([-1.0 if mirror[0] else 1.0, 1.0, 1.0])
    hand = Samples((samples.points - origin) / unit * flip, samples.normals * flip, samples.vertex)
    size = float(pose.grow[0].exp())
    possible = ((allowed[..., None] >> torch.arange(5)) % 2 == 1).any(1)[0].numpy()
    core = matcher.core.numpy()
    points = fitted_closely(template, points, hand, size, (core >= 0) & ~possible[core])
    return describe(template, points, hand, size, Place(surface, origin, unit, flip), possible)


def _target(samples: Samples, origin: NDArray, unit: float, joints: NDArray | None) -> Target:
    flip = np.array([[[1.0, 1.0, 1.0]], [[-1.0, 1.0, 1.0]]])
    given = np.full((21, 3), np.nan) if joints is None else np.asarray(joints, np.float64)
    if given.shape != (21, 3):
        raise ValueError(f"the joints of the surface's rig must be [21,3], not {list(given.shape)}.")
    given = np.where(np.isfinite(given).all(1, keepdims=True), given, np.nan)
    arrays = ((samples.points - origin) / unit, samples.normals, (given - origin) / unit)
    return Target(*(torch.from_numpy((array * flip).astype(np.float32)) for array in arrays))


def _by_joints(matcher: Matcher, names: FingerNames, target: Target, mirrors: tuple[int, ...]) -> Fit:
    """The hand that many known joints and the surface ask for."""
    pose, mirror = starts_from_joints(matcher, target, mirrors)
    some = target.thinned(FINE)
    best = matcher.energy(pose, some, mirror).argsort()[:2]
    pose, mirror = pose[best], mirror[best]
    # Named before the surface pulls: it would pull a finger that is cut off onto its neighbour.
    ways = [names.namings(pose[[k]], target, mirror[[k]], 1, stumps=False) for k in range(len(pose))]
    anything = torch.full((SAMPLES,), ANY)
    allowed = torch.stack([way[0].allowed if way else anything for way in ways])
    near = target.thin(allowed, FINE)
    pose = matcher.refine(pose, some, mirror, GUIDED, near)
    best = matcher.energy(pose, some, mirror, near).argmin()[None]
    return pose[best], mirror[best], allowed[best]


def _by_search(matcher: Matcher, names: FingerNames, target: Target, mirrors: tuple[int, ...]) -> Fit:
    """The hand that explains the surface best, of many starts and several namings of the fingers."""
    pose, mirror = likely_starts(matcher, target, mirrors, CANDIDATES)
    if target.known >= 3:
        guided, side = starts_from_joints(matcher, target, mirrors)
        pose, mirror = joined([pose, guided]), torch.cat([mirror, side])
    pose = matcher.refine(pose, target.thinned(ROUGH), mirror, SEARCH)
    some, many = target.thinned(FINE), target.thinned(MANY)
    best = different(pose, mirror, matcher.energy(pose, some, mirror), FINALISTS)
    pose, mirror, allowed = _named(names, target, pose[best], mirror[best])
    near = target.thin(allowed, FINE)
    pose = matcher.refine(pose, some, mirror, APPROACH, near)
    best = matcher.energy(pose, some, mirror, near).argsort()[:LIKELIEST]
    pose, mirror, allowed = pose[best], mirror[best], allowed[best]
    near = target.thin(allowed, MANY)
    pose = matcher.refine(pose, many, mirror, DECIDE, near)
    best = matcher.energy(pose, many, mirror, near).argmin()[None]
    return pose[best], mirror[best], allowed[best]


def _named(names: FingerNames, target: Target, pose: Pose, mirror: Tensor) -> Fit:
    """The hands with their fingers named in likely ways, whether they are mirrored, and the fingers
    allowed each sample [n,N]."""
    poses: list[Pose] = []
    sides: list[Tensor] = []
    fingers: list[Tensor] = []
    for k in range(len(pose)):
        ways = names.namings(pose[[k]], target, mirror[[k]], WAYS[k])
        if not ways:
            poses.append(pose[[k]])
            fingers.append(torch.full((SAMPLES,), ANY))
        poses += [way.pose for way in ways]
        fingers += [way.allowed for way in ways]
        sides += [mirror[[k]]] * (len(poses) - len(sides))
    return joined(poses), torch.cat(sides), torch.stack(fingers)
