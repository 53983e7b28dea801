"""Biomechanical hand poses: a mixture of what hands do, cleaned of penetrations.

A draw is a kind of hand (gesture, single finger, pinch, grasp, relaxed, free), from it one state per finger,
and correlated noise around the states. Numbers are degrees relative to the rest pose, which itself bends
MCP 15, PIP 12 and DIP 8.
"""

from functools import lru_cache

import numpy as np

from ..hand.capsules import Contacts, Proxies, measure_proxies
from ..hand.dof import DOF_NAMES, LIMITS
from ..hand.kinematics import Skeleton, pose_skeleton
from ..hand.skeleton import LONG_FINGERS
from ..hand.template import HandTemplate, load_template
from .penetration import part, yielding

KINDS = {"gesture": 0.34, "single": 0.14, "pinch": 0.12, "grasp": 0.22, "relaxed": 0.1, "free": 0.08}

# State of a long finger: mean and deviation of MCP and PIP flexion.
STATES = {
    "straight": ((-10, 9), (-6, 5)),
    "half": ((22, 18), (32, 18)),
    "bent": ((58, 14), (4, 9)),
    "hook": ((2, 14), (78, 16)),
    "crook": ((-8, 10), (45, 16)),
    "fist": ((62, 12), (80, 12)),
}
OPEN_STATES = {"straight": 0.66, "crook": 0.1, "bent": 0.08, "half": 0.16}
CLOSED_STATES = {"fist": 0.58, "half": 0.16, "hook": 0.14, "bent": 0.12}

# State of the thumb: means of CMC abduction, flexion, twist, MCP abduction, flexion, IP flexion.
THUMB_STATES = {
    "rest": (2, 6, 6, -2, 0, 4),
    "side": (30, 5, 2, 0, -12, -18),
    "along": (10, 13, 6, -2, 2, -4),
    "palm": (-10, 18, 30, -4, 24, 34),
    "opposed": (-20, 12, 26, -6, 4, 14),
}
THUMB_DEVIATION = (11, 7, 11, 5, 11, 16)
THUMB_OPEN = {"rest": 0.25, "side": 0.35, "along": 0.25, "opposed": 0.15}
THUMB_CLOSED = {"rest": 0.15, "side": 0.15, "along": 0.2, "palm": 0.35, "opposed": 0.15}

# Correlation of neighbouring fingers; ring and pinky share most of their muscle.
FINGER_CORRELATION = np.array(
    [[1.0, 0.5, 0.35, 0.25], [0.5, 1.0, 0.7, 0.5], [0.35, 0.7, 1.0, 0.8], [0.25, 0.5, 0.8, 1.0]]
)
SPREAD = np.array([9.0, 1.5, -6.0, -13.0])  # abduction per unit of spread, index to pinky
VULCAN = np.array([1.0, 7.0, -7.0, -4.0])
STRETCH = 150.0  # MCP and PIP flexion together stay below this
DEGREE = np.pi / 180.0

FINGER_COLUMNS = np.array(
    [[DOF_NAMES.index(f"{finger}_{dof}") for finger in LONG_FINGERS]
     for dof in ("mcp_abd", "mcp_flex", "pip_flex", "dip_flex")]
)  # fmt: skip
THUMB_COLUMNS = [
    DOF_NAMES.index(f"thumb_{dof}")
    for dof in ("cmc_abd", "cmc_flex", "cmc_twist", "mcp_abd", "mcp_flex", "ip_flex")
]
ARCH_COLUMNS = [DOF_NAMES.index("ring_meta_flex"), DOF_NAMES.index("pinky_meta_flex")]


