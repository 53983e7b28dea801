"""MediaPipe's networks as the reference runtime runs them, and what they say of a picture that is drawn here.

`python -m tests.engine.vision.reference WHEEL` computes `golden.npz` again (ai-edge-litert 2.3.0,
mediapipe 0.10.14): the drawn picture itself and both networks' outputs for it. So the networks
are tested where neither is installed.
"""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from hhmr_engine.vision.convert import MODELS

GOLDEN = Path(__file__).with_name("golden.npz")


class Reference:
    """Both networks, run by LiteRT on one thread from the files in the wheel."""

    def __init__(self, wheel: Path) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self.interpreters = {}
        with zipfile.ZipFile(wheel) as archive:
            for name, (member, _) in MODELS.items():
                self.interpreters[name] = Interpreter(model_content=archive.read(member), num_threads=1)

    def _run(self, name: str, picture: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        interpreter = self.interpreters[name]
        interpreter.allocate_tensors()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], picture[None])
        interpreter.invoke()
        return [interpreter.get_tensor(output["index"])[0] for output in interpreter.get_output_details()]

    def palms(self, picture: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """`[192, 192, 3]` in [0, 1] -> score logits `[2016]`, raw boxes `[2016, 18]`."""
        boxes, scores = self._run("palm_detection_full", picture)
        return scores[:, 0], boxes

    def hand(self, picture: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """`[224, 224, 3]` in [0, 1] -> landmarks, presence, right, world."""
        landmarks, presence, right, world = self._run("hand_landmark_full", picture)
        return {
            "landmarks": landmarks.reshape(21, 3),
            "presence": presence[0],
            "right": right[0],
            "world": world.reshape(21, 3),
        }


def drawn_hand() -> NDArray[np.uint8]:
    """An open hand drawn in skin colour, `[224, 224, 3]`."""
    image = Image.new("RGB", (224, 224), (96, 110, 128))
    draw = ImageDraw.Draw(image)
    skin = (214, 160, 130)
    draw.ellipse((72, 102, 157, 197), fill=skin)
    draw.rectangle((87, 172, 142, 224), fill=skin)
    for start, end, width in (
        ((144, 162), (192, 110), 24),
        ((140, 122), (152, 40), 20),
        ((118, 117), (120, 24), 21),
        ((98, 122), (88, 36), 20),
        ((82, 137), (56, 70), 17),
    ):
        draw.line((start, end), fill=skin, width=width)
        for x, y in (start, end):
            draw.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill=skin)
    return np.asarray(image.filter(ImageFilter.GaussianBlur(1.5)))


def palm_input(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The middle 192 x 192 of 224 x 224 pixels."""
    return picture[16:208, 16:208].astype(np.float32) / 255


def main() -> None:
    picture = drawn_hand()
    reference = Reference(Path(sys.argv[1]))
    scores, boxes = reference.palms(palm_input(picture))
    best = np.sort(np.argsort(-scores)[:50]).astype(np.int32)
    outputs = reference.hand(picture.astype(np.float32) / 255)
    np.savez_compressed(GOLDEN, picture=picture, scores=scores, best=best, boxes=boxes[best], **outputs)


if __name__ == "__main__":
    main()
