"""`hhmr train`: hands made on the fly, conditions masked at random, one network for all tasks."""

from __future__ import annotations

import json
import math
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm import tqdm

from ..arithmetic import flush_denormals
from ..data.hands import HandStream
from ..data.picture_cache import PictureCache
from ..data.retarget import load_poses
from ..diffusion.gaussian import Evidence, GaussianPrior
from ..diffusion.schedule import Schedule
from ..hand.build import at_resolution
from ..hand.template import DEFAULT_PATH, HandTemplate, load_template
from ..model.checkpoint import save_network, template_hash
from ..model.conditions import Conditions
from ..model.graph_unet import TURN, TURN_DEVIATION, GraphDenoiser, open_scale
from ..model.image import rotation_loss
from ..observation import node_prior
from ..view import JointCamera
from .batches import Batch, Batches
from .losses import Losses
from .masking import Masker
from .seeing import Viewer
from .settings import OptimiserSettings, TrainSettings, to_json

SAVE_SECONDS = 120
LOG_STEPS = 50


class Trainer:
    """One training run. `step()` is one optimiser step; `save` and `resume` make it exact to the step."""

    def __init__(
        self,
        settings: TrainSettings,
        data: Path | None,
        device: str = "cpu",
        template: Path | None = None,
        pictures: Path | None = None,
    ) -> None:
        """data: the folder of recorded poses; None, or recordings = false, trains on sampled poses alone.

        template: another hand than the one that ships. pictures: a folder that fill_pictures has filled; None
        trains without photos.
        """
        torch.manual_seed(settings.seed)
        flush_denormals()
        self.settings, self.device = settings, torch.device(device)
        self.template: HandTemplate = at_resolution(
            load_template(template or DEFAULT_PATH), settings.network.sizes
        )
        tensors = self.template.torch()
        cache = data_cache(self.template.name)
        recordings = load_poses(self.template, data, cache) if data and settings.recordings else []
        self.stream = HandStream(self.template, recordings, settings.stream, settings.seed)
        self.masker = Masker(tensors, node_prior(tensors), settings.masks)
        camera = JointCamera(tensors, node_prior(tensors).widened(TURN_DEVIATION, TURN))
        viewer = Viewer(camera, settings.views)
        photos = PictureCache(pictures) if pictures else None
        self.batches = Batches(self.stream, self.masker, viewer, photos)
        there = self.template.torch(device)
        self.prior = node_prior(there)
        self.nodes = there.nodes
        self.network = GraphDenoiser(tensors, self.prior, settings.network).to(self.device)
        self.average = GraphDenoiser(tensors, self.prior, settings.network).to(self.device)
        self.average.load_state_dict(self.network.state_dict())
        self.losses = Losses(there, settings.losses)
        self.schedule = Schedule(settings.shift)
        o = settings.optimiser
        named = dict(self.network.named_parameters())
        early = [p for name, p in named.items() if name.startswith(("path.", "time."))]
        late = [p for name, p in named.items() if not name.startswith(("path.", "time."))]
        groups: list[dict[str, Any]] = [{"params": early}, {"params": late}]
        self.optimiser = torch.optim.AdamW(groups, lr=o.rate, betas=(0.9, 0.98), weight_decay=o.weight_decay)
        self.generator = torch.Generator().manual_seed(settings.seed)
        self.done = 0

    @property
    def steps(self) -> int:
        """Of both phases."""
        return self.settings.path.steps + self.settings.steps

    def step(self) -> dict[str, float]:
        """One batch; returns the weighted loss terms."""
        first = self.done < self.settings.path.steps
        kind = self._kind()
        terms = self._glance(kind) if first else self._whole_network(kind)
        self._descend(torch.stack(list(terms.values())).sum())
        return {key: value.item() for key, value in terms.items()}

    def _kind(self) -> str:
        """Of the condition of this step."""
        views = self.settings.views
        chance = float(torch.rand((), generator=self.generator))
        if self.batches.cache is not None:
            if chance < views.pictures:
                return "picture"
            chance -= views.pictures
        return "view" if chance < views.share else "joints"

    def _glance(self, kind: str) -> dict[str, Tensor]:
        """The global path alone. What is costly to make, or to look at, is used at several noise levels."""
        s, draws = self.settings, 1
        match kind:
            case "joints":
                batch = self.batches.joints(s.path.batch, self.generator)
            case "view":
                draws = s.views.draws
                batch = self.batches.views(s.path.batch // draws, self.generator)
            case _:
                draws = s.views.draws
                batch = self.batches.pictures(s.path.batch // draws, self.generator)
        batch = batch.to(self.device)
        token, whole = self._token(batch.conditions, len(batch.x0))
        batch, token = batch.repeated(draws), token.repeat(draws, 1)
        x, level = self._noised(batch.x0)
        prior = self.network.prior_of(x)
        factor, unit = self._open(prior, level, batch.evidence)
        base, more, _ = self.network.glance(x, level, token, batch.evidence, factor)
        error = base + more - batch.x0
        if kind == "joints":
            return {"path": 0.5 * ((error / unit[:, None]) ** 2).mean()}
        return self._of_view(kind, error, factor, unit) | self._of_guess(batch, whole)

    def _whole_network(self, kind: str) -> dict[str, Tensor]:
        """All of it. Normals and edges are learnt where the frame is known."""
        size = self.settings.batch
        match kind:
            case "joints":
                batch = self.batches.joints(size, self.generator, meshes=True)
            case "view":
                batch = self.batches.views(size, self.generator)
            case _:
                batch = self.batches.pictures(size, self.generator)
        batch = batch.to(self.device)
        x, level = self._noised(batch.x0, self.schedule.time(self.settings.network.unet_from))
        factor, unit = self._open(self.network.prior_of(x), level, batch.evidence)
        x0_hat = self.network(x, level, self.network.encode(batch.conditions, len(x)), batch.evidence)
        if batch.vertices is not None:
            return self.losses(x0_hat, batch.vertices, unit)
        return self._of_view(kind, x0_hat - batch.x0, factor, unit)

    def _token(self, conditions: Conditions, size: int) -> tuple[Tensor, Tensor]:
        """What the global path is told, and the photo's global token in it."""
        encoder = self.network.encoder
        whole = encoder.always.new_zeros(size, self.settings.network.tokens)
        if conditions.image is not None and conditions.image_seen is not None:
            whole = encoder.image(conditions.image, conditions.image_seen)[:, 0]
        return self.network.token(conditions, whole), whole

    def _of_view(self, kind: str, error: Tensor, factor: Tensor, unit: Tensor) -> dict[str, Tensor]:
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

    def _noised(self, x0: Tensor, most: float = 1.0) -> tuple[Tensor, Tensor]:
        """States x0 [B,P] with noise, up to that of time `most`, and alpha_bar [B]."""
        t = most * torch.rand(len(x0), generator=self.generator).to(x0.device)
        if self.settings.deterministic:
            t = torch.ones_like(t)
        noise = torch.randn(x0.shape, generator=self.generator).to(x0.device)
        level = self.schedule.alpha_bar(t).clamp(1e-7, 1 - 1e-5)
        return level.sqrt()[:, None] * x0 + (1 - level).sqrt()[:, None] * noise, level

    @torch.no_grad()
    def _open(self, prior: GaussianPrior, level: Tensor, evidence: Evidence) -> tuple[Tensor, Tensor]:
        """The posterior's factor, and the unit of the loss: what it leaves open."""
        factor = prior.factor(level, evidence)
        return factor, open_scale(prior, factor)

    def _descend(self, loss: Tensor) -> None:
        s, o = self.settings, self.settings.optimiser
        first = self.done < s.path.steps
        if first:
            rate = learning_rate(replace(o, rate=s.path.rate), self.done, s.path.steps)
        else:
            rate = learning_rate(o, self.done - s.path.steps, s.steps)
        path, rest = self.optimiser.param_groups
        path["lr"], rest["lr"] = rate if first else rate * s.path.later, rate
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), o.clip)
        self.optimiser.step()
        self.done += 1
        decay = min(o.ema, (1 + self.done) / (10 + self.done))
        with torch.no_grad():
            for mean, new in zip(self.average.parameters(), self.network.parameters(), strict=True):
                mean.lerp_(new, 1 - decay)

    def save(self, folder: Path) -> None:
        """weights.safetensors (fp16, EMA) for the engine and state.safetensors to resume from."""
        notes = {"steps": str(self.done), "training": to_json(self.settings)}
        weights = folder / "weights.safetensors"
        save_network(weights, self.average, self.template, self.settings.shift, **notes)
        stream = self.stream.state()
        tensors: dict[str, Tensor] = {
            "generator": self.generator.get_state(),
            "dropout": torch.get_rng_state(),
            "pool": torch.from_numpy(stream["pool"]),
            "source": torch.from_numpy(stream["source"]),
        }
        for name, network in (("network", self.network), ("average", self.average)):
            tensors |= {f"{name}/{k}": v.contiguous() for k, v in network.state_dict().items()}
        for i, state in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser/{i}/{k}": torch.as_tensor(v) for k, v in state.items()}
        metadata = {
            "done": str(self.done),
            "template_hash": template_hash(self.template),
            "settings": to_json(self.settings),
            "stream": json.dumps({"rng": stream["rng"], "owed": stream["owed"]}),
        }
        part = folder / "state.safetensors.part"
        save_file(tensors, part, metadata)
        part.replace(folder / "state.safetensors")

    def resume(self, folder: Path) -> None:
        """Go on exactly where `save` stopped; raises ValueError when the settings of the network differ."""
        from safetensors import safe_open

        path = folder / "state.safetensors"
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
        own = template_hash(self.template)
        if metadata.get("template_hash", own) != own:
            raise ValueError(f"{path} is a run of another hand; go on with that one, or in a new folder.")
        tensors = load_file(path)
        try:
            for name, network in (("network", self.network), ("average", self.average)):
                network.load_state_dict(_part(tensors, name))
        except RuntimeError as exc:
            raise ValueError(f"{path} belongs to other network settings; start in a new folder.") from exc
        saved: dict[int, dict[str, Tensor]] = {}
        for key, value in _part(tensors, "optimiser").items():
            index, field = key.split("/")
            saved.setdefault(int(index), {})[field] = value
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": saved, "param_groups": groups})
        self.generator.set_state(tensors["generator"])
        torch.set_rng_state(tensors["dropout"])
        stream: dict[str, Any] = json.loads(metadata["stream"])
        arrays = {key: tensors[key].numpy().copy() for key in ("pool", "source")}
        self.stream.restore({**stream, **arrays})
        self.done = int(metadata["done"])


