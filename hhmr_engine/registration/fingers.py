"""Which finger is which: the surface's pieces off the palm, each given to one of the template's fingers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..hand.dof import DOFS
from ..hand.skeleton import FINGER_BONES, FINGER_JOINTS
from ..hand.template import HandTemplate
from .articulated import Pose, joined
from .matching import ANY, PALM, Matcher, Target, loss, squares
from .pieces import Skin
from .starts import CURLS, curled

LIKE = (0.1, 1.5)  # areas, in fingers, between which a piece is one finger: a pinky may have 0.2
SURE = 0.5  # of a finger: what is larger is one
STUMP = 1.0  # what calling a piece no finger costs, and its size on top
BONE = 0.006  # metres from the given bones of a finger that count like a hopeless match
NONE = 5  # beside the fingers 0 to 4
ROOT = 0.02  # metres from a piece's root to a finger's that count like a hopeless match
EXPLAINS = 0.012  # metres from a piece's samples to a finger that count half
STAY = 0.8  # a curl replaces the fitted one if it is that much better
FINGER_OF_ANGLE = [
    next(f for f, bones in enumerate(FINGER_BONES.values()) if free.bone in bones) for free in DOFS
]


@dataclass(frozen=True)
class Naming:
    """One way to name the pieces: the hand (a batch of 1) with its fingers curled as they suggest and the
    others straight, and what each sample [N] may belong to (see Matcher)."""

    pose: Pose
    allowed: Tensor


class FingerNames:
    """Names the pieces of one surface after the template's fingers."""

    def __init__(self, template: HandTemplate, matcher: Matcher, skin: Skin) -> None:
        self.matcher, self.skin = matcher, skin
        own = matcher.core.numpy()
        corners = template.vertices[template.faces]
        area = 0.5 * np.linalg.norm(
            np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1
        )
        self.area = np.bincount(own[template.faces[:, 0]] + 1, area, minlength=6)[1:]
        ends = np.concatenate([template.faces[:, [0, 1]], template.faces[:, [1, 2]]])
        ends = np.concatenate([ends, ends[:, ::-1]])
        crossing = ends[own[ends[:, 0]] != own[ends[:, 1]], 0]
        self.roots = [torch.from_numpy(np.unique(crossing[own[crossing] == f])) for f in range(5)]

    def namings(
        self, pose: Pose, target: Target, mirror: Tensor, most: int, stumps: bool = True
    ) -> list[Naming]:
        """The `most` likeliest namings for one hand (a batch of 1), the likeliest first; none where no piece
        is one finger. Small pieces may be `stumps` that have no name."""
        match = self.matcher.match(pose, target, mirror, coarse=True)
        piece, roots = self.skin.off_palm(self.matcher.core[match.vertex[0]].numpy())
        count = np.bincount(piece + 1, minlength=len(roots) + 1)[1:]
        share = count / len(piece) * self.skin.area / self.area.mean()
        single = [i for i, root in enumerate(roots) if len(root) and LIKE[0] < share[i] < LIKE[1]]
        single = sorted(single, key=lambda i: -share[i])[:5]
        if not single:
            return []
        settled = all(i in single or share[i] < LIKE[0] for i in range(len(roots)))
        tries = self._tries(pose)
        badness = self._badness(tries, target, mirror)  # [tries,N,5]
        by_try = np.stack([badness[:, piece == i].mean(1) for i in single], 1)  # [tries,pieces,5]
        by_try[1:] /= STAY
        ours = torch.stack([match.points[0, rows].mean(0) for rows in self.roots]).numpy()
        at = target.points[int(mirror[0])].numpy()
        theirs = np.stack([at[roots[i]].mean(0) for i in single])
        gap = ((theirs[:, None] - ours) ** 2).sum(2)
        away = _from_bones(at, target.joints[int(mirror[0])].numpy())
        away = np.stack([away[piece == i].mean(0) for i in single])
        cost = by_try.min(0) + gap / ROOT**2 + (away / BONE) ** 2
        # A small piece may be a stump: being no finger costs it something, too.
        none = np.where(stumps & (share[single] < SURE), STUMP + share[single], np.inf)
        ways = _ways(np.concatenate([cost, none[:, None]], 1))[:most]
        found = []
        for way in ways:
            angles = torch.where(torch.tensor(FINGER_OF_ANGLE) == 0, pose.angles[0], 0.0)
            # What is part of no piece may be part of any finger that is there.
            some = PALM + sum(1 << f for f in way if f != NONE) if settled else ANY
            allowed = torch.full((len(piece),), some)
            for row, f in enumerate(way):
                if f == NONE:
                    continue
                allowed[torch.from_numpy(piece == single[row])] = 1 << f
                own = torch.tensor(FINGER_OF_ANGLE) == f
                angles = torch.where(own, tries.angles[int(by_try[:, row, f].argmin())], angles)
            found.append(Naming(replace(pose, angles=angles[None]), allowed))
        return found

    def _tries(self, pose: Pose) -> Pose:
        """The hand as it is, and with its long fingers curled in every usual way."""
        bent = curled().angles
        movable = bent.abs().amax(0) > 0
        curls = [replace(pose, angles=torch.where(movable, bent[k], pose.angles)) for k in range(len(CURLS))]
        return joined([pose, *curls])

    def _badness(self, tries: Pose, target: Target, mirror: Tensor) -> NDArray[np.float32]:
        """How badly each finger of each try explains each sample: [tries,N,5], 0 to 1."""
        bones = self.matcher.model.bones(tries)
        points = self.matcher.model.points(tries, bones)[:, : self.matcher.count]
        normals = self.matcher.model.posed_normals(tries, bones)
        columns = []
        for finger in range(5):
            own = self.matcher.some[self.matcher.core[self.matcher.some] == finger]
            square = squares(target, mirror.expand(len(tries)), points[:, own], normals[:, own])
            columns.append(loss(square.amin(2), EXPLAINS))
        return torch.stack(columns, 2).numpy()


def _from_bones(points: NDArray, joints: NDArray) -> NDArray[np.float64]:
    """Distances [N,5] of points from the bones of each finger that lie between known joints [21,3]; 0 where
    a finger has none."""
    result = np.zeros((len(points), len(FINGER_JOINTS)))
    for finger, chain in enumerate(FINGER_JOINTS.values()):
        knuckles = chain[1:] if finger == 0 else chain
        found = []
        for head, tail in zip(joints[list(knuckles[:-1])], joints[list(knuckles[1:])], strict=True):
            if np.isfinite([head, tail]).all():
                along = tail - head
                share = np.clip((points - head) @ along / max(float(along @ along), 1e-12), 0, 1)
                found.append(np.linalg.norm(points - head - share[:, None] * along, axis=1))
        if found:
            result[:, finger] = np.min(found, 0)
    return result


def _ways(cost: NDArray) -> list[tuple[int, ...]]:
    """Namings of pieces by cost [pieces,6], cheapest first: a finger of its own for each, or NONE."""
    choices = [[f for f in range(NONE + 1) if np.isfinite(row[f])] for row in cost]
    ways = [
        way
        for way in product(*choices)
        if len(named := [f for f in way if f != NONE]) == len(set(named)) and named
    ]
    return sorted(ways, key=lambda way: float(sum(row[f] for row, f in zip(cost, way, strict=True))))
