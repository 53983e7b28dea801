"""Gauss-Newton fits of the posed skeleton to recorded joints, all hands at once, in numpy float64.

Unknown per hand: 24 angles, a rotation and a translation. Shared by a source: the calibration (bone lengths,
axis offsets, scale, and where its wrist and thumb CMC lie). The shared part is solved by eliminating the
hands from the normal equations (Schur complement). Lengths in metres of our hand.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from ..hand.dof import DOF_NAMES, LIMITS
from ..hand.kinematics import DOF_BONE, MOVED_JOINTS, Skeleton, bone_directions, bone_ends, pose_skeleton
from ..hand.rotation import rotation_matrix
from ..hand.skeleton import PARENTS
from ..hand.template import HandTemplate

JOINT_SIGMA = 0.001
ROBUST = 0.006  # metres: a joint further off than this counts less and less (Cauchy)
LIMIT_SIGMA = np.radians(3.0)
LENGTH_SIGMA, OFFSET_SIGMA, SHIFT_SIGMA = 0.15, 0.12, 0.008
SHIFTED = (0, 1)  # joints whose place is a convention: wrist and thumb CMC
RIGID_JOINTS = (0, 1, 2, 5, 9, 13, 17)  # what a first alignment may rely on
HAND = 30  # unknowns per hand: angles, rotation, translation
BENDING = [row for row, name in enumerate(DOF_NAMES) if name.endswith(("mcp_flex", "pip_flex"))]
SHARED = 20 + 60 + 3 * len(SHIFTED) + 1


@dataclass(frozen=True)
class Calibration:
    """What makes a source's skeleton ours."""

    lengths: np.ndarray  # [20] bone lengths relative to the template
    offsets: np.ndarray  # [20,3] rotation vectors before the angles, radians
    shifts: np.ndarray  # [2,3] metres: where the source puts wrist and thumb CMC, relative to ours
    scale: float  # our size / the source's size


@dataclass(frozen=True)
class AnglePrior:
    """Gaussian over the 24 angles; `root` is a square root of the precision: |root (x - mean)|^2."""

    mean: np.ndarray  # [24]
    root: np.ndarray  # [24,24]


@dataclass(frozen=True)
class Hands:
    """Per-hand unknowns."""

    angles: np.ndarray  # [N,24]
    rotation: np.ndarray  # [N,3,3]
    translation: np.ndarray  # [N,3]


def neutral_calibration() -> Calibration:
    return Calibration(np.ones(20), np.zeros((20, 3)), np.zeros((len(SHIFTED), 3)), 1.0)


def angle_prior(samples: np.ndarray, widen: float = 1.7, floor: float = 0.1) -> AnglePrior:
    """The Gaussian of `samples` [M,24], its deviations widened as design/registration.md found best."""
    covariance = widen**2 * np.cov(samples.T.astype(np.float64)) + floor**2 * np.eye(24)
    return AnglePrior(samples.mean(0).astype(np.float64), np.linalg.cholesky(np.linalg.inv(covariance)).T)


def first_guess(template: HandTemplate, joints: np.ndarray, scale: float, angles: np.ndarray) -> Hands:
    """Hands posed by `angles` [24] and laid on `joints` [N,21,3] by their palms (Kabsch, NaN left out)."""
    ours = pose_skeleton(template, angles[None].astype(np.float64)).joints[0, list(RIGID_JOINTS)]
    theirs = joints[:, RIGID_JOINTS] * scale
    known = ~np.isnan(theirs[..., :1])
    weight = known / known.sum(1, keepdims=True)
    theirs = np.nan_to_num(theirs)
    centre, goal = (weight * ours).sum(1), (weight * theirs).sum(1)
    cross = (weight * (theirs - goal[:, None])).transpose(0, 2, 1) @ (ours - centre[:, None])
    u, _, vt = np.linalg.svd(cross)
    u[:, :, 2] *= np.linalg.det(u @ vt)[:, None]
    rotation = u @ vt
    translation = goal - (rotation @ centre[..., None])[..., 0]
    return Hands(np.repeat(angles[None].astype(np.float64), len(joints), 0), rotation, translation)


def _predict(
    template: HandTemplate, hands: Hands, calibration: Calibration
) -> tuple[Skeleton, np.ndarray, np.ndarray]:
    """The skeletons, their joints as the source would mark them, and those turned into place [N,21,3]."""
    skeleton = pose_skeleton(template, hands.angles, calibration.offsets, calibration.lengths)
    marked = skeleton.joints.copy()
    marked[:, SHIFTED] += calibration.shifts
    turned = marked @ hands.rotation.transpose(0, 2, 1)
    return skeleton, turned, turned + hands.translation[:, None]