def learning_rate(o: OptimiserSettings, step: int, steps: int) -> float:
    """Linear warm-up, then cosine annealing to the last rate."""
    if step < o.warmup:
        return o.rate * (step + 1) / o.warmup
    share = min(1.0, (step - o.warmup) / max(1, steps - o.warmup))
    return o.last_rate + 0.5 * (o.rate - o.last_rate) * (1 + math.cos(math.pi * share))


def train(
    settings: TrainSettings,
    folder: Path,
    data: Path | None,
    device: str,
    resume: bool,
    stop_after: float | None = None,
    template: Path | None = None,
    pictures: Path | None = None,
) -> Path:
    """Run to `settings.steps` or for `stop_after` seconds; saves every two minutes; the weights' path."""
    folder.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(settings, data, device, template, pictures)
    if resume and (folder / "state.safetensors").exists():
        trainer.resume(folder)
    started = saved = time.monotonic()
    sums: dict[str, list[float]] = {}
    with (
        tqdm(total=trainer.steps, initial=trainer.done, unit="step", smoothing=0.02) as bar,
        open(folder / "log.jsonl", "a", encoding="utf-8") as log,
    ):
        while trainer.done < trainer.steps:
            terms = trainer.step()
            bar.update()
            for key, value in terms.items():
                sums.setdefault(key, []).append(value)
            if trainer.done % LOG_STEPS == 0:
                means = {key: round(sum(values) / len(values), 4) for key, values in sums.items()}
                log.write(json.dumps({"step": trainer.done, **means}) + "\n")
                log.flush()
                bar.set_postfix(loss=f"{sum(means.values()):.3f}")
                if not math.isfinite(sum(means.values())):
                    raise ValueError("the loss is no longer a number; lower optimiser.rate and resume.")
                sums = {}
            now = time.monotonic()
            if now - saved > SAVE_SECONDS:
                trainer.save(folder)
                saved = now
            if stop_after is not None and now - started > stop_after:
                break
    trainer.save(folder)
    return folder / "weights.safetensors"


def data_cache(hand: str = "anny") -> Path:
    """Where recordings, retargeted to this hand, are kept between runs."""
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or str(Path.home() / ".cache")
    folder = Path(base) / "hhmr"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"retargeted_{hand}.npz"


def _part(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    prefix = name + "/"
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
