"""From pictures to hands through the engine: 2D skeletons, photos, sides, sizes, what is refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hhmr_engine.engine import Engine, Request, RequestError
from hhmr_engine.evaluation.fitting2d import camera_errors, seen_hands
from hhmr_engine.hand.template import load_template
from hhmr_engine.model.graph_unet import GraphDenoiser
from hhmr_engine.reconstruction import OPEN
from hhmr_engine.vision.photo import open_photo

CAMERA = np.array([1, -1, -1], np.float32)
PICTURES = (".jpg", ".jpeg", ".png")
METHODS = ("network", "gaussian")


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(threads=1)


@pytest.fixture(scope="module")
def hands():
    return seen_hands(load_template(), hidden="none").first(6)


def asked(hands, row: int, **changes) -> Request:
    usual = Request(
        "reconstruct",
        joints2d=hands.joints2d[row],
        sigma2d=np.full(21, hands.sigma2d[row], np.float32),
        size=hands.picture,
        focal=float(hands.focal[row]),
        count=4,
    )
    return replace(usual, **changes)


def seen(joints: np.ndarray, camera: np.ndarray) -> np.ndarray:
    """Pixels of joints [n,21,3] in Blender's camera axes."""
    x, y, z = np.moveaxis(joints, -1, 0)
    return np.stack([camera[0] * x / -z + camera[1], camera[0] * -y / -z + camera[2]], -1)


@pytest.mark.parametrize("method", METHODS)
def test_hands_stand_where_the_picture_shows_them(engine: Engine, hands, method: str) -> None:
    errors = []
    for row in range(len(hands)):
        found = engine.run(asked(hands, row, method=method))
        assert found.vertices.shape == (4, 1609, 3) and found.side == "right"
        assert np.allclose(seen(found.joints, found.camera), found.joints2d, atol=0.05)
        off = np.linalg.norm(found.joints2d - hands.joints2d[row], axis=-1).mean() / hands.hand_size[row]
        assert off < 0.03
        assert (found.joints[..., 2] < 0).all()  # before the camera
        vertices, joints = found.vertices * CAMERA, found.joints * CAMERA
        errors.append(camera_errors(vertices, joints, hands.vertices[row][None], hands.joints[row][None])[0])
    assert np.mean([e.min() for e in errors]) < 0.011


def test_what_is_hidden_differs_and_what_is_seen_does_not(engine: Engine, hands) -> None:
    hidden = hands.joints2d[0].copy()
    hidden[[5, 6, 7, 8, 9, 10, 11, 12]] = np.nan
    found = engine.run(asked(hands, 0, joints2d=hidden, count=8))
    spread = found.joints2d.std(0).mean(-1)
    assert spread[[6, 7, 8, 10, 11, 12]].mean() > 3 * spread[[0, 1, 2, 3, 4, 13, 14, 17, 18]].mean()
    assert np.isnan(found.given2d[5]).all() and np.isinf(found.sigma2d[5])


def test_fingers_part_where_the_picture_leaves_it_open(engine: Engine) -> None:
    """Two fingers are hidden: no draw leaves its picture for them, and fewer cross."""
    hands = seen_hands(load_template(), hidden="fingers").first(12)
    crossing, farther = [], []
    for row in range(len(hands)):
        off = []
        for separate in (False, True):
            found = engine.run(asked(hands, row, count=8, diverse=False, separate=separate))
            order = np.argsort(found.draw)
            away = np.linalg.norm(found.joints2d[order] - hands.joints2d[row], axis=-1) / hands.sigma2d[row]
            off.append(np.nanmean(away, -1))
            crossing.append(found.self_intersection.mean())
        farther.append(off[1] - off[0])
    assert np.max(farther) < OPEN + 0.01
    assert np.sum(crossing[1::2]) < 0.7 * np.sum(crossing[::2])


def test_a_hand_that_a_step_throws_into_the_camera_leaves_the_others(
    engine: Engine, hands, monkeypatch
) -> None:
    usual = engine.run(asked(hands, 0, separate=False))
    estimate, sizes = GraphDenoiser.forward, [1000]

    def thrown(model: GraphDenoiser, *given):
        x0 = estimate(model, *given)
        x0[1] *= sizes.pop() if sizes else 1
        return x0

    monkeypatch.setattr(GraphDenoiser, "forward", thrown)
    found = engine.run(asked(hands, 0, separate=False))
    assert not sizes and np.isfinite(found.vertices).all()
    others = [list(found.draw).index(draw) for draw in (0, 2, 3)]
    before = [list(usual.draw).index(draw) for draw in (0, 2, 3)]
    assert np.allclose(found.vertices[others], usual.vertices[before], atol=1e-5)


def test_a_left_hand_is_the_mirrored_picture(engine: Engine, hands) -> None:
    right = engine.run(asked(hands, 1, count=2))
    mirrored = hands.joints2d[1] * (-1, 1) + (hands.picture[0], 0)
    left = engine.run(asked(hands, 1, count=2, side="left", joints2d=mirrored.astype(np.float32)))
    assert left.side == "left"
    assert np.allclose(left.vertices, right.vertices * (-1, 1, 1), atol=2e-3)
    assert np.allclose(seen(left.joints, left.camera), left.joints2d, atol=0.05)
    assert (left.faces == right.faces[:, ::-1]).all()


def test_the_same_seed_gives_the_same_draws_however_many(engine: Engine, hands) -> None:
    few = engine.run(asked(hands, 2, count=2, diverse=False))
    many = engine.run(asked(hands, 2, count=11, diverse=False))
    for row, draw in enumerate(few.draw):
        assert np.array_equal(few.vertices[row], many.vertices[list(many.draw).index(draw)])


