"""What the user sets for the next request: stored with the scene, as render settings are."""

from __future__ import annotations

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty, PointerProperty, StringProperty


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
            (
                "SELECTED",
                "Selected Bones",
                "Keep the palm and the selected fingers; the rest is completed",
            ),
        ],
        default="ALL",
    )
    side: EnumProperty(
        name="Side",
        description="Which hand of the armature is meant",
        items=[
            ("AUTO", "Auto", "The hand with selected bones, or the only one"),
            ("RIGHT", "Right", "The right hand"),
            ("LEFT", "Left", "The left hand"),
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
        name="Seed", description="The same seed and settings give the same hands", default=0, min=0
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
    method: EnumProperty(
        name="Method",
        items=[
            ("network", "Network", "The diffusion network"),
            ("gaussian", "Gaussian", "The baseline: a Gaussian of poses, given what is kept"),
        ],
        default="network",
    )
    fit: BoolProperty(
        name="Fit Bones",
        description="Fit a skinned hand to every result: cleaner skin, a little slower",
        default=False,
    )


def register() -> None:
    """Add the settings to every scene."""
    bpy.utils.register_class(HHMR_PG_settings)
    bpy.types.Scene.hhmr = PointerProperty(type=HHMR_PG_settings)


def unregister() -> None:
    """Take the settings off again."""
    del bpy.types.Scene.hhmr
    bpy.utils.unregister_class(HHMR_PG_settings)
