"""The five losses: each answers to its own fault and to no other."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from hhmr_engine.data.sampler import sample_angles
from hhmr_engine.hand import dof
from hhmr_engine.hand.frame import palm_frame
from hhmr_engine.hand.rotation import rotation_matrix
from hhmr_engine.hand.skinning import skin
from hhmr_engine.hand.template import HandTemplate, load_template
from hhmr_engine.training.losses import Losses, LossSettings

TERMS = ("data", "vertices", "joints", "normals", "edges")
EVEN = LossSettings(
    data=1.0, vertices=1.0, joints=1.0, normals=1.0, edges=1.0, data_norm="l1", mesh_share=1.0
)
UNIT = torch.ones(4)


@pytest.fixture(scope="module")
def template() -> HandTemplate:
    return load_template().torch()


@pytest.fixture(scope="module")
def hands(template: HandTemplate) -> Tensor:
    """[4,V,3] palm frame; exactly what the decoder makes of their nodes."""
    angles = torch.from_numpy(sample_angles(4, np.random.default_rng(1), load_template()))
    vertices = skin(template, dof.rotations(template, angles))[0]
    vertices = palm_frame(template, template.regressor @ vertices).to_palm(vertices)
    return template.decoder @ vertices[:, template.nodes]


def _terms(
    template: HandTemplate, predicted: Tensor, truth: Tensor, settings: LossSettings = EVEN
) -> dict[str, float]:
    losses = Losses(template, settings)(predicted[:, template.nodes].flatten(1), truth, UNIT)
    return {key: float(value) for key, value in losses.items()}


def test_a_perfect_answer_costs_nothing(template: HandTemplate, hands: Tensor) -> None:
    terms = _terms(template, hands, hands)
    assert set(terms) == set(TERMS)
    assert terms.pop("normals") < 1e-3  # of a curved surface's own edges against its own faces: rounding
    assert max(terms.values()) < 1e-5


def test_a_shifted_hand_keeps_edges_and_planes(template: HandTemplate, hands: Tensor) -> None:
    terms = _terms(template, hands + torch.tensor([0.1, 0.0, 0.0]), hands)
    for key in ("data", "vertices", "joints"):
        assert abs(terms[key] - 0.1 / 3) < 1e-4, key
    assert terms["edges"] < 1e-4 and terms["normals"] < 1e-3


def test_a_larger_hand_has_longer_edges_in_the_same_planes(template: HandTemplate, hands: Tensor) -> None:
    terms = _terms(template, 1.1 * hands, hands)
    assert terms["edges"] > 5e-3 and terms["normals"] < 1e-3


def test_a_turned_hand_has_other_planes_and_the_same_edges(template: HandTemplate, hands: Tensor) -> None:
    terms = _terms(template, hands @ rotation_matrix(torch.tensor([0.3, 0.0, 0.0])).T, hands)
    assert terms["normals"] > 5e-3 and terms["edges"] < 1e-4


def test_edges_against_planes_by_hand(template: HandTemplate, hands: Tensor) -> None:
    """|n . e| of one face's three edges, by the formula (design: engine, formula 3)."""
    turned = hands @ rotation_matrix(torch.tensor([0.0, 0.4, 0.1])).T
    total = 0.0
    faces = template.faces.numpy()
    for truth, predicted in zip(hands.numpy(), turned.numpy()):
        normal = np.cross(truth[faces[:, 1]] - truth[faces[:, 0]], truth[faces[:, 2]] - truth[faces[:, 0]])
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        for i, j in ((0, 1), (1, 2), (2, 0)):
            edge = predicted[faces[:, i]] - predicted[faces[:, j]]
            total += np.abs((normal * edge).sum(1)).mean() / 3 / len(hands)
    assert abs(_terms(template, turned, hands)["normals"] - total) < 1e-4


def test_weights_and_unit_scale_every_term(template: HandTemplate, hands: Tensor) -> None:
    """Twice as much left open: half the loss."""
    off = hands + 0.1 * torch.randn(hands.shape, generator=torch.Generator().manual_seed(0))
    state = off[:, template.nodes].flatten(1)
    whole = Losses(template, EVEN)(state, hands, UNIT)
    wide = Losses(template, EVEN)(state, hands, 2 * UNIT)
    heavy = Losses(template, LossSettings(3.0, 3.0, 3.0, 3.0, 3.0, "l1", 1.0))(state, hands, UNIT)
    for key in TERMS:
        assert abs(float(wide[key] / whole[key]) - 0.5) < 1e-4
        assert abs(float(heavy[key] / whole[key]) - 3) < 1e-4


def test_every_term_pulls_and_every_gradient_is_a_number(template: HandTemplate, hands: Tensor) -> None:
    """Also at the degenerate start, where all vertices lie in one point."""
    for start in (hands[:, template.nodes] + 0.05, torch.zeros(4, 208, 3)):
        state = start.flatten(1).clone().requires_grad_(True)
        for key, value in Losses(template, EVEN)(state, hands, UNIT).items():
            (gradient,) = torch.autograd.grad(value, state, retain_graph=True)
            assert torch.isfinite(gradient).all(), key
            assert gradient.any() or key in ("edges", "normals"), key


@pytest.mark.parametrize(("norm", "expected"), [("l1", 3.0), ("l2", 4.5), ("huber", 4.0)])
def test_norms_of_the_data_term(template: HandTemplate, norm: str, expected: float) -> None:
    truth = torch.zeros(1, 1609, 3)
    terms = Losses(template, LossSettings(data_norm=norm))(torch.full((1, 624), 3.0), truth, UNIT[:1])
    assert abs(float(terms["data"]) - expected) < 1e-5


def test_an_unknown_norm_is_refused_before_training() -> None:
    with pytest.raises(ValueError, match="use huber, l1, l2"):
        LossSettings(data_norm="l7")
