"""Whole photos of hands, left and right."""

import pytest
import torch

from hhmr_engine.pictures import HandPictures, PictureSettings, full_picture

_SIZE = (640, 480)


@pytest.fixture(scope="module")
def drawer(template):
    return HandPictures(
        template, settings=PictureSettings(held=0, occluder=0, motion=0, skins=2, backgrounds=2)
    )


def _project(picture, points):
    middle = torch.tensor(_SIZE) / 2
    return points[..., :2] / points[..., 2:] * picture.focal + middle


@pytest.mark.parametrize("sides", [("right",), ("left",), ("left", "right")])
def test_hands_are_where_they_are_said_to_be(drawer, template, hands, sides):
    picture = full_picture(drawer, hands[: len(sides)], sides, seed=4, size=_SIZE)
    assert picture.pixels.shape == (_SIZE[1], _SIZE[0], 3) and picture.pixels.dtype == torch.uint8
    joints = torch.from_numpy(template.regressor) @ picture.vertices
    assert torch.allclose(_project(picture, joints), picture.joints2d, atol=0.05)
    for side, vertices, mask, points in zip(
        sides, picture.vertices, picture.mask, _project(picture, picture.vertices)
    ):
        faces = torch.from_numpy(template.faces)
        corner = (vertices - vertices.mean(0))[faces]
        volume = (torch.linalg.cross(corner[:, 0], corner[:, 1]) * corner[:, 2]).sum()
        assert (volume > 0) == (side == "right")  # a mirrored mesh is inside out
        inside = ((points > 1) & (points < torch.tensor(_SIZE) - 1)).all(1)
        inside &= torch.from_numpy(template.vertices[:, 1] > 0.03)
        column, row = points[inside].long().T
        assert inside.float().mean() > 0.5 and mask[row, column].float().mean() > 0.8


def test_a_left_hand_is_a_mirrored_right_hand(drawer, hands):
    def turning(side):
        """The palm's area in the picture, signed by the way round it: wrist, index, little finger."""
        picture = full_picture(drawer, hands[:1], (side,), seed=5, size=_SIZE)
        a, b = picture.joints2d[0, [5, 17]] - picture.joints2d[0, 0]
        return float(a[0] * b[1] - a[1] * b[0])

    right, left = turning("right"), turning("left")
    assert abs(right) > 100 and left == pytest.approx(-right, rel=0.5)  # seen from elsewhere


def test_sides_must_fit(drawer, hands):
    with pytest.raises(ValueError, match="sides"):
        full_picture(drawer, hands[:2], ("right",), seed=1)
