"""Recorded photos for the tests of vision, and the wheel that the networks come from."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hhmr_engine.vision.photo import Photo, open_photo


@pytest.fixture(scope="session")
def photos(data_root: Path) -> list[Photo]:
    """Twenty photos of right hands, 100 x 100 pixels."""
    files = sorted((data_root / "photos" / "apache_digits").glob("*.jpg"))
    assert len(files) == 20
    return [open_photo(path) for path in files]


@pytest.fixture(scope="session")
def wheel(pytestconfig: pytest.Config) -> Path:
    """mediapipe's wheel: HHMR_MEDIAPIPE_WHEEL, or downloaded once into pytest's cache.

    Where it cannot be had a test that needs it is skipped by name; with CI=true it fails instead.
    """
    given = os.environ.get("HHMR_MEDIAPIPE_WHEEL")
    if given:
        return Path(given)
    folder = pytestconfig.cache.mkdir("mediapipe")
    if not list(folder.glob("*.whl")):
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "-q",
            "--no-deps",
            "mediapipe==0.10.14",
            "-d",
            folder,
        ]
        subprocess.run(command, timeout=300)
    found = list(folder.glob("*.whl"))
    if not found:
        sentence = "mediapipe's wheel cannot be downloaded: set HHMR_MEDIAPIPE_WHEEL to a copy of it."
        if os.environ.get("CI") == "true":
            pytest.fail(sentence)
        pytest.skip(sentence)
    return found[0]
