"""What a hand takes up: capsules around its bones, and where two of them meet.

One tapered capsule per phalanx and metacarpal, measured on the template's own mesh.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .dof import DOF_NAMES
from .kinematics import Skeleton, bone_directions, bone_ends, pose_skeleton
from .skeleton import FINGER_BONES, LONG_FINGERS, PALM_BONES
from .template import HandTemplate

Array = Any  # np.ndarray or torch.Tensor, alike in all fields

MARGIN = 0.002
# The skin between neighbouring fingers, or thumb and palm, joins the first part of the proximal phalanges.
WEB = 0.4
# A capsule is fitted to the skin that follows its bone at least this much; EVEN weighs its prior.
FOLLOWS, EVEN = 0.35, 0.3
# Where along a metacarpal its capsule ends, so that the round end reaches the knuckle, and how far beside the
# bone its thickness is measured.
KNUCKLE, SLAB = 0.72, 0.01
# Proximal and distal phalanx of one finger, which close on each other.
SAME_FINGER = [(FINGER_BONES[finger][1], FINGER_BONES[finger][3]) for finger in LONG_FINGERS]


@dataclass(frozen=True)
class Proxies:
    """C capsules in the rest frames of their bones, and the P pairs of them that may not touch.

    Arrays in metres, or tensors in another unit.
    """

    bone: Array  # [C] int
    ends: Array  # [C,2,3] from the bone's head, rest orientation
    radius: Array  # [C,2] at both ends
    first: Array  # [P] capsule ids
    second: Array  # [P]
    margin: Array  # [P] what has to stay between the two

    def of(self, kind: np.dtype) -> Proxies:
        """The same in another precision."""
        names = ("ends", "radius", "margin")
        return replace(self, **{name: getattr(self, name).astype(kind) for name in names})

    def between_fingers(self) -> Proxies:
        """Without the pairs of one finger that closes on itself."""
        pairs = zip(self.bone[self.first], self.bone[self.second], strict=True)
        keep = np.array([(a, b) not in SAME_FINGER for a, b in pairs])
        return replace(self, **{name: getattr(self, name)[keep] for name in ("first", "second", "margin")})


@dataclass(frozen=True)
class Contacts:
    """How N hands stand at P pairs; arrays or tensors."""

    depth: Array  # [N,P] by which the margin is violated; negative = clear
    normal: Array  # [N,P,3] unit, from the first capsule to the second
    first: Array  # [N,P,3] nearest point on the first capsule's axis
    second: Array  # [N,P,3]
    along_first: Array  # [N,P] where that is, from 0 at one end of the axis to 1 at the other
    along_second: Array  # [N,P]


def measure_proxies(
    template: HandTemplate,
    margin: float = MARGIN,
    offsets: np.ndarray | None = None,
    lengths: np.ndarray | None = None,
) -> Proxies:
    """Fit the capsules to the rest mesh. A pair nearer than `margin` at rest only has to stay that far.

    `offsets` [20,3] and `lengths` [20] make another rest hand (see pose_skeleton); give them to `part` too.
    """
    bones = [bone for finger in FINGER_BONES.values() for bone in finger]
    dominant = template.weights.argmax(1)
    palm = template.vertices[np.isin(dominant, PALM_BONES)]
    fits = [
        _slab(template, bone, palm)
        if bone in PALM_BONES
        else _capsule(template, bone, template.vertices[template.weights[:, bone] > FOLLOWS])
        for bone in bones
    ]
    pairs = np.array([(bones.index(a), bones.index(b)) for a, b in _bone_pairs()])
    ends, radius = np.array([fit[0] for fit in fits]), np.array([fit[1] for fit in fits])
    if lengths is not None:
        along = bone_directions(template)[bones]
        ends += (lengths[bones, None] - 1.0)[:, None] * (ends @ along[..., None]) * along[:, None]
    bare = Proxies(np.array(bones), ends, radius, pairs[:, 0], pairs[:, 1], np.zeros(len(pairs)))
    rest = pose_skeleton(template, np.zeros((1, len(DOF_NAMES))), offsets, lengths)
    rest_gap = -find_contacts(bare, axes(bare, rest)).depth[0]
    itself = [(a, b) in SAME_FINGER for a, b in _bone_pairs()]  # may touch: its flesh gives way
    return replace(bare, margin=np.minimum(np.where(itself, 0.0, margin), rest_gap))


def _bone_pairs() -> Iterator[tuple[int, int]]:
    """Bones that may not touch; neighbours along a finger, and the palm with itself, always do."""
    thumb, long = FINGER_BONES["thumb"], [FINGER_BONES[finger] for finger in LONG_FINGERS]
    for number, one in enumerate(long):
        for other in long[number + 1 :]:
            yield from ((a, b) for a in one[1:] for b in other[1:])
        yield from ((a, b) for a in thumb for b in one[1:] if (a, b) != (thumb[0], long[0][1]))
        yield from ((a, one[0]) for a in thumb[1:])
        yield from ((a[bone], one[0]) for a in long for bone in (2, 3))
    yield from SAME_FINGER


def _capsule(template: HandTemplate, bone: int, skin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ends [2,3] and radii [2] of a tapered tube fitted to the vertices `skin` that follow the bone.

    Gauss-Newton on |q - c(t)| - r(t) with the axis offset c and the radius r linear in t along the bone.
    """
    head, end = bone_ends(template)[bone].astype(np.float64)
    reach = np.linalg.norm(end - head)
    along = (end - head) / reach
    t = (skin - head) @ along / reach
    ring = (t > 0.0) & (t < 0.85)
    t, flat = t[ring], (skin - head - np.outer((skin - head) @ along, along))[ring]
    side = np.linalg.svd(along[None])[2][1:]  # two directions across the bone
    spread = np.stack([1.0 - t, t], 1)  # weights of the values at both ends
    centre, radius = np.zeros((2, 2)), np.full(2, 0.01)
    # Holds the radii alike and the axis near the bone where the skin says little.
    even = EVEN * np.sqrt(len(t)) * np.vstack([0.5 * np.eye(4, 6), [[0.0] * 4 + [1.0, -1.0]]])
    for _ in range(20):
        away = flat @ side.T - spread @ centre
        distance = np.linalg.norm(away, axis=1)
        unit = away / distance[:, None]
        columns = np.hstack([unit[:, :1] * spread, unit[:, 1:] * spread, spread])
        target = np.append(distance - spread @ radius, even @ np.append(centre.T, radius))
        step = np.linalg.lstsq(np.vstack([columns, -even]), target, rcond=None)[0]
        centre += step[:4].reshape(2, 2).T
        radius += step[4:]
    is_tip = bone in [bones[-1] for bones in FINGER_BONES.values()]
    is_proximal = bone in [bones[1] for bones in FINGER_BONES.values()]
    cut = np.array([WEB if is_proximal else 0.0, 1.0 - radius[1] / reach if is_tip else 1.0])
    spread = np.stack([1.0 - cut, cut], 1)
    return spread @ centre @ side + np.outer(cut * reach, along), spread @ radius


