"""The whole way of somebody with the licences, in small: check, train on datasets, make all five tables."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tqdm import tqdm

from hhmr_engine.cli import main
from hhmr_engine.datasets.catalogue import open_dataset
from hhmr_engine.datasets.sample import EVALUATION
from hhmr_engine.engine import Engine
from hhmr_engine.evaluation.paper import figures
from hhmr_engine.evaluation.paper.measuring import Runs, Setting
from hhmr_engine.evaluation.paper.submissions import read_submission
from hhmr_engine.evaluation.tables.table import Context
from tests.engine.datasets.miniature import FOLDERS

HANDS = 6
RECIPE = """
steps = {steps}
batch = 8

[network]
sizes = [208, 26]
widths = [32, 64]
tokens = 32
head = 16
path = 64
image_features = 640
dropout = 0.0

[path]
steps = {path}
batch = 24
rate = 3e-3

[optimiser]
rate = 3e-3
warmup = 10
ema = 0.95

[views]
share = 0.2
pictures = 0.8
guess_weight = 1.0

[machine]
loaders = 0

[datasets]
freihand = 1.0
"""


def seen_before(data: Path, folder: Path) -> Path:
    """The datasets, FreiHAND's evaluation hands being those that are trained on: so few teach no others."""
    shutil.copytree(data, folder)
    freihand = folder / FOLDERS["freihand"]
    for part in ("K", "xyz", "verts"):
        shutil.copy(freihand / f"training_{part}.json", freihand / f"evaluation_{part}.json")
    for number in range(HANDS):
        name = f"rgb/{number:08d}.jpg"
        shutil.copy(freihand / "training" / name, freihand / "evaluation" / name)
    return folder


def trained(data: Path, out: Path, path: int, steps: int) -> Path:
    recipe = out.with_suffix(".toml")
    recipe.write_text(RECIPE.format(path=path, steps=steps))
    template = ("--template", str(data / "template.npz"))
    arguments = ["train", "--config", str(recipe), "--data", str(data), "--out", str(out)]
    assert main([*arguments, *template]) == 0
    return out / "weights.safetensors"


def tables(data: Path, weights: Path, out: Path, *more: str) -> dict[str, dict[str, Any]]:
    """Number -> row -> cells, of `hhmr evaluate --paper`; "notes": its notes."""
    template = ("--template", str(data / "template.npz"), "--weights", str(weights), "--threads", "1")
    arguments = ["evaluate", "--paper", "--quick", "--hands", str(HANDS), "--data", str(data)]
    assert main([*arguments, "--out", str(out), *template, *more]) == 0
    made = json.loads(out.read_text())["tables"]
    return {n: {r[0]: r[1:] for r in t["rows"]} | {"notes": t["notes"]} for n, t in made.items()}


def turned_off(data: Path, weights: Path) -> float:
    """Millimetres: joints from photos alone, without rotation taken out."""
    engine = Engine(weights=weights, template=data / "template.npz", threads=1)
    context = Context(engine, data, None, True, tqdm(disable=True))
    dataset = open_dataset(data / FOLDERS["freihand"], EVALUATION)
    return Runs(context).measure(dataset, Setting("photo")).server.st_mpjpe


@pytest.mark.slow
def test_training_on_datasets_and_all_five_tables(paper_data: Path, tmp_path: Path) -> None:
    data = seen_before(paper_data, tmp_path / "data")
    assert main(["data", "check", str(data), "--out", str(tmp_path / "check")]) == 0
    untaught = trained(data, tmp_path / "one", 1, 1)
    before = tables(data, untaught, tmp_path / "before.json", "--table", "5")
    weights = trained(data, tmp_path / "many", 70, 80)
    after = tables(data, weights, tmp_path / "after.json", "--compare", f"attention={weights}")

    # What was learnt shows: how a hand is turned in its photo (alignment hides that), what 2D joints mean.
    assert turned_off(data, weights) < 0.8 * turned_off(data, untaught)
    for name in ("2D + guidance", "photo + 2D", "photo + 2D + guidance"):
        for column in (0, 3):
            assert after["5"][name][column] < 0.8 * before["5"][name][column], name
            assert after["5"][name][column] < 0.5 * after["5"]["photo"][column]

    # The tables hang together: the same run in each, minima that fall, the paper's figures in their place.
    one = after["3"]["ours, FreiHAND, n = 1"]
    assert one == pytest.approx([*after["2"]["graph convolution"][:1], 6.0, one[0] / 6.0, *one[3:]])
    assert after["2"]["graph convolution"][0] == after["2"]["self-attention only"][0]
    best = [after["4"][f"FreiHAND, T = {t}, n = 8"] for t in (10, 25)]
    assert best[0] == after["3"]["ours, FreiHAND, n = 8"][:1] + best[0][1:] and best[0][0] <= one[0]
    assert [b[1] for b in best] == [figures.STEPS[t, 8].mpjpe for t in (10, 25)]
    assert all(np.isfinite(row).all() for name, row in after["1"].items() if name != "notes")
    assert "HO3D v3, T = 10, n = 8" in after["4"]

    # The servers' files hold all hands, before the camera.
    for name in ("freihand", "ho3d"):
        joints, vertices = read_submission(tmp_path / f"after_{name}_pred.zip", name)
        assert joints.shape == (HANDS, 21, 3) and vertices.shape == (HANDS, 778, 3)
        assert (vertices[..., 2] > 0).all()
    assert {p.name for p in tmp_path.glob("after*.png")} == {"after_freihand.png", "after_ho3d.png"}
