"""The layouts of single pictures: FreiHAND, HO-3D, CompHand; and what all writers share."""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.engine.datasets.made_up_hands import Camera, Hand, draw, hands_before, lens

OPENGL = np.diag([1.0, -1.0, -1.0])
# MANO's order of joints and tips, as HO-3D has it, out of OpenPose's.
MANO_ORDER = [0, 5, 6, 7, 9, 10, 11, 17, 18, 19, 13, 14, 15, 1, 2, 3, 4, 8, 12, 16, 20]


@dataclass
class Miniature:
    """What was written, and what a loader has to find."""

    folder: Path
    count: int  # pictures (or frames) of a split
    seed: int
    bad: bool
    # Split -> key -> vertices [778,3] in the axes of the samples, metres; bad annotations are not among them.
    truth: dict[str, dict[str, np.ndarray]] = field(default_factory=lambda: {"train": {}, "evaluation": {}})
    joints: dict[str, np.ndarray] = field(default_factory=dict)  # key -> [21,3]
    sides: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=lambda: {"train": 0, "evaluation": 0})

    def rng(self, *more: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, *more])

    def note(self, split: str, key: str, side: str, shape: tuple[np.ndarray, np.ndarray]) -> None:
        self.truth[split][key], self.joints[key] = shape
        self.sides[key] = side


def save_image(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, **({"quality": 95, "subsampling": 0} if path.suffix == ".jpg" else {}))


def save_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def sides_of(count: int) -> list[str]:
    return [("right", "left")[n % 2] for n in range(count)]


# ---------------------------------------------------------------- FreiHAND


def write_freihand(made: Miniature, truth: bool) -> None:
    for number, (split, part, versions) in enumerate(
        (("train", "training", 4), ("evaluation", "evaluation", 1))
    ):
        rng = made.rng(1, number)
        cameras = [lens(rng.uniform(440, 520), 224, 224) for _ in range(made.count)]
        hands = hands_before(cameras, ["right"] * made.count, made.seed * 1000 + 100 + number)
        shapes = [hand.shape() for hand in hands]
        for version in range(versions):
            for row, (camera, (vertices, joints)) in enumerate(zip(cameras, shapes)):
                picture = version * made.count + row
                save_image(made.folder / part / "rgb" / f"{picture:08d}.jpg", draw([vertices], camera, rng))
                made.note(split, f"{part}/{picture:08d}", "right", (vertices, joints))
        verts, xyz = ([shape[k].tolist() for shape in shapes] for k in (0, 1))
        if made.bad:
            _spoil_freihand(made, split, part, verts, xyz)
        save_json(made.folder / f"{part}_K.json", [camera.intrinsics.tolist() for camera in cameras])
        if truth or split == "train":
            save_json(made.folder / f"{part}_verts.json", verts)
            save_json(made.folder / f"{part}_xyz.json", xyz)
        pose = [[*hand.pose.tolist(), *hand.betas.tolist(), 112.0, 112.0, 0.03] for hand in hands]
        save_json(made.folder / f"{part}_mano.json", [[row] for row in pose])


def _spoil_freihand(made: Miniature, split: str, part: str, verts: list, xyz: list) -> None:
    """A joint that is NaN, a mesh that is too short, and a picture that is not there."""
    xyz[1][3][0] = float("nan")
    verts[2].pop()
    for row in (1, 2):
        for version in range(4):
            key = f"{part}/{version * made.count + row:08d}"
            made.skipped[split] += made.truth[split].pop(key, None) is not None
    key = f"{part}/{made.count - 1:08d}"
    (made.folder / part / "rgb" / f"{made.count - 1:08d}.jpg").unlink()
    made.truth[split].pop(key)
    made.skipped[split] += 1


# ---------------------------------------------------------------- HO-3D


