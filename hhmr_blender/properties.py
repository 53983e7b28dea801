"""What the user sets: for the next request, with the scene; which bones are a hand, with its armature."""

from __future__ import annotations

import bpy
from bpy.props import (
    BoolProperty,
    CollectionProperty,
    EnumProperty,
    FloatProperty,
    IntProperty,
    IntVectorProperty,
    PointerProperty,
    StringProperty,
)

from .rigs.tables import JOINTS

OVERRIDABLE = {"LIBRARY_OVERRIDABLE"}


def _bone_of(joint: str) -> object:
    """Field for the bone of a joint of the active armature: of the side, and for the use, that are shown."""

    def read(_fields: bpy.types.PropertyGroup) -> str:
        from .capture import mapping

        ob, chosen = bpy.context.object, bpy.context.scene.hhmr
        if ob is None:
            return ""
        hand = mapping.stored(ob, chosen.mapping_side.lower())
        return (hand.read if chosen.mapping_shows == "READ" else hand.write).get(joint, "")

    def write(_fields: bpy.types.PropertyGroup, bone: str) -> None:
        from .capture import mapping

        ob, chosen = bpy.context.object, bpy.context.scene.hhmr
        if ob is not None and ob.is_editable:
            mapping.name(ob, chosen.mapping_side.lower(), chosen.mapping_shows, joint, bone)

    return StringProperty(name=joint, description="Bone that begins at this joint", get=read, set=write)


class HHMR_PG_bones(bpy.types.PropertyGroup):
    """The mapping of the active armature, as fields; nothing is stored here."""

    __annotations__ = {joint: _bone_of(joint) for joint in JOINTS}


class HHMR_PG_pose(bpy.types.PropertyGroup):
    """A pose of a rig's hand: see apply/pose_list.py."""

    kept: BoolProperty(override=OVERRIDABLE)
    before: BoolProperty(override=OVERRIDABLE)
    data: StringProperty(override=OVERRIDABLE)


def _pose_chosen(rig: bpy.types.Object, context: bpy.types.Context) -> None:
    """A row of the list was clicked: the rig takes its pose."""
    from .apply import pose_list
    from .problems import Problem
    from .session import Notice, session

    if pose_list.silent() or not 0 <= rig.hhmr_pose_index < len(rig.hhmr_poses):
        return
    try:
        said, code = pose_list.show(rig, rig.hhmr_pose_index, context), ""
    except Problem as problem:
        said, code = problem.text, problem.code
    session.asked_by = "hhmr.from_armature"
    session.notice = Notice(said, code) if said else None


RIG_SIDES = [
    ("AUTO", "Auto", "The hand with selected bones, or the only one"),
    ("RIGHT", "Right", "The right hand"),
    ("LEFT", "Left", "The left hand"),
    ("BOTH", "Both", "Both hands, one after the other"),
]
"""Hands of an armature that can be asked for."""


