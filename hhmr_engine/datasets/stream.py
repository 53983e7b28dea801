"""Datasets as training reads them, from shards or from their own folders, mixed, never held in memory.

`DatasetPictures` stands where a `PictureCache` does, `DatasetHands` where a `HandStream` does. Loader
processes read and cut while the network learns. Which samples come, and how they are changed, follows from
the seed and from how many came before alone (lanes.py): row j of process r of w is row j * w + r of
a single one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from ..data.picture_cache import PictureBatch
from ..faults import InputError
from ..hand.template import HandTemplate
from ..vision.networks import hand_network
from ..vision.trunks import Trunk, look
from .catalogue import find_datasets, open_dataset
from .crops import CropSettings, Unusable, check, crop, in_palm_frame, seed_of
from .lanes import LANES, FolderSet, Order, SampleSet, ShardSet
from .sample import TRAIN, HandSample
from .shards import UNREADABLE, has_shards, read_index

AHEAD = 4  # chunks that each loader process prepares
PROBED = 4  # samples of each lane that are looked at to see whether a set is of any use
READ = 4  # crops through a CNN at once on a CPU: more leave a core's cache

Tensors = dict[str, Tensor]


def open_sets(paths: Sequence[Path], split: str = TRAIN, mano: Path | None = None) -> list[SampleSet]:
    """The sets in folders of shards or datasets, or of such folders; where a set is both, its shards.

    mano: as for `open_dataset`. ValueError, one sentence: there is none, or one is damaged.
    """
    sets: dict[str, SampleSet] = {}
    for path in paths:
        inside = sorted(each for each in path.iterdir() if each.is_dir()) if path.is_dir() else []
        for folder in (path, *inside):
            if has_shards(folder):
                indices = map(read_index, sorted(folder.glob(f"*-{split}.json")))
                sets |= {index.name: ShardSet(folder, index) for index in indices if index.samples}
    for path in paths:
        for folder, name in find_datasets(path).items():
            if name not in sets:
                sets[name] = FolderSet(open_dataset(folder, split, mano, name))
    if not sets:
        where = ", ".join(str(path) for path in paths)
        raise ValueError(f"There is no dataset in {where}: 'hhmr data check' says what is there.")
    return list(sets.values())


@dataclass(frozen=True)
class Place:
    """Which share of a stream is read here: that of process `rank` of `world`."""

    rank: int = 0
    world: int = 1
    workers: int = 0  # loader processes, at most; 0: this process reads itself

    @property
    def lanes(self) -> range:
        """ValueError, one sentence: so many processes can't share evenly."""
        if LANES % self.world:
            even = ", ".join(str(n) for n in range(1, LANES + 1) if LANES % n == 0)
            raise ValueError(f"Datasets can't be shared evenly by {self.world} processes: it must be {even}.")
        return range(self.rank, LANES, self.world)


class Meshes:
    """What loader processes make of samples: right hands [B,V,3] in the palm frame."""

    pictures = False
    group = 16  # samples of a lane that are finished at once: other numbers would round otherwise

    def __init__(self, template: HandTemplate, seed: int) -> None:
        """template: as tensors."""
        self.template, self.seed = template, seed

    def check(self, sample: HandSample) -> None:
        """Unusable: nothing can be learnt from it. ValueError: it is a hand of another kind."""
        check(sample, self.pictures)
        assert sample.vertices is not None
        own, others = len(self.template.vertices), len(sample.vertices)
        if own != others:
            raise ValueError(
                f"{sample.key} is a hand of {others} vertices, the template one of {own}:"
                " train the hand that 'hhmr import-hand' makes of the datasets' model."
            )

    def prepare(self, name: str, sample: HandSample, epoch: int) -> Any:
        """What is kept of a sample until there are enough of them."""
        self.check(sample)
        return sample

    def finish(self, prepared: list[Any]) -> Tensors:
        return {"vertices": in_palm_frame(self.template, prepared)}


class Cuttings(Meshes):
    """Crops, in place of meshes alone."""

    pictures = True
    group = 4

    def __init__(self, template: HandTemplate, seed: int, settings: CropSettings) -> None:
        super().__init__(template, seed)
        self.settings = settings

    def prepare(self, name: str, sample: HandSample, epoch: int) -> Any:
        self.check(sample)
        assert sample.image is not None
        try:
            photo = sample.image()
        except (InputError, OSError, ValueError) as exc:
            raise Unusable(UNREADABLE) from exc
        return sample, photo, seed_of(self.seed, name, sample.key, epoch)

    def finish(self, prepared: list[Any]) -> Tensors:
        samples, photos, seeds = zip(*prepared)
        return vars(crop(self.template, samples, photos, seeds, self.settings))


