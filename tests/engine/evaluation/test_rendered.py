"""Renders with a known truth: the picture's camera sees the joints where they are said to be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hhmr_engine.evaluation.rendered import COVERED, Render, rendered_hands
from hhmr_engine.hand.template import load_template
from hhmr_engine.training.train import data_cache


@pytest.fixture(scope="module")
def renders(data_root: Path) -> list[tuple[Render, Render]]:
    return rendered_hands(load_template(), data_root, data_cache(), 4)


def seen(render: Render) -> np.ndarray:
    """Joints [21,2] by a camera that looks through the picture's middle."""
    middle = np.array(render.pixels.shape[1::-1]) / 2
    return render.focal * render.joints[:, :2] / render.joints[:, 2:] + middle


def test_the_principal_point_is_the_pictures_middle(renders: list[tuple[Render, Render]]) -> None:
    for plain, _ in renders:
        off = np.linalg.norm(seen(plain) - plain.joints2d, axis=1)[plain.visible]
        assert off.mean() < 3 * 0.015 * plain.hand_size + 0.7  # the crop is laid on whole pixels
        assert max(plain.pixels.shape) < 500


def test_a_cover_hides_about_half_and_leaves_the_rest(renders: list[tuple[Render, Render]]) -> None:
    for plain, covered in renders:
        exact = np.clip(seen(plain).astype(int), 0, len(plain.pixels) - 1)
        same = (plain.pixels == covered.pixels).all(2)[exact[:, 1], exact[:, 0]]
        behind = plain.visible & ~covered.visible
        assert same[covered.visible].all() and not same[behind].all()
        assert (~covered.visible).sum() >= COVERED[0] and behind.sum() <= COVERED[1]
        assert np.array_equal(plain.joints2d[covered.visible], covered.joints2d[covered.visible])


def test_renders_are_the_same_every_time(renders: list[tuple[Render, Render]], data_root: Path) -> None:
    again = rendered_hands(load_template(), data_root, data_cache(), 4)
    assert np.array_equal(again[1][1].pixels, renders[1][1].pixels)
