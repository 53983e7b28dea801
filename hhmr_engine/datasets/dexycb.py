"""DexYCB (Chao et al., CVPR 2021): right and left hands that take up objects, eight cameras.

    calibration/intrinsics/SERIAL_640x480.yml  calibration/mano_NAME/mano.yml
    20200709-subject-01/20200709_141754/meta.yml
    20200709-subject-01/20200709_141754/SERIAL/color_000000.jpg  labels_000000.npz

Metres in the axes of the camera; joints in OpenPose order; MANO's pose as its 45 principal components on the
mean pose, one shape for each subject and side. The split is the official s0: of each subject's sequences
every fifth is kept from training, those of the first two subjects are for validation, the others for
evaluation.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from .annotated import Annotated, damaged, file_names, numbers, read_image
from .parameters import ManoHands
from .sample import LEFT, RIGHT, TRAIN, HandSample
from .yaml_lines import read_yaml

SUBJECTS, SEQUENCES = 10, 100
VALIDATION = ("subject-01", "subject-02")


def recognises(folder: Path) -> bool:
    return (folder / "calibration").is_dir() and any(folder.glob("20??????-*/*/meta.yml"))


@dataclass(frozen=True)
class _Take:
    """A sequence as one camera saw it."""

    folder: Path
    side: str
    betas: np.ndarray
    intrinsics: np.ndarray


class DexYcb(Annotated):
    name = "dexycb"

    def __init__(self, folder: Path, split: str, hands: ManoHands | None = None) -> None:
        super().__init__(folder, split, hands)
        self._faulty: dict[int, bool] = {}
        self.takes: list[_Take] = []
        self.frames: list[tuple[int, int]] = []
        subjects = sorted(path for path in folder.glob("20??????-*") if path.is_dir())
        whole = len(subjects) == SUBJECTS
        for subject in subjects:
            sequences = sorted(path for path in subject.iterdir() if path.is_dir())
            whole &= len(sequences) == SEQUENCES
            if split != TRAIN and subject.name.endswith(VALIDATION):
                continue
            for number, sequence in enumerate(sequences):
                if (number % 5 != 4) == (split == TRAIN):
                    self._add(sequence)
        if not whole:
            self.notes.append(
                "Subjects or sequences of DexYCB are missing: the split is not the official one."
            )
        if hands is None:
            self.notes.append(
                "DexYCB has MANO's parameters: without MANO its hands have joints, but no meshes."
            )

    def _add(self, sequence: Path) -> None:
        try:
            meta = read_yaml(sequence / "meta.yml")
            side, name = meta["mano_sides"][0], meta["mano_calib"][0]
            calibration = self.folder / "calibration"
            betas = numbers(read_yaml(calibration / f"mano_{name}" / "mano.yml")["betas"], 10)
            frames, serials = int(meta["num_frames"]), [str(serial) for serial in meta["serials"]]
        except (ValueError, KeyError, IndexError, TypeError):
            self.skip("the description of the sequence is damaged")
            return
        if side not in (RIGHT, LEFT) or betas is None:
            self.skip("the description of the sequence is damaged")
            return
        for serial in serials:
            lens = _lens(calibration / "intrinsics" / f"{serial}_640x480.yml")
            if lens is None:
                self.skip("the camera is not calibrated", frames)
                continue
            self.takes.append(_Take(sequence / serial, side, betas, lens))
            there = file_names(sequence / serial)
            for frame in range(frames):
                self._add_frame(frame, there)

    def _add_frame(self, frame: int, there: set[str]) -> None:
        if f"color_{frame:06d}.jpg" not in there:
            self.skip("the picture is missing")
        elif f"labels_{frame:06d}.npz" not in there:
            self.skip("the annotation is missing")
        elif (label := _label(self.takes[-1].folder, frame)) is None:
            self.skip("the annotation is damaged")
        elif (label[0] == -1).all() or not label[1].any():
            self.skip("no hand is seen")
        else:
            self.frames.append((len(self.takes) - 1, frame))

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> HandSample:
        number, frame = self.frames[index]
        take = self.takes[number]
        label = _label(take.folder, frame)
        if label is None:
            raise damaged(take.folder / f"labels_{frame:06d}.npz")
        joints, pose = label
        vertices = None if self.hands is None else self._vertices(number, pose, joints)
        place = take.folder.relative_to(self.folder).as_posix()
        return HandSample(
            key=f"{place}/{frame:06d}",
            side=take.side,
            joints=joints.astype(np.float32),
            vertices=None if vertices is None else vertices.astype(np.float32),
            intrinsics=take.intrinsics,
            image=partial(read_image, take.folder / f"color_{frame:06d}.jpg"),
            sequence=place,
            frame=frame,
        )

    def _vertices(self, number: int, pose: np.ndarray, joints: np.ndarray) -> np.ndarray:
        """Left hands: of those shapes, MANO_LEFT's or mirrored ones, that explain the annotated joints."""
        assert self.hands is not None
        take = self.takes[number]

        def hand(faulty: bool) -> tuple[np.ndarray, np.ndarray]:
            assert self.hands is not None
            return self.hands(take.side, pose[:48], take.betas, pose[48:], use_pca=True, faulty_left=faulty)

        if take.side == LEFT and number not in self._faulty:
            off = [float(np.abs(hand(faulty)[1] - joints).sum()) for faulty in (False, True)]
            self._faulty[number] = off[1] < off[0]
        return hand(self._faulty.get(number, False))[0]


def _label(folder: Path, frame: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Joints [21,3] and MANO's pose and translation [51]; None where the file is damaged."""
    try:
        with np.load(folder / f"labels_{frame:06d}.npz", allow_pickle=False) as file:
            joints, pose = numbers(file["joint_3d"], 21, 3), numbers(file["pose_m"], 51)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return None if joints is None or pose is None else (joints, pose)


def _lens(path: Path) -> np.ndarray | None:
    try:
        colour = read_yaml(path)["color"]
        fx, fy, cx, cy = (float(colour[name]) for name in ("fx", "fy", "ppx", "ppy"))
    except (ValueError, KeyError, TypeError):
        return None
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], np.float32)
