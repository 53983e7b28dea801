"""Hands of other projects -> Complete -> the real engine -> hypotheses on that mesh, or in its place."""

from __future__ import annotations

from pathlib import Path

import bmesh
import bpy
import numpy as np
import pytest
from mathutils import Matrix
from mathutils.kdtree import KDTree

from hhmr_blender.apply import shape_keys
from hhmr_blender.capture import armature, skin
from hhmr_blender.capture.mesh import shape
from hhmr_blender.rigs.tables import CHAINS
from hhmr_blender.session import session
from hhmr_blender.template import edges, template
from tests.blender.asking import engine, press, running  # noqa: F401  (fixtures)
from tests.blender.foreign_hands import bare_hand, join, names, seen, world
from tests.blender.skinned import evaluated, select

pytestmark = pytest.mark.slow

FILES = {
    "godot": "godot_xr_hand/hand_r.gltf",
    "webxr": "webxr_generic_hand/left.glb",
}
SIDES = {"godot": "Right", "webxr": "Left"}
TO_MAKE = (2, 3, 4)


def imported(data_root: Path, name: str) -> tuple[bpy.types.Object, bpy.types.Object]:
    """A hand of another project, active, and its rig."""
    bpy.ops.import_scene.gltf(filepath=str(data_root / "hands" / FILES[name]))
    for ob in list(bpy.data.objects):
        if ob.type == "EMPTY" or ob.name == "Icosphere":  # what the importer adds to show bones
            bpy.data.objects.remove(ob)
    ob = next(one for one in bpy.data.objects if one.type == "MESH")
    bpy.context.view_layer.objects.active = ob
    select(ob, np.zeros(len(ob.data.vertices), bool))
    return ob, next(one for one in bpy.data.objects if one.type == "ARMATURE")


def of_fingers(ob: bpy.types.Object, rig: bpy.types.Object) -> np.ndarray:
    """Vertices [n] of middle, ring and pinky, beyond their knuckles."""
    hand = armature.hands(rig)[0]
    bones = [hand.bones[joint] for finger in TO_MAKE for joint in CHAINS[finger] if hand.bones[joint]]
    groups = [ob.vertex_groups[bone].index for bone in bones if bone in ob.vertex_groups]
    return skin.weights(ob).of(groups, len(ob.data.vertices)) > 0.5


def delete(ob: bpy.types.Object, gone: np.ndarray) -> None:
    mesh = bmesh.new()
    mesh.from_mesh(ob.data)
    mesh.verts.ensure_lookup_table()
    bmesh.ops.delete(mesh, geom=[mesh.verts[int(i)] for i in np.flatnonzero(gone)], context="VERTS")
    mesh.to_mesh(ob.data)
    mesh.free()


def told(ob: bpy.types.Object, side: str) -> str:
    assert session.notice is not None and session.notice.code == "", session.notice
    text = session.notice.text
    assert text.startswith(f"{side} hand, fitted within ") and f"4 hands on '{ob.name}'" in text
    return text


def complete_is_refused(*objects: bpy.types.Object) -> str:
    """Complete says no in a sentence, and the scene is as it was."""
    before = {ob.name: (names(ob), shape(ob)) for ob in objects}
    count = len(bpy.data.objects)
    with pytest.raises(RuntimeError):
        bpy.ops.hhmr.complete(wait=True)
    assert len(bpy.data.objects) == count and session.notice is not None and session.notice.code
    for ob in objects:
        assert names(ob) == before[ob.name][0]
        np.testing.assert_array_equal(shape(ob), before[ob.name][1])
    return session.notice.text


def spread(ob: bpy.types.Object, where: np.ndarray) -> float:
    """How much the hypotheses differ at some vertices, in metres."""
    shown = np.array([seen(ob, entry.name)[where] for entry in shape_keys.hypotheses(ob)])
    return float(np.linalg.norm(shown - shown.mean(axis=0), axis=2).mean())


@pytest.mark.parametrize("name", ["godot", "webxr"])
def test_two_fingers_kept_on_a_hand_with_its_rig(data_root: Path, name: str) -> None:
    ob, rig = imported(data_root, name)
    free = of_fingers(ob, rig)
    for bone in rig.pose.bones:  # not in its rest pose, and not where the world begins
        bone.rotation_mode = "XYZ"
    rig.pose.bones[armature.hands(rig)[0].bones[6]].rotation_euler.x = 0.3
    rig.location, rig.rotation_euler = (1, 2, 3), (0.5, 0, 1)
    select(ob, ~free)
    before = world(ob, evaluated(ob))
    posed = {bone.name: bone.matrix.copy() for bone in rig.pose.bones}
    press(bpy.ops.hhmr.complete)
    told(ob, SIDES[name])
    assert len(names(ob)) == 5 and names(ob)[0] == "Basis"
    for entry in shape_keys.hypotheses(ob):
        now = seen(ob, entry.name)
        assert np.linalg.norm(now - before, axis=1)[~free].max() < 1e-4
        assert np.isfinite(now).all() and np.linalg.norm(now - before, axis=1).max() < 0.25
    assert spread(ob, free) > 0.003
    assert all(bone.matrix == posed[bone.name] for bone in rig.pose.bones), "the rig was posed as well"
    first = seen(ob, shape_keys.hypotheses(ob)[0].name)
    rig.hhmr_pose_index = 1  # the same hypothesis as a pose: the mesh must not show it twice
    assert not ob.show_only_shape_key
    now = world(ob, evaluated(ob))
    assert np.linalg.norm(now - first, axis=1)[free].mean() < 0.005


