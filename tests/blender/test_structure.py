"""Hands whose bones are called anything: found by how they hang and lie."""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np
import pytest

from hhmr_blender.capture import armature as capture
from hhmr_blender.rigs.detect import find_hands
from hhmr_blender.rigs.hand import Hand
from hhmr_blender.rigs.tables import CHAINS, RIGS
from tests.blender.rig_building import add, build, joints_at_rest, places

TIPS = [chain[3] for chain in CHAINS]


def nameless(ob: bpy.types.Object) -> dict[str, str]:
    """Rename all bones to what says nothing; new name -> old name."""
    old = {f"Bone.{i:03d}": bone.name for i, bone in enumerate(ob.data.bones)}
    for new, bone in zip(old, list(ob.data.bones)):
        bone.name = new
    return old


def made(
    side: str = "right",
    fingers: tuple[int, ...] = (0, 1, 2, 3, 4),
    phalanges: int = 3,
    shape=lambda joints: joints,
) -> bpy.types.Object:
    """A nameless hand at the template's joints, under an arm; of two phalanges the second reaches the tip."""
    armature = bpy.data.armatures.new("made")
    ob = bpy.data.objects.new("made", armature)
    bpy.context.collection.objects.link(ob)
    bpy.context.view_layer.objects.active = ob
    bpy.ops.object.mode_set(mode="EDIT")
    at = shape(places(side))
    arm = add(armature, "Bone.100", None, 3 * at[0] - 2 * at[9], at[0])
    wrist = add(armature, "Bone.101", arm, at[0], at[9])
    for finger in fingers:
        chain = CHAINS[finger] if phalanges == 3 else (*CHAINS[finger][:2], CHAINS[finger][3])
        parent = wrist
        for i in range(phalanges):
            parent = add(armature, f"Bone.{10 * finger + i:03d}", parent, at[chain[i]], at[chain[i + 1]])
    bpy.ops.object.mode_set(mode="OBJECT")
    return ob


def found(ob: bpy.types.Object) -> list[Hand]:
    return capture.detected_hands(ob.data)


@pytest.mark.parametrize("rig", RIGS, ids=lambda rig: rig.id)
def test_every_rig_without_its_names(rig) -> None:
    """With arms, metacarpals, twists, leaf bones, rolls, tails that mean nothing: the same bones."""
    ob = build(rig.id, ("right", "left"), dressed=True)
    old = nameless(ob)
    hands = found(ob)
    assert [(hand.rig.id, hand.side, hand.sure) for hand in hands] == [
        ("structure", "right", True),
        ("structure", "left", True),
    ]
    for hand in hands:
        bones = [old.get(bone, "") for bone in hand.bones]
        for joint, (bone, wanted) in enumerate(zip(bones, rig.bones(hand.side))):
            assert bone == wanted or (joint in TIPS and not wanted and bone.endswith("_end"))
        np.testing.assert_allclose(capture.rest_joints(ob, hand), places(hand.side), atol=1e-6)


@pytest.mark.parametrize("side", ["right", "left"])
def test_a_hand_alone_shows_its_side(side: str) -> None:
    (hand,) = found(made(side))
    assert hand.side == side and hand.sure and hand.phalanges == 15


@pytest.mark.parametrize("side", ["right", "left"])
def test_four_fingers_have_no_ring_finger(side: str) -> None:
    (hand,) = found(made(side, (0, 1, 2, 4)))
    assert hand.side == side and hand.sure and hand.fingers == (0, 1, 2, 4)
    assert hand.bones[9:13] == ("Bone.020", "Bone.021", "Bone.022", "")
    assert hand.bones[17] == "Bone.040"
    assert hand.remark == "This hand has no ring finger: neither asked for nor written."


def test_two_phalanges_span_to_the_fingertip() -> None:
    ob = made("left", phalanges=2)
    (hand,) = found(ob)
    assert hand.sure and hand.side == "left" and hand.phalanges == 10
    joints = capture.capture(ob, "ALL", "AUTO").joints
    for chain in CHAINS[1:]:
        known = [joint for joint in chain if np.isfinite(joints[joint]).all()]
        assert known == [chain[0], chain[1], chain[3]]
    np.testing.assert_allclose(joints[8], places("left")[8], atol=1e-6)
    assert "fewer than three bones in its fingers" in hand.remark


