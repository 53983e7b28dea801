"""What a bone may turn: locked and driven channels, joint limits, and the best rotation within them."""

from __future__ import annotations

from dataclasses import dataclass

import bpy
import numpy as np
from mathutils import Euler, Matrix
from numpy.typing import NDArray

Array = NDArray[np.float64]

CHANNELS = {"QUATERNION": "rotation_quaternion", "AXIS_ANGLE": "rotation_axis_angle"}
"""Of a pose bone by its rotation mode; all others are Euler orders."""

TWIST_WEIGHT = 1e-3
"""Of a whole rotation beside the direction that it gives: decides what the direction leaves open."""
ROUNDS = 40


@dataclass(frozen=True)
class Freedom:
    """How far a bone may turn in its own space: an interval of every Euler angle."""

    order: str
    """Euler order, as Blender names it: the first axis turns first."""
    low: Array
    """[3] radians about x, y, z; -inf where nothing limits it, the same as `high` where it can't turn."""
    high: Array
    reason: str = ""
    """Why it is not free: "driver", "lock" or "limit"."""

    @property
    def whole(self) -> bool:
        """Whether nothing holds the bone back."""
        return bool(np.isinf(self.low).all() and np.isinf(self.high).all())

    @property
    def none(self) -> bool:
        """Whether no angle can change."""
        return bool((self.low == self.high).all())


def channel(bone: bpy.types.PoseBone) -> str:
    """Name of the property that holds a bone's rotation."""
    return CHANNELS.get(bone.rotation_mode, "rotation_euler")


def driven_channels(ob: bpy.types.Object) -> set[tuple[str, int]]:
    """Property path and index of everything of an object that a driver sets."""
    data = ob.animation_data
    return {(curve.data_path, curve.array_index) for curve in data.drivers} if data is not None else set()


def freedom(bone: bpy.types.PoseBone, driven: set[tuple[str, int]]) -> Freedom:
    """Locks, drivers, Limit Rotation constraints in local space and IK limits of a pose bone."""
    euler = channel(bone) == "rotation_euler"
    order = bone.rotation_mode if euler else "XYZ"
    now = np.array(bone.rotation_euler if euler else rotation(bone).to_euler("XYZ"), dtype=float)
    path = bone.path_from_id(channel(bone))
    by_driver = np.array([(path, i) in driven for i in range(3 if euler else 4)])
    locked = np.array(bone.lock_rotation, bool)
    if not euler:  # four numbers that only together are a rotation
        by_driver = np.full(3, by_driver.any())
        if bone.lock_rotations_4d:
            locked[:] = locked.any() or bone.lock_rotation_w
    low, high = _limits(bone)
    reason = "limit" if np.isfinite([low, high]).any() else ""
    low, high = np.minimum(low, high), np.maximum(low, high)
    fixed = locked | by_driver
    low[fixed] = high[fixed] = now[fixed]
    if fixed.any():
        reason = "driver" if by_driver.any() else "lock"
    return Freedom(order, low, high, reason)


def _limits(bone: bpy.types.PoseBone) -> tuple[Array, Array]:
    low, high = np.full(3, -np.inf), np.full(3, np.inf)
    for constraint in bone.constraints:
        if constraint.type == "LIMIT_ROTATION" and constraint.owner_space == "LOCAL" and _acts(constraint):
            for i, axis in enumerate("xyz"):
                if getattr(constraint, f"use_limit_{axis}"):
                    low[i] = max(low[i], getattr(constraint, f"min_{axis}"))
                    high[i] = min(high[i], getattr(constraint, f"max_{axis}"))
    for i, axis in enumerate("xyz"):
        if getattr(bone, f"use_ik_limit_{axis}"):
            low[i] = max(low[i], getattr(bone, f"ik_min_{axis}"))
            high[i] = min(high[i], getattr(bone, f"ik_max_{axis}"))
    return low, high


def _acts(constraint: bpy.types.Constraint) -> bool:
    return constraint.enabled and not constraint.mute and constraint.influence == 1


def acting_constraint(bone: bpy.types.PoseBone) -> str:
    """Name of the first constraint of a bone that is on, or ""."""
    on = (one.name for one in bone.constraints if one.enabled and not one.mute and one.influence > 0)
    return next(on, "")


def rotation(bone: bpy.types.PoseBone) -> Matrix:
    """Rotation [3, 3] that a bone's channels hold."""
    if bone.rotation_mode == "QUATERNION":
        return bone.rotation_quaternion.normalized().to_matrix()
    if bone.rotation_mode == "AXIS_ANGLE":
        angle, x, y, z = values(bone)[3:]
        return Matrix.Rotation(angle, 3, (x, y, z)) if x or y or z else Matrix.Identity(3)
    return bone.rotation_euler.to_matrix()


def values(bone: bpy.types.PoseBone) -> tuple[float, ...]:
    """What a bone's location and then its rotation channels hold, as they are."""
    return (*bone.location, *getattr(bone, channel(bone)))


def set_values(bone: bpy.types.PoseBone, held: tuple[float, ...]) -> None:
    """Put back what `values` gave."""
    bone.location = held[:3]
    setattr(bone, channel(bone), held[3:])


