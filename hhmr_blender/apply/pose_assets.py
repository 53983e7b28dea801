"""Hypotheses as pose assets: one Action each, with a picture, for Blender's own pose library."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import bpy
import numpy as np

from ..capture.armature import posed_joints
from ..problems import Problem
from ..rigs.hand import Hand
from . import catalog, freedom, hand_picture, pose, pose_list
from .controls import finger_ik
from .loose import loose_bones
from .pose_list import Pose

AUTHOR = "HHMR for Blender"
TAGS = ("HHMR", "hand")
ORIGIN = "hhmr"
"""Custom property of the action: which pose of which rig it is, so that none is saved twice."""


def save(context: bpy.types.Context, ob: bpy.types.Object, chosen: list[Pose]) -> tuple[list[str], str]:
    """Save rows of an armature's list as pose assets of this file; the rig stays as it is posed.

    A row that is an asset already is only put into the catalog. Returns the names of the actions, and what to
    tell: where they are listed. Raises Problem before anything is changed.
    """
    pose.check_editable(ob)
    hands = [pose_list.hand_of(ob, one) for one in chosen]
    listed, told = _catalog(context)
    names = []
    for hand, one in zip(hands, chosen):
        saved = next((act for act in bpy.data.actions if act.get(ORIGIN) == _origin(ob, one)), None)
        if saved is not None and saved.asset_data is not None and saved.is_editable:
            saved.asset_data.catalog_id = listed
            names.append(saved.name)
            continue
        before = {bone: freedom.values(bone) for bone in pose.turned_bones(ob, hand)}
        switches = {bone: bone["FK_IK"] for bone in finger_ik(ob, hand).values()}
        try:
            pose_list.write(ob, hand, one, context.view_layer)
            action = _action(ob, hand, f"{ob.name} {one.name}", bool(switches))
            action[ORIGIN] = _origin(ob, one)
            _describe(action, one, listed)
            _picture(action, ob, hand, one)
        finally:
            for bone, values in before.items():
                freedom.set_values(bone, values)
            for bone, value in switches.items():
                bone["FK_IK"] = value
            ob.update_tag()
            context.view_layer.update()
        names.append(action.name)
    return names, told


def _catalog(context: bpy.types.Context) -> tuple[str, str]:
    """UUID of the catalog and what to tell of it; the poses are saved where it can't be written, too."""
    if not bpy.data.filepath:
        return catalog.UUID, "Save the file and press this again to list them in the catalog HHMR."
    libraries = [Path(bpy.path.abspath(one.path)) for one in context.preferences.filepaths.asset_libraries]
    folder = catalog.library_root(Path(bpy.data.filepath), [root for root in libraries if root.name])
    try:
        found = catalog.ensure(folder)
    except Problem as problem:
        return catalog.UUID, problem.text
    _refresh(context)
    return found, "They are in the catalog HHMR; save the file to keep them."


def _refresh(context: bpy.types.Context) -> None:
    """Have open asset browsers read the catalogs again; without one there is nothing to refresh."""
    for window in context.window_manager.windows:
        for area in window.screen.areas:
            if area.ui_type == "ASSETS":
                with context.temp_override(window=window, area=area):
                    bpy.ops.asset.library_refresh()


def _action(ob: bpy.types.Object, hand: Hand, name: str, with_switches: bool) -> bpy.types.Action:
    """The rotations that a hand's bones have now, as an action of one frame that nothing is using."""
    action = bpy.data.actions.new(name)
    slot = action.slots.new("OBJECT", ob.name)
    strip = action.layers.new("Layer").strips.new(type="KEYFRAME")
    bag = strip.channelbag(slot, ensure=True)
    for bone in pose.turned_bones(ob, hand):
        path = bone.path_from_id(freedom.channel(bone))
        _keys(bag, bone.name, path, freedom.values(bone)[3:])
    for one in loose_bones(ob, hand):
        _keys(bag, one.bone.name, one.bone.path_from_id("location"), tuple(one.bone.location))
    for bone in finger_ik(ob, hand).values() if with_switches else ():
        _keys(bag, bone.name, bone.path_from_id('["FK_IK"]'), (float(bone["FK_IK"]),))
    action.use_fake_user = True
    return action


def _origin(ob: bpy.types.Object, one: Pose) -> str:
    told = json.dumps([ob.name, one.wrist, one.joints, one.rotations, one.held])
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def _keys(bag: bpy.types.ActionChannelbag, group: str, path: str, values: tuple[float, ...]) -> None:
    folder = bag.groups.get(group) or bag.groups.new(group)
    for i, value in enumerate(values):
        curve = bag.fcurves.new(path, index=i)
        curve.group = folder
        curve.keyframe_points.insert(0, value)
        curve.update()


def _describe(action: bpy.types.Action, one: Pose, listed: str) -> None:
    action.asset_mark()
    data = action.asset_data
    assert data is not None
    data.catalog_id = listed
    data.author = AUTHOR
    about = one.about or {}
    if about:
        data.description = (
            f"Hypothesis of a {one.side} hand: score {about['score']:.2f}, seed {about['seed']}, "
            f"draw {about['draw']}, self-intersection {about['self_intersection']:.1f} %"
        )
    else:
        data.description = f"The {one.side} hand as it was before its hypotheses"
    for tag in (*TAGS, one.side):
        data.tags.new(tag, skip_if_exists=True)


def _picture(action: bpy.types.Action, ob: bpy.types.Object, hand: Hand, one: Pose) -> None:
    """Preview of the hand as the rig has it now: what a limit holds back is seen."""
    image = hand_picture.draw(posed_joints(ob, hand), one.side, one.held)
    preview = action.preview_ensure()
    preview.image_size = image.shape[:2]
    preview.image_pixels_float.foreach_set(np.ascontiguousarray(image).ravel())
