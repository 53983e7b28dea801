"""InterHand2.6M (Moon et al., ECCV 2020), version 1.0 at 30 or 5 frames a second: hands alone and in pairs.

    annotations/train/InterHand2.6M_train_data.json  ..._camera.json  ..._joint_3d.json
    annotations/train/InterHand2.6M_train_MANO_NeuralAnnot.json
    images/train/Capture0/0000_neutral_relaxed/cam400002/image0001.jpg

A pair becomes two samples. Joints are in world axes and millimetres, each finger from its tip inwards, then
the wrist, the right hand's before the left one's; MANO's parameters are in metres, on the mean pose. A camera
looks along its z: x = camrot (X - campos). Without images (or without data.json) the hands are read once a
frame, in world axes: pose only. The evaluation split is their test.
"""

from __future__ import annotations

from array import array
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .annotated import Annotated, numbers, read_image, read_json
from .json_rows import stream_lists
from .parameters import ManoHands
from .sample import LEFT, RIGHT, TRAIN, HandSample

SIDES = (RIGHT, LEFT)
# Their joints of one hand in OpenPose order.
ORDER = [20, *(finger + joint for finger in range(0, 20, 4) for joint in (3, 2, 1, 0))]
MILLIMETRE = 1e-3
SHOWN = {"right": (0,), "left": (1,), "interacting": (0, 1)}


def recognises(folder: Path) -> bool:
    return any((folder / "annotations").glob("*/InterHand2.6M_*_joint_3d.json"))


