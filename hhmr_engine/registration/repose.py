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
from ..hand.skinning import blend
from ..hand.template import UNIT, HandTemplate

SHAPE_ROUNDS, POSE_ROUNDS = 20, 12
LOCKED = 0.5  # of a bone's surface: with more of it kept, the bone stays where it is
RIGID = (0, 4, 8)  # wrist, index and middle metacarpal: no joint lies between them
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
        self.kept = torch.from_numpy(kept)[self.ids]
        self.template = tensors.on_nodes()
        none = whole.new_zeros(0)
        rows = none.reshape(0, len(self.ids))
        fitted = fit_skinned(tensors, self.nodes, rows, none.reshape(0, 3), none, SHAPE_ROUNDS)
        self.start = fitted.parameters
        linear, shift, self.heads = placed_bones(self.template, self.start)
        self.back = torch.linalg.inv(linear)
        self.back_shift = -(self.back @ shift[..., None])[..., 0]
        self.locked = locked_bones(template, kept)
        self.anchored, self.anchors = _anchors(self.locked)
        self.free = self._free_parameters()

    def hypotheses(self, vertices: np.ndarray) -> np.ndarray:
        """Bone motions [n,20,3,4] (float64, x -> A x + b in the hand's own space) for vertices [n,V,3].

        The bones that are locked do not move at all.
        """
        n = len(vertices)
        given = torch.from_numpy((vertices - self.centre).astype(np.float32))[:, self.ids]
        goal = torch.where(self.kept[:, None], self.nodes, self.frame.to_palm(given))
        parameters = self.start.expand(n, -1)
        if len(self.free):
            parameters, _ = levenberg_marquardt(self._residuals, parameters, goal, self.free, POSE_ROUNDS)
        return self._in_hand_space(*self._motions(parameters))

    def _free_parameters(self) -> Tensor:
        """Columns of what may change: the angles of free bones, and the hand's place if its palm is free."""
        angles = [i for i, dof in enumerate(DOFS) if not self.locked[dof.bone]]
        place = [] if self.locked[0] else list(range(sum(PARTS) - 7, sum(PARTS) - 1))
        return torch.tensor(angles + place, dtype=torch.long)

    def _residuals(self, p: Tensor, goal: Tensor) -> Tensor:
        linear, shift = self._motions(p)
        carried = blend(self.template.weights, linear, shift, self.nodes)
        angles = p[:, : PARTS[0]]
        terms = [
            (carried - goal) * (NODE_WEIGHT / NETWORK_SIGMA),
            angles / DEVIATION["angles"],
            beyond_limits(angles) / DEVIATION["limits"],
        ]
        torn = [b for b, parent in enumerate(PARENTS) if b and self.locked[b] and not self.locked[parent]]
        if torn:
            parents = [PARENTS[b] for b in torn]
            heads = self.heads[:, torn]
            moved = (linear[:, parents] @ heads[..., None])[..., 0] + shift[:, parents]
            terms.append((moved - heads) / JOINT_SIGMA)
        return torch.cat([term.flatten(1) for term in terms], 1)

    def _motions(self, p: Tensor) -> tuple[Tensor, Tensor]:
        """After x before^-1 of every bone in the palm frame: linear [n,20,3,3], shift [n,20,3].

        A bone moves as it does relative to the nearest locked bone above it.
        """
        linear, shift, _ = placed_bones(self.template, p)
        shift = (linear @ self.back_shift[..., None])[..., 0] + shift
        linear = linear @ self.back
        if self.anchored:
            undo = torch.linalg.inv(linear[:, self.anchors])
            gap = shift[:, self.anchored] - shift[:, self.anchors]
            shift = shift.clone()
            shift[:, self.anchored] = (undo @ gap[..., None])[..., 0]
            linear = linear.clone()
            linear[:, self.anchored] = undo @ linear[:, self.anchored]
        return linear, shift

    def _in_hand_space(self, linear: Tensor, shift: Tensor) -> np.ndarray:
        """The same motions [n,20,3,4] in the hand's own space; locked bones exactly at rest."""
        scale, turn = float(self.frame.scale[0]), self.frame.rotation[0].double().numpy()
        origin = self.frame.origin[0].double().numpy() + self.centre
        turned = turn @ linear.double().numpy() @ turn.T
        moved = scale * shift.double().numpy() @ turn.T + origin - turned @ origin
        motions = np.concatenate([turned, moved[..., None]], -1)
        motions[:, self.locked] = np.eye(3, 4)
        return motions


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
    """Bones that hang, free or locked, on a locked bone, and for each the nearest such bone."""
    nearest: list[int | None] = []
    for bone, parent in enumerate(PARENTS):
        nearest.append(bone if locked[bone] else nearest[parent] if parent >= 0 else None)
    pairs = [(bone, anchor) for bone, anchor in enumerate(nearest) if anchor is not None]
    return [bone for bone, _ in pairs], [anchor for _, anchor in pairs]
