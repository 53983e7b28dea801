"""HO-3D, version 3 (Hampali et al.; version 2 differs in png for jpg): a right hand with an object.

    train.txt  evaluation.txt                        lines of sequence/number
    train/ABF10/rgb/0000.jpg  train/ABF10/meta/0000.pkl  evaluation/...
    evaluation_xyz.json  evaluation_verts.json       where the user has them

Axes are OpenGL's (x right, y up, looking along -z), joints in MANO's order and then the tips. The pickles are
read as data. Of evaluation pictures only the wrist and a box are annotated, unless the two json files lie
beside.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..hand.mano import OPENPOSE, VERTICES
from ..hand.pickled import read_pickle
from ..hand.pickled_arrays import array_of
from .annotated import Annotated, damaged, file_names, numbers, read_image
from .json_rows import JsonRows
from .parameters import ManoHands
from .sample import RIGHT, TRAIN, HandSample

OPENGL = np.array([1.0, -1.0, -1.0])
FORMATS = (".jpg", ".png")
# Of each annotation: the names in its pickle and how many numbers they have.
TRAINED = {"camMat": 9, "handJoints3D": 63, "handPose": 48, "handBeta": 10, "handTrans": 3}
EVALUATED = {"camMat": 9, "handJoints3D": 3, "handBoundingBox": 4}


def recognises(folder: Path) -> bool:
    return any(
        (folder / f"{part}.txt").is_file() and (folder / part).is_dir() for part in ("train", "evaluation")
    )


class Ho3d(Annotated):
    name = "ho3d"

    def __init__(self, folder: Path, split: str, hands: ManoHands | None = None) -> None:
        super().__init__(folder, split, hands)
        self.fields = TRAINED if split == TRAIN else EVALUATED
        listed = folder / f"{split}.txt"
        try:
            self.listed = listed.read_text().split()
        except (OSError, UnicodeDecodeError) as exc:
            raise ValueError(f"{folder} has no readable {split}.txt: unpack HO-3D into it.") from exc
        self.truth = None if split == TRAIN else self._truth()
        self.frames: list[tuple[int, str]] = []  # the place in the list, and the picture's format
        there: dict[str, set[str]] = {}
        for place, frame in enumerate(self.listed):
            sequence, _, number = frame.partition("/")
            if sequence not in there:
                there[sequence] = file_names(folder / split / sequence / "rgb")
            format_ = next((f for f in FORMATS if number + f in there[sequence]), None)
            if format_ is None:
                self.skip("the picture is missing")
            elif self._annotation(frame) is None:
                self.skip("the annotation is missing, damaged or empty")
            elif self.truth is not None and not self._true(place):
                self.skip("joints or vertices are not finite")
            else:
                self.frames.append((place, format_))
        if split == TRAIN and hands is None:
            self.notes.append(
                "HO-3D has MANO's parameters: without MANO its hands have joints, but no meshes."
            )

    def _truth(self) -> tuple[JsonRows, JsonRows] | None:
        """Joints and vertices of the evaluation pictures, where both lie in the folder."""
        paths = [self.folder / f"evaluation_{what}.json" for what in ("xyz", "verts")]
        if not all(path.is_file() for path in paths):
            self.notes.append(
                "evaluation_xyz.json and evaluation_verts.json are missing: of evaluation hands only the "
                "wrist is known, which is enough for what the server is sent."
            )
            return None
        rows = JsonRows(paths[0]), JsonRows(paths[1])
        for path, part in zip(paths, rows):
            if len(part) != len(self.listed):
                raise ValueError(
                    f"{path} has {len(part)} hands, and evaluation.txt names {len(self.listed)}: they are of "
                    "different versions of HO-3D."
                )
        self._whole = rows[0].holds(63) & rows[1].holds(3 * VERTICES)
        return rows

    def _true(self, place: int) -> bool:
        return bool(self._whole[place])

    def _annotation(self, frame: str) -> dict[str, np.ndarray] | None:
        """The fields of a pickle; None where it is missing, damaged or not annotated."""
        sequence, _, number = frame.partition("/")
        path = self.folder / self.split / sequence / "meta" / f"{number}.pkl"
        try:
            content: Any = read_pickle(path.read_bytes())
        except (OSError, ValueError):
            return None
        found = {}
        for name, count in self.fields.items():
            try:
                value = numbers(_plain(content[name]), count)
            except (ValueError, KeyError, TypeError):
                return None
            if value is None:
                return None
            found[name] = value
        return found

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> HandSample:
        place, format_ = self.frames[index]
        frame = self.listed[place]
        sequence, _, number = frame.partition("/")
        found = self._annotation(frame)
        if found is None:
            raise damaged(self.folder / self.split / sequence / "meta" / f"{number}.pkl")
        joints, vertices = self._hand(place, found)
        box = found.get("handBoundingBox")
        return HandSample(
            key=f"{self.split}/{frame}",
            side=RIGHT,
            joints=(joints * OPENGL).astype(np.float32),
            vertices=None if vertices is None else (vertices * OPENGL).astype(np.float32),
            intrinsics=found["camMat"].reshape(3, 3).astype(np.float32),
            box=None if box is None else np.concatenate([box[:2], box[2:] - box[:2]]).astype(np.float32),
            image=partial(read_image, self.folder / self.split / sequence / "rgb" / f"{number}{format_}"),
            sequence=sequence,
            frame=int(number) if number.isdigit() else index,
        )

    def _hand(self, place: int, found: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray | None]:
        """Joints in OpenPose order and vertices, in OpenGL's axes."""
        if self.split == TRAIN:
            joints = found["handJoints3D"].reshape(21, 3)[list(OPENPOSE)]
            if self.hands is None:
                return joints, None
            pose, betas, transl = found["handPose"], found["handBeta"], found["handTrans"]
            return joints, self.hands(RIGHT, pose, betas, transl, flat_hand_mean=True)[0]
        if self.truth is not None:
            joints, vertices = (rows[place].reshape(-1, 3) for rows in self.truth)
            return joints[list(OPENPOSE)], vertices
        joints = np.full((21, 3), np.nan)
        joints[0] = found["handJoints3D"]
        return joints, None


def _plain(value: Any) -> Any:
    """Numbers as they lie in a pickle: arrays, or lists of numbers or of numpy's."""
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else array_of(value)
