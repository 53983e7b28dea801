"""Batches and losses on a device: nothing of them lies elsewhere, and nothing waits for it.

torch's meta device stands in for a GPU: its tensors have shapes, but no numbers that anybody could ask for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from hhmr_engine.data.hands import HandStream, StreamSettings
from hhmr_engine.data.picture_cache import PictureBatch
from hhmr_engine.hand.template import load_template
from hhmr_engine.model.graph_unet import TURN, TURN_DEVIATION, GraphDenoiser
from hhmr_engine.observation import node_prior
from hhmr_engine.training.batches import Batches, Dice
from hhmr_engine.training.losses import Losses
from hhmr_engine.training.masking import Masker
from hhmr_engine.training.objective import Objective
from hhmr_engine.training.seeing import Viewer
from hhmr_engine.view import JointCamera
from tests.engine.training.run_settings import TINY
from tests.engine.training.test_stream import recording

SIZE = 6
DEVICE = torch.device("meta")
MOVES = ("aten::_to_copy", "aten::copy_", "aten::index", "aten::lift_fresh")  # an index may lie on the CPU


class OneDevice(TorchDispatchMode):
    """Refuses to compute with tensors of two devices."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        tensors = [v for v in tree_leaves((args, kwargs)) if isinstance(v, Tensor) and v.dim()]
        if not func._schema.name.startswith(MOVES):
            assert len({tensor.device for tensor in tensors}) <= 1, func
        return func(*args, **(kwargs or {}))


class FakePhotos:
    """Pictures in the computer's memory."""

    def batch(self, count: int, generator: torch.Generator) -> PictureBatch:
        def drawn(*shape: int) -> Tensor:
            return torch.rand(count, *shape, generator=generator)

        return PictureBatch(
            patches=drawn(49, TINY.network.image_features).half(),
            nodes=drawn(208, 3),
            joints=drawn(21, 3),
            scale=drawn(),
            rotation=drawn(3, 3),
            translation=drawn(3),
            focal=drawn(),
            centre=drawn(2),
            joints2d=drawn(21, 2),
            visible=drawn(21) > 0.5,
            found2d=drawn(21, 2),
            found3d=drawn(21, 3),
            presence=drawn(),
        )


class DeviceDice:
    """What a generator on the device says of itself."""

    device = DEVICE


@pytest.fixture
def random_numbers_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random numbers of a generator that is not really on the fake device."""

    def drawn(real: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def draw(*arguments: Any, generator: Any = None, **options: Any) -> Tensor:
            if not isinstance(generator, DeviceDice):
                return real(*arguments, generator=generator, **options)
            assert torch.device(options.get("device", "cpu")) == DEVICE
            return real(*arguments, **options)

        return draw

    for name in ("rand", "randn", "randint"):
        monkeypatch.setattr(torch, name, drawn(getattr(torch, name)))
    multinomial = torch.multinomial
    monkeypatch.setattr(
        torch, "multinomial", lambda *a, generator=None, **options: multinomial(*a, **options)
    )


@pytest.mark.parametrize("kind", ["joints", "meshes", "view", "picture"])
def test_a_step_stays_on_its_device(kind: str, random_numbers_there: None) -> None:
    settings = replace(TINY, losses=replace(TINY.losses, everywhere=kind == "view"))
    template = load_template()
    network = GraphDenoiser(template.torch(), node_prior(template.torch()), settings.network)
    stream = HandStream(template, [recording("long", 60)], StreamSettings(), 1)
    stream.advance(1)
    hand, network = template.torch(DEVICE), network.to(DEVICE)
    prior = node_prior(hand)
    network.prior, network.turned = prior, prior.widened(TURN_DEVIATION, TURN)
    camera = JointCamera(template.torch(), node_prior(template.torch()).widened(TURN_DEVIATION, TURN))
    losses = Losses(template.torch(), settings.losses)
    for made_here in (stream, camera, losses):
        for name, value in vars(made_here).items():
            setattr(made_here, name, value.to(DEVICE) if isinstance(value, Tensor) else value)
    camera.prior, losses.template = network.turned, hand
    stream.tensors, stream.coarse, stream.device = hand, hand.on_nodes(), DEVICE
    with OneDevice():
        masker = Masker(hand, prior, settings.masks)
        batches = Batches(stream, masker, Viewer(camera, settings.views), FakePhotos(), lambda pixels: pixels)
        objective = Objective(network, losses, settings)
        dice = Dice(DeviceDice(), torch.Generator())  # type: ignore[arg-type]
        match kind:
            case "joints" | "meshes":
                batch = batches.joints(SIZE, dice, meshes=kind == "meshes")
            case "view":
                batch = batches.views(SIZE, dice)
            case _:
                batch = batches.pictures(SIZE, dice)
        assert len(batch.x0) == SIZE and batch.x0.device == DEVICE
        name = "joints" if kind == "meshes" else kind
        terms = {} if kind == "meshes" else objective.glance(name, batch, 2, dice.device)
        if kind != "joints":
            terms |= objective.whole(name, batch, dice.device)
        assert {term.device for term in terms.values()} == {DEVICE}
        torch.stack(list(terms.values())).sum().backward()
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        assert len(gradients) > 20 and {g.device for g in gradients} == {DEVICE}
