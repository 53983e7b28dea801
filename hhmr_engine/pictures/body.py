"""The hand and a forearm that continues it, as one mesh."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..hand.rotation import rotation_matrix
from ..hand.template import UNIT, HandTemplate
from .dice import Dice

# Distance of the forearm's rings from the wrist, metres. Two share a place: the cuff, if there is a sleeve.
RINGS = (0.008, 0.016, 0.024, 0.033, 0.042, 0.052, 0.052, 0.063, 0.075, 0.09, 0.11, 0.135, 0.17, 0.22, 0.55)
CUFF = 6
_GROWTH = 2.2  # of a ring's size per metre, to the elbow
_BEND = 0.045  # metres from the wrist within which the wrist's bend happens


class Body:
    """Faces and points of a right hand with its forearm: V template vertices, then the forearm's rings."""

    def __init__(self, template: HandTemplate, device: str | torch.device) -> None:
        faces = np.asarray(template.faces, np.int64)
        size = len(template.vertices)
        self.rim = torch.from_numpy(_rim(faces)).to(device)
        around = len(self.rim)
        arm = _tube(self.rim.cpu().numpy(), size, len(RINGS))
        self.hand_faces = len(faces)
        self.cuff_face = len(faces) + 2 * around * CUFF  # from here on a sleeve is no skin
        self.faces = torch.from_numpy(np.concatenate([faces, arm])).to(device)
        self.points = size + around * len(RINGS)
        vertices = torch.from_numpy(np.asarray(template.vertices, np.float32))[None].to(device)
        straight = torch.zeros(1, 2, device=device)
        self.rest = self._attach(vertices, straight[:, 0] + 1, straight, straight[:, :1])[0]  # [P,3] metres

    def build(self, vertices: Tensor, dice: Dice) -> tuple[Tensor, Tensor]:
        """Points [B,P,3] of hands [B,V,3] in the palm frame, with bent wrists; and who wears a sleeve [B]."""
        count = len(vertices)
        bend = torch.stack([dice.normal(count, sigma=0.45), dice.normal(count, sigma=0.22)], 1)
        sleeve = dice.chance(count, share=0.45)
        width = dice.uniform(count, 1, low=0.08, high=0.45) * sleeve[:, None]
        unit = torch.full((count,), 1 / UNIT, device=vertices.device)
        return self._attach(vertices, unit, bend.clamp(-1.1, 1.1), width), sleeve

    def _attach(self, vertices: Tensor, unit: Tensor, bend: Tensor, sleeve: Tensor) -> Tensor:
        """vertices [B,V,3] and their forearm's rings. unit [B]: a metre; bend [B,2] radians; sleeve [B,1]."""
        rim = vertices[:, self.rim]
        centre = rim.mean(1, keepdim=True)
        offset = rim - centre
        flat = offset * torch.tensor([1.0, 0.15, 1.0], device=rim.device)  # the rim itself is uneven
        start = torch.tensor([0.0, -1.0, 0.0], device=rim.device)
        full = torch.stack([bend[:, 0], 0 * bend[:, 0], bend[:, 1]], 1)
        along = torch.tensor(RINGS, device=rim.device)
        turn = rotation_matrix(full[:, None] * (along / _BEND).clamp(max=1)[:, None])  # [B,R,3,3]
        step = torch.diff(along, prepend=along.new_zeros(1))[:, None] * unit[:, None, None]
        centre = centre + ((turn @ start) * step).cumsum(1)
        share = (along / 0.03).clamp(max=1)[:, None, None]
        shape = offset[:, None] + (flat - offset)[:, None] * share
        size = (
            1
            + _GROWTH * (along - 0.02).clamp(0, 0.25)
            + sleeve * (torch.arange(len(RINGS)) >= CUFF).to(along)
        )
        rings = centre[:, :, None] + (shape @ turn.transpose(-1, -2)) * size[:, :, None, None]
        return torch.cat([vertices, rings.flatten(1, 2)], 1)


def point_normals(points: Tensor, faces: Tensor) -> Tensor:
    """Unit normals [B,P,3] of points [B,P,3], faces weighted by area."""
    corner = points[:, faces]
    normal = torch.linalg.cross(corner[:, :, 1] - corner[:, :, 0], corner[:, :, 2] - corner[:, :, 0])
    total = torch.zeros_like(points)
    for k in range(3):
        total.index_add_(1, faces[:, k], normal)
    return torch.nn.functional.normalize(total, dim=-1, eps=1e-12)


def _rim(faces: np.ndarray) -> np.ndarray:
    """The open loop at the wrist, in the order of its faces' edges."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    size = int(faces.max()) + 1
    single = ~np.isin(edges @ [size, 1], edges @ [1, size])
    following = dict(edges[single].tolist())
    loop = [next(iter(following))]
    while len(loop) < len(following):
        loop.append(following[loop[-1]])
    return np.array(loop)


def _tube(rim: np.ndarray, first: int, rings: int) -> np.ndarray:
    """Faces of rings that continue `rim`, whose points start at `first`."""
    around = len(rim)
    rows = [rim, *(first + around * k + np.arange(around) for k in range(rings))]
    faces = []
    for inner, outer in zip(rows, rows[1:]):
        a, b, c, d = inner, np.roll(inner, -1), outer, np.roll(outer, -1)
        faces += [np.stack([b, a, c], 1), np.stack([b, c, d], 1)]
    return np.concatenate(faces)
