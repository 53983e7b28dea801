"""Do a hand's fingers run into each other or the palm, and how to part them in its joint angles.

Parting is a gradient descent on the summed squared depths of its capsules (hand/capsules.py) in the joint
angles, all hands at once: every contact pushes its two bones apart, and an angle gives way by the torque it
feels. A hand that is clear is left alone.
"""

from dataclasses import fields
from typing import TypeVar

import numpy as np

from ..hand.capsules import Contacts, Proxies, axes, find_contacts
from ..hand.dof import DOF_NAMES, LIMITS
from ..hand.kinematics import DOF_BONE, Skeleton, pose_skeleton, subtree
from ..hand.template import HandTemplate

ROUNDS = 24
# How readily an angle gives way, relative to flexion.
GIVE = np.array(
    [0.6 if "_abd" in name else 0.3 if "meta" in name or "twist" in name else 1.0 for name in DOF_NAMES]
)

Group = TypeVar("Group", Skeleton, Contacts)


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
    proxies, clear = proxies.of(angles.dtype), np.zeros(len(angles), bool)
    rows = np.arange(len(angles))
    for turn in range(rounds + 1):
        hands = pose_skeleton(template, angles[rows], offsets, lengths)
        contacts = find_contacts(proxies, axes(proxies, hands))
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
