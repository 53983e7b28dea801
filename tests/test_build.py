"""build.py: its environments, its zip, its counts, and what README, CI and the add-on must share with it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import build

ROOT = Path(build.__file__).resolve().parent
PYTHON = Path(sys.executable)


@pytest.fixture
def packager() -> Path:
    """The interpreter whose environment holds Blender's packager; the suite itself runs in it."""
    if not list(PYTHON.parents[1].glob("**/bpy/*/scripts/addons_core/bl_pkg/cli/blender_ext.py")):
        pytest.skip("this environment has no bpy")
    return PYTHON


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """A wheel of nothing: something to install without a network."""
    path = tmp_path / "nothing_at_all-1.0-py3-none-any.whl"
    info = "nothing_at_all-1.0.dist-info"
    files = {
        "nothing_at_all.py": "",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: nothing-at-all\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(name, text)
    return path


# ---------------------------------------------------------------- what must agree


def test_one_version() -> None:
    from hhmr_engine.version import VERSION

    assert build.version() == VERSION


def test_versions_that_differ_are_named(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.0.0"\n')
    (tmp_path / "blender_manifest.toml").write_text('version = "1.0.1"\n')
    with pytest.raises(build.BuildError, match="1.0.1.*1.0.0"):
        build.version(tmp_path)


def test_install_engine_has_the_pins_of_pyproject() -> None:
    pytest.importorskip("bpy")
    from hhmr_blender.client.install import REQUIREMENTS

    assert list(REQUIREMENTS) == build.read_toml(ROOT / "pyproject.toml")["project"]["dependencies"]


def test_every_environment_pins_every_package() -> None:
    for name in build.read_toml(ROOT / "pyproject.toml")["dependency-groups"]:
        for pin in build.requirements(name):
            assert re.fullmatch(r"[\w-]+==[\d.]+( *;.*)?", pin), f"{name}: {pin}"
    assert [pin for pin in build.requirements("py311") if pin.startswith("torch==")]


@pytest.mark.parametrize("name", ["README.md", ".ci/run"])
def test_system_packages_are_the_same_everywhere(name: str) -> None:
    line = " ".join(build.SYSTEM_LIBRARIES.values())
    assert line in " ".join((ROOT / name).read_text(encoding="utf-8").split())


# ---------------------------------------------------------------- environments


@pytest.mark.slow
def test_an_environment_is_made_once_and_anew_when_it_must(
    tmp_path: Path, wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pins = [str(wheel)]
    monkeypatch.setattr(build, "ENVIRONMENTS", tmp_path)
    monkeypatch.setattr(build, "requirements", lambda name: pins)
    python = build.make_environment("small", sys.executable)
    assert subprocess.run([str(python), "-c", "import nothing_at_all"]).returncode == 0

    witness = tmp_path / "small" / "witness"
    witness.touch()
    build.make_environment("small", sys.executable)
    assert witness.exists(), "made again without a reason"

    pins[0] = str(tmp_path / "missing-1.0-py3-none-any.whl")
    with pytest.raises(build.BuildError, match="pip could not fill"):
        build.make_environment("small", sys.executable)
    assert not witness.exists(), "changed pins were not looked at"

    witness.touch()
    pins[0] = str(wheel)
    build.make_environment("small", sys.executable)
    assert not witness.exists(), "half an environment was taken for a whole one"


def test_a_shim_is_not_a_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shim = tmp_path / "python3.13"
    shim.write_text("#!/bin/sh\necho 'command not found' >&2\nexit 127\n")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert build.find_python313() is None

    real = tmp_path / ".pyenv" / "versions" / "3.13.0" / "bin" / "python3.13"
    real.parent.mkdir(parents=True)
    real.write_text("#!/bin/sh\necho /somewhere/python3.13\n")
    real.chmod(0o755)
    assert build.find_python313() == "/somewhere/python3.13"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps these apart")
def test_missing_libraries_get_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "SYSTEM_LIBRARIES", {"libc.so.6": "libc6", "libnowhere.so.9": "libnowhere9"})
    with pytest.raises(build.BuildError, match="apt-get install libnowhere9$"):
        build.check_system_libraries()


# ---------------------------------------------------------------- the extension


def test_the_zip_holds_both_halves_and_nothing_else(tmp_path: Path, packager: Path) -> None:
    package = build.build_extension(packager, tmp_path / "a")
    assert package.name == f"hhmr-{build.version()}.zip"
    names = set(zipfile.ZipFile(package).namelist())
    assert {
        "__init__.py",
        "wire.py",
        "blender_manifest.toml",
        "LICENSE",
        "engine/hhmr_engine/wire.py",
        "engine/hhmr_engine/__main__.py",
        "engine/hhmr_engine/hand/anny_hand.npz",
    } <= names
    shipped = {
        prefix + path.relative_to(ROOT / folder).as_posix()
        for folder, prefix in (("hhmr_blender", ""), ("hhmr_engine", "engine/hhmr_engine/"))
        for path in (ROOT / folder).rglob("*.py")
    }
    assert shipped <= names
    assert not [name for name in names if {"__pycache__", "tests"} & set(Path(name).parts)]
    assert not [name for name in names if Path(name).name.startswith(("test_", "."))]
    index = json.loads((package.parent / "index.json").read_text(encoding="utf-8"))
    assert [entry["version"] for entry in index["data"]] == [build.version()]

    again = build.build_extension(packager, tmp_path / "b")
    assert again.read_bytes() == package.read_bytes()


@pytest.mark.slow
def test_the_zip_installs_and_its_engine_starts_from_it(tmp_path: Path, packager: Path) -> None:
    package = build.build_extension(packager, tmp_path / "dist")
    script = (
        "import bpy, importlib, os, sys\n"
        "bpy.ops.extensions.package_install_files(repo='user_default', filepath=sys.argv[1],"
        " enable_on_install=True, overwrite=True)\n"
        "name = next(key for key in bpy.context.preferences.addons.keys() if key.endswith('.hhmr_blender'))\n"
        "bpy.ops.hhmr.add_hand(side='LEFT')\n"
        "wire = importlib.import_module(name + '.wire')\n"
        "count = len(bpy.context.object.data.vertices)\n"
        "print('FOUND', count, sys.modules[wire.Decoder.__module__].__file__)\n"
        "bpy.ops.preferences.addon_disable(module=name)\n"
        "assert not any(key.endswith('.hhmr_blender') for key in bpy.context.preferences.addons.keys())\n"
        "sys.stdout.flush()\n"
        "os._exit(0)\n"
    )
    environment = {**os.environ, "BLENDER_USER_RESOURCES": str(tmp_path / "blender")}
    done = subprocess.run(
        [str(packager), "-c", script, str(package)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    found = re.search(r"FOUND (\d+) (.*)", done.stdout)
    assert done.returncode == 0 and found, done.stdout + done.stderr
    assert found[1] == "1609"
    assert Path(found[2]).is_relative_to(tmp_path / "blender"), "the wire was not taken from the zip"


def test_a_bad_manifest_gets_the_packagers_sentence(
    tmp_path: Path, packager: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stage_without_license(folder: Path) -> None:
        folder.mkdir()
        (folder / "__init__.py").touch()
        (folder / "blender_manifest.toml").write_text('schema_version = "1.0.0"\nid = "x"\n')

    monkeypatch.setattr(build, "stage", stage_without_license)
    with pytest.raises(build.BuildError, match="refused to validate"):
        build.build_extension(packager, tmp_path)


# ---------------------------------------------------------------- the test command


def test_a_suite_is_counted(tmp_path: Path) -> None:
    cases = tmp_path / "test_cases.py"
    cases.write_text(
        "import pytest\n"
        "def test_good(): pass\n"
        "def test_bad(): assert False\n"
        "def test_error(no_such_fixture): pass\n"
        "@pytest.mark.skip\ndef test_not_now(): pass\n"
    )
    outcome = build.suite("cases", PYTHON, PYTHON, str(cases))
    assert (outcome.passed, outcome.failed, outcome.skipped) == (1, 2, 1)


@pytest.mark.parametrize("body", ["import os; os._exit(3)", "pass"])
def test_a_suite_that_dies_or_finds_nothing_has_failed(tmp_path: Path, body: str) -> None:
    (tmp_path / "test_cases.py").write_text(body)
    outcome = build.suite("cases", PYTHON, PYTHON, str(tmp_path / "test_cases.py"))
    assert (outcome.passed, outcome.failed) == (0, 1)


def test_a_suite_that_hangs_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "test_cases.py").write_text("import time\ndef test_long(): time.sleep(600)\n")
    monkeypatch.setattr(build, "SUITE_LIMIT", 3)
    outcome = build.suite("cases", PYTHON, PYTHON, str(tmp_path / "test_cases.py"))
    assert outcome.failed == 1 and "3 s" in outcome.note


def test_one_failure_makes_the_whole_fail(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    outcomes = [build.Outcome("a", passed=3, skipped=1), build.Outcome("b", failed=1)]
    monkeypatch.setattr(build, "check_system_libraries", lambda: None)
    monkeypatch.setattr(build, "test_steps", lambda index: outcomes)
    assert build.main(["test"]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "3 passed, 1 failed, 1 skipped"
    outcomes.pop()
    assert build.main(["test"]) == 0


def test_another_python_is_told_which_one() -> None:
    other = "import sys; sys.version_info = (3, 12, 0); import build; sys.exit(build.main(['test']))"
    done = subprocess.run([sys.executable, "-c", other], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert "needs Python 3.11" in done.stderr and "Traceback" not in done.stderr
