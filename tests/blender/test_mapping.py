"""Which bones are a hand, stored on the armature: detected, edited, kept, and told when it is out of date."""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np
import pytest

from hhmr_blender.capture import armature as capture
from hhmr_blender.capture import mapping
from hhmr_blender.problems import Problem
from hhmr_blender.rigs.tables import JOINTS
from tests.blender.rig_building import build, places, select_bones
from tests.blender.test_panels import drawn
from tests.blender.test_structure import flat, made, nameless

WRIST, INDEX = "mixamorig:RightHand", "mixamorig:RightHandIndex1"


def read(ob: bpy.types.Object, side: str = "right") -> list[str]:
    names = mapping.stored(ob, side).read
    return [names.get(joint, "") for joint in JOINTS]


def fields() -> bpy.types.PropertyGroup:
    """The fields that the panel shows: of the active object, right, bones that are read."""
    return bpy.context.scene.hhmr.mapping_bones


def test_detect_stores_what_is_found() -> None:
    ob = build("mixamo", ("right", "left"))
    assert bpy.ops.hhmr.detect_mapping() == {"FINISHED"}
    for side in ("right", "left"):
        hand = next(hand for hand in capture.detected_hands(ob.data) if hand.side == side)
        assert read(ob, side) == list(hand.bones)
        stored = mapping.stored(ob, side)
        assert stored.rig == "mixamo" and stored.note == "" and not stored.write
    assert [hand.rig.id for hand in capture.hands(ob)] == ["mixamo", "mixamo"]


def test_rigify_shows_what_is_read_and_what_is_written() -> None:
    ob = build("rigify_deform")
    bpy.ops.object.mode_set(mode="EDIT")
    for name in ("hand_fk.R", "f_index.01.R", "thumb.02.R"):
        bone = ob.data.edit_bones.new(name)
        bone.tail = (0, 0, 1)
    bpy.ops.object.mode_set(mode="OBJECT")
    bpy.ops.hhmr.detect_mapping()
    assert fields().index_mcp == "DEF-f_index.01.R" and fields().index_pip == "DEF-f_index.02.R"
    bpy.context.scene.hhmr.mapping_shows = "WRITE"
    assert fields().index_mcp == "f_index.01.R" and fields().index_pip == ""
    hand = capture.choose(ob, "AUTO", None)
    assert hand.rig.id == "rigify_deform"
    assert hand.controls[5:7] == ("f_index.01.R", "DEF-f_index.02.R")


def test_what_is_stored_wins_over_what_is_found() -> None:
    ob = build("mixamo", ("right", "left"))
    bpy.ops.hhmr.detect_mapping()
    fields().index_tip = ""
    bpy.context.scene.hhmr.mapping_shows = "WRITE"
    fields().index_mcp = "mixamorig:RightHandMiddle1"
    right, left = capture.hands(ob)
    assert right.bones[8] == "" and right.controls[5] == "mixamorig:RightHandMiddle1"
    bpy.ops.hhmr.clear_mapping(side="RIGHT")
    assert not any(read(ob)) and any(read(ob, "left"))
    assert capture.hands(ob)[0].bones[8] == "mixamorig:RightHandIndex4"


def test_a_hand_of_unknown_names_and_shape_can_be_named_by_hand() -> None:
    ob = build("mixamo")
    old = nameless(ob)
    bpy.ops.object.mode_set(mode="EDIT")
    for bone in ob.data.edit_bones:
        bone.parent = None
    bpy.ops.object.mode_set(mode="OBJECT")
    with pytest.raises(RuntimeError, match="No hand was found"):
        bpy.ops.hhmr.detect_mapping()
    new = {name: bone for bone, name in old.items()}
    names = {"wrist": WRIST, "index_mcp": INDEX, "middle_mcp": INDEX.replace("Index", "Middle")}
    for joint, name in names.items():
        setattr(fields(), joint, new[name])
    select_bones(ob, {new[INDEX]})
    joints = capture.capture(ob, "SELECTED", "AUTO").joints
    assert [JOINTS[i] for i in np.flatnonzero(np.isfinite(joints).all(axis=1))] == list(names)
    with pytest.raises(Problem, match="2 of the 15 finger bones"):
        capture.capture(ob, "ALL", "AUTO")


