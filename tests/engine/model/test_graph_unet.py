"""The denoiser as a whole: its variants, its limits, and that it starts from the Gaussian's answer."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from hhmr_engine.diffusion.gaussian import Evidence
from hhmr_engine.hand.build import at_resolution
from hhmr_engine.hand.template import HandTemplate, load_template
from hhmr_engine.model.conditions import Conditions
from hhmr_engine.model.graph_unet import GraphDenoiser, NetworkSettings, open_scale
from hhmr_engine.observation import PointOperator, node_prior
from tests.engine.small_network import SMALL, small_network


@pytest.fixture(scope="module")
def template() -> HandTemplate:
    return load_template().torch()


def _noise(count: int = 3) -> Tensor:
    return torch.randn(count, 624, generator=torch.Generator().manual_seed(0))


def _told(template: HandTemplate, count: int = 1) -> tuple[Conditions, Evidence]:
    """A full skeleton of the mean hand, bent a little, for the network and for the Gaussian."""
    operator = PointOperator(template, node_prior(template), template.regressor)
    joints = operator.mean + 0.05 * torch.randn(count, 21, 3, generator=torch.Generator().manual_seed(2))
    sigma = torch.full((count, 21), 0.02)
    return Conditions(joints=joints, joint_sigma=sigma), operator.evidence(joints, sigma)


def test_an_untrained_network_says_what_the_gaussian_says(template: HandTemplate) -> None:
    network = GraphDenoiser(template, node_prior(template), SMALL).eval()
    conditions, evidence = _told(template)
    evidence = Evidence(evidence.precision[0], evidence.information[0])
    level, prior = torch.tensor(0.3), network.prior
    expected = prior.denoise(_noise(), level, evidence, prior.factor(level, evidence))
    with torch.no_grad():
        x0 = network(_noise(), level, network.encode(conditions, 1), evidence)
    torch.testing.assert_close(x0, expected, atol=1e-5, rtol=0)


def test_the_correction_fades_with_what_is_open(template: HandTemplate) -> None:
    """s(t) f(...): a network may say a lot about noise, and next to nothing about a clean hand."""
    network, nothing = small_network(template), node_prior(template).nothing()
    encoded = network.encode(Conditions(), 1)
    moved, opened = [], []
    for level in (torch.tensor(0.01), torch.tensor(0.999)):
        factor = network.prior.factor(level, nothing)
        x = level.sqrt() * network.prior.mean + (1 - level).sqrt() * _noise()
        base = network.prior.denoise(x, level, nothing, factor)
        moved.append(float((network(x, level, encoded, nothing) - base).abs().mean()))
        opened.append(float(open_scale(network.prior, factor)))
    assert opened[1] < 0.2 * opened[0] and moved[1] < 0.4 * moved[0]


def test_a_batch_is_its_hands_one_by_one(template: HandTemplate) -> None:
    """Conditions, evidence and levels of a training batch don't mix."""
    network = small_network(template)
    conditions, evidence = _told(template, 3)
    levels = torch.tensor([0.05, 0.4, 0.95])
    together = network(_noise(), levels, network.encode(conditions, 3), evidence)
    for i in range(3):
        mine = Conditions(joints=conditions.joints[i : i + 1], joint_sigma=conditions.joint_sigma[i : i + 1])
        told = Evidence(evidence.precision[i], evidence.information[i])
        alone = network(_noise()[i : i + 1], levels[i], network.encode(mine, 1), told)
        torch.testing.assert_close(together[i], alone[0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    "changes",
    [{"graph": False}, {"anchors": False}, {"gaussian": False}, {"path": 0}, {"order": 1}],
    ids=lambda changes: next(iter(changes)),
)
def test_every_variant_runs_and_differs(template: HandTemplate, changes: dict[str, object]) -> None:
    conditions, evidence = _told(template, 3)
    answers = []
    for network in (small_network(template), small_network(template, **changes)):
        answers.append(network(_noise(), torch.tensor(0.4), network.encode(conditions, 3), evidence))
    assert torch.isfinite(answers[1]).all() and (answers[0] - answers[1]).abs().max() > 1e-3


@pytest.mark.parametrize("cut", ["skips", "bottom"])
def test_fine_and_coarse_levels_both_reach_the_answer(template: HandTemplate, cut: str) -> None:
    """Without the way down and up the skips still carry x, at every node its own; with it, far nodes talk."""
    network = small_network(template, path=0, gaussian=False, graph=True)
    if cut == "bottom":
        network.widen[0].weight.zero_()
    else:
        for block in (network.down[0], network.up[0]):
            block.attend_self.out.weight.zero_()
    encoded, nothing = network.encode(Conditions(), 1), network.prior.nothing()
    x = _noise(1)
    one = network(x, torch.tensor(0.4), encoded, nothing)
    x[0, :3] += 1
    moved = (network(x, torch.tensor(0.4), encoded, nothing) - one).unflatten(1, (-1, 3)).norm(dim=-1)[0]
    assert moved[0] > 1e-3
    far = (template.vertices[template.nodes] - template.vertices[template.nodes[0]]).norm(dim=1) > 0.08
    assert cut == "bottom" or (moved[far] > 0).all()


@pytest.mark.parametrize("level", [0.0, 1e-7, 1 - 1e-7, 1.0])
def test_the_ends_of_the_schedule_are_numbers(template: HandTemplate, level: float) -> None:
    network = small_network(template)
    x = _noise().requires_grad_(True)
    x0 = network(x, torch.tensor(level), network.encode(Conditions(), 1), network.prior.nothing())
    (gradient,) = torch.autograd.grad(x0.sum(), x)
    assert torch.isfinite(x0).all() and torch.isfinite(gradient).all()


def test_every_weight_has_a_say(template: HandTemplate) -> None:
    """A parameter without a gradient is one that nobody asks."""
    network = small_network(template).requires_grad_(True)
    conditions, evidence = _told(template, 2)
    of_mesh = replace(conditions, kept=torch.ones(2, 208, dtype=torch.bool))
    patches = torch.randn(2, 49, 8, generator=torch.Generator().manual_seed(2))
    seen = torch.arange(49).expand(2, -1) % 2 == 0
    in_photo = replace(
        conditions,
        line=torch.ones(2, 3),
        image=patches,
        image_seen=seen,
        rotation=torch.eye(3).repeat(2, 1, 1),
    )
    level = torch.tensor([0.2, 0.6])
    x0 = network(_noise(2), level, network.encode(of_mesh, 2), evidence)
    turned = torch.cat([_noise(2), torch.ones(2, 3)], 1)
    x0_turned = network(turned, level, network.encode(in_photo, 2), network.turned.nothing())
    guess = network.encoder.read_rotation(patches)
    spoken = (x0**2).sum() + (x0_turned**2).sum() + (guess.rotation[:, 0] * guess.sigma[:, None]).sum()
    spoken.backward()
    silent = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


def test_every_vertex_may_be_a_node() -> None:
    """Full resolution by configuration: the hand, its prior and the network on all 1609 vertices."""
    sizes = (1609, 101, 26)
    arrays = at_resolution(load_template(), sizes)
    full = arrays.torch()
    network = small_network(full, sizes=sizes, widths=(8, 16, 16), head=8)
    assert network.down[0].graph.laplacian.layout == torch.sparse_csr
    prior = network.prior
    hand = load_template().torch()
    torch.testing.assert_close(
        prior.scaled.T.pow(2).sum(1),
        (hand.basis**2 * hand.basis_variance[:, None, None]).sum(0)[full.nodes].reshape(-1),
        atol=1e-3,
        rtol=1e-2,
    )
    x = torch.randn(1, 4827, generator=torch.Generator().manual_seed(0))
    conditions, _ = _told(hand)
    x0 = network(x, torch.tensor(0.9), network.encode(conditions, 1), prior.nothing())
    vertices = full.decoder @ x0.unflatten(-1, (-1, 3))
    assert torch.equal(vertices[0, full.nodes], x0.unflatten(-1, (-1, 3))[0])
    assert (vertices - full.basis_mean).norm(dim=-1).mean() < 3


def test_a_network_on_some_other_number_of_nodes_is_refused() -> None:
    with pytest.raises(ValueError, match="208 or on all 1609 vertices"):
        at_resolution(load_template(), (300, 20))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"sizes": (208, 52)}, "for every level"),
        ({"sizes": (), "widths": ()}, "for every level"),
        ({"sizes": (208, 208, 13)}, "must fall"),
        ({"widths": (64, 112, 256), "head": 32}, "multiples of network.head"),
    ],
)
def test_a_shape_that_cannot_be_built_gets_a_sentence(changes: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        NetworkSettings(**changes)


def test_the_unet_corrects_only_from_its_noise_level_on(template: HandTemplate) -> None:
    prior = node_prior(template)
    always = small_network(template)
    late = GraphDenoiser(template, prior, replace(always.settings, unet_from=3.0)).eval()
    late.load_state_dict(always.state_dict())
    x, (conditions, evidence) = _noise(2), _told(template)
    levels = torch.sigmoid(torch.tensor([2.0, 4.0]))
    with torch.no_grad():
        encoded = always.encode(conditions, 1)
        full, half = (network(x, levels, encoded, evidence) for network in (always, late))
        base, whole, _ = late.glance(x, levels, encoded.token, evidence, prior.factor(levels, evidence))
    torch.testing.assert_close(half[1], full[1])
    torch.testing.assert_close(half[0], (base + whole)[0])
    assert not torch.allclose(full[0], half[0])
