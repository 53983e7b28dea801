"""Capsule proxies of a hand: do its fingers run into each other or the palm, and how to part them.

One tapered capsule per phalanx and metacarpal, measured on the template's own mesh. Parting is a gradient
descent on the summed squared depths in the joint angles, all hands at once: every contact pushes its two
bones apart, and an angle gives way by the torque it feels. A hand that is clear is left alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import TypeVar

import numpy as np

from ..hand.dof import DOF_NAMES, LIMITS
from ..hand.skeleton import FINGER_BONES, LONG_FINGERS, PALM_BONES
from ..hand.template import HandTemplate
from .kinematics import DOF_BONE, Skeleton, bone_directions, bone_ends, pose_skeleton, subtree

MARGIN = 0.002
ROUNDS = 24
# The skin between neighbouring fingers, or thumb and palm, joins the first part of the proximal phalanges.
WEB = 0.4
# A capsule is fitted to the skin that follows its bone at least this much; EVEN weighs its prior.
FOLLOWS, EVEN = 0.35, 0.3
# Where along a metacarpal its capsule ends, so that the round end reaches the knuckle, and how far beside the
# bone its thickness is measured.
KNUCKLE, SLAB = 0.72, 0.01
# Proximal and distal phalanx of one finger, which close on each other.
SAME_FINGER = [(FINGER_BONES[finger][1], FINGER_BONES[finger][3]) for finger in LONG_FINGERS]
# How readily an angle gives way, relative to flexion.
GIVE = np.array(
    [0.6 if "_abd" in name else 0.3 if "meta" in name or "twist" in name else 1.0 for name in DOF_NAMES]
)


@dataclass(frozen=True)
class Proxies:
    """C capsules in the rest frames of their bones, and the P pairs of them that may not touch."""

    bone: np.ndarray  # [C] int
    ends: np.ndarray  # [C,2,3] metres from the bone's head, rest orientation
    radius: np.ndarray  # [C,2] metres at both ends
    first: np.ndarray  # [P] capsule ids
    second: np.ndarray  # [P]
    margin: np.ndarray  # [P] metres that have to stay between the two


@dataclass(frozen=True)
class Contacts:
    """How N hands stand at P pairs."""

    depth: np.ndarray  # [N,P] metres by which the margin is violated; negative = clear
    normal: np.ndarray  # [N,P,3] unit, from the first capsule to the second
    first: np.ndarray  # [N,P,3] nearest point on the first capsule's axis
    second: np.ndarray  # [N,P,3]


Group = TypeVar("Group", Skeleton, Contacts)


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
    rest_gap = -find_contacts(bare, rest).depth[0]
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


def find_contacts(proxies: Proxies, hands: Skeleton) -> Contacts:
    """Nearest points of every pair of capsule axes (Ericson, Real-Time Collision Detection, 5.1.9)."""
    kind = hands.heads.dtype
    turn, head = hands.turn[:, proxies.bone], hands.heads[:, proxies.bone]
    start = (turn @ proxies.ends[:, 0, :, None].astype(kind))[..., 0] + head
    span = (turn @ (proxies.ends[:, 1] - proxies.ends[:, 0])[:, :, None].astype(kind))[..., 0]
    square = np.square(proxies.ends[:, 1] - proxies.ends[:, 0]).sum(1).astype(kind)
    one, two = proxies.first, proxies.second
    u, v, r = span[:, one], span[:, two], start[:, one] - start[:, two]
    a, e, b = square[one], square[two], np.einsum("npc,npc->np", u, v)
    c, f = np.einsum("npc,npc->np", u, r), np.einsum("npc,npc->np", v, r)
    s = np.clip((b * f - c * e) / np.maximum(a * e - b * b, 1e-12), 0.0, 1.0)
    t = np.clip((b * s + f) / e, 0.0, 1.0)
    s = np.clip((b * t - c) / a, 0.0, 1.0)
    first, second = start[:, one] + s[..., None] * u, start[:, two] + t[..., None] * v
    apart = second - first
    distance = np.sqrt(np.einsum("npc,npc->np", apart, apart)) + kind.type(1e-9)
    radius = proxies.radius.astype(kind)
    thick = radius[one, 0] + s * (radius[one, 1] - radius[one, 0])
    thick = thick + radius[two, 0] + t * (radius[two, 1] - radius[two, 0])
    return Contacts(
        thick + proxies.margin.astype(kind) - distance, apart / distance[..., None], first, second
    )


def part(
    template: HandTemplate,
    proxies: Proxies,
    angles: np.ndarray,
    rounds: int = ROUNDS,
    offsets: np.ndarray | None = None,
    lengths: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Open `angles` [N,24] until the proxies are clear; returns them and which of them are clear, [N] bool.

    `offsets` [20,3] and `lengths` [20] as in pose_skeleton. Angles stay within the limits, or where they came
    from if that was outside.
    """
    angles = np.array(angles, np.float32)
    low, high = np.minimum(LIMITS[:, 0], angles), np.maximum(LIMITS[:, 1], angles)
    clear = np.zeros(len(angles), bool)
    rows = np.arange(len(angles))
    for turn in range(rounds + 1):
        hands = pose_skeleton(template, angles[rows], offsets, lengths)
        contacts = find_contacts(proxies, hands)
        # The last half millimetre of the margin is slack, so that hands finish.
        dirty = contacts.depth.max(1) > 0.0005
        clear[rows[~dirty]] = True
        rows = rows[dirty]
        if not len(rows) or turn == rounds:
            break
        step = yielding(proxies, _take(hands, dirty), _take(contacts, dirty))
        angles[rows] = np.clip(angles[rows] + step, low[rows], high[rows])
    return angles, clear


def _take(group: Group, rows: np.ndarray) -> Group:
    """The chosen rows of every array."""
    return type(group)(*(getattr(group, field.name)[rows] for field in fields(group)))


def yielding(proxies: Proxies, hands: Skeleton, contacts: Contacts) -> np.ndarray:
    """Change of angles [N,24] that undoes the depths to first order (the exact step for a single contact)."""
    kind = hands.heads.dtype
    depth = np.maximum(contacts.depth, 0.0)
    push = depth[..., None] * contacts.normal
    load = np.concatenate([push, np.cross(contacts.second, push)], -1).astype(kind)
    back = np.concatenate([-push, np.cross(contacts.first, -push)], -1).astype(kind)
    to_bone = subtree().astype(kind)[:, proxies.bone]  # [20,C]
    second, first = to_bone[:, proxies.second], to_bone[:, proxies.first]
    wrench = second @ load + first @ back  # [N,20,6] force and moment on everything below each bone
    force, moment = wrench[:, DOF_BONE, :3], wrench[:, DOF_BONE, 3:]
    torque = np.einsum("ndc,ndc->nd", hands.hinges, moment - np.cross(hands.heads[:, DOF_BONE], force))
    give = GIVE.astype(kind)
    stiffness = np.square(torque * np.sqrt(give)).sum(1)
    size = np.square(depth).sum(1) / np.maximum(stiffness, 1e-12)
    return np.clip(1.3 * size[:, None] * give * torque, -0.2, 0.2)