def test_stale_and_double_names_are_told() -> None:
    ob = build("mixamo")
    bpy.ops.hhmr.detect_mapping()
    ob.data.bones[INDEX].name = "Finger"
    with pytest.raises(Problem, match=f"names bones that are not there: '{INDEX}'") as caught:
        capture.capture(ob, "ALL", "AUTO")
    assert caught.value.code == "stale_mapping"
    fields().index_mcp = "Finger"
    assert capture.capture(ob, "ALL", "AUTO").hand.bones[5] == "Finger"
    fields().index_pip = "Finger"
    with pytest.raises(Problem, match="'Finger' at index_mcp and index_pip"):
        capture.capture(ob, "ALL", "AUTO")
    fields().index_pip = "mixamorig:RightHandIndex2"
    bpy.context.scene.hhmr.mapping_shows = "WRITE"
    fields().index_pip = "gone"
    with pytest.raises(Problem, match="'gone'"):
        capture.capture(ob, "ALL", "AUTO")


def test_detect_ends_the_doubt() -> None:
    ob = made(shape=lambda joints: flat(joints) + [0.3, 0, 0])
    with pytest.raises(Problem, match="Press Detect"):
        capture.capture(ob, "ALL", "AUTO")
    bpy.ops.hhmr.detect_mapping()
    side = next(side for side in ("right", "left") if any(read(ob, side)))
    other = {"right": "left", "left": "right"}[side]
    assert "right or a left" in mapping.stored(ob, side).note
    assert capture.capture(ob, "ALL", "AUTO").side == side
    bones = read(ob, side)
    assert bpy.ops.hhmr.swap_mapping() == {"FINISHED"}
    assert not any(read(ob, side)) and read(ob, other) == bones
    assert [hand.side for hand in capture.hands(ob) if hand.sure] == [other]


def test_detect_takes_the_character_whose_bones_are_selected() -> None:
    ob = build("mixamo")
    copy = build("mixamo")
    for bone in copy.data.bones:
        bone.name = bone.name.replace("mixamorig:", "mixamorig2:")
    ob.select_set(True)
    bpy.context.view_layer.objects.active = ob
    bpy.ops.object.join()
    with pytest.raises(Problem, match="several right hands") as caught:
        capture.capture(ob, "ALL", "AUTO")
    assert caught.value.code == "many_hands"
    select_bones(ob, {"mixamorig2:RightHandIndex2"})
    assert capture.capture(ob, "SELECTED", "AUTO").hand.bones[0] == "mixamorig2:RightHand"
    bpy.ops.hhmr.detect_mapping()
    assert read(ob)[0] == "mixamorig2:RightHand"
    assert capture.capture(ob, "ALL", "AUTO").hand.bones[0] == "mixamorig2:RightHand"


