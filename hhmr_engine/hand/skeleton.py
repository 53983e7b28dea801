"""The hand's skeleton: 21 joints in OpenPose order and the 20 bones that move them."""

from __future__ import annotations

FINGERS = ("thumb", "index", "middle", "ring", "pinky")
LONG_FINGERS = FINGERS[1:]

JOINT_NAMES = (
    "wrist",
    *("thumb_cmc", "thumb_mcp", "thumb_ip", "thumb_tip"),
    *(f"{finger}_{joint}" for finger in LONG_FINGERS for joint in ("mcp", "pip", "dip", "tip")),
)
FINGER_JOINTS = {finger: tuple(range(1 + 4 * i, 5 + 4 * i)) for i, finger in enumerate(FINGERS)}
TIP_JOINTS = (4, 8, 12, 16, 20)
# Wrist and finger knuckles: the joints that move least against each other, which define the palm frame.
PALM_JOINTS = (0, 5, 9, 13, 17)
JOINT_PARENTS = tuple(
    -1 if j == 0 else 0 if j % 4 == 1 else j - 1 for j in range(21)
)  # the 20 bones one draws between joints

BONE_NAMES = (
    "wrist",
    *("thumb_cmc", "thumb_mcp", "thumb_ip"),
    *(f"{finger}_{bone}" for finger in LONG_FINGERS for bone in ("meta", "mcp", "pip", "dip")),
)
PARENTS = (-1, 0, 1, 2, 0, 4, 5, 6, 0, 8, 9, 10, 0, 12, 13, 14, 0, 16, 17, 18)
FINGER_BONES = {
    "thumb": (1, 2, 3),
    **{f: tuple(range(4 + 4 * i, 8 + 4 * i)) for i, f in enumerate(LONG_FINGERS)},
}
# JOINT_BONE[j] is the bone whose head is joint j; a fingertip belongs to the distal bone, as its tail.
JOINT_BONE = (0, 1, 2, 3, 3, 5, 6, 7, 7, 9, 10, 11, 11, 13, 14, 15, 15, 17, 18, 19, 19)
TIP_BONES = (3, 7, 11, 15, 19)
# The bones that make up the palm: what is rigid but for the arch of ring and pinky.
PALM_BONES = (0, 4, 8, 12, 16)
