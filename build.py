"""Build, test and show HHMR: `python3.11 build.py demo | test | extension`.

Only the standard library is used here. Every command makes the environments that it needs under `.venv/`
from the pins in pyproject.toml, once; a changed pin makes its environment anew.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent
ENVIRONMENTS = ROOT / ".venv"
STAMP = "complete"

# What is tested again on the other Blenders, with the engine in the Python 3.11 environment.
BLENDER_SIDE = ("tests/blender", "tests/client", "tests/wire")
SUITE_LIMIT = 1800  # seconds; a whole run of all suites takes a third of it

# What bpy loads on Linux and no wheel brings: the library's name -> Debian's package.
SYSTEM_LIBRARIES = {
    "libGL.so.1": "libgl1",
    "libSM.so.6": "libsm6",
    "libXi.so.6": "libxi6",
    "libXfixes.so.3": "libxfixes3",
    "libXrender.so.1": "libxrender1",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libEGL.so.1": "libegl1",
    "libEGL_mesa.so.0": "libegl-mesa0",
}


class BuildError(Exception):
    """Something the person at the keyboard can mend; the message says what is wrong and what to do."""


# ---------------------------------------------------------------- environments


def read_toml(path: Path) -> dict:
    import tomllib  # from Python 3.11 on; an older one is turned away in main() first

    return tomllib.loads(path.read_text(encoding="utf-8"))


def requirements(name: str, root: Path = ROOT) -> list[str]:
    """The pins of one environment; py311 holds the engine's run-time dependencies as well."""
    project = read_toml(root / "pyproject.toml")
    group: list[str] = project["dependency-groups"][name]
    return project["project"]["dependencies"] + group if name == "py311" else group


def interpreter(environment: Path) -> Path:
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def fingerprint(pins: list[str]) -> str:
    """What an environment was made from. Not from which Python: one that is gone shows by itself."""
    return hashlib.sha256(json.dumps(sorted(pins)).encode()).hexdigest()


def make_environment(name: str, python: str, torch_index: str | None = None) -> Path:
    """The interpreter of `.venv/NAME`, made anew when its pins changed or when it was never finished."""
    pins = requirements(name)
    folder = ENVIRONMENTS / name
    stamp = folder / STAMP
    wanted = fingerprint(pins)
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted and interpreter(folder).exists():
        return interpreter(folder)

    print(f"making .venv/{name}: {' '.join(pins)}", flush=True)
    start = time.monotonic()
    shutil.rmtree(folder, ignore_errors=True)
    if subprocess.run([python, "-m", "venv", str(folder)]).returncode != 0:
        raise BuildError(
            f"{python} cannot make a virtual environment: install its venv module (Debian: python3.11-venv)."
        )
    # torch goes first and alone: another index may then be asked for it and for nothing else.
    torch = [pin for pin in pins if pin.startswith("torch==")]
    if torch:
        install(folder, torch, ["--index-url", torch_index] if torch_index else [])
    install(folder, pins)
    stamp.write_text(wanted, encoding="utf-8")
    print(f"  whole after {time.monotonic() - start:.0f} s", flush=True)
    return interpreter(folder)


def install(folder: Path, pins: list[str], options: list[str] | None = None) -> None:
    quiet = [] if sys.stdout.isatty() else ["-qq"]
    command = [str(interpreter(folder)), "-m", "pip", "install", *quiet, *(options or []), *pins]
    if subprocess.run(command).returncode != 0:
        raise BuildError(
            f"pip could not fill .venv/{folder.name} (its own words are above): check the network and the "
            "free disk space (about 5 GB for all environments), then run the same command again."
        )