def test_the_mapping_is_one_undo_step_and_is_saved(tmp_path: Path) -> None:
    build("mixamo")
    bpy.ops.ed.undo_push(message="before")
    bpy.ops.hhmr.detect_mapping("EXEC_DEFAULT", True)
    bones = read(bpy.data.objects["mixamo"])
    assert bones[0] == WRIST
    bpy.ops.ed.undo()
    assert not any(read(bpy.data.objects["mixamo"]))
    bpy.ops.ed.redo()
    assert read(bpy.data.objects["mixamo"]) == bones
    fields().index_tip = "mixamorig:RightHandIndex3"
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "saved.blend"))
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "saved.blend"))
    assert read(bpy.data.objects["mixamo"])[8] == "mixamorig:RightHandIndex3"


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A file with a posed character in it."""
    ob = build("mixamo")
    ob.name = "Hero"
    ob.pose.bones[INDEX].rotation_mode = "XYZ"
    ob.pose.bones[INDEX].rotation_euler = (0.5, 0, 0)
    collection = bpy.data.collections.new("Character")
    bpy.context.scene.collection.children.link(collection)
    collection.objects.link(ob)
    path = tmp_path / "library.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    return path


def linked(path: Path) -> bpy.types.Object:
    with bpy.data.libraries.load(str(path), link=True) as (_, wanted):
        wanted.objects = ["Hero"]
    ob = wanted.objects[0]
    bpy.context.scene.collection.objects.link(ob)
    bpy.context.view_layer.objects.active = ob
    bpy.context.view_layer.update()
    return ob


def test_a_linked_character_is_read_and_takes_no_mapping(library: Path) -> None:
    ob = linked(library)
    joints = capture.capture(ob, "ALL", "AUTO").joints
    assert np.isfinite(joints).all() and np.abs(joints[6] - places("right")[6]).max() > 0.005
    np.testing.assert_allclose(joints[10], places("right")[10], atol=1e-6)
    for operator in (bpy.ops.hhmr.detect_mapping, bpy.ops.hhmr.clear_mapping, bpy.ops.hhmr.swap_mapping):
        with pytest.raises(RuntimeError, match="library override"):
            operator()
    fields().wrist = WRIST
    assert not any(read(ob))


def test_an_overridden_character_takes_a_mapping_and_keeps_it(library: Path, tmp_path: Path) -> None:
    ob = linked(library).override_create(remap_local_usages=True)
    bpy.context.view_layer.objects.active = ob
    bpy.ops.hhmr.detect_mapping()
    fields().index_tip = "mixamorig:RightHandIndex3"
    fields().index_dip = ""
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "shot.blend"))
    ob = next(one for one in bpy.data.objects if one.override_library is not None)
    bones = read(ob)
    assert bones[:2] == [WRIST, "mixamorig:RightHandThumb1"]
    assert bones[7:9] == ["", "mixamorig:RightHandIndex3"]
    assert mapping.stored(ob, "right").rig == "mixamo"


def test_a_shown_collection_is_no_armature(library: Path) -> None:
    with bpy.data.libraries.load(str(library), link=True) as (_, wanted):
        wanted.collections = ["Character"]
    empty = bpy.data.objects.new("Hero", None)
    empty.instance_type, empty.instance_collection = "COLLECTION", wanted.collections[0]
    bpy.context.scene.collection.objects.link(empty)
    bpy.context.view_layer.objects.active = empty
    with pytest.raises(Problem, match="library override") as caught:
        capture.capture(empty, "ALL", "AUTO")
    assert caught.value.code == "no_armature"


def test_a_mapping_that_is_no_mapping_is_none() -> None:
    ob = build("mixamo")
    ob.hhmr_mapping = "{broken"
    assert capture.capture(ob, "ALL", "AUTO").hand.rig.id == "mixamo"
    bpy.ops.hhmr.detect_mapping()
    assert read(ob)[0] == WRIST


def test_the_panel_shows_the_mapping_and_what_is_not_sure() -> None:
    ob = made(fingers=(0, 1, 2, 4))
    bpy.context.scene.hhmr.bones = "FINGERS"
    assert "Not stored: found each time." in drawn() and "detect_mapping" in drawn()
    bpy.ops.hhmr.detect_mapping()
    assert "no ring finger" in " ".join(drawn())
    ob.data.bones["Bone.010"].name = "other"
    for shows in ("READ", "WRITE"):
        bpy.context.scene.hhmr.mapping_shows = shows
        drawn()
    bpy.context.scene.hhmr.mapping_side = "LEFT"
    assert "Not stored: found each time." in drawn()
    bpy.ops.mesh.primitive_cube_add()
    assert "detect_mapping" not in drawn()


def test_the_buttons_want_an_armature() -> None:
    bpy.ops.mesh.primitive_cube_add()
    assert not bpy.ops.hhmr.detect_mapping.poll()
