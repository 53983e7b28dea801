"""What stands before a joint hides it, and nothing else does."""

import torch

from hhmr_engine.hand.template import UNIT
from hhmr_engine.pictures.camera import SIDE, View
from hhmr_engine.pictures.dice import Dice
from hhmr_engine.pictures.light import random_lights
from hhmr_engine.pictures.scene import Cast, Stage
from hhmr_engine.pictures.things import POINTS


def _palm_view():
    """Half a metre before the palm of an upright hand, thumb on the picture's right."""
    rotation = torch.tensor([[-1.0, 0, 0], [0, -1, 0], [0, 0, 1]])[None]
    return View(
        torch.tensor([UNIT]),
        rotation,
        torch.tensor([[0.0, 0.0, 1.2]]),
        torch.tensor([800.0]),
        torch.tensor([[SIDE / 2, SIDE / 2]]),
    )


def _look(template, place=None):
    """Visible joints [21] of the rest hand, and the layer; with a 4 cm box at `place` in camera axes."""
    stage, view = Stage(template, "cpu"), _palm_view()
    dice = Dice(0)
    tensors = template.torch()
    palm = (tensors.vertices - tensors.joints[9]) / UNIT
    cast = stage.cast(palm[None], view, (1, 1), (0.0, 0.0), dice)
    if place is not None:
        box = stage.shapes.make(
            torch.tensor([3]),
            torch.eye(3)[None],
            torch.full((1, 3), 0.02),
            torch.tensor([place]),
            torch.ones(1),
        )
        points = cast.points.clone()
        points[:, -POINTS:] = box.points
        cast = Cast(points, cast.normals, cast.uv, cast.sleeve, cast.person, cast.pattern, cast.paint)
    skins = stage.skin.person(dice)[None]
    patterns = torch.zeros(1, 8, 8, 3, dtype=torch.uint8)
    layer = stage.shoot(cast, view, random_lights(1, dice), skins, patterns, SIDE, SIDE)
    joints = stage.regressor @ cast.points[:, : palm.shape[0]]
    return stage.visible(layer, view.project(joints))[0], layer, joints[0]


def test_an_open_hand_shows_all_its_joints(template):
    visible, _, _ = _look(template)
    assert visible.all()


def test_a_box_before_the_index_tip_hides_it_alone(template):
    _, bare, joints = _look(template)
    x, y, z = (joints[8] * torch.tensor([0.95, 0.95, 0.95])).tolist()
    visible, layer, _ = _look(template, [x, y, z])
    assert not visible[8]
    assert visible[[0, 1, 5, 9, 13, 17, 18, 19, 20]].all()
    assert layer.hand.sum() < bare.hand.sum() - 100


def test_a_box_behind_the_hand_hides_nothing(template):
    _, _, joints = _look(template)
    visible, _, _ = _look(template, (joints[9] * 1.1).tolist())
    assert visible.all()


def test_joints_out_of_the_frame_are_hidden(template):
    stage, view = Stage(template, "cpu"), _palm_view()
    _, layer, joints = _look(template)
    assert not stage.visible(layer, view.project(joints[None]) + 500).any()
