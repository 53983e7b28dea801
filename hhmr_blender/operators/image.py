"""Hands from a picture, and what the scene needs for it: a camera, and a render of the picture's shape."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import bpy
from bpy.props import IntProperty
from mathutils import Matrix

from ..problems import Problem
from ..session import Shot, Target, session
from .generate import Asking, report, request

if TYPE_CHECKING:
    import numpy as np

LARGEST_RENDER = 65536


class HHMR_OT_reconstruct(Asking, bpy.types.Operator):
    """Make hands from the picture, placed so that the scene's camera sees them where they are in it"""

    bl_idname = "hhmr.reconstruct"
    bl_label = "Reconstruct"
    bl_options = {"REGISTER"}

    hand: IntProperty(
        name="Hand",
        description="Which of the hands in the picture, the largest first; a box makes it the only one",
        default=1,
        min=1,
        max=100,
        options={"SKIP_SAVE"},
    )

    def execute(self, context: bpy.types.Context) -> set[str]:
        return self.ask(lambda: self._reconstruct(context))

    def _reconstruct(self, context: bpy.types.Context) -> None:
        from ..capture import camera, picture

        context.view_layer.update()  # a script may have moved the camera just now
        image = picture_of(context.scene)
        if image is None:
            raise Problem("no_photo", "Choose a picture of a hand first, or open one.")
        seen = camera.view(context.scene)
        taken = picture.take(image, seen.camera, camera.placement(seen, image))
        arrays: dict[str, np.ndarray] = {"photo": taken.pixels}
        if taken.box is not None:
            arrays["box"] = taken.box
        again = _same(context.object, image, self.hand)
        target = Target(
            "CAMERA",
            seen.matrix @ taken.matrix,
            again.session_uid if again is not None else 0,
            again.name if again is not None else "",
            shot=Shot(seen.camera.session_uid, image.session_uid, askew=taken.matrix),
        )
        asked = seen_request(context) | {"which": self.hand - 1, "focal": taken.focal}
        note = {"source": "photo", "image": image.name, "camera": seen.camera.name}
        session.submit(asked, arrays, target, note)


def seen_request(context: bpy.types.Context) -> dict[str, object]:
    """Fields of a request about what a camera sees, out of the scene's settings."""
    chosen = context.scene.hhmr
    asked = request(context, "reconstruct", chosen.photo_side.lower())
    del asked["rho"]  # it is about millimetres of what was captured in 3D
    return asked | {"palm": chosen.palm}


def picture_of(scene: bpy.types.Scene) -> bpy.types.Image | None:
    """The picture that is chosen, else the one that the scene's camera has as its background."""
    from ..capture.camera import backgrounds

    if scene.hhmr.photo is not None:
        return scene.hhmr.photo
    return next((one.image for one in backgrounds(scene.camera)), None)


def _same(ob: bpy.types.Object | None, image: bpy.types.Image, hand: int) -> bpy.types.Object | None:
    """The active object, if it is what was made of this hand of the picture before: it takes the new ones."""
    from ..apply import in_camera, shape_keys

    if ob is None or not shape_keys.hypotheses(ob) or not in_camera.can_take(ob):
        return None
    known = shape_keys.provenance(ob.data)
    made_of = known is not None and (known.request.get("image"), known.request.get("which"))
    return ob if made_of == (image.name, hand - 1) else None


class HHMR_OT_match_render(bpy.types.Operator):
    """Give the render the picture's resolution, so that it shows exactly what the picture shows"""

    bl_idname = "hhmr.match_render"
    bl_label = "Match Render to Picture"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        from ..capture.camera import shape

        image = picture_of(context.scene)
        if image is None or not shape(image)[1]:
            return report(self, Problem("no_photo", "Choose a picture that can be read first."))
        width, height = shape(image)
        factor = min(1.0, LARGEST_RENDER / max(width, height))
        render = context.scene.render
        render.resolution_x, render.resolution_y = round(factor * width), round(factor * height)
        render.pixel_aspect_x = render.pixel_aspect_y = 1.0
        return {"FINISHED"}


class HHMR_OT_add_camera(bpy.types.Operator):
    """Add a camera that sees what this viewport shows, and make it the scene's"""

    bl_idname = "hhmr.add_camera"
    bl_label = "Add Camera"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
        (context.collection or context.scene.collection).objects.link(camera)
        region = context.region_data
        front = Matrix.Translation((0.0, -1.0, 0.0)) @ Matrix.Rotation(math.pi / 2, 4, "X")
        camera.matrix_world = region.view_matrix.inverted() if region is not None else front
        camera.data.clip_start = 0.01  # hands are near
        context.scene.camera = camera
        if session.notice is not None and session.notice.code in ("no_camera", "bad_camera"):
            session.notice = None
        return {"FINISHED"}


CLASSES = (HHMR_OT_reconstruct, HHMR_OT_match_render, HHMR_OT_add_camera)
