"""A BVH that Blender's own exporter wrote of a posed rig gives back where the rig's bones were."""

from __future__ import annotations

from pathlib import Path

import addon_utils
import bpy
import numpy as np
import pytest
from mathutils import Quaternion

from hhmr_blender.rigs.tables import CHAINS, RIGS
from hhmr_engine.data.bvh import placed, read_bvh
from hhmr_engine.data.finger_chains import find_hands, nodes_of

from .rig_building import build

FRAMES = 5
STYLES = ("mixamo", "rokoko", "ue5_metahuman", "biped", "mpfb_default", "smplx", "unity_xr_hands")


def _posed(rig_id: str, rng: np.random.Generator) -> tuple[bpy.types.Object, dict[str, np.ndarray]]:
    """A rig with both hands, every bone turned at random in every frame; side -> bone heads [T,21,3]."""
    ob = build(rig_id, ("right", "left"), dressed=True)
    rig = next(one for one in RIGS if one.id == rig_id)
    found: dict[str, list[list[np.ndarray]]] = {"right": [], "left": []}
    for frame in range(1, FRAMES + 1):
        for bone in ob.pose.bones:
            bone.rotation_mode = "QUATERNION"
            bone.rotation_quaternion = Quaternion(rng.normal(0, 1, 3), rng.normal(0, 0.5))
            bone.keyframe_insert("rotation_quaternion", frame=frame)
        bpy.context.view_layer.update()
        for side, places in found.items():
            names = rig.bones(side)
            places.append(
                [np.array(ob.pose.bones[name].head) if name else np.full(3, np.nan) for name in names]
            )
    return ob, {side: np.array(places) for side, places in found.items()}


@pytest.mark.parametrize("order", ["NATIVE", "ZYX"])
@pytest.mark.parametrize("rig_id", STYLES)
def test_bones_are_where_they_were(rig_id: str, order: str, rng: np.random.Generator, tmp_path: Path) -> None:
    addon_utils.enable("io_anim_bvh")
    ob, expected = _posed(rig_id, rng)
    path = tmp_path / "x.bvh"
    bpy.context.view_layer.objects.active = ob
    bpy.ops.export_anim.bvh(
        filepath=str(path), frame_start=1, frame_end=FRAMES, rotate_mode=order, global_scale=100
    )
    bvh = read_bvh(path)
    hands = {hand.side: hand for hand in find_hands(bvh)}
    assert set(hands) == {"right", "left"}
    for side, hand in hands.items():
        places = placed(bvh, hand.wrist, np.arange(FRAMES))
        nodes = nodes_of(hand, places)
        assert all(nodes[joint] >= 0 for chain in CHAINS for joint in chain[:3])
        joints = np.stack([places[node] if node >= 0 else np.full((FRAMES, 3), np.nan) for node in nodes], 1)
        apart, truth = (
            np.linalg.norm(at[:, :, None] - at[:, None], axis=-1) for at in (0.01 * joints, expected[side])
        )
        known = np.isfinite(truth)
        assert known[:, [0, 1, 5, 9, 13, 17]].any()
        assert np.nanmax(np.abs(apart - truth)[known]) < 1e-4
