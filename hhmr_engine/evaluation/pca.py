"""The PCA prior as a baseline with knobs: how many components, and how widely it is sampled.

Through the same door as the network: an engine whose Gaussian is another one, asked with method="gaussian".
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

from torch import Tensor

from ..diffusion.gaussian import Evidence, GaussianPrior
from ..engine import Engine
from ..observation import node_prior


@dataclass(frozen=True)
class PcaSettings:
    """components None: all of them. temperature: of the draws about the posterior's mean; 0 is the mean."""

    components: int | None = None
    temperature: float = 1.0
    rho: float = 1.0  # millimetres: how far the given joints are believed
    root: float = 0.0  # the same of the wrist and the thumb's root, beside it

    def __str__(self) -> str:
        roots = f", roots' {self.root:g}" if self.root else ""
        most = f"{self.components or 'all'} components, temperature {self.temperature:g}"
        return f"{most}, rho {self.rho:g}{roots}"


class TemperedPrior(GaussianPrior):
    """The same Gaussian, its draws nearer to the mean or further from it."""

    def __init__(self, prior: GaussianPrior, temperature: float) -> None:
        self.mean, self.variance, self.scaled = prior.mean, prior.variance, prior.scaled
        self.temperature = temperature

    def sample(self, evidence: Evidence, noise: Tensor) -> Tensor:
        return super().sample(evidence, self.temperature * noise)


def pca_engine(engine: Engine, settings: PcaSettings) -> Engine:
    """The engine with that prior; it is for method="gaussian" alone, and shares all else."""
    kept = slice(settings.components)
    other = copy.copy(engine)
    tensors = engine.template
    other.template = replace(tensors, basis=tensors.basis[kept], basis_variance=tensors.basis_variance[kept])
    other.prior = TemperedPrior(node_prior(other.template), settings.temperature)
    return other