class HHMR_PG_settings(bpy.types.PropertyGroup):
    """Settings of the HHMR tab."""

    keep: EnumProperty(
        name="Keep",
        description="What of the hand is right; the rest is completed",
        items=[
            ("SELECTION", "Selection", "Keep the vertices selected in Edit Mode"),
            ("GROUP", "Group", "Keep the vertices of a vertex group"),
            ("REST", "What Is Left", "Keep all that is left of a hand with deleted parts"),
        ],
        default="SELECTION",
    )
    group: StringProperty(name="Vertex Group", description="Vertices with a weight above 0.5 are kept")
    bones: EnumProperty(
        name="Joints",
        description="Which joints of the armature are kept",
        items=[
            ("ALL", "Whole Hand", "Keep every joint of the hand"),
            ("FINGERS", "Fingers", "Keep the palm and the fingers chosen below; the rest is completed"),
            ("SELECTED", "Selected", "Keep the palm and the selected bones; the rest is completed"),
        ],
        default="ALL",
    )
    fingers: EnumProperty(
        name="Fingers",
        description="Fingers that are kept as they are posed; Shift-click for several",
        items=[
            ("THUMB", "Thumb", "Keep the thumb"),
            ("INDEX", "Index", "Keep the index finger"),
            ("MIDDLE", "Mid", "Keep the middle finger"),
            ("RING", "Ring", "Keep the ring finger"),
            ("PINKY", "Pinky", "Keep the pinky"),
        ],
        options={"ENUM_FLAG"},
        default={"THUMB", "INDEX"},
    )
    side: EnumProperty(name="Side", description="Which hand is meant", items=RIG_SIDES, default="AUTO")
    mapping_side: EnumProperty(
        name="Side",
        description="Hand whose bones are shown",
        items=[("RIGHT", "Right", "Bones of the right hand"), ("LEFT", "Left", "Bones of the left hand")],
    )
    mapping_bones: PointerProperty(type=HHMR_PG_bones)
    mapping_shows: EnumProperty(
        name="Bones",
        items=[
            ("READ", "Read", "Bones whose pose is read: those that deform"),
            (
                "WRITE",
                "Write",
                "Controls that take the pose; where the field is empty, the bone that is read",
            ),
        ],
    )
    mesh_side: EnumProperty(
        name="Side",
        description="Which hand the mesh is, or which of its hands is meant",
        items=[
            ("AUTO", "Auto", "Found from its shape; of two hands, the one with what is kept"),
            ("RIGHT", "Right", "A right hand"),
            ("LEFT", "Left", "A left hand"),
        ],
        default="AUTO",
    )
    new_side: EnumProperty(
        name="Side",
        description="Which hand to make",
        items=[("RIGHT", "Right", "A right hand"), ("LEFT", "Left", "A left hand")],
        default="RIGHT",
    )
    count: IntProperty(
        name="Hypotheses",
        description="How many different hands to make",
        default=8,
        min=1,
        max=64,
        soft_max=16,
    )
    seed: IntProperty(
        name="Seed",
        description=(
            "The same seed and settings give the same hands. Another seed gives others, but for the "
            "likeliest one, which is among all of them where something is kept"
        ),
        default=0,
        min=0,
    )
    steps: IntProperty(
        name="Steps",
        description="Denoising steps: more take longer and give more variety",
        default=10,
        min=1,
        max=250,
        soft_max=50,
    )
    rho: FloatProperty(
        name="Noise (mm)",
        description=(
            "How far the hand may lie from what is kept, in millimetres at the size of a hand. "
            "Raise it for joints from noisy tracking"
        ),
        default=1.0,
        min=0.05,
        max=50.0,
        soft_max=20.0,
        precision=1,
    )
    root_rho: FloatProperty(
        name="Roots (mm)",
        description=(
            "How much farther the wrist and the thumb's root of an armature may lie from ours, in "
            "millimetres at the size of a hand: rigs have them in other places"
        ),
        default=8.0,
        min=0.0,
        max=50.0,
        soft_max=20.0,
        precision=1,
    )
    separate: BoolProperty(
        name="Separate Fingers",
        description="Take fingers out of each other and out of the palm. What is kept stays as it is",
        default=True,
    )
    method: EnumProperty(
        name="Method",
        items=[
            ("network", "Network", "The diffusion network"),
            ("gaussian", "Gaussian", "The baseline: a Gaussian of poses, given what is kept"),
        ],
        default="network",
    )
    motion_range: EnumProperty(
        name="Frames",
        description="Frames of a motion",
        items=[
            ("SCENE", "Scene Range", "All frames of the scene, or of its preview range"),
            ("OWN", "Start to End", "The frames from Start to End"),
        ],
        default="SCENE",
    )
    motion_start: IntProperty(name="Start", description="First frame of a motion", default=1)
    motion_end: IntProperty(name="End", description="Last frame of a motion", default=50)
    motion_count: IntProperty(
        name="Motions",
        description="How many different motions to make: each frame takes about as long as a hand",
        default=3,
        min=1,
        max=16,
    )
    jerk: FloatProperty(
        name="Liveliness",
        description=(
            "How fast the acceleration of a point of the hand may change, in millimetres a frame cubed at "
            "the size of a hand. Less is smoother, more follows quick fingers"
        ),
        default=1.0,
        min=0.01,
        max=100.0,
        precision=2,
    )
    photo: PointerProperty(
        name="Picture",
        description="Picture of a hand; without one, what the scene's camera has as its background",
        type=bpy.types.Image,
    )
    photo_side: EnumProperty(
        name="Side",
        description="Which hand is seen",
        items=[
            ("AUTO", "Auto", "Found out from what is seen"),
            ("RIGHT", "Right", "A right hand"),
            ("LEFT", "Left", "A left hand"),
        ],
        default="AUTO",
    )
    photo_behind: BoolProperty(
        name="Show Picture Behind",
        description="Make the picture the camera's background, so that the hand is seen over it",
        default=True,
    )
    palm: FloatProperty(
        name="Palm",
        description=(
            "Distance from the wrist to the middle finger's knuckle: no picture shows how large a hand is. "
            "0: as our own hand has it, about 9 cm"
        ),
        default=0.0,
        min=0.0,
        max=1000.0,
        soft_max=0.2,
        precision=3,
        subtype="DISTANCE",
    )
    fit: BoolProperty(
        name="Fit Bones",
        description="Fit a skinned hand to every result: cleaner skin, a little slower",
        default=False,
    )


