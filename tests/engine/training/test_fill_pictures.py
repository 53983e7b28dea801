"""Pictures for training: the truth fits the pixels, a stopped run goes on, batches are what was made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from hhmr_engine.data.hands import StreamSettings
from hhmr_engine.data.picture_cache import FIELDS, PictureBatch, PictureCache
from hhmr_engine.hand.template import UNIT, HandTemplate, load_template
from hhmr_engine.model.checkpoint import template_hash
from hhmr_engine.pictures import PictureSettings
from hhmr_engine.training import fill_pictures
from hhmr_engine.training.fill_pictures import PictureMaker, fill, main
from hhmr_engine.vision.trunks import load_trunk

SIZE = 6
FEW = PictureSettings(skins=1, backgrounds=2)  # people and places take a tenth of a second each


@pytest.fixture(scope="module")
def template() -> HandTemplate:
    return load_template()


@pytest.fixture(scope="module")
def maker(template: HandTemplate) -> PictureMaker:
    return PictureMaker(template, [], StreamSettings(), load_trunk("hand"), pictures=FEW)


@pytest.fixture(scope="module")
def folder(maker: PictureMaker, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two shards of six pictures."""
    folder = tmp_path_factory.mktemp("pictures") / "new" / "folder"
    assert fill(folder, maker, 5, 2 * SIZE - 1, SIZE) == 2 * SIZE
    return folder


@pytest.fixture(scope="module")
def pictures(folder: Path) -> PictureCache:
    return PictureCache(folder)


def everything(cache: PictureCache) -> PictureBatch:
    return cache.rows(torch.arange(len(cache)))


def test_what_a_cache_holds(pictures: PictureCache, template: HandTemplate) -> None:
    assert (len(pictures), pictures.width, pictures.trunk) == (2 * SIZE, 640, "hand")
    assert pictures.template_hash == template_hash(template)
    batch = everything(pictures)
    assert batch.patches.shape == (2 * SIZE, 49, 640) and batch.patches.dtype == torch.float16
    assert batch.nodes.shape == (2 * SIZE, len(template.nodes), 3)
    assert batch.visible.dtype == torch.bool
    for name in FIELDS:
        assert torch.isfinite(getattr(batch, name)).all(), name


def test_the_truth_agrees_with_itself(pictures: PictureCache, template: HandTemplate) -> None:
    """Palm frame -> camera -> pixels, and the nodes are of the same hand as the joints."""
    batch = everything(pictures)
    turned = batch.joints @ batch.rotation.mT
    placed = turned * batch.scale[:, None, None] + batch.translation[:, None]
    pixels = placed[..., :2] / placed[..., 2:] * batch.focal[:, None, None] + batch.centre[:, None]
    assert (pixels - batch.joints2d).abs().max() < 0.05
    decoded = torch.from_numpy(template.decoder) @ batch.nodes
    joints = torch.from_numpy(template.regressor) @ decoded
    assert (joints - batch.joints).norm(dim=-1).max() * UNIT < 1e-3


def test_the_landmark_network_looked_at_these_pictures(pictures: PictureCache) -> None:
    """What it found lies nearer the truth of its own picture than that of the next one."""
    batch = everything(pictures)
    own = (batch.found2d - batch.joints2d).norm(dim=-1).mean(1)
    other = (batch.found2d - batch.joints2d.roll(1, 0)).norm(dim=-1).mean(1)
    assert own.median() < 0.7 * other.median()
    assert ((batch.presence >= 0) & (batch.presence <= 1)).all()
    assert 0.05 < (batch.found3d.amax(1) - batch.found3d.amin(1)).amax(1).median() < 0.3  # metres


def test_features_are_those_of_the_trunk(pictures: PictureCache, template: HandTemplate) -> None:
    """Another trunk is asked itself, about the same pictures."""

    class Twice:
        name, width = "twice", 640

        def features(self, crops: torch.Tensor) -> torch.Tensor:
            return 2 * load_trunk("hand").features(crops)

    other = PictureMaker(template, [], StreamSettings(), Twice(), pictures=FEW)
    batch = next(other.shard(5, 0, SIZE))
    expected = everything(pictures).patches[:SIZE].float() * 2
    assert torch.allclose(batch.patches.float(), expected, atol=0.05)


def test_a_stopped_run_goes_on(maker: PictureMaker, folder: Path, tmp_path: Path) -> None:
    """Nothing half-written counts, and what is made later is as if nobody had stopped."""

    class Stopped(PictureMaker):
        def __init__(self) -> None:
            vars(self).update(vars(maker))

        def shard(self, seed: int, number: int, count: int) -> Iterator[PictureBatch]:
            if number == 1:
                raise KeyboardInterrupt
            return super().shard(seed, number, count)

    with pytest.raises(KeyboardInterrupt):
        fill(tmp_path, Stopped(), 5, 2 * SIZE, SIZE)
    assert len(PictureCache(tmp_path)) == SIZE
    first = (tmp_path / "00000.safetensors").stat().st_mtime_ns
    fill(tmp_path, maker, 5, 2 * SIZE, SIZE)
    assert (tmp_path / "00000.safetensors").stat().st_mtime_ns == first
    assert sorted(p.name for p in tmp_path.iterdir()) == ["00000.safetensors", "00001.safetensors"]
    again, whole = everything(PictureCache(tmp_path)), everything(PictureCache(folder))
    for name in FIELDS:
        assert torch.equal(getattr(again, name), getattr(whole, name)), name


def test_shards_differ(pictures: PictureCache) -> None:
    nodes = everything(pictures).nodes.flatten(1)
    assert torch.cdist(nodes, nodes).fill_diagonal_(9).min() > 0.1


def test_random_batches(pictures: PictureCache) -> None:
    rows = torch.tensor([11, 0, 6, 5])
    assert torch.equal(pictures.rows(rows).patches, everything(pictures).patches[rows])
    one = pictures.batch(200, torch.Generator().manual_seed(1))
    same = pictures.batch(200, torch.Generator().manual_seed(1))
    assert torch.equal(one.patches, same.patches)
    assert len(one.scale.unique()) == 2 * SIZE


def test_other_pictures_do_not_mix(maker: PictureMaker, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is of other pictures .*choose another folder"):
        fill(folder, maker, 6, 2 * SIZE, SIZE)
    with pytest.raises(ValueError, match="There are no pictures in .*fill_pictures"):
        PictureCache(tmp_path)
    (tmp_path / "00000.safetensors").write_bytes(b"\x00" * 100)
    with pytest.raises(ValueError, match="00000.safetensors is damaged"):
        PictureCache(tmp_path)
    save_file({"patches": torch.zeros(1)}, tmp_path / "00000.safetensors")
    with pytest.raises(ValueError, match="no pictures of this version"):
        PictureCache(tmp_path)


def test_the_command(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fill_pictures, "SHARD", SIZE)
    monkeypatch.setattr("sys.argv", ["fill", "--out", str(tmp_path), "--count", "6", "--seed", "5"])
    assert main() == 0
    assert "6 pictures in" in capsys.readouterr().out
    assert len(PictureCache(tmp_path)) == SIZE
    monkeypatch.setattr("sys.argv", ["fill", "--out", str(tmp_path), "--count", "6", "--trunk", "resnet50"])
    assert main() == 1
    assert "The trunk resnet50 needs its weights" in capsys.readouterr().err
