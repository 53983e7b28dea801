"""BVH files of our own skeleton, as several programs name and write theirs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from hhmr_engine.hand.dof import DOF_NAMES
from hhmr_engine.hand.kinematics import pose_skeleton
from hhmr_engine.hand.skeleton import FINGER_BONES
from hhmr_engine.hand.template import HandTemplate

WORDS = ("Thumb", "Index", "Middle", "Ring", "Pinky")
ORDINALS = ("First", "Second", "Third", "Fourth", "Fifth")
PARTS = (("MC", "PP", "DP"), ("MC", "PP", "MP", "DP"))
ROKOKO = (("Metacarpal", "Proximal", "Distal"), ("Metacarpal", "Proximal", "Medial", "Distal"))
ARCH = [DOF_NAMES.index("ring_meta_flex"), DOF_NAMES.index("pinky_meta_flex")]


def bone_name(style: str, side: str, finger: int, number: int) -> str:
    """What a style calls a bone: 0 is a metacarpal, "" where it has none; a thumb has 1 to 3."""
    word, long, short = WORDS[finger], side.capitalize(), side[0]
    match style:
        case "mixamo":
            return f"mixamorig:{long}Hand{word}{number}" if number else ""
        case "perception_neuron":
            return f"{long}Hand{word}{number}" if number else f"{long}InHand{word}"
        case "rokoko":
            return f"{long}Finger{finger + 1}{ROKOKO[finger > 0][number - (finger == 0)]}"
        case "biped":
            return (
                f"Bip01 {short.upper()} Finger{finger}{'' if number == 1 else number - 1}" if number else ""
            )
        case "unreal":
            return f"{word.lower()}_{f'{number:02d}' if number else 'metacarpal'}_{short}"
        case "xsens":
            return f"{long}{ORDINALS[finger]}{PARTS[finger > 0][number - (finger == 0)]}"
        case "makehuman":
            name = f"finger{finger + 1}-{number}" if number else f"metacarpal{finger}"
            return f"{name}.{short.upper()}"
        case "smplx":
            return f"{side}_{word.lower()}{number}" if number else ""
        case _:
            return f"{short}{word}{number}" if number else ""  # Poser


WRISTS = {
    "mixamo": "mixamorig:{S}Hand",
    "perception_neuron": "{S}Hand",
    "rokoko": "{S}Hand",
    "biped": "Bip01 {L} Hand",
    "unreal": "hand_{l}",
    "xsens": "{S}Hand",
    "makehuman": "wrist.{L}",
    "smplx": "{s}_wrist",
    "poser": "{l}Hand",
}
STYLES = tuple(WRISTS)


@dataclass
class Node:
    name: str
    offset: np.ndarray  # [3] metres
    turn: np.ndarray  # [T,3,3] relative to the parent
    children: list[Node] = field(default_factory=list)
    end: np.ndarray | None = None  # [3] offset of its End Site


def hand_node(template: HandTemplate, angles: np.ndarray, style: str, side: str, leaf: bool) -> Node:
    """The wrist of a hand with all fingers; `leaf`: fingertips are joints of their own."""
    turn = pose_skeleton(template, angles.astype(np.float64)).turn
    heads, tips = template.heads.astype(float), template.tips.astype(float)
    mirror = np.diag([-1.0 if side == "left" else 1.0, 1.0, 1.0])
    long, letter = side.capitalize(), side[0]
    name = WRISTS[style].format(S=long, s=side, L=letter.upper(), l=letter)
    wrist = Node(name, np.zeros(3), _mirrored(turn[:, 0], mirror))
    for finger, (_, bones) in enumerate(FINGER_BONES.items()):
        parent, above = wrist, 0
        for number, bone in enumerate(bones, int(finger == 0)):
            called = bone_name(style, side, finger, number)
            if not called:
                continue
            local = turn[:, above].transpose(0, 2, 1) @ turn[:, bone]
            node = Node(called, mirror @ (heads[bone] - heads[above]), _mirrored(local, mirror))
            parent.children.append(node)
            parent, above = node, bone
        end = mirror @ (tips[finger] - heads[above])
        if leaf:
            still = np.broadcast_to(np.eye(3), parent.turn.shape)
            parent.children.append(Node(bone_name(style, side, finger, 4), end, still, end=0.3 * end))
        else:
            parent.end = end
    return wrist


def body_node(hands: list[Node], rng: np.random.Generator) -> Node:
    """Hips, a spine and an arm for each hand, all moving."""
    count = len(hands[0].turn)

    def moving() -> np.ndarray:
        return Rotation.from_rotvec(rng.normal(0, 0.7, (count, 3))).as_matrix()

    hips = Node(
        "Hips", np.array([0.1, 0.9, 0.0]), moving(), [Node("Spine", np.array([0, 0.5, 0.0]), moving())]
    )
    for hand in hands:
        x = -0.4 if "ight" in hand.name or "R" in hand.name else 0.4
        hand.offset = np.array([x / 2, 0.0, 0.0])
        hips.children[0].children.append(
            Node(f"Arm{len(hips.children[0].children)}", np.array([x, 0, 0.0]), moving(), [hand])
        )
    foot = Node("RightToeIndex", np.array([0.1, -0.9, 0.1]), moving(), end=np.array([0, 0, 0.05]))
    hips.children.append(foot)
    return hips


def write_bvh(
    path: Path, root: Node, order: str = "ZXY", unit: float = 0.01, positions: str = "root", fps: float = 30.0
) -> Path:
    """`positions`: which joints have position channels ("root", "all", "deltas": all, from the offset)."""
    header: list[str] = ["HIERARCHY"]
    columns: list[np.ndarray] = []

    def write(node: Node, depth: int) -> None:
        pad = "\t" * depth
        header.append(f"{pad}{'JOINT' if depth else 'ROOT'} {node.name}")
        offset = " ".join(f"{value:.6f}" for value in node.offset / unit)
        header.extend([f"{pad}{{", f"{pad}\tOFFSET {offset}"])
        turned = [f"{axis}rotation" for axis in order]
        moved = [f"{axis}position" for axis in "XYZ"] if positions != "root" or not depth else []
        header.append(f"{pad}\tCHANNELS {len(moved) + 3} {' '.join(moved + turned)}")
        if moved:
            place = np.zeros(3) if positions == "deltas" and depth else node.offset / unit
            columns.append(np.repeat(place[None], len(node.turn), 0))
        columns.append(Rotation.from_matrix(node.turn).as_euler(order, degrees=True))
        for child in node.children:
            write(child, depth + 1)
        if node.end is not None:
            end = " ".join(f"{value:.6f}" for value in node.end / unit)
            header.extend([f"{pad}\tEnd Site", f"{pad}\t{{", f"{pad}\t\tOFFSET {end}", f"{pad}\t}}"])
        header.append(f"{pad}}}")

    write(root, 0)
    motion = np.concatenate(columns, 1)
    header += ["MOTION", f"Frames: {len(motion)}", f"Frame Time: {1 / fps:.6f}"]
    rows = [" ".join(f"{value:.6f}" for value in row) for row in motion]
    path.write_text("\n".join(header + rows) + "\n", encoding="utf-8")
    return path


def expected_joints(template: HandTemplate, angles: np.ndarray) -> np.ndarray:
    """[T,21,3] of a right hand, with the bones' heads for joints."""
    return pose_skeleton(template, angles.astype(np.float64)).joints


def _mirrored(turn: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    return mirror @ turn @ mirror
