"""The HHMR tab of the 3D viewport's sidebar. Drawing only: nothing here looks further than the session."""

from __future__ import annotations

import bpy

from . import animate, armature, complete, engine, hypotheses, image, poses

CLASSES: tuple[type, ...] = (
    *complete.CLASSES,
    *armature.CLASSES,
    *animate.CLASSES,
    *image.CLASSES,
    *hypotheses.CLASSES,
    *poses.CLASSES,
    *engine.CLASSES,
)


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
