"""FreiHAND (Zimmermann et al., ICCV 2019), version 2 with its evaluation annotations.

    training_K.json  training_xyz.json  training_verts.json  training/rgb/00000000.jpg ...
    evaluation_K.json  evaluation_xyz.json  evaluation_verts.json  evaluation/rgb/00000000.jpg ...

Right hands in pictures of 224 pixels; metres in the axes of the camera; joints in OpenPose order. Training
has four pictures for each annotation, the same hand before other backgrounds: picture i belongs to
annotation i modulo their number.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from ..hand.mano import VERTICES
from .annotated import Annotated, file_names, numbers, read_image, read_json
from .json_rows import JsonRows
from .parameters import ManoHands
from .sample import RIGHT, TRAIN, HandSample

VERSIONS = 4  # green screen, and three with other backgrounds


def recognises(folder: Path) -> bool:
    return any((folder / f"{part}_K.json").is_file() for part in ("training", "evaluation"))


class FreiHand(Annotated):
    name = "freihand"

    def __init__(self, folder: Path, split: str, hands: ManoHands | None = None) -> None:
        super().__init__(folder, split, hands)
        self.part = "training" if split == TRAIN else "evaluation"
        if not (folder / f"{self.part}_K.json").is_file():
            raise ValueError(
                f"{folder} has no {self.part}_K.json: unpack FreiHAND's {self.part} set into it."
            )
        intrinsics = read_json(folder / f"{self.part}_K.json")
        self.intrinsics = [numbers(k, 3, 3) for k in intrinsics] if isinstance(intrinsics, list) else []
        self.joints = self._joints()
        self.vertices, meshes = self._vertices()
        self.rows = self._pictures(meshes)

    def _joints(self) -> list[np.ndarray | None]:
        path = self.folder / f"{self.part}_xyz.json"
        if not path.is_file():
            self.notes.append(f"{path.name} is missing: the {self.part} hands have no 3D joints.")
            return [np.full((21, 3), np.nan)] * len(self.intrinsics)
        joints = [numbers(xyz, 21, 3) for xyz in read_json(path)]
        self._check_length(path, len(joints))
        return joints

    def _vertices(self) -> tuple[JsonRows | None, np.ndarray]:
        """The meshes, and which of them are whole."""
        path = self.folder / f"{self.part}_verts.json"
        if not path.is_file():
            self.notes.append(f"{path.name} is missing: the {self.part} hands have joints, but no meshes.")
            return None, np.ones(len(self.intrinsics), bool)
        rows = JsonRows(path)
        self._check_length(path, len(rows))
        return rows, rows.holds(3 * VERTICES)

    def _check_length(self, path: Path, length: int) -> None:
        if length != len(self.intrinsics):
            raise ValueError(
                f"{path} has {length} annotations, and {self.part}_K.json has {len(self.intrinsics)}: they "
                "are of different versions of FreiHAND, unpack one of them alone."
            )

    def _pictures(self, meshes: np.ndarray) -> np.ndarray:
        """[samples] numbers of the pictures whose annotation is good."""
        count, there = len(self.intrinsics), file_names(self.folder / self.part / "rgb")
        versions = [v for v in range(VERSIONS) if f"{v * count:08d}.jpg" in there] or [0]
        good = np.zeros(count, bool)
        for row in range(count):
            if self.intrinsics[row] is None:
                self.skip("the camera is not finite", len(versions))
            elif self.joints[row] is None or not meshes[row]:
                self.skip("joints or vertices are not finite", len(versions))
            else:
                good[row] = True
        rows = []
        for picture in (v * count + row for v in versions for row in np.flatnonzero(good)):
            if f"{picture:08d}.jpg" in there:
                rows.append(picture)
            else:
                self.skip("the picture is missing")
        return np.array(rows, np.int64)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> HandSample:
        picture = int(self.rows[index])
        row = picture % len(self.intrinsics)
        vertices = None if self.vertices is None else self.vertices[row].reshape(VERTICES, 3)
        return HandSample(
            key=f"{self.part}/{picture:08d}",
            side=RIGHT,
            joints=np.asarray(self.joints[row], np.float32),
            vertices=None if vertices is None else vertices.astype(np.float32),
            intrinsics=np.asarray(self.intrinsics[row], np.float32),
            image=partial(read_image, self.folder / self.part / "rgb" / f"{picture:08d}.jpg"),
        )
