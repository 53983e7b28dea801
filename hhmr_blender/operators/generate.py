"""Ask for hands: from a partial one or from nothing; stop asking; write what came."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatVectorProperty
from mathutils import Matrix, Vector

from .. import pump
from ..problems import Problem
from ..session import Notice, Target, session


class Asking:
    """What every operator that sends a request shares: it can wait, and its problems go to the panel."""

    wait: BoolProperty(
        name="Wait",
        description="Return when the result is there: for scripts, since it stops the interface",
        options={"HIDDEN", "SKIP_SAVE"},
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if session.busy:
            cls.poll_message_set("A request is under way: wait for it, or cancel it")  # type: ignore[attr-defined]
        return not session.busy

    def ask(self, work: Callable[[], None]) -> set[str]:
        """Run what captures and submits; a Problem is shown, in the panel and as the operator's report."""
        session.asked_by = type(self).bl_idname.lower().replace("_ot_", ".")
        try:
            work()
        except Problem as problem:
            return report(self, problem)
        pump.start()
        if self.wait:
            if not pump.wait(600):
                return report(self, Problem("engine_failed", "The engine did not answer within ten minutes."))
            if session.notice is not None and session.notice.code:
                return report(self, Problem(session.notice.code, session.notice.text))
        return {"FINISHED"}


def report(operator: Any, problem: Problem) -> set[str]:
    """Show a problem in the panel, where its button is, and at the mouse."""
    session.notice = Notice(problem.text, problem.code)
    pump.redraw()
    operator.report({"ERROR"}, problem.text)
    return {"CANCELLED"}


def request(context: bpy.types.Context, task: str, side: str) -> dict[str, Any]:
    """Fields of a request out of the scene's settings."""
    chosen = context.scene.hhmr
    return {
        "task": task,
        "side": side,
        "count": chosen.count,
        "seed": chosen.seed,
        "steps": chosen.steps,
        "rho": chosen.rho,
        "method": chosen.method,
        "separate": chosen.separate,
        "fit": chosen.fit,
    }


class HHMR_OT_complete(Asking, bpy.types.Operator):
    """Complete the active hand: what is kept stays as it is, and the rest is made in several ways"""

    bl_idname = "hhmr.complete"
    bl_label = "Complete Hand"
    bl_options = {"REGISTER"}

    keep: EnumProperty(
        name="Keep",
        items=[
            ("AS_SET", "As Set", "What the HHMR tab says"),
            ("SELECTION", "Selection", "The vertices selected in Edit Mode"),
            ("GROUP", "Group", "The vertex group that the HHMR tab names"),
            ("REST", "What Is Left", "All that is left of a hand with deleted parts"),
        ],
        default="AS_SET",
        options={"SKIP_SAVE"},
    )
    side: EnumProperty(
        name="Side",
        items=[
            ("AS_SET", "As Set", "What the HHMR tab says"),
            ("AUTO", "Auto", "The hand with what is kept; of a mesh without bones, it is found out"),
            ("RIGHT", "Right", "The right hand"),
            ("LEFT", "Left", "The left hand"),
        ],
        default="AS_SET",
        options={"SKIP_SAVE"},
    )

    def execute(self, context: bpy.types.Context) -> set[str]:
        return self.ask(lambda: self._complete(context))

    def _complete(self, context: bpy.types.Context) -> None:
        from ..apply.result import check_editable
        from ..capture import mesh as capture
        from ..capture.foreign import is_hhmr

        ob = context.object
        if ob is None:
            raise Problem(
                "no_object", "No object is active: click a hand, or add one with Add > Mesh > HHMR Hand."
            )
        chosen = context.scene.hhmr
        keep = chosen.keep if self.keep == "AS_SET" else self.keep
        if not is_hhmr(ob):
            self._complete_foreign(context, ob, keep)
            return
        part = capture.capture(ob, keep, chosen.group)
        if part.whole:
            check_editable(ob)
        target = Target("KEYS" if part.whole else "BESIDE", ob.matrix_world.copy(), ob.session_uid, ob.name)
        asked = request(context, "inpaint", part.side)
        session.submit(asked, {"vertices": part.vertices}, target, {"source": "mesh", "kept": part.kept})

    def _complete_foreign(self, context: bpy.types.Context, ob: bpy.types.Object, keep: str) -> None:
        from ..apply.result import check_editable
        from ..capture import foreign as capture
        from ..capture.landmarks import landmarks

        chosen = context.scene.hhmr
        side = chosen.mesh_side if self.side == "AS_SET" else self.side
        hand = capture.capture(ob, keep, chosen.group, side, landmarks(ob))
        check_editable(ob)
        target = Target(
            "SURFACE", Matrix.Translation(hand.origin.tolist()), ob.session_uid, ob.name, hand=hand
        )
        arrays = {"surface": hand.surface, "triangles": hand.triangles, "keep": hand.keep}
        if hand.joints is not None:
            arrays["joints"] = hand.joints
        note = {"source": "surface", "kept": int(hand.keep.sum())}
        session.submit(request(context, "inpaint", hand.side), arrays, target, note)