def test_bones_between_are_left_out() -> None:
    """A control in the same place, and a twist in the middle of a phalanx."""
    ob = made()
    bpy.ops.object.mode_set(mode="EDIT")
    bones = ob.data.edit_bones
    first, second = bones["Bone.010"], bones["Bone.011"]
    holder = add(ob.data, "Bone.200", first.parent, first.head, first.tail)
    first.parent = holder
    second.parent = add(ob.data, "Bone.twist", first, first.head.lerp(first.tail, 0.5), first.tail)
    bpy.ops.object.mode_set(mode="OBJECT")
    (hand,) = found(ob)
    assert hand.bones[5:8] == ("Bone.010", "Bone.011", "Bone.012")


def test_names_of_fingers_win_over_places() -> None:
    ob = made(fingers=(0, 1, 2, 4))
    for finger, word in ((0, "Thumb"), (1, "Index"), (2, "Mid"), (4, "Ring")):
        for i in range(3):
            ob.data.bones[f"Bone.{10 * finger + i:03d}"].name = f"my{word}_{i}"
    (hand,) = found(ob)
    assert hand.fingers == (0, 1, 2, 3) and hand.bones[13] == "myRing_0"


def test_a_chain_for_a_prop_is_no_finger() -> None:
    ob = made()
    bpy.ops.object.mode_set(mode="EDIT")
    wrist = ob.data.edit_bones["Bone.101"]
    first = add(ob.data, "Bone.300", wrist, wrist.tail, wrist.tail + wrist.vector)
    add(ob.data, "Bone.301", first, first.tail, first.tail + first.vector)
    bpy.ops.object.mode_set(mode="OBJECT")
    (hand,) = found(ob)
    assert hand.sure and hand.phalanges == 15 and "Bone.300" not in hand.bones


@pytest.mark.parametrize("names", [True, False])
def test_a_right_hand_that_is_called_left_is_said(names: bool) -> None:
    """By a known rig's names, or by a letter only."""
    ob = build("mixamo") if names else made()
    for bone in list(ob.data.bones):
        bone.name = bone.name.replace("Right", "Left") if names else f"{bone.name}_L"
    (hand,) = found(ob)
    assert hand.side == "left" and hand.sure and "like those of a right hand" in hand.doubt


def flat(joints: np.ndarray) -> np.ndarray:
    """A hand pressed flat, thumb and all: nothing tells palm from back."""
    return joints * [1, 1, 0]


def test_a_flat_hand_on_neither_side_asks() -> None:
    ob = made(shape=lambda joints: flat(joints) + [0.3, 0, 0])
    (hand,) = found(ob)
    assert not hand.sure and "right or a left" in hand.doubt
    with pytest.raises(capture.Problem, match="right or a left") as caught:
        capture.capture(ob, "ALL", "AUTO")
    assert caught.value.code == "unsure_hand"
    ob.data.bones["Bone.100"].name = "Bone_l"
    (hand,) = found(ob)
    assert hand.sure and hand.side == "left"


def test_a_flat_hand_of_a_body_is_left_at_plus_x() -> None:
    ob = made("left", shape=flat)
    bpy.ops.object.mode_set(mode="EDIT")
    ob.data.edit_bones["Bone.100"].parent = add(ob.data, "Body", None, (0, 0, -0.5), (0, 0, 0))
    bpy.ops.object.mode_set(mode="OBJECT")
    (hand,) = found(ob)
    assert hand.side == "left" and hand.sure and "place in the body" in hand.doubt


def test_a_mitten_of_one_chain_and_a_thumb_is_no_hand_by_structure() -> None:
    assert found(made(fingers=(0, 2))) == []


def test_a_foot_is_no_hand() -> None:
    """Five toes: in a row, short, all one way."""

    def foot(joints: np.ndarray) -> np.ndarray:
        shaped = joints.copy()
        shaped[0] = [0, 0, 0.05]
        for i, chain in enumerate(CHAINS):
            for j, joint in enumerate(chain):
                shaped[joint] = [0.02 * i, 0.18 + 0.012 * j, 0]
        return shaped

    hands = found(made(shape=foot))
    assert not any(hand.sure for hand in hands)