def _is_empty(_owner: bpy.types.bpy_struct, ob: bpy.types.Object) -> bool:
    return ob.type == "EMPTY"


class HHMR_PG_landmarks(bpy.types.PropertyGroup):
    """Empties on the hand of a mesh, each of which may be left out."""

    wrist: PointerProperty(name="Wrist", type=bpy.types.Object, poll=_is_empty)
    thumb: PointerProperty(name="Thumb Tip", type=bpy.types.Object, poll=_is_empty)
    index: PointerProperty(name="Index Tip", type=bpy.types.Object, poll=_is_empty)
    middle: PointerProperty(name="Middle Tip", type=bpy.types.Object, poll=_is_empty)
    ring: PointerProperty(name="Ring Tip", type=bpy.types.Object, poll=_is_empty)
    pinky: PointerProperty(name="Pinky Tip", type=bpy.types.Object, poll=_is_empty)


CLASSES = (HHMR_PG_bones, HHMR_PG_landmarks, HHMR_PG_pose, HHMR_PG_settings)


def register() -> None:
    """Add the settings to every scene; a mapping, poses, landmarks to every object; a box to every image."""
    for cls in CLASSES:
        bpy.utils.register_class(cls)
    bpy.types.Scene.hhmr = PointerProperty(type=HHMR_PG_settings)
    bpy.types.Object.hhmr_mapping = StringProperty(
        name="HHMR Mapping",
        description="Which bones are the hands, as JSON",
        options={"HIDDEN"},
        override=OVERRIDABLE,
    )
    bpy.types.Object.hhmr_poses = CollectionProperty(
        type=HHMR_PG_pose, override={"LIBRARY_OVERRIDABLE", "USE_INSERTION"}
    )
    bpy.types.Object.hhmr_pose_index = IntProperty(
        name="Pose",
        description="Click to pose the rig",
        update=_pose_chosen,
        options=set(),
        override=OVERRIDABLE,
    )
    bpy.types.Object.hhmr_landmarks = PointerProperty(type=HHMR_PG_landmarks, override=OVERRIDABLE)
    bpy.types.Object.hhmr_skeleton = PointerProperty(
        name="2D Skeleton",
        description="Empty that holds the joints that this hand was fitted to",
        type=bpy.types.Object,
        poll=_is_empty,
        override=OVERRIDABLE,
    )
    bpy.types.Image.hhmr_box = IntVectorProperty(
        name="Box",
        description="Where the hand is: pixels from the upper left corner, then width and height",
        size=4,
        min=0,
        options=set(),
    )


def unregister() -> None:
    """Take them off again."""
    del bpy.types.Image.hhmr_box
    del bpy.types.Object.hhmr_skeleton
    del bpy.types.Object.hhmr_landmarks
    del bpy.types.Object.hhmr_pose_index
    del bpy.types.Object.hhmr_poses
    del bpy.types.Object.hhmr_mapping
    del bpy.types.Scene.hhmr
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
