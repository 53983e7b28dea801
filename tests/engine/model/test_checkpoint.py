"""Weight files: written, read back, and every way in which one can be wrong gets a sentence."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from hhmr_engine.hand.template import HandTemplate, load_template
from hhmr_engine.model.checkpoint import load_network, save_network
from hhmr_engine.model.conditions import Conditions
from hhmr_engine.observation import node_prior
from tests.engine.small_network import SMALL, small_network


@pytest.fixture(scope="module")
def template() -> HandTemplate:
    return load_template()


@pytest.fixture
def path(template: HandTemplate, tmp_path: Path) -> Path:
    save_network(tmp_path / "w.safetensors", small_network(), template, shift=2.5, steps="7")
    return tmp_path / "w.safetensors"


def _load(path: Path, template: HandTemplate) -> object:
    return load_network(path, template, node_prior(template.torch()))


def _parts(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    with safe_open(path, "pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, file.metadata()


def test_read_back_it_is_the_same_network(path: Path, template: HandTemplate) -> None:
    network, schedule = load_network(path, template, node_prior(template.torch()))
    assert network.settings == SMALL and schedule.shift == 2.5
    x = torch.randn(2, 624, generator=torch.Generator().manual_seed(0))
    one, other = (
        n(x, torch.tensor(0.4), n.encode(Conditions(), 1), n.prior.nothing())
        for n in (network, small_network())
    )
    torch.testing.assert_close(one, other, atol=2e-3, rtol=0)  # 16 bits
    assert not any(p.requires_grad for p in network.parameters()) and not network.training


def test_the_file_says_what_it_is(path: Path, tmp_path: Path) -> None:
    tensors, metadata = _parts(path)
    assert all(t.dtype == torch.float16 for t in tensors.values())
    assert metadata["steps"] == "7" and metadata["template"] == "anny"
    assert json.loads(metadata["network"])["sizes"] == [208, 26]
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_a_truncated_file(path: Path, template: HandTemplate, share: float) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ValueError, match=r"^w\.safetensors is damaged or no safetensors file"):
        _load(path, template)


def test_something_else_altogether(path: Path, template: HandTemplate) -> None:
    path.write_bytes(b"\x89PNG" * 1000)
    with pytest.raises(ValueError, match="damaged or no safetensors"):
        _load(path, template)
    save_file({"a": torch.zeros(2)}, path)
    with pytest.raises(ValueError, match="holds no HHMR weights"):
        _load(path, template)


def test_a_missing_file_and_a_folder(template: HandTemplate, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        _load(tmp_path / "nothing.safetensors", template)
    with pytest.raises(ValueError, match="damaged or no safetensors"):
        _load(tmp_path, template)


def test_weights_of_another_hand(path: Path, template: HandTemplate) -> None:
    for other in (
        replace(template, faces=template.faces[::-1].copy()),
        replace(template, nodes=template.nodes[::-1].copy()),
        replace(template, basis_variance=template.basis_variance * 2),
    ):
        with pytest.raises(ValueError, match="another hand topology"):
            _load(path, other)


def test_numbers_that_are_none(template: HandTemplate, path: Path) -> None:
    tensors, metadata = _parts(path)
    next(iter(tensors.values())).view(-1)[0] = torch.nan
    save_file(tensors, path, metadata)
    with pytest.raises(ValueError, match="not finite"):
        _load(path, template)


@pytest.mark.parametrize(
    "change",
    [{"widths": [16, 64]}, {"from_a_newer_version": 3}, {"sizes": [208]}, {"sizes": "many"}],
    ids=["another width", "a setting unknown here", "a level less", "nonsense"],
)
def test_tensors_that_do_not_fit_their_description(
    template: HandTemplate, path: Path, change: dict[str, object]
) -> None:
    tensors, metadata = _parts(path)
    metadata["network"] = json.dumps(json.loads(metadata["network"]) | change)
    save_file(tensors, path, metadata)
    with pytest.raises(ValueError, match="does not fit the network it describes"):
        _load(path, template)
