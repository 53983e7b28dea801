"""The paper's recipe on miniature datasets of a made-up hand: nothing is changed but the size of things."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import hhmr_engine.training as training
from hhmr_engine.data.import_hand import import_mano
from hhmr_engine.hand.build import at_resolution
from hhmr_engine.hand.template import load_template
from hhmr_engine.model.conditions import Conditions
from hhmr_engine.model.graph_unet import GraphDenoiser
from hhmr_engine.observation import node_prior
from hhmr_engine.training.settings import TrainSettings, load_settings
from hhmr_engine.training.state import notes
from hhmr_engine.training.train import Sources, Trainer, train
from hhmr_engine.vision.resnet import ResNet50, load_resnet50
from tests.engine.datasets.miniature import FOLDERS, write_mano_file, write_miniature

FIVE = {"data", "vertices", "joints", "normals", "edges"}
NAMES = ("freihand", "twohand")  # pictures with meshes, and poses alone


@pytest.fixture(scope="module")
def recipe() -> TrainSettings:
    return load_settings(Path(training.__path__[0]) / "paper.toml")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    """Two datasets, MANO, and a ResNet-50 that has seen nothing."""
    folder = tmp_path_factory.mktemp("paper")
    write_mano_file(folder)
    for name in NAMES:
        write_miniature(name, folder / FOLDERS[name], count=6)
    torch.manual_seed(0)
    save_file(ResNet50().state_dict(), folder / "resnet50.safetensors")
    return Sources(data=folder, trunk=folder / "resnet50.safetensors")


@pytest.fixture(scope="module")
def hand(sources: Sources) -> Path:
    assert sources.data is not None
    path = sources.data / "hand.npz"
    import_mano(sources.data / "mano" / "MANO_RIGHT.pkl", None).save(path)
    return path


@pytest.fixture(scope="module")
def settings(recipe: TrainSettings, hand: Path) -> TrainSettings:
    """The recipe with a tenth of the channels, small batches, and the made-up hand's number of vertices."""
    count = len(load_template(hand).vertices)
    network = replace(recipe.network, sizes=(count, count // 4), widths=(16, 32), tokens=16, head=16)
    return replace(
        recipe,
        steps=6,
        batch=4,
        network=network,
        datasets=dict.fromkeys(NAMES, 1.0),
        machine=replace(recipe.machine, loaders=0),
    )


def test_the_recipe_is_the_papers(recipe: TrainSettings) -> None:
    assert (recipe.batch, recipe.steps, recipe.path.steps) == (64, 1_000_000, 0)
    assert set(recipe.datasets) == {"freihand", "ho3d", "comphand", "interhand", "twohand"}
    assert recipe.trunk.name == "resnet50" and recipe.network.image_features == 2048
    n, losses = recipe.network, recipe.losses
    assert n.sizes[0] == 778 and not (n.gaussian or n.anchors or n.path)
    assert losses.data_norm == "l1" and losses.everywhere and losses.unit == "one"
    assert all(getattr(losses, name) > 0 for name in FIVE)


@pytest.mark.slow
def test_every_condition_is_learnt_from_with_all_five_losses(
    settings: TrainSettings, sources: Sources, hand: Path, tmp_path: Path
) -> None:
    trainer = Trainer(settings, sources, template=hand)
    before = {name: p.clone() for name, p in trainer.learnt["trunk"].named_parameters()}
    for kind, more in (("joints", set()), ("view", {"view_turn"}), ("picture", {"picture_turn"})):
        trainer._kind = lambda kind=kind: kind  # type: ignore[method-assign]
        terms = trainer.step()
        assert set(terms) == FIVE | more
        assert all(math.isfinite(float(value)) and value > 0 for value in terms.values())
    assert trainer.hands == {"joints": 4, "view": 4, "picture": 4}
    after = dict(trainer.learnt["trunk"].named_parameters())
    assert not torch.equal(before["conv1.weight"], after["conv1.weight"])
    trainer.save(tmp_path)
    steps = [trainer.step() for _ in range(2)]
    again = Trainer(settings, sources, template=hand)
    again._kind = trainer._kind  # type: ignore[method-assign]
    again.resume(tmp_path)
    for one, other in zip(
        [again.step() for _ in range(2)], steps
    ):  # convolutions round as memory happens to lie
        assert all(abs(float(one[key] - other[key])) < 2e-3 for key in one)
    assert load_resnet50(tmp_path / "trunk.safetensors").layer4 is not None


@pytest.mark.slow
def test_it_learns_in_slices_of_time_and_notes_how_well(
    settings: TrainSettings, sources: Sources, hand: Path, tmp_path: Path
) -> None:
    """A frozen trunk, two slices, a stop after a step, and on to the end."""
    frozen = replace(
        settings,
        trunk=replace(settings.trunk, train=False),
        machine=replace(settings.machine, slices=2),
    )
    train(frozen, tmp_path, sources, stop_after=0.0, template=hand)
    train(frozen, tmp_path, sources, go_on=True, template=hand)
    state = load_file(tmp_path / "state.safetensors")
    assert not any(key.startswith("trunk/") for key in state)
    assert sum(notes(tmp_path)["hands"].values()) == 6 * 4


def test_the_bare_network_sees_the_rotation_and_answers_with_one(hand: Path, settings: TrainSettings) -> None:
    template = at_resolution(load_template(hand), settings.network.sizes).torch()
    torch.manual_seed(0)
    network = GraphDenoiser(template, node_prior(template), settings.network).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            if not parameter.any():  # layers that start at zero get a say
                parameter.normal_(0, 0.05)
        x = torch.randn(2, 3 * settings.network.sizes[0] + 3)
        level = torch.tensor([0.3, 0.6])
        encoded, nothing = network.encode(Conditions(), 2), network.turned.nothing()
        one = network(x, level, encoded, nothing)
        x[:, -1] += 1
        other = network(x, level, encoded, nothing)
    assert one.shape == x.shape and (one[:, -3:] - other[:, -3:]).abs().max() > 1e-4
    alone = network(x[:, :-3], level, encoded, network.prior.nothing())
    assert alone.shape[1] == x.shape[1] - 3