@pytest.mark.parametrize("name", ["godot", "webxr"])
def test_three_fingers_deleted(data_root: Path, name: str) -> None:
    ob, rig = imported(data_root, name)
    delete(ob, of_fingers(ob, rig))
    rig.location = (1, 0, 0)
    press(bpy.ops.hhmr.complete)
    whole = bpy.context.object
    text = told(whole, SIDES[name])
    assert whole != ob and "middle" in text and names(ob) == []
    assert whole.data["hhmr_side"] == SIDES[name].lower()
    kept, hand = world(ob, evaluated(ob)), template().vertices
    for entry in shape_keys.hypotheses(whole):
        points = seen(whole, entry.name)
        tree = KDTree(len(points))
        for i, point in enumerate(points):
            tree.insert(point, i)
        tree.balance()
        off = [tree.find(point)[2] for point in kept]
        assert np.median(off) < 0.004  # vertices of the template lie about 4 mm apart
        lengths = np.linalg.norm(points[edges()[:, 0]] - points[edges()[:, 1]], axis=1)
        ratio = lengths / np.linalg.norm(hand[edges()[:, 0]] - hand[edges()[:, 1]], axis=1)
        ratio /= np.median(ratio)
        assert ((ratio < 0.4) | (ratio > 2.5)).mean() < 0.02, "a finger is crushed or torn"


def test_bare_mirrored_and_enlarged(data_root: Path) -> None:
    """A left hand that its object mirrors is a right one to the eye."""
    ob, rig = imported(data_root, "webxr")
    free = of_fingers(ob, rig)
    points = shape(ob)
    ob.modifiers.clear()
    ob.parent = None
    bpy.data.objects.remove(rig)
    ob.scale, ob.rotation_euler = (-20, 20, 20), (1, 2, 3)
    select(ob, ~free)
    press(bpy.ops.hhmr.complete)
    told(ob, "Right")
    for entry in shape_keys.hypotheses(ob):
        shape_keys.show(ob, entry.name)
        np.testing.assert_array_equal(shape(ob)[~free], points[~free])
        assert entry.residual_mm < 20
    assert spread(ob, free) > 20 * 0.003


def test_edit_mode_and_one_undo_step(data_root: Path) -> None:
    ob, rig = imported(data_root, "godot")
    select(ob, ~of_fingers(ob, rig))
    bpy.ops.object.mode_set(mode="EDIT")
    bpy.ops.ed.undo_push(message="before")
    name = ob.name
    press(bpy.ops.hhmr.complete)
    assert ob.mode == "EDIT" and len(names(ob)) == 5
    bpy.ops.ed.undo()
    ob = bpy.data.objects[name]
    assert ob.mode == "EDIT" and names(ob) == []


def test_two_hands_in_one_mesh(data_root: Path) -> None:
    ob, rig = imported(data_root, "godot")
    free = of_fingers(ob, rig)
    n = len(ob.data.vertices)
    ob.modifiers.clear()
    other = ob.copy()
    other.data = ob.data.copy()
    bpy.context.collection.objects.link(other)
    other.location.x = 0.5
    both = join(ob, other)
    select(both, np.concatenate([np.zeros(n, bool), ~free]))
    before = shape(both)
    press(bpy.ops.hhmr.complete)
    told(both, "Right")
    for entry in shape_keys.hypotheses(both):
        shape_keys.show(both, entry.name)
        np.testing.assert_array_equal(shape(both)[:n], before[:n])
    assert spread(both, np.concatenate([np.zeros(n, bool), free])) > 0.003


@pytest.mark.parametrize("fault", ["inside out", "unmerged", "holes"])
def test_meshes_that_are_not_clean(data_root: Path, fault: str) -> None:
    ob, rig = imported(data_root, "godot")
    free = of_fingers(ob, rig)
    ob.modifiers.clear()
    mesh = bmesh.new()
    mesh.from_mesh(ob.data)
    mark = mesh.verts.layers.int.new("free")
    for vertex, yes in zip(mesh.verts, free):
        vertex[mark] = int(yes)
    if fault == "inside out":
        bmesh.ops.reverse_faces(mesh, faces=mesh.faces[:])
    elif fault == "unmerged":
        bmesh.ops.split_edges(mesh, edges=mesh.edges[:])
    else:
        rng = np.random.default_rng(0)
        gone = [face for face in mesh.faces if rng.random() < 0.05]
        bmesh.ops.delete(mesh, geom=gone, context="FACES_ONLY")
    free = np.array([vertex[mark] for vertex in mesh.verts], bool)
    mesh.to_mesh(ob.data)
    mesh.free()
    select(ob, ~free)
    press(bpy.ops.hhmr.complete)
    told(ob, "Right")
    assert spread(ob, free) > 0.003


def test_a_sphere_and_a_foot_are_no_hands() -> None:
    bpy.ops.mesh.primitive_uv_sphere_add(radius=0.1)
    ball = bpy.context.object
    assert "hand" in complete_is_refused(ball)
    bpy.ops.mesh.primitive_uv_sphere_add(radius=0.1)
    foot = bpy.context.object
    foot.data.transform(Matrix.Diagonal((0.45, 1.25, 0.35, 1)))
    toes = []
    for i in range(5):
        bpy.ops.mesh.primitive_uv_sphere_add(radius=0.012, location=(-0.03 + 0.015 * i, 0.125, 0))
        toes.append(bpy.context.object)
    foot = join(foot, *toes)
    assert "hand" in complete_is_refused(foot)


def test_all_of_a_whole_hand_leaves_nothing_to_make() -> None:
    ob = bare_hand()
    assert "nothing is left" in complete_is_refused(ob)