class _Reader(IterableDataset):
    """What one loader process reads: chunks, in which its lanes take turns."""

    def __init__(self, order: Order, work: Meshes, lanes: range, start: int) -> None:
        self.order, self.work, self.lanes, self.start = order, work, lanes, start

    def __iter__(self) -> Iterator[tuple[Tensors, Counter[str]] | str]:
        """Chunks and what was passed over meanwhile; last of all a sentence, where something is wrong."""
        info = get_worker_info()
        lanes = self.lanes[info.id :: info.num_workers] if info else self.lanes
        passed_over: Counter[str] = Counter()
        readers = [self.order.lane(lane, self.start, passed_over) for lane in lanes]
        try:
            while True:
                groups = (self.work.finish(list(islice(reader, self.work.group))) for reader in readers)
                yield _dealt(groups, len(readers)), Counter(passed_over)
                passed_over.clear()
        except ValueError as exc:
            yield str(exc)


def _dealt(groups: Iterable[Tensors], count: int) -> Tensors:
    """One of each of `count` groups, then the next of each."""
    whole: Tensors = {}
    for number, group in enumerate(groups):
        for name, tensor in group.items():
            if name not in whole:
                whole[name] = tensor.new_empty(len(tensor), count, *tensor.shape[1:])
            whole[name][:, number] = tensor
    return {name: tensor.flatten(0, 1) for name, tensor in whole.items()}


class Stream:
    """An endless stream of what is made of samples."""

    def __init__(
        self, sets: Sequence[SampleSet], weights: Mapping[str, float] | None, work: Meshes, place: Place
    ) -> None:
        """weights: of sets by name, those that aren't named are left out; None: as many as each set has.

        Sets of no use for this work are passed over. ValueError, one sentence: none is left.
        """
        self.world, self.lanes = place.world, place.lanes
        even = [n for n in range(1, place.workers + 1) if len(self.lanes) % n == 0]
        self.workers = max(even, default=0)
        self.passed_over: Counter[str] = Counter()  # "set: reason" -> samples
        self.sets = [each for each in _named(sets, weights) if self._useful(each, work)]
        if not self.sets:
            why = ", ".join(self.passed_over)
            raise ValueError(f"No dataset is left to train on ({why}): 'hhmr data check' says more.")
        parts = [float(len(each)) if weights is None else weights[each.name] for each in self.sets]
        self.work = work
        self.order = Order(self.sets, parts, work.seed, work.prepare, work.pictures)
        self.taken = 0  # by this process
        self.loader: Iterator[Any] | None = None
        self.there: Tensors = {}

    def __len__(self) -> int:
        return sum(len(each) for each in self.sets)

    def _useful(self, samples: SampleSet, work: Meshes) -> bool:
        """Whether one of the first samples is; otherwise all of them are passed over."""
        reasons: Counter[str] = Counter()
        for lane in range(LANES):
            for sample in islice(samples.share(work.seed, 0, lane).read(0, work.pictures), PROBED):
                try:
                    work.check(sample)
                    return True
                except Unusable as why:
                    reasons[str(why)] += 1
        reason = reasons.most_common(1)[0][0] if reasons else "no samples"
        self.passed_over[f"{samples.name}: {reason}"] += len(samples)
        return False

    def take(self, count: int) -> Tensors:
        """The next `count`. ValueError, one sentence: a shard is damaged."""
        if self.loader is None:
            self._start()
        parts: list[Tensors] = []
        missing = count
        while missing:
            if not len(_first(self.there)):
                self.there = self._more()
            parts.append({name: tensor[:missing] for name, tensor in self.there.items()})
            self.there = {name: tensor[missing:] for name, tensor in self.there.items()}
            missing -= len(_first(parts[-1]))
        self.taken += count
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def _start(self) -> None:
        """Loader processes, from where the stream is."""
        rounds, inside = divmod(self.taken, len(self.lanes) * self.work.group)
        reader = _Reader(self.order, self.work, self.lanes, rounds * self.work.group)
        ahead = AHEAD if self.workers else None
        loader = DataLoader(reader, batch_size=None, num_workers=self.workers, prefetch_factor=ahead)
        self.loader = iter(loader)
        self.there = {}
        while inside:
            more = self._more()
            self.there = {name: tensor[inside:] for name, tensor in more.items()}
            inside = max(0, inside - len(_first(more)))

    def _more(self) -> Tensors:
        """A chunk of every loader process."""
        assert self.loader is not None
        chunks = []
        for _ in range(max(1, self.workers)):
            got = next(self.loader)
            if isinstance(got, str):
                self.loader = None  # ends its processes
                raise ValueError(got)
            chunks.append(got[0])
            self.passed_over.update(got[1])
        return _dealt(chunks, len(chunks))

    def advance(self, hands: int) -> None:
        """Nothing: the stream goes on by itself."""

    def state(self) -> dict[str, Any]:
        """Enough to go on exactly here, with as many processes or others."""
        return {"position": self.taken * self.world}

    def restore(self, state: dict[str, Any]) -> None:
        self.taken, self.loader, self.there = int(state["position"]) // self.world, None, {}


