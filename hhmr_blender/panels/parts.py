"""What the panels share: the tab, the button a panel is about, its progress and its message."""

from __future__ import annotations

import blf
import bpy

from ..problems import MENDS
from ..session import session


class Tab:
    """Where every panel of ours is."""

    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "HHMR"


def draw_ask(layout: bpy.types.UILayout, context: bpy.types.Context, operator: str, icon: str) -> None:
    """The button that a panel is about, and what came of pressing it: so that no other button moves."""
    row = layout.row()
    row.scale_y = 1.4
    mine = session.asked_by == operator
    if mine and session.run is not None:
        draw_progress(row)
    else:
        row.operator(operator, icon=icon)
    if mine and session.installation is not None:
        draw_installation(layout)
    elif mine and session.run is None and session.notice is not None:
        draw_notice(layout, context)


def draw_progress(layout: bpy.types.UILayout) -> None:
    """Bar and cancel button of the request under way."""
    assert session.run is not None
    job, client = session.run.job, session.engine()
    if job.cancelled_at is not None:
        text = "Cancelling ..."
    elif job.steps:
        text = f"Step {job.step} of {job.steps}"
    else:
        text = "Starting the engine ..." if client.state != "ready" else "Loading the engine ..."
        text = "Thinking ..." if client.status == "ready" else text
    row = layout.row(align=True)
    row.progress(factor=job.progress, type="BAR", text=text)
    row.operator("hhmr.cancel", text="", icon="CANCEL")


def draw_installation(layout: bpy.types.UILayout) -> None:
    """Bar and cancel button of what is being installed."""
    installation = session.installation
    assert installation is not None
    row = layout.row(align=True)
    row.progress(factor=installation.progress, type="BAR", text=installation.step)
    row.operator("hhmr.cancel_install", text="", icon="CANCEL")


def draw_notice(layout: bpy.types.UILayout, context: bpy.types.Context, buttons: bool = True) -> None:
    """The last message and, for a problem, the buttons that mend it."""
    notice = session.notice
    assert notice is not None
    box = layout.box()
    row = box.row()
    wrapped(row.column(align=True), notice.text, context, icon="ERROR" if notice.code else "INFO")
    row.operator("hhmr.dismiss", text="", icon="X", emboss=False)
    for mend in MENDS.get(notice.code, ()) if buttons else ():
        button = box.operator(mend.operator, text=mend.label, icon=mend.icon)
        for name, value in mend.properties.items():
            setattr(button, name, value)


def wrapped(layout: bpy.types.UILayout, text: str, context: bpy.types.Context, icon: str = "NONE") -> None:
    """A sentence over as many labels as the region is wide: labels do not wrap by themselves."""
    scale = context.preferences.system.ui_scale
    blf.size(0, context.preferences.ui_styles[0].widget.points * scale)
    width = context.region.width - 115 * scale  # the tabs, the icon, the button that dismisses
    lines, line = [], ""
    for word in text.split(" "):  # not at a no-break space
        longer = f"{line} {word}".strip()
        if line and blf.dimensions(0, longer)[0] > width:
            lines.append(line)
            longer = word
        line = longer
    for i, one in enumerate([*lines, line]):
        layout.label(text=one, icon=icon if i == 0 else "BLANK1" if icon != "NONE" else "NONE")
