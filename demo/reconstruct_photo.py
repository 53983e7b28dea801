"""The demo's second picture: a photo, the hand found in it laid over it, and three hypotheses from the side.

Run by `build.py demo` in the environment that has bpy, with BLENDER_USER_RESOURCES set to a temporary folder.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from pathlib import Path

import bpy
import numpy as np
import studio
from complete_hand import install
from mathutils import Matrix, Vector

PHOTO = Path(__file__).resolve().parent / "photo.jpg"
"""One of the pictures that the network is trained on: not a photo of anybody."""
LENS = 249.0
"""Millimetres, on a sensor of 36: how it was taken."""
TILE = 448  # pixels
HYPOTHESES = 3
SIDE = math.radians(75)
NEARER = 1.3
BACKDROP = (0.86, 0.88, 0.90)
OPACITY = 0.8


def reconstruct(photo: Path, lens: float, method: str) -> bpy.types.Object:
    """Choose the photo, press Reconstruct and wait; the hand, with a shape key for each hypothesis."""
    scene = bpy.context.scene
    bpy.ops.hhmr.add_camera()
    scene.camera.data.lens = lens
    scene.hhmr.photo = bpy.data.images.load(str(photo))
    scene.hhmr.count, scene.hhmr.method = 8, method
    bpy.ops.hhmr.match_render()
    try:
        bpy.ops.hhmr.reconstruct(wait=True)
    except RuntimeError as error:  # an operator's report of an error, one sentence
        sys.exit(str(error).strip())
    return bpy.context.object


def light(camera: bpy.types.Object) -> None:
    """Two suns, from the upper left and from the right of the camera, and a bright sky."""
    for name, turn, strength in (("Key", (-0.6, -0.5, 0.0), 3.0), ("Fill", (0.2, 0.9, 0.0), 0.8)):
        sun = bpy.data.lights.new(name, "SUN")
        sun.energy, sun.angle = strength, 0.2
        holder = bpy.data.objects.new(name, sun)
        bpy.context.scene.collection.objects.link(holder)
        turns = (Matrix.Rotation(angle, 4, axis) for angle, axis in zip(turn, "XYZ"))
        holder.matrix_world = camera.matrix_world @ next(turns) @ next(turns)
    world = bpy.data.worlds.new("Sky")
    world.use_nodes = True
    world.node_tree.nodes["Background"].inputs["Strength"].default_value = 0.5
    bpy.context.scene.world = world


def shot(folder: Path) -> np.ndarray:
    """What the camera sees, [h, w, 4] from the lowest row on, as a file holds it."""
    path = folder / "shot.png"
    bpy.context.scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)
    image = bpy.data.images.load(str(path))
    pixels = np.array(image.pixels, np.float32).reshape(TILE, -1, 4)
    bpy.data.images.remove(image)
    path.unlink()
    return pixels


def prepare_render() -> None:
    scene = bpy.context.scene
    scene.render.engine, scene.cycles.device, scene.cycles.samples = "CYCLES", "CPU", 24
    scene.cycles.use_denoising = True
    scene.render.film_transparent = True
    scene.render.image_settings.file_format, scene.render.image_settings.color_mode = "PNG", "RGBA"
    scene.view_settings.view_transform = "Standard"
    scene.render.resolution_percentage = 100
    factor = TILE / scene.render.resolution_y
    scene.render.resolution_x = round(factor * scene.render.resolution_x)
    scene.render.resolution_y = TILE


def look_from_the_side(camera: bpy.types.Object, photographer: Matrix, hand: bpy.types.Object) -> None:
    """Put the camera beside the shape key that is shown, as far from it as the photographer was."""
    points = np.empty(3 * len(hand.data.vertices), np.float32)
    hand.active_shape_key.points.foreach_get("co", points)
    middle = hand.matrix_world @ Vector(points.reshape(-1, 3).mean(axis=0).tolist())
    axes = photographer.to_3x3() @ Matrix.Rotation(SIDE, 3, "Y")
    away = (middle - photographer.translation).length
    place = middle + axes @ Vector((0.0, 0.0, away))
    camera.matrix_world = Matrix.LocRotScale(place, axes.to_quaternion(), None)


def tiles(hand: bpy.types.Object, folder: Path) -> np.ndarray:
    """Photo, overlay and hypotheses beside each other: [h, w, 3] from the lowest row on."""
    prepare_render()
    photo = bpy.context.scene.hhmr.photo.copy()
    photo.scale(bpy.context.scene.render.resolution_x, TILE)
    ground = np.array(photo.pixels, np.float32).reshape(TILE, -1, 4)[..., :3]
    found = [ground, over(shot(folder), ground, OPACITY)]
    camera = bpy.context.scene.camera
    photographer = camera.matrix_world.copy()
    camera.data.lens *= NEARER
    bpy.context.scene.render.resolution_x = TILE
    for key in range(1, 1 + HYPOTHESES):
        hand.active_shape_key_index = key
        look_from_the_side(camera, photographer, hand)
        found.append(over(shot(folder), np.broadcast_to(np.float32(BACKDROP), (TILE, TILE, 3)), 1.0))
    return np.concatenate(found, axis=1)


def over(picture: np.ndarray, ground: np.ndarray, opacity: float) -> np.ndarray:
    alpha = opacity * picture[..., 3:]
    return picture[..., :3] * alpha + ground * (1 - alpha)


def save(pixels: np.ndarray, path: Path) -> None:
    height, width = pixels.shape[:2]
    image = bpy.data.images.new("demo", width, height)
    opaque = np.concatenate([pixels, np.ones((height, width, 1))], axis=2)
    image.pixels.foreach_set(np.ascontiguousarray(opaque, np.float32).ravel())
    image.filepath_raw, image.file_format = str(path), "PNG"
    image.save()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--extension", type=Path, required=True, help="the zip to install")
    parser.add_argument("--engine-python", type=Path, required=True, help="interpreter that has torch")
    parser.add_argument("--out", type=Path, required=True, help="folder for photo.blend and photo.png")
    parser.add_argument("--photo", type=Path, default=PHOTO, help="of a hand; without one, a render of ours")
    parser.add_argument("--lens", type=float, help="focal length it was taken with, on 36 mm")
    parser.add_argument("--method", choices=("network", "gaussian"), default="network")
    arguments = parser.parse_args()

    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    install(arguments.extension, arguments.engine_python)
    lens = arguments.lens or (LENS if arguments.photo == PHOTO else 50.0)
    hand = reconstruct(arguments.photo, lens, arguments.method)
    bpy.ops.hhmr.stop_engine()
    bpy.ops.wm.save_as_mainfile(filepath=str(arguments.out / "photo.blend"))
    studio.dress(hand, np.zeros(len(hand.data.vertices), np.float32), studio.skin_material())
    light(bpy.context.scene.camera)
    save(tiles(hand, arguments.out), arguments.out / "photo.png")
    print(f"wrote {arguments.out / 'photo.blend'} and {arguments.out / 'photo.png'}")


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # Blender's module can hang at interpreter exit
