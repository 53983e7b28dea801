"""A z-buffer in torch for batches of meshes of small triangles: rows, spans, one scattered minimum."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Fragments:
    """The nearest surface of every covered sample, K of them over the whole batch."""

    sample: Tensor  # [K] (picture * height + row) * width + column
    picture: Tensor  # [K]
    face: Tensor  # [K] number in the list of faces
    corner: Tensor  # [K,3] picture * P + point
    weight: Tensor  # [K,3] barycentric
    depth: Tensor  # [K]

    def select(self, rows: Tensor) -> Fragments:
        """Those of `rows`, a mask or numbers."""
        return Fragments(
            self.sample[rows],
            self.picture[rows],
            self.face[rows],
            self.corner[rows],
            self.weight[rows],
            self.depth[rows],
        )

    def interpolate(self, attribute: Tensor) -> Tensor:
        """A per-point `attribute [B,P,C]` at every fragment, `[K,C]`."""
        flat = attribute.reshape(-1, attribute.shape[-1])
        value = self.weight[:, :1] * flat[self.corner[:, 0]]
        value += self.weight[:, 1:2] * flat[self.corner[:, 1]]
        value += self.weight[:, 2:] * flat[self.corner[:, 2]]
        return value


def rasterise(points: Tensor, faces: Tensor, height: int, width: int) -> Fragments:
    """Front faces of `points [B,P,3]` (x right, y down, depth away) at samples (column + 0.5, row + 0.5).

    `faces [F,3]`, counter-clockwise as seen from outside in a frame of y up: here clockwise ones are culled.
    """
    count, size = points.shape[:2]
    corner = points[:, faces]  # [B,F,3,3]
    x, y = corner[..., 0], corner[..., 1]
    edge_x, edge_y = x - x[..., :1], y - y[..., :1]
    area = edge_x[..., 1] * edge_y[..., 2] - edge_x[..., 2] * edge_y[..., 1]
    low, high = y.amin(-1), y.amax(-1)
    first = (low - 0.5).ceil().clamp_(min=0)
    rows = (high - 0.5).ceil().clamp_(max=height) - first  # a span ends before the next begins
    inside = (x.amax(-1) > 0.5) & (x.amin(-1) < width - 0.5)
    shown = ((area < -1e-6) & (rows > 0) & inside).reshape(-1).nonzero()[:, 0]

    triangle = corner.reshape(-1, 9)[shown]
    area, first = area.reshape(-1)[shown], first.reshape(-1)[shown]
    rows = rows.reshape(-1)[shown].long()
    owner, row = _ranges(rows)
    row = row + first[owner]
    start, stop = _spans(triangle[owner], row + 0.5, width)
    line, column = _ranges((stop - start).clamp_(min=0))
    column = column + start[line]
    owner, row = owner[line], row[line].long()

    plane = _planes(triangle, area)
    x, y = column.float().add_(0.5), row.float().add_(0.5)
    depth = _at(plane[6:], owner, x, y)
    picture = shown // len(faces)
    sample = (picture * height)[owner].add_(row).mul_(width).add_(column)
    nearest = _nearest(sample, depth, count * height * width)
    owner, x, y = owner[nearest], x[nearest], y[nearest]
    second, third = (_at(plane[k : k + 3], owner, x, y).clamp_(0, 1) for k in (0, 3))
    picture = picture[owner]
    face = shown[owner] - picture * len(faces)
    return Fragments(
        sample[nearest],
        picture,
        face,
        faces[face] + (picture * size)[:, None],
        torch.stack([1 - second - third, second, third], 1),
        depth[nearest],
    )


def _ranges(count: Tensor) -> tuple[Tensor, Tensor]:
    """Of each of `count [T]` members: which range it belongs to, and its number there."""
    owner = torch.repeat_interleave(count)
    before = count.cumsum(0) - count
    return owner, torch.arange(len(owner), device=count.device) - before[owner]


def _spans(triangle: Tensor, y: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """First and past-the-last column whose centre lies inside, of triangles `[R,9]` on scan lines `y [R]`."""
    left = torch.full_like(y, torch.inf)
    right = torch.full_like(y, -torch.inf)
    for a, b in ((0, 3), (3, 6), (6, 0)):
        ax, ay, bx, by = triangle[:, a], triangle[:, a + 1], triangle[:, b], triangle[:, b + 1]
        crosses = (ay <= y) != (by <= y)
        x = ax + (y - ay) * (bx - ax) / torch.where(crosses, by - ay, 1.0)
        left = torch.where(crosses, torch.minimum(left, x), left)
        right = torch.where(crosses, torch.maximum(right, x), right)
    start = (left - 0.5).ceil().clamp_(0, width)
    stop = (right - 0.5).ceil().clamp_(0, width)
    return start.long(), stop.long()


def _planes(triangle: Tensor, area: Tensor) -> Tensor:
    """Of triangles [T,9], the planes [9,T] (slope in x, in y, value at the origin) of the second and third
    corner's weight and of depth.
    """
    ax, ay, az, bx, by, bz, cx, cy, cz = triangle.unbind(1)
    inverse = 1 / area
    second_x, second_y = (cy - ay) * inverse, (ax - cx) * inverse
    third_x, third_y = (ay - by) * inverse, (bx - ax) * inverse
    db, dc = bz - az, cz - az
    depth_x, depth_y = second_x * db + third_x * dc, second_y * db + third_y * dc
    return torch.stack(
        [
            *(second_x, second_y, -second_x * ax - second_y * ay),
            *(third_x, third_y, -third_x * ax - third_y * ay),
            *(depth_x, depth_y, az - depth_x * ax - depth_y * ay),
        ]
    )


def _at(plane: Tensor, owner: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Values [K] at (x, y) of the planes [3,T] of each one's `owner`."""
    return plane[2][owner].addcmul_(plane[0][owner], x).addcmul_(plane[1][owner], y)


def _nearest(sample: Tensor, depth: Tensor, size: int) -> Tensor:
    """Numbers of the fragments with the smallest depth at their sample.

    Positive floats order as their bits do: depth above the fragment's number makes one key.
    """
    bits = depth.clamp(min=1e-6).view(torch.int32).long() << 32
    key = bits | torch.arange(len(depth), device=depth.device)
    empty = torch.iinfo(torch.int64).max
    buffer = torch.full((size,), empty, device=depth.device)
    buffer.scatter_reduce_(0, sample, key, "amin")
    return buffer[buffer != empty] & 0xFFFFFFFF
