"""What a network is told is wrong with its answer to a batch: the loss terms of both phases of a run."""

from __future__ import annotations

import torch
from torch import Tensor

from ..diffusion.gaussian import Evidence, GaussianPrior
from ..diffusion.schedule import Schedule
from ..model.conditions import Conditions
from ..model.graph_unet import TURN, GraphDenoiser, open_scale
from ..model.image import rotation_loss
from .batches import Batch
from .losses import Losses
from .settings import TrainSettings

JOINTS, VIEW, PICTURE = "joints", "view", "picture"  # kinds of conditions


class Objective:
    """Loss terms, weighted, of batches with noise."""

    def __init__(self, network: GraphDenoiser, losses: Losses, settings: TrainSettings) -> None:
        self.network, self.losses, self.settings = network, losses, settings
        self.schedule = Schedule(settings.shift)

    def glance(self, kind: str, batch: Batch, draws: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Of the global path alone, at `draws` noise levels of every hand."""
        token, whole = self._token(batch.conditions, len(batch.x0))
        batch, token = batch.repeated(draws), token.repeat(draws, 1)
        x, level = self._noised(batch.x0, generator)
        factor, unit = self._open(self.network.prior_of(x), level, batch.evidence)
        base, more, _ = self.network.glance(x, level, token, batch.evidence, factor)
        error = base + more - batch.x0
        if kind == JOINTS:
            return {"path": 0.5 * ((error / unit[:, None]) ** 2).mean()}
        return self._of_view(kind, error, factor, unit) | self._of_guess(batch, whole)

    def whole(self, kind: str, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Of the whole network."""
        x, level = self._noised(batch.x0, generator, self.schedule.time(self.settings.network.unet_from))
        factor, unit = self._open(self.network.prior_of(x), level, batch.evidence)
        x0_hat = self.network(x, level, self.network.encode(batch.conditions, len(x)), batch.evidence)
        if batch.vertices is not None:
            return self.losses(x0_hat, batch.vertices, unit)
        terms = self._of_view(kind, x0_hat - batch.x0, factor, unit)
        if not self.settings.losses.everywhere:
            return terms
        nodes = batch.x0[:, :-TURN].unflatten(-1, (-1, 3))
        terms.pop(kind)
        return terms | self.losses(x0_hat[:, :-TURN], self.losses.template.decoder @ nodes, unit)

    def _token(self, conditions: Conditions, size: int) -> tuple[Tensor, Tensor]:
        """What the global path is told, and the photo's global token in it."""
        encoder = self.network.encoder
        whole = encoder.always.new_zeros(size, self.settings.network.tokens)
        if conditions.image is not None and conditions.image_seen is not None:
            with self.network.reduced():
                whole = encoder.image(conditions.image, conditions.image_seen)[:, 0].float()
        return self.network.token(conditions, whole), whole

    def _of_view(self, kind: str, error: Tensor, factor: Tensor, unit: Tensor) -> dict[str, Tensor]:
        turn = torch.ones_like(unit)
        if self.settings.losses.unit == "open":
            turn = self.network.turned.open_deviation(factor, TURN).clamp_min(1e-3)
        of_turn = ((error[:, -TURN:] / turn[:, None]) ** 2).mean()
        return {
            kind: 0.5 * ((error[:, :-TURN] / unit[:, None]) ** 2).mean(),
            f"{kind}_turn": self.settings.views.turn_weight * of_turn,
        }

    def _of_guess(self, batch: Batch, whole: Tensor) -> dict[str, Tensor]:
        """Of the rotation that a photo alone tells."""
        if batch.rotation is None:
            return {}
        guess = self.network.encoder.pose(whole)
        loss = rotation_loss(guess, batch.rotation[: len(whole)]).mean()
        return {"guess": self.settings.views.guess_weight * loss}

    def _noised(self, x0: Tensor, generator: torch.Generator, most: float = 1.0) -> tuple[Tensor, Tensor]:
        """States x0 [B,P] with noise, up to that of time `most`, and alpha_bar [B]."""
        t = most * torch.rand(len(x0), generator=generator, device=x0.device)
        if self.settings.deterministic:
            t = torch.ones_like(t)
        noise = torch.randn(x0.shape, generator=generator, device=x0.device)
        level = self.schedule.alpha_bar(t).clamp(1e-7, 1 - 1e-5)
        return level.sqrt()[:, None] * x0 + (1 - level).sqrt()[:, None] * noise, level

    @torch.no_grad()
    def _open(self, prior: GaussianPrior, level: Tensor, evidence: Evidence) -> tuple[Tensor, Tensor]:
        """The posterior's factor, and the unit of the loss: what it leaves open."""
        factor = prior.factor(level, evidence)
        scale = open_scale(prior, factor)
        return factor, scale if self.settings.losses.unit == "open" else torch.ones_like(scale)
