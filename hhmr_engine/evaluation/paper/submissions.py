"""The files that the servers of FreiHAND and HO3D take: pred.json in a zip, written and read back.

Both hold `[joints, vertices]`: for each image of the evaluation split, in its order, 21 x 3 and 778 x 3
numbers in metres before the camera. FreiHAND: axes x right, y down, z away, joints in OpenPose order. HO3D:
axes of OpenGL (x right, y up, z towards the viewer, so that hands have negative z), joints in MANO's order
with the fingertips, thumb to pinky, at the end.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...hand.mano import OPENPOSE, VERTICES

MEMBER = "pred.json"
DIGITS = 6  # micrometres
FARTHEST = 10.0  # metres: a hand beyond it was given in other units


@dataclass(frozen=True)
class Server:
    """What one of them wants."""

    name: str
    images: int  # of the official evaluation split
    axes: tuple[int, int, int]  # signs, from x right, y down, z away
    order: tuple[int, ...]  # its joints, each as a place in OpenPose order


SERVERS = {
    "freihand": Server("FreiHAND", 3960, (1, 1, 1), tuple(range(21))),
    "ho3d": Server("HO3D v3", 20137, (1, -1, -1), tuple(int(i) for i in np.argsort(OPENPOSE))),
}


def write_submission(path: Path, dataset: str, joints: NDArray, vertices: NDArray) -> list[str]:
    """Write `path`, a zip, from joints [N,21,3] (OpenPose order) and vertices [N,778,3] before the camera.

    Axes x right, y down, z away, metres. The file is read back before it gets its name; returns what the
    server would mind. ValueError: these are no hands that it could take.
    """
    server = SERVERS[dataset]
    if vertices.shape[1:] != (VERTICES, 3) or joints.shape != (len(vertices), 21, 3):
        raise ValueError(
            f"{server.name} takes hands of {VERTICES} vertices, not of {vertices.shape[1]}:"
            " use MANO's template."
        )
    if not (np.isfinite(joints).all() and np.isfinite(vertices).all()):
        raise ValueError("Some coordinates of the hands are not numbers: look at the predictions.")
    axes = np.array(server.axes)
    parts = joints[:, list(server.order)] * axes, vertices * axes
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as file, file.open(MEMBER, "w") as raw:
            with TextIOWrapper(raw, "ascii") as text:
                text.write(f"[[{','.join(_rows(parts[0]))}],\n[")
                for row, hand in enumerate(_rows(parts[1])):
                    text.write(f",\n{hand}" if row else hand)
                text.write("]]")
        again = read_submission(part, dataset)
        for name, given, read in zip(("joints", "vertices"), (joints, vertices), again):
            if not np.allclose(given, read, atol=10.0**-DIGITS):
                raise ValueError(f"The {name} of {path.name} do not read back as they were.")
        faults = check_submission(*again, dataset)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return faults


def _rows(hands: NDArray) -> Iterable[str]:
    """Each hand [P,3] as json, fixed digits."""
    point = "[" + ",".join([f"%.{DIGITS}f"] * 3) + "]"
    for hand in hands:
        yield "[" + ",".join(point % tuple(xyz) for xyz in hand.tolist()) + "]"


def read_submission(path: Path, dataset: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Joints [N,21,3] in OpenPose order and vertices [N,778,3] of a zip, x right, y down, z away.

    ValueError, one sentence, where a server would stop.
    """
    server = SERVERS[dataset]
    try:
        with zipfile.ZipFile(path) as file:
            content = json.loads(file.read(MEMBER))
    except (zipfile.BadZipFile, KeyError, json.JSONDecodeError) as exc:
        raise ValueError(f"{path.name} is no zip with a {MEMBER} in it ({exc}): write it again.") from exc
    if not isinstance(content, list) or len(content) != 2:
        raise ValueError(f"{path.name} does not hold [joints, vertices]: write it again.")
    try:
        joints, vertices = (np.array(part, np.float32) for part in content)
    except ValueError:
        raise ValueError(f"{path.name} has hands of different sizes: write it again.") from None
    if joints.shape[1:] != (21, 3) or vertices.shape != (len(joints), VERTICES, 3):
        found = " and ".join("x".join(map(str, a.shape)) for a in (joints, vertices))
        text = f"N x 21 x 3 and N x {VERTICES} x 3"
        raise ValueError(f"{path.name} holds {found} numbers, not {text}: write it again.")
    axes = np.array(server.axes, np.float32)
    return joints[:, np.argsort(server.order)] * axes, vertices * axes


def check_submission(joints: NDArray, vertices: NDArray, dataset: str) -> list[str]:
    """What is wrong with hands as `read_submission` gives them, a sentence each; none: they are taken."""
    server = SERVERS[dataset]
    faults = []
    if len(joints) != server.images:
        faults.append(f"{server.name} wants {server.images} hands, not {len(joints)}.")
    if not (np.isfinite(joints).all() and np.isfinite(vertices).all()):
        return [*faults, "Some coordinates are not numbers."]
    behind = int(((joints[..., 2] <= 0).any(1) | (vertices[..., 2] <= 0).any(1)).sum())
    if behind:
        faults.append(f"{behind} hands stand behind the camera, or in it.")
    if np.abs(vertices).max(initial=0) > FARTHEST:
        faults.append(f"A hand stands over {FARTHEST:g} m away: coordinates are in metres.")
    apart = np.linalg.norm(joints[:, 0] - vertices.mean(1), axis=-1)
    if (apart > 0.3).any():
        faults.append(f"The joints of {int((apart > 0.3).sum())} hands lie off their meshes.")
    return faults
