"""Every loader against a miniature in the official layout: what it finds, where, and what it leaves out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, binary_erosion

from hhmr_engine.datasets.annotated import Annotated
from hhmr_engine.datasets.catalogue import DATASETS, find_datasets, find_mano, open_dataset, recognise
from hhmr_engine.datasets.sample import EVALUATION, SPLITS, TRAIN, HandSample
from hhmr_engine.hand.skeleton import TIP_JOINTS
from tests.engine.datasets.layouts import Miniature
from tests.engine.datasets.made_up_hands import Camera, coverage, skin

PARTS = [(name, split) for name in DATASETS for split in SPLITS if (name, split) != ("comphand", EVALUATION)]
PICTURED = [part for part in PARTS if part[0] != "twohand"]


@pytest.fixture(scope="session")
def opened(miniatures: dict[str, Miniature], mano: Path) -> dict[tuple[str, str], Annotated]:
    return {(name, split): open_dataset(miniatures[name].folder, split, mano) for name, split in PARTS}


@pytest.fixture(params=PARTS, ids="-".join)
def part(request, opened, miniatures) -> tuple[Annotated, Miniature]:
    return opened[request.param], miniatures[request.param[0]]


def test_finds_the_hands_that_were_written(part: tuple[Annotated, Miniature]):
    dataset, made = part
    samples = list(dataset)
    truth = made.truth[dataset.split]
    assert sorted(sample.key for sample in samples) == sorted(truth)
    for sample in samples:
        assert sample.side == made.sides[sample.key]
        assert sample.vertices is not None and sample.vertices.dtype == sample.joints.dtype == np.float32
        np.testing.assert_allclose(sample.vertices, truth[sample.key], atol=1e-6)
        if dataset.name != "comphand":  # whose joints are the regressor's, of the posed mesh
            np.testing.assert_allclose(sample.joints, made.joints[sample.key], atol=1e-6)
        else:
            off = np.linalg.norm(sample.joints - made.joints[sample.key], axis=1)
            assert off[list(TIP_JOINTS)].max() < 1e-6 and off.max() < 0.02


def test_counts_what_it_leaves_out(part: tuple[Annotated, Miniature]):
    dataset, made = part
    assert sum(dataset.skipped.values()) == made.skipped[dataset.split] > 0 or dataset.name == "comphand"
    assert all(reason and count > 0 for reason, count in dataset.skipped.items())


def test_has_hands_of_both_sides(opened: dict[tuple[str, str], Annotated]):
    sides = {
        name: {s.side for split in SPLITS if (name, split) in opened for s in opened[name, split]}
        for name in DATASETS
    }
    right, left = {"right"}, {"left"}
    assert sides == {
        "freihand": right, "ho3d": right, "comphand": left,
        "interhand": right | left, "twohand": right | left, "dexycb": right | left,
    }  # fmt: skip


@pytest.mark.parametrize("which", PICTURED, ids="-".join)
def test_mesh_lies_on_the_hand_in_the_picture_within_a_pixel(which, opened):
    samples = list(opened[which])[:8]
    assert samples
    pictures = [sample.key.rpartition("/")[0] for sample in samples]
    for sample, picture in zip(samples, pictures):
        image = sample.image()
        assert image.dtype == np.uint8 and image.ndim == 3
        alone = which[0] != "interhand" or pictures.count(picture) == 1
        assert lies_on(sample, image, alone)
        for off in ((2.5, 0), (0, -2.5)) if sample is samples[0] else ():
            moved = sample.intrinsics + np.float32([[0, 0, off[0]], [0, 0, off[1]], [0, 0, 0]])
            assert not lies_on(replace(sample, intrinsics=moved), image, alone)


def lies_on(sample: HandSample, image: np.ndarray, alone: bool) -> bool:
    """Whether outlines agree within a pixel, and joints lie inside; not `alone`: other hands are seen."""
    camera = Camera(sample.intrinsics.astype(float), image.shape[1], image.shape[0])
    covered, seen = coverage(sample.vertices.astype(float), camera), skin(image)
    around = np.ones((3, 3), bool)
    missed = binary_erosion(covered == 1, around) & ~seen
    beyond = seen & ~binary_dilation(covered > 0, around)
    column, row = np.floor(camera.project(sample.joints.astype(float))).astype(int).T
    inside = binary_dilation(covered > 0, iterations=3)[row, column].all()
    return bool(covered.sum() > 1000 and inside and not missed.any() and not (alone and beyond.any()))


def test_sequences_are_numbered(opened: dict[tuple[str, str], Annotated]):
    for name in ("ho3d", "interhand", "dexycb"):
        frames = [(sample.sequence, sample.frame) for sample in opened[name, TRAIN]]
        assert all(sequence for sequence, _ in frames) and len(set(frames)) == len(frames)


def test_a_folder_of_datasets_is_found_by_layout(miniatures: dict[str, Miniature], datasets: Path):
    assert find_datasets(datasets) == {made.folder: name for name, made in miniatures.items()}
    assert {recognise(made.folder) for made in miniatures.values()} == set(DATASETS)
    assert find_datasets(miniatures["ho3d"].folder) == {miniatures["ho3d"].folder: "ho3d"}
    assert find_mano(datasets) == datasets / "mano" / "MANO_RIGHT.pkl" and find_mano(datasets / "mano")
    assert recognise(datasets / "mano") is None and find_datasets(datasets / "mano") == {}


def test_comphand_among_others_is_found(miniatures: dict[str, Miniature], tmp_path: Path):
    for name in ("comphand", "twohand"):
        (tmp_path / f"two{name}").symlink_to(miniatures[name].folder)
        found = find_datasets(tmp_path)
        assert sorted(found.values()) == (["comphand"] if name == "comphand" else ["comphand", "twohand"])
    assert find_datasets(miniatures["comphand"].folder) == {miniatures["comphand"].folder: "comphand"}


def test_without_mano_there_are_joints_and_a_sentence(miniatures: dict[str, Miniature]):
    for name in ("ho3d", "interhand", "dexycb"):
        dataset = open_dataset(miniatures[name].folder, TRAIN)
        sample = dataset[0]
        assert sample.vertices is None and np.isfinite(sample.joints).all()
        assert any("MANO" in note for note in dataset.notes)
    assert open_dataset(miniatures["freihand"].folder, TRAIN)[0].vertices is not None
    comphand = open_dataset(miniatures["comphand"].folder, TRAIN)[0]
    assert np.isfinite(comphand.joints).all(1).nonzero()[0].tolist() == list(TIP_JOINTS)
    twohand = open_dataset(miniatures["twohand"].folder, TRAIN)
    assert len(twohand) == 0 and any("MANO" in reason for reason in twohand.skipped)


def test_interhand_without_images_is_poses_alone(
    miniatures: dict[str, Miniature], mano: Path, tmp_path: Path
):
    made = miniatures["interhand"]
    (tmp_path / "annotations").symlink_to(made.folder / "annotations")
    poses = open_dataset(tmp_path, TRAIN, mano)
    seen = {(s.frame, s.side): s for s in open_dataset(made.folder, TRAIN, mano)}
    assert len(poses) > len(seen)
    for sample in poses:
        assert sample.image is None and sample.intrinsics is None and sample.vertices is not None
        if (other := seen.get((sample.frame, sample.side))) is not None:
            apart = np.linalg.norm(sample.joints[:, None] - sample.joints, axis=2)
            same = np.linalg.norm(other.joints[:, None] - other.joints, axis=2)
            np.testing.assert_allclose(apart, same, atol=1e-6)


def test_evaluation_without_the_truth_still_has_what_the_server_wants(tmp_path: Path):
    from tests.engine.datasets.miniature import write_miniature

    write_miniature("freihand", tmp_path / "f", count=4, bad=False, truth=False)
    freihand = open_dataset(tmp_path / "f", EVALUATION)
    assert len(freihand) == 4 and np.isnan(freihand[0].joints).all() and freihand[0].vertices is None
    assert len(freihand.notes) == 2
    made = write_miniature("ho3d", tmp_path / "h", count=4, bad=False, truth=False)
    sample = open_dataset(tmp_path / "h", EVALUATION)[2]
    np.testing.assert_allclose(sample.joints[0], made.joints[sample.key][0], atol=1e-6)
    assert np.isnan(sample.joints[1:]).all()
    camera = Camera(sample.intrinsics.astype(float), 640, 480)
    low = camera.project(made.truth[EVALUATION][sample.key]).min(0)
    assert np.abs(sample.box[:2] - low).max() <= 1 and sample.box[2:].min() > 20