def test_a_palm_sets_the_scale_and_the_picture_stays(engine: Engine, hands) -> None:
    usual = engine.run(asked(hands, 3, count=1))
    large = engine.run(asked(hands, 3, count=1, palm=0.5))
    assert np.allclose(usual.joints2d, large.joints2d, atol=0.05)
    length = [np.linalg.norm(f.joints[0, 9] - f.joints[0, 0]) for f in (usual, large)]
    assert 0.07 < length[0] < 0.12 and 0.4 < length[1] < 0.6


def test_a_fit_gives_bone_rotations(engine: Engine, hands) -> None:
    found = engine.run(asked(hands, 0, count=2, fit=True))
    assert found.rotations is not None and found.rotations.shape == (2, 20, 3, 3)
    off = np.linalg.norm(found.joints2d - hands.joints2d[0], axis=-1).mean() / hands.hand_size[0]
    assert off < 0.04


def test_no_size_and_no_lens_are_needed(engine: Engine, hands) -> None:
    found = engine.run(Request("reconstruct", joints2d=hands.joints2d[0], count=2))
    off = np.linalg.norm(found.joints2d - hands.joints2d[0], axis=-1).mean() / hands.hand_size[0]
    assert off < 0.03 and found.hands is None


def test_photos(engine: Engine, data_root: Path) -> None:
    """Real photos, and mirrored: hands on the joints that are found, with the photo's look and without."""
    photos = sorted(path for path in (data_root / "photos").rglob("*.*") if path.suffix.lower() in PICTURES)
    for path in photos[::8]:
        pixels = open_photo(path).pixels
        for picture, side in ((pixels, "right"), (np.ascontiguousarray(pixels[:, ::-1]), "left")):
            for changes in ({}, {"image": False}, {"augment": True}, {"skeleton": False}):
                request = Request("reconstruct", photo=picture, side="auto", count=2, steps=4, **changes)
                found = engine.run(request)
                assert found.side == side and found.hands == 1
                size = np.ptp(found.given2d, axis=0).max()
                off = np.linalg.norm(found.joints2d - found.given2d, axis=-1).mean() / size
                assert off < 0.03
                assert np.isclose(found.box[2:].max(), size)


BAD = {
    "two kinds": ({"joints": np.zeros((21, 3), np.float32)}, "no_condition", "Joints were given"),
    "nothing": ({"joints2d": None}, "no_condition", "No photo"),
    "three joints": ({"joints2d": "three"}, "degenerate", "Only 3 joints"),
    "one point": ({"joints2d": np.ones((21, 2), np.float32)}, "degenerate", "one point"),
    "no width": ({"size": np.array([0, 4], np.float32)}, "bad_request", "no width"),
    "noise": ({"sigma2d": np.zeros(21, np.float32)}, "bad_request", "not above 0"),
    "shape": ({"joints2d": np.zeros((20, 2), np.float32)}, "bad_request", "21x2"),
    "far": ({"joints2d": np.full((21, 2), 1e9, np.float32)}, "bad_joints", "far outside"),
    "lens": ({"focal": -1.0}, "bad_request", "focal length"),
    "guidance": ({"guidance": "x0"}, "bad_request", "no guidance through"),
    "task": ({"task": "generate"}, "bad_request", "takes no picture"),
    "photo": ({"photo": np.zeros((4, 4), np.uint8)}, "bad_picture", "height x width x 3"),
    "dot": ({"photo": np.zeros((1, 1, 3), np.uint8)}, "bad_picture", "1 x 1"),
    "no hand": ({"photo": np.full((300, 400, 3), 128, np.uint8), "joints2d": None}, "no_hand", "No hand"),
    "box": (
        {
            "photo": np.full((300, 400, 3), 128, np.uint8),
            "joints2d": None,
            "box": np.array([900, 0, 9, 9], np.float32),
        },
        "no_hand",
        "outside the photo",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_gets_a_sentence(engine: Engine, hands, name: str) -> None:
    changes, code, words = BAD[name]
    if isinstance(changes.get("joints2d"), str):
        joints = np.full((21, 2), np.nan, np.float32)
        joints[:3] = hands.joints2d[0][:3]
        changes = {"joints2d": joints}
    with pytest.raises(RequestError) as caught:
        engine.run(asked(hands, 0, **changes))
    assert caught.value.code == code and words in str(caught.value)
    assert str(caught.value).endswith(".")


def test_weights_may_look_at_photos_through_a_resnet(tmp_path: Path, data_root: Path) -> None:
    """Weights of 2,048 features a patch ask for the file of a ResNet-50, and take it."""
    from safetensors.torch import save_file

    from hhmr_engine.model.checkpoint import save_network
    from hhmr_engine.vision.resnet import ResNet50
    from tests.engine.small_network import small_network

    weights, trunk = tmp_path / "small.safetensors", tmp_path / "resnet50.safetensors"
    save_network(weights, small_network(image_features=2048), load_template(), shift=3.0)
    save_file(ResNet50().state_dict(), trunk)
    photo = open_photo(next((data_root / "photos").rglob("digit5*.jpg"))).pixels
    asked = Request("reconstruct", photo=photo, side="auto", count=1, steps=2, diverse=False)
    with pytest.raises(RequestError, match="needs its weights"):
        Engine(weights=weights, threads=1).run(asked)
    found = Engine(weights=weights, threads=1, trunk=trunk).run(asked)
    blind = Engine(weights=weights, threads=1).run(replace(asked, image=False))
    assert np.isfinite(found.vertices).all() and not np.array_equal(found.vertices, blind.vertices)