def set_angles(bone: bpy.types.PoseBone, free: Freedom, angles: Array) -> None:
    """Write the Euler angles [3] of a freedom into a bone's channels: as they are, where it has such."""
    if channel(bone) == "rotation_euler":
        bone.rotation_euler = Euler(angles.tolist(), free.order)
    else:
        set_rotation(bone, euler_matrix(free.order, angles))


def set_rotation(bone: bpy.types.PoseBone, matrix: Array) -> None:
    """Write a rotation [3, 3] into a bone's channels, as near to the values there as the mode allows."""
    turned = Matrix(matrix.tolist())
    if bone.rotation_mode == "QUATERNION":
        quaternion = turned.to_quaternion()
        quaternion.make_compatible(bone.rotation_quaternion)
        bone.rotation_quaternion = quaternion
    elif bone.rotation_mode == "AXIS_ANGLE":
        axis, angle = turned.to_quaternion().to_axis_angle()
        bone.rotation_axis_angle = (angle, *axis)  # type: ignore[assignment]
    else:
        bone.rotation_euler = turned.to_euler(bone.rotation_mode, bone.rotation_euler)


def within(free: Freedom, ideal: Array, along: Array, wanted: Array, near: Array) -> Array:
    """Euler angles [3] within a freedom that turn direction `along` best into `wanted`.

    Of those that do it equally well, the nearest to the rotation `ideal` [3, 3]; where `ideal` is allowed it
    is the answer. `near` [3, 3] is where the bone is now. Gauss-Newton on the three angles, held inside by
    an active set; a start from each of the two Euler angles of `ideal` and from `near`.
    """
    along, wanted = along / np.linalg.norm(along), wanted / np.linalg.norm(wanted)
    eulers = [Matrix(one.tolist()).to_euler(free.order) for one in (ideal, near)]
    starts = [np.array([euler.x, euler.y, euler.z]) for euler in eulers]
    starts.insert(1, _other(starts[0], free.order))
    best, least = starts[2], np.inf
    for start in starts:
        start = start + 2 * np.pi * np.round((np.clip(start, free.low, free.high) - start) / (2 * np.pi))
        angles = np.clip(start, free.low, free.high)
        if not np.allclose(angles, start, atol=1e-6):
            angles = _refine(free, angles, ideal, along, wanted)
        cost = float((_residual(euler_matrix(free.order, angles), ideal, along, wanted) ** 2).sum())
        if cost < least:
            best, least = angles, cost
    return best


def _refine(free: Freedom, angles: Array, ideal: Array, along: Array, wanted: Array) -> Array:
    def residual(at: Array) -> Array:
        return _residual(euler_matrix(free.order, at), ideal, along, wanted)

    damping = 1e-3
    left = residual(angles)
    for _ in range(ROUNDS):
        step = 1e-5 * np.eye(3)
        jacobian = np.stack([(residual(angles + h) - residual(angles - h)) / 2e-5 for h in step], axis=1)
        gradient = jacobian.T @ left
        held = ((angles <= free.low) & (gradient > 0)) | ((angles >= free.high) & (gradient < 0))
        held |= free.low == free.high
        if held.all():
            break
        moving = jacobian[:, ~held]
        change = np.zeros(3)
        normal = moving.T @ moving + damping * np.eye(moving.shape[1])
        change[~held] = np.linalg.solve(normal, -gradient[~held])
        tried = np.clip(angles + change, free.low, free.high)
        after = residual(tried)
        if after @ after < left @ left:
            small = np.abs(tried - angles).max() < 1e-9
            angles, left, damping = tried, after, damping / 10
            if small:
                break
        elif damping > 1e3:
            break
        else:
            damping *= 10
    return angles


def _residual(turned: Array, ideal: Array, along: Array, wanted: Array) -> Array:
    return np.concatenate([turned @ along - wanted, TWIST_WEIGHT * (turned - ideal).ravel()])


def _other(angles: Array, order: str) -> Array:
    """The other Euler angles of the same rotation."""
    first, middle, last = ("XYZ".index(axis) for axis in order)
    other = angles.copy()
    other[[first, last]] += np.pi
    other[middle] = np.pi - other[middle]
    return other


def euler_matrix(order: str, angles: Array) -> Array:
    """Rotation [3, 3] of angles [3] about x, y, z, as Blender applies them."""
    cosine, sine = np.cos(angles), np.sin(angles)
    turned = np.eye(3)
    for axis in order:
        i = "XYZ".index(axis)
        j, k = (i + 1) % 3, (i + 2) % 3
        one = np.eye(3)
        one[j, j] = one[k, k] = cosine[i]
        one[k, j], one[j, k] = sine[i], -sine[i]
        turned = one @ turned
    return turned


def twist_about(matrix: Array, axis: Array) -> Array:
    """The part of a rotation [3, 3] that turns about an axis; the rest of it is the swing after it."""
    axis = axis / np.linalg.norm(axis)
    quaternion = Matrix(matrix.tolist()).to_quaternion()
    along = float(np.dot(quaternion[1:], axis))
    if np.hypot(quaternion[0], along) < 1e-6:  # half a turn across the axis
        return np.eye(3)
    angle = 2 * np.arctan2(along, quaternion[0])
    return np.array(Matrix.Rotation(angle, 3, axis.tolist()), dtype=float)
