"""The documents have a place for every table of pictures."""

from __future__ import annotations

from pathlib import Path

import pytest

RESULTS = Path(__file__).parents[3] / "docs" / "results.md"


@pytest.mark.parametrize("name", ["fitting", "photos", "pictures"])
def test_results_have_a_place_for_the_table(name: str) -> None:
    document = RESULTS.read_text(encoding="utf-8")
    assert document.count(f"<!-- {name} -->") == document.count(f"<!-- end {name} -->") == 1