def find_python313() -> str | None:
    """A Python 3.13 that runs: pyenv leaves shims on the path of versions that are not switched on."""
    names = [Path(folder) / "python3.13" for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    names += sorted(Path.home().glob(".pyenv/versions/3.13*/bin/python3.13"))
    for name in names:
        if not name.is_file():
            continue
        asked = "import sys; print(sys.executable) if sys.version_info[:2] == (3, 13) else exit(1)"
        answer = subprocess.run([str(name), "-c", asked], capture_output=True, text=True)
        if answer.returncode == 0:
            return answer.stdout.strip()
    return None


def check_system_libraries() -> None:
    """Say in one sentence what bpy will miss, before gigabytes are fetched for it."""
    if sys.platform != "linux":
        return
    missing = []
    for library, package in SYSTEM_LIBRARIES.items():
        try:
            ctypes.CDLL(library)
        except OSError:
            missing.append(package)
    if missing:
        raise BuildError(f"Blender needs libraries of the system: apt-get install {' '.join(missing)}")


# ---------------------------------------------------------------- extension


def version(root: Path = ROOT) -> str:
    """The one version of the manifest and pyproject.toml."""
    manifest = read_toml(root / "blender_manifest.toml")["version"]
    project = read_toml(root / "pyproject.toml")["project"]["version"]
    if manifest != project:
        raise BuildError(f"blender_manifest.toml says {manifest}, pyproject.toml {project}: make them agree.")
    return manifest


def stage(folder: Path, root: Path = ROOT) -> None:
    """Lay out the extension: the add-on's files on top, the engine under `engine/`, all of one fixed date."""
    leave_out = shutil.ignore_patterns("__pycache__", "*.pyc", ".*", "tests")
    shutil.copytree(root / "hhmr_blender", folder, ignore=leave_out, dirs_exist_ok=True)
    shutil.copytree(root / "hhmr_engine", folder / "engine" / "hhmr_engine", ignore=leave_out)
    for name in ("blender_manifest.toml", "LICENSE"):
        shutil.copy(root / name, folder / name)
    for path in folder.rglob("*"):
        os.utime(path, (315619200, 315619200))  # 1980-01-02, the first day a zip can hold in every time zone


def extension_tool(python: Path) -> Path:
    """Blender's own packager, a plain script inside the bpy wheel: nothing of bpy is imported for it."""
    found = sorted(python.parents[1].glob("**/bpy/*/scripts/addons_core/bl_pkg/cli/blender_ext.py"))
    if not found:
        raise BuildError(f"no bpy in {python.parents[1]}: delete that folder and run the same command again.")
    return found[-1]


def build_extension(python: Path, dist: Path = ROOT / "dist") -> Path:
    """Write and validate `dist/hhmr-X.Y.Z.zip`, and the index that makes `dist/` an extension repository."""
    package = dist / f"hhmr-{version()}.zip"
    dist.mkdir(parents=True, exist_ok=True)
    for old in dist.glob("hhmr-*.zip"):
        old.unlink()
    tool = [str(python), str(extension_tool(python))]
    with tempfile.TemporaryDirectory(prefix="hhmr-stage-") as temporary:
        staged = Path(temporary) / "hhmr"
        stage(staged)
        steps = [
            ["validate", str(staged)],
            ["build", "--source-dir", str(staged), "--output-filepath", str(package)],
            ["validate", str(package)],
            ["server-generate", "--repo-dir", str(dist), "--html"],
        ]
        for step in steps:
            done = subprocess.run([*tool, *step], capture_output=True, text=True)
            if done.returncode != 0:
                raise BuildError(f"Blender's packager refused to {step[0]}: {done.stdout}{done.stderr}")
    print(f"wrote {package} ({package.stat().st_size / 1e6:.1f} MB) and the repository index beside it")
    return package


# ---------------------------------------------------------------- commands


def command_extension(arguments: argparse.Namespace) -> int:
    build_extension(make_environment("py311", sys.executable, arguments.torch_index))
    return 0


def command_demo(arguments: argparse.Namespace) -> int:
    check_system_libraries()
    python = make_environment("py311", sys.executable, arguments.torch_index)
    package = build_extension(python)
    out = ROOT / "out"
    out.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="hhmr-blender-") as resources:
        environment = {**os.environ, "BLENDER_USER_RESOURCES": resources}
        options = ["--extension", str(package), "--engine-python", str(python), "--out", str(out)]
        photo = ["--photo", str(arguments.photo.resolve())] if arguments.photo else []
        for script, more in (("complete_hand.py", []), ("reconstruct_photo.py", photo)):
            command = [str(python), str(ROOT / "demo" / script), *options, *more]
            # Away from the checkout, so that only what is in the zip can be found.
            code = subprocess.run(command, env=environment, cwd=resources).returncode
            if code != 0:
                return code
    return 0


@dataclass
class Outcome:
    """What one step of `test` came to. A check without a count of its own counts when it fails."""

    name: str
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    note: str = ""


def check(name: str, python: Path, *module: str) -> Outcome:
    print(f"\n== {name}", flush=True)
    start = time.monotonic()
    code = subprocess.run([str(python), "-m", *module], cwd=ROOT).returncode
    note = f"{'failed' if code else 'ok'}, {time.monotonic() - start:.0f} s"
    return Outcome(name, failed=int(code != 0), note=note)