def write_ho3d(made: Miniature, truth: bool) -> None:
    for number, split in enumerate(("train", "evaluation")):
        rng = made.rng(2, number)
        camera = lens(614.6, 640, 480, (-7.6, 1.4))
        sequence = ("ABF10", "SM1")[number]
        names, xyz, verts = [], [], []
        hands = hands_before(
            [camera] * made.count, ["right"] * made.count, made.seed * 1000 + 200 + number, share=0.4
        )
        for frame, hand in enumerate(hands):
            names.append(f"{sequence}/{frame:04d}")
            vertices, joints = hand.shape()
            save_image(
                made.folder / split / sequence / "rgb" / f"{frame:04d}.jpg", draw([vertices], camera, rng)
            )
            xyz.append((joints @ OPENGL)[MANO_ORDER].tolist())
            verts.append((vertices @ OPENGL).tolist())
            meta = _ho3d_meta(hand, camera, split)
            path = made.folder / split / sequence / "meta" / f"{frame:04d}.pkl"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(pickle.dumps(meta, protocol=2))
            made.note(split, f"{split}/{names[-1]}", "right", (vertices, joints))
        (made.folder / f"{split}.txt").write_text("\n".join(names) + "\n")
        if split == "evaluation" and truth:
            save_json(made.folder / "evaluation_xyz.json", xyz)
            save_json(made.folder / "evaluation_verts.json", verts)
        if made.bad:
            _spoil_ho3d(made, split, sequence)


def _ho3d_meta(hand: Hand, camera: Camera, split: str) -> dict[str, Any]:
    vertices, joints = hand.shape()
    opengl = hand.moved(OPENGL, np.zeros(3))
    seen = camera.project(vertices)
    meta = {
        "camMat": camera.intrinsics,
        "objName": "021_bleach_cleanser",
        "objLabel": 12,
        "objRot": np.zeros((3, 1)),
    }
    if split == "evaluation":
        return meta | {
            "handJoints3D": joints[0] @ OPENGL,
            "handBoundingBox": [
                *seen.min(0).round().astype(int).tolist(),
                *seen.max(0).round().astype(int).tolist(),
            ],
        }
    return meta | {
        "handJoints3D": (joints @ OPENGL)[MANO_ORDER],
        "handPose": opengl.pose,
        "handBeta": opengl.betas,
        "handTrans": opengl.transl,
    }


def _spoil_ho3d(made: Miniature, split: str, sequence: str) -> None:
    """A frame that is not annotated, a pickle that is cut off, and a picture that is not there."""
    folder = made.folder / split / sequence
    meta = pickle.loads((folder / "meta" / "0001.pkl").read_bytes())
    meta["handJoints3D"] = None
    (folder / "meta" / "0001.pkl").write_bytes(pickle.dumps(meta, protocol=2))
    raw = (folder / "meta" / "0002.pkl").read_bytes()
    (folder / "meta" / "0002.pkl").write_bytes(raw[: len(raw) // 2])
    (folder / "rgb" / "0003.jpg").unlink()
    for frame in (1, 2, 3):
        made.truth[split].pop(f"{split}/{sequence}/{frame:04d}")
    made.skipped[split] += 3


# ---------------------------------------------------------------- CompHand


def write_comphand(made: Miniature, truth: bool) -> None:
    camera = lens(373.3511425, 256, 256)
    rng = made.rng(3)
    for row, hand in enumerate(
        hands_before([camera] * made.count, ["left"] * made.count, made.seed * 1000 + 300)
    ):
        vertices, joints = hand.shape()
        place = made.folder / "base_pose"
        mesh = place / "model_mano" / "fist" / f"{row}.obj"
        mesh.parent.mkdir(parents=True, exist_ok=True)
        mesh.write_text("".join("v {:.8f} {:.8f} {:.8f}\n".format(*v) for v in vertices))
        picture = place / "pic256" / "fist" / f"env{row % 3}" / f"fist.{row}.png"
        save_image(picture, draw([vertices], camera, rng))
        key = picture.relative_to(made.folder).with_suffix("").as_posix()
        made.note("train", key, "left", (vertices, joints))
        if made.bad and row == 1:
            mesh.write_text(mesh.read_text()[:5000])
            made.truth["train"].pop(key)
            made.skipped["train"] += 1
