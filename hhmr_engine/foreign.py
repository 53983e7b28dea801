"""A hand of another topology: what of it is kept, as an observation; and the hypotheses brought onto it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from .hand.seam import BLEND, SeamBlend
from .hand.skeleton import JOINT_PARENTS
from .hand.template import HandTemplate
from .observation import MAX_POINTS, Observation, observe_surface
from .registration.binding import bind
from .registration.register import Registration, register
from .registration.repose import Repose, carry
from .registration.settle import settle
from .request import Request, RequestError


class ForeignHand:
    """A user's hand, or a part of one, with the template laid onto it; inside, it is a right hand.

    side: which hand it is. covered [V]: what of the template lies on the surface. kept [V]: what of that is
    right. fitted: millimetres at hand size between the surface and the template on it. scale: the user's
    units per metre of a hand of the template's size.
    """

    def __init__(self, template: HandTemplate, request: Request) -> None:
        """template as arrays. Raises RequestError when this is no hand, or nothing of it is to be made."""
        assert request.surface is not None and request.triangles is not None
        self.template = template
        surface = np.asarray(request.surface, np.float32)
        try:
            found = register(template, surface, request.triangles, request.side, request.joints)
        except ValueError as exc:
            raise RequestError("bad_mesh", str(exc)) from exc
        self.side, self.scale = found.side, found.scale
        self.fitted, self.covered = found.residual, found.covered
        self.flip = np.array([-1 if found.side == "left" else 1, 1, 1], np.float32)
        self.surface, self.hand = surface * self.flip, found.vertices * self.flip
        self.joints = None if request.joints is None else request.joints * self.flip
        self.keep = np.ones(len(surface), bool) if request.keep is None else request.keep
        self.kept = _kept_of_template(template, self.hand, found, self.keep)
        self.triangles = _outward(self.surface, request.triangles, template, self.hand, found)
        self.repose = Repose(template, self.hand, self.kept)
        if self.repose.locked.all():
            hint = "Select only the part that is right, or delete the part that is wrong."
            raise RequestError(
                "bad_request", "All of this hand would be kept: nothing is left to make.", hint
            )
        self._rows(found)

    def _rows(self, found: Registration) -> None:
        """Points of the template on the kept surface, evenly spread: rows [K,V] and their noise [K]."""
        chosen = np.flatnonzero(self.keep[found.source])
        if len(chosen) > MAX_POINTS:  # they are spread evenly, and so is every so-manieth of them
            chosen = chosen[np.linspace(0, len(chosen) - 1, MAX_POINTS).astype(int)]
        self.rows = np.zeros((len(chosen), len(self.hand)), np.float32)
        corners = self.template.faces[found.face[chosen]]
        np.put_along_axis(self.rows, corners, found.barycentric[chosen].astype(np.float32), 1)
        self.sigma = found.sigma[chosen].astype(np.float32)

    def observation(self, template: HandTemplate, rho: float) -> Observation:
        """The kept part, as the registration has it on the template (as tensors). Raises RequestError."""

        def tensor(array: np.ndarray) -> Tensor:
            return torch.from_numpy(array).to(template.vertices.device)

        try:
            return observe_surface(
                template, tensor(self.hand), tensor(self.rows), tensor(self.sigma), tensor(self.kept), rho
            )
        except ValueError as exc:
            hint = "Keep more of the hand, at least a part of the palm."
            raise RequestError("degenerate", f"This fixes no hand: {exc}", hint) from exc

    def motions(self, hypotheses: np.ndarray) -> np.ndarray:
        """[n,20,3,4]: how the bones of this hand move to be posed like hypotheses [n,V,3] of the template."""
        return self.repose.hypotheses(hypotheses)

    def template_like(self, motions: np.ndarray) -> np.ndarray:
        """[n,V,3]: the template on this hand, posed; what of it lies on the kept surface stays there."""
        vertices = carry(self.hand, self.template.weights, motions)
        return SeamBlend(self.template, self.kept)(vertices, self.hand) if self.kept.any() else vertices

    def follow(self, motions: np.ndarray) -> dict[str, Any]:
        """What of the user's follows, in the user's space, by the names that Hypotheses has for it."""
        weights = bind(self.template, self.hand, self.surface, self.triangles)
        carried = carry(self.surface, weights, motions)
        bound = settle(self.surface, carried, self.keep, self.triangles, BLEND * self.scale)
        joints = None if self.joints is None else _carry_joints(self.joints, motions) * self.flip
        return {
            "bound": bound * self.flip,
            "carried": joints,
            "covered": self.covered,
            "kept": self.kept,
            "fitted": self.fitted,
        }


def _kept_of_template(
    template: HandTemplate, hand: np.ndarray, found: Registration, keep: np.ndarray
) -> np.ndarray:
    """[V] bool: vertices of the template that lie on a kept part of the surface."""
    corners = hand[template.faces[found.face]]
    points = (corners * found.barycentric[..., None]).sum(1)
    _, nearest = cKDTree(points).query(hand)
    return found.covered & keep[found.source[nearest]]


def _outward(
    surface: np.ndarray, triangles: np.ndarray, template: HandTemplate, hand: np.ndarray, found: Registration
) -> np.ndarray:
    """The surface's triangles, wound as the template's are: turned round where most disagree."""
    normals = np.zeros_like(surface)
    corners = surface[triangles]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    for k in range(3):
        np.add.at(normals, triangles[:, k], across)
    a, b, c = np.moveaxis(hand[template.faces[found.face]], 1, 0)
    agree = (normals[found.source] * np.cross(b - a, c - a)).sum(1) > 0
    return triangles if agree.mean() >= 0.5 else triangles[:, ::-1].copy()


def _carry_joints(joints: np.ndarray, motions: np.ndarray) -> np.ndarray:
    """Joints [21,3] of another rig moved along [n,21,3]: every segment turns with its bone.

    The segment that ends in joint j > 0 is bone j - 1's; a joint whose parent is unknown moves as a point.
    """
    turn, shift = motions[..., :3], motions[..., 3]
    carried = np.full((len(motions), 21, 3), np.nan, np.float32)
    for j, parent in enumerate(JOINT_PARENTS):
        bone = max(j - 1, 0)
        if parent >= 0 and np.isfinite(joints[parent]).all():
            carried[:, j] = carried[:, parent] + turn[:, bone] @ (joints[j] - joints[parent])
        else:
            carried[:, j] = turn[:, bone] @ joints[j] + shift[:, bone]
    return carried
