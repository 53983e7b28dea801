"""Patches lie where the picture's do, the hand's come with its landmarks, and ResNet-50 is the usual one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from hhmr_engine.vision.crop import cut, whole
from hhmr_engine.vision.landmarks import measure
from hhmr_engine.vision.networks import HAND_SIDE, hand_network
from hhmr_engine.vision.photo import Photo
from hhmr_engine.vision.resnet import DEVIATION, MEAN, ResNet50, load_resnet50
from hhmr_engine.vision.trunks import TRUNKS, hand_patches, load_trunk


@pytest.fixture(scope="module")
def crop() -> Tensor:
    """Grey noise with one bright square, [1,3,224,224]."""
    picture = torch.rand(1, 3, HAND_SIDE, HAND_SIDE, generator=torch.Generator().manual_seed(0)) * 0.2 + 0.3
    picture[..., 100:130, 40:60] = 1
    return picture


@pytest.fixture(scope="module")
def random_resnet() -> dict[str, Tensor]:
    """A state dict with batch statistics that are not the identity."""
    torch.manual_seed(1)
    state = ResNet50().state_dict()
    for name, value in state.items():
        if name.endswith("running_mean") or ("bn" in name and name.endswith("bias")):
            value.normal_(0, 0.1)
        if name.endswith("running_var") or ("bn" in name and name.endswith("weight")):
            value.uniform_(0.5, 1.5)
    return state


def test_the_hands_trunk_runs_no_more_than_it_needs(crop: Tensor) -> None:
    output = hand_network()(crop, features=True)
    assert output.map14 is not None and output.map7 is not None
    trunk = load_trunk("hand")
    patches = trunk.features(crop)
    assert patches.shape == (1, 49, trunk.width) == (1, 49, 640)
    assert not patches.requires_grad and not patches.is_inference()
    assert torch.equal(patches, hand_patches(output.map14, output.map7))


def test_a_found_hand_has_them_already(photos: list[Photo]) -> None:
    photo = photos[0]
    hand = measure(photo, [whole(photo)])[0]
    expected = load_trunk("hand").features(cut(photo, [hand.crop], HAND_SIDE, "border"))
    assert torch.allclose(hand_patches(hand.map14[None], hand.map7[None]), expected, atol=1e-3)


def test_a_cell_of_both_maps_is_one_patch() -> None:
    """Row 3, column 1 of the 7x7 map, and rows 6, 7 and columns 2, 3 of the 14x14 one."""
    map7, map14 = torch.zeros(1, 192, 7, 7), torch.zeros(1, 112, 14, 14)
    map7[0, :, 3, 1] = 1
    map14[0, :, 6:8, 2:4] = 1
    patches = hand_patches(map14, map7)
    assert (patches[0, 3 * 7 + 1] == 1).all()
    assert patches.sum() == 640


def test_features_are_fit_for_sixteen_bits(photos: list[Photo]) -> None:
    """They are kept so for training: no number is too big for it, or so small that it is lost."""
    patches = load_trunk("hand").features(cut(photos[3], [whole(photos[3])], HAND_SIDE, "border"))
    assert patches.abs().max() < 1000
    assert (patches.half().float() - patches).abs().max() < 0.02
    assert 0.5 < patches.std() < 10


def test_resnet_is_the_usual_one() -> None:
    network = ResNet50()
    assert sum(p.numel() for p in network.parameters()) == 25_557_032
    names = [name for name in network.state_dict() if not name.endswith("num_batches_tracked")]
    assert len(names) == 267
    assert {"bn1.running_var", "layer1.0.downsample.1.weight", "layer4.2.conv3.weight", "fc.bias"} <= set(
        names
    )
    strides = {name: m.stride for name, m in network.named_modules() if isinstance(m, torch.nn.Conv2d)}
    halving = sorted(name for name, stride in strides.items() if stride == (2, 2))
    inside = [f"layer{i}.0.{part}" for i in (2, 3, 4) for part in ("conv2", "downsample.0")]
    assert halving == ["conv1", *inside]


def test_resnet_computes_what_its_paper_says(random_resnet: dict[str, Tensor], crop: Tensor) -> None:
    """Against the same written down by names: 7x7, pool, 3 + 4 + 6 + 3 bottlenecks."""
    w = random_resnet

    def convolution(x: Tensor, conv: str, bn: str, stride: int = 1) -> Tensor:
        kernel = w[f"{conv}.weight"]
        x = F.conv2d(x, kernel, stride=stride, padding=kernel.shape[-1] // 2)
        mean, variance, scale, shift = (
            w[f"{bn}.{part}"][:, None, None] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (variance + 1e-5).sqrt() * scale + shift

    x = (crop - torch.tensor(MEAN)[:, None, None]) / torch.tensor(DEVIATION)[:, None, None]
    x = F.max_pool2d(convolution(x, "conv1", "bn1", 2).relu(), 3, 2, 1)
    for layer, count in ((1, 3), (2, 4), (3, 6), (4, 3)):
        for i in range(count):
            block, stride = f"layer{layer}.{i}", 2 if layer > 1 and i == 0 else 1
            y = convolution(x, f"{block}.conv1", f"{block}.bn1").relu()
            y = convolution(y, f"{block}.conv2", f"{block}.bn2", stride).relu()
            y = convolution(y, f"{block}.conv3", f"{block}.bn3")
            if i == 0:
                x = convolution(x, f"{block}.downsample.0", f"{block}.downsample.1", stride)
            x = (x + y).relu()
    network = ResNet50().eval()
    network.load_state_dict(w)
    with torch.no_grad():
        found = network(crop)
    assert found.shape == (1, 2048, 7, 7)
    assert found.std() > 0.01
    assert torch.allclose(found, x, atol=1e-3 * x.abs().max().item())


@pytest.mark.parametrize("form", ["safetensors", "pth", "old", "checkpoint"])
def test_resnet_reads_the_usual_files(
    form: str, random_resnet: dict[str, Tensor], crop: Tensor, tmp_path: Path
) -> None:
    path = tmp_path / f"resnet50.{'safetensors' if form == 'safetensors' else 'pth'}"
    state = dict(random_resnet)
    if form == "safetensors":  # halves, without the classifier
        save_file({k: v.half() for k, v in state.items() if not k.startswith("fc.")}, path)
    elif form == "old":
        torch.save({k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}, path)
    elif form == "checkpoint":  # of a training on several devices, with other classes
        named = {f"module.{k}": v for k, v in state.items()} | {"module.fc.weight": torch.zeros(10, 2048)}
        torch.save({"epoch": 3, "state_dict": named}, path)
    else:
        torch.save(state, path)
    trunk = load_trunk("resnet50", path)
    network = ResNet50().eval()
    network.load_state_dict(state)
    with torch.no_grad():
        expected = network(crop)
    patches = trunk.features(crop)
    assert patches.shape == (1, 49, trunk.width) == (1, 49, 2048)
    difference = patches.view(7, 7, 2048).permute(2, 0, 1) - expected[0]
    assert difference.abs().max() < 0.01 * expected.abs().max()


def test_what_is_no_resnet_gets_one_sentence(random_resnet: dict[str, Tensor], tmp_path: Path) -> None:
    deeper = random_resnet | {"layer3.6.conv1.weight": torch.zeros(256, 1024, 1, 1)}
    smaller = {k: v for k, v in random_resnet.items() if "conv3" not in k}
    wider = random_resnet | {"layer1.0.conv2.weight": torch.zeros(128, 128, 3, 3)}
    for state, key in (
        (deeper, "layer3.6.conv1.weight"),
        (smaller, "layer1.0.conv3.weight"),
        (wider, "layer1.0.conv2.weight"),
    ):
        torch.save(state, tmp_path / "other.pth")
        with pytest.raises(ValueError, match=f"not of a ResNet-50 .{key} does not fit"):
            load_resnet50(tmp_path / "other.pth")


def test_a_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="There is no file"):
        load_trunk("resnet50", tmp_path / "absent.pth")
    for name in ("text.pth", "text.safetensors"):
        (tmp_path / name).write_text("Not Found")
        with pytest.raises(ValueError, match=f"{name} can't be read as weights"):
            load_trunk("resnet50", tmp_path / name)
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(ValueError, match="holds no table of weights"):
        load_trunk("resnet50", tmp_path / "list.pt")
    torch.save(torch.nn.Linear(2, 2), tmp_path / "whole.pt")  # code in a pickle is never run
    with pytest.raises(ValueError, match="whole.pt can't be read as weights"):
        load_trunk("resnet50", tmp_path / "whole.pt")


def test_a_trunk_needs_a_name_and_weights() -> None:
    assert TRUNKS[0] == "hand"
    with pytest.raises(ValueError, match="needs its weights"):
        load_trunk("resnet50")
    with pytest.raises(ValueError, match="There is no trunk 'vgg': choose hand or resnet50"):
        load_trunk("vgg")