def _slab(template: HandTemplate, bone: int, palm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ends [2,3] and radii [2] of the palm around a metacarpal: as thick as the skin in front and behind.

    Measured on the palm's vertices [M,3] beside the bone, where the capsule ends.
    """
    head, end = bone_ends(template)[bone].astype(np.float64)
    ends, radius = [], []
    for t in (0.0, KNUCKLE):
        middle = head + t * (end - head)
        beside = np.linalg.norm((palm - middle)[:, :2], axis=1) < SLAB
        back, front = palm[beside, 2].max(), palm[beside, 2].min()
        ends.append(np.append(middle[:2], 0.5 * (back + front)) - head)
        radius.append(0.5 * (back - front))
    return np.array(ends), np.array(radius)


def axes(proxies: Proxies, hands: Skeleton) -> np.ndarray:
    """Both ends [N,C,2,3] of every capsule's axis."""
    turn, head = hands.turn[:, proxies.bone], hands.heads[:, proxies.bone]
    return proxies.ends @ turn.swapaxes(-1, -2) + head[:, :, None]


def find_contacts(proxies: Proxies, ends: Array) -> Contacts:
    """Nearest points of every pair of axes [N,C,2,3] (Ericson, Real-Time Collision Detection, 5.1.9).

    Arrays or tensors; `proxies` of the same kind, type and unit.
    """
    one, two = proxies.first, proxies.second
    start, span = ends[:, :, 0], ends[:, :, 1] - ends[:, :, 0]
    square = _dot(span, span)
    u, v, r = span[:, one], span[:, two], start[:, one] - start[:, two]
    a, e, b = square[:, one], square[:, two], _dot(u, v)
    c, f = _dot(u, r), _dot(v, r)
    s = ((b * f - c * e) / (a * e - b * b).clip(1e-12)).clip(0.0, 1.0)
    t = ((b * s + f) / e).clip(0.0, 1.0)
    s = ((b * t - c) / a).clip(0.0, 1.0)
    first, second = start[:, one] + s[..., None] * u, start[:, two] + t[..., None] * v
    apart = second - first
    distance = _dot(apart, apart) ** 0.5 + 1e-9
    radius = proxies.radius
    thick = radius[one, 0] + s * (radius[one, 1] - radius[one, 0])
    thick = thick + radius[two, 0] + t * (radius[two, 1] - radius[two, 0])
    return Contacts(thick + proxies.margin - distance, apart / distance[..., None], first, second, s, t)


def _dot(u: Array, v: Array) -> Array:
    """Of vectors [...,3]; for so few coordinates faster than a sum along an axis."""
    return u[..., 0] * v[..., 0] + u[..., 1] * v[..., 1] + u[..., 2] * v[..., 2]