def _first(tensors: Tensors) -> Tensor:
    return next(iter(tensors.values()), torch.empty(0))


def _named(sets: Sequence[SampleSet], weights: Mapping[str, float] | None) -> list[SampleSet]:
    """The sets that have a weight."""
    if weights is None:
        return list(sets)
    there = {each.name for each in sets}
    if missing := {name for name, weight in weights.items() if weight > 0} - there:
        text = f"There is no {' and no '.join(sorted(missing))} among the datasets"
        raise ValueError(f"{text} ({', '.join(sorted(there))}): set its weight to 0, or add it.")
    return [each for each in sets if weights.get(each.name, 0.0) > 0]


class DatasetHands(Stream):
    """Meshes of datasets, sets of poses alone among them, given as `data.hands.HandStream` gives them."""

    def __init__(
        self,
        sets: Sequence[SampleSet],
        weights: Mapping[str, float] | None,
        template: HandTemplate,
        seed: int,
        device: str | torch.device = "cpu",
        place: Place = Place(),
    ) -> None:
        """template: as arrays. weights and place as for `Stream`."""
        super().__init__(sets, weights, Meshes(template.torch(), seed), place)
        self.device = torch.device(device)
        coarse = template.torch(device).on_nodes()
        self.nodes, self.regressor = torch.as_tensor(template.nodes, device=device).long(), coarse.regressor

    def next(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """`count` hands [count,V,3] in the palm frame (UNIT). The order is fixed: no generator is used."""
        return self.take(count)["vertices"].to(self.device)

    def next_nodes(self, count: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Nodes [count,N,3] and joints [count,21,3] of `count` hands."""
        nodes = self.next(count)[:, self.nodes]
        return nodes, self.regressor @ nodes


class DatasetPictures(Stream):
    """Crops of datasets and what a frozen trunk sees in them, given as `PictureCache` gives them."""

    def __init__(
        self,
        sets: Sequence[SampleSet],
        weights: Mapping[str, float] | None,
        template: HandTemplate,
        trunk: Trunk | None,
        seed: int,
        crops: CropSettings | None = None,
        device: str | torch.device = "cpu",
        place: Place = Place(),
    ) -> None:
        """template: as arrays. device: the trunk's. weights and place as for `Stream`.

        trunk None: batches hold pixels in place of patches, for a trunk that is trained, and landmarks that
        nobody looked for (presence 0).
        """
        super().__init__(sets, weights, Cuttings(template.torch(), seed, crops or CropSettings()), place)
        self.trunk, self.device = trunk, torch.device(device)

    @property
    def width(self) -> int:
        """F, features of a patch; 0 without a trunk."""
        return self.trunk.width if self.trunk else 0

    def batch(self, count: int, generator: torch.Generator | None = None) -> PictureBatch:
        """The next `count` pictures, on the device. The order is fixed: no generator is used."""
        taken = {name: tensor.to(self.device) for name, tensor in self.take(count).items()}
        pixels = taken.pop("pixels")
        if self.trunk is None:
            nothing = {
                "patches": pixels.new_zeros(count, 0, 0, dtype=torch.float16),
                "found2d": taken["joints2d"],
                "found3d": torch.zeros_like(taken["joints"]),
                "presence": torch.zeros_like(taken["scale"]),
            }
            return PictureBatch(**taken, **nothing, pixels=pixels)
        seen = [self._look(part) for part in pixels.split(READ if self.device.type == "cpu" else count)]
        return PictureBatch(**taken, **{name: torch.cat([part[name] for part in seen]) for name in seen[0]})

    def _look(self, pixels: Tensor) -> Tensors:
        assert self.trunk is not None
        patches, output = look(self.trunk, hand_network(str(self.device)), pixels.float() / 255)
        return {
            "patches": patches.half(),
            "found2d": output.landmarks[..., :2].contiguous(),
            "found3d": output.world,
            "presence": output.presence,
        }
