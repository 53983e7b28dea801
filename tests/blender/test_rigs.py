"""Bone names of every rig family, detection, and the pure geometry between joints and bones."""

from __future__ import annotations

import numpy as np
import pytest

from hhmr_blender.rigs.detect import find_hands
from hhmr_blender.rigs.hand import SIDES
from hhmr_blender.rigs.joints import rest_joints, rigid_fit, segments, smallest_swing
from hhmr_blender.rigs.names import canonical, namespace, side_of
from hhmr_blender.rigs.tables import CHAINS, CONTROLS, RIGS, Rig


def skeleton(rig: Rig, sides: tuple[str, ...] = SIDES) -> dict[str, str | None]:
    """Bones of a rig's hands with their parents, as such rigs are built."""
    parents: dict[str, str | None] = {"root": None}
    for side in sides:
        bones, metacarpals = rig.bones(side), rig.metacarpals(side)
        parents[bones[0]] = "root"
        parents.update(dict.fromkeys(metacarpals, bones[0]))
        for finger, chain in enumerate(CHAINS):
            parent = metacarpals[finger - 1] if metacarpals and finger else bones[0]
            for joint in chain:
                if bones[joint]:
                    parents[bones[joint]] = parent
                    parent = bones[joint]
    return parents


@pytest.mark.parametrize("rig", RIGS, ids=lambda rig: rig.id)
def test_every_rig_is_recognised_on_both_sides(rig: Rig) -> None:
    found = find_hands(skeleton(rig))
    assert [(hand.rig.id, hand.side, hand.whole) for hand in found] == [
        (rig.id, "right", True),
        (rig.id, "left", True),
    ]
    for hand in found:
        assert list(hand.bones) == rig.bones(hand.side)


@pytest.mark.parametrize("rig", RIGS, ids=lambda rig: rig.id)
def test_left_and_right_bones_differ(rig: Rig) -> None:
    assert not {*rig.bones("right")} & {*rig.bones("left")} - {""}
    assert len(set(rig.bones("right")) - {""}) == (16 if rig.leaf is None else 21)


def renamed(parents: dict[str, str | None], change) -> dict[str, str | None]:
    return {change(bone): change(parent) if parent else None for bone, parent in parents.items()}


def named(rig_id: str) -> Rig:
    return next(rig for rig in RIGS if rig.id == rig_id)


@pytest.mark.parametrize("prefix", ["Character:", "a:b:mixamorig5:", "Armature|", "Armature|Hero:"])
@pytest.mark.parametrize("rig", RIGS, ids=lambda rig: rig.id)
def test_every_rig_is_recognised_under_a_prefix(rig: Rig, prefix: str) -> None:
    def change(name: str) -> str:
        return prefix + name.removeprefix("mixamorig:")

    found = find_hands(renamed(skeleton(rig), change))
    # Mixamo's names under another prefix than its own are Ready Player Me's: the bones are the same.
    alike = {"mixamo", "ready_player_me"} if rig.id in ("mixamo", "ready_player_me") else {rig.id}
    assert [(hand.side, hand.rig.id in alike) for hand in found] == [("right", True), ("left", True)]
    for hand in found:
        assert list(hand.bones) == [change(name) if name else "" for name in rig.bones(hand.side)]


@pytest.mark.parametrize(
    ("written", "known"),
    [
        ("mixamorig1:RightHandIndex1", "RightHandIndex1"),
        ("mixamorig_LeftHandThumb2", "LeftHandThumb2"),
        ("mixamorigLeftHandThumb2", "LeftHandThumb2"),
        ("Character:mixamorig:RightHand", "RightHand"),
        ("Armature|RightHand", "RightHand"),
        ("bip01 R Finger01", "Bip001 R Finger01"),
        ("F_INDEX.01.R", "f_index.01.R"),
        ("右人指１", "右人指1"),
        ("人指１.R", "右人指１"),
        ("Index_Proximal_R", "R_IndexProximal"),
        ("rightIndexProximal", "RightIndexProximal"),
        ("index_proximal_R", "index.proximal.R"),
    ],
)
def test_spellings_of_one_name(written: str, known: str) -> None:
    assert canonical(written) == canonical(known)


def test_sides_do_not_collide() -> None:
    assert canonical("hand.L") != canonical("hand.R")
    assert canonical("rHand") != canonical("lHand")
    assert side_of(["arm_l_hand_01", "finger"]) == "left"
    assert side_of(["R_Wrist", "left"]) == side_of(["bone"]) == ""


def test_several_characters_in_one_skeleton() -> None:
    mixamo = skeleton(named("mixamo"))
    others = [
        renamed(mixamo, lambda name: name.replace("mixamorig:", "mixamorig3:")),
        renamed(mixamo, lambda name: f"Villain:{name}"),
        renamed(mixamo, lambda name: f"{name}.001"),
    ]
    parents = dict(mixamo)
    for other in others:
        parents.update(other)
    found = find_hands(parents)
    assert [hand.side for hand in found] == ["right"] * 4 + ["left"] * 4
    for hand in found:
        assert hand.whole and len({namespace(bone) for bone in hand.bones}) == 1
    assert len({hand.bones for hand in found}) == 8


