"""`hhmr doctor`: what this engine runs on, and what is wrong with it and what to do."""

from __future__ import annotations

import ctypes
import hashlib
import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .version import VERSION

PACKAGES = ("torch", "numpy", "safetensors", "scipy", "trimesh", "pillow", "tqdm")
_NEEDED_BYTES = 1 << 30  # the engine's promise: it lives in a gigabyte
_WEIGHTS = Path(__file__).with_name("weights")

Report = dict[str, Any]


def examine(weights: Path | None = None) -> Report:
    """The whole report, ready for json; never raises for a broken installation, since it is there to tell.

    `weights`: a file to look at beside those that ship. Keys: engine, python, platform, packages, devices,
    weights, template, memory, problems (what, fix), ok.
    """
    problems: list[dict[str, str]] = []

    def problem(what: str, fix: str) -> None:
        problems.append({"what": what, "fix": fix})

    report: Report = {
        "engine": VERSION,
        "python": platform.python_version(),
        "executable": sys.executable,
        "platform": platform.platform(),
        "packages": _packages(problem),
        "devices": _devices(problem),
        "template": _template(problem),
        "weights": _weights(weights, problem),
        "memory": _memory(problem),
    }
    if not (3, 11) <= sys.version_info[:2] < (3, 14):
        problem(
            f"Python {report['python']} is not supported.", "Install the engine with Python 3.11 to 3.13."
        )
    return report | {"problems": problems, "ok": not problems}


def _packages(problem: Callable[[str, str], None]) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
            problem(f"The package {name} is not installed.", f"Run: {sys.executable} -m pip install {name}")
    return found


def _devices(problem: Callable[[str, str], None]) -> list[Report]:
    try:
        import torch
    except (ImportError, OSError) as exc:  # OSError: a shared library of torch is missing
        problem(f"torch cannot be loaded: {exc}.", "Install the engine again.")
        return []
    cpu = platform.processor() or platform.machine()
    devices: list[Report] = [{"name": "cpu", "what": cpu, "threads": torch.get_num_threads()}]
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        devices.append(
            {"name": f"cuda:{index}", "what": properties.name, "memory_bytes": properties.total_memory}
        )
    if torch.backends.mps.is_available():
        devices.append({"name": "mps", "what": "Apple GPU"})
    return devices


def _template(problem: Callable[[str, str], None]) -> Report | None:
    try:
        from .hand.template import DEFAULT_PATH, load_template

        template = load_template(DEFAULT_PATH)
    except (ImportError, OSError, ValueError) as exc:
        problem(f"The hand template cannot be read: {exc}", "Install the engine again.")
        return None
    return {
        "name": template.name,
        "vertices": len(template.vertices),
        "faces": len(template.faces),
        "sha256": _sha256(DEFAULT_PATH),
    }


def _weights(extra: Path | None, problem: Callable[[str, str], None]) -> list[Report]:
    paths = sorted(_WEIGHTS.glob("*.safetensors"))
    if not paths and extra is None:
        problem(f"There are no weights in {_WEIGHTS}.", "Install the engine again, or use --method gaussian.")
    found: list[Report] = []
    for path in [*paths, *([extra] if extra else [])]:
        try:
            entry = {"path": str(path), "bytes": path.stat().st_size, "sha256": _sha256(path)}
            fault = _unreadable(path)
        except OSError as exc:
            entry, fault = {"path": str(path)}, str(exc.strerror or exc)
        found.append(entry | {"ok": fault is None})
        if fault is not None:
            problem(f"The weights {path} cannot be read: {fault}.", "Copy or train them again.")
    return found


def _unreadable(path: Path) -> str | None:
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as exc:
        return str(exc)
    try:
        with safe_open(path, "numpy") as file:
            return None if list(file.keys()) else "it holds no tensors"
    except SafetensorError as exc:
        return str(exc)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _memory(problem: Callable[[str, str], None]) -> Report:
    try:
        free = free_memory()
    except (OSError, ValueError, subprocess.SubprocessError):
        free = None
    if free is not None and free < _NEEDED_BYTES:
        problem(f"Only {free >> 20} MiB of memory are free.", "Close other programs: the engine needs 1 GiB.")
    return {"free_bytes": free}


def free_memory() -> int | None:
    """Bytes that a new program can have without swapping; None where that cannot be found out."""
    if sys.platform == "win32":
        status = (ctypes.c_uint64 * 8)()
        ctypes.memmove(status, (ctypes.c_uint32 * 1)(ctypes.sizeof(status)), 4)
        if not ctypes.windll.kernel32.GlobalMemoryStatusEx(status):
            return None
        return int(status[2])  # ullAvailPhys, after two 32-bit fields and ullTotalPhys
    if sys.platform == "darwin":
        text = subprocess.run(["vm_stat"], capture_output=True, text=True, timeout=5, check=True).stdout
        pages = {key: value for key, _, value in (line.partition(":") for line in text.splitlines())}
        size = os.sysconf("SC_PAGE_SIZE")
        names = ("Pages free", "Pages inactive", "Pages speculative")
        return size * sum(int(pages.get(name, "0").strip(" .")) for name in names)
    for line in Path("/proc/meminfo").read_text("ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return 1024 * int(line.split()[1])
    return None


def as_text(report: Report) -> str:
    """The report for people: a line a thing, problems last."""
    lines = [f"HHMR engine {report['engine']}, Python {report['python']}, {report['platform']}"]
    lines += [f"  {name} {version or 'missing'}" for name, version in report["packages"].items()]
    lines += [f"  device {device['name']}: {device['what']}" for device in report["devices"]]
    if report["template"]:
        lines.append(f"  hand {report['template']['name']}: {report['template']['vertices']} vertices")
    for entry in report["weights"]:
        lines.append(f"  weights {entry['path']}: {entry.get('sha256', 'unreadable')[:16]}")
    free = report["memory"]["free_bytes"]
    lines.append(f"  free memory {'unknown' if free is None else f'{free / 2**30:.1f} GiB'}")
    lines += [f"Problem: {p['what']} {p['fix']}" for p in report["problems"]] or ["Nothing is wrong."]
    return "\n".join(lines)
