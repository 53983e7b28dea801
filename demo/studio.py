"""The photo studio of the demo: floor, lamps, camera, skin, and hands that stand on plinths."""

from __future__ import annotations

import math
from pathlib import Path

import bpy
import numpy as np
from mathutils import Matrix, Vector

SKIN = (0.76, 0.35, 0.21)
KEPT = (0.006, 0.20, 0.28)
INSIDE = (0.42, 0.62, 0.66)
BACKDROP = (0.42, 0.60, 0.68)
PLINTH = (0.92, 0.89, 0.85)
TINT = "given"  # the point attribute that is 1 where the hand was given and 0 where it was completed
SAMPLES = 24
WIDTH, HEIGHT = 1120, 602

# Where hands stand: (x, y, z) metres and degrees about the vertical. The given one first, then two rows.
FRONT, BACK = 0.03, 0.235
SPOTS = (
    ((-0.385, -0.17, 0.13), 12),
    *(((-0.16 + 0.172 * i, 0.17, BACK), 12 - 7 * i) for i in range(4)),
    *(((-0.16 + 0.172 * i, -0.03, FRONT), 12 - 7 * i) for i in range(4)),
)


def new_material(name: str, **inputs: float | tuple[float, ...]) -> bpy.types.Material:
    """A Principled material; `inputs` are the shader's socket names with _ for a space."""
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    shader = material.node_tree.nodes["Principled BSDF"]
    for socket, value in inputs.items():
        shader.inputs[socket.replace("_", " ")].default_value = value
    return material


def skin_material() -> bpy.types.Material:
    """Soft skin, tinted where the hand was given (point attribute `TINT`), with a trace of pores."""
    material = new_material(
        "Skin", Roughness=0.42, Subsurface_Weight=0.22, Subsurface_Scale=0.006, Specular_IOR_Level=0.4
    )
    material.node_tree.nodes["Principled BSDF"].inputs["Subsurface Radius"].default_value = (1.0, 0.35, 0.2)
    nodes, links = material.node_tree.nodes, material.node_tree.links
    shader = nodes["Principled BSDF"]

    given = nodes.new("ShaderNodeAttribute")
    given.attribute_name = TINT
    edge = nodes.new("ShaderNodeMapRange")
    edge.interpolation_type = "SMOOTHSTEP"
    edge.inputs["From Min"].default_value, edge.inputs["From Max"].default_value = 0.35, 0.65
    links.new(given.outputs["Fac"], edge.inputs["Value"])
    mix = nodes.new("ShaderNodeMix")
    mix.data_type = "RGBA"
    mix.inputs["A"].default_value, mix.inputs["B"].default_value = (*SKIN, 1.0), (*KEPT, 1.0)
    links.new(edge.outputs["Result"], mix.inputs["Factor"])

    # The inside of a cut hand is paler than its skin, so that the cut reads as a shell.
    side = nodes.new("ShaderNodeNewGeometry")
    inside = nodes.new("ShaderNodeMix")
    inside.data_type = "RGBA"
    inside.inputs["B"].default_value = (*INSIDE, 1.0)
    links.new(side.outputs["Backfacing"], inside.inputs["Factor"])
    links.new(mix.outputs["Result"], inside.inputs["A"])
    links.new(inside.outputs["Result"], shader.inputs["Base Color"])

    pores = nodes.new("ShaderNodeTexNoise")
    pores.inputs["Scale"].default_value = 900.0
    bump = nodes.new("ShaderNodeBump")
    bump.inputs["Strength"].default_value, bump.inputs["Distance"].default_value = 0.12, 0.0004
    links.new(pores.outputs["Fac"], bump.inputs["Height"])
    links.new(bump.outputs["Normal"], shader.inputs["Normal"])
    return material


def add_mesh(
    name: str, vertices: np.ndarray, polygons: list, material: bpy.types.Material
) -> bpy.types.Object:
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(vertices.tolist(), [], polygons)
    mesh.materials.append(material)
    thing = bpy.data.objects.new(name, mesh)
    bpy.context.scene.collection.objects.link(thing)
    return thing


def add_backdrop(depth: float = 0.55, radius: float = 0.5) -> None:
    """A floor that bends up into the wall without an edge (a photographer's sweep)."""
    bend = np.linspace(0, math.pi / 2, 24)
    profile = [
        (-3.0, 0.0),
        *zip(depth + radius * np.sin(bend), radius * (1 - np.cos(bend))),
        (depth + radius, 4.0),
    ]
    points = np.array([(x, y, z) for y, z in profile for x in (-6.0, 6.0)])
    faces = [(2 * i, 2 * i + 1, 2 * i + 3, 2 * i + 2) for i in range(len(profile) - 1)]
    sweep = add_mesh(
        "Backdrop", points, faces, new_material("Paper", Base_Color=(*BACKDROP, 1), Roughness=0.9)
    )
    sweep.data.shade_smooth()


