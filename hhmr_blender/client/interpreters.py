"""Pythons on this computer that the engine's environment could be made with."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

# Tried in this order: the engine's tests run on the first.
VERSIONS = ("3.11", "3.12", "3.13")

# Printed by a candidate about itself; a shim or the Windows Store's stub prints something else, or hangs.
PROBE_MARK = "HHMR-PYTHON "
PROBE = f"""
import json, struct, sys
import ensurepip, ssl, venv
print({PROBE_MARK!r} + json.dumps([list(sys.version_info[:3]), struct.calcsize("P") * 8, sys.executable]))
"""


def candidates() -> Iterator[list[str]]:
    """Command lines that may start a Python, best first; each is found, and none has been tried."""
    seen: set[str] = set()
    for command in _guesses():
        program = shutil.which(command[0])
        # Apple's is a 3.9, or a stub that asks to install its developer tools.
        if program is None or (sys.platform == "darwin" and program.startswith("/usr/bin/")):
            continue
        key = " ".join([os.path.realpath(program), *command[1:]])
        # pyenv's shims are all one file: its name decides what it does.
        if "shims" in Path(program).parts:
            key = program
        if key not in seen:
            seen.add(key)
            yield [program, *command[1:]]


def _guesses() -> Iterator[list[str]]:
    for version in VERSIONS:
        if sys.platform == "win32":
            yield ["py", f"-{version}"]
            programs = Path(os.environ.get("LOCALAPPDATA", ""), "Programs", "Python")
            yield [str(programs / f"Python{version.replace('.', '')}" / "python.exe")]
        yield [f"python{version}"]
        # An application that is started from a desktop has a shorter PATH than a terminal.
        yield [f"/opt/homebrew/bin/python{version}"]
        yield [f"/usr/local/bin/python{version}"]
        yield [f"/Library/Frameworks/Python.framework/Versions/{version}/bin/python{version}"]
        yield [str(Path.home() / ".local" / "bin" / f"python{version}")]
        for found in sorted(
            Path.home().glob(f".pyenv/versions/{version}*/bin/python{version}"), reverse=True
        ):
            yield [str(found)]
    yield ["python3"]
    yield ["python"]
    # Blender brings its own. It comes last, since the environment dies with that Blender.
    yield [sys.executable]


def judge(output: str) -> tuple[str, str]:
    """(interpreter, "") if what a probe printed is that of a Python that will do, else ("", why not)."""
    for line in output.splitlines():
        if not line.startswith(PROBE_MARK):
            continue
        try:
            version, bits, executable = json.loads(line.removeprefix(PROBE_MARK))
            found = f"{version[0]}.{version[1]}"
        except (ValueError, TypeError, IndexError):
            break
        if found not in VERSIONS:
            return "", f"it is Python {found}, and the engine needs {VERSIONS[0]} to {VERSIONS[-1]}"
        if bits != 64:
            return "", "it is a 32-bit Python, and the engine needs 64 bits"
        return executable, ""
    if "ensurepip" in output or "No module named 'venv'" in output:
        return "", "it has no venv module (on Debian and Ubuntu: install the package python3-venv)"
    if "_ssl" in output:
        return "", "it was built without SSL, so it can't download"
    return "", "it does not run"
