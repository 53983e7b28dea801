"""Forward kinematics of the Adroit hand: 24 glove angles -> the 21 joints of a right hand.

Body positions and hinge axes are those of the MuJoCo model that the demonstrations were recorded on
(github.com/vikashplus/Adroit, resources/chain.xml, Apache-2.0). In its palm frame z runs along the
fingers, x towards the thumb, and -y out of the palm.
"""

import numpy as np

JOINT_NAMES = (
    "WRJ1 WRJ0 FFJ3 FFJ2 FFJ1 FFJ0 MFJ3 MFJ2 MFJ1 MFJ0 RFJ3 RFJ2 RFJ1 RFJ0 "
    "LFJ4 LFJ3 LFJ2 LFJ1 LFJ0 THJ4 THJ3 THJ2 THJ1 THJ0"
).split()

X, Y = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)
ARCH = (0.571, 0.0, 0.821)
PHALANGES = ((0.0, 0.0, 0.045), (0.0, 0.0, 0.025), (0.0, 0.0, 0.026))
KNUCKLES = {"FF": (0.033, 0.0, 0.095), "MF": (0.011, 0.0, 0.099), "RF": (-0.011, 0.0, 0.095)}
LITTLE_METACARPAL = (-0.017, 0.0, 0.044)
THUMB_BASE = (0.034, -0.009, 0.029)
THUMB_BASE_TURN = 0.785  # the thumb's base is turned towards the fingers about y
THUMB_BONES = ((0.0, 0.0, 0.038), (0.0, 0.0, 0.032), (0.0, 0.0, 0.0275))


def _turn(axis: tuple[float, float, float], angle: np.ndarray) -> np.ndarray:
    """Rotation matrices [N,3,3] by `angle` [N] radians about one axis (Rodrigues)."""
    x, y, z = np.asarray(axis) / np.linalg.norm(axis)
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    sine, cosine = np.sin(angle)[:, None, None], np.cos(angle)[:, None, None]
    return np.eye(3) + sine * cross + (1.0 - cosine) * (cross @ cross)


def adroit_joints(angles: np.ndarray) -> np.ndarray:
    """[N,24] angles in radians, in the order of JOINT_NAMES -> [N,21,3] metres, wrist at the origin.

    The two wrist angles only turn the whole hand and are left out.
    """
    angles = np.asarray(angles, np.float64)
    if angles.ndim != 2 or angles.shape[1] != len(JOINT_NAMES):
        raise ValueError(f"Adroit angles have shape {angles.shape}; expected [N, {len(JOINT_NAMES)}].")
    angle = dict(zip(JOINT_NAMES, angles.T, strict=True))
    joints = np.zeros((len(angles), 21, 3))

    turn = _turn(Y, np.full(len(angles), THUMB_BASE_TURN)) @ _turn((0.0, 0.0, -1.0), angle["THJ4"])
    turn = turn @ _turn(X, angle["THJ3"])
    joints[:, 1] = THUMB_BASE
    joints[:, 2] = joints[:, 1] + turn @ THUMB_BONES[0]
    turn = turn @ _turn(X, angle["THJ2"]) @ _turn(Y, angle["THJ1"])
    joints[:, 3] = joints[:, 2] + turn @ THUMB_BONES[1]
    joints[:, 4] = joints[:, 3] + turn @ _turn(Y, angle["THJ0"]) @ THUMB_BONES[2]

    arch = _turn(ARCH, angle["LFJ4"])
    for finger, first in (("FF", 5), ("MF", 9), ("RF", 13), ("LF", 17)):
        little = finger == "LF"
        turn = arch if little else np.broadcast_to(np.eye(3), (len(angles), 3, 3))
        joints[:, first] = LITTLE_METACARPAL + turn @ LITTLE_METACARPAL if little else KNUCKLES[finger]
        turn = turn @ _turn(Y, angle[finger + "J3"])
        for step, (hinge, bone) in enumerate(zip(("J2", "J1", "J0"), PHALANGES, strict=True)):
            turn = turn @ _turn(X, angle[finger + hinge])
            joints[:, first + step + 1] = joints[:, first + step] + turn @ bone
    return joints
