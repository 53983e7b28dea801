"""Where an observed hand is over time: joints of many frames -> a palm frame for each, and what they say.

The pose and the hand's way through space are smooth. So a frame in which little is seen borrows from its
neighbours, and one in which nothing is seen lies between them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .diffusion.gaussian import Evidence
from .diffusion.temporal import Smoother, spread_back, third_differences
from .hand.frame import PalmFrame
from .hand.rotation import procrustes, rotation_matrix
from .hand.skeleton import PALM_JOINTS
from .hand.template import UNIT, HandTemplate
from .observation import PointOperator, frame_jacobian, node_prior

ALONE, TOGETHER = 8, 5  # rounds of Gauss-Newton: each frame by itself, then with its neighbours
LINE = 1e-2  # spread of points below which they fix no rotation
BATCH = 256  # frames whose precisions are in memory at a time
COARSE = 48  # leading coefficients of a pose, which neighbours share: the others are under 0.2 mm
RIGID = 4.0  # a hand is carried by an arm: how much more jerk its place has than its fingers


@dataclass(frozen=True)
class Track:
    """T frames of observed joints: the operator of all 21, target [T,21,3] and sigma [T,21] (inf = unknown).

    target is in each frame's palm frame, in UNIT, and 0 where unknown; frame takes it to the user's space;
    jerk is that of a point of the hand, in UNIT a frame cubed.
    """

    points: PointOperator
    target: Tensor
    sigma: Tensor
    frame: PalmFrame
    jerk: float

    def __len__(self) -> int:
        return len(self.target)

    @property
    def joints(self) -> Tensor:
        """What is observed [T,21,3] in the palm frame; NaN = unknown."""
        return torch.where(_seen(self.sigma), self.target, torch.nan)

    def evidence(self, rows: slice) -> Evidence:
        """What some frames say about the prior's coefficients, batched."""
        return self.points.evidence(self.target[rows], self.sigma[rows])

    def place(self, x: Tensor) -> PalmFrame:
        """Frames that bring the states x [T,3N] onto what is observed, smoothly over time."""
        return _carried(self, self.points.of_nodes(x), smooth=True)


def pose_jerk(track: Track) -> float:
    """The jerk of the prior's coefficients when points of the hand have the track's."""
    prior = track.points.prior
    return track.jerk / float((3 * prior.variance.sum() / len(prior.mean)).sqrt())


def track_joints(
    template: HandTemplate,
    joints: Tensor,
    noise: Tensor,
    jerk: float,
    on_round: Callable[[], None],
) -> Track:
    """joints [T,21,3] in any place and of any size, NaN = unknown; noise [21] of each joint, UNIT.

    jerk: that of a point of the hand, millimetres at hand scale a frame cubed; on_round is called now and
    then. Raises ValueError when no frame has three joints that are not on one line.
    """
    prior = node_prior(template)
    operator = PointOperator(template, prior, template.regressor)
    known = torch.isfinite(joints).all(-1)
    world, bend = torch.nan_to_num(joints), jerk * 1e-3 / UNIT
    seen = torch.tensor([_fixes(frame[mask]) for frame, mask in zip(joints, known, strict=True)])
    if not seen.any():
        raise ValueError("no frame has three joints that are not on one line.")
    sigma = torch.where(known, noise.to(joints), torch.inf)
    firm = torch.where(seen.to(sigma.device)[:, None], sigma, torch.inf)
    frame = _between(_start(operator, world, known), seen)
    for k in range(ALONE + TOGETHER):
        on_round()
        together = k >= ALONE
        track = Track(operator, frame.to_palm(world), sigma if together else firm, frame, bend)
        modes = operator.modes[..., :COARSE]
        model = operator.mean + torch.einsum("mcr,tr->tmc", modes, _poses(track, together))
        frame = _carried(track, model, together)
        frame = frame if together else _between(frame, seen)
    return Track(operator, torch.where(_seen(sigma), frame.to_palm(world), 0.0), sigma, frame, bend)


def coarse_weights(track: Track) -> Tensor:
    """What every frame knows of the leading coefficients: precision [T,COARSE,COARSE] with the prior's 1."""
    parts = [track.evidence(rows).precision[:, :COARSE, :COARSE] for rows in chunks(len(track), BATCH)]
    return torch.cat(parts) + torch.eye(COARSE, device=track.target.device)


def _poses(track: Track, smooth: bool) -> Tensor:
    """MAP coefficients [T,COARSE] of every frame, or of all of them as one smooth motion."""
    parts = [track.evidence(rows).information[:, :COARSE] for rows in chunks(len(track), BATCH)]
    weights, right = coarse_weights(track), torch.cat(parts)
    if not smooth:
        return torch.linalg.solve(weights, right)
    unit = pose_jerk(track)
    return unit * Smoother(unit**2 * weights).solve(unit * right)


