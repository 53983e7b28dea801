"""The closed-form prior against conditioning by brute force: joint covariances, in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from hhmr_engine.diffusion.gaussian import Evidence, GaussianPrior, solve

STATE, RANK, SEEN = 9, 4, 3
NOISE = 0.2


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


@pytest.fixture(scope="module")
def prior() -> GaussianPrior:
    g = _generator()
    basis = torch.linalg.qr(torch.randn(STATE, RANK, generator=g, dtype=torch.float64))[0].T
    variance = torch.tensor([4.0, 1.0, 0.25, 0.01], dtype=torch.float64)
    return GaussianPrior(torch.randn(STATE, generator=g, dtype=torch.float64), basis, variance)


@pytest.fixture(scope="module")
def operator() -> Tensor:
    return torch.randn(SEEN, STATE, generator=_generator(), dtype=torch.float64)


def _evidence(prior: GaussianPrior, operator: Tensor, y: Tensor) -> Evidence:
    a = operator @ prior.scaled.T
    return Evidence(a.T @ a / NOISE**2, a.T @ (y - operator @ prior.mean) / NOISE**2)


def _conditioned(prior: GaussianPrior, rows: Tensor, noise: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance of x0 given seen = rows x0 + noise, by the Schur complement."""
    covariance = prior.scaled.T @ prior.scaled
    gain = covariance @ rows.T @ torch.linalg.inv(rows @ covariance @ rows.T + torch.diag(noise**2))
    return prior.mean + gain @ (seen - rows @ prior.mean), covariance - gain @ rows @ covariance


@pytest.mark.parametrize("level", [0.001, 0.4, 0.97])
def test_denoising_is_conditioning_on_state_and_observation(
    prior: GaussianPrior, operator: Tensor, level: float
) -> None:
    g = _generator()
    y = torch.randn(SEEN, generator=g, dtype=torch.float64)
    x = torch.randn(5, STATE, generator=g, dtype=torch.float64)
    alpha_bar = torch.tensor(level, dtype=torch.float64)
    rows = torch.cat([alpha_bar.sqrt() * torch.eye(STATE, dtype=torch.float64), operator])
    noise = torch.cat([(1 - alpha_bar).sqrt().expand(STATE), torch.full((SEEN,), NOISE, dtype=torch.float64)])
    evidence = _evidence(prior, operator, y)
    factor = prior.factor(alpha_bar, evidence)
    ours = prior.denoise(x, alpha_bar, evidence, factor)
    for one, state in zip(ours, x, strict=True):
        mean, covariance = _conditioned(prior, rows, noise, torch.cat([state, y]))
        torch.testing.assert_close(one, mean)
    open_mean_square = torch.trace(covariance) / STATE
    torch.testing.assert_close(prior.open_deviation(factor), open_mean_square.sqrt())


def test_a_batch_of_levels_and_evidence_is_one_after_the_other(
    prior: GaussianPrior, operator: Tensor
) -> None:
    g = _generator()
    x, y = (torch.randn(4, n, generator=g, dtype=torch.float64) for n in (STATE, SEEN))
    levels = torch.tensor([0.0, 0.1, 0.5, 0.9], dtype=torch.float64)
    each = [_evidence(prior, operator, row) for row in y]
    both = Evidence(torch.stack([e.precision for e in each]), torch.stack([e.information for e in each]))
    together = prior.denoise(x, levels, both, prior.factor(levels, both))
    for i, evidence in enumerate(each):
        alone = prior.denoise(x[i : i + 1], levels[i], evidence, prior.factor(levels[i], evidence))[0]
        torch.testing.assert_close(together[i], alone)


