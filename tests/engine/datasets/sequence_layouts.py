"""The layouts of recordings and pairs of hands: InterHand2.6M, Two-hand 500K, DexYCB."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from tests.engine.datasets.layouts import Miniature, save_image, save_json
from tests.engine.datasets.made_up_hands import Camera, Hand, draw, hands_before, lens

# InterHand2.6M's order of a hand's joints, fingertips first, out of OpenPose's.
TIPS_FIRST = [4, 3, 2, 1, 8, 7, 6, 5, 12, 11, 10, 9, 16, 15, 14, 13, 20, 19, 18, 17, 0]
KINDS = ("right", "left", "interacting")


# ---------------------------------------------------------------- InterHand2.6M


def write_interhand(made: Miniature, truth: bool) -> None:
    for number, split in enumerate(("train", "evaluation")):
        _InterHand(made, split, "test" if number else "train", made.rng(4, number)).write()


class _InterHand:
    """One split: two cameras, hands alone and in pairs."""

    def __init__(self, made: Miniature, split: str, part: str, rng: np.random.Generator) -> None:
        self.made, self.split, self.part, self.rng = made, split, part, rng
        self.camera = lens(1270.0, 334, 512, (3.0, -8.0))
        # x = turn (X - place): cameras stand round the hands.
        self.turns = {name: Rotation.random(random_state=rng.integers(2**31)).as_matrix() for name in CAMERAS}
        self.places = {name: rng.normal(0, 0.4, 3) for name in CAMERAS}
        self.images: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []
        self.joints: dict[str, Any] = {}
        self.mano: dict[str, Any] = {}

    def write(self) -> None:
        sides = [side for frame in range(self.made.count) for side in _sides(KINDS[frame % 3])]
        seed = self.made.seed * 1000 + 400 + (self.part == "test")
        hands = iter(hands_before([self.camera] * len(sides), sides, seed, share=0.55))
        for frame in range(self.made.count):
            kind = KINDS[frame % 3]
            self._frame(frame, kind, [next(hands) for _ in _sides(kind)])
        folder = self.made.folder / "annotations" / self.part
        data = {"images": self.images, "annotations": self.annotations}
        parts = {"data": data, "joint_3d": {"7": self.joints}, "MANO_NeuralAnnot": {"7": self.mano}}
        for what, content in (parts | {"camera": {"7": self._cameras()}}).items():
            save_json(folder / f"InterHand2.6M_{self.part}_{what}.json", content)

    def _cameras(self) -> dict[str, Any]:
        k = self.camera.intrinsics
        return {
            "campos": {name: (1000 * self.places[name]).tolist() for name in CAMERAS},
            "camrot": {name: self.turns[name].tolist() for name in CAMERAS},
            "focal": {name: [k[0, 0], k[1, 1]] for name in CAMERAS},
            "princpt": {name: [k[0, 2], k[1, 2]] for name in CAMERAS},
        }

    def _frame(self, frame: int, kind: str, hands: list[Hand]) -> None:
        """The hands before one of the cameras, and in the world."""
        name, index = CAMERAS[frame % 2], str(1000 + 3 * frame)
        turn, place = self.turns[name], self.places[name]
        world, valid = np.ones((42, 3)), np.zeros((42, 1))
        self.mano[index] = {"right": None, "left": None}
        file = f"Capture7/0042_fist_{frame // 6}/cam{name}/image{index}.jpg"
        shapes = [hand.shape() for hand in hands]
        save_image(
            self.made.folder / "images" / self.part / file,
            draw([v for v, _ in shapes], self.camera, self.rng),
        )
        for hand, (vertices, joints) in zip(hands, shapes):
            rows = slice(0, 21) if hand.side == "right" else slice(21, 42)
            world[rows] = 1000 * (joints @ turn + place)[TIPS_FIRST]
            valid[rows] = 1
            moved = hand.moved(turn.T, place)
            self.mano[index][hand.side] = {
                "pose": moved.on_mean().tolist(),
                "shape": moved.betas.tolist(),
                "trans": moved.transl.tolist(),
            }
            key = f"{self.part}/{file.removesuffix('.jpg')}/{hand.side}"
            self.made.note(self.split, key, hand.side, (vertices, joints))
        self.joints[index] = {
            "world_coord": world.tolist(),
            "joint_valid": valid.tolist(),
            "hand_type": kind,
            "hand_type_valid": True,
        }
        self.images.append(
            {"id": frame + 50, "file_name": file, "width": 334, "height": 512, "capture": 7, "subject": 3}
            | {"seq_name": f"0042_fist_{frame // 6}", "camera": name, "frame_idx": int(index)}
        )
        annotation = {
            "id": frame,
            "image_id": frame + 50,
            "bbox": [0, 0, 334, 512],
            "joint_valid": valid.tolist(),
        }
        self.annotations.append(annotation | {"hand_type": kind, "hand_type_valid": 1})
        if self.made.bad and frame in (1, 3, 4):
            self._spoil(
                frame, [f"{self.part}/{file.removesuffix('.jpg')}/{hand.side}" for hand in hands], file
            )

    def _spoil(self, frame: int, keys: list[str], file: str) -> None:
        """A wrist that is not known, hands of which nobody is sure, a picture that is not there."""
        if frame == 1:
            self.annotations[-1]["joint_valid"][41] = [0]
        elif frame == 3:
            self.annotations[-1]["hand_type_valid"] = 0
        else:
            (self.made.folder / "images" / self.part / file).unlink()
        for key in keys:
            self.made.truth[self.split].pop(key)
        self.made.skipped[self.split] += 1


CAMERAS = ("400002", "400264")


def _sides(kind: str) -> tuple[str, ...]:
    return ("right", "left") if kind == "interacting" else (kind,)


# ---------------------------------------------------------------- Two-hand 500K


def write_twohand(made: Miniature, truth: bool) -> None:
    """The layout that is guessed: some json, some pickles."""
    camera = lens(1000.0, 512, 512)
    for number, (split, part) in enumerate((("train", "train"), ("evaluation", "test"))):
        sides = ["right", "left"] * made.count
        hands = hands_before([camera] * len(sides), sides, made.seed * 1000 + 500 + number)
        folder = made.folder / part
        folder.mkdir(parents=True, exist_ok=True)
        for row in range(made.count):
            pair = {hand.side: _parameters(hand) for hand in hands[2 * row : 2 * row + 2]}
            if row % 2:
                (folder / f"{row:05d}.pkl").write_bytes(pickle.dumps(pair, protocol=4))
            else:
                text = {
                    side: {name: value.tolist() for name, value in hand.items()}
                    for side, hand in pair.items()
                }
                save_json(folder / f"{row:05d}.json", text)
            for hand in hands[2 * row : 2 * row + 2]:
                made.note(split, f"{part}/{row:05d}/{hand.side}", hand.side, hand.shape())
        if made.bad:
            raw = (folder / "00001.pkl").read_bytes()
            (folder / "00001.pkl").write_bytes(raw[:100])
            for side in ("right", "left"):
                made.truth[split].pop(f"{part}/00001/{side}")
            made.skipped[split] += 1


def _parameters(hand: Hand) -> dict[str, np.ndarray]:
    return {"pose": hand.on_mean(), "shape": hand.betas, "trans": hand.transl}


# ---------------------------------------------------------------- DexYCB


def write_dexycb(made: Miniature, truth: bool) -> None:
    """Two subjects of five sequences, the last of which is for evaluation; one camera."""
    camera = lens(615.0, 640, 480, (-5.0, 3.0))
    serial = "932122060861"
    lens_file = made.folder / "calibration" / "intrinsics" / f"{serial}_640x480.yml"
    lens_file.parent.mkdir(parents=True, exist_ok=True)
    lens_file.write_text(_lens_yaml(camera))
    (made.folder / "models").mkdir(exist_ok=True)
    for subject, side in enumerate(("right", "left")):
        folder = f"20200{820 + subject}-subject-0{3 + subject}"
        betas = made.rng(6, subject).normal(0, 1.0, 10)
        mano = f"{folder}_{side}"
        path = made.folder / "calibration" / f"mano_{mano}" / "mano.yml"
        path.parent.mkdir(parents=True)
        path.write_text("betas:\n" + "".join(f"- {beta!r}\n" for beta in betas.tolist()))
        for number in range(5):
            count = max(1, made.count // (8 if number < 4 else 2))
            bad = made.bad and number in (0, 4)
            sequence = f"{folder}/20200820_14{subject}{number}00"
            (made.folder / sequence).mkdir(parents=True)
            (made.folder / sequence / "meta.yml").write_text(_meta_yaml(mano, side, count + 2 * bad, serial))
            seed = made.seed * 1000 + 600 + 10 * subject + number
            hands = hands_before([camera] * count, [side] * count, seed, 0.4, betas)
            _sequence(
                made, "evaluation" if number == 4 else "train", f"{sequence}/{serial}", hands, camera, bad
            )


def _sequence(made: Miniature, split: str, place: str, hands: list[Hand], camera: Camera, bad: bool) -> None:
    rng = made.rng(6, len(place))
    for frame, hand in enumerate(hands):
        # MANO_LEFT as it is: the makers of DexYCB used it so.
        vertices, joints = hand.shape(faulty=True)
        save_image(made.folder / place / f"color_{frame:06d}.jpg", draw([vertices], camera, rng))
        pose = np.concatenate([hand.in_components(), hand.transl])
        _save_label(made, place, frame, joints, pose)
        made.note(split, f"{place}/{frame:06d}", hand.side, (vertices, joints))
    if bad:
        frame = len(hands)
        for extra in (frame, frame + 1):
            save_image(made.folder / place / f"color_{extra:06d}.jpg", draw([], camera, rng))
        _save_label(made, place, frame, np.full((21, 3), -1.0), np.zeros(51))
        (made.folder / place / f"labels_{frame + 1:06d}.npz").write_bytes(b"PK\x03\x04 cut off")
        made.skipped[split] += 2


def _save_label(made: Miniature, place: str, frame: int, joints: np.ndarray, pose: np.ndarray) -> None:
    np.savez_compressed(
        made.folder / place / f"labels_{frame:06d}.npz",
        seg=np.zeros((480, 640), np.uint8),
        pose_y=np.zeros((2, 3, 4), np.float32),
        pose_m=pose[None].astype(np.float32),
        joint_3d=joints[None].astype(np.float32),
        joint_2d=np.zeros((1, 21, 2), np.float32),
    )


def _lens_yaml(camera: Camera) -> str:
    k = camera.intrinsics
    colour = f"  fx: {k[0, 0]}\n  fy: {k[1, 1]}\n  ppx: {k[0, 2]}\n  ppy: {k[1, 2]}\n"
    return f"color:\n{colour}depth:\n  fx: 385.0\n  fy: 385.0\n  ppx: 320.0\n  ppy: 240.0\n"


def _meta_yaml(mano: str, side: str, frames: int, serial: str) -> str:
    return (
        f"extrinsics: '20200702_151821'\nmano_calib:\n- {mano}\nmano_sides:\n- {side}\nnum_frames: {frames}\n"
        f"serials:\n- '{serial}'\nycb_grasp_ind: 1\nycb_ids:\n- 4\n- 19\n"
    )