class InterHand(Annotated):
    name = "interhand"

    def __init__(self, folder: Path, split: str, hands: ManoHands | None = None) -> None:
        super().__init__(folder, split, hands)
        self.part = "train" if split == TRAIN else "test"
        place = (folder / "annotations" / name for name in (self.part, "all", "machine_annot", "human_annot"))
        self.annotations = next((p for p in place if self._file(p, "joint_3d").is_file()), None)
        if self.annotations is None:
            raise ValueError(
                f"{folder} has no annotations of InterHand2.6M's {self.part} split: unpack them."
            )
        self._read_frames()
        self.parameters = self._read_parameters()
        self.images = folder / "images" / self.part
        # One row a sample: the frame, the side, and with images: the camera and which of their joints hold.
        self.frame_of, self.side_of = array("i"), array("b")
        self.camera_of, self.file_of, self.valid_of = array("i"), array("i"), bytearray()
        data = self._file(self.annotations, "data")
        self.pictured = self.images.is_dir() and data.is_file()
        if self.pictured:
            self._read_cameras()
            self._read_pictures(data)
        else:
            self.notes.append("There are no images of InterHand2.6M: its hands are poses alone.")
            self._every_frame()

    def _file(self, folder: Path, what: str) -> Path:
        return folder / f"InterHand2.6M_{self.part}_{what}.json"

    # ------------------------------------------------------------ annotations

    def _read_frames(self) -> None:
        """Joints [N,2,21,3] in their axes and order, metres, and where each frame is found."""
        assert self.annotations is not None
        self.places: list[tuple[str, str]] = []  # capture and frame
        self.number: dict[tuple[str, str], int] = {}
        joints, valid, kinds = [], [], []
        for capture, frames in read_json(self._file(self.annotations, "joint_3d")).items():
            for frame, found in frames.items():
                world = numbers(found.get("world_coord"), 2, 21, 3)
                known = numbers(found.get("joint_valid"), 2, 21)
                if world is None or known is None:
                    self.skip("joints are not finite")
                    continue
                self.number[capture, frame] = len(self.places)
                self.places.append((capture, frame))
                joints.append(world.astype(np.float32) * np.float32(MILLIMETRE))
                valid.append(known > 0)
                kinds.append(
                    SHOWN.get(found.get("hand_type"), ()) if found.get("hand_type_valid", True) else ()
                )
        self.joints, self.valid, self.kinds = np.array(joints), np.array(valid), kinds

    def _read_parameters(self) -> dict[tuple[str, str, int], np.ndarray]:
        """Pose, shape and translation [61] by capture, frame and side."""
        assert self.annotations is not None
        path = self._file(self.annotations, "MANO_NeuralAnnot")
        if not path.is_file():
            self.notes.append(f"{path.name} is missing: the hands have joints, but no meshes.")
            return {}
        if self.hands is None:
            self.notes.append("InterHand2.6M has MANO's parameters: without MANO its hands have no meshes.")
            return {}
        parameters = {}
        for capture, frames in read_json(path).items():
            for frame, found in frames.items():
                for side, name in enumerate(SIDES):
                    if (hand := found.get(name)) is not None:
                        parts = [
                            numbers(hand.get(k), n) for k, n in (("pose", 48), ("shape", 10), ("trans", 3))
                        ]
                        whole = [part for part in parts if part is not None]
                        if len(whole) == 3:
                            parameters[capture, frame, side] = np.concatenate(whole).astype(np.float32)
                        else:
                            self.skip("MANO's parameters are not finite: the hand has no mesh")
        return parameters

    def _every_frame(self) -> None:
        for frame, sides in enumerate(self.kinds):
            if not sides:
                self.skip("which hands are seen is not sure")
            for side in sides:
                if self.valid[frame, side, ORDER[0]]:
                    self.frame_of.append(frame)
                    self.side_of.append(side)
                else:
                    self.skip("the wrist is not annotated")

    # ------------------------------------------------------------ pictures

    def _read_cameras(self) -> None:
        """By capture and name of the camera: rotation, position in metres, intrinsics."""
        assert self.annotations is not None
        self.cameras: dict[tuple[str, str], tuple[np.ndarray, np.ndarray, np.ndarray]] = {}
        for capture, found in read_json(self._file(self.annotations, "camera")).items():
            for name in found.get("campos", {}):
                turn, place = numbers(found["camrot"].get(name), 3, 3), numbers(found["campos"][name], 3)
                focal, centre = numbers(found["focal"].get(name), 2), numbers(found["princpt"].get(name), 2)
                if turn is None or place is None or focal is None or centre is None:
                    continue
                lens = np.array([[focal[0], 0, centre[0]], [0, focal[1], centre[1]], [0, 0, 1]], np.float32)
                self.cameras[capture, name] = turn, place * MILLIMETRE, lens
        self.camera_names = list(self.cameras)
        self.camera_number = {name: number for number, name in enumerate(self.camera_names)}

    def _read_pictures(self, data: Path) -> None:
        images: dict[int, tuple[int, int, str]] = {}
        self.files: list[str] = []
        for what, item in stream_lists(data):
            if what == "images":
                capture, camera, frame = (str(item.get(name)) for name in ("capture", "camera", "frame_idx"))
                number = self.number.get((capture, frame), -1)
                images[item["id"]] = number, self.camera_number.get((capture, camera), -1), item["file_name"]
            elif what == "annotations" and item.get("image_id") in images:
                self._add(item, *images.pop(item["image_id"]))

    def _add(self, annotation: dict[str, Any], frame: int, camera: int, file: str) -> None:
        sides = SHOWN.get(annotation.get("hand_type", ""), ())
        valid = numbers(annotation.get("joint_valid"), 2, 21)
        if frame < 0:
            self.skip("the frame has no joints in space")
        elif camera < 0:
            self.skip("the camera is not calibrated")
        elif not sides or not annotation.get("hand_type_valid", True) or valid is None:
            self.skip("which hands are seen is not sure")
        elif not (self.images / file).is_file():
            self.skip("the picture is missing")
        else:
            self.files.append(file)
            for side in sides:
                if not valid[side, ORDER[0]]:
                    self.skip("the wrist is not annotated")
                    continue
                self.frame_of.append(frame)
                self.side_of.append(side)
                self.camera_of.append(camera)
                self.file_of.append(len(self.files) - 1)
                self.valid_of += np.packbits(valid[side] > 0).tobytes()

    # ------------------------------------------------------------ samples

    def __len__(self) -> int:
        return len(self.frame_of)

    def __getitem__(self, index: int) -> HandSample:
        index = range(len(self))[index]
        frame, side = self.frame_of[index], self.side_of[index]
        capture, number = self.places[frame]
        world, vertices = self.joints[frame, side][ORDER].astype(np.float64), self._vertices(frame, side)
        valid = self.valid[frame, side]
        if not self.pictured:
            return HandSample(
                key=f"{self.part}/Capture{capture}/{number}/{SIDES[side]}",
                side=SIDES[side],
                joints=np.where(valid[ORDER, None], world, np.nan).astype(np.float32),
                vertices=None if vertices is None else vertices.astype(np.float32),
                sequence=f"Capture{capture}/{SIDES[side]}",
                frame=int(number),
            )
        bits = np.frombuffer(self.valid_of, np.uint8)[3 * index : 3 * index + 3]
        valid = np.unpackbits(bits)[:21].astype(bool)
        turn, place, lens = self.cameras[self.camera_names[self.camera_of[index]]]
        file = self.files[self.file_of[index]]
        joints = np.where(valid[ORDER, None], (world - place) @ turn.T, np.nan)
        return HandSample(
            key=f"{self.part}/{Path(file).with_suffix('').as_posix()}/{SIDES[side]}",
            side=SIDES[side],
            joints=joints.astype(np.float32),
            vertices=None if vertices is None else ((vertices - place) @ turn.T).astype(np.float32),
            intrinsics=lens,
            image=partial(read_image, self.images / file),
            sequence=f"{Path(file).parent.as_posix()}/{SIDES[side]}",
            frame=int(number),
        )

    def _vertices(self, frame: int, side: int) -> np.ndarray | None:
        """[778,3] in world axes, metres."""
        found = self.parameters.get((*self.places[frame], side))
        if found is None or self.hands is None:
            return None
        pose, shape, trans = np.split(found.astype(np.float64), [48, 58])
        return self.hands(SIDES[side], pose, shape, trans)[0]
