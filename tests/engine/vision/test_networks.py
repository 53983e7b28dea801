"""Both networks give what the reference runtime gives, and their weights come out of the wheel bit by bit."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from hhmr_engine.vision import networks
from hhmr_engine.vision.convert import convert, main
from hhmr_engine.vision.crop import cut, whole
from hhmr_engine.vision.flatbuffer import read_tflite
from hhmr_engine.vision.networks import HAND_SIDE, PALM_SIDE, WEIGHTS, hand_network, palm_network
from hhmr_engine.vision.palms import decode, find_palms
from hhmr_engine.vision.photo import Photo
from tests.engine.vision.reference import GOLDEN, Reference, drawn_hand, palm_input


def batch(picture: NDArray) -> Tensor:
    """`[side, side, 3]` in [0, 1] -> `[1, 3, side, side]`."""
    return torch.from_numpy(np.ascontiguousarray(picture, np.float32)).permute(2, 0, 1)[None]


@pytest.fixture(scope="module")
def golden() -> dict[str, NDArray]:
    with np.load(GOLDEN) as data:
        return dict(data)


def test_palm_network_as_the_reference_runtime_had_it(golden: dict[str, NDArray]) -> None:
    with torch.inference_mode():
        scores, boxes = palm_network()(batch(palm_input(golden["picture"])))
    assert np.abs(scores[0].numpy() - golden["scores"]).max() < 1e-3
    assert np.abs(boxes[0].numpy()[golden["best"]] - golden["boxes"]).max() < 2e-3  # of 192 pixels


def test_hand_network_as_the_reference_runtime_had_it(golden: dict[str, NDArray]) -> None:
    with torch.inference_mode():
        output = hand_network()(batch(golden["picture"] / np.float32(255)), features=True)
    assert np.abs(output.landmarks[0].numpy() - golden["landmarks"]).max() < 2e-3  # of 224 pixels
    assert np.abs(output.world[0].numpy() - golden["world"]).max() < 1e-5
    assert abs(output.presence.item() - golden["presence"]) < 1e-4
    assert abs(output.right.item() - golden["right"]) < 1e-4
    assert output.map14 is not None and output.map14.shape == (1, 112, 14, 14)
    assert output.map7 is not None and output.map7.shape == (1, 192, 7, 7)


def test_the_golden_picture_is_the_one_drawn_here(golden: dict[str, NDArray]) -> None:
    assert np.abs(golden["picture"].astype(int) - drawn_hand()).mean() < 1


@pytest.fixture(scope="module")
def reference(wheel: Path) -> Reference:
    if importlib.util.find_spec("ai_edge_litert") is None:
        sentence = "The reference runtime is not installed: pip install ai-edge-litert==2.3.0."
        if os.environ.get("CI") == "true":
            pytest.fail(sentence)
        pytest.skip(sentence)
    return Reference(wheel)


def test_same_boxes_on_real_photos(reference: Reference, photos: list[Photo]) -> None:
    for photo in photos:
        picture = cut(photo, [whole(photo, 0.25)], PALM_SIDE, "zeros")
        expected = decode(*reference.palms(picture[0].permute(1, 2, 0).numpy()))
        with torch.inference_mode():
            scores, boxes = palm_network()(picture)
        found = decode(scores[0].numpy(), boxes[0].numpy())
        assert len(found) == len(expected) > 0
        for palm, other in zip(found, expected):
            assert np.abs(palm.box - other.box).max() * PALM_SIDE < 0.05
            assert np.abs(palm.keypoints - other.keypoints).max() * PALM_SIDE < 0.05
            assert abs(palm.score - other.score) < 1e-3


def test_same_landmarks_on_real_photos(reference: Reference, photos: list[Photo]) -> None:
    for photo in photos:
        crop = find_palms(photo, [whole(photo, 0.25)])[0][1]
        picture = cut(photo, [crop], HAND_SIDE, "border")
        expected = reference.hand(picture[0].permute(1, 2, 0).numpy())
        with torch.inference_mode():
            output = hand_network()(picture)
        assert np.abs(output.landmarks[0].numpy() - expected["landmarks"]).max() < 0.1
        assert np.abs(output.world[0].numpy() - expected["world"]).max() < 1e-4
        assert abs(output.presence.item() - expected["presence"]) < 1e-3
        assert abs(output.right.item() - expected["right"]) < 1e-3


def test_the_wheel_gives_the_weights_that_ship(wheel: Path, tmp_path: Path) -> None:
    sums = convert(wheel, tmp_path)
    for name in (*sums, "LICENSE", "SHA256SUMS"):
        assert (tmp_path / name).read_bytes() == (WEIGHTS / name).read_bytes(), name


def test_checksums() -> None:
    lines = (WEIGHTS / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 2
    for line in lines:
        digest, name = line.split()
        assert hashlib.sha256((WEIGHTS / name).read_bytes()).hexdigest() == digest
    assert "MediaPipe Authors" in (WEIGHTS / "NOTICE").read_text(encoding="utf-8")


def test_another_file_is_no_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.whl").write_text("no zip")
    arguments = ["convert", "--wheel", str(tmp_path / "a.whl"), "--out", str(tmp_path / "out")]
    monkeypatch.setattr("sys.argv", arguments)
    assert main() == 1
    assert "is not the wheel of mediapipe 0.10.14" in capsys.readouterr().err
    with pytest.raises(ValueError, match="no TFLite file"):
        read_tflite(b"PK\x03\x04 something else")


def test_damaged_weights_get_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = (WEIGHTS / "hand_landmark_full.safetensors").read_bytes()
    (tmp_path / "hand_landmark_full.safetensors").write_bytes(data[:1000])
    monkeypatch.setattr(networks, "WEIGHTS", tmp_path)
    with pytest.raises(
        ValueError, match="hand_landmark_full.safetensors cannot be read .*: install HHMR again"
    ):
        hand_network("meta")  # a device of its own: what is cached for the CPU stays
    with pytest.raises(ValueError, match="palm_detection_full.safetensors cannot be read"):
        palm_network("meta")
