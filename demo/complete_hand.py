"""The demo: install the extension, cut a hand, press Complete, and photograph what came.

Run by `build.py demo` in the environment that has bpy, with BLENDER_USER_RESOURCES set to a temporary folder.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import bpy
import numpy as np
import studio
from mathutils import Matrix

HAND = Path(__file__).resolve().parents[1] / "hhmr_engine" / "hand" / "anny_hand.npz"
THUMB_ROOT = 1
CUT_BONES = (2, 3, 5, 6, 7, 9, 10, 11)  # phalanges of thumb, index and middle finger
SEED = 1


def install(package: Path, engine_python: Path) -> None:
    """Install the zip as a user does in the preferences, and name the engine's interpreter there."""
    bpy.ops.extensions.package_install_files(
        repo="user_default", filepath=str(package), enable_on_install=True, overwrite=True
    )
    enabled = [name for name in bpy.context.preferences.addons.keys() if name.endswith(".hhmr_blender")]
    if not enabled:
        sys.exit("The extension is installed and does not start: Blender's message above says why.")
    bpy.context.preferences.addons[enabled[0]].preferences.command = str(engine_python)


def add_partial_hand() -> tuple[bpy.types.Object, np.ndarray]:
    """A new hand without thumb, index and middle finger (the paper's Figure 3); the vertices [V] it kept."""
    bpy.ops.hhmr.add_hand(side="RIGHT")
    hand = bpy.context.object
    with np.load(HAND, allow_pickle=False) as data:
        weights = data["weights"].astype(np.float32)
    # The ball of the thumb moves with the thumb's root; what is nearly all ball goes, the palm stays.
    gone = weights[:, CUT_BONES].sum(axis=1) + 0.6 * weights[:, THUMB_ROOT] > 0.5
    bpy.ops.object.mode_set(mode="EDIT")
    bpy.ops.mesh.select_all(action="DESELECT")
    bpy.ops.object.mode_set(mode="OBJECT")
    hand.data.vertices.foreach_set("select", gone)
    bpy.ops.object.mode_set(mode="EDIT")
    bpy.ops.mesh.delete(type="VERT")
    bpy.ops.object.mode_set(mode="OBJECT")
    hand.name = "Partial hand"
    return hand, ~gone


def complete(hand: bpy.types.Object, method: str) -> bpy.types.Object:
    """Press Complete and wait; the new hand, with one shape key for each hypothesis."""
    settings = bpy.context.scene.hhmr
    settings.count, settings.seed, settings.method = 8, SEED, method
    bpy.context.view_layer.objects.active = hand
    start = time.monotonic()
    try:
        bpy.ops.hhmr.complete(keep="REST", wait=True)
    except RuntimeError as error:  # an operator's report of an error, one sentence
        sys.exit(str(error).strip())
    completed = bpy.context.object
    keys = len(completed.data.shape_keys.key_blocks) - 1
    print(f"{keys} hands as shape keys, {time.monotonic() - start:.1f} s after the button, engine start too")
    return completed


def exhibit(part: bpy.types.Object, completed: bpy.types.Object, kept: np.ndarray) -> None:
    """Stand the given hand on its plinth and the hypotheses on the steps: an object each, all of one mesh."""
    skin = studio.skin_material()
    studio.dress(completed, kept.astype(np.float32), skin)
    studio.dress(part, np.ones(kept.sum(), np.float32), skin)
    # A hand has its fingers along +Y and its palm towards -Z: stand it on its wrist, palm to the camera.
    upright = Matrix(((-1, 0, 0, 0), (0, 0, 1, 0), (0, 1, 0, 0), (0, 0, 0, 1)))
    points = np.empty(3 * kept.sum(), np.float32)
    part.data.vertices.foreach_get("co", points)
    points = points.reshape(-1, 3)
    centre = Matrix.Translation((points[:, 0].mean(), -points[:, 2].mean(), -points[:, 1].min()))

    count = len(completed.data.shape_keys.key_blocks) - 1
    hands = [part, completed]
    for _ in range(count - 1):
        hands.append(completed.copy())
        bpy.context.scene.collection.objects.link(hands[-1])
    for i, hand in enumerate(hands):
        hand.matrix_world = centre @ upright
        studio.stand(hand, *studio.SPOTS[i])
        if hand is not part:
            hand.name = f"Hypothesis {i}"
            hand.show_only_shape_key, hand.active_shape_key_index = True, i


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--extension", type=Path, required=True, help="the zip to install")
    parser.add_argument("--engine-python", type=Path, required=True, help="interpreter that has torch")
    parser.add_argument("--out", type=Path, required=True, help="folder for demo.blend and demo.png")
    parser.add_argument("--method", choices=("network", "gaussian"), default="network")
    arguments = parser.parse_args()

    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    install(arguments.extension, arguments.engine_python)
    part, kept = add_partial_hand()
    completed = complete(part, arguments.method)
    bpy.ops.hhmr.stop_engine()
    studio.build_stage()
    exhibit(part, completed, kept)
    bpy.ops.wm.save_as_mainfile(filepath=str(arguments.out / "demo.blend"))
    start = time.monotonic()
    picture = arguments.out / "demo.png"
    studio.render(picture)
    print(f"wrote {picture.with_suffix('.blend')} and {picture} ({time.monotonic() - start:.0f} s)")


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # Blender's module can hang at interpreter exit
