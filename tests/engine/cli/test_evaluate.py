"""`hhmr evaluate` from end to end, and what it says when it is asked for what cannot be."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hhmr_engine import evaluate_command
from hhmr_engine.cli import main
from hhmr_engine.command import BAD_INPUT, OK
from hhmr_engine.evaluation.tables.catalogue import TABLES
from hhmr_engine.evaluation.tables.cost import Cost
from hhmr_engine.evaluation.tables.table import Table
from hhmr_engine.faults import InputError
from hhmr_engine.hand.template import load_template
from tests.engine.small_network import small_weights

# Those that this room measures; each in seconds with a network that has learnt nothing.
MINE = ("generation", "inpainting", "sources", "ablations", "training_data")


def refused(capsys: pytest.CaptureFixture[str], *options: str) -> str:
    assert main(["evaluate", *options]) == BAD_INPUT
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "mistake" not in said
    return said


def test_what_cannot_be_measured_gets_one_sentence(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = ("--out", str(tmp_path / "t.json"))
    monkeypatch.delenv("HHMR_DATA", raising=False)
    assert "no table 'speed': use generation," in refused(capsys, "--table", "speed", *out)
    assert "name the folder of recorded poses with --data" in refused(capsys, *out)
    assert "no folder" in refused(capsys, "--data", str(tmp_path / "none"), *out)
    assert "no folder" in refused(capsys, "--data", str(tmp_path), "--out", str(tmp_path / "a" / "t.json"))
    told = refused(capsys, "--data", str(tmp_path), "--compare", f"graph={tmp_path / 'g'}", *out)
    assert "no file" in told and "--compare graph" in told
    assert "no recordings" in refused(capsys, "--data", str(tmp_path), "--table", "generation", *out)
    poses = ("--poses", str(tmp_path / "none.npz"))
    assert "check --poses" in refused(capsys, "--data", str(tmp_path), *poses, *out)
    assert not list(tmp_path.iterdir())


def test_compare_must_name_its_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        main(["evaluate", "--compare", "graph", "--out", str(tmp_path / "t.json")])
    assert "graph is not NAME=FILE" in capsys.readouterr().err


def test_a_table_goes_between_its_markers_with_its_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = tmp_path / "results.md"
    document.write_text("a\n<!-- table t -->\nold\n<!-- end table t -->\nb\n", encoding="utf-8")
    monkeypatch.setattr(evaluate_command, "DOCUMENT", document)
    about = {"weights": "w", "date": "d", "machine": "m", "threads": 1, "quick": False, "share": 0.5}
    drawn = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").save(drawn, "PNG")
    table = Table("t", "Title", ("", "mm"), [("one", 2.5)], pictures={"t.png": drawn.getvalue()})
    evaluate_command._into_document(table, Cost(3.0, 100.0), about)
    text = document.read_text(encoding="utf-8")
    assert "| one | 2.50 |" in text and "3 s, 100 MiB at most" in text and "old" not in text
    assert "50% of the hands" in text and "![Title](tables/t.png)" in text
    with Image.open(tmp_path / "tables" / "t.png") as picture:
        assert picture.mode == "P" and picture.size == (256, 256)
        assert abs(np.asarray(picture.convert("L"), int) - np.arange(256)[:, None]).max() < 8
    with pytest.raises(InputError, match="no place for 'table u'"):
        evaluate_command._into_document(Table("u", "U", ("",), []), Cost(), about)


def check_report(out: Path, names: list[str]) -> dict:
    report = json.loads(out.read_text(encoding="utf-8"))  # and so without NaN, which is no json
    assert list(report["tables"]) == names
    text = out.with_suffix(".md").read_text(encoding="utf-8")
    for table in report["tables"].values():
        assert f"### {table['title']}" in text and len(table["rows"]) > 1 and table["seconds"] > 0
        assert all(len(row) == len(table["head"]) for row in table["rows"])
        for name in table["pictures"]:
            with Image.open(out.with_name(f"{out.stem}_{name}")) as picture:
                assert min(picture.size) > 100
            assert f"({out.stem}_{name})" in text
    assert not [p for p in out.parent.iterdir() if p.suffix == ".part"]
    return report


@pytest.mark.slow
def test_tables_are_measured_with_a_network_that_has_learnt_nothing(data_root: Path, tmp_path: Path) -> None:
    weights, out = small_weights(tmp_path), tmp_path / "tables.json"
    options = ["--quick", "--threads", "1", "--data", str(data_root), "--weights", str(weights)]
    compared = [f"{name}={weights}" for name in ("deterministic", "graph", "attention", "sampler")]
    names = list(MINE)
    command = ["evaluate", "--table", ",".join(names), *options, "--compare", *compared]
    assert main([*command, "--out", str(out)]) == OK
    tables = check_report(out, names)["tables"]
    assert set(names) <= set(TABLES)
    deterministic = [row for row in tables["inpainting"]["rows"] if "deterministic network" in row[0]]
    assert len(deterministic) == 3 and all(
        row[2] is None for row in deterministic
    )  # no variety in one answer
    assert {row[1] for row in tables["sources"]["rows"]} == {"these"}  # these weights left nothing out
    assert tables["sources"]["checks"] == []
    graph = [check for check in tables["ablations"]["checks"] if "graph" in check["what"]]
    assert [check["value"] for check in graph] == pytest.approx([1, 1])  # the same weights under two names
    kinds = [row[1] for row in tables["training_data"]["rows"]]
    assert kinds == ["recordings", "sampled", "recordings", "sampled", "not given", "not given"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["reconstruction", "fitting"])
def test_tables_of_pictures_are_measured(data_root: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / "tables.json"
    options = ["--quick", "--threads", "1", "--data", str(data_root)]
    weights = small_weights(tmp_path)
    options += ["--weights", str(weights), "--compare", f"deterministic={weights}"]
    assert main(["evaluate", "--table", name, *options, "--out", str(out)]) == OK
    table = check_report(out, [name])["tables"][name]
    if name == "reconstruction":
        assert any("ResNet-50" in note for note in table["notes"])
        best = {
            row[0]: row[4] for row in table["rows"] if row[0].startswith("three fingers") and row[1] == "10"
        }
        few, many = (best[f"three fingers hidden: best of {n}"] for n in (8, 32))
        assert many <= few <= best["three fingers hidden: one draw"]
        ratio = next(c for c in table["checks"] if c["what"].startswith("3D skeleton: one draw"))
        assert ratio["value"] is not None


@pytest.mark.slow
def test_somebody_elses_joints_are_measured(data_root: Path, tmp_path: Path) -> None:
    joints = np.repeat(load_template().joints[None], 4, 0).astype(np.float64)
    joints[1, 8] = np.nan
    joints[2, 9:] = np.nan  # nothing is left to hide
    np.savez(tmp_path / "poses.npz", joints=joints)
    out = tmp_path / "poses.json"
    options = [
        "--quick",
        "--threads",
        "1",
        "--data",
        str(data_root),
        "--weights",
        str(small_weights(tmp_path)),
    ]
    assert main(["evaluate", "--poses", str(tmp_path / "poses.npz"), *options, "--out", str(out)]) == OK
    table = check_report(out, ["poses"])["tables"]["poses"]
    assert len(table["rows"]) == 6 and len(table["pictures"]) == 2
