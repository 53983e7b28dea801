"""CompHand, the "complement data" of MobRecon (Chen et al., CVPR 2022): rendered left hands, with meshes.

    base_pose/pic256/.../12/NAME.12.png   base_pose/model_mano/.../12.obj     in parts of any name and depth

There is no description of it: this layout, the lens and the side are what its makers' own loader shows. A
picture's second word between dots is the number of its mesh, which lies one folder further up below
model_mano. Meshes are in MANO's vertex order, metres, axes of the camera. The hands are left ones (that
loader mirrors them). There are no joints, which come from the mesh by MANO's regressor, and no evaluation
split.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from ..hand.mano import TIPS, VERTICES
from ..hand.skeleton import TIP_JOINTS
from .annotated import Annotated, damaged, numbers, read_image
from .parameters import ManoHands
from .sample import LEFT, TRAIN, HandSample

INTRINSICS = np.array([[373.3511425, 0, 128], [0, 373.3511425, 128], [0, 0, 1]], np.float32)
DEPTH = 3  # folders above pic256, at most


def recognises(folder: Path) -> bool:
    return any(any(folder.glob("*/" * depth + "pic256")) for depth in range(DEPTH + 1))


class CompHand(Annotated):
    name = "comphand"

    def __init__(self, folder: Path, split: str, hands: ManoHands | None = None) -> None:
        super().__init__(folder, split, hands)
        if split != TRAIN:
            raise ValueError("CompHand has no evaluation split: use it for training.")
        self.pairs: list[tuple[Path, Path]] = []
        meshes: dict[Path, bool] = {}
        for picture in sorted(folder.glob("**/pic256/**/*.png")):
            mesh = _mesh_of(picture)
            if mesh is None:
                self.skip("the name of the picture tells no mesh")
                continue
            if mesh not in meshes:
                meshes[mesh] = _read_obj(mesh) is not None
            if meshes[mesh]:
                self.pairs.append((picture, mesh))
            else:
                self.skip("the mesh is missing or damaged")
        if hands is None:
            self.notes.append(
                "CompHand has meshes only: without MANO, of its joints only the tips are known."
            )

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> HandSample:
        picture, mesh = self.pairs[index]
        vertices = _read_obj(mesh)
        if vertices is None:
            raise damaged(mesh)
        if self.hands is None:
            joints = np.full((21, 3), np.nan)
            joints[list(TIP_JOINTS)] = vertices[list(TIPS)]
        else:
            joints = self.hands.joints(vertices)
        return HandSample(
            key=picture.relative_to(self.folder).with_suffix("").as_posix(),
            side=LEFT,
            joints=joints.astype(np.float32),
            vertices=vertices.astype(np.float32),
            intrinsics=INTRINSICS,
            image=partial(read_image, picture),
        )


def _mesh_of(picture: Path) -> Path | None:
    words = picture.name.split(".")
    if len(words) < 3 or not words[1].isdigit():
        return None
    parts = list(picture.parts[:-2])
    place = max((i for i, part in enumerate(parts) if part == "pic256"), default=None)
    if place is None:
        return None
    parts[place] = "model_mano"
    return Path(*parts) / f"{int(words[1])}.obj"


def _read_obj(path: Path) -> np.ndarray | None:
    """[778,3] vertices of a Wavefront file; None where it is missing or damaged."""
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    rows = [line.split()[1:4] for line in lines if line.startswith("v ")]
    return numbers(rows, VERTICES, 3) if all(len(row) == 3 for row in rows) else None