def test_a_copy_of_rigify_tip_controls_is_no_other_character() -> None:
    rigify = skeleton(named("rigify_deform"))
    control = next(rig for rig in CONTROLS if rig.id == "rigify_control")
    rigify.update({f"{control.bones(side)[chain[0]]}.001": "root" for side in SIDES for chain in CHAINS})
    assert [hand.rig.id for hand in find_hands(rigify)] == ["rigify_deform"] * 2


# ---------------------------------------------------------------- rigs that are taken for each other


def test_soma_is_mixamo_shifted_by_one() -> None:
    soma = find_hands(skeleton(named("soma77")))[0]
    assert soma.rig.id == "soma77" and soma.bones[5] == "RightHandIndex2"
    mixamo = skeleton(named("mixamo"))
    short = {bone: parent for bone, parent in mixamo.items() if not bone.endswith("Thumb4")}
    for parents in (mixamo, short):
        hand = find_hands(renamed(parents, lambda name: name.removeprefix("mixamorig:")))[0]
        assert hand.rig.id == "ready_player_me" and hand.bones[5] == "RightHandIndex1"


def test_human_ik_has_metacarpals_and_ends() -> None:
    hand = find_hands(skeleton(named("human_ik")))[0]
    assert hand.rig.id == "human_ik" and hand.bones[8] == "RightHandIndexEnd"


def test_leaves_of_an_importer_are_fingertips() -> None:
    parents = skeleton(named("ue4_mannequin"))
    parents.update({f"{bone}_end": bone for bone in list(parents) if "_03_" in bone})
    hand = find_hands(parents)[0]
    assert hand.rig.id == "ue4_mannequin" and hand.bones[8] == "index_03_r_end"
    mixamo = skeleton(named("mixamo"))
    mixamo.update({f"{bone}_end": bone for bone in list(mixamo) if bone.endswith("4")})
    assert find_hands(mixamo)[0].bones[8] == "mixamorig:RightHandIndex4"


def test_unreal_4_and_5() -> None:
    parents = skeleton(named("ue5_metahuman"))
    assert find_hands(parents)[0].rig.id == "ue5_metahuman"
    assert find_hands(skeleton(named("ue4_mannequin")))[0].rig.id == "ue4_mannequin"


def test_rigify_is_read_from_deform_bones_and_the_metarig_without_palm_bones_too() -> None:
    parents = skeleton(named("rigify_deform")) | {
        bone.replace("DEF-", "ORG-"): None for bone in skeleton(named("rigify_deform"))
    }
    parents |= skeleton(named("rigify_metarig"))
    assert [hand.rig.id for hand in find_hands(parents)] == ["rigify_deform"] * 2
    bare = {
        bone: "hand.R" if parent and "palm" in parent else parent
        for bone, parent in skeleton(named("rigify_metarig"), ("right",)).items()
        if "palm" not in bone
    }
    assert [hand.rig.id for hand in find_hands(bare)] == ["rigify_metarig"]


def test_mmd_without_the_first_thumb_bone() -> None:
    parents = skeleton(named("mmd"), ("right",))
    del parents["右親指０"]
    parents["右親指１"] = "右手首"
    (hand,) = find_hands(parents)
    assert hand.whole and hand.bones[1] == "" and hand.bones[2] == "右親指１"
    assert "thumb" in hand.remark


def test_old_character_creator() -> None:
    hand = find_hands(skeleton(named("character_creator_old")))[1]
    assert hand.rig.id == "character_creator_old" and hand.bones[5] == "CC_Base_L_Finger10"


def test_a_wrist_of_another_name_is_the_bone_that_all_fingers_hang_on() -> None:
    parents = renamed(skeleton(named("cloudrig_fk")), lambda name: name.replace("FK-Hand", "FK-Palm"))
    assert [hand.bones[0] for hand in find_hands(parents)] == ["FK-Palm.R", "FK-Palm.L"]


def test_a_leg_is_no_hand() -> None:
    assert find_hands({"hips": None, "thigh.R": "hips", "shin.R": "thigh.R", "foot.R": "shin.R"}) == []
    assert find_hands({}) == []


def test_half_a_hand_is_found_but_not_whole() -> None:
    mixamo = next(rig for rig in RIGS if rig.id == "mixamo")
    parents = {
        bone: parent
        for bone, parent in skeleton(mixamo, ("right",)).items()
        if not any(finger in bone for finger in ("Middle", "Ring", "Pinky"))
    }
    (hand,) = find_hands(parents)
    assert not hand.whole and hand.phalanges == 6 and hand.bones[9] == ""
    assert "no middle finger and no ring finger and no pinky" in hand.remark


def test_four_fingers_by_name() -> None:
    parents = {bone: parent for bone, parent in skeleton(named("mixamo")).items() if "Ring" not in bone}
    hand = find_hands(parents)[0]
    assert hand.whole and hand.sure and hand.fingers == (0, 1, 2, 4)
    assert hand.remark == "This hand has no ring finger: neither asked for nor written."


