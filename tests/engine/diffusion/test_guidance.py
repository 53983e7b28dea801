"""Three forms of guidance: each brings an answer nearer to what was observed, none goes past its noise."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from hhmr_engine.diffusion.gaussian import Evidence, GaussianPrior
from hhmr_engine.diffusion.guidance import plain_x0, preconditioned, through_network
from hhmr_engine.diffusion.samplers import Denoise, dpm_solver_pp_2m
from hhmr_engine.diffusion.schedule import Schedule

STATE, RANK, SEEN = 12, 6, 4
G = torch.Generator().manual_seed(8)
PRIOR = GaussianPrior(
    torch.randn(STATE, generator=G),
    torch.linalg.qr(torch.randn(STATE, RANK, generator=G))[0].T.contiguous(),
    torch.tensor([4.0, 3.0, 2.0, 1.0, 0.7, 0.5]),
)
OPERATOR = torch.randn(SEEN, STATE, generator=G)
TRUTH = PRIOR.expand(torch.randn(RANK, generator=G))
TARGET = OPERATOR @ TRUTH
LEVEL = torch.tensor(0.3)
X = torch.randn(5, STATE, generator=G)


def _denoise(x: Tensor, level: Tensor) -> Tensor:
    """In a network's place, and told nothing of the target: the prior's own answer, a little bent."""
    nothing = PRIOR.nothing()
    x0 = PRIOR.denoise(x, level, nothing, PRIOR.factor(level, nothing))
    return x0 + 0.1 * torch.tanh(PRIOR.coefficients(x)) @ PRIOR.scaled


def _evidence(sigma: float) -> Evidence:
    a = OPERATOR @ PRIOR.scaled.T
    return Evidence(a.T @ a / sigma**2, a.T @ (TARGET - OPERATOR @ PRIOR.mean) / sigma**2)


def _residual(x0: Tensor) -> Tensor:
    return (x0 @ OPERATOR.T - TARGET).norm(dim=-1)


def _sigma(value: float = 0.01) -> Tensor:
    return torch.full((SEEN,), value)


def _forms() -> dict[str, Denoise]:
    return {
        "preconditioned": preconditioned(_denoise, PRIOR, _evidence(0.01)),
        "x0": plain_x0(_denoise, OPERATOR, TARGET, _sigma()),
        "xt": through_network(_denoise, OPERATOR, TARGET, _sigma()),
    }


@pytest.mark.parametrize(("form", "share"), [("preconditioned", 0.1), ("x0", 0.7), ("xt", 0.9)])
def test_every_form_comes_nearer(form: str, share: float) -> None:
    before, after = _residual(_denoise(X, LEVEL)), _residual(_forms()[form](X, LEVEL))
    assert (after < share * before).all()


@pytest.mark.parametrize("sigma", [0.02, 0.2])
def test_sampling_with_preconditioned_guidance_ends_within_the_noise(sigma: float) -> None:
    levels = Schedule().grid(10, -6.0, 7.5)
    guided = preconditioned(_denoise, PRIOR, _evidence(sigma))
    x = dpm_solver_pp_2m(guided, X, levels)
    assert (_residual(x) < 2.5 * sigma * SEEN**0.5).all()
    assert (_residual(dpm_solver_pp_2m(_denoise, X, levels)) > 1.0).all()


def test_preconditioned_guidance_fades_where_the_state_knows_better() -> None:
    """A loose observation moves a nearly clean state hardly at all, and a noisy one much."""
    loose = preconditioned(_denoise, PRIOR, _evidence(1.0))
    moved = [
        float((loose(X, level) - _denoise(X, level)).norm())
        for level in (torch.tensor(0.01), torch.tensor(0.999))
    ]
    assert moved[1] < 0.05 * moved[0]


def test_nothing_observed_guides_nowhere() -> None:
    unguided = _denoise(X, LEVEL)
    assert torch.equal(preconditioned(_denoise, PRIOR, PRIOR.nothing())(X, LEVEL), unguided)


def test_a_plain_gradient_moves_only_what_the_operator_touches() -> None:
    """The reason why it is not the default (design: engine)."""
    operator = OPERATOR.clone()
    operator[:, 5:] = 0
    guided = plain_x0(_denoise, operator, TARGET, _sigma())(X, LEVEL)
    assert torch.equal(guided[:, 5:], _denoise(X, LEVEL)[:, 5:])
    assert (guided[:, :5] != _denoise(X, LEVEL)[:, :5]).any()


def test_through_the_network_stops_at_the_noise() -> None:
    """Already explained within its noise: no step, the plain answer."""
    guided = through_network(_denoise, OPERATOR, TARGET, _sigma(1e3))
    torch.testing.assert_close(guided(X, LEVEL), _denoise(X, LEVEL))


def test_through_the_network_needs_no_gradients_from_outside() -> None:
    with torch.no_grad():
        guided = _forms()["xt"](X, LEVEL)
    assert not guided.requires_grad and (_residual(guided) < _residual(_denoise(X, LEVEL))).all()