def test_draws_have_the_posteriors_mean_and_covariance(prior: GaussianPrior, operator: Tensor) -> None:
    """A draw is linear in its noise, so unit vectors of noise give the whole covariance: no statistics."""
    y = torch.tensor([1.0, -2.0, 0.3], dtype=torch.float64)
    evidence = _evidence(prior, operator, y)
    noise = torch.full((SEEN,), NOISE, dtype=torch.float64)
    mean, covariance = _conditioned(prior, operator, noise, y)
    centre = prior.sample(evidence, torch.zeros(RANK, dtype=torch.float64))
    columns = prior.sample(evidence, torch.eye(RANK, dtype=torch.float64)) - centre
    torch.testing.assert_close(centre, mean)
    torch.testing.assert_close(columns.T @ columns, covariance)


@pytest.mark.parametrize("level", [0.05, 0.8])
def test_the_guidance_step_is_the_one_of_the_design(
    prior: GaussianPrior, operator: Tensor, level: float
) -> None:
    """x0 - K_t (A x0 - y), K_t = B lam_t A'^T (A' lam_t A'^T + rho^2)^-1 (design: engine)."""
    y = torch.tensor([1.0, -2.0, 0.3], dtype=torch.float64)
    alpha_bar = torch.tensor(level, dtype=torch.float64)
    u = torch.randn(6, RANK, generator=_generator(), dtype=torch.float64)
    x0 = prior.expand(u)
    lam = prior.variance
    lam_t = lam * (1 - alpha_bar) / (lam * alpha_bar + 1 - alpha_bar)
    b = prior.scaled.T / lam.sqrt()
    seen = operator @ b
    inner = seen @ torch.diag(lam_t) @ seen.T + NOISE**2 * torch.eye(SEEN, dtype=torch.float64)
    gain = b @ torch.diag(lam_t) @ seen.T @ torch.linalg.inv(inner)
    expected = x0 - (x0 @ operator.T - y) @ gain.T
    evidence = _evidence(prior, operator, y)
    torch.testing.assert_close(prior.correct(x0, evidence, prior.factor(alpha_bar, evidence)), expected)


def test_nothing_observed_is_the_prior_itself(prior: GaussianPrior) -> None:
    nothing = prior.nothing()
    covariance = prior.scaled.T @ prior.scaled
    columns = prior.sample(nothing, torch.eye(RANK, dtype=torch.float64)) - prior.mean
    torch.testing.assert_close(columns.T @ columns, covariance)
    x0 = prior.expand(torch.ones(2, RANK, dtype=torch.float64))
    factor = prior.factor(torch.tensor(0.5, dtype=torch.float64), nothing)
    torch.testing.assert_close(prior.correct(x0, nothing, factor), x0)


def test_evidence_adds_up(prior: GaussianPrior, operator: Tensor) -> None:
    """Two observations are the same as both in one."""
    y = torch.tensor([1.0, -2.0, 0.3], dtype=torch.float64)
    both = _evidence(prior, operator, y)
    parts = _evidence(prior, operator[:1], y[:1]) + _evidence(prior, operator[1:], y[1:])
    torch.testing.assert_close(parts.precision, both.precision)
    torch.testing.assert_close(parts.information, both.information)


@pytest.mark.parametrize("alpha_bar", [0.0, 1.0])
def test_both_ends_are_finite_in_single_precision(prior: GaussianPrior, alpha_bar: float) -> None:
    """Pure noise tells nothing; a clean hand is taken at its word."""
    single = GaussianPrior(
        prior.mean.float(),
        prior.scaled.float() / prior.variance.sqrt().float()[:, None],
        prior.variance.float(),
    )
    level = torch.tensor(alpha_bar)
    x = single.expand(torch.ones(1, RANK))
    denoised = single.denoise(x, level, single.nothing(), single.factor(level, single.nothing()))
    expected = x if alpha_bar else single.mean[None]
    torch.testing.assert_close(denoised, expected, atol=1e-3, rtol=0)


def test_one_factor_serves_a_batch() -> None:
    matrix = torch.tensor([[4.0, 1.0], [1.0, 3.0]])
    right = torch.arange(12.0).reshape(2, 3, 2)
    factor = torch.linalg.cholesky(matrix)
    torch.testing.assert_close(solve(factor, right) @ matrix, right)
    torch.testing.assert_close(solve(factor.expand(2, 3, 2, 2), right), solve(factor, right))
