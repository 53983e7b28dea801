"""Held-out recordings as an animator meets them: an armature in Blender, completed by the installed zip."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import build
from hhmr_engine.data.sources import load_sources
from hhmr_engine.data.splits import split_groups

RECORDINGS = 3
GIVEN = list(range(9))  # wrist, thumb and index; middle, ring and pinky are to be made

SCRIPT = """
import json, os, sys
import bpy
import numpy as np

package, engine, hand, recordings = sys.argv[1:]
bpy.ops.extensions.package_install_files(
    repo="user_default", filepath=package, enable_on_install=True, overwrite=True
)
addon = next(key for key in bpy.context.preferences.addons.keys() if key.endswith(".hhmr_blender"))
bpy.context.preferences.addons[addon].preferences.command = engine
regressor = np.load(hand)["regressor"]
fingers = ("Thumb", "Index", "Middle", "Ring", "Pinky")
names = ["RightHand"] + [f"RightHand{finger}{i}" for finger in fingers for i in (1, 2, 3, 4)]
found = []
for joints in np.load(recordings):
    data = bpy.data.armatures.new("recording")
    rig = bpy.data.objects.new("recording", data)
    bpy.context.collection.objects.link(rig)
    bpy.context.view_layer.objects.active = rig
    bpy.ops.object.mode_set(mode="EDIT")
    bones = []
    for j, name in enumerate(names):
        bone = data.edit_bones.new("mixamorig:" + name)
        bone.head = joints[j]
        tip = j and j % 4 == 0
        bone.tail = 2 * joints[j] - joints[j - 1] if tip else joints[j + 1 if j else 9]
        bone.parent = None if j == 0 else bones[0 if j % 4 == 1 else j - 1]
        bones.append(bone)
    bpy.ops.object.mode_set(mode="POSE")
    for j, name in enumerate(names):
        bone = rig.pose.bones["mixamorig:" + name]
        (bone if bpy.app.version >= (5, 0, 0) else bone.bone).select = j < 9
    settings = bpy.context.scene.hhmr
    settings.bones, settings.count = "SELECTED", 8
    bpy.ops.hhmr.from_armature(wait=True)
    made = next(ob for ob in bpy.data.objects if ob.type == "MESH" and ob.data.shape_keys)
    place = np.array(made.matrix_world, dtype=float)
    keys = []
    for key in made.data.shape_keys.key_blocks[1:]:
        points = np.empty(3 * len(made.data.vertices), np.float32)
        key.points.foreach_get("co", points)
        keys.append((regressor @ (points.reshape(-1, 3) @ place[:3, :3].T + place[:3, 3])).tolist())
    found.append(keys)
    bpy.ops.object.mode_set(mode="OBJECT")
    for ob in list(bpy.data.objects):
        bpy.data.objects.remove(ob)
print("FOUND", json.dumps(found))
bpy.ops.preferences.addon_disable(module=addon)
sys.stdout.flush()
os._exit(0)
"""


@pytest.mark.slow
def test_held_out_recordings_are_completed_by_the_installed_zip(tmp_path: Path, data_root: Path) -> None:
    pytest.importorskip("bpy")
    (handyjs,) = (s for s in load_sources(data_root) if s.name == "handyjs")
    held_out = np.flatnonzero(split_groups("handyjs", handyjs.group) == "test")
    truth = handyjs.joints[held_out[:: max(1, len(held_out) // RECORDINGS)][:RECORDINGS]]
    np.save(tmp_path / "recordings.npy", truth)
    package = build.build_extension(Path(sys.executable), tmp_path / "dist")
    done = subprocess.run(
        [
            *(sys.executable, "-c", SCRIPT, str(package)),
            os.environ.get("HHMR_ENGINE_PYTHON", sys.executable),
            str(build.ROOT / "hhmr_engine" / "hand" / "anny_hand.npz"),
            str(tmp_path / "recordings.npy"),
        ],
        cwd=tmp_path,
        env={**os.environ, "BLENDER_USER_RESOURCES": str(tmp_path / "blender")},
        capture_output=True,
        text=True,
        timeout=600,
    )
    line = next((one for one in done.stdout.splitlines() if one.startswith("FOUND ")), None)
    assert line, done.stdout + done.stderr
    for hypotheses, joints in zip(json.loads(line[6:]), truth):
        made = np.array(hypotheses)
        assert len(made) == 8
        off = np.linalg.norm(made[:, GIVEN] - joints[GIVEN], axis=-1).mean() / np.linalg.norm(
            joints[9] - joints[0]
        )
        assert off < 0.05, "the given fingers are not where the recording has them"
        spread = np.linalg.norm(made[:, 9:].std(0), axis=-1).mean()
        assert spread > 0.003, "eight hypotheses are one"
