"""Hands of any mesh, and what an engine would send for them: what several tests of such meshes share."""

from __future__ import annotations

import bmesh
import bpy
import numpy as np
import pytest
from mathutils import Matrix

from hhmr_blender.apply import result, shape_keys
from hhmr_blender.capture import foreign, landmarks
from hhmr_blender.capture.mesh import shape
from hhmr_blender.problems import Problem
from hhmr_blender.session import Target
from hhmr_blender.template import fingers, template
from tests.blender.skinned import evaluated, select

V = len(template().vertices)
REQUEST = {"task": "inpaint", "side": "right", "seed": 3, "count": 3}


def capture(
    ob: bpy.types.Object, keep: str = "SELECTION", group: str = "", side: str = "AUTO"
) -> foreign.ForeignHand:
    bpy.context.view_layer.update()
    return foreign.capture(ob, keep, group, side, landmarks.landmarks(ob))


def problem_of(ob: bpy.types.Object, keep: str = "SELECTION", group: str = "") -> str:
    with pytest.raises(Problem) as caught:
        capture(ob, keep, group)
    assert caught.value.text[0].isupper() or caught.value.text[0] in "'0123456789"
    return caught.value.code


def bare_hand() -> bpy.types.Object:
    """A hand whose vertices and faces are numbered anew: nobody knows it by its topology."""
    order = np.random.default_rng(5).permutation(V)
    place = np.argsort(order)
    mesh = bpy.data.meshes.new("scan")
    mesh.from_pydata(template().vertices[order].tolist(), [], place[template().quads].tolist())
    built = bmesh.new()  # what from_pydata leaves of a selection crashes Blender 5.0
    built.from_mesh(mesh)
    mesh = bpy.data.meshes.new("scan")
    built.to_mesh(mesh)
    built.free()
    return linked(mesh)


def linked(mesh: bpy.types.Mesh) -> bpy.types.Object:
    ob = bpy.data.objects.new(mesh.name, mesh)
    bpy.context.collection.objects.link(ob)
    bpy.context.view_layer.objects.active = ob
    select(ob, np.zeros(len(mesh.vertices), bool))
    return ob


def world(ob: bpy.types.Object, points: np.ndarray) -> np.ndarray:
    matrix = np.array(ob.matrix_world, dtype=float)
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def keep_palm(ob: bpy.types.Object) -> np.ndarray:
    chosen = shape(ob)[:, 1] < 0.1
    select(ob, chosen)
    return chosen


def bend(hand: foreign.ForeignHand, count: int = 3) -> np.ndarray:
    """Hypotheses of a surface: what is not kept is turned about, twisted and shifted, each in its own way."""
    rng = np.random.default_rng(1)
    bound = np.repeat(hand.surface[None], count, axis=0)
    for one in bound:
        turn = np.array(Matrix.Rotation(rng.uniform(-1, 1), 3, rng.normal(size=3).tolist()))
        one[~hand.keep] = one[~hand.keep] @ turn.T + rng.normal(0, 0.02, 3)
    return bound.astype(np.float32)


def answer(hand: foreign.ForeignHand, bound: np.ndarray, gone: tuple[int, ...] = ()) -> dict[str, np.ndarray]:
    """What an engine sends; of `gone` fingers the surface is not there."""
    n = len(bound)
    vertices = np.tile(template().vertices, (n, 1, 1)) + np.arange(n, dtype=np.float32)[:, None, None] * 1e-3
    covered = np.ones(V, bool)
    for finger in gone:
        covered[fingers()[finger]] = False
    return {
        "vertices": vertices,
        "joints": (template().regressor @ vertices).astype(np.float32),
        "bound": bound,
        "covered": covered,
        "score": np.linspace(0.9, 0.5, n).astype(np.float32),
        "residual": np.full(n, 0.001, np.float32),
        "self_intersection": np.zeros(n, np.float32),
        "draw": np.arange(n, dtype=np.int32),
    }


def place(ob: bpy.types.Object, hand: foreign.ForeignHand, arrays: dict[str, np.ndarray]) -> bpy.types.Object:
    target = Target("SURFACE", Matrix(), ob.session_uid, ob.name, hand=hand)
    return result.place(bpy.context, target, REQUEST, {}, arrays)


def names(ob: bpy.types.Object) -> list[str]:
    return [key.name for key in ob.data.shape_keys.key_blocks] if ob.data.shape_keys else []


def seen(ob: bpy.types.Object, name: str) -> np.ndarray:
    """What Blender shows of a hypothesis, in the world."""
    shape_keys.show(ob, name)
    return world(ob, evaluated(ob))


def plays_back(ob: bpy.types.Object, hand: foreign.ForeignHand, bound: np.ndarray, atol: float) -> None:
    before = world(ob, evaluated(ob))
    assert place(ob, hand, answer(hand, bound)) == ob
    rest = np.ones(hand.count, bool)
    rest[hand.chosen] = False
    for i, entry in enumerate(shape_keys.hypotheses(ob)):
        now = seen(ob, entry.name)
        np.testing.assert_allclose(now[hand.chosen], bound[i] + hand.origin, atol=atol)
        np.testing.assert_allclose(now[rest], before[rest], atol=1e-6)


def join(*objects: bpy.types.Object) -> bpy.types.Object:
    for ob in bpy.context.selected_objects:
        ob.select_set(False)
    for ob in objects:
        ob.select_set(True)
    bpy.context.view_layer.objects.active = objects[0]
    bpy.ops.object.join()
    return objects[0]


def ball(radius: float, place: tuple[float, float, float]) -> bpy.types.Object:
    bpy.ops.mesh.primitive_ico_sphere_add(subdivisions=2, radius=radius, location=place)
    return bpy.context.object