def test_generated_rigify_is_read_from_deform_bones_and_written_to_controls() -> None:
    rig = next(rig for rig in RIGS if rig.id == "rigify_deform")
    control = next(rig for rig in CONTROLS if rig.id == "rigify_control")
    parents = skeleton(rig)
    parents.update({bone: "root" for side in SIDES for bone in control.bones(side) if bone})
    hand = find_hands(parents)[1]
    assert hand.bones[5] == "DEF-f_index.01.L" and hand.controls[5] == "f_index.01.L"
    assert hand.joint_of("f_index.02.L") == hand.joint_of("DEF-f_index.02.L") == 6
    assert hand.joint_of("f_index.02.R") is None


@pytest.mark.parametrize(
    ("tail", "meant"),
    [((0, 0.08, 0), True), ((0.025, 0.06, 0), False), ((0, 5.0, 0), False), ((0, 0.06, 0), False)],
)
def test_tails_without_a_meaning_are_not_taken_for_fingertips(tail: tuple[float, ...], meant: bool) -> None:
    mixamo = next(rig for rig in RIGS if rig.id == "ue4_mannequin")
    (hand,) = find_hands(skeleton(mixamo, ("right",)))
    heads = {
        name: np.array([float(i // 4), 0.02 * (i % 4), 0.0]) for i, name in enumerate(hand.bones) if name
    }
    distal = hand.bones[7]
    heads[hand.bones[6]], heads[distal] = np.array([0, 0.03, 0]), np.array([0, 0.06, 0])
    tails = {name: head + [0, 0.02, 0] for name, head in heads.items()} | {
        distal: np.array(tail, dtype=float),
        hand.bones[6]: heads[distal],
    }
    tip = rest_joints(hand, heads, tails)[8]
    guess = (0, 0.06 + 0.85 * 0.03, 0)
    np.testing.assert_allclose(tip, tail if meant else guess, atol=1e-12)
    tails[hand.bones[6]] = heads[hand.bones[6]] + [0.02, 0, 0]  # meets nothing: tails mean nothing here
    np.testing.assert_allclose(rest_joints(hand, heads, tails)[8], guess, atol=1e-12)


@pytest.mark.parametrize(("length", "ends"), [(0.05, 8), (0.025, 7)])
def test_the_second_of_two_bones_ends_at_the_tip_or_at_the_next_joint(length: float, ends: int) -> None:
    parents = {bone: up for bone, up in skeleton(named("ue4_mannequin")).items() if "_03_" not in bone}
    hand = find_hands(parents)[0]
    assert hand.whole and "fewer than three bones in its fingers" in hand.remark
    heads = {name: np.array([0.02 * i, 0.0, 0.0]) for i, name in enumerate(hand.bones) if name}
    tails = dict(heads)
    first, second = hand.bones[5], hand.bones[6]
    heads[first], heads[second] = np.zeros(3), np.array([0, 0.04, 0])
    tails[first], tails[second] = heads[second], heads[second] + [0, length, 0]
    joints = rest_joints(hand, heads, tails)
    assert [joint for joint in range(5, 9) if np.isfinite(joints[joint]).all()] == [5, 6, ends]
    assert [pair for pair in segments(hand, joints) if pair[0] in (5, 6)] == [(5, 6), (6, ends)]


def test_rigid_fit_recovers_a_similarity(rng: np.random.Generator) -> None:
    points = rng.normal(size=(6, 3))
    rotation = smallest_swing(rng.normal(size=3), rng.normal(size=3))
    found, scale, offset = rigid_fit(points, 2.5 * points @ rotation.T + [1, 2, 3])
    np.testing.assert_allclose(found, rotation, atol=1e-12)
    assert scale == pytest.approx(2.5)
    np.testing.assert_allclose(offset, [1, 2, 3], atol=1e-12)
    mirrored, _, _ = rigid_fit(points, points * [-1, 1, 1])
    assert np.linalg.det(mirrored) == pytest.approx(1)


def test_smallest_swing_turns_one_direction_into_the_other(rng: np.random.Generator) -> None:
    for a, b in [*rng.normal(size=(20, 2, 3)), ([0, 1, 0], [0, -1, 0]), ([0, 1, 0], [0, 1, 0])]:
        a, b = np.array(a, dtype=float), np.array(b, dtype=float)
        swing = smallest_swing(a, b)
        np.testing.assert_allclose(swing @ a / np.linalg.norm(a), b / np.linalg.norm(b), atol=1e-9)
        np.testing.assert_allclose(swing @ swing.T, np.eye(3), atol=1e-9)
        angle = np.arccos(np.clip((np.trace(swing) - 1) / 2, -1, 1))
        between = np.arccos(np.clip(a @ b / np.linalg.norm(a) / np.linalg.norm(b), -1, 1))
        assert angle == pytest.approx(between, abs=1e-6)
