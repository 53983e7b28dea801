"""Large JSON row by row and item by item, and the little of YAML that is needed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hhmr_engine.datasets import json_rows
from hhmr_engine.datasets.json_rows import JsonRows, stream_lists
from hhmr_engine.datasets.yaml_lines import read_yaml


@pytest.fixture(params=[7, 64, 1 << 20])
def chunk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are read in small pieces: every boundary is met."""
    monkeypatch.setattr(json_rows, "CHUNK", request.param)


def test_rows_are_what_json_says(chunk: None, tmp_path: Path):
    rows = np.random.default_rng(0).normal(0, 1, (5, 4, 3))
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(rows.tolist(), indent=1))
    found = JsonRows(path)
    assert len(found) == 5
    for row, expected in enumerate(rows):
        np.testing.assert_array_equal(found[row], expected)


def test_rows_that_hold_what_they_should(tmp_path: Path):
    path = tmp_path / "rows.json"
    path.write_text("[[[1, 2], [3, 4e-5]], [[1, 2], [3]], [[1, NaN], [3, 4]], [[1, null], [2, 3]]]")
    assert JsonRows(path).holds(4).tolist() == [True, False, False, False]


@pytest.mark.parametrize("text", ["", "[[1, 2], [3", "[[1, 2]", "{}]", "]["])
def test_rows_that_are_none(text: str, tmp_path: Path):
    path = tmp_path / "rows.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="damaged"):
        JsonRows(path)


def test_items_of_lists_are_what_json_says(chunk: None, tmp_path: Path):
    content = {
        "info": {"year": 2020, "a": [1, 2]},
        "images": [{"id": n, "name": 'é]}",' * n, "x": [n, [n, -1.5e3]]} for n in range(9)],
        "none": [],
        "numbers": [1, 23, 456, 7.25],
    }
    path = tmp_path / "lists.json"
    for indent in (None, 2):
        path.write_text(json.dumps(content, indent=indent, ensure_ascii=False), encoding="utf-8")
        expected = [(name, item) for name in ("images", "numbers") for item in content[name]]
        assert list(stream_lists(path)) == expected


@pytest.mark.parametrize(
    "text", ["", "[]", '{"a": [1, 2', '{"a": [1 2]}', '{"a" [1]}', '{"a": [{"b": }]}', "{"]
)
def test_lists_that_are_none(text: str, tmp_path: Path):
    path = tmp_path / "lists.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="damaged"):
        list(stream_lists(path))


def test_yaml_as_calibrations_have_it(tmp_path: Path):
    path = tmp_path / "meta.yml"
    path.write_text(
        "# a comment\nextrinsics: '20200702_151821'\nnum_frames: 72\n"
        "serials:\n- '836212060125'\n- '839512060362'\n"
        "color:\n  fx: 613.5\n  deep:\n    y: -1.0e-3\n"
        "betas: [0.5, -1.5,\n  2.0]\nempty:\nlist:\n  - 1\n  - a\n"
    )
    assert read_yaml(path) == {
        "extrinsics": "20200702_151821",
        "num_frames": 72,
        "serials": ["836212060125", "839512060362"],
        "color": {"fx": 613.5, "deep": {"y": -1e-3}},
        "betas": [0.5, -1.5, 2.0],
        "empty": None,
        "list": [1, "a"],
    }


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "a: 1\n   b: 2\n", "no colon", "a: [1, 2\n", "\x00"])
def test_yaml_that_is_none(text: str, tmp_path: Path):
    path = tmp_path / "meta.yml"
    path.write_text(text)
    try:
        assert isinstance(read_yaml(path), dict)
    except ValueError as exc:
        assert "damaged" in str(exc)
