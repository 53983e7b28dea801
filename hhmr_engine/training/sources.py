"""Where a run's hands and pictures come from: recordings and the sampler, kept pictures, or datasets."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import torch

from ..data.hands import HandStream
from ..data.picture_cache import PictureCache
from ..data.retarget import Retargeted, load_poses
from ..data.user_poses import load_user_poses
from ..datasets.catalogue import find_mano
from ..datasets.stream import DatasetHands, DatasetPictures, Place, open_sets
from ..hand.template import HandTemplate
from ..vision.trunks import load_trunk
from .batches import Hands, Photos, Position
from .machine import Group, SharedChunks
from .settings import TrainSettings


@dataclass(frozen=True)
class Sources:
    """What a run learns from. All of it may be absent: then poses are sampled.

    data: the folder of recorded poses, unless the settings say recordings = false; where they name datasets,
    a folder of those or of shards made of them. poses: files of hhmr import-poses. pictures: a folder that
    fill_pictures has filled. trunk: a ResNet-50's file.
    """

    data: Path | None = None
    poses: tuple[Path, ...] = ()
    pictures: Path | None = None
    trunk: Path | None = None


@dataclass(frozen=True)
class Streams:
    """Of every slice of this process; `positions`: those that a run has to go on with, by name."""

    hands: dict[int, Hands]
    photos: dict[int, Photos]
    positions: dict[str, list[Position]] = field(default_factory=dict)


def open_streams(
    sources: Sources, settings: TrainSettings, template: HandTemplate, device: torch.device, group: Group
) -> Streams:
    """template: as arrays. ValueError, one sentence: something is missing or does not fit."""
    own = group.own(settings.machine.slices)
    if settings.datasets:
        return _datasets(sources, settings, template, device, own)
    stream = HandStream(
        template,
        recordings_of(sources, settings, template, group),
        settings.stream,
        settings.seed,
        device,
        lambda chunks: SharedChunks(chunks, group, settings.machine, device),
    )
    photos = PictureCache(sources.pictures) if sources.pictures else None
    if photos is not None and photos.width != settings.network.image_features:
        text = f"The pictures in {sources.pictures} have {photos.width} features a patch"
        raise ValueError(f"{text}: set network.image_features to that.")
    pictures: dict[int, Photos] = {} if photos is None else dict.fromkeys(own, photos)
    return Streams(dict.fromkeys(own, stream), pictures, {"poses": [stream]})


def recordings_of(
    sources: Sources, settings: TrainSettings, template: HandTemplate, group: Group
) -> list[Retargeted]:
    """On our hand. The first process makes what the others then find ready."""
    if not group.first:
        group.wait()
    recordings: list[Retargeted] = []
    if sources.data and settings.recordings:
        recordings += load_poses(template, sources.data, data_cache(template.name))
    if sources.poses:
        theirs = load_user_poses(template, sources.poses, data_cache(template.name).parent)
        if same := {r.name for r in recordings} & {r.name for r in theirs}:
            raise ValueError(f"There is a source named {min(same)} already: import it under another --name.")
        recordings += theirs
    if group.first:
        group.wait()
    return recordings


def _datasets(
    sources: Sources, settings: TrainSettings, template: HandTemplate, device: torch.device, own: range
) -> Streams:
    """A stream of each kind for every slice: which samples are whose follows from the number of slices."""
    if sources.data is None:
        raise ValueError("The settings name datasets: give the folder that holds them as --data.")
    s, slices = settings, settings.machine.slices
    sets = open_sets([sources.data], mano=find_mano(sources.data))
    workers = s.machine.loaders
    places = {n: Place(n, slices, workers) for n in own}
    hands = {
        n: DatasetHands(sets, s.datasets, template, s.seed, device, place) for n, place in places.items()
    }
    positions: dict[str, list[Position]] = {"hands": list(hands.values())}
    if not s.views.pictures:
        return Streams(dict(hands), {}, positions)
    trunk = None if s.trunk.train else load_trunk(s.trunk.name, sources.trunk, str(device))
    photos = {
        n: DatasetPictures(sets, s.datasets, template, trunk, s.seed, None, device, place)
        for n, place in places.items()
    }
    positions["pictures"] = list(photos.values())
    return Streams(dict(hands), dict(photos), positions)


def data_cache(hand: str = "anny") -> Path:
    """Where recordings, retargeted to this hand, are kept between runs."""
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or str(Path.home() / ".cache")
    folder = Path(base) / "hhmr"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"retargeted_{hand}.npz"
