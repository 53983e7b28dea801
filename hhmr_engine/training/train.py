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
from ..data.retarget import load_poses
from ..diffusion.gaussian import Evidence, GaussianPrior
from ..diffusion.schedule import Schedule
from ..hand.build import at_resolution
from ..hand.template import DEFAULT_PATH, HandTemplate, load_template
from ..model.checkpoint import save_network, template_hash
from ..model.conditions import Conditions
from ..model.graph_unet import TURN, TURN_DEVIATION, GraphDenoiser, open_scale
from ..observation import node_prior
from ..view import JointCamera
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
    ) -> None:
        """data: the folder of recorded poses; None, or recordings = false, trains on sampled poses alone.

        template: another hand than the one that ships.
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
        self.viewer = Viewer(camera, settings.views)
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
        s = self.settings
        first = self.done < s.path.steps
        seen = torch.rand((), generator=self.generator) < s.views.share
        if first:
            terms = self._glance_at_views() if seen else self._glance()
        else:
            terms = self._whole_network_on_views() if seen else self._whole_network()
        self._descend(torch.stack(list(terms.values())).sum())
        return {key: value.item() for key, value in terms.items()}

    def _glance(self) -> dict[str, Tensor]:
        """The global path alone, told joints or a part of the mesh."""
        size = self.settings.path.batch
        nodes, joints = self.stream.next_nodes(size)
        conditions, evidence = self._there(*self.masker.tell(joints, nodes, self.generator))
        x0, x, level = self._noised(nodes.flatten(1))
        factor, unit = self._open(self.prior, level, evidence)
        whole = self.network.encoder.always.new_zeros(size, self.settings.network.tokens)
        base, more, _ = self.network.glance(x, level, self.network.token(conditions, whole), evidence, factor)
        return {"path": 0.5 * (((base + more - x0) / unit[:, None]) ** 2).mean()}

    def _glance_at_views(self) -> dict[str, Tensor]:
        """The global path alone, told a 2D skeleton; each hand at several noise levels."""
        s = self.settings
        nodes, joints = self.stream.next_nodes(s.path.batch // s.views.draws)
        x0, conditions, evidence = self._seen(nodes, joints)
        rows = torch.arange(len(x0), device=x0.device).repeat(s.views.draws)
        conditions, evidence = _rows(conditions, rows), _rows(evidence, rows)
        x0, x, level = self._noised(x0[rows])
        factor, unit = self._open(self.network.turned, level, evidence)
        whole = x0.new_zeros(len(rows), s.network.tokens)
        base, more, _ = self.network.glance(x, level, self.network.token(conditions, whole), evidence, factor)
        return self._of_views(base + more - x0, factor, unit)

    def _of_views(self, error: Tensor, factor: Tensor, unit: Tensor) -> dict[str, Tensor]:
        turn = self.network.turned.open_deviation(factor, TURN).clamp_min(1e-3)
        return {
            "view_path": 0.5 * ((error[:, :-TURN] / unit[:, None]) ** 2).mean(),
            "turn": self.settings.views.turn_weight * ((error[:, -TURN:] / turn[:, None]) ** 2).mean(),
        }

    def _seen(self, nodes: Tensor, joints: Tensor) -> tuple[Tensor, Conditions, Evidence]:
        """States [b,3N+3], conditions and evidence of those hands whose view was found."""
        seen = self.viewer.see(joints, self.generator)
        rows = seen.usable.nonzero()[:, 0]
        x0 = torch.cat([nodes.flatten(1), seen.turn], 1)[rows].to(self.device)
        return x0, *self._there(_rows(seen.conditions, rows), _rows(seen.evidence, rows))

    def _whole_network(self) -> dict[str, Tensor]:
        vertices = self.stream.next(self.settings.batch)
        conditions, evidence = self._there(*self.masker(vertices, self.generator))
        x0, x, level = self._noised(vertices[:, self.masker.template.nodes].flatten(1))
        _, unit = self._open(self.prior, level, evidence)
        x0_hat = self.network(x, level, self.network.encode(conditions, len(x)), evidence)
        return self.losses(x0_hat, vertices.to(self.device), unit)

    def _whole_network_on_views(self) -> dict[str, Tensor]:
        """Its nodes alone: normals and edges are learnt where the frame is known."""
        vertices = self.stream.next(self.settings.batch)
        nodes = vertices[:, self.masker.template.nodes]
        x0, conditions, evidence = self._seen(nodes, self.masker.template.regressor @ vertices)
        x0, x, level = self._noised(x0)
        factor, unit = self._open(self.network.turned, level, evidence)
        x0_hat = self.network(x, level, self.network.encode(conditions, len(x)), evidence)
        return self._of_views(x0_hat - x0, factor, unit)

    def _noised(self, x0: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """States [B,P] where the network runs, the same with noise, and alpha_bar [B]."""
        t = torch.rand(len(x0), generator=self.generator)
        noise = torch.randn(x0.shape, generator=self.generator)
        x0, t, noise = (value.to(self.device) for value in (x0, t, noise))
        level = self.schedule.alpha_bar(t).clamp(1e-7, 1 - 1e-5)
        return x0, level.sqrt()[:, None] * x0 + (1 - level).sqrt()[:, None] * noise, level

    def _there(self, conditions: Conditions, evidence: Evidence) -> tuple[Conditions, Evidence]:
        """Both where the network runs."""
        return _to(conditions, self.device), _to(evidence, self.device)

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
) -> Path:
    """Run to `settings.steps` or for `stop_after` seconds; saves every two minutes; the weights' path."""
    folder.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(settings, data, device, template)
    if resume and (folder / "state.safetensors").exists():
        trainer.resume(folder)
    started = saved = time.monotonic()
    sums: dict[str, float] = {}
    with (
        tqdm(total=trainer.steps, initial=trainer.done, unit="step", smoothing=0.02) as bar,
        open(folder / "log.jsonl", "a", encoding="utf-8") as log,
    ):
        while trainer.done < trainer.steps:
            terms = trainer.step()
            bar.update()
            for key, value in terms.items():
                sums[key] = sums.get(key, 0.0) + value / LOG_STEPS
            if trainer.done % LOG_STEPS == 0:
                means = {key: round(value, 4) for key, value in sums.items()}
                log.write(json.dumps({"step": trainer.done, **means}) + "\n")
                log.flush()
                bar.set_postfix(loss=f"{sum(sums.values()):.3f}")
                if not math.isfinite(sum(sums.values())):
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


def _rows(value: Any, rows: Tensor) -> Any:
    """Some rows of Conditions or Evidence."""
    return replace(value, **{k: v[rows] for k, v in vars(value).items() if v is not None})


def _to(value: Any, device: torch.device) -> Any:
    """Conditions or Evidence on another device."""
    if isinstance(value, Conditions | Evidence):
        moved = {k: v.to(device) for k, v in vars(value).items() if v is not None}
        return replace(value, **moved)
    raise TypeError(type(value))
