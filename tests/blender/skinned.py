"""Hands that are skinned to an armature, posed, and what Blender itself makes of them."""

from __future__ import annotations

import bpy
import numpy as np
from mathutils import Matrix

from hhmr_blender.apply import hand_object
from hhmr_blender.capture.mesh import ATTRIBUTE
from hhmr_blender.rigs.tables import RIGS
from hhmr_blender.template import template
from tests.blender.rig_building import build, joints_at_rest

OFFSET = {"right": [-0.3, 0, 0], "left": [0.3, 0, 0]}
"""Where `build` puts the hands of a rig."""


def skinned_hand(
    rig_id: str = "mixamo", sides: tuple[str, ...] = ("right",)
) -> tuple[bpy.types.Object, bpy.types.Object]:
    """One mesh with the hands of a rig, of no known numbering, weighted by nearness to bones; and the rig."""
    rig = build(rig_id, sides)
    hands = []
    for side in sides:
        ob = hand_object.add("Character", side, [bpy.context.collection])
        ob.data.transform(Matrix.Translation(OFFSET[side]))
        _weigh(ob, rig_id, side)
        hands.append(ob)
    for ob in bpy.context.selected_objects:
        ob.select_set(False)
    for ob in hands:
        ob.select_set(True)
    bpy.context.view_layer.objects.active = hands[0]
    if len(hands) > 1:
        bpy.ops.object.join()
    ob = hands[0]
    ob.data.attributes.remove(ob.data.attributes[ATTRIBUTE])
    # One face less, so that the topology is no longer the template's.
    ob.data.polygons.foreach_set("select", np.arange(len(ob.data.polygons)) == 0)
    bpy.ops.object.mode_set(mode="EDIT")
    bpy.ops.mesh.select_mode(type="FACE")
    bpy.ops.mesh.delete(type="ONLY_FACE")
    bpy.ops.mesh.select_mode(type="VERT")
    bpy.ops.object.mode_set(mode="OBJECT")
    select(ob, np.zeros(len(ob.data.vertices), bool))
    ob.parent = rig
    ob.modifiers.new("Armature", "ARMATURE").object = rig
    bpy.context.view_layer.update()
    return ob, rig


def _weigh(ob: bpy.types.Object, rig_id: str, side: str) -> None:
    names = next(one for one in RIGS if one.id == rig_id).bones(side)
    joints, points = joints_at_rest(side), template().side_vertices(side)
    carrying = [j for j in range(21) if names[j] and not (j and j % 4 == 0)]
    middles = np.array([joints[j] if j == 0 else (joints[j] + joints[j + 1]) / 2 for j in carrying])
    distance = np.linalg.norm(points[:, None] - middles, axis=2)
    nearest = np.argsort(distance, axis=1)[:, :3]
    pull = 1 / (1e-3 + np.take_along_axis(distance, nearest, axis=1)) ** 2
    pull /= pull.sum(axis=1, keepdims=True) * np.random.default_rng(0).uniform(0.8, 1.2, (len(points), 1))
    for rank in range(3):
        for i, k in enumerate(nearest[:, rank]):
            name = names[carrying[k]]
            group = ob.vertex_groups.get(name) or ob.vertex_groups.new(name=name)
            group.add([i], float(pull[i, rank]), "REPLACE")


def pose(rig: bpy.types.Object, seed: int = 0, angle: float = 0.5) -> None:
    """Turn every bone of a rig at random."""
    rng = np.random.default_rng(seed)
    for bone in rig.pose.bones:
        bone.rotation_mode = "XYZ"
        bone.rotation_euler = rng.normal(0, angle, 3)
    bpy.context.view_layer.update()


def evaluated(ob: bpy.types.Object) -> np.ndarray:
    """Vertices [n, 3] as Blender evaluates them, in the object's space."""
    bpy.context.view_layer.update()
    mesh = ob.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    seen = np.empty(3 * len(mesh.vertices), np.float32)
    mesh.vertices.foreach_get("co", seen)
    return seen.reshape(-1, 3)


def select(ob: bpy.types.Object, chosen: np.ndarray) -> None:
    """Select exactly these vertices [n] of a mesh that is not in Edit Mode."""
    for domain in (ob.data.edges, ob.data.polygons):
        domain.foreach_set("select", np.zeros(len(domain), bool))
    ob.data.vertices.foreach_set("select", chosen)
