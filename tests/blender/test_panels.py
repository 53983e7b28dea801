"""The tab is drawn into a layout that checks: every operator, property and icon that is named must exist."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bpy
import pytest
from mathutils import Matrix

from hhmr_blender import panels
from hhmr_blender.client.jobs import Job
from hhmr_blender.panels import hypotheses, parts
from hhmr_blender.problems import MENDS
from hhmr_blender.session import Notice, Run, Target, session
from hhmr_blender.wire import ERROR_CODES
from tests.blender.test_shape_keys import answer, on, place

ROOT = Path(__file__).resolve().parents[2]
ICONS = set(bpy.types.UILayout.bl_rna.functions["label"].parameters["icon"].enum_items.keys())


class CheckingLayout:
    """Stands in for UILayout, which Blender makes only in a window; keeps the texts that were drawn."""

    def __init__(self, texts: list[str] | None = None) -> None:
        self.__dict__["texts"] = [] if texts is None else texts

    def child(self, **_options: Any) -> CheckingLayout:
        return CheckingLayout(self.texts)

    row = column = box = split = grid_flow = child

    def panel(self, _name: str, default_closed: bool = False) -> tuple[CheckingLayout, CheckingLayout]:
        return self.child(), self.child()

    def label(self, text: str = "", icon: str = "NONE") -> None:
        assert icon in ICONS
        self.texts.append(text)

    def prop(self, data: Any, name: str, icon: str = "NONE", **_options: Any) -> None:
        assert name in data.bl_rna.properties and icon in ICONS

    def prop_search(self, data: Any, name: str, where: Any, collection: str, **_options: Any) -> None:
        assert name in data.bl_rna.properties and collection in where.bl_rna.properties

    def template_ID(self, data: Any, name: str, **operators: str) -> None:
        assert data.bl_rna.properties[name].type == "POINTER"
        for idname in operators.values():
            self.operator(idname)

    def icon(self, data: Any) -> int:
        assert isinstance(data, bpy.types.ID)
        return 1

    def template_icon(self, icon_value: int, scale: float) -> None:
        assert icon_value and scale

    def operator(self, idname: str, text: str | None = None, icon: str = "NONE", **_options: Any) -> Any:
        group, name = idname.split(".")
        known = getattr(getattr(bpy.ops, group), name).get_rna_type().properties
        assert icon in ICONS
        self.texts.append(text or name)
        return Properties(known)

    def progress(self, factor: float, type: str, text: str) -> None:
        assert 0 <= factor <= 1
        self.texts.append(text)

    def template_list(
        self, cls: str, _id: str, data: Any, name: str, active: Any, index: str, **_o: Any
    ) -> None:
        assert (
            hasattr(bpy.types, cls) and name in data.bl_rna.properties and index in active.bl_rna.properties
        )

    def separator(self, **_options: Any) -> None: ...

    def __setattr__(self, name: str, value: Any) -> None:
        assert name in bpy.types.UILayout.bl_rna.properties


class Properties:
    """Properties of an operator's button: only those that it has can be set, to what they can be."""

    def __init__(self, known: Any) -> None:
        self.__dict__["known"] = known

    def __setattr__(self, name: str, value: Any) -> None:
        assert name in self.known
        if self.known[name].type == "ENUM" and self.known[name].enum_items:
            assert value in self.known[name].enum_items


def window(width: int) -> Any:
    """The context of a sidebar; without a window Blender has no interface scale and no region."""
    preferences = SimpleNamespace(
        system=SimpleNamespace(ui_scale=1.0), ui_styles=bpy.context.preferences.ui_styles
    )
    region = SimpleNamespace(width=width)
    names = ("scene", "object", "selected_objects")
    return SimpleNamespace(
        region=region, preferences=preferences, **{name: getattr(bpy.context, name) for name in names}
    )


def drawn() -> list[str]:
    """Everything that the tab says now."""
    layout = CheckingLayout()
    for cls in panels.CLASSES:
        if issubclass(cls, bpy.types.Panel) and (not hasattr(cls, "poll") or cls.poll(bpy.context)):
            cls.draw(SimpleNamespace(layout=layout), window(280))
    ob = bpy.context.object
    if ob is not None and ob.type == "MESH" and ob.data.shape_keys is not None:
        rows = SimpleNamespace(bitflag_filter_item=1)
        keys = ob.data.shape_keys
        shown, _ = hypotheses.HHMR_UL_hypotheses.filter_items(rows, bpy.context, keys, "key_blocks")
        for key, flag in zip(keys.key_blocks, shown):
            if flag:
                draw = hypotheses.HHMR_UL_hypotheses.draw_item
                draw(rows, bpy.context, layout, keys, key, 0, ob, "active_shape_key_index")
    return layout.texts


