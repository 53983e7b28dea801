"""What a run does with the machine: numbers of 16 bits, compiled parts, processes, one or many of them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from ..data.pose_chunks import Ahead, Chunk, PoseChunks
from ..model.chebyshev import ChebyshevConvolution
from ..model.graph_unet import GraphDenoiser

MIXED = ("auto", "bf16", "fp32")
COMPILE = ("auto", "always", "never")
WAIT = timedelta(hours=2)  # for a first process that retargets recordings or compiles

T = TypeVar("T")


@dataclass(frozen=True)
class MachineSettings:
    """How the work is done. Only `slices` is part of the result."""

    slices: int = 1  # parts of every batch, each with random numbers of its own; shared out among processes
    mixed: str = "auto"  # "bf16" or "fp32"; auto: bf16 on CUDA
    compile: str = "auto"  # "always" or "never"; auto: on CUDA
    workers: int = -1  # processes that make poses in the background; -1: four on CUDA, none on a CPU
    loaders: int = 2  # processes that read datasets, for each slice

    def __post_init__(self) -> None:
        if self.slices < 1:
            raise ValueError(f"machine.slices must be at least 1, not {self.slices}.")
        for name, value, known in (("mixed", self.mixed, MIXED), ("compile", self.compile, COMPILE)):
            if value not in known:
                raise ValueError(f"machine.{name} is '{value}'; use {', '.join(known)}.")


@dataclass(frozen=True)
class Group:
    """The processes that train one network together; alone, nothing is sent to anybody."""

    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def own(self, slices: int) -> range:
        """The numbers of the slices that are this process's."""
        return range(self.rank, slices, self.world)

    def add_up(self, tensors: list[Tensor]) -> None:
        """Every tensor becomes its sum over all processes, in place; all of them are sent at once."""
        if self.world == 1:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        dist.all_reduce(flat)
        parts = flat.split([tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts):
            tensor.copy_(part.view_as(tensor))

    def told(self, value: T, by: int = 0) -> T:
        """The value that process `by` has; asked for by all of them at once."""
        if self.world == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=by)
        return box[0]

    def wait(self) -> None:
        if self.world > 1:
            dist.barrier()


def join(device: str) -> tuple[Group, str]:
    """The group that `torchrun` has started this process in, and its own device of that kind."""
    world = int(os.environ.get("WORLD_SIZE", 1))
    if world == 1:
        return Group(), device
    own = torch.device(device)
    if own.type == "cuda" and own.index is None:
        own = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
        torch.cuda.set_device(own)
    if not dist.is_initialized():
        dist.init_process_group("cpu:gloo,cuda:nccl" if own.type == "cuda" else "gloo", timeout=WAIT)
    return Group(dist.get_rank(), world), str(own)


def prepare(network: GraphDenoiser, settings: MachineSettings, device: torch.device) -> None:
    """Make the network's own parts fast on `device`; the Gaussian part stays as it is, in 32 bits."""
    cuda = device.type == "cuda"
    if settings.mixed == "bf16" or (settings.mixed == "auto" and cuda):
        network.precision = torch.bfloat16
    if cuda:
        for module in network.modules():
            if isinstance(module, ChebyshevConvolution):
                module.laplacian = module.laplacian.to_dense()
    if settings.compile == "always" or (settings.compile == "auto" and cuda):
        network.compile_parts()


class SharedChunks:
    """Chunks of poses, each made by one process of a group and told to the others."""

    def __init__(
        self, chunks: PoseChunks, group: Group, settings: MachineSettings, device: torch.device
    ) -> None:
        self.group, workers = group, settings.workers
        if workers < 0:
            workers = 4 if device.type == "cuda" else 0
        self.make = Ahead(chunks, workers, group.world) if workers else chunks

    def __call__(self, number: int) -> Chunk:
        """Called by all processes at once, with the same numbers."""
        by = number % self.group.world
        mine = self.make(number) if by == self.group.rank else None
        chunk = self.group.told(mine, by)
        assert chunk is not None
        return chunk
