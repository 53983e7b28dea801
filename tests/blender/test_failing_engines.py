"""Engines that cannot be started, fail or lie: a sentence, and the scene as it was."""

from __future__ import annotations

import sys
from pathlib import Path

import bpy

from hhmr_blender import pump
from hhmr_blender.problems import MENDS
from hhmr_blender.session import session
from tests.blender.asking import TIMEOUT, begin, engine, keep_palm, keys, press, running  # noqa: F401  (fixtures)


def fails(hand: bpy.types.Object, command: str, code: str) -> str:
    bpy.context.preferences.addons["hhmr_blender"].preferences.command = command
    begin(hand)
    assert pump.wait(TIMEOUT)
    assert session.notice is not None and session.notice.code == code
    assert MENDS[code], "a problem of the engine needs a button"
    assert keys(hand) == [] and len(bpy.data.objects) == 1
    return session.notice.text


def test_no_engine_installed(hand: bpy.types.Object) -> None:
    assert "not installed" in fails(hand, "", "no_engine")


def test_no_such_interpreter(hand: bpy.types.Object) -> None:
    fails(hand, "/nowhere/python3", "bad_command")


def test_command_line_that_cannot_be_read(hand: bpy.types.Object) -> None:
    fails(hand, "ssh 'box", "bad_command")


def test_engine_that_talks_nonsense(hand: bpy.types.Object, engine_python: Path) -> None:
    fails(hand, f"{engine_python} -c 'print(42)'", "engine_failed")


def test_engine_that_dies_at_once(hand: bpy.types.Object, engine_python: Path) -> None:
    fails(hand, f"{engine_python} -c 'raise SystemExit(3)'", "engine_failed")


def test_engine_of_another_protocol(hand: bpy.types.Object, engine_python: Path, tmp_path: Path) -> None:
    program = tmp_path / "old.py"
    program.write_text(
        'import sys\nprint(\'{"type":"hello","protocol":[0,9]}\', flush=True)\nsys.stdin.read()\n'
    )
    assert "outdated" in fails(hand, f"{engine_python} {program}", "outdated")


def test_engine_killed_in_the_middle_of_a_job(
    hand: bpy.types.Object, engine_python: Path, tmp_path: Path
) -> None:
    program = tmp_path / "dies.py"
    program.write_text(
        "import os, signal, sys\n"
        'print(\'{"type":"hello","protocol":[1,0]}\', flush=True)\n'
        "while b'\"run\"' not in sys.stdin.buffer.readline(): pass\n"
        "os.kill(os.getpid(), 9)\n"
    )
    fails(hand, f"{engine_python} {program}", "engine_failed")


def test_log_that_cannot_be_written_stops_nothing(hand: bpy.types.Object) -> None:
    bpy.context.preferences.addons["hhmr_blender"].preferences.log_file = "/dev/full"
    keep_palm(hand)
    press(bpy.ops.hhmr.complete)
    assert len(keys(hand)) == 5
    assert sys.platform != "linux" or "log" in session.engine().log_note


def test_an_idle_tick_does_nothing(hand: bpy.types.Object) -> None:
    keep_palm(hand)
    press(bpy.ops.hhmr.complete)
    pump.poll()
    drawn, notice, client, names = pump._drawn, session.notice, session.client, keys(hand)
    for _ in range(20):
        pump.poll()
    assert pump._drawn is drawn  # nothing was redrawn
    assert session.run is None and session.notice is notice and session.client is client
    assert client.state == "ready" and not client.busy and keys(hand) == names