def test_a_body_without_fingers_a_skirt_and_a_tree_are_no_hands() -> None:
    def chains(
        ways: list[tuple[float, float, float]], starts: list[tuple[float, float, float]]
    ) -> list[Hand]:
        parents: dict[str, str | None] = {"hub": None}
        heads, tails = {"hub": np.zeros(3)}, {"hub": np.array([0, 0.1, 0])}
        for i, (way, start) in enumerate(zip(ways, starts)):
            for j in range(3):
                name = f"b{i}{j}"
                parents[name] = f"b{i}{j - 1}" if j else "hub"
                heads[name] = np.array(start) + np.array(way) * j
                tails[name] = np.array(start) + np.array(way) * (j + 1)
        return find_hands(parents, heads, tails)

    body = chains(
        [(0, 0, -0.4), (0, 0, -0.4), (0.3, 0, 0), (-0.3, 0, 0), (0, 0, 0.2)],
        [(0.1, 0, 0), (-0.1, 0, 0), (0.2, 0, 0.5), (-0.2, 0, 0.5), (0, 0, 0.5)],
    )
    around = [(np.cos(a), np.sin(a), 0.0) for a in np.linspace(0, 2 * np.pi, 6)[:5]]
    skirt = chains(
        [(0.05 * x, 0.05 * y, -0.2) for x, y, _ in around], [(0.15 * x, 0.15 * y, 0) for x, y, _ in around]
    )
    tree = chains(list(around), list(around))
    assert not [hand for hand in (*body, *skirt, *tree) if hand.sure]


def test_animals_of_rigify_have_no_hands() -> None:
    import addon_utils  # on the path from `import bpy` on

    addon_utils.enable("rigify", default_set=True)
    for animal in ("bird", "horse", "shark", "cat", "basic_quadruped", "basic_human"):
        getattr(bpy.ops.object, f"armature_{animal}_metarig_add")()
        assert not [hand for hand in found(bpy.context.object) if hand.sure]


def test_rigify_human_without_its_names() -> None:
    import addon_utils  # on the path from `import bpy` on

    addon_utils.enable("rigify", default_set=True)
    bpy.ops.object.armature_human_metarig_add()
    ob = bpy.context.object
    named = found(ob)
    old = nameless(ob)
    hands = found(ob)
    assert [hand.rig.id for hand in named] == ["rigify_metarig"] * 2
    assert all(hand.sure for hand in hands)
    assert [[old.get(bone, "") for bone in hand.bones] for hand in hands] == [
        list(hand.bones) for hand in named
    ]


@pytest.mark.parametrize(
    ("file", "side", "rig"),
    [
        ("godot_xr_hand/hand_r.gltf", "right", "unity_xr_hands"),
        ("godot_xr_hand/hand_l.gltf", "left", "unity_xr_hands"),
        ("webxr_generic_hand/right.glb", "right", "webxr"),
        ("webxr_generic_hand/left.glb", "left", "webxr"),
    ],
)
def test_real_hands(file: str, side: str, rig: str, data_root: Path) -> None:
    bpy.ops.import_scene.gltf(filepath=str(data_root / "hands" / file))
    ob = next(one for one in bpy.data.objects if one.type == "ARMATURE")
    (hand,) = found(ob)
    assert (hand.rig.id, hand.side, hand.sure, hand.phalanges) == (rig, side, True, 15)
    assert all(hand.bones)
    if rig != "webxr":  # its bones hang on nothing: without names nobody knows
        old = nameless(ob)
        (again,) = found(ob)
        assert again.side == side and again.sure
        assert [old[bone] for bone in again.bones] == list(hand.bones)


def test_joints_of_the_template_are_a_hand_in_any_place_turn_and_size(rng: np.random.Generator) -> None:
    for side in ("right", "left"):
        for _ in range(10):
            turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
            turn *= np.linalg.det(turn)
            size, away = 10 ** rng.uniform(-1, 2), rng.normal(size=3)
            at = size * joints_at_rest(side) @ turn.T + away
            parents: dict[str, str | None] = {"0": None}
            heads, tails = {"0": at[0]}, {"0": at[9]}
            for chain in CHAINS:
                for i, joint in enumerate(chain[:3]):
                    parents[str(joint)] = str(chain[i - 1]) if i else "0"
                    heads[str(joint)], tails[str(joint)] = at[joint], at[chain[i + 1]]
            (hand,) = find_hands(parents, heads, tails)
            assert hand.side == side and hand.sure
            assert [bone for bone in hand.bones if bone] == [
                str(joint) for joint in range(21) if joint not in TIPS
            ]