@pytest.mark.parametrize("keep", ["SELECTION", "GROUP", "REST"])
def test_tab_without_and_with_a_hand(keep: str) -> None:
    bpy.context.scene.hhmr.keep = keep
    assert "complete" in drawn()
    bpy.ops.hhmr.add_hand()
    assert "complete" in drawn() and "blend" not in drawn()
    bpy.ops.object.mode_set(mode="EDIT")
    assert ("Keeps 0 of 1,609 vertices" in drawn()) == (keep == "SELECTION")


def test_rows_are_the_hypotheses(hand: bpy.types.Object) -> None:
    hand.shape_key_add(name="Basis")
    hand.shape_key_add(name="mine")
    place(on(hand), answer())
    texts = drawn()
    assert "HHMR 4 (0.50)" in texts and "mine" not in texts and "Basis" not in texts
    bpy.ops.hhmr.blend()
    drawn()


@pytest.mark.parametrize("code", sorted({*MENDS, *ERROR_CODES}))
def test_problems_have_their_buttons(code: str) -> None:
    session.notice = Notice("What is wrong.", code)
    texts = drawn()
    assert texts.count("What is wrong.") == 1
    assert all(mend.label in texts for mend in MENDS.get(code, ()))


def test_progress_of_a_job() -> None:
    job = Job({}, {}, None)
    session.run = Run(job, Target("FREE", Matrix()), {})
    assert "Starting the engine ..." in drawn()
    job.step, job.steps = 3, 10
    assert "Step 3 of 10" in drawn()
    job.cancelled_at = 1.0
    assert "Cancelling ..." in drawn()


def test_every_sentence_fits_the_sidebar() -> None:
    layout = CheckingLayout()
    text = "A sentence that is much too long for one line of a sidebar of the usual width in Blender."
    parts.wrapped(layout, text, window(280))
    assert 3 <= len(layout.texts) <= 6 and " ".join(layout.texts) == text


def test_preferences_are_drawn() -> None:
    from hhmr_blender.preferences import HHMR_preferences

    preferences = bpy.context.preferences.addons["hhmr_blender"].preferences
    layout = CheckingLayout()
    problem = "'x.npz' is no hand."
    stand_in = SimpleNamespace(layout=layout, bl_rna=preferences.bl_rna, command="", hand_problem=problem)
    session.notice = Notice("What is wrong.", "install_failed")
    HHMR_preferences.draw(stand_in, window(600))
    assert "What is wrong." in layout.texts and problem in layout.texts
    assert "Not installed" in layout.texts and "start_engine" not in layout.texts
    preferences.command = "python3"
    HHMR_preferences.draw(stand_in, window(600))
    preferences.command = ""
    assert "Stopped (starts when needed)" in layout.texts and "start_engine" in layout.texts


def test_installing_needs_online_access() -> None:
    assert not bpy.app.online_access
    with pytest.raises(RuntimeError, match="online access"):
        bpy.ops.hhmr.install_engine()
    assert session.notice is not None and session.notice.code == "offline" and session.installation is None


def test_diagnostics_say_what_is_needed() -> None:
    from hhmr_blender.operators.engine import diagnostics

    text = diagnostics()
    assert bpy.app.version_string in text and "not installed" in text


def test_fewer() -> None:
    bpy.context.scene.hhmr.count = 3
    for expected in (1, 1):
        bpy.ops.hhmr.ask_for_fewer()
        assert bpy.context.scene.hhmr.count == expected


def test_ten_thousand_hypotheses_cannot_be_set() -> None:
    bpy.context.scene.hhmr.count = 10_000
    assert bpy.context.scene.hhmr.count == 64
    bpy.context.scene.hhmr.count = 0
    assert bpy.context.scene.hhmr.count == 1


def test_registering_loads_nothing_heavy() -> None:
    """Blender's start must not wait for us: no numpy, no engine, and nothing is left behind after it."""
    program = (
        "import sys, bpy\n"
        "before = set(sys.modules)\n"
        "import hhmr_blender\n"
        "hhmr_blender.register()\n"
        "new = set(sys.modules) - before\n"
        "heavy = {name.split('.')[0] for name in new} & {'numpy', 'torch', 'hhmr_engine'}\n"
        "assert not heavy, heavy\n"
        "hhmr_blender.unregister()\n"
        "left = [name for name in dir(bpy.types) if name.startswith('HHMR_')]\n"
        "assert not left and not hasattr(bpy.types.Scene, 'hhmr'), left\n"
        "print('fine', flush=True)\n"
        "import os; os._exit(0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip().endswith("fine"), done.stderr
