"""How good a run is by now: a line in progress.jsonl of its folder after every slice of training.

Measured on the validation split (on sampled hands where there are no recordings), always the same hands,
masks and noise, so that lines can be compared: the network's loss at fixed noise levels, and what the engine
makes of full and of partial skeletons with these weights.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ..data.retarget import Retargeted
from ..data.splits import VALIDATION
from ..diffusion.gaussian import Evidence
from ..engine import Engine
from ..evaluation import metrics
from ..evaluation.asking import Asker, millimetres
from ..evaluation.skeletons import hidden_joints
from ..evaluation.testset import TestHands, recorded_hands, synthetic_hands
from ..hand.frame import palm_frame
from ..model.conditions import Conditions
from ..model.graph_unet import TURN_DEVIATION, GraphDenoiser, open_scale
from ..view import JointCamera
from .machine import Group
from .masking import Masker
from .seeing import Viewer
from .settings import TrainSettings
from .sources import Sources, recordings_of
from .state import WEIGHTS, notes

LINES = "progress.jsonl"
SYNTHETIC_SEED = "hhmr-validation-synthetic-1"
PER_SOURCE, SYNTHETIC = 6, 24  # hands of each source, or in all
LOSS_HANDS, TIMES = 40, 4  # hands whose loss is taken, each so many times over
LEVELS = (-6.0, -3.0, 0.0, 3.0, 6.0)  # log-SNR
SEED = 5


def note_progress(
    folder: Path, settings: TrainSettings, sources: Sources, device: str, template: Path | None
) -> dict[str, Any]:
    """Measure WEIGHTS in the run's folder and add a line; returns it."""
    engine = Engine(device, folder / WEIGHTS, template=template)
    recordings = [] if settings.datasets else recordings_of(sources, settings, engine.arrays, Group())
    hands = validation_hands(engine, recordings)
    with tqdm(total=3 * len(hands), unit="request", leave=False, disable=None) as bar:
        figures = completed(Asker(engine, bar), hands)
    line = {**notes(folder), "validation": len(hands), "loss": losses(engine, settings, hands), **figures}
    with open(folder / LINES, "a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    return line


def validation_hands(engine: Engine, recordings: list[Retargeted]) -> TestHands:
    if any((recording.split == VALIDATION).any() for recording in recordings):
        return recorded_hands(engine.arrays, recordings, PER_SOURCE, VALIDATION)
    return synthetic_hands(engine.arrays, SYNTHETIC, SYNTHETIC_SEED)


def completed(asker: Asker, hands: TestHands) -> dict[str, float]:
    """Means over hands, mm: PA-MPVPE of a draw from a full skeleton; energy with three fingers hidden."""
    hidden = hidden_joints(knuckles_seen=False)
    every = np.ones(21, bool)
    errors = [
        metrics.aligned_error(found.vertices[:1], hands.vertices[i])[0]
        for i, found in asker.joints(hands, every, "network", count=1)
    ]
    energy = {
        method: [
            metrics.energy_score(millimetres(found.joints)[:, hidden], millimetres(hands.joints[i])[hidden])
            for i, found in asker.joints(hands, ~hidden, method)
        ]
        for method in ("network", "gaussian")
    }
    ours, theirs = (float(np.mean(energy[method])) for method in ("network", "gaussian"))
    return {
        "pa_mpvpe_mm": round(float(millimetres(np.array(errors)).mean()), 4),
        "energy_mm": round(ours, 4),
        "gaussian_energy_mm": round(theirs, 4),
        "energy_ratio": round(ours / theirs, 4),
    }


@torch.no_grad()
def losses(engine: Engine, settings: TrainSettings, hands: TestHands) -> dict[str, dict[str, float]]:
    """Kind of condition -> log-SNR -> mean squared error in units of what the Gaussian leaves open."""
    network, _ = engine.network()
    found: dict[str, dict[str, float]] = {}
    for kind, x0, conditions, evidence in _told(engine, settings, hands):
        dice = torch.Generator(x0.device).manual_seed(SEED)
        noise = torch.randn(x0.shape, generator=dice, device=x0.device)
        found[kind] = {
            f"{log_snr:g}": _loss(network, x0, noise, log_snr, conditions, evidence) for log_snr in LEVELS
        }
    return found


def _told(
    engine: Engine, settings: TrainSettings, hands: TestHands
) -> Iterator[tuple[str, Tensor, Conditions, Evidence]]:
    """States x0 of the same hands, and what is told of them: as 3D and as 2D skeletons."""
    template, prior = engine.template, engine.prior
    few = hands.first(LOSS_HANDS)
    vertices = torch.from_numpy(few.vertices).to(engine.device).repeat(TIMES, 1, 1)
    vertices = palm_frame(template, template.regressor @ vertices).to_palm(vertices)
    nodes = vertices[:, template.nodes].flatten(1)
    dice = torch.Generator(engine.device).manual_seed(SEED)
    yield "joints", nodes, *Masker(template, prior, settings.masks)(vertices, dice)
    camera = JointCamera(template, prior.widened(TURN_DEVIATION, 3))
    seen = Viewer(camera, settings.views).see(template.regressor @ vertices, dice)
    yield "view", torch.cat([nodes, seen.turn], 1), seen.conditions, seen.evidence


def _loss(
    network: GraphDenoiser,
    x0: Tensor,
    noise: Tensor,
    log_snr: float,
    conditions: Conditions,
    evidence: Evidence,
) -> float:
    level = torch.sigmoid(torch.full((len(x0),), log_snr, device=x0.device))
    x = level.sqrt()[:, None] * x0 + (1 - level).sqrt()[:, None] * noise
    prior = network.prior_of(x)
    unit = open_scale(prior, prior.factor(level, evidence))
    error = network(x, level, network.encode(conditions, len(x)), evidence) - x0
    nodes = len(network.prior.mean)
    return round(float(0.5 * ((error[:, :nodes] / unit[:, None]) ** 2).mean()), 5)
