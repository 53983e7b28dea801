"""`hhmr evaluate --paper` on miniatures, with a network that knows nothing: tables, files and sentences."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hhmr_engine.cli import main
from hhmr_engine.evaluation.paper import figures
from hhmr_engine.evaluation.paper.submissions import read_submission
from hhmr_engine.hand.template import load_template
from hhmr_engine.model.checkpoint import save_network
from hhmr_engine.vision.trunks import HandTrunk
from tests.engine.datasets.miniature import FOLDERS
from tests.engine.small_network import small_network


@pytest.fixture(scope="module")
def weights(paper_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the small network on the made-up MANO, looking through the hand trunk."""
    template = load_template(paper_data / "template.npz")
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    network = small_network(template.torch(), image_features=HandTrunk.width)
    save_network(path, network, template, shift=3.0)
    return path


def evaluate(data: Path, weights: Path, template: Path, out: Path, *more: str) -> dict[str, Any]:
    """The tables by number, as json has them."""
    options = ["--data", str(data), "--weights", str(weights), "--template", str(template)]
    assert main(["evaluate", "--paper", "--out", str(out), "--threads", "1", *options, *more]) == 0
    return json.loads(out.read_text())["tables"]


def row(table: dict[str, Any], name: str) -> list[float]:
    return next(r for r in table["rows"] if r[0] == name)[1:]


def test_the_papers_ratios_are_those_that_are_quoted() -> None:
    """Against docs: 1.153 and 0.128 (generation), 0.937 (graph), 0.987 (best of 8), 0.897 (2D fitting)."""
    made, base = figures.VARIETY["generation, ours"], figures.VARIETY["generation, PCA"]
    assert math.isclose(made.apd / base.apd, 1.153, abs_tol=1e-3)
    assert math.isclose(made.si / base.si, 0.128, abs_tol=1e-3)
    graph = list(figures.GRAPH.values())
    assert math.isclose(graph[0].mpjpe / graph[1].mpjpe, 0.937, abs_tol=1e-3)
    assert math.isclose(figures.STEPS[10, 8].mpjpe / figures.ONE.mpjpe, 0.987, abs_tol=1e-3)
    fit = figures.FITTING
    assert math.isclose(fit["2D + guidance"].mpvpe / fit["2D, PCA fitted"].mpvpe, 0.897, abs_tol=1e-3)
    assert math.isclose(fit["photo + 2D + guidance"].mpjpe / fit["photo"].mpjpe, 0.752, abs_tol=1e-3)


def test_three_tables_share_runs_files_and_figures(paper_data: Path, weights: Path, tmp_path: Path) -> None:
    out, template = tmp_path / "paper.json", paper_data / "template.npz"
    compare = ("--compare", f"attention={weights}")
    tables = evaluate(paper_data, weights, template, out, "--table", "2,3", "--quick", *compare)
    # The same weights twice: their ratio is 1, and what was measured for one table is the next one's.
    graph, attention = (row(tables["2"], name) for name in figures.GRAPH)
    assert graph[0] == attention[0] and graph[3] == attention[3]
    assert [c["value"] for c in tables["2"]["checks"]] == [1.0, 1.0]
    one, eight = (row(tables["3"], f"ours, FreiHAND, n = {n}") for n in (1, 8))
    assert one[0] == pytest.approx(graph[0]) and one[1] == 6.0
    assert one[2] == pytest.approx(one[0] / 6.0)
    assert eight[0] < one[0] and eight[3] < one[3]
    assert row(tables["3"], "MeshGraphormer") == [None, 5.9, None, None, 6.0, None]
    assert row(tables["3"], "ours, HO3D v3, n = 1")[1] is None  # the paper has no such figure
    notes = " ".join(tables["3"]["notes"])
    assert "FreiHAND's own measures, n = 1: joints" in notes and "by scale and translation" in notes
    for name, wanted in (("freihand", 3960), ("ho3d", 20137)):
        joints, vertices = read_submission(tmp_path / f"paper_{name}_pred.zip", name)
        assert joints.shape == (4, 21, 3) and vertices.shape == (4, 778, 3)
        assert f"wants {wanted} hands, not 4" in notes
        assert (joints[..., 2] > 0).all()


def test_generated_and_completed_hands_are_measured_without_any_dataset(
    paper_data: Path, weights: Path, tmp_path: Path
) -> None:
    (tmp_path / "mano").mkdir()
    shutil.copy(paper_data / "mano" / "MANO_RIGHT.pkl", tmp_path / "mano")
    out, template = tmp_path / "paper.json", paper_data / "template.npz"
    tables = evaluate(tmp_path, weights, template, out, "--table", "1,2,3,4,5", "--quick")
    made = {name: row(tables["1"], name) for name in figures.VARIETY}
    assert all(np.isfinite(values).all() and values[0] > 0 for values in made.values())
    assert "the pose sampler" in " ".join(tables["1"]["notes"])
    assert "all 45 components" in " ".join(tables["1"]["notes"])
    for number in "2345":
        assert f"FreiHAND is not in {tmp_path}" in " ".join(tables[number]["notes"])
    assert row(tables["5"], "photo") == [None, 6.54, None, None, 6.57, None]
    assert f"HO3D v3 is not in {tmp_path}" in " ".join(tables["4"]["notes"])


def test_a_run_that_was_stopped_goes_on_with_what_it_has(
    paper_data: Path, weights: Path, tmp_path: Path
) -> None:
    out, template = tmp_path / "paper.json", paper_data / "template.npz"
    few = ("--table", "2", "--hands", "2", "--crops", "none")
    first = evaluate(paper_data, weights, template, out, *few)
    (part,) = (tmp_path / "paper_parts").rglob("*.npz")
    with np.load(part) as file:
        arrays = dict(file)
    assert arrays["mpjpe"].shape == (2, 1)
    np.savez(part, **(arrays | {"mpjpe": arrays["mpjpe"] + 1}))
    again = evaluate(paper_data, weights, template, out, *few)
    assert row(again["2"], "graph convolution")[0] == row(first["2"], "graph convolution")[0] + 1
    part.write_bytes(b"cut off")
    assert evaluate(paper_data, weights, template, out, *few)["2"]["rows"] == first["2"]["rows"]


def test_fewer_hands_of_damaged_datasets_get_a_sentence(
    paper_data: Path, weights: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    shutil.copytree(paper_data / FOLDERS["freihand"], folder / "one")
    (folder / "one" / "evaluation_K.json").write_text("[[")
    out, template = tmp_path / "paper.json", paper_data / "template.npz"
    tables = evaluate(folder, weights, template, out, "--table", "2", "--quick")
    assert "FreiHAND is left out: " in tables["2"]["notes"][0]
    assert "damaged" in tables["2"]["notes"][0]


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--table", "6"], "There is no table '6': use 1, 2, 3, 4, 5."),
        (["--hands", "0"], "--hands is 0: give 1 or more."),
        (["--mano", "nothing.pkl"], "There is no nothing.pkl for --mano: check the name."),
    ],
)
def test_bad_options_get_a_sentence(
    more: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["evaluate", "--paper", "--data", str(tmp_path), "--out", str(tmp_path / "o.json")]
    assert main([*arguments, *more]) == 2
    assert sentence in capsys.readouterr().err
