"""Folders that are damaged get one sentence, or are counted; nothing raises anything else."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from hhmr_engine.datasets.catalogue import DATASETS, open_dataset
from hhmr_engine.datasets.sample import TRAIN
from tests.engine.datasets.layouts import Miniature

CUT = ["training_K.json", "training_xyz.json", "training_verts.json"]


def copied(made: Miniature, to: Path) -> Path:
    """A copy that may be changed; pictures are links."""
    return Path(shutil.copytree(made.folder, to / made.folder.name, copy_function=_copy))


def _copy(source: str, target: str) -> str:
    if source.endswith((".jpg", ".png")):
        os.symlink(source, target)
    else:
        shutil.copyfile(source, target)
    return target


def one_sentence(exc: pytest.ExceptionInfo[ValueError]) -> bool:
    text = str(exc.value)
    return "\n" not in text and text.endswith(".") and len(text) > 30


@pytest.mark.parametrize("name", CUT)
def test_freihand_cut_off(name: str, miniatures: dict[str, Miniature], tmp_path: Path):
    folder = copied(miniatures["freihand"], tmp_path)
    raw = (folder / name).read_bytes()
    (folder / name).write_bytes(raw[: len(raw) // 2])
    with pytest.raises(ValueError, match=name) as exc:
        open_dataset(folder, TRAIN)
    assert one_sentence(exc)


def test_freihand_of_two_versions(miniatures: dict[str, Miniature], tmp_path: Path):
    folder = copied(miniatures["freihand"], tmp_path)
    (folder / "training_xyz.json").write_text("[[[0, 0, 0]]]")
    with pytest.raises(ValueError, match="different versions") as exc:
        open_dataset(folder, TRAIN)
    assert one_sentence(exc)


@pytest.mark.parametrize("what", ["joint_3d", "camera", "data", "MANO_NeuralAnnot"])
def test_interhand_cut_off(what: str, miniatures: dict[str, Miniature], mano: Path, tmp_path: Path):
    folder = copied(miniatures["interhand"], tmp_path)
    path = folder / "annotations" / "train" / f"InterHand2.6M_train_{what}.json"
    raw = path.read_bytes()
    path.write_bytes(raw[: 2 * len(raw) // 3])
    with pytest.raises(ValueError, match=path.name) as exc:
        open_dataset(folder, TRAIN, mano)
    assert one_sentence(exc)


@pytest.mark.parametrize("content", ["{}", "[]", "null", '{"7": null}', '{"7": {"1000": null}}', '"a"'])
def test_interhand_of_another_structure(content: str, miniatures: dict[str, Miniature], tmp_path: Path):
    folder = copied(miniatures["interhand"], tmp_path)
    (folder / "annotations" / "train" / "InterHand2.6M_train_joint_3d.json").write_text(content)
    try:
        dataset = open_dataset(folder, TRAIN)
    except ValueError as exc:
        assert str(exc).endswith(".")
    else:
        assert len(dataset) == 0


def test_dexycb_without_calibration(miniatures: dict[str, Miniature], tmp_path: Path):
    folder = copied(miniatures["dexycb"], tmp_path)
    for path in (folder / "calibration").rglob("*.yml"):
        path.write_text("betas: [1, 2\n")
    dataset = open_dataset(folder, TRAIN)
    assert len(dataset) == 0 and sum(dataset.skipped.values()) >= 8


def test_a_picture_that_is_damaged(miniatures: dict[str, Miniature], tmp_path: Path):
    folder = copied(miniatures["ho3d"], tmp_path)
    dataset = open_dataset(folder, TRAIN)
    picture = folder / "train" / "ABF10" / "rgb" / "0000.jpg"
    picture.unlink()
    picture.write_bytes(b"\xff\xd8\xff no picture")
    with pytest.raises(ValueError, match="0000.jpg") as exc:
        dataset[0].image()
    assert one_sentence(exc)
    picture.unlink()
    with pytest.raises(ValueError, match="missing") as exc:
        dataset[0].image()
    assert one_sentence(exc)


def test_a_pickle_that_would_run_something(miniatures: dict[str, Miniature], tmp_path: Path):
    folder = copied(miniatures["ho3d"], tmp_path)
    before = len(open_dataset(folder, TRAIN))
    ran = tmp_path / "ran"
    meta = folder / "train" / "ABF10" / "meta" / "0000.pkl"
    meta.write_bytes(b"cos\nsystem\n(S'touch " + str(ran).encode() + b"'\ntR.")
    dataset = open_dataset(folder, TRAIN)
    assert len(dataset) == before - 1 and not ran.exists()


def test_sentences_for_what_is_no_dataset(tmp_path: Path, miniatures: dict[str, Miniature]):
    for fault in (
        lambda: open_dataset(tmp_path, TRAIN),
        lambda: open_dataset(tmp_path, TRAIN, name="imagenet"),
        lambda: open_dataset(miniatures["ho3d"].folder, "validation"),
        lambda: open_dataset(miniatures["comphand"].folder, "evaluation"),
        lambda: open_dataset(miniatures["ho3d"].folder, TRAIN, tmp_path / "none.pkl"),
        *(lambda name=name: open_dataset(tmp_path, TRAIN, name=name) for name in DATASETS),
    ):
        try:
            dataset = fault()
        except ValueError as exc:
            assert str(exc).endswith(".") and "\n" not in str(exc)
        else:
            assert len(dataset) == 0
