"""Two processes and one: the same batches, losses and weights, and a run goes on with either number."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from hhmr_engine.training import train as module
from hhmr_engine.training.train import Sources, train
from tests.engine.training.run_settings import SLICED

ROOT = Path(__file__).parents[3]
SCRIPT = """
import sys
from dataclasses import replace
from pathlib import Path
from hhmr_engine.training import train as module
from hhmr_engine.training.train import Sources, train
from tests.engine.training.run_settings import SLICED
module.LOG_STEPS = 2
train(replace(SLICED, steps=int(sys.argv[2])), Path(sys.argv[1]), Sources(), go_on=True)
"""


def _two(folder: Path, steps: int) -> None:
    """As `torchrun --nproc-per-node 2` does: two processes that find each other by the environment."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
    both = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(folder), str(steps)],
            cwd=ROOT,
            env={**os.environ, **shared, "RANK": rank, "LOCAL_RANK": rank},
            stderr=subprocess.PIPE,
        )
        for rank in ("0", "1")
    ]
    for process in both:
        _, said = process.communicate(timeout=300)
        assert process.returncode == 0, said.decode()


def _state(folder: Path, part: str) -> dict[str, torch.Tensor]:
    state = load_file(folder / "state.safetensors")
    return {key: value for key, value in state.items() if key.startswith(part)}


def test_two_processes_train_what_one_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Joints, views, both phases, dropout: equal but for the order of sums; resumed by one, too."""
    monkeypatch.setattr(module, "LOG_STEPS", 2)
    alone, together = tmp_path / "one", tmp_path / "two"
    train(SLICED, alone, Sources())
    _two(together, SLICED.steps - 2)
    train(SLICED, together, Sources(), go_on=True)
    curves = [
        [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
        for folder in (alone, together)
    ]
    assert len(curves[0]) == len(curves[1]) == 7
    assert {"path", "view", "data", "edges"} <= {key for line in curves[0] for key in line}
    for one, two in zip(*curves):
        assert one.keys() == two.keys()
        assert all(abs(one[key] - two[key]) <= 2e-3 * abs(one[key]) + 2e-4 for key in one)
    for key, value in _state(alone, "stream/poses/").items():
        assert torch.equal(value, _state(together, "stream/poses/")[key])
    for key, value in _state(alone, "average/").items():
        torch.testing.assert_close(_state(together, "average/")[key], value, atol=2e-3, rtol=2e-3)
