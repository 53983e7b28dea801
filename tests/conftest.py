"""What tests of more than one room share."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of recordings: HHMR_DATA, or ../shared/data beside the repository.

    Without it a test that needs it is skipped by name; with CI=true it fails instead.
    """
    root = Path(os.environ.get("HHMR_DATA") or REPOSITORY.parent / "shared" / "data")
    if not (root / "poses").is_dir():
        sentence = f"There are no recordings at {root}: set HHMR_DATA to the folder that holds poses/."
        if os.environ.get("CI") == "true":
            pytest.fail(sentence)
        pytest.skip(sentence)
    return root
