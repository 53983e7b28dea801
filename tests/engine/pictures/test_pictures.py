"""Pictures show what they say they show."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F

from hhmr_engine.pictures import SIDE, HandPictures, PictureSettings

_FEW = {"skins": 2, "backgrounds": 2}
_BARE = PictureSettings(sides=(SIDE,), side_shares=(1.0,), held=0, occluder=0, motion=0, **_FEW)


@pytest.fixture(scope="module")
def bare(template, hands):
    return HandPictures(template, seed=3, settings=_BARE).draw(hands)


def _project(pictures, points):
    flat = points[..., :2] / points[..., 2:]
    return flat * pictures.focal[:, None, None] + pictures.centre[:, None]


def test_shapes_and_kinds(bare, hands):
    count = len(hands)
    assert bare.pixels.shape == (count, 3, SIDE, SIDE) and bare.pixels.dtype == torch.uint8
    assert bare.mask.shape == (count, SIDE, SIDE) and bare.visible.shape == (count, 21)
    for name in ("vertices", "rotation", "focal", "centre", "joints2d"):
        value = getattr(bare, name)
        assert len(value) == count and value.dtype == torch.float32 and value.isfinite().all()


def test_vertices_are_the_given_hands_in_the_camera(bare, hands):
    again = bare.scale[:, None, None] * hands @ bare.rotation.transpose(-1, -2) + bare.translation[:, None]
    assert torch.allclose(again, bare.vertices, atol=1e-6)
    eye = bare.rotation @ bare.rotation.transpose(-1, -2)
    assert torch.allclose(eye, torch.eye(3).expand_as(eye), atol=1e-5)
    assert torch.linalg.det(bare.rotation).min() > 0.99
    assert (bare.vertices[..., 2] > 0.3).all()


def test_joints_are_the_projected_regressor(bare, template):
    joints = torch.from_numpy(template.regressor) @ bare.vertices
    assert torch.allclose(_project(bare, joints), bare.joints2d, atol=1e-2)


def test_the_mesh_lies_on_its_mask_within_a_pixel(bare, template):
    """Vertices in the frame have mask within a pixel, and pixels of the mask have a vertex near.

    Not those at the wrist, which the forearm may hide.
    """
    pixel = _project(bare, bare.vertices)
    hand = torch.from_numpy(template.vertices[:, 1] > 0.03)
    near = F.max_pool2d(bare.mask[:, None].float(), 3, 1, 1)[:, 0]
    for i in range(len(pixel)):
        inside = ((pixel[i] > 2) & (pixel[i] < SIDE - 2)).all(1) & hand
        column, row = pixel[i][inside].floor().long().T
        assert near[i, row, column].mean() > 0.995
        rows, columns = bare.mask[i].nonzero().float().T + 0.5
        gap = torch.cdist(torch.stack([columns, rows], 1), pixel[i])
        assert gap.amin(1).max() < 9 and gap.amin(1).mean() < 2.5  # between vertices, pixels wide apart


def test_the_mask_ends_where_the_mesh_ends(bare):
    """The hand's outermost vertices and the outermost pixels of the mask agree within a pixel."""
    pixel = _project(bare, bare.vertices)
    checked = 0
    for i in range(len(pixel)):
        rows, columns = bare.mask[i].nonzero().float().T
        if rows.min() > 0:
            assert abs(float(rows.min() - pixel[i, :, 1].min())) < 1.5
            checked += 1
        if columns.min() > 0 and columns.max() < SIDE - 1:
            assert abs(float(columns.min() - pixel[i, :, 0].min())) < 1.5
            assert abs(float(columns.max() + 1 - pixel[i, :, 0].max())) < 1.5
            checked += 1
    assert checked > 6


def test_hands_stand_upright_in_the_crop_as_the_detector_has_them(template, hands):
    view = HandPictures(template, seed=1, settings=_BARE).draw(hands.repeat(8, 1, 1))
    knuckles = (view.joints2d[:, 5] + view.joints2d[:, 13]) / 4 + view.joints2d[:, 9] / 2
    up = F.normalize(view.joints2d[:, 0] - knuckles, dim=1)[:, 1]
    assert (up > 0.8).float().mean() > 0.95
    inside = ((view.joints2d > 0) & (view.joints2d < SIDE)).float().mean()
    assert inside > 0.97


def test_the_same_seed_gives_the_same_pictures(template, hands):
    settings = dataclasses.replace(_BARE, held=0.5, occluder=0.5, motion=0.5, renewed=0.3)
    first, second = (HandPictures(template, seed=9, settings=settings) for _ in range(2))
    for _ in range(2):
        a, b = first.draw(hands), second.draw(hands)
        assert all(torch.equal(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a))
    other = HandPictures(template, seed=10, settings=settings).draw(hands)
    assert not torch.equal(other.pixels, a.pixels)


def test_drawing_goes_on_where_it_stopped(template, hands):
    settings = dataclasses.replace(
        _BARE, renewed=0.6
    )  # five new backgrounds a draw: all of them, more than once
    first = HandPictures(template, seed=9, settings=settings)
    first.draw(hands)
    state = first.state()
    expected = first.draw(hands)
    second = HandPictures(template, seed=9, settings=settings)
    second.restore(state)
    assert torch.equal(second.draw(hands).pixels, expected.pixels)


def test_few_pixels_show_the_same_hand(template, hands):
    settings = dataclasses.replace(_BARE, sides=(72,))
    few = HandPictures(template, seed=3, settings=settings).draw(hands)
    full = HandPictures(template, seed=3, settings=_BARE).draw(hands)
    assert torch.equal(few.joints2d, full.joints2d)
    both, one = (few.mask & full.mask).sum(), (few.mask | full.mask).sum()
    assert both / one > 0.9


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="side_shares"):
        PictureSettings(side_shares=(0.5, 0.2))