def suite(name: str, python: Path, engine_python: Path, *pytest: str) -> Outcome:
    """Run pytest in one environment, with Blender's user folder set aside, and read its counts."""
    print(f"\n== {name}", flush=True)
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="hhmr-test-") as temporary:
        report = Path(temporary) / "report.xml"
        environment = {
            **os.environ,
            "BLENDER_USER_RESOURCES": str(Path(temporary) / "blender"),
            "HHMR_ENGINE_PYTHON": str(engine_python),
        }
        options = ["-q", "--continue-on-collection-errors", f"--junitxml={report}"]
        command = [str(python), "-m", "pytest", *options, *pytest]
        try:
            code = subprocess.run(command, cwd=ROOT, env=environment, timeout=SUITE_LIMIT).returncode
        except subprocess.TimeoutExpired:
            return Outcome(name, failed=1, note=f"stopped after {SUITE_LIMIT} s")
        outcome = Outcome(name)
        if report.is_file():
            for found in ElementTree.parse(report).getroot().iter("testsuite"):
                bad = int(found.get("failures", 0)) + int(found.get("errors", 0))
                outcome.failed += bad
                outcome.skipped += int(found.get("skipped", 0))
                outcome.passed += int(found.get("tests", 0)) - bad - int(found.get("skipped", 0))
    if code != 0 and outcome.failed == 0:  # died, or found no test: neither may look green
        outcome.failed = 1
    outcome.note = f"pytest's exit status {code}, {time.monotonic() - start:.0f} s"
    return outcome


def test_steps(torch_index: str | None) -> list[Outcome]:
    """Run every step; one that fails, or whose environment can't be made, doesn't hide the ones after it."""
    py311 = make_environment("py311", sys.executable, torch_index)
    outcomes = [
        check("ruff check", py311, "ruff", "check", "."),
        check("ruff format", py311, "ruff", "format", "--check", "."),
        check("mypy of the engine", py311, "mypy", "hhmr_engine", "build.py"),
    ]
    name = "mypy of the add-on"
    try:
        outcomes.append(
            check(name, make_environment("typing", sys.executable), "mypy", "hhmr_blender", "demo")
        )
    except BuildError as error:
        outcomes.append(Outcome(name, failed=1, note=str(error)))

    outcomes.append(suite("everything, bpy 5.0.1", py311, py311))
    for group, python in (("bpy45", sys.executable), ("bpy52", find_python313())):
        name = f"Blender side, {requirements(group)[0].replace('==', ' ')}"
        if python is None:
            outcomes.append(Outcome(name, skipped=1, note="no Python 3.13 that runs was found on the path"))
            continue
        try:
            outcomes.append(suite(name, make_environment(group, python), py311, *BLENDER_SIDE))
        except BuildError as error:
            outcomes.append(Outcome(name, failed=1, note=str(error)))
    return outcomes


def command_test(arguments: argparse.Namespace) -> int:
    check_system_libraries()
    outcomes = test_steps(arguments.torch_index)
    print()
    for one in outcomes:
        print(
            f"{one.name:26} {one.passed:5} passed {one.failed:3} failed {one.skipped:3} skipped  ({one.note})"
        )
    passed, failed, skipped = (
        sum(getattr(one, key) for one in outcomes) for key in ("passed", "failed", "skipped")
    )
    print(f"\n{passed} passed, {failed} failed, {skipped} skipped")
    return int(failed > 0)


def main(argv: list[str] | None = None) -> int:
    if sys.version_info[:2] != (3, 11):
        print(
            "build.py needs Python 3.11, the one that bpy 4.5 and 5.0 exist for: python3.11 build.py ...",
            file=sys.stderr,
        )
        return 2
    parser = argparse.ArgumentParser(prog="build.py", description=__doc__.split("\n\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name, function, text in (
        (
            "demo",
            command_demo,
            "complete a hand, and find one in a photo, in Blender; writes pictures to out/",
        ),
        ("test", command_test, "formatting, types and every test, on each Blender"),
        ("extension", command_extension, "write dist/hhmr-X.Y.Z.zip and the repository index"),
    ):
        command = commands.add_parser(name, help=text)
        command.set_defaults(function=function)
        command.add_argument(
            "--torch-index", metavar="URL", help="package index to fetch torch from (only torch)"
        )
        if function is command_demo:
            command.add_argument("--photo", type=Path, help="a photo of a hand, in place of our own render")
    arguments = parser.parse_args(argv)
    try:
        return arguments.function(arguments)
    except BuildError as error:
        print(f"build.py: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
