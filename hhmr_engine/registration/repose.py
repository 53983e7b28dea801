"""Pose a hand that carries its own shape like hypotheses of it, bone by bone.

Pasting a network's vertices for the missing fingers tears at their roots (design: registration). So the
skinned hand is fitted to the laid-on hand once, with angles, shape, lengths and axes of its own, and then
only its angles to every hypothesis. What each bone does from the one pose to the other is a rigid motion;
whatever is bound to the bones goes along and keeps its shape.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..hand.dof import DOFS
from ..hand.fit import (
    DEVIATION,
    NETWORK_SIGMA,
    NODE_WEIGHT,
    PARTS,
    beyond_limits,
    fit_skinned,
    levenberg_marquardt,
    placed_bones,
)
from ..hand.frame import palm_frame
from ..hand.skeleton import PARENTS
from ..hand.skinning import blend, rest_shape
from ..hand.template import UNIT, HandTemplate

ROUNDS = 24  # at most; most fits have settled after eight
FIRST = 9  # of them for the angles alone, lest a finger turns the long way round
LOCKED = 0.5  # of a bone's surface: with more of it kept, the bone stays where it is
RIGID = (0, 4, 8)  # wrist, index and middle metacarpal: no joint lies between them
SHAPE, LENGTHS, OFFSETS = (slice(sum(PARTS[:k]), sum(PARTS[: k + 1])) for k in (1, 2, 3))
CHUNK = 65_536  # points that are carried at once
JOINT_SIGMA = 0.2e-3 / UNIT  # a joint between a bone that stays and a parent that moves


class Repose:
    """One hand and what of it is kept. Right hands only, in any place and size."""

    def __init__(self, template: HandTemplate, hand: np.ndarray, kept: np.ndarray) -> None:
        """template as arrays; hand [V,3] in its order; kept [V] bool."""
        tensors = template.torch()
        self.centre = hand.mean(0, dtype=np.float64)
        whole = torch.from_numpy((hand - self.centre).astype(np.float32))[None]
        self.frame = palm_frame(tensors, tensors.regressor @ whole)
        self.ids = tensors.nodes
        self.nodes = self.frame.to_palm(whole)[:, self.ids]
        # What is kept does not move, not even where the skin of a free finger's root would.
        self.trust = torch.from_numpy(~kept)[self.ids] * (NODE_WEIGHT / NETWORK_SIGMA)
        self.template = tensors.on_nodes()
        none = whole.new_zeros(0)
        rows = none.reshape(0, len(self.ids))
        fitted = fit_skinned(tensors, self.nodes, rows, none.reshape(0, 3), none, ROUNDS)
        self.start = fitted.parameters
        linear, shift, self.joints = placed_bones(self.template, self.start)
        self.heads = rest_shape(self.template, self.start[:, SHAPE])[1]
        self.before = linear, shift
        self.rest = _unskin(self.template.weights, linear, shift, self.nodes)
        self.locked = locked_bones(template, kept)
        self.anchored, self.anchors = _anchors(self.locked)
        self.free = self._free_parameters()

    def hypotheses(self, vertices: np.ndarray) -> np.ndarray:
        """Bone motions [n,20,3,4] (float64, x -> A x + b in the hand's own space) for vertices [n,V,3].

        The bones that are locked do not move at all.
        """
        n = len(vertices)
        given = torch.from_numpy((vertices - self.centre).astype(np.float32))[:, self.ids]
        goal = self.frame.to_palm(given)
        parameters = self.start.repeat(n, 1)
        if not self.locked.all():
            for free, rounds in zip(self.free, (FIRST, ROUNDS)):
                parameters, _ = levenberg_marquardt(self._residuals, parameters, goal, free, rounds)
            parameters[:, LENGTHS] = self.start[:, LENGTHS]
        return self._in_hand_space(*self._motions(parameters))

    def _free_parameters(self) -> tuple[Tensor, Tensor]:
        """Columns of what may change: free bones' angles, lengths and axes; the place of a palm that is free.

        A hypothesis has lengths of its own where nothing was seen: were they held, a finger would buckle to
        end where a shorter one does. They are fitted, and then forgotten.
        """
        angles = [i for i, dof in enumerate(DOFS) if not self.locked[dof.bone]]
        lengths = [LENGTHS.start + bone - 1 for bone in range(1, 20) if not self.locked[bone]]
        turning = {dof.bone for dof in DOFS if not self.locked[dof.bone]}
        axes = [OFFSETS.start + 3 * (bone - 1) + k for bone in turning for k in range(3)]
        place = [] if self.locked[0] else list(range(sum(PARTS) - 7, sum(PARTS) - 1))
        return torch.tensor(angles + place), torch.tensor(angles + lengths + axes + place)

    def _residuals(self, p: Tensor, goal: Tensor) -> Tensor:
        linear, shift = self._bones(p)
        posed = blend(self.template.weights, linear, shift, self.rest)
        angles = p[:, : PARTS[0]]
        terms = [
            (posed - goal) * self.trust[:, None],
            angles / DEVIATION["angles"],
            (p - self.start)[:, LENGTHS] / DEVIATION["lengths"],
            (p - self.start)[:, OFFSETS] / DEVIATION["offsets"],
            beyond_limits(angles) / DEVIATION["limits"],
        ]
        torn = [b for b, parent in enumerate(PARENTS) if b and self.locked[b] and not self.locked[parent]]
        if torn:
            parents = [PARENTS[b] for b in torn]
            moved = (linear[:, parents] @ self.heads[:, torn, :, None])[..., 0] + shift[:, parents]
            terms.append((moved - self.joints[:, torn]) / JOINT_SIGMA)
        return torch.cat([term.flatten(1) for term in terms], 1)

    def _bones(self, p: Tensor) -> tuple[Tensor, Tensor]:
        """What parameters do to every bone's rest state, as placed_bones; locked bones stay where they were.

        What hangs on a locked bone follows it, not the free one above that.
        """
        linear, shift, _ = placed_bones(self.template, p)
        if self.anchored:
            stay, stay_shift = (now[:, self.anchors] for now in self.before)
            back = stay @ torch.linalg.inv(linear[:, self.anchors])
            gap = shift[:, self.anchored] - shift[:, self.anchors]
            shift, linear = shift.clone(), linear.clone()
            shift[:, self.anchored] = (back @ gap[..., None])[..., 0] + stay_shift
            linear[:, self.anchored] = back @ linear[:, self.anchored]
        return linear, shift

    def _motions(self, p: Tensor) -> tuple[Tensor, Tensor]:
        """After x before^-1 of every bone in the palm frame: linear [n,20,3,3], shift [n,20,3]."""
        after, after_shift = self._bones(p)
        before, before_shift = self.before
        linear = after @ torch.linalg.inv(before)
        return linear, after_shift - (linear @ before_shift[..., None])[..., 0]

    def _in_hand_space(self, linear: Tensor, shift: Tensor) -> np.ndarray:
        """The same motions [n,20,3,4] in the hand's own space; locked bones exactly at rest."""
        scale, turn = float(self.frame.scale[0]), self.frame.rotation[0].double().numpy()
        origin = self.frame.origin[0].double().numpy() + self.centre
        turned = turn @ linear.double().numpy() @ turn.T
        moved = scale * shift.double().numpy() @ turn.T + origin - turned @ origin
        motions = np.concatenate([turned, moved[..., None]], -1)
        motions[:, self.locked] = np.eye(3, 4)
        return motions


def _unskin(weights: Tensor, linear: Tensor, shift: Tensor, posed: Tensor) -> Tensor:
    """Rest state [1,N,3] of points that bones [1,20,...] have posed."""
    affine = weights @ torch.cat([linear, shift[..., None]], -1).flatten(2)
    affine = affine.unflatten(-1, (3, 4))
    return torch.linalg.solve(affine[..., :3], posed - affine[..., 3])


def locked_bones(template: HandTemplate, kept: np.ndarray) -> np.ndarray:
    """[20] bool: bones whose surface is kept. template as arrays, kept [V] bool."""
    corners = template.vertices[template.faces]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.zeros(len(kept))
    np.add.at(area, template.faces, np.linalg.norm(across, axis=1)[:, None])
    own = area[:, None] * template.weights**2  # what is mostly another bone's says little about this one
    locked = kept @ own > LOCKED * own.sum(0)
    locked[list(RIGID)] = locked[list(RIGID)].any()
    return locked


def carry(points: np.ndarray, weights: np.ndarray, motions: np.ndarray) -> np.ndarray:
    """points [M,3] bound by weights [M,20], moved by motions [n,20,3,4]: [n,M,3] float32.

    Points move by what their bones' motions differ from none: bones at rest leave them where they are, to the
    last bit, and so does what is missing of a row's sum.
    """
    centre = points.mean(0, dtype=np.float64)
    change = motions - np.eye(3, 4)
    change = np.concatenate([change[..., :3], change[..., :3] @ centre[:, None] + change[..., 3:]], -1)
    by_bone = change.transpose(1, 0, 2, 3).reshape(len(PARENTS), -1).astype(np.float32)
    carried = np.empty((len(motions), len(points), 3), np.float32)
    for start in range(0, len(points), CHUNK):
        part = slice(start, start + CHUNK)
        local = (points[part] - centre).astype(np.float32)
        affine = (weights[part].astype(np.float32) @ by_bone).reshape(len(local), -1, 3, 4)
        moved = (affine[..., :3] @ local[:, None, :, None])[..., 0] + affine[..., 3]
        carried[:, part] = points[part] + moved.transpose(1, 0, 2)
    return carried


def _anchors(locked: np.ndarray) -> tuple[list[int], list[int]]:
    """Bones that hang on, or are, a locked bone with a free one above it; and for each that locked bone."""
    nearest: list[int | None] = []
    for bone, parent in enumerate(PARENTS):
        above = nearest[parent] if parent >= 0 else None
        loose = parent >= 0 and not locked[parent]
        nearest.append(bone if locked[bone] and loose else above)
    pairs = [(bone, anchor) for bone, anchor in enumerate(nearest) if anchor is not None]
    return [bone for bone, _ in pairs], [anchor for _, anchor in pairs]
