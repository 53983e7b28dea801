"""What is drawn over editors while pictures are worked on: a box, the bones of a 2D skeleton."""

from __future__ import annotations

from typing import Any

import bpy

BOX = (1.0, 0.62, 0.2, 1.0)
dragged: tuple[int, int, int, int] | None = None
"""Box that is being dragged: x, y, width, height in the picture's pixels."""
_handles: list[tuple[Any, Any]] = []


def register() -> None:
    if bpy.app.background:
        return
    for space, draw, how in (
        (bpy.types.SpaceImageEditor, _draw_box, "POST_PIXEL"),
        (bpy.types.SpaceView3D, _draw_skeleton, "POST_VIEW"),
    ):
        _handles.append((space, space.draw_handler_add(draw, (), "WINDOW", how)))


def unregister() -> None:
    while _handles:
        space, handle = _handles.pop()
        space.draw_handler_remove(handle, "WINDOW")


def _draw_box() -> None:
    from .capture.camera import pixels

    image = bpy.context.space_data.image
    if image is None or not pixels(image)[1]:
        return
    x, y, width, height = dragged or image.hhmr_box
    if width <= 0 or height <= 0:
        return
    to_region = bpy.context.region.view2d.view_to_region
    across, up = pixels(image)
    corners = [
        to_region(u / across, 1 - v / up, clip=False)
        for u, v in ((x, y), (x + width, y), (x + width, y + height), (x, y + height))
    ]
    _lines([(*a, 0.0) for i in range(4) for a in (corners[i - 1], corners[i])], [BOX] * 8)


def _draw_skeleton() -> None:
    from .apply.skeleton2d import COLOURS, finger
    from .capture.skeleton2d import joints, root_of
    from .rigs.tables import CHAINS

    root = root_of(bpy.context.object)
    if root is None:
        return
    known = joints(root)
    points, colours = [], []
    for chain in CHAINS:
        for a, b in zip((0, *chain[:3]), chain):
            if a in known and b in known:
                points += [known[a].matrix_world.translation, known[b].matrix_world.translation]
                colours += [(*COLOURS[finger(b)], 1.0)] * 2
    if points:
        _lines(points, colours)


def _lines(points: list, colours: list) -> None:
    """Lines between pairs of points."""
    import gpu
    from gpu_extras.batch import batch_for_shader

    shader = gpu.shader.from_builtin("POLYLINE_FLAT_COLOR")
    batch = batch_for_shader(shader, "LINES", {"pos": points, "color": colours})
    gpu.state.blend_set("ALPHA")
    shader.uniform_float("viewportSize", gpu.state.viewport_get()[2:])
    shader.uniform_float("lineWidth", 2.0)
    batch.draw(shader)
    gpu.state.blend_set("NONE")