def _carried(track: Track, points: Tensor, smooth: bool) -> PalmFrame:
    """The track's frames after a Gauss-Newton step that brings points [T,21,3] onto its target.

    With `smooth` their way is smooth, too: their origins, their turns from frame to frame, their size.
    """
    frame = track.frame
    jacobian = frame_jacobian(points).flatten(-3, -2)
    heavy = jacobian * (track.sigma**-2).repeat_interleave(3, -1)[..., None]
    gap = torch.where(_seen(track.sigma), track.target - points, 0.0).flatten(-2)
    inner = jacobian.mT @ heavy + torch.diag(track.points.free)
    pull = (heavy.mT @ gap[..., None])[..., 0]
    if not smooth:
        step = torch.linalg.solve(inner, pull)
    else:
        # Translations along the user's axes, so that those of two frames can be compared.
        axes = torch.eye(7, device=points.device).repeat(len(points), 1, 1)
        axes[:, :3, :3] = frame.rotation
        unit = RIGID * track.jerk
        bent = spread_back(_bends(frame), len(points)) / unit**2
        right = (axes @ pull[..., None])[..., 0] - bent
        step = unit * Smoother(unit**2 * axes @ inner @ axes.mT).solve(unit * right)
        step = (axes.mT @ step[..., None])[..., 0]
    return PalmFrame(
        frame.scale * torch.exp(step[:, 6]),
        frame.rotation @ rotation_matrix(step[:, 3:6]),
        frame.origin + frame.scale[:, None] * (frame.rotation @ step[:, :3, None])[..., 0],
    )


def _bends(frame: PalmFrame) -> Tensor:
    """Third differences [T-3,7] of the frames: origins in UNIT, turns (second ones), log size."""
    if len(frame.scale) <= 3:
        return frame.scale.new_zeros(0, 7)
    unit = frame.scale.median()
    turns = torch.diff(_turns(frame.rotation), n=2, dim=0)
    size = third_differences(frame.scale.log())[:, None]
    return torch.cat([third_differences(frame.origin / unit), turns, size], 1)


def _turns(rotation: Tensor) -> Tensor:
    """Rotation vectors [T-1,3] from each of the rotations [T,3,3] to the next."""
    relative = rotation[:-1].mT @ rotation[1:]
    skew = torch.stack([relative[:, i, j] - relative[:, j, i] for i, j in ((2, 1), (0, 2), (1, 0))], -1) / 2
    sine = skew.norm(dim=-1)
    cosine = (relative.diagonal(dim1=1, dim2=2).sum(-1) - 1) / 2
    return skew * (torch.atan2(sine, cosine) / sine.clamp_min(1e-9))[:, None]


def _start(operator: PointOperator, world: Tensor, known: Tensor) -> PalmFrame:
    """Procrustes of the mean hand to each frame's palm, or to all that is known where that is no palm."""
    palm = torch.zeros(21, dtype=torch.bool, device=world.device)
    palm[list(PALM_JOINTS)] = True
    rigid = known & palm
    enough = torch.tensor([_fixes(points[mask]) for points, mask in zip(world, rigid, strict=True)])
    weights = torch.where(enough.to(known.device)[:, None], rigid + 1e-3 * known, 1.0 * known)
    weights = torch.where(known.any(1, keepdim=True), weights, 1.0)
    scale, rotation, origin = procrustes(operator.mean.expand_as(world), world, weights)
    return PalmFrame(scale, rotation, origin)


def _between(frame: PalmFrame, seen: Tensor) -> PalmFrame:
    """The same frames, of the size they mostly have; those not `seen` [T] lie between their neighbours."""
    there, now = seen.nonzero()[:, 0], torch.arange(len(seen))
    after = torch.searchsorted(there, now).clamp_max(len(there) - 1)
    before = torch.where(there[after] <= now, after, (after - 1).clamp_min(0))
    a, b = there[before], there[after]
    share = ((now - a) / (b - a).clamp_min(1)).clamp(0, 1).to(frame.scale)
    u, _, vt = torch.linalg.svd(torch.lerp(frame.rotation[a], frame.rotation[b], share[:, None, None]))
    return PalmFrame(
        frame.scale[seen].median().expand(len(seen)),
        torch.where(seen.to(u.device)[:, None, None], frame.rotation, u @ vt),
        torch.lerp(frame.origin[a], frame.origin[b], share[:, None]),
    )


def _fixes(points: Tensor) -> bool:
    """Whether points [P,3] are three or more that lie neither in one place nor on one line."""
    if len(points) < 3:
        return False
    values = torch.linalg.svdvals((points - points.mean(0)).double())
    return bool(values[1] > LINE * values[0].clamp_min(1e-30))


def _seen(sigma: Tensor) -> Tensor:
    """[T,M,1] bool: what is observed."""
    return torch.isfinite(sigma)[..., None]


def chunks(count: int, size: int) -> list[slice]:
    """0 to `count` in slices of `size`."""
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]
