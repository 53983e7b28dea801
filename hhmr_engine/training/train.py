"""`hhmr train`: hands made on the fly, conditions masked at random, one network for all tasks.

On one processor, on a GPU, or on many by `torchrun`: a batch is made of slices, each with random numbers that
follow from the seed, the step and its own number, so that it is the same batch whoever makes them.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from ..arithmetic import flush_denormals
from ..hand.build import at_resolution
from ..hand.template import DEFAULT_PATH, HandTemplate, load_template
from ..model.graph_unet import TURN, TURN_DEVIATION, GraphDenoiser
from ..observation import node_prior
from ..view import JointCamera
from ..vision.resnet import ResNet50, load_resnet50
from .batches import Batches, Dice
from .curriculum import stage_at
from .losses import Losses
from .machine import Group, join, prepare
from .masking import Masker
from .objective import JOINTS, PICTURE, VIEW, Objective
from .seeing import Viewer
from .settings import OptimiserSettings, TrainSettings
from .sources import Sources, open_streams
from .sources import data_cache as data_cache
from .state import STATE, WEIGHTS, resume, save

SAVE_SECONDS = 120
LOG_STEPS = 50


class Trainer:
    """One training run. `step()` is one optimiser step; `save` and `resume` make it exact to the step."""

    def __init__(
        self,
        settings: TrainSettings,
        sources: Sources | None = None,
        device: str = "cpu",
        template: Path | None = None,
        group: Group | None = None,
    ) -> None:
        """template: another hand than the one that ships. group: the processes that share the work."""
        self.group, sources = group or Group(), sources or Sources()
        slices = settings.machine.slices
        if slices % self.group.world:
            text = f"machine.slices is {slices}, which {self.group.world} processes can't share evenly"
            raise ValueError(f"{text}: set it to a multiple of {self.group.world}.")
        torch.manual_seed(settings.seed)
        flush_denormals()
        self.settings, self.device = settings, torch.device(device)
        self.template: HandTemplate = at_resolution(
            load_template(template or DEFAULT_PATH), settings.network.sizes
        )
        tensors, there = self.template.torch(), self.template.torch(device)
        prior = node_prior(there)
        self.network = GraphDenoiser(tensors, prior, settings.network).to(self.device)
        self.average = GraphDenoiser(tensors, prior, settings.network).to(self.device)
        self.average.load_state_dict(self.network.state_dict())
        self.learnt: dict[str, nn.Module] = {"network": self.network}
        self.averages: dict[str, nn.Module] = {"network": self.average}
        if settings.trunk.train:
            for modules in (self.learnt, self.averages):
                modules["trunk"] = _trunk(sources.trunk).to(self.device)
        prepare(self.network, settings.machine, self.device)
        self.streams = open_streams(sources, settings, self.template, self.device, self.group)
        self.batches = self._batches(there)
        self.objective = Objective(self.network, Losses(there, settings.losses), settings)
        self.optimiser = _optimiser(self.learnt, settings.optimiser)
        self.done, self.seconds = 0, 0.0  # steps; of training, all slices of time together
        self.hands: dict[str, int] = {}  # seen so far, by kind, by all processes together
        self.draws: dict[str, int] = {}  # the same, each as often as it was given a noise level

    def _batches(self, there: HandTemplate) -> dict[int, Batches]:
        """What makes the batches of each slice of this process."""
        prior = node_prior(there)
        masker = Masker(there, prior, self.settings.masks)
        viewer = Viewer(JointCamera(there, prior.widened(TURN_DEVIATION, TURN)), self.settings.views)
        photos = self.streams.photos
        return {
            number: Batches(hands, masker, viewer, photos.get(number), self.look)
            for number, hands in self.streams.hands.items()
        }

    def look(self, pixels: Tensor) -> Tensor:
        """Patches [B,49,F] of pictures [B,3,224,224] uint8, by the trunk that is trained."""
        with self.network.reduced():
            return self.learnt["trunk"](pixels.float() / 255).flatten(2).transpose(1, 2).float()

    @property
    def steps(self) -> int:
        """Of both phases."""
        return self.settings.path.steps + self.settings.steps

    def step(self) -> dict[str, Tensor]:
        """One batch; returns the weighted loss terms, on the device: to read them is to wait for it."""
        slices, first = self.settings.machine.slices, self.done < self.settings.path.steps
        kind = self._kind()
        size, draws = self._size(kind, first)
        if kind != PICTURE:
            for hands in set(self.streams.hands.values()):
                hands.advance(slices * size)
        self.optimiser.zero_grad(set_to_none=True)
        sums: dict[str, Tensor] = {}
        for number in self.batches:
            terms = self._terms(kind, first, size, draws, number)
            (torch.stack(list(terms.values())).sum() / slices).backward()
            for key, value in terms.items():
                sums[key] = sums.get(key, 0) + value.detach() / slices
        gradients = [p.grad for p in self._parameters() if p.grad is not None]
        self.group.add_up([*gradients, *sums.values()])
        self._descend()
        self.hands[kind] = self.hands.get(kind, 0) + slices * size
        self.draws[kind] = self.draws.get(kind, 0) + slices * size * draws
        return sums

    def _size(self, kind: str, first: bool) -> tuple[int, int]:
        """Hands of a slice, and noise levels for each.

        In the first phase what is costly to make, or to look at, is used at several noise levels.
        """
        s = self.settings
        draws = s.views.draws if first and kind != JOINTS else 1
        return max(1, (s.path.batch if first else s.batch) // draws // s.machine.slices), draws

    def _terms(self, kind: str, first: bool, size: int, draws: int, number: int) -> dict[str, Tensor]:
        """The losses of one slice."""
        seed, batches = _seed(self.settings.seed, self.done, number), self.batches[number]
        torch.manual_seed(seed)  # dropout's
        dice = Dice(torch.Generator(self.device).manual_seed(seed), torch.Generator().manual_seed(seed))
        match kind:
            case "joints":
                strength = stage_at(self.settings.curriculum, self.done / self.steps).masks
                batch = batches.joints(size, dice, strength, meshes=not first)
            case "view":
                batch = batches.views(size, dice)
            case _:
                batch = batches.pictures(size, dice)
        if first:
            return self.objective.glance(kind, batch, draws, dice.device)
        return self.objective.whole(kind, batch, dice.device)

    def _kind(self) -> str:
        """Of the condition of this step."""
        views, stage = self.settings.views, stage_at(self.settings.curriculum, self.done / self.steps)
        chance = float(np.random.default_rng(_seed(self.settings.seed, self.done, -1)).random())
        if self.streams.photos:
            if chance < views.pictures * stage.pictures:
                return PICTURE
            chance -= views.pictures * stage.pictures
        return VIEW if chance < views.share * stage.views else JOINTS

    def _descend(self) -> None:
        s, o = self.settings, self.settings.optimiser
        first = self.done < s.path.steps
        if first:
            rate = learning_rate(replace(o, rate=s.path.rate), self.done, s.path.steps)
        else:
            rate = learning_rate(o, self.done - s.path.steps, s.steps)
        path, rest, *trunk = self.optimiser.param_groups
        path["lr"], rest["lr"] = rate if first else rate * s.path.later, rate
        for group in trunk:
            group["lr"] = s.trunk.rate * rate / o.rate
        torch.nn.utils.clip_grad_norm_(self._parameters(), o.clip)
        self.optimiser.step()
        self.done += 1
        decay = min(o.ema, (1 + self.done) / (10 + self.done))
        with torch.no_grad():
            for name, module in self.averages.items():
                new = [p.data for p in self.learnt[name].parameters()]
                torch._foreach_lerp_([p.data for p in module.parameters()], new, 1 - decay)

    def _parameters(self) -> list[nn.Parameter]:
        return [p for module in self.learnt.values() for p in module.parameters()]

    def save(self, folder: Path) -> None:
        save(self, folder)

    def resume(self, folder: Path) -> None:
        resume(self, folder)


def _seed(seed: int, step: int, number: int) -> int:
    """Of slice `number` of a step; -1: of what all of them share."""
    mixed = np.random.SeedSequence([abs(seed), step, number + 1]).generate_state(1, np.uint64)
    return int(mixed[0]) >> 1


def _trunk(path: Path | None) -> ResNet50:
    """The paper's trunk, to be trained on. ValueError, one sentence: its first weights are missing."""
    if path is None:
        raise ValueError("trunk.train begins with the weights of a usual resnet50 file: give it as --trunk.")
    trunk = load_resnet50(path)
    trunk.fc = nn.Identity()  # type: ignore[assignment]
    return trunk.requires_grad_(True)


