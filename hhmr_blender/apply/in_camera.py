"""Hands that were seen by a camera: where they stand, and what was seen of them, kept beside them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import bpy
import numpy as np
from mathutils import Matrix, Vector
from numpy.typing import NDArray

from ..capture.camera import background
from ..capture.mesh import ATTRIBUTE, SIDE
from ..session import Shot
from ..template import template

Floats = NDArray[np.float32]


def stand(matrix: Matrix, wrist: Floats) -> Matrix:
    """Where an object goes that has its origin at the wrist [3] and is turned as the camera is."""
    place = matrix.to_quaternion().to_matrix().to_4x4()
    place.translation = matrix @ Vector(wrist.tolist())
    return place


def local(vertices: Floats, matrix: Matrix, place: Matrix) -> Floats:
    """Vertices [..., 3] of the space that `matrix` takes to the world, in the space of an object."""
    there = np.array(place.inverted() @ matrix, dtype=float)
    return (vertices @ there[:3, :3].T + there[:3, 3]).astype(np.float32)


def told(arrays: dict[str, NDArray[Any]], matrix: Matrix) -> dict[str, Any]:
    """What was seen, for the provenance: rays to the joints, in the scene's camera, and their noise.

    `matrix` takes the engine's camera to the scene's. A joint that was not seen is None.
    """
    if "given2d" not in arrays or "camera" not in arrays:
        return {}
    focal, *centre = arrays["camera"].astype(float)
    rays = (arrays["given2d"] - centre) / focal * (1, -1)
    rays = np.concatenate([rays, np.full((21, 1), -1.0)], axis=1) @ np.array(matrix, dtype=float)[:3, :3].T
    rays = rays[:, :2] / -rays[:, 2:]
    sigma = arrays["sigma2d"] / focal if "sigma2d" in arrays else np.full(21, np.inf)
    seen = np.isfinite(rays).all(axis=1) & np.isfinite(sigma)
    return {
        "rays": [[round(x, 6) for x in ray] if there else None for ray, there in zip(rays.tolist(), seen)],
        "ray_sigma": [round(one, 7) if there else None for one, there in zip(sigma.tolist(), seen)],
    }


def can_take(ob: bpy.types.Object) -> bool:
    """Whether an object is a whole hand of ours that can take other hypotheses where it is."""
    mesh = ob.data
    return (
        isinstance(mesh, bpy.types.Mesh)
        and ATTRIBUTE in mesh.attributes
        and len(mesh.vertices) == len(template().vertices)
        and abs(ob.matrix_world.to_3x3().determinant()) > 1e-12
    )


def set_side(ob: bpy.types.Object, side: str, vertices: Floats) -> None:
    """Make a hand one of this side: its faces are wound the other way then, and its basis is another."""
    mesh = ob.data
    assert isinstance(mesh, bpy.types.Mesh)
    if mesh.get(SIDE, "right") == side:
        return
    mesh.flip_normals()
    mesh[SIDE] = side
    flat = np.ascontiguousarray(vertices, np.float32).reshape(-1)
    mesh.vertices.foreach_set("co", flat)
    if mesh.shape_keys is not None:
        mesh.shape_keys.reference_key.points.foreach_set("co", flat)


def show_behind(shot: Shot) -> str:
    """Make the picture the camera's background; returns what to tell where it can't be."""
    camera = _by_uid(bpy.data.objects, shot.camera)
    image = _by_uid(bpy.data.images, shot.image)
    if camera is None or image is None or not isinstance(camera.data, bpy.types.Camera):
        return ""
    if background(camera, image) is None:
        if not camera.data.is_editable:
            return f"The picture is not shown behind: '{camera.data.name}' is linked from a library."
        made = camera.data.background_images.new()
        made.image, made.frame_method, made.alpha = image, "FIT", 1.0
    camera.data.show_background_images = True
    return ""


def link_skeleton(ob: bpy.types.Object, shot: Shot) -> None:
    """Remember which 2D skeleton a hand was fitted to."""
    if shot.skeleton:
        ob.hhmr_skeleton = _by_uid(bpy.data.objects, shot.skeleton)


def _by_uid(among: Iterable[bpy.types.ID], uid: int) -> Any:
    return next((one for one in among if uid and one.session_uid == uid), None)
