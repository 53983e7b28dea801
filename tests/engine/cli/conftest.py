"""The `hhmr` command in this process, and recorded photos for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from hhmr_engine.cli import main
from tests.engine.cli.running import Run


@pytest.fixture
def hhmr(capfd: pytest.CaptureFixture[str]) -> Run:
    """Run the command in this process: exit code, stdout, stderr."""

    def run(*args: object) -> tuple[int, str, str]:
        try:
            code = main([str(arg) for arg in args])
        except SystemExit as leave:
            code = int(leave.code or 0)
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture(scope="session")
def recorded(data_root: Path) -> list[Path]:
    """Twenty photos of right hands, 100 x 100 pixels."""
    files = sorted((data_root / "photos" / "apache_digits").glob("*.jpg"))
    assert len(files) == 20
    return files
