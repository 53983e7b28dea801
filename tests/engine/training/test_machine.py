"""Sixteen bits and compiled parts change rounding alone; processes share slices evenly."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from hhmr_engine.hand.template import load_template
from hhmr_engine.model.conditions import Conditions
from hhmr_engine.observation import node_prior
from hhmr_engine.training.machine import Group, MachineSettings, prepare
from hhmr_engine.training.train import Trainer
from tests.engine.small_network import small_network
from tests.engine.training.run_settings import SLICED, TINY


def test_a_cpu_works_in_32_bits_uncompiled() -> None:
    network = small_network()
    prepare(network, MachineSettings(), torch.device("cpu"))
    assert network.precision is None and "_unet" not in vars(network)


@pytest.mark.parametrize("done", [0, 3], ids=["path", "whole"])
def test_sixteen_bits_learn_the_same(done: int) -> None:
    """A step's losses within a few hundredths, and weights that stay of 32 bits."""
    found = []
    for mixed in ("fp32", "bf16"):
        trainer = Trainer(replace(TINY, batch=16, machine=MachineSettings(mixed=mixed)))
        trainer.done = done
        trainer.step()
        found.append({key: float(value) for key, value in trainer.step().items()})
        assert {p.dtype for p in trainer.network.parameters()} == {torch.float32}
    one, other = found
    assert all(abs(one[key] - other[key]) < 0.03 * abs(one[key]) + 1e-3 for key in one)
    assert one != other


@pytest.mark.slow
def test_compiled_parts_say_the_same() -> None:
    """The first step, forward and backward, of a network that is traced as for any compiler."""
    found = []
    for compiled in (False, True):
        trainer = Trainer(TINY)
        trainer.done = 3
        if compiled:
            trainer.network.compile_parts("aot_eager")
        found.append({key: float(value) for key, value in trainer.step().items()})
        assert set(trainer.network.state_dict()) == set(trainer.average.state_dict())
    assert all(found[0][key] == pytest.approx(found[1][key], rel=1e-3) for key in found[0])


def test_slices_make_the_batch_whoever_makes_them() -> None:
    assert [list(Group(rank, 2).own(4)) for rank in (0, 1)] == [[0, 2], [1, 3]]
    with pytest.raises(ValueError, match="4, which 3 processes can't share evenly"):
        Trainer(SLICED, group=Group(0, 3))


def test_samples_are_counted_by_kind() -> None:
    trainer = Trainer(SLICED)
    for kind in ("joints", "view", "joints"):
        trainer._kind = lambda kind=kind: kind  # type: ignore[method-assign]
        trainer.step()
    draws = SLICED.views.draws
    assert trainer.hands == {"joints": 2 * 24, "view": 24 // draws // 4 * 4}
    assert trainer.draws == {"joints": 2 * 24, "view": 24 // draws // 4 * 4 * draws}


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ({"slices": 0}, "machine.slices must be at least 1"),
        ({"mixed": "int4"}, "machine.mixed is 'int4'; use auto, bf16, fp32"),
        ({"compile": "yes"}, "machine.compile is 'yes'; use auto, always, never"),
    ],
)
def test_what_no_machine_has_is_refused(setting: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        MachineSettings(**setting)  # type: ignore[arg-type]


def test_the_gaussian_part_stays_of_32_bits() -> None:
    """Where conditions fix the hand, sixteen bits would lose it."""
    tensors = load_template().torch()
    prior, network = node_prior(tensors), small_network(tensors)
    network.precision = torch.bfloat16
    x = prior.expand(torch.randn(2, prior.rank, generator=torch.Generator().manual_seed(0)))
    level = torch.full((2,), 1 - 1e-5)
    factor = prior.factor(level, prior.nothing())
    token = network.token(Conditions(), torch.zeros(2, network.settings.tokens))
    base, _, _ = network.glance(x, level, token, prior.nothing(), factor)
    assert (base - x).abs().max() < 1e-2 and base.dtype == torch.float32
