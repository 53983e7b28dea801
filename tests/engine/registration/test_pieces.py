"""Fingers are what sticks out of a surface, whatever its pose and triangles."""

from __future__ import annotations

import numpy as np
import pytest

from hhmr_engine.hand.dof import DOF_NAMES, rotations
from hhmr_engine.hand.skinning import skin
from hhmr_engine.hand.template import load_template
from hhmr_engine.registration.matching import finger_cores
from hhmr_engine.registration.pieces import protrusions, skin_of
from hhmr_engine.registration.surface import clean, sample


def test_the_arms_of_a_star() -> None:
    """Three arms of 40, 30 and 5 mm from one middle: the short one is part of what it sits on."""
    places, edges = [np.zeros(3)], []
    for direction, steps in (((1, 0, 0), 40), ((0, 1, 0), 30), ((0, 0, 1), 5)):
        for k in range(1, steps + 1):
            edges.append((0 if k == 1 else len(places) - 1, len(places)))
            places.append(1e-3 * k * np.array(direction, float))
    piece = protrusions(np.array(places), np.array(edges))
    long, middle, short = piece[2:41], piece[42:71], piece[71:]
    assert len(set(middle.tolist())) == 1 and middle[0] >= 0
    assert len(set(long[10:].tolist())) == 1 and long[-1] >= 0
    assert long[-1] != middle[-1]
    assert set(short.tolist()) <= {-1, int(long[-1]), int(middle[-1])}


@pytest.mark.parametrize("flexion", [0, 30, 60])
def test_the_fingers_of_a_hand(flexion: float) -> None:
    template = load_template()
    angles = np.array([np.radians(flexion) * name.endswith("p_flex") for name in DOF_NAMES], np.float32)[None]
    vertices = skin(template, rotations(template, angles))[0][0]
    surface = clean(vertices, template.faces)
    samples = sample(surface, 2500)
    skin_graph = skin_of(surface, samples, 1.0)
    core = finger_cores(template)[surface.source[samples.vertex]]
    piece, roots = skin_graph.off_palm(core)
    large = [i for i in range(len(roots)) if (piece == i).sum() > 40]
    owners = [np.bincount(core[piece == i] + 1, minlength=6) for i in large]
    assert sorted(int(o.argmax()) - 1 for o in owners) == [0, 1, 2, 3, 4]
    assert all(o.max() > 0.97 * o.sum() for o in owners)
    assert all(len(roots[i]) for i in large)
    assert skin_graph.area == pytest.approx(surface.whole_area)