def residuals(
    template: HandTemplate, hands: Hands, calibration: Calibration, joints: np.ndarray
) -> np.ndarray:
    """[N,21] metres at our hand's size, NaN where the recording has no joint."""
    placed = _predict(template, hands, calibration)[2]
    return np.linalg.norm(placed - joints * calibration.scale, axis=-1)


def _hand_jacobian(hands: Hands, skeleton: Skeleton, turned: np.ndarray) -> np.ndarray:
    """d placed joints / d (angles, rotation, translation), [N,21,3,30]."""
    arm = skeleton.joints[:, :, None] - skeleton.heads[:, None, DOF_BONE]
    swing = np.cross(skeleton.hinges[:, None], arm) * MOVED_JOINTS[DOF_BONE].T[..., None]  # [N,21,24,3]
    jacobian = np.zeros((*turned.shape, HAND))
    jacobian[..., :24] = hands.rotation[:, None] @ swing.transpose(0, 1, 3, 2)
    jacobian[..., 24:27] = -_cross_matrix(turned)
    jacobian[..., 27:] = np.eye(3)
    return jacobian


def _shared_jacobian(
    template: HandTemplate, hands: Hands, calibration: Calibration, skeleton: Skeleton, joints: np.ndarray
) -> np.ndarray:
    """d (placed - scaled observation) / d (lengths, offsets, shifts, log scale), [N,21,3,SHARED]."""
    jacobian = np.zeros((*joints.shape, SHARED))
    stretch = np.einsum("nbij,bkj->nkib", skeleton.turn, _stretch_arms(template))
    jacobian[..., :20] = hands.rotation[:, None] @ stretch
    frames = skeleton.base @ _left_jacobian(calibration.offsets)  # columns: world axes of the offsets
    arm = skeleton.joints[:, :, None] - skeleton.heads[:, None]  # [N,21,20,3]
    swing = -_cross_matrix(arm) @ frames[:, None] * MOVED_JOINTS.T[..., None, None]  # [N,21,20,3,3]
    swing[:, :, 0] = 0.0  # the wrist's offset is the hand's own rotation
    swing = swing.transpose(0, 1, 3, 2, 4).reshape(*joints.shape, 60)
    jacobian[..., 20:80] = hands.rotation[:, None] @ swing
    for number, joint in enumerate(SHIFTED):
        jacobian[:, joint, :, 80 + 3 * number : 83 + 3 * number] = hands.rotation
    jacobian[..., -1] = -np.nan_to_num(joints) * calibration.scale
    return jacobian


def _cross_matrix(vector: np.ndarray) -> np.ndarray:
    """[...,3,3] with cross_matrix(v) @ x = v x x."""
    x, y, z = np.moveaxis(vector, -1, 0)
    zero = np.zeros_like(x)
    return np.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*vector.shape, 3)


def _left_jacobian(vector: np.ndarray) -> np.ndarray:
    """Left Jacobian of SO(3) at rotation vectors [B,3]: exp(v + d) = exp(J d) exp(v)."""
    angle = np.linalg.norm(vector, axis=-1)[..., None, None] + 1e-9
    cross = _cross_matrix(vector)
    return (
        np.eye(3)
        + (1.0 - np.cos(angle)) / angle**2 * cross
        + (angle - np.sin(angle)) / angle**3 * (cross @ cross)
    )


def _stretch_arms(template: HandTemplate) -> np.ndarray:
    """[20,21,3]: what one unit of a bone's length adds, in its rest frame, to each joint it moves."""
    along = bone_directions(template).astype(np.float64)
    ends = bone_ends(template).astype(np.float64)
    arms = np.zeros((20, 21, 3))
    for bone in range(20):
        arms[bone, MOVED_JOINTS[bone]] = ends[bone, 1] - ends[bone, 0]
    for child in (bone for bone in range(20) if PARENTS[bone] == 0):  # the wrist carries five bones
        below = MOVED_JOINTS[child].copy()
        below[1] |= child == 1  # the thumb CMC is a joint; where the other four begin is none
        arms[0, below] = ends[child, 0] - ends[0, 0]
    return along[:, None] * (arms @ along[..., None])


