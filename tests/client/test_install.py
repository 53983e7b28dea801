"""Install Engine with real Pythons, venv and pip, and a package of five lines in torch's place."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Make = Callable[..., Any]
SLOW_CHECK = "import time, hhmr_tiny; time.sleep(0.5)"  # so that no look at it comes too late


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip finds one package, hhmr-tiny 1.0, and no index."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    with zipfile.ZipFile(wheels / "hhmr_tiny-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("hhmr_tiny.py", "VALUE = 42\n")
        wheel.writestr(
            "hhmr_tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: hhmr-tiny\nVersion: 1.0\n"
        )
        wheel.writestr(
            "hhmr_tiny-1.0.dist-info/WHEEL",
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        wheel.writestr("hhmr_tiny-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    monkeypatch.setenv("PIP_RETRIES", "0")


@pytest.fixture
def install(tmp_path: Path, wait_for: Make) -> Make:
    """`install(requirements, check)` -> an Installation that has ended; `until` stops earlier."""
    from hhmr_blender.client.install import Installation

    def run(*requirements: str, check: str = "import hhmr_tiny", until: Any = None, **options: Any) -> Any:
        options.setdefault("python", sys.executable)
        one = Installation(tmp_path / "root", requirements=requirements, check=check, **options)
        wait_for(lambda: one.finished or (until and until(one)), one.poll, patience=120)
        return one

    return run


def root_of(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "root").iterdir())


@pytest.mark.slow
@pytest.mark.usefixtures("offline")
def test_the_life_of_an_environment(install: Make, tmp_path: Path, wait_for: Make) -> None:
    """Unfinished ones are never used; a new one replaces a good one only when it is whole."""
    from hhmr_blender.client.install import MARKER, environments, installed_python, python_in

    root = tmp_path / "root"
    one = install("hhmr-tiny==1.0", check=SLOW_CHECK, until=lambda one: one.step == "Trying it")
    assert python_in(root / "env-1").exists() and (root / "env-1" / MARKER).exists()
    one._work.close()  # as if Blender had been killed here
    assert installed_python(root) is None

    seen: list[tuple[str, float]] = []
    one = install("hhmr-tiny==1.0", check=SLOW_CHECK, until=lambda one: seen.append((one.step, one.progress)))
    assert one.state == "done" and one.error is None and one.progress == 1
    assert list(dict.fromkeys(step for step, _ in seen)) == [
        "Looking for Python",
        "Deleting an unfinished environment",
        "Making an environment",
        "Installing packages",
        "Trying it",
    ]
    shares = [share for _, share in seen]
    assert shares == sorted(shares)
    assert root_of(tmp_path) == ["env-2", "install.log"]
    assert installed_python(root) == one.python == python_in(root / "env-2")
    assert not (root / "env-2" / "tmp").exists() and not (root / "env-2" / MARKER).exists()
    check_command(one.python, tmp_path)

    one = install("hhmr-tiny==2.0")
    said = "The package index has no hhmr-tiny==2.0 for this computer and this Python."
    assert one.state == "failed" and one.error.message == said
    assert [path.name for path in environments(root)] == ["env-2"]
    assert installed_python(root) == python_in(root / "env-2")

    assert install("hhmr-tiny==1.0").state == "done"
    assert [path.name for path in environments(root)] == ["env-3"]


def check_command(python: Path, tmp_path: Path) -> None:
    """The engine's command runs the package in the extension's folder, and nothing that lies about."""
    from hhmr_blender.client.install import engine_command

    package = tmp_path / "engine" / "hhmr_engine"
    package.mkdir(parents=True)
    (package / "__main__.py").write_text("import sys, hhmr_tiny; print(hhmr_tiny.VALUE, *sys.argv[1:])")
    (tmp_path / "hhmr_tiny.py").write_text("VALUE = 'from the working directory'")
    command, env = engine_command(python, tmp_path / "engine", "--device", "cpu")
    environment = {**os.environ, **env}
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "42 serve --device cpu\n"
    assert not (package / "__pycache__").exists()


@pytest.mark.usefixtures("offline")
def test_what_does_not_pass_the_check_is_deleted(install: Make, tmp_path: Path) -> None:
    one = install("hhmr-tiny==1.0", check="import torch_of_another_name")
    assert one.state == "failed" and "No module named 'torch_of_another_name'" in one.error.message
    assert one.error.code == "install_failed" and one.error.hint
    assert root_of(tmp_path) == ["install.log"]


@pytest.mark.parametrize("when", ["Looking for Python", "Making an environment", "Trying it"])
@pytest.mark.usefixtures("offline")
def test_cancel_ends_the_step_and_deletes_what_it_made(
    install: Make, wait_for: Make, tmp_path: Path, when: str
) -> None:
    one = install(
        "hhmr-tiny==1.0",
        check="import time; time.sleep(100)",
        until=lambda one: one.step == when and one._process is not None,
    )
    process = one._process
    one.cancel()
    process.wait(20)  # without a poll: there is none after unregister
    wait_for(lambda: one.finished, one.poll)
    assert one.state == "cancelled" and one.error.message == "Installing the engine was cancelled."
    assert root_of(tmp_path) == ["install.log"]
    one.cancel()
    one.poll()
    assert one.state == "cancelled"


def script(path: Path, text: str) -> Path:
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return path


@pytest.mark.skipif(os.name == "nt", reason="shell scripts stand in for shims")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('echo "pyenv: python3.12: command not found" >&2; exit 127', "it does not run"),
        ("exit 0", "it does not run"),
        ("sleep 100", "it does not run"),
        (
            "echo 'HHMR-PYTHON [[3, 10, 4], 64, \"/usr/bin/python3.10\"]'",
            "it is Python 3.10, and the engine needs",
        ),
        ("echo 'HHMR-PYTHON [[3, 12, 4], 32, \"/usr/bin/python3.12\"]'", "32-bit"),
        ("echo 'HHMR-PYTHON [[3'", "it does not run"),
        ("echo \"No module named 'ensurepip'\" >&2; exit 1", "python3-venv"),
    ],
)
def test_a_python_that_will_not_do_is_refused_with_the_reason(
    install: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    from hhmr_blender.client import install as module

    monkeypatch.setattr(module, "PROBE_TIMEOUT", 0.3)
    shim = script(tmp_path / "python3.12", text)
    one = install("hhmr-tiny==1.0", python=str(shim))
    assert one.state == "failed" and said in one.error.message and str(shim) in one.error.message
    assert "preferences" in one.error.hint
    assert root_of(tmp_path) == ["install.log"]


def test_a_chosen_python_that_is_not_there_is_refused(install: Make) -> None:
    one = install("hhmr-tiny==1.0", python="/nowhere/python3.11")
    assert one.state == "failed" and one.error.message == "/nowhere/python3.11: it does not run."


@pytest.mark.skipif(os.name == "nt", reason="shell scripts stand in for shims")
def test_a_search_goes_past_shims_to_a_python_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hhmr_blender.client import interpreters

    script(tmp_path / "python3.11", "exit 127")
    (tmp_path / "python3.12").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    found = [command[0] for command in interpreters.candidates()]
    assert found.index(str(tmp_path / "python3.11")) < found.index(str(tmp_path / "python3.12"))
    assert len(found) == len(set(found))


def test_no_python_at_all_says_what_to_do(
    install: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hhmr_blender.client import install as module

    monkeypatch.setattr(module, "candidates", lambda: iter([["/nowhere/python3.11"]]))
    one = install("hhmr-tiny==1.0", python="")
    assert one.error.message == "No Python 3.11 to 3.13 was found on this computer."
    assert "python.org" in one.error.hint
    assert "/nowhere/python3.11: it does not run." in (tmp_path / "root" / "install.log").read_text()


def test_torch_is_asked_of_its_own_index_and_one_that_cannot_be_reached_is_said_to_be_so(
    install: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_NO_INDEX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_RETRIES", "1")
    one = install("torch==2.13.0", "hhmr-tiny==1.0", torch_index="http://127.0.0.1:9/whl/cpu")
    assert one.error.message == "The package index can't be reached."
    log = (tmp_path / "root" / "install.log").read_text()
    (asked,) = [line for line in log.splitlines() if line.startswith("--- ") and "torch==" in line]
    assert asked.endswith("--index-url http://127.0.0.1:9/whl/cpu torch==2.13.0")
    assert root_of(tmp_path) == ["install.log"]


def test_a_folder_that_cannot_be_written_is_a_failure(install: Make, tmp_path: Path) -> None:
    (tmp_path / "root").write_text("a file is where the folder should be")
    one = install("hhmr-tiny==1.0")
    assert one.state == "failed" and one.error.code == "install_failed"


def test_a_disk_without_room_is_refused_before_anything_is_made(
    install: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hhmr_blender.client import install as module

    monkeypatch.setattr(module, "DISK_NEEDED", 1 << 60)
    one = install("hhmr-tiny==1.0")
    assert "has" in one.error.message and "GB left" in one.error.message
    assert root_of(tmp_path) == ["install.log"]


@pytest.mark.slow
def test_a_small_package_from_the_real_index(install: Make) -> None:
    from hhmr_blender.client.install import PIP

    one = install(PIP, "tqdm==4.70.1", check="import tqdm")
    if one.error is not None and one.error.message == "The package index can't be reached.":
        pytest.skip("no package index can be reached")
    assert one.state == "done", one.error
    assert f"pip-{PIP.removeprefix('pip==')}.dist-info" in os.listdir(
        next(one.python.parents[1].glob("[Ll]ib/**/site-packages"))
    )


def test_the_pins_are_those_of_the_project() -> None:
    import tomllib

    from hhmr_blender.client.install import REQUIREMENTS

    project = tomllib.loads((Path(__file__).resolve().parents[2] / "pyproject.toml").read_text())["project"]
    assert list(REQUIREMENTS) == project["dependencies"]
