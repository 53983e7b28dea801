"""The engine's own Python environment, made beside the extension by subprocesses that are polled.

Environments are `env-1`, `env-2`, ... in one folder. A new one never touches the last good one: it carries a
file INCOMPLETE from before its first byte until it is whole, and what carries that file is never used and
is deleted by the next installation. So Blender may be killed at any moment.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import IO

from .interpreters import PROBE, candidates, judge
from .jobs import EngineCommand, Failure
from .process import EngineFailure, child_environment, end_group, platform_options

# The same pins as `dependencies` in pyproject.toml; torch comes first, since it may have an index of its own.
REQUIREMENTS = (
    "torch==2.13.0",
    "numpy==1.26.4; python_version < '3.13'",
    "numpy==2.5.5; python_version >= '3.13'",
    "safetensors==0.8.0",
    "scipy==1.17.1",
    "trimesh==5.2.0",
    "pillow==13.0.0",
    "tqdm==4.70.1",
)
# Older ones, which Python brings, can't tell their progress.
PIP = "pip==25.3"

CHECK = "import torch, numpy, safetensors, trimesh, PIL, tqdm; torch.ones(2, 2) @ torch.ones(2, 2)"
DELETE = "import shutil, sys; [shutil.rmtree(folder, ignore_errors=True) for folder in sys.argv[1:]]"

DISK_NEEDED = 2 * 1024**3  # bytes
PROBE_TIMEOUT = 15.0  # seconds
CHECK_TIMEOUT = 300.0  # a first import under a virus scanner
MARKER = "INCOMPLETE"
LOOK_INTERVAL = 0.1  # seconds between two looks at what the step has printed
LARGE_FILE = 5_000_000  # bytes from which on a download moves the bar

# What pip and Python say -> what is wrong, what to do.
EXPLANATIONS = (
    (r"No space left on device|Errno 28|WinError 112", "The disk is full.", "Free some space and try again."),
    (
        r"name resolution|NewConnectionError|NameResolutionError|ConnectTimeout|ReadTimeout|ProxyError|"
        r"SSLError|getaddrinfo|Network is unreachable|Connection refused",
        "The package index can't be reached.",
        "Check the network (and the proxy), then try again.",
    ),
    (
        r"Long Path support|WinError 206",
        "Windows refuses paths as long as PyTorch's.",
        "Enable long paths in Windows (LongPathsEnabled), then try again.",
    ),
    (
        r"WinError 126|WinError 1114|vcruntime|c10\.dll",
        "PyTorch lacks a library of Windows.",
        "Install the Microsoft Visual C++ Redistributable, then try again.",
    ),
    (r"Permission denied|WinError 5\b", "A file can't be written.", "Close other Blenders and try again."),
)

Work = Generator[None, None, None]


def python_in(environment: Path) -> Path:
    """The interpreter of an environment, whether or not it is there."""
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def environments(root: Path) -> list[Path]:
    """All environments below `root`, whole or not, the newest first."""
    found = [path for path in root.glob("env-*") if path.name.removeprefix("env-").isdecimal()]
    return sorted(found, key=lambda path: int(path.name.removeprefix("env-")), reverse=True)


def installed_python(root: Path) -> Path | None:
    """The interpreter of the newest whole environment below `root`."""
    for environment in environments(root):
        if not (environment / MARKER).exists() and python_in(environment).exists():
            return python_in(environment)
    return None


def engine_command(python: Path, engine_path: Path, *options: str) -> EngineCommand:
    """How the engine in the folder `engine_path` is started with an installed Python."""
    # Without PYTHONSAFEPATH a file called random.py in Blender's working directory would be imported.
    env = {"PYTHONPATH": str(engine_path), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONSAFEPATH": "1"}
    return EngineCommand([str(python), "-m", "hhmr_engine", "serve", *options], env)


class Installation:
    """One press of Install Engine. `poll` never blocks; `step` and `progress` (0 to 1) are for the panel.

    `state` is running, done, failed or cancelled. `error` is None only after "done", and `python` is then the
    new interpreter. Whether Blender may go online is the caller's question.
    """

    def __init__(
        self,
        root: Path,
        python: str = "",
        torch_index: str = "",
        requirements: Sequence[str] = (PIP, *REQUIREMENTS),
        check: str = CHECK,
    ) -> None:
        """`python` is an interpreter, or "" to look for one; `torch_index` a URL, or "" for the default.

        `requirements` are pins; `check` is the Python code that an environment must run to be whole.
        """
        self.state = "running"
        self.step = "Looking for Python"
        self.progress = 0.0
        self.error: Failure | None = None
        self.python: Path | None = None
        self.log_path = root / "install.log"
        self._root = root
        self._chosen = python.strip()
        self._torch_index = torch_index.strip()
        self._requirements = list(requirements)
        self._check = check
        self._cancelled = False
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None
        self._looked = 0.0
        self._base_python = ""
        self._environment: Path | None = None
        self._work = self._run()

    @property
    def finished(self) -> bool:
        return self.state != "running"

    def poll(self) -> None:
        """Look at the step under way, and start the next one when it is done."""
        if not self.finished:
            next(self._work, None)

    def cancel(self) -> None:
        """End the step under way now; further polls delete what it has made. Without them it stays unused."""
        if not self.finished:
            self._cancelled = True
            if self._process is not None:
                end_group(self._process, force=True)

    # ------------------------------------------------------------ steps

    def _run(self) -> Work:
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            self._log = open(self.log_path, "w+b", buffering=0)
            yield from self._install()
            self.state, self.progress, self.step = "done", 1.0, "Installed"
        except (EngineFailure, OSError) as fault:
            error = fault if isinstance(fault, EngineFailure) else explain(str(fault))
            yield from self._revert()
            self.error = Failure(error.code, error.message, error.hint)
            self.state = "cancelled" if self._cancelled else "failed"
        finally:
            if self._log is not None:
                self._log.close()

    def _install(self) -> Work:
        yield from self._find_python()
        free = shutil.disk_usage(self._root).free
        if free < DISK_NEEDED:
            text = (
                f"The engine needs {DISK_NEEDED >> 30} GB, and {self._root} has {free / 2**30:.1f} GB left."
            )
            raise EngineFailure("install_failed", text, "Free some space and try again.")
        old = environments(self._root)
        new = self._root / f"env-{1 + max([int(path.name[4:]) for path in old], default=0)}"
        new.mkdir()
        (new / MARKER).touch()
        self._environment = new
        unusable = [path for path in old if (path / MARKER).exists()]
        if unusable:
            yield from self._do("Deleting an unfinished environment", 0.03, self._deletion(unusable))
        yield from self._do("Making an environment", 0.08, [self._base_python, "-I", "-m", "venv", str(new)])
        (new / "tmp").mkdir()
        python = str(python_in(new))
        # Isolated: no PYTHON* variable and no package of the user's own takes part.
        pip = [python, "-I", "-u", "-m", "pip", "install", "--only-binary=:all:"]
        if PIP in self._requirements:
            yield from self._do("Updating pip", 0.1, [*pip, PIP])
            pip += ["--progress-bar", "raw"]
        torch = [pin for pin in self._requirements if pin.startswith("torch==")]
        if torch:
            index = ["--index-url", self._torch_index] if self._torch_index else []
            yield from self._do("Installing PyTorch", 0.75, [*pip, *index, *torch])
        yield from self._do("Installing packages", 0.9, [*pip, *self._requirements])
        yield from self._do("Trying it", 0.97, [python, "-I", "-c", self._check], CHECK_TIMEOUT)
        shutil.rmtree(new / "tmp", ignore_errors=True)
        (new / MARKER).unlink()
        self.python = python_in(new)
        self._environment = None
        replaced = [path for path in old if path not in unusable]
        for path in replaced:
            (path / MARKER).touch()
        if replaced:
            yield from self._wait(self._deletion(replaced), None)

    def _find_python(self) -> Work:
        """Try the chosen interpreter, or all that can be found, until one will do."""
        refusals: list[str] = []
        for command in [[self._chosen]] if self._chosen else candidates():
            try:
                output = yield from self._call([*command, "-I", "-c", PROBE], PROBE_TIMEOUT)
            except (EngineFailure, OSError) as fault:
                if self._cancelled:
                    raise
                output = str(fault)
            self._base_python, refusal = judge(output)
            if self._base_python:
                return
            refusals.append(f"{' '.join(command)}: {refusal}.")
        if self._chosen:
            text, hint = f"{refusals[0]}", "Choose another Python in the preferences."
        else:
            text = "No Python 3.11 to 3.13 was found on this computer."
            hint = "Install Python 3.12 from python.org, or choose an interpreter in the preferences."
        assert self._log is not None
        self._log.write("\n".join([*refusals, ""]).encode("utf-8", "replace"))
        raise EngineFailure("install_failed", text, hint)

    def _revert(self) -> Work:
        """Delete the unfinished environment; what can't be deleted keeps its marker."""
        if self._environment is not None and self._base_python:
            self.step = "Deleting the unfinished environment"
            try:
                yield from self._wait(self._deletion([self._environment]), None)
            except OSError:
                pass  # the next installation tries again

    def _deletion(self, folders: Sequence[Path]) -> list[str]:
        return [self._base_python, "-I", "-c", DELETE, *map(str, folders)]

    # ------------------------------------------------------------ one step

    def _do(self, step: str, until: float, command: Sequence[str], timeout: float | None = None) -> Work:
        """Run one step, moving the bar to `until`; EngineFailure when it fails or is cancelled."""
        self.step = step
        before = self.progress
        yield from self._call(command, timeout, (before, until))
        self.progress = until

    def _call(
        self,
        command: Sequence[str],
        timeout: float | None = None,
        span: tuple[float, float] | None = None,
    ) -> Generator[None, None, str]:
        """Run a command to its end and return what it printed; EngineFailure if it fails or is cancelled."""
        if self._cancelled:
            raise EngineFailure("cancelled", "Installing the engine was cancelled.")
        code, output = yield from self._wait(command, timeout, span)
        if self._cancelled:
            raise EngineFailure("cancelled", "Installing the engine was cancelled.")
        if code != 0:
            raise explain(output)
        return output

    def _wait(
        self, command: Sequence[str], timeout: float | None, span: tuple[float, float] | None = None
    ) -> Generator[None, None, tuple[int, str]]:
        """(exit code, output) of a command, polled until it ends or its time is over."""
        assert self._log is not None
        self._log.write(f"--- {' '.join(command)}\n".encode("utf-8", "replace"))
        start = self._log.seek(0, os.SEEK_END)
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env=self._environment_variables(),
            cwd=self._root,
            **platform_options(),  # type: ignore[call-overload]
        )
        deadline = time.monotonic() + timeout if timeout else float("inf")
        while self._process.poll() is None:
            if time.monotonic() > deadline:
                end_group(self._process, force=True)
            yield
            if span is not None and time.monotonic() > self._looked + LOOK_INTERVAL:
                self._looked = time.monotonic()
                self._follow(span)
        self._log.seek(start)
        output = self._log.read().decode("utf-8", "replace")
        return self._process.returncode, output

    def _environment_variables(self) -> dict[str, str]:
        told = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "PIP_USER": "0"}
        if self._environment is not None and (self._environment / "tmp").is_dir():
            # Downloads go where there is room, and with the environment if it is given up.
            told |= {name: str(self._environment / "tmp") for name in ("TMPDIR", "TEMP", "TMP")}
        return child_environment(told)

    def _follow(self, span: tuple[float, float]) -> None:
        """Move the bar by the last of pip's lines "Progress 123 of 456"."""
        with open(self.log_path, "rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - 4096))
            tail = log.read()
        told = re.findall(rb"^Progress (\d+) of (\d+)", tail, re.MULTILINE)
        if told and int(told[-1][1]) > LARGE_FILE:
            start, end = span
            share = int(told[-1][0]) / int(told[-1][1])
            # Unpacking takes as long as a fast download.
            self.progress = max(self.progress, start + 0.7 * share * (end - start))


def explain(output: str) -> EngineFailure:
    """What a failed step's output means for the person who pressed the button."""
    for pattern, text, hint in EXPLANATIONS:
        if re.search(pattern, output):
            return EngineFailure("install_failed", text, hint)
    missing = re.search(r"No matching distribution found for (\S+)", output)
    if missing:
        text = f"The package index has no {missing[1]} for this computer and this Python."
        return EngineFailure(
            "install_failed", text, "Choose another Python (3.11 to 3.13) in the preferences."
        )
    lines = [line for line in output.splitlines() if line.strip() and not line.startswith("Progress ")]
    last = lines[-1].strip()[:300] if lines else "it said nothing"
    return EngineFailure("install_failed", f"A step of the installation failed: {last}.", "See install.log.")