class _System(NamedTuple):
    """The hands' normal equations, and what the shared part needs of them."""

    curvature: np.ndarray  # [N,30,30] with the prior
    gradient: np.ndarray  # [N,30] with the prior
    jacobian: np.ndarray  # [N,63,30] of the joints, weighted
    error: np.ndarray  # [N,63] of the joints, weighted
    weight: np.ndarray  # [N,21]
    skeleton: Skeleton


def _normal_equations(
    template: HandTemplate, hands: Hands, calibration: Calibration, joints: np.ndarray, prior: AnglePrior
) -> _System:
    skeleton, turned, placed = _predict(template, hands, calibration)
    error = np.nan_to_num(placed - joints * calibration.scale)
    weight = _robust_weight(error, joints)
    jacobian = weight[..., None, None] * _hand_jacobian(hands, skeleton, turned)
    jacobian = jacobian.reshape(len(joints), 63, HAND)
    error = (weight[..., None] * error).reshape(len(joints), 63)
    curvature = jacobian.transpose(0, 2, 1) @ jacobian
    gradient = (jacobian.transpose(0, 2, 1) @ error[..., None])[..., 0]
    pull = (hands.angles - prior.mean) @ prior.root.T
    beyond = hands.angles - np.clip(hands.angles, LIMITS[:, 0], LIMITS[:, 1])
    curvature[:, :24, :24] += prior.root.T @ prior.root
    curvature[:, np.arange(24), np.arange(24)] += (beyond != 0.0) / LIMIT_SIGMA**2
    gradient[:, :24] += pull @ prior.root + beyond / LIMIT_SIGMA**2
    return _System(curvature, gradient, jacobian, error, weight, skeleton)


