"""Choose among the poses of a rig, key them, and save them as pose assets."""

from __future__ import annotations

import bpy
from bpy.props import EnumProperty, IntProperty

from ..problems import Problem
from ..session import Notice, session
from .generate import report


class OnPoses:
    """Operators that need a rig with a list of poses."""

    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        from ..apply import pose_list

        return pose_list.rig_of(context) is not None

    def failed(self, problem: Problem) -> set[str]:
        """Say what is wrong where the armature's button is."""
        session.asked_by = "hhmr.from_armature"
        return report(self, problem)


class HHMR_OT_show_pose(OnPoses, bpy.types.Operator):
    """Pose the rig by this hypothesis; bones that were kept stay"""

    bl_idname = "hhmr.show_pose"
    bl_label = "Show Pose"

    index: IntProperty(name="Row", min=0)

    def execute(self, context: bpy.types.Context) -> set[str]:
        from ..apply import pose_list

        rig = pose_list.rig_of(context)
        if self.index >= len(rig.hhmr_poses):
            self.report({"ERROR"}, f"There is no pose {self.index + 1}.")
            return {"CANCELLED"}
        try:
            said = pose_list.show(rig, self.index, context)
        except Problem as problem:
            return self.failed(problem)
        if said:
            self.report({"WARNING"}, said)
        return {"FINISHED"}


class HHMR_OT_keep_pose(OnPoses, bpy.types.Operator):
    """Keep this pose: neither Discard the Rest nor the next request removes it"""

    bl_idname = "hhmr.keep_pose"
    bl_label = "Keep"

    index: IntProperty(name="Row", min=0)

    def execute(self, context: bpy.types.Context) -> set[str]:
        from ..apply import pose_list

        rig = pose_list.rig_of(context)
        if self.index >= len(rig.hhmr_poses) or pose_list.poses(rig)[self.index].before:
            self.report({"ERROR"}, "Only a hypothesis can be kept.")
            return {"CANCELLED"}
        pose_list.keep(rig, self.index)
        return {"FINISHED"}


class HHMR_OT_discard_poses(OnPoses, bpy.types.Operator):
    """Remove every pose that is not kept; without any kept, all but the one that is shown"""

    bl_idname = "hhmr.discard_poses"
    bl_label = "Discard the Rest"

    def execute(self, context: bpy.types.Context) -> set[str]:
        from ..apply import pose_list

        gone = pose_list.discard_rest(pose_list.rig_of(context))
        if gone == 0:
            self.report({"INFO"}, "Show or keep a pose first: then the others are the rest.")
            return {"CANCELLED"}
        self.report({"INFO"}, f"{gone} discarded.")
        return {"FINISHED"}


class HHMR_OT_key_pose(OnPoses, bpy.types.Operator):
    """Insert keys at the current frame for the bones of the hand that is shown"""

    bl_idname = "hhmr.key_pose"
    bl_label = "Key"

    def execute(self, context: bpy.types.Context) -> set[str]:
        from ..apply import pose, pose_list

        rig = pose_list.rig_of(context)
        shown = pose_list.active(rig)
        try:
            if shown is None:
                raise Problem("no_pose", "Show a pose first: its hand is keyed.")
            pose.check_editable(rig)
            pose.insert_keys(rig, pose_list.hand_of(rig, shown))
        except Problem as problem:
            return self.failed(problem)
        self.report({"INFO"}, f"The {shown.side} hand is keyed at frame {context.scene.frame_current}.")
        return {"FINISHED"}


class HHMR_OT_save_pose_assets(OnPoses, bpy.types.Operator):
    """Save hypotheses as pose assets of this file, in the catalog HHMR, for Blender's pose library"""

    bl_idname = "hhmr.save_pose_assets"
    bl_label = "Save as Pose Assets"

    which: EnumProperty(
        name="Which",
        items=[
            ("ALL", "All", "Every hypothesis on the list"),
            ("SHOWN", "Shown", "The pose that is shown"),
        ],
    )

    def execute(self, context: bpy.types.Context) -> set[str]:
        from ..apply import pose_assets, pose_list

        rig = pose_list.rig_of(context)
        shown = pose_list.active(rig)
        rows = [row for row in pose_list.poses(rig) if not row.before]
        if self.which == "SHOWN":
            rows = [shown] if shown is not None else []
        try:
            if not rows:
                raise Problem("no_pose", "Show a pose first: it is the one that is saved.")
            names, told = pose_assets.save(context, rig, rows)
        except Problem as problem:
            return self.failed(problem)
        count = "1 pose is an asset now." if len(names) == 1 else f"{len(names)} poses are assets now."
        session.asked_by = "hhmr.from_armature"
        session.notice = Notice(f"{count} {told}")
        self.report({"INFO"}, session.notice.text)
        return {"FINISHED"}


CLASSES = (
    HHMR_OT_show_pose,
    HHMR_OT_keep_pose,
    HHMR_OT_discard_poses,
    HHMR_OT_key_pose,
    HHMR_OT_save_pose_assets,
)
