"""From samples of the official layouts to requests and back: axes, joint orders, cameras, places."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, binary_erosion

from hhmr_engine.datasets.annotated import Annotated
from hhmr_engine.datasets.catalogue import open_dataset
from hhmr_engine.datasets.sample import EVALUATION, HandSample
from hhmr_engine.engine import Engine
from hhmr_engine.evaluation.paper.asking import TOLD, answer, in_place, request_of, shown
from hhmr_engine.evaluation.paper.augmentation import CROPS, Answer
from hhmr_engine.evaluation.paper.fitting import seen
from hhmr_engine.evaluation.paper.protocols import scores
from hhmr_engine.evaluation.paper.submissions import write_submission
from hhmr_engine.request import Request, RequestError, check
from tests.engine.datasets.made_up_hands import Camera, coverage, skin
from tests.engine.datasets.miniature import write_miniature

SQUARE = np.ones((3, 3), bool)


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Annotated]:
    """FreiHAND and HO-3D with four hands each."""
    folder = tmp_path_factory.mktemp("sets")
    found = {}
    for name in ("freihand", "ho3d"):
        write_miniature(name, folder / name, 4, bad=False)
        found[name] = open_dataset(folder / name, EVALUATION, None, name)
    return found


@pytest.fixture(params=["freihand", "ho3d"])
def dataset(request: pytest.FixtureRequest, datasets: dict[str, Annotated]) -> Annotated:
    return datasets[request.param]


def test_the_true_mesh_lies_on_the_hand_in_the_picture_that_the_engine_gets(dataset: Annotated) -> None:
    for sample in (dataset[i] for i in range(len(dataset))):
        picture = shown(sample)
        height, width = picture.pixels.shape[:2]
        middle = np.array([[picture.focal, 0, width / 2], [0, picture.focal, height / 2], [0, 0, 1]])
        assert sample.vertices is not None
        covered = coverage(sample.vertices.astype(np.float64), Camera(middle, width, height))
        drawn = skin(picture.pixels)
        # Within a pixel: what the mesh covers, but for its outline, is skin, and nothing beyond it is.
        assert drawn[binary_erosion(covered == 1, SQUARE)].mean() > 0.99
        assert not drawn[~binary_dilation(covered > 0, SQUARE)].any()
        assert picture.joints2d is not None
        columns, rows = np.floor(picture.joints2d.T).astype(int)
        assert (covered[rows, columns] > 0).mean() > 0.8  # joints lie in the hand


def test_a_principal_point_off_the_middle_is_brought_there(datasets: dict[str, Annotated]) -> None:
    sample = datasets["ho3d"][0]
    assert sample.intrinsics is not None and sample.image is not None
    moved = sample.intrinsics.copy()
    moved[0, 2] += 40
    picture = shown(replace(sample, intrinsics=moved))
    plain = sample.image()
    height, width = plain.shape[:2]
    assert picture.pixels.shape[1] == 2 * np.ceil(moved[0, 2])
    # The photo lies in it as it was, and its edge goes on round it.
    right, down = np.round(np.array(picture.pixels.shape[1::-1]) / 2 - moved[:2, 2]).astype(int)
    rows = picture.pixels[down : down + height, right:]
    assert np.array_equal(rows[:, :width], plain)
    assert (rows[:, width:] == rows[:, width - 1 : width]).all() and rows.shape[1] > width + 60
    with pytest.raises(ValueError, match="looks past its photo"):
        shown(replace(sample, intrinsics=moved + [[0, 0, 5000], [0, 0, 0], [0, 0, 0]]))


def test_perfect_predictions_have_no_error_and_full_marks(dataset: Annotated) -> None:
    for sample in (dataset[i] for i in range(len(dataset))):
        assert sample.vertices is not None
        own = in_place(Answer(sample.joints[None], sample.vertices[None]), sample, dataset.name)
        found = scores(own.joints[0], own.vertices[0], sample.joints, sample.vertices)
        assert max(found.mpjpe, found.mpvpe, found.pa_mpjpe, found.pa_mpvpe, found.st_mpjpe) < 1e-3
        assert found.f5 == found.pa_f15 == 1


def test_the_truth_written_for_a_server_is_the_datasets_own_file(dataset: Annotated, tmp_path: Path) -> None:
    """Axes and joint order there and back: what a loader read, as the server has it to compare with."""
    samples = [dataset[i] for i in range(len(dataset))]
    joints = np.stack([s.joints for s in samples])
    vertices = np.stack([s.vertices for s in samples if s.vertices is not None])
    write_submission(tmp_path / "pred.zip", dataset.name, joints, vertices)
    with zipfile.ZipFile(tmp_path / "pred.zip") as file:
        written = json.loads(file.read("pred.json"))
    for part, what in zip(written, ("xyz", "verts")):
        official = json.loads((dataset.folder / f"evaluation_{what}.json").read_text())
        assert np.abs(np.array(part) - np.array(official)).max() < 2e-6


def test_hands_are_brought_to_what_the_dataset_tells_everybody(datasets: dict[str, Annotated]) -> None:
    sample = datasets["freihand"][0]
    assert sample.vertices is not None
    smaller = Answer(0.7 * sample.joints[None], 0.7 * sample.vertices[None])  # and nearer: it is seen alike
    grown = in_place(smaller, sample, "freihand")
    assert np.allclose(grown.vertices[0], sample.vertices, atol=1e-6)
    shifted = Answer(sample.joints[None] + np.float32(0.3), sample.vertices[None] + np.float32(0.3))
    assert np.allclose(in_place(shifted, sample, "ho3d").joints[0], sample.joints, atol=1e-6)
    assert in_place(shifted, sample, "dexycb") is shifted


def test_without_the_truth_the_box_is_told(datasets: dict[str, Annotated]) -> None:
    sample = datasets["ho3d"][0]
    hidden = np.full((21, 3), np.nan, np.float32)
    hidden[0] = sample.joints[0]
    picture = shown(replace(sample, joints=hidden, box=np.array([10, 20, 30, 40], np.float32)))
    request = request_of(picture, "photo")
    assert request.joints2d is None and request.box is not None
    assert request.box[2:].tolist() == [30, 40]


def test_each_row_of_table_5_is_told_what_it_says(datasets: dict[str, Annotated]) -> None:
    picture = shown(datasets["freihand"][0])
    told = {name: request_of(picture, name) for name in TOLD}
    assert {n: (r.image, r.skeleton, r.guidance != "none") for n, r in told.items()} == {
        "photo": (True, False, False),
        "photo + 2D": (True, True, False),
        "photo + 2D + guidance": (True, True, True),
        "2D + guidance": (False, True, True),
    }


def as_seen(sample: HandSample) -> np.ndarray:
    return sample.joints[:, :2] / sample.joints[:, 2:]


def test_the_engine_answers_where_the_hand_is(engine: Engine, datasets: dict[str, Annotated]) -> None:
    for sample in (datasets["freihand"][0], datasets["ho3d"][1]):
        request = request_of(shown(sample), "2D + guidance", method="gaussian", count=2)
        own = answer(engine.run(request))
        seen_at = own.joints[0, :, :2] / own.joints[0, :, 2:]
        size = np.ptp(as_seen(sample), axis=0).max()
        assert np.linalg.norm(seen_at - as_seen(sample), axis=1).mean() < 0.03 * size
        assert (own.joints[..., 2] > 0).all()


def test_the_fit_is_told_the_same_2d_skeletons(datasets: dict[str, Annotated]) -> None:
    samples = [datasets["ho3d"][i] for i in range(3)]
    hands = seen(samples)
    tangents = (hands.joints2d - hands.picture / 2) / hands.focal[:, None, None]
    assert np.allclose(tangents, [as_seen(s) for s in samples], atol=1e-6)
    left = seen([replace(samples[0], side="left")])
    assert np.allclose(left.joints[0], samples[0].joints * [-1, 1, 1])


@pytest.mark.parametrize(
    ("crops", "part"),
    [
        (np.zeros((1, 3), np.float32), "Crops must be up to 100 x 4 numbers, not 1x3"),
        (np.ones((101, 4), np.float32), "not 101x4"),
        (np.zeros((1, 4), np.float32), "A crop has no size"),
    ],
)
def test_crops_that_are_none_get_a_sentence(crops: np.ndarray, part: str) -> None:
    photo = np.zeros((20, 20, 3), np.uint8)
    with pytest.raises(RequestError, match=part):
        check(Request("reconstruct", photo=photo, crops=crops), 778)
    check(Request("reconstruct", photo=photo, crops=CROPS["paper"]), 778)
