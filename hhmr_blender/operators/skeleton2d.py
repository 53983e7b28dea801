"""2D skeletons before the camera: made, corrected by hand, and fitted."""

from __future__ import annotations

import bpy
import numpy as np
from mathutils import Vector

from ..problems import Problem
from ..session import Shot, Target, session
from .generate import Asking, report
from .image import seen_request

FILLS = 0.5
"""Part of the frame's height that a skeleton made by hand begins with."""


class HHMR_OT_edit_skeleton(bpy.types.Operator):
    """Show the joints that were found as empties: drag those that are wrong, hide those that are unknown"""

    bl_idname = "hhmr.edit_skeleton"
    bl_label = "Edit Skeleton"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        from ..apply import shape_keys

        ob = context.object
        known = shape_keys.provenance(ob.data) if ob is not None and ob.type == "MESH" else None
        return known is not None and "rays" in known.request

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            self._edit(context, context.object)
        except Problem as problem:
            session.asked_by = "hhmr.fit_skeleton"
            return report(self, problem)
        return {"FINISHED"}

    def _edit(self, context: bpy.types.Context, hand: bpy.types.Object) -> None:
        from ..apply import hand_object, shape_keys, skeleton2d
        from ..capture import camera
        from ..capture.mesh import shape, template_ids
        from ..capture.skeleton2d import root_of
        from ..template import template

        context.view_layer.update()
        root = root_of(hand)
        if root is None:
            seen = camera.view(context.scene)
            ids, _ = template_ids(hand, template())
            if len(ids) != len(template().vertices):
                raise Problem("changed_hand", f"'{hand.name}' has lost parts: reconstruct it again.")
            vertices = np.empty((len(ids), 3))
            vertices[ids] = shape(hand)
            world = np.array(hand.matrix_world, dtype=float)
            joints = template().regressor @ vertices @ world[:3, :3].T + world[:3, 3]
            depth = seen.depth(Vector(joints.mean(axis=0).tolist()))
            if depth <= 0:
                raise Problem("behind_camera", f"'{hand.name}' is behind the camera: reconstruct it again.")
            known = shape_keys.provenance(hand.data)
            assert known is not None
            found = np.array([ray or (np.nan, np.nan) for ray in known.request["rays"]], float)
            sigma = np.array([one or np.inf for one in known.request["ray_sigma"]], float)
            unknown = np.isnan(found).any(axis=1)
            rays = np.where(unknown[:, None], seen.rays(joints), found)
            root = skeleton2d.add(
                f"{hand.name} 2D", seen, rays, depth, context, sigma, tuple(np.flatnonzero(unknown))
            )
            hand.hhmr_skeleton = root
        hand_object.select_only(root, context.view_layer)


class HHMR_OT_add_skeleton(bpy.types.Operator):
    """Add the joints of a hand as empties before the camera: drag them to where a hand is to be, and fit"""

    bl_idname = "hhmr.add_skeleton"
    bl_label = "Add 2D Skeleton"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        session.asked_by = "hhmr.fit_skeleton"
        try:
            self._add(context)
        except Problem as problem:
            return report(self, problem)
        session.notice = None
        return {"FINISHED"}

    def _add(self, context: bpy.types.Context) -> None:
        from ..apply import hand_object, skeleton2d
        from ..capture import camera
        from ..template import template

        context.view_layer.update()
        seen = camera.view(context.scene)
        chosen = context.scene.hhmr
        hand = template()
        side = "left" if chosen.photo_side == "LEFT" else "right"
        joints = (hand.regressor @ hand.side_vertices(side)).astype(float)
        # At rest a hand points along y with its palm towards -z: this is how its back is seen.
        flat = joints[:, :2] - (joints[:, :2].min(axis=0) + joints[:, :2].max(axis=0)) / 2
        scale = FILLS * min(seen.height, seen.width) / np.ptp(flat, axis=0).max()
        size = chosen.palm / np.linalg.norm(joints[9] - joints[0]) if chosen.palm else 1.0
        root = skeleton2d.add("Hand 2D", seen, flat * scale + seen.middle, size / scale, context)
        hand_object.select_only(root, context.view_layer)


class HHMR_OT_fit_skeleton(Asking, bpy.types.Operator):
    """Fit hands to the 2D skeleton as the scene's camera sees it; hidden joints are unknown"""

    bl_idname = "hhmr.fit_skeleton"
    bl_label = "Fit Skeleton"
    bl_options = {"REGISTER"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        return self.ask(lambda: self._fit(context))

    def _fit(self, context: bpy.types.Context) -> None:
        from ..apply import shape_keys
        from ..capture import camera, skeleton2d

        context.view_layer.update()
        root = skeleton2d.root_of(context.object)
        if root is None:
            raise Problem("no_skeleton", "Click a 2D skeleton, a joint of it or its hand, or add one.")
        seen = camera.view(context.scene)
        rays, sigma = skeleton2d.read(root, seen)
        # Any pixels will do: those of the render. The engine's camera looks at the middle of `size`.
        render = context.scene.render
        focal = max(render.resolution_x / seen.width, render.resolution_y / seen.height)
        size = 2 * focal * np.array([seen.width, seen.height])
        arrays = {
            "joints2d": (rays * (focal, -focal) + size / 2).astype(np.float32),
            "sigma2d": (sigma * focal).astype(np.float32),
            "size": size.astype(np.float32),
        }
        hand = skeleton2d.hand_of(root)
        known = shape_keys.provenance(hand.data) if hand is not None else None
        target = Target(
            "CAMERA",
            seen.matrix,
            hand.session_uid if hand is not None else 0,
            hand.name if hand is not None else "",
            shot=Shot(seen.camera.session_uid, skeleton=root.session_uid),
        )
        asked = seen_request(context) | {"focal": focal}
        if asked["side"] == "auto" and known is not None:
            asked["side"] = known.request.get("side", "auto")  # what it was found to be
        note = {"source": "skeleton", "camera": seen.camera.name}
        if known is not None and "image" in known.request:
            note |= {key: known.request[key] for key in ("image", "which", "hands") if key in known.request}
        session.submit(asked, arrays, target, note)


CLASSES = (HHMR_OT_edit_skeleton, HHMR_OT_add_skeleton, HHMR_OT_fit_skeleton)
