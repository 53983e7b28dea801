"""How the scene's camera sees, and where in its frame a picture lies.

A ray is a direction from the camera as (x, y): where it meets the plane at distance 1, in Blender's camera
axes (x right, y up, looking along -z). Rays know nothing of pixels, so they outlive any resolution.
"""

from __future__ import annotations

from dataclasses import dataclass

import bpy
import numpy as np
from mathutils import Matrix, Vector
from numpy.typing import NDArray

from ..problems import Problem

Floats = NDArray[np.float64]

FLATTEST = 1e-6
"""Determinant below which a camera's axes are those of a mirrored or squashed one."""


@dataclass(frozen=True)
class View:
    """The scene's camera. Its frame, which is what gets rendered, is measured at distance 1."""

    camera: bpy.types.Object
    matrix: Matrix
    """From the camera's axes to the world, without scale."""
    width: float
    height: float
    middle: Vector
    """Ray (x, y) through the middle of the frame: not (0, 0) where the lens is shifted."""
    unit: float
    """What Blender counts offsets of backgrounds in: mostly the frame's longer side."""

    @property
    def aspect(self) -> float:
        """Width to height, as it is seen."""
        return self.width / self.height

    def rays(self, points: Floats) -> Floats:
        """Rays [n, 2] to points [n, 3] of the world; NaN for what is not before the camera."""
        back = np.array(self.matrix.inverted(), dtype=float)
        local = points @ back[:3, :3].T + back[:3, 3]
        depth = np.where(local[:, 2:] < 0, -local[:, 2:], np.nan)
        return local[:, :2] / depth

    def depth(self, point: Vector) -> float:
        """How far before the camera a point of the world lies."""
        return -(self.matrix.inverted() @ point).z


@dataclass(frozen=True)
class Placement:
    """Where a picture lies in the camera's frame, measured at distance 1."""

    width: float
    height: float
    middle: Vector
    """Ray (x, y) through its middle."""
    roll: float = 0.0
    """Radians that it is turned by, counterclockwise as seen."""
    flip_x: bool = False
    flip_y: bool = False

    @property
    def axis(self) -> tuple[float, float]:
        """Where the camera's axis meets the picture as it is seen: parts of its width and height, from its
        upper left corner, right and down."""
        axis = Matrix.Rotation(-self.roll, 2) @ -self.middle
        return 0.5 + axis.x / self.width, 0.5 - axis.y / self.height


def view(scene: bpy.types.Scene) -> View:
    """How the scene's camera sees. Raises Problem: there is none, or it has no perspective."""
    camera = scene.camera
    if camera is None or not isinstance(camera.data, bpy.types.Camera):
        raise Problem("no_camera", "The scene has no camera: add one, so that it is known where hands go.")
    if camera.data.type != "PERSP":
        kind = {"ORTHO": "orthographic", "PANO": "panoramic"}.get(camera.data.type, "custom")
        raise Problem(
            "bad_camera",
            f"'{camera.name}' is {'an' if kind[0] == 'o' else 'a'} {kind} camera: "
            "set its type to Perspective, or make another one the scene's camera.",
        )
    matrix = camera.matrix_world.normalized()
    if not matrix.to_3x3().determinant() > FLATTEST:
        raise Problem(
            "bad_camera",
            f"'{camera.name}' is mirrored or scaled to nothing: apply its scale (Object > Apply).",
        )
    corners = camera.data.view_frame(scene=scene)
    upper, lower = (pick(c.y / -c.z for c in corners) for pick in (max, min))
    right, left = (pick(c.x / -c.z for c in corners) for pick in (max, min))
    middle = Vector(((left + right) / 2, (lower + upper) / 2))
    return View(camera, matrix, right - left, upper - lower, middle, 1 / -corners[0].z)


def backgrounds(camera: bpy.types.Object | None) -> list[bpy.types.CameraBackgroundImage]:
    """The camera's background pictures that are shown; movie clips are none."""
    if camera is None or not isinstance(camera.data, bpy.types.Camera):
        return []
    return [
        one
        for one in camera.data.background_images
        if one.source == "IMAGE" and one.image is not None and one.show_background_image
    ]


def background(camera: bpy.types.Object, image: bpy.types.Image) -> bpy.types.CameraBackgroundImage | None:
    """The camera's background that shows this picture."""
    return next((one for one in backgrounds(camera) if one.image == image), None)


def placement(seen: View, image: bpy.types.Image) -> Placement:
    """Where a picture lies: as the camera's background shows it, else as large as fits into the frame."""
    aspect = picture_aspect(image)
    shown = background(seen.camera, image)
    method = shown.frame_method if shown is not None else "FIT"
    width, height = seen.width, seen.height
    if method != "STRETCH":
        if (aspect > seen.aspect) == (method == "FIT"):
            height = width / aspect
        else:
            width = height * aspect
    if shown is None:
        return Placement(width, height, seen.middle)
    # Blender draws an offset so, for the sake of files from before 2.80.
    offset = Vector(shown.offset) * min(1.0, seen.aspect)
    offset.y /= aspect
    middle = seen.middle + seen.unit * offset
    size = (shown.scale * width, shown.scale * height)
    return Placement(*size, middle, -shown.rotation, shown.use_flip_x, shown.use_flip_y)


def picture_aspect(image: bpy.types.Image) -> float:
    """Width to height of a picture as it is seen; 1 for one that has no pixels."""
    width, height = shape(image)
    return width / height if height else 1.0


def shape(image: bpy.types.Image) -> tuple[float, float]:
    """Width and height of a picture as it is seen, for one whose pixels are not square."""
    width, height = pixels(image)
    return width * image.display_aspect.x, height * image.display_aspect.y


def pixels(image: bpy.types.Image) -> tuple[int, int]:
    """Width and height of a picture, which is loaded for it; 0 where it can't be."""
    return image.size[0], image.size[1]  # type: ignore[index]


def agrees(scene: bpy.types.Scene, image: bpy.types.Image) -> bool:
    """Whether a render has the picture's aspect, to the pixel that one of them may be rounded by."""
    render = scene.render
    width = render.resolution_x * render.pixel_aspect_x
    height = render.resolution_y * render.pixel_aspect_y
    slack = 1.01 / max(1, min(*pixels(image), render.resolution_x, render.resolution_y))
    return abs(width / height / picture_aspect(image) - 1) <= slack
