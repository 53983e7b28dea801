"""The principal components of a MANO file's poses: MANO's own hand, drawn as widely as its poses lie."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from hhmr_engine.evaluation.baselines2d import FitSettings, SkinnedFit
from hhmr_engine.evaluation.fitting2d import PICTURE, SeenHands
from hhmr_engine.evaluation.metrics import aligned_error
from hhmr_engine.evaluation.paper.hand_pca import COMPONENTS, HandPca
from hhmr_engine.hand.rotation import rotation_matrix
from hhmr_engine.hand.template import load_template
from tests.engine.hand.made_up_mano import made_up_mano, write_mano


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    return made_up_mano()


@pytest.fixture(scope="module")
def pca(arrays: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> HandPca:
    path = tmp_path_factory.mktemp("mano") / "MANO_RIGHT.pkl"
    write_mano(path, arrays)
    return HandPca.read(path)


def test_its_joints_are_those_of_manos_layer(pca: HandPca) -> None:
    z = torch.from_numpy(np.random.default_rng(0).standard_normal((5, pca.size)))
    vertices, joints = pca.skinned(z)
    assert np.abs(pca(z).numpy() - joints).max() < 1e-6
    assert vertices.shape == (5, 778, 3)


def test_poses_are_drawn_as_widely_as_the_files_coefficients_lie(
    pca: HandPca, arrays: dict[str, np.ndarray], tmp_path: Path
) -> None:
    assert np.allclose(pca.deviation, arrays["hands_coeffs"].std(0))
    z = torch.zeros(1, pca.size, dtype=torch.float64)
    assert np.allclose(pca.poses(z)[0, 3:].numpy(), arrays["hands_mean"])
    z[0, 2] = 1
    turned = pca.poses(z)[0, 3:].numpy() - arrays["hands_mean"]
    assert np.allclose(turned, pca.deviation[2] * arrays["hands_components"][2])
    np.savez(tmp_path / "mano.npz", **{k: v for k, v in arrays.items() if k != "hands_coeffs"})
    assert (HandPca.read(tmp_path / "mano.npz").deviation == np.ones(COMPONENTS)).all()


def test_hands_it_made_are_found_again_from_their_2d_skeletons(pca: HandPca) -> None:
    rng = np.random.default_rng(4)
    pca = HandPca(pca.model, 0.8 / (1 + np.arange(COMPONENTS)))  # as hands are: a few components matter
    vertices, joints = pca.skinned(torch.from_numpy(0.7 * rng.standard_normal((3, pca.size))))
    turn = rotation_matrix(rng.normal(0, 1, (3, 3)))
    middle = joints.mean(1, keepdims=True)
    vertices, joints = ((p - middle) @ turn.transpose(0, 2, 1) + [0.02, 0, 0.6] for p in (vertices, joints))
    focal = np.full(3, 500.0)
    seen = 500 * joints[..., :2] / joints[..., 2:] + np.array(PICTURE) / 2
    size = np.ptp(seen, axis=1).max(1)
    hands = SeenHands(vertices, joints, seen, 0.003 * size, size, focal, np.full(3, "made"))
    fits = SkinnedFit(load_template(), [], FitSettings(), pca).fit(hands)
    found = fits.best()[0]
    assert found.shape == vertices.shape
    assert (1e3 * aligned_error(found, vertices)).max() < 8
    mean = pca.skinned(torch.zeros(3, pca.size, dtype=torch.float64))[0]
    assert (aligned_error(found, vertices) < 0.8 * aligned_error(mean, vertices)).all()
