"""Training runs, stops, resumes to the step, and leaves weights that the engine takes."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from hhmr_engine.data.hands import StreamSettings
from hhmr_engine.engine import Engine, Request
from hhmr_engine.hand.template import load_template
from hhmr_engine.pictures import PictureSettings
from hhmr_engine.training.batches import Dice
from hhmr_engine.training.fill_pictures import PictureMaker, fill
from hhmr_engine.training.seeing import ViewSettings
from hhmr_engine.training.settings import OptimiserSettings, PathSettings
from hhmr_engine.training.train import Sources, Trainer, learning_rate, train
from hhmr_engine.vision.trunks import load_trunk
from tests.engine.small_network import SMALL
from tests.engine.training.run_settings import TINY

SEEN = replace(TINY, batch=6, path=PathSettings(steps=3, batch=9))
FIVE = {"data", "vertices", "joints", "normals", "edges"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Trainer, list[dict[str, Tensor]], Path]:
    """A whole run, its losses, and a folder of what it saved after 2 and 4 of 6 steps."""
    folder = tmp_path_factory.mktemp("run")
    trainer = Trainer(TINY)
    terms = []
    for step in range(trainer.steps):
        if step in (2, 4):
            (folder / str(step)).mkdir()
            trainer.save(folder / str(step))
        terms.append(trainer.step())
    return trainer, terms, folder


def test_every_loss_is_there_and_a_number(run: tuple[Trainer, list[dict[str, Tensor]], Path]) -> None:
    _, terms, _ = run
    assert [set(t) for t in terms] == [{"path"}] * 3 + [FIVE] * 3
    assert all(math.isfinite(value) and value > 0 for step in terms for value in step.values())


def test_both_phases_teach_their_part(run: tuple[Trainer, list[dict[str, Tensor]], Path]) -> None:
    """The first phase moves the global path alone, the second the whole network; the average follows."""
    trainer, _, folder = run
    fresh, early = Trainer(TINY), Trainer(TINY)
    early.resume(folder / "2")
    start = dict(fresh.network.named_parameters())
    for name, parameter in early.network.named_parameters():
        moved = not torch.equal(parameter, start[name])
        assert moved or not name.startswith(("path.first.", "path.layers.", "path.coefficients.")), name
        assert not moved or name.startswith(("path.", "time.")), name
    late = {
        n: p
        for n, p in trainer.network.named_parameters()
        if n.split(".")[0] in ("inputs", "out", "down", "up")
    }
    assert all(not torch.equal(p, start[n]) for n, p in late.items())
    average = dict(trainer.average.named_parameters())
    assert all(
        not torch.equal(average[n], start[n]) and not torch.equal(average[n], p) for n, p in late.items()
    )


@pytest.mark.parametrize("step", [2, 4])
def test_a_resumed_run_is_the_run_itself(
    run: tuple[Trainer, list[dict[str, Tensor]], Path], step: int
) -> None:
    """In the middle of either phase: the same losses to the last bit, and the same weights in the end."""
    whole, terms, folder = run
    torch.manual_seed(99)
    again = Trainer(TINY)
    again.resume(folder / str(step))
    assert again.done == step
    assert [again.step() for _ in range(6 - step)] == terms[step:]
    for name in ("network", "average"):
        ours, theirs = getattr(again, name).state_dict(), getattr(whole, name).state_dict()
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dozen pictures; their patches have 640 features."""
    folder = tmp_path_factory.mktemp("photos")
    few = PictureSettings(skins=1, backgrounds=2)
    maker = PictureMaker(load_template(), [], StreamSettings(), load_trunk("hand"), pictures=few)
    fill(folder, maker, 1, 12, 12)
    return folder


@pytest.mark.parametrize("kind", ["view", "picture"])
def test_hands_before_cameras_are_learnt_and_resumed(kind: str, photos: Path, tmp_path: Path) -> None:
    """2D skeletons, or photos with and without them: all losses are there, and a stopped run goes on."""
    network = replace(SMALL, image_features=640, dropout=0.1)
    views = ViewSettings(share=1.0, pictures=0.0 if kind == "view" else 1.0)
    settings = replace(SEEN, network=network, views=views)
    trainer = Trainer(settings, Sources(pictures=photos))
    trainer.step()
    trainer.save(tmp_path)
    terms = [trainer.step() for _ in range(5)]
    early = {kind, f"{kind}_turn"} | ({"guess"} if kind == "picture" else set())
    assert [set(t) for t in terms] == [early] * 2 + [{kind, f"{kind}_turn"}] * 3
    assert all(math.isfinite(value) for step in terms for value in step.values())
    again = Trainer(settings, Sources(pictures=photos))
    again.resume(tmp_path)
    assert [again.step() for _ in range(5)] == terms


def test_a_network_learns_a_hand_before_a_camera(tmp_path: Path) -> None:
    """Over 150 steps on one batch of views the loss falls."""
    settings = replace(
        TINY,
        path=PathSettings(steps=150, batch=60, rate=3e-3),
        optimiser=OptimiserSettings(warmup=5),
        views=ViewSettings(share=1.0),
    )
    trainer = Trainer(settings)
    dice, (batches,) = torch.Generator().manual_seed(0), trainer.batches.values()
    batches.hands.advance(20)
    kept = batches.views(20, Dice(dice, dice))
    batches.views = lambda size, dice: kept  # type: ignore[method-assign]
    losses = [float(trainer.step()["view"]) for _ in range(150)]
    assert sum(losses[-30:]) < 0.8 * sum(losses[:30])


def test_another_network_cannot_resume_it(run: tuple[Trainer, list[dict[str, Tensor]], Path]) -> None:
    _, _, folder = run
    with pytest.raises(ValueError, match="belongs to other network settings"):
        Trainer(replace(TINY, network=replace(SMALL, tokens=32))).resume(folder / "4")


def test_the_command_stops_resumes_and_hands_over(tmp_path: Path) -> None:
    settings = replace(TINY, steps=47)
    weights = train(settings, tmp_path, Sources(), stop_after=0.0)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["state.safetensors", "weights.safetensors"]
    train(settings, tmp_path, Sources(), go_on=True)
    (line,) = [json.loads(row) for row in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert line["step"] == 50 and FIVE | {"path"} | {"step"} == set(line)
    found = Engine(weights=weights, threads=1).run(Request("generate", count=2, steps=2))
    assert found.vertices.shape == (2, 1609, 3)


def test_the_learning_rate_rises_falls_and_ends_low() -> None:
    o = OptimiserSettings(rate=1e-3, last_rate=1e-5, warmup=10)
    rates = [learning_rate(o, step, 100) for step in range(101)]
    assert (
        rates[0] == pytest.approx(1e-4)
        and rates[9] == pytest.approx(1e-3)
        and max(rates) == rates[10] == 1e-3
    )
    assert all(a < b for a, b in zip(rates[:9], rates[1:10])) and all(
        a > b for a, b in zip(rates[10:], rates[11:])
    )
    assert rates[55] == pytest.approx((1e-3 + 1e-5) / 2) and rates[100] == pytest.approx(1e-5)
    assert learning_rate(o, 500, 100) == pytest.approx(1e-5)
    assert math.isfinite(learning_rate(replace(o, warmup=100), 100, 100))
