"""One file per thing a user can do."""

from __future__ import annotations

import bpy

from . import (
    add_hand,
    animate,
    box,
    engine,
    generate,
    hypotheses,
    image,
    landmarks,
    mapping,
    poses,
    rig,
    skeleton2d,
)

CLASSES: tuple[type[bpy.types.Operator], ...] = (
    *add_hand.CLASSES,
    *generate.CLASSES,
    *hypotheses.CLASSES,
    *landmarks.CLASSES,
    *rig.CLASSES,
    *poses.CLASSES,
    *animate.CLASSES,
    *image.CLASSES,
    *box.CLASSES,
    *skeleton2d.CLASSES,
    *mapping.CLASSES,
    *engine.CLASSES,
)


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)
    bpy.types.VIEW3D_MT_mesh_add.append(add_hand.draw_menu)


def unregister() -> None:
    bpy.types.VIEW3D_MT_mesh_add.remove(add_hand.draw_menu)
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
