"""Bone names of every rig family, detection, and the pure geometry between joints and bones."""

from __future__ import annotations

import numpy as np
import pytest

from hhmr_blender.rigs.detect import SIDES, canonical, find_hands
from hhmr_blender.rigs.joints import rest_joints, rigid_fit, smallest_swing
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


@pytest.mark.parametrize(
    ("written", "known"),
    [
        ("mixamorig1:RightHandIndex1", "RightHandIndex1"),
        ("mixamorig_LeftHandThumb2", "LeftHandThumb2"),
        ("Character:mixamorig:RightHand", "RightHand"),
        ("bip01 R Finger01", "Bip001 R Finger01"),
        ("F_INDEX.01.R", "f_index.01.R"),
        ("右人指１", "右人指1"),
    ],
)
def test_spellings_of_one_name(written: str, known: str) -> None:
    assert canonical(written) == canonical(known)


def test_sides_do_not_collide() -> None:
    assert canonical("hand.L") != canonical("hand.R")
    assert canonical("rHand") != canonical("lHand")


def test_mixamo_under_another_prefix() -> None:
    mixamo = next(rig for rig in RIGS if rig.id == "mixamo")

    def other(name: str) -> str:
        return name.replace("mixamorig:", "mixamorig7:")

    parents = {other(bone): other(parent) if parent else None for bone, parent in skeleton(mixamo).items()}
    hand = find_hands(parents)[0]
    assert hand.whole and hand.bones[5] == "mixamorig7:RightHandIndex1"


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
        distal: np.array(tail, dtype=float)
    }
    tip = rest_joints(hand, heads, tails)[8]
    np.testing.assert_allclose(tip, tail if meant else (0, 0.06 + 0.85 * 0.03, 0), atol=1e-12)


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
