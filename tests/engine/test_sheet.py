"""The contact sheet and its rasteriser: right pixels, both layers, every count."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from hhmr_engine.engine import Engine, Hypotheses, Request
from hhmr_engine.raster import blur, rasterise, shrink
from hhmr_engine.sheet import Given, contact_sheet, sheet_png


def brute_force(points: np.ndarray, faces: np.ndarray, width: int, height: int) -> np.ndarray:
    """Pixel by pixel: the nearest face that faces the viewer at a pixel's centre, -1 where there is none."""
    nearest = np.full((height, width), -1)
    depth = np.full((height, width), np.inf)
    for number, (a, b, c) in enumerate(points[faces]):
        matrix = np.array([[a[0], b[0], c[0]], [a[1], b[1], c[1]], [1, 1, 1]])
        if np.linalg.det(matrix) >= 0:
            continue
        inverse = np.linalg.inv(matrix)
        for row in range(height):
            for column in range(width):
                weight = inverse @ [column + 0.5, row + 0.5, 1.0]
                z = weight @ [a[2], b[2], c[2]]
                if weight.min() > 0 and z < depth[row, column]:
                    depth[row, column], nearest[row, column] = z, number
    return nearest


@pytest.mark.parametrize("seed", range(4))
def test_rasteriser_agrees_with_brute_force(seed: int) -> None:
    generator = np.random.default_rng(seed)
    points = generator.uniform(-6, 36, (30, 3))  # partly outside of the picture
    faces = np.stack([generator.permutation(30)[:3] for _ in range(25)])
    seen = rasterise(points, faces, 30, 24)
    found = np.full(30 * 24, -1)
    found[seen.pixel] = seen.face
    assert len(np.unique(seen.pixel)) == len(seen.pixel)
    assert np.array_equal(found.reshape(24, 30), brute_force(points, faces, 30, 24))
    place = seen.interpolate(points.astype(np.float32), faces)
    assert np.allclose(place[:, 0], seen.pixel % 30 + 0.5, atol=1e-3)
    assert np.allclose(place[:, 1], seen.pixel // 30 + 0.5, atol=1e-3)
    assert np.allclose(place[:, 2], seen.depth, atol=1e-3)


def test_neighbouring_triangles_leave_no_gap() -> None:
    x, y = np.meshgrid(np.linspace(1, 39, 12), np.linspace(1, 39, 12))
    points = np.stack([x.ravel(), y.ravel(), 0 * x.ravel()], axis=1)
    corner = np.arange(132)[np.arange(132) % 12 < 11]
    faces = np.concatenate(
        [np.stack([corner, corner + 12, corner + 1], 1), np.stack([corner + 1, corner + 12, corner + 13], 1)]
    )
    covered = np.zeros(1600, bool)
    covered[rasterise(points, faces, 40, 40).pixel] = True
    assert covered.reshape(40, 40)[1:39, 1:39].all() and covered.sum() == 38 * 38


def test_nothing_in_sight() -> None:
    seen = rasterise(np.full((3, 3), -5.0), np.array([[0, 1, 2]]), 8, 8)
    assert len(seen.pixel) == 0


def test_blur_and_shrink_keep_the_mean() -> None:
    image = np.zeros((31, 21), np.float32)
    image[15, 10] = 1.0
    soft = blur(image, 3)
    assert soft.sum() == pytest.approx(1, abs=1e-5) and soft.shape == image.shape
    assert soft[15, 10] == soft.max() == pytest.approx(1 / 49, abs=1e-5)
    assert np.allclose(soft, soft[::-1, ::-1], atol=1e-6)
    random = np.random.default_rng(0).random((6, 8, 3), np.float32)
    assert np.allclose(shrink(random, 2), random.reshape(3, 2, 4, 2, 3).mean((1, 3)), atol=1e-6)


def skin(picture: np.ndarray) -> np.ndarray:
    """Pixels that are clearly warmer than paper and ink."""
    return picture[..., 0].astype(int) - picture[..., 2] > 30


def clay(picture: np.ndarray) -> np.ndarray:
    return picture[..., 2].astype(int) - picture[..., 0] > 12


def test_eight_hands_in_two_views_each(eight_hands: Hypotheses) -> None:
    picture = np.asarray(Image.open(io.BytesIO(sheet_png(eight_hands))))
    assert picture.dtype == np.uint8 and picture.shape[2] == 3
    # Sixteen separate patches of skin, one in each view; none touches the edge of its card.
    ndimage = pytest.importorskip("scipy.ndimage")
    labels, count = ndimage.label(skin(picture))
    sizes = np.bincount(labels.ravel())[1:]
    assert (sizes > 3000).sum() == 16
    assert not skin(picture)[:64].any() and not skin(picture)[-10:].any()


def test_kept_is_clay_and_completed_is_skin(eight_hands: Hypotheses) -> None:
    kept = eight_hands.vertices[0, :, 1] < np.median(eight_hands.vertices[0, :, 1])
    plain, layered = (np.asarray(contact_sheet(eight_hands, g)) for g in (Given(), Given(kept=kept)))
    cards = slice(64, None)
    assert not clay(plain[cards]).any()
    share = clay(layered[cards]).sum() / (clay(layered[cards]).sum() + skin(layered[cards]).sum())
    assert 0.2 < share < 0.8
    everything = np.asarray(contact_sheet(eight_hands, Given(kept=np.ones(len(kept), bool))))
    assert clay(everything[cards]).sum() > 3 * skin(everything[cards]).sum()


def test_given_joints_are_dots_where_they_are(eight_hands: Hypotheses) -> None:
    names = ("vertices", "joints", "residual", "self_intersection", "score", "draw")
    one = replace(eight_hands, **{name: getattr(eight_hands, name)[:1] for name in names})
    joints = one.joints[0].copy()
    joints[5:17] = np.nan
    with_dots, without = (np.asarray(contact_sheet(one, g)) for g in (Given(joints=joints), Given()))
    ndimage = pytest.importorskip("scipy.ndimage")
    orange = np.abs(with_dots.astype(int) - (255, 132, 20)).max(-1) < 12
    _, count = ndimage.label(orange[64:])
    assert count == 2 * 9  # nine known joints in two views
    assert (np.abs(without.astype(int) - (255, 132, 20)).max(-1) < 12).sum() == 0


@pytest.mark.parametrize("count", [1, 2, 5, 17, 64])
def test_any_number_of_hands_makes_a_picture_of_a_sane_size(engine: Engine, count: int) -> None:
    found = engine.run(Request("generate", count=count, method="gaussian", diverse=False))
    picture = contact_sheet(found)
    assert 400 <= picture.width <= 3000 and 300 <= picture.height <= 4200
    assert skin(np.asarray(picture)).sum() > 3000 * count


def test_a_left_hand_is_the_mirror_image(eight_hands: Hypotheses) -> None:
    flip = np.array([-1, 1, 1], np.float32)
    left = replace(
        eight_hands,
        vertices=eight_hands.vertices * flip,
        joints=eight_hands.joints * flip,
        faces=eight_hands.faces[:, ::-1],
        side="left",
    )
    right_view, left_view = (np.asarray(contact_sheet(h))[64:] for h in (eight_hands, left))
    # Both show palms in the first view of a card: as much skin, though the camera stands on the other side.
    assert skin(left_view).sum() == pytest.approx(skin(right_view).sum(), rel=0.1)


def test_place_turn_and_size_of_the_hands_do_not_change_the_picture(eight_hands: Hypotheses) -> None:
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    turn *= np.sign(np.linalg.det(turn))
    moved = replace(
        eight_hands,
        vertices=(39.37 * eight_hands.vertices @ turn + [100, -20, 3]).astype(np.float32),
        joints=(39.37 * eight_hands.joints @ turn + [100, -20, 3]).astype(np.float32),
    )
    a, b = (np.asarray(contact_sheet(h))[64:].astype(int) for h in (eight_hands, moved))
    assert a.shape == b.shape
    # The middle of the box differs a little with its turn, and with it the perspective.
    assert np.abs(a - b).mean() < 4.0
