"""The one user of bpy.app.timers: poll -> state -> redraw -> apply.

Nothing here may wait: a tick takes well under 2 ms unless there is a result to write.
"""

from __future__ import annotations

import logging
import time

import bpy

from . import preview
from .session import Notice, Run, session

BUSY = 0.03
"""Seconds between ticks while something is under way."""
IDLE = 0.5
"""And while the engine only waits: its death must be seen, no more."""

# While the user drags something, a change of the scene would pull it from under the mouse.
DRAGGING = ("TRANSFORM_OT_", "SCULPT_OT_", "PAINT_OT_", "MESH_OT_", "VIEW3D_OT_select", "GPENCIL_OT_")

log = logging.getLogger(__name__)
_drawn: tuple[object, ...] = ()


def start() -> None:
    """Have the timer run; it ends by itself when there is nothing left to look at."""
    if not bpy.app.timers.is_registered(_tick):
        bpy.app.timers.register(_tick, first_interval=BUSY)


def stop() -> None:
    """Take the timer and the preview away."""
    preview.hide()
    if bpy.app.timers.is_registered(_tick):
        bpy.app.timers.unregister(_tick)


def wait(seconds: float = 60.0) -> bool:
    """Poll until nothing is under way: for scripts and for Blender without a window, where no timer fires.

    Returns False when time is over first.
    """
    end = time.monotonic() + seconds
    while session.busy or (session.installation is not None and not session.installation.finished):
        if time.monotonic() > end:
            return False
        poll()
        time.sleep(0.005)
    return True


def poll() -> None:
    """One look at everything that is under way."""
    if session.client is not None:
        session.client.poll()
    if session.installation is not None:
        _poll_installation()
    run = session.run
    if run is not None:
        if run.job.preview is not None and not run.job.finished:
            preview.show(run.job.preview, run.target.matrix)
        if run.job.finished and not _dragging():
            _finish(run)
    else:
        preview.hide()
    redraw()


def _tick() -> float | None:
    try:
        poll()
    except Exception:  # the timer's edge: an exception here would end all polling, and nobody would be told
        log.exception("HHMR could not follow its engine")
        session.shut_down()
        preview.hide()
        session.notice = Notice("The add-on made a mistake; Blender's console says which.", "internal")
        redraw()
        return None
    if (
        session.busy
        or session.installation is not None
        or (session.client is not None and session.client.busy)
    ):
        return BUSY
    return IDLE if session.client is not None and session.client.state == "ready" else None


def _finish(run: Run) -> None:
    """The job's last word has come."""
    preview.hide()
    job = run.job
    if job.state == "done":
        _apply()
    elif job.state == "failed" and job.error is not None:
        session.notice = Notice(f"{job.error.message} {job.error.hint}".strip(), job.error.code or "internal")
    elif job.state == "cancelled":
        session.notice = Notice("Cancelled.")
    session.finish()


def _apply() -> None:
    """Write the result as an undo step of its own; a timer has no window, and modes need one."""
    windows = bpy.context.window_manager.windows
    with bpy.context.temp_override(window=bpy.context.window or windows[0]):
        bpy.ops.hhmr.apply_result("EXEC_DEFAULT", True)


def _poll_installation() -> None:
    installation = session.installation
    assert installation is not None
    installation.poll()
    if installation.finished:
        failure = installation.error
        session.installation = None
        if failure is None:
            session.notice = Notice("The engine is installed.")
        else:
            code = "" if installation.state == "cancelled" else failure.code
            session.notice = Notice(f"{failure.message} {failure.hint}".strip(), code)


def _dragging() -> bool:
    windows = bpy.context.window_manager.windows
    return any(op.bl_idname.startswith(DRAGGING) for window in windows for op in window.modal_operators)


def redraw() -> None:
    """Redraw the sidebars if what they show has changed, and the viewports if the preview has."""
    global _drawn
    run, client, installation = session.run, session.client, session.installation
    shown = (
        run and (run.job.state, run.job.step, id(run.job.preview)),
        client and (client.state, client.status),
        installation and (installation.state, installation.step, int(100 * installation.progress)),
        session.notice,
    )
    if shown == _drawn:
        return
    viewport = run is not None or bool(_drawn and _drawn[0])
    _drawn = shown
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "PREFERENCES":
                area.tag_redraw()
            if area.type == "VIEW_3D":
                for region in area.regions:
                    if region.type == "UI" or (viewport and region.type == "WINDOW"):
                        region.tag_redraw()