def _robust_weight(error: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """[N,21] square roots of the joints' weights; 0 where the recording has none."""
    square = np.square(error).sum(-1)
    known = ~np.isnan(joints[..., 0])
    return known / (JOINT_SIGMA * np.sqrt(1.0 + square / ROBUST**2))


def energy(
    template: HandTemplate, hands: Hands, calibration: Calibration, joints: np.ndarray, prior: AnglePrior
) -> np.ndarray:
    """[N] what the fit minimises for one hand: Cauchy loss of the joints, prior, limits."""
    square = np.nan_to_num(residuals(template, hands, calibration, joints)) ** 2
    data = (ROBUST / JOINT_SIGMA) ** 2 * np.log1p(square / ROBUST**2).sum(1)
    pull = np.square((hands.angles - prior.mean) @ prior.root.T).sum(1)
    beyond = hands.angles - np.clip(hands.angles, LIMITS[:, 0], LIMITS[:, 1])
    return data + pull + np.square(beyond / LIMIT_SIGMA).sum(1)


def _moved(hands: Hands, step: np.ndarray) -> Hands:
    """Apply a step [N,30], no angle by more than half a radian at once."""
    longest = np.abs(step[:, :27]).max(1, keepdims=True)
    step = step * np.minimum(1.0, 0.5 / np.maximum(longest, 1e-12))
    rotation = rotation_matrix(step[:, 24:27]) @ hands.rotation
    return Hands(hands.angles + step[:, :24], rotation, hands.translation + step[:, 27:])


def _chosen(rows: np.ndarray, one: Hands, other: Hands) -> Hands:
    """Row by row: `one` where `rows` [N], else `other`."""
    flat, square = rows[:, None], rows[:, None, None]
    return Hands(
        np.where(flat, one.angles, other.angles),
        np.where(square, one.rotation, other.rotation),
        np.where(flat, one.translation, other.translation),
    )


def fit_hands(
    template: HandTemplate,
    joints: np.ndarray,
    calibration: Calibration,
    prior: AnglePrior,
    rounds: int = 14,
    start: Hands | None = None,
) -> tuple[Hands, np.ndarray]:
    """Levenberg-Marquardt per hand with a fixed calibration; the hands and their energies [N].

    Without a start it begins at an open and at a closed hand and keeps the better end.
    """
    if start is None:
        closed = prior.mean.copy()
        closed[BENDING] += 0.7
        starts = [first_guess(template, joints, calibration.scale, pose) for pose in (prior.mean, closed)]
        ends = [fit_hands(template, joints, calibration, prior, rounds, start) for start in starts]
        better = ends[0][1] <= ends[1][1]
        return _chosen(better, ends[0][0], ends[1][0]), np.minimum(ends[0][1], ends[1][1])
    hands, damping = start, np.full(len(joints), 1e-2)
    cost = energy(template, hands, calibration, joints, prior)
    diagonal = np.arange(HAND)
    for _ in range(rounds):
        curvature, gradient, *_ = _normal_equations(template, hands, calibration, joints, prior)
        curvature[:, diagonal, diagonal] *= 1.0 + damping[:, None]
        step = -np.linalg.solve(curvature, gradient[..., None])[..., 0]
        trial = _moved(hands, step)
        trial_cost = energy(template, trial, calibration, joints, prior)
        better = trial_cost < cost
        hands, cost = _chosen(better, trial, hands), np.where(better, trial_cost, cost)
        damping = np.where(better, 0.3 * damping, 8.0 * damping)
    return hands, cost


def calibrate(template: HandTemplate, joints: np.ndarray, prior: AnglePrior, rounds: int = 25) -> Calibration:
    """One calibration for all `joints` [N,21,3], solved together with their poses."""
    size = np.nanmedian(np.linalg.norm(joints[:, 5:] - joints[:, 9:10], axis=-1))
    rest = pose_skeleton(template, prior.mean[None]).joints
    scale = np.median(np.linalg.norm(rest[:, 5:] - rest[:, 9:10], axis=-1)) / size
    calibration = replace(neutral_calibration(), scale=float(scale))
    hands, _ = fit_hands(template, joints, calibration, prior)
    cost = np.inf
    damping = 1e-3
    for _ in range(rounds):
        total = energy(template, hands, calibration, joints, prior).sum()
        total += len(joints) * stiffness(calibration)
        if total < cost:
            cost, kept, damping = total, (hands, calibration), damping * 0.3
        else:
            (hands, calibration), damping = kept, damping * 10.0
        step, shared = _joint_step(template, hands, calibration, joints, prior, damping)
        hands, calibration = _moved(hands, step), _recalibrated(calibration, shared)
    return kept[1]


def _joint_step(
    template: HandTemplate,
    hands: Hands,
    calibration: Calibration,
    joints: np.ndarray,
    prior: AnglePrior,
    damping: float,
) -> tuple[np.ndarray, np.ndarray]:
    """One Gauss-Newton step of all hands [N,30] and of the calibration [SHARED]."""
    system = _normal_equations(template, hands, calibration, joints, prior)
    curvature, gradient, jacobian, error, weight, skeleton = system
    diagonal = np.arange(HAND)
    curvature[:, diagonal, diagonal] *= 1.0 + damping
    common = _shared_jacobian(template, hands, calibration, skeleton, joints)
    common = (weight[..., None, None] * common).reshape(len(joints), 63, SHARED)
    mixed = jacobian.transpose(0, 2, 1) @ common  # [N,30,SHARED]
    solved = np.linalg.solve(curvature, np.concatenate([mixed, gradient[..., None]], -1))
    value, precision = _calibration_prior(calibration)
    rows, mixed = common.reshape(-1, SHARED), mixed.reshape(-1, SHARED)
    schur = rows.T @ rows - mixed.T @ solved[..., :-1].reshape(-1, SHARED)
    schur += np.diag(len(joints) * precision * (1.0 + damping))
    right = rows.T @ error.ravel() - mixed.T @ solved[..., -1].ravel()
    right += len(joints) * precision * value
    shared = -np.linalg.solve(schur, right)
    return -(solved[..., -1] + solved[..., :-1] @ shared), shared


def _calibration_prior(calibration: Calibration) -> tuple[np.ndarray, np.ndarray]:
    """Deviation from the template [SHARED] and its precision [SHARED], per hand.

    Counted once per hand, or the mean pose of a long recording would be taken for a property of the device.
    """
    value = np.concatenate(
        [calibration.lengths - 1.0, calibration.offsets.ravel(), calibration.shifts.ravel(), [0.0]]
    )
    sigma = np.repeat([LENGTH_SIGMA, OFFSET_SIGMA, SHIFT_SIGMA, 1.0], [20, 60, 3 * len(SHIFTED), 1])
    return value, sigma**-2.0


def stiffness(calibration: Calibration) -> float:
    """How far it is from the template in deviations, squared: 20 to 60 for a device's joints of a hand."""
    value, precision = _calibration_prior(calibration)
    return float((precision * value**2).sum())


def _recalibrated(calibration: Calibration, step: np.ndarray) -> Calibration:
    return Calibration(
        np.maximum(calibration.lengths + step[:20], 0.3),
        calibration.offsets + step[20:80].reshape(20, 3),
        calibration.shifts + step[80:-1].reshape(-1, 3),
        float(calibration.scale * np.exp(np.clip(step[-1], -0.2, 0.2))),
    )
