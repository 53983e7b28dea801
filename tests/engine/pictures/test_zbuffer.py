"""The torch z-buffer against plain geometry."""

import torch

from hhmr_engine.pictures.zbuffer import rasterise

_SQUARE = torch.tensor(
    [[0, 2, 1], [0, 3, 2]]
)  # counter-clockwise with y up: clockwise in pixels seen from behind


def _square(low, high, depth):
    return torch.tensor([[low, low, depth], [high, low, depth], [high, high, depth], [low, high, depth]])


def test_a_square_covers_the_samples_in_it_once():
    found = rasterise(_square(2.0, 6.0, 1.0)[None], _SQUARE, 8, 8)
    expected = torch.zeros(8, 8, dtype=torch.bool)
    expected[2:6, 2:6] = True
    assert sorted(found.sample.tolist()) == expected.flatten().nonzero()[:, 0].tolist()


def test_faces_from_behind_are_not_seen():
    assert len(rasterise(_square(2.0, 6.0, 1.0)[None], _SQUARE.flip(1), 8, 8).sample) == 0


def test_the_nearer_wins_whatever_the_order():
    points = torch.cat([_square(0.0, 8.0, 2.0), _square(2.0, 6.0, 1.0)])[None]
    for faces in (torch.cat([_SQUARE, _SQUARE + 4]), torch.cat([_SQUARE + 4, _SQUARE])):
        found = rasterise(points, faces, 8, 8)
        assert len(found.sample) == 64 == len(set(found.sample.tolist()))
        assert (found.depth == 1.0).sum() == 16


def test_weights_bring_back_the_place_and_pictures_keep_apart():
    generator = torch.Generator().manual_seed(1)
    points = torch.rand(3, 60, 3, generator=generator) * torch.tensor([20.0, 14.0, 1.0]) + 0.5
    faces = torch.arange(60).view(20, 3)
    found = rasterise(points, torch.cat([faces, faces.flip(1)]), 14, 20)
    place = found.interpolate(points)
    row, column = found.sample // 20 % 14, found.sample % 20
    assert torch.allclose(place[:, 0], column + 0.5, atol=1e-3)
    assert torch.allclose(place[:, 1], row + 0.5, atol=1e-3)
    assert torch.equal(found.picture, found.sample // 280)
    assert (found.corner // 60 == found.picture[:, None]).all()