def _optimiser(learnt: dict[str, nn.Module], o: OptimiserSettings) -> torch.optim.AdamW:
    """Groups: what the first phase trains, the rest of the network, the trunk."""
    named = dict(learnt["network"].named_parameters())
    early = [p for name, p in named.items() if name.startswith(("path.", "time."))]
    late = [p for name, p in named.items() if not name.startswith(("path.", "time."))]
    groups: list[dict[str, Any]] = [{"params": early}, {"params": late}]
    if "trunk" in learnt:
        groups.append({"params": list(learnt["trunk"].parameters())})
    return torch.optim.AdamW(groups, lr=o.rate, betas=(0.9, 0.98), weight_decay=o.weight_decay)


def learning_rate(o: OptimiserSettings, step: int, steps: int) -> float:
    """Linear warm-up, then cosine annealing to the last rate."""
    if step < o.warmup:
        return o.rate * (step + 1) / o.warmup
    share = min(1.0, (step - o.warmup) / max(1, steps - o.warmup))
    return o.last_rate + 0.5 * (o.rate - o.last_rate) * (1 + math.cos(math.pi * share))


def train(
    settings: TrainSettings,
    folder: Path,
    sources: Sources,
    device: str = "cpu",
    go_on: bool = False,
    stop_after: float | None = None,
    template: Path | None = None,
) -> Path:
    """Run to `settings.steps` or for `stop_after` seconds; saves every two minutes; the weights' path.

    go_on: from the state in the folder, where there is one.
    """
    group, device = join(device)
    folder.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(settings, sources, device, template, group)
    if go_on and (folder / STATE).exists():
        trainer.resume(folder)
    before, started = trainer.seconds, time.monotonic()
    saved = started
    sums: dict[str, list[Tensor]] = {}
    bar = tqdm(
        total=trainer.steps, initial=trainer.done, unit="step", smoothing=0.02, disable=not group.first
    )
    with bar:
        while trainer.done < trainer.steps:
            for key, value in trainer.step().items():
                sums.setdefault(key, []).append(value)
            bar.update()
            if trainer.done % LOG_STEPS == 0:
                bar.set_postfix(loss=f"{_log(trainer, folder, sums):.3f}")
                sums = {}
            now = time.monotonic()
            trainer.seconds = before + now - started
            late, over = now - saved > SAVE_SECONDS, stop_after is not None and now - started > stop_after
            late, over = group.told((late, over))
            if late:
                trainer.save(folder)
                saved = now
            if over:
                break
    trainer.save(folder)
    group.wait()
    return folder / WEIGHTS


def _log(trainer: Trainer, folder: Path, sums: dict[str, list[Tensor]]) -> float:
    """A line of means in log.jsonl; returns their sum. ValueError: it is no longer a number."""
    means = {key: round(float(torch.stack(values).mean()), 4) for key, values in sums.items()}
    total = sum(means.values())
    if not math.isfinite(total):
        raise ValueError("the loss is no longer a number; lower optimiser.rate and resume.")
    if trainer.group.first:
        with open(folder / "log.jsonl", "a", encoding="utf-8") as log:
            log.write(json.dumps({"step": trainer.done, **means}) + "\n")
    return total
