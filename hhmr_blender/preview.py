"""The hand that is being denoised, drawn as lines over the 3D viewports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bpy
from mathutils import Matrix

if TYPE_CHECKING:
    from .template import Floats

COLOUR = (0.95, 0.6, 0.25)
_handle: Any = None
_shown: tuple[Floats, Matrix] | None = None


def show(vertices: Floats, matrix: Matrix) -> None:
    """Draw these vertices [V, 3], in template order and the matrix's space, from the next redraw on."""
    global _handle, _shown
    _shown = (vertices, matrix)
    if _handle is None and not bpy.app.background:
        _handle = bpy.types.SpaceView3D.draw_handler_add(_draw, (), "WINDOW", "POST_VIEW")


def hide() -> None:
    """Stop drawing."""
    global _handle, _shown
    _shown = None
    if _handle is not None:
        bpy.types.SpaceView3D.draw_handler_remove(_handle, "WINDOW")
        _handle = None


def _draw() -> None:
    import gpu
    from gpu_extras.batch import batch_for_shader

    from .template import edges

    if _shown is None:
        return
    vertices, matrix = _shown
    shader = gpu.shader.from_builtin("UNIFORM_COLOR")
    batch = batch_for_shader(shader, "LINES", {"pos": vertices.tolist()}, indices=edges())
    gpu.state.blend_set("ALPHA")
    gpu.state.depth_test_set("LESS_EQUAL")
    gpu.matrix.push()
    gpu.matrix.multiply_matrix(matrix)
    shader.uniform_float("color", (*COLOUR, 0.6))
    batch.draw(shader)
    gpu.matrix.pop()
    gpu.state.depth_test_set("NONE")
    gpu.state.blend_set("NONE")