def sample_angles(
    count: int, generator: np.random.Generator, template: HandTemplate | None = None
) -> np.ndarray:
    """`count` poses [count,24] float32 radians, clear of penetration by the proxies' margin.

    The same generator state gives the same poses. `template` is the shipped hand unless given.
    """
    template, proxies = _default() if template is None else (template, measure_proxies(template))
    clean = [np.zeros((0, len(DOF_NAMES)), np.float32)]
    missing = count
    while missing > 0:
        angles, finger = draw_angles(missing + missing // 16 + 8, generator)
        angles = _pinch(template, proxies, angles, finger)
        angles, clear = part(template, proxies, angles)
        clean.append(angles[clear])
        missing -= int(clear.sum())
    return np.concatenate(clean)[:count]


@lru_cache(maxsize=1)
def _default() -> tuple[HandTemplate, Proxies]:
    template = load_template()
    return template, measure_proxies(template)


def draw_angles(count: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The raw mixture: angles [count,24] float32 within the limits, and the finger that pinches, [count] int.

    0 to 3 are index to pinky, -1 is none. Nothing is cleaned yet.
    """
    kind = _choose(KINDS, count, generator)
    pinch = np.where(kind == "pinch", generator.choice(4, count, p=[0.4, 0.25, 0.2, 0.15]), -1)
    opened = _open_fingers(kind, pinch, generator)
    mcp, pip = _gesture(opened, generator)
    for name, draw in (("grasp", _grasp), ("relaxed", _relaxed), ("free", _free)):
        rows = np.flatnonzero(kind == name)
        mcp[rows], pip[rows] = draw(len(rows), generator)
    excess = np.maximum(mcp + pip - STRETCH, 0.0)
    mcp, pip = mcp - 0.5 * excess, pip - 0.5 * excess

    angles = np.zeros((count, len(DOF_NAMES)))
    angles[:, FINGER_COLUMNS[0]] = _abduction(mcp, generator)
    angles[:, FINGER_COLUMNS[1]], angles[:, FINGER_COLUMNS[2]] = mcp, pip
    angles[:, FINGER_COLUMNS[3]] = _distal(pip, generator)
    angles[:, THUMB_COLUMNS] = _thumb(opened.mean(1), kind, generator)
    angles[:, ARCH_COLUMNS] = _arch(mcp, generator)
    return np.clip(angles * DEGREE, LIMITS[:, 0], LIMITS[:, 1]).astype(np.float32), pinch


def _choose(weights: dict[str, float], count: int, generator: np.random.Generator) -> np.ndarray:
    share = np.array(list(weights.values()))
    return generator.choice(list(weights), count, p=share / share.sum())


def _correlated(count: int, generator: np.random.Generator) -> np.ndarray:
    """Standard normal [count,4], correlated between neighbouring fingers."""
    return generator.standard_normal((count, 4)) @ np.linalg.cholesky(FINGER_CORRELATION).T


def _open_fingers(kind: np.ndarray, pinch: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """[N,4] bool: which fingers are in an open state; a copula makes neighbours agree."""
    count = len(kind)
    opened = _correlated(count, generator) > 0.6 * generator.standard_normal((count, 1))
    one = np.eye(4, dtype=bool)[generator.integers(0, 4, count)]
    alone = np.where(generator.random((count, 1)) < 0.5, one, ~one)
    opened = np.where((kind == "single")[:, None], alone, opened)
    # The other fingers of a pinch are mostly alike: all open (OK sign) or all closed.
    others = np.broadcast_to(generator.random((count, 1)) < 0.6, (count, 4))
    return np.where(((kind == "pinch") & (generator.random(count) < 0.8))[:, None], others, opened)


def _gesture(opened: np.ndarray, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """MCP and PIP flexion [N,4] degrees: one open and one closed state per hand, noise shared by half."""
    count = len(opened)
    states = {name: row for row, name in enumerate(STATES)}
    table = np.array(list(STATES.values()), np.float64)  # [S, MCP|PIP, mean|deviation]
    pick = []
    for weights in (CLOSED_STATES, OPEN_STATES):
        common = _choose(weights, count, generator)[:, None]
        own = _choose(weights, 4 * count, generator).reshape(count, 4)
        pick.append(np.where(generator.random((count, 4)) < 0.8, common, own))
    chosen = np.vectorize(states.__getitem__, otypes=[int])(np.where(opened, pick[1], pick[0]))
    noise = _correlated(2 * count, generator).reshape(2, count, 4)
    noise[1] = 0.5 * noise[0] + 0.87 * noise[1]  # who bends more bends more everywhere
    mcp, pip = (table[chosen, joint, 0] + table[chosen, joint, 1] * noise[joint] for joint in (0, 1))
    return mcp, pip


def _grasp(count: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Around an object: one curl and one ratio of MCP to PIP per hand, a slope from index to pinky."""
    curl = generator.uniform(0.0, 1.0, (count, 1))
    slope = generator.normal(4.0, 9.0, (count, 1)) * np.array([-1.5, -0.5, 0.5, 1.5])
    ratio = generator.normal(0.0, 13.0, (count, 1))
    noise = _correlated(2 * count, generator).reshape(2, count, 4)
    mcp = -8.0 + 68.0 * curl + slope + ratio + 6.0 * noise[0]
    pip = 2.0 + 72.0 * curl + slope - ratio + 8.0 * noise[1]
    return mcp, pip


def _relaxed(count: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Near the rest pose, a little more closed towards the pinky."""
    curl = generator.normal(0.0, 10.0, (count, 1)) + np.array([0.0, 2.0, 4.0, 5.0])
    noise = _correlated(2 * count, generator).reshape(2, count, 4)
    return curl + 5.0 * noise[0], 1.2 * curl + 6.0 * noise[1]


def _free(count: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Anything within reach, neighbours loosely alike."""
    noise = _correlated(2 * count, generator).reshape(2, count, 4)
    return 24.0 + 32.0 * noise[0], np.maximum(36.0 + 36.0 * noise[1], -12.0)


def _distal(pip: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """DIP follows PIP by about 0.55, by more in some hands; a tip that is pressed bends back instead."""
    shape = pip.shape
    follow = np.maximum(generator.normal(0.58, 0.17, (shape[0], 1)), 0.2)
    dip = follow * pip + 6.0 * generator.standard_normal(shape)
    dip = dip + 5.0 * generator.standard_normal((shape[0], 1))
    pressed = (generator.random(shape) < 0.5) & (generator.random((shape[0], 1)) < 0.16)
    return np.where(pressed, generator.normal(-6.0, 8.0, shape), dip)


def _abduction(mcp: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Spread of the hand, now and then split as in the Vulcan salute; flexed fingers can't spread."""
    count = len(mcp)
    spread = generator.normal(0.1, 0.75, (count, 1)) * SPREAD
    split = generator.choice([0.0, 1.0, -0.7], (count, 1), p=[0.88, 0.08, 0.04])
    spread = spread + split * generator.uniform(0.5, 1.5, (count, 1)) * VULCAN
    spread = spread + generator.standard_normal((count, 4)) * np.array([5.0, 3.0, 3.5, 6.0])
    spread = spread + generator.normal(0.0, 3.5, (count, 1))  # all fingers lean to one side
    return spread * (1.0 - 0.7 * np.clip(mcp / 75.0, 0.0, 1.0))


def _thumb(openness: np.ndarray, kind: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """[N,6] degrees: a state that goes with open or closed fingers, and noise."""
    count = len(openness)
    table = np.array(list(THUMB_STATES.values()), np.float64)
    states = {name: row for row, name in enumerate(THUMB_STATES)}
    closed = np.isin(kind, ["grasp", "pinch"]) | (generator.random(count) > 0.2 + 0.6 * openness)
    name = np.where(closed, _choose(THUMB_CLOSED, count, generator), _choose(THUMB_OPEN, count, generator))
    name = np.where(kind == "pinch", "opposed", name)
    mean = table[np.vectorize(states.__getitem__, otypes=[int])(name)]
    wide = np.where(kind == "free", 1.5, 1.0)[:, None]
    return mean + wide * generator.standard_normal((count, 6)) * np.array(THUMB_DEVIATION)


def _arch(mcp: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """[N,2] degrees of the ring's and pinky's metacarpals: they cup as those fingers close."""
    cup = 0.08 * np.clip(mcp[:, 2:].mean(1), 0.0, None) + generator.normal(0.0, 4.0, len(mcp))
    return np.stack([0.6 * cup, cup], 1) + generator.normal(0.0, 1.5, (len(mcp), 2))


def _pinch(
    template: HandTemplate, proxies: Proxies, angles: np.ndarray, finger: np.ndarray, rounds: int = 10
) -> np.ndarray:
    """Bring the thumb's tip and that of `finger` [N] (0 index to 3 pinky, -1 nobody) together."""
    angles = angles.copy()
    bone = proxies.bone.tolist()
    thumb, tips = bone.index(3), [bone.index(distal) for distal in (7, 11, 15, 19)]
    for number, tip in enumerate(tips):
        rows = np.flatnonzero(finger == number)
        if not len(rows):
            continue
        pair = Proxies(
            proxies.bone, proxies.ends, proxies.radius, np.array([thumb]), np.array([tip]), np.zeros(1)
        )
        for _ in range(rounds):
            hands = pose_skeleton(template, angles[rows])
            step = yielding(pair, hands, _tip_pull(pair, hands))
            angles[rows] = np.clip(angles[rows] + step, LIMITS[:, 0], LIMITS[:, 1])
    return angles


def _tip_pull(pair: Proxies, hands: Skeleton) -> Contacts:
    """The gap between two fingertips as a contact that pulls instead of pushing."""
    points = []
    for capsule in (pair.first[0], pair.second[0]):
        turn, end = hands.turn[:, pair.bone[capsule]], pair.ends[capsule, 1].astype(np.float32)
        points.append((turn @ end + hands.heads[:, pair.bone[capsule]])[:, None])
    apart = points[0] - points[1]
    distance = np.sqrt(np.square(apart).sum(-1))
    gap = distance - pair.radius[[pair.first[0], pair.second[0]], 1].sum() - 0.0025
    tip = np.ones_like(gap)
    return Contacts(gap, apart / distance[..., None], points[0], points[1], tip, tip)