class HHMR_OT_generate(Asking, bpy.types.Operator):
    """Make hands from nothing, as a new object with shape keys"""

    bl_idname = "hhmr.generate"
    bl_label = "Generate Hands"
    bl_options = {"REGISTER"}

    location: FloatVectorProperty(
        name="Location",
        description="Where the wrist goes; the 3D cursor where it is not set",
        subtype="TRANSLATION",
        options={"HIDDEN", "SKIP_SAVE"},
    )

    def execute(self, context: bpy.types.Context) -> set[str]:
        return self.ask(lambda: self._generate(context))

    def _generate(self, context: bpy.types.Context) -> None:
        given = self.properties.is_property_set("location")
        place = Vector(self.location) if given else context.scene.cursor.location
        asked = request(context, "generate", context.scene.hhmr.new_side.lower())
        session.submit(asked, {}, Target("FREE", Matrix.Translation(place)), {"source": "nothing"})


class HHMR_OT_cancel(bpy.types.Operator):
    """Stop the request under way; the scene stays as it is"""

    bl_idname = "hhmr.cancel"
    bl_label = "Cancel"
    bl_options = {"INTERNAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        session.cancel()
        return {"FINISHED"}


class HHMR_OT_apply_result(bpy.types.Operator):
    """Write the hands that have come as shape keys"""

    bl_idname = "hhmr.apply_result"
    bl_label = "HHMR Hands"
    bl_options = {"INTERNAL", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return session.run is not None and session.run.job.result is not None

    def execute(self, context: bpy.types.Context) -> set[str]:
        from ..apply import foreign, in_camera, motion, pose_list, result

        run = session.run
        assert run is not None and run.job.result is not None
        message, arrays = run.job.result
        info = session.engine().info
        engine = {name: info[name] for name in ("engine", "template", "weights", "device") if name in info}
        asked = {**run.request, "side": message.get("side", run.request["side"])}  # "auto" was found out
        shot = run.target.shot
        if shot is not None:
            asked |= {"hands": message.get("hands", 1), **in_camera.told(arrays, shot.askew)}
        try:
            if run.target.kind == "MOTION":
                session.notice = Notice(motion.take(context, run.target, asked, arrays))
                return {"FINISHED"}
            ob = result.place(context, run.target, asked, engine, arrays)
        except Problem as problem:
            session.notice = Notice(problem.text, problem.code)
            return {"CANCELLED"}
        count, seconds = len(arrays["vertices"]), float(message.get("seconds", 0.0))
        hands = "1 hand" if count == 1 else f"{count} hands"
        text = f"{hands} on '{ob.name}' in {seconds:.1f}\u00a0s."
        if run.target.hand is not None:
            text = f"{foreign.fit_text(message, arrays['covered'], run.target.hand)} {text}"
        if shot is not None and shot.image and context.scene.hhmr.photo_behind:
            text = f"{text} {in_camera.show_behind(shot)}"
        told = pose_list.take(context, run.target, asked, engine, arrays)
        session.notice = Notice(f"{text} {told}".strip())
        return {"FINISHED"}


CLASSES = (HHMR_OT_complete, HHMR_OT_generate, HHMR_OT_cancel, HHMR_OT_apply_result)