def add_plinth(name: str, centre: tuple[float, float], size: tuple[float, float], height: float) -> None:
    """A bevelled block on the floor, its top at `height` (all in metres)."""
    bpy.ops.mesh.primitive_cube_add(size=1.0, location=(*centre, height / 2 - 0.25))
    block = bpy.context.object
    block.name = name
    block.scale = (*size, height + 0.5)
    bpy.ops.object.transform_apply(scale=True)
    bevel = block.modifiers.new("Bevel", "BEVEL")
    bevel.width, bevel.segments = 0.004, 4
    block.data.materials.append(
        bpy.data.materials.get("Plaster") or new_material("Plaster", Base_Color=(*PLINTH, 1), Roughness=0.75)
    )


def add_lamp(name: str, place: tuple, target: tuple, size: float, watts: float, colour: tuple) -> None:
    lamp = bpy.data.lights.new(name, "AREA")
    lamp.size, lamp.energy, lamp.color = size, watts, colour
    holder = bpy.data.objects.new(name, lamp)
    holder.location = place
    holder.rotation_euler = (Vector(target) - Vector(place)).to_track_quat("-Z", "Y").to_euler()
    bpy.context.scene.collection.objects.link(holder)


def add_lamps(target: tuple = (0.0, 0.0, 0.15)) -> None:
    """A large warm key from the upper left, a cool fill from the right, a rim from behind."""
    add_lamp("Key", (-1.5, -0.9, 1.4), target, 0.45, 72, (1.0, 0.93, 0.85))
    add_lamp("Fill", (1.7, -1.3, 0.8), target, 1.4, 4, (0.85, 0.92, 1.0))
    add_lamp("Rim", (0.9, 0.9, 1.3), target, 0.5, 30, (1.0, 0.96, 0.92))
    world = bpy.data.worlds.new("Studio")
    world.use_nodes = True
    world.node_tree.nodes["Background"].inputs["Color"].default_value = (0.9, 0.93, 1.0, 1)
    world.node_tree.nodes["Background"].inputs["Strength"].default_value = 0.16
    bpy.context.scene.world = world


def add_camera(place: tuple, target: tuple, width: float) -> None:
    """A long lens at `place` that sees `width` metres at the distance of `target`."""
    camera = bpy.data.cameras.new("Camera")
    away = Vector(target) - Vector(place)
    camera.angle = 2 * math.atan(width / 2 / away.length)
    camera.clip_start = 0.01
    holder = bpy.data.objects.new("Camera", camera)
    holder.location = place
    holder.rotation_euler = away.to_track_quat("-Z", "Y").to_euler()
    bpy.context.scene.collection.objects.link(holder)
    bpy.context.scene.camera = holder


def build_stage() -> None:
    """The empty studio: a plinth for the given hand, two steps for the eight completed ones."""
    add_backdrop()
    add_plinth("Plinth", (-0.385, -0.17), (0.15, 0.15), 0.13)
    add_plinth("Front step", (0.098, -0.04), (0.72, 0.16), FRONT)
    add_plinth("Back step", (0.098, 0.16), (0.72, 0.24), BACK)
    add_lamps()
    add_camera((0.0, -2.1, 0.62), (-0.012, 0.05, 0.208), 1.12)


def stand(hand: bpy.types.Object, place: tuple[float, float, float], turn: float) -> None:
    """Put the object's origin at `place`, turned about the vertical by `turn` degrees."""
    hand.matrix_world = (
        Matrix.Translation(place) @ Matrix.Rotation(math.radians(turn), 4, "Z") @ hand.matrix_world
    )


def dress(hand: bpy.types.Object, given: np.ndarray, material: bpy.types.Material) -> None:
    """Smooth surface, the skin, and the tint (`given` [V], 0..1) as an attribute."""
    mesh = hand.data
    mesh.materials.clear()
    mesh.materials.append(material)
    mesh.shade_smooth()
    attribute = mesh.attributes.get(TINT) or mesh.attributes.new(TINT, "FLOAT", "POINT")
    attribute.data.foreach_set("value", np.ascontiguousarray(given, dtype=np.float32))
    smooth = hand.modifiers.new("Smooth", "SUBSURF")
    smooth.levels, smooth.render_levels = 1, 2


def render(path: Path) -> None:
    """Cycles on the CPU, denoised, to a PNG at `path`."""
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.cycles.device = "CPU"
    scene.cycles.samples = SAMPLES
    scene.cycles.use_adaptive_sampling = True
    scene.cycles.adaptive_threshold = 0.04
    scene.cycles.use_denoising = True
    scene.cycles.denoising_prefilter = "FAST"  # a quarter of the time, and no difference that shows
    scene.cycles.max_bounces = 3
    scene.render.resolution_x, scene.render.resolution_y = WIDTH, HEIGHT
    scene.render.resolution_percentage = 100
    scene.view_settings.view_transform = "AgX"
    scene.view_settings.look = "AgX - Punchy"
    scene.view_settings.exposure = 0.7
    scene.render.image_settings.file_format = "PNG"
    scene.render.image_settings.color_mode = "RGB"
    scene.render.image_settings.compression = 100
    scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)
