"""BVH written from our own skeleton, as many programs write it, gives back the joints it was written from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hhmr_engine.data.bvh import placed, read_bvh
from hhmr_engine.data.film import Wishes, read_film
from hhmr_engine.data.finger_chains import find_hands, nodes_of
from hhmr_engine.data.joint_fit import AnglePrior, angle_prior
from hhmr_engine.data.sampler import sample_angles
from hhmr_engine.hand.template import HandTemplate, load_template
from tests.engine.data.written_bvh import (
    ARCH,
    STYLES,
    Node,
    body_node,
    bone_name,
    expected_joints,
    hand_node,
    write_bvh,
)

FRAMES = 6
TIPS = [4, 8, 12, 16, 20]


@pytest.fixture(scope="module")
def template() -> HandTemplate:
    return load_template()


@pytest.fixture(scope="module")
def prior(template: HandTemplate) -> AnglePrior:
    return angle_prior(sample_angles(2000, np.random.default_rng(0), template))


@pytest.fixture(scope="module")
def angles(template: HandTemplate) -> np.ndarray:
    """[FRAMES,24] with a still palm, since not every style has metacarpals."""
    found = sample_angles(FRAMES, np.random.default_rng(5), template)
    found[:, ARCH] = 0.0
    return found


def _joints(path: Path) -> dict[str, np.ndarray]:
    """Side -> [T,21,3] in the file's unit."""
    bvh = read_bvh(path)
    found = {}
    for hand in find_hands(bvh):
        places = placed(bvh, hand.wrist, np.arange(len(bvh.motion)))
        unknown = np.full((len(bvh.motion), 3), np.nan)
        nodes = nodes_of(hand, places)
        found[hand.side] = np.stack([places[node] if node >= 0 else unknown for node in nodes], 1)
    return found


def _apart(one: np.ndarray, other: np.ndarray) -> float:
    """Largest difference of the distances between joints [T,21,3], which no place or mirror changes."""
    a, b = (np.linalg.norm(joints[:, :, None] - joints[:, None], axis=-1) for joints in (one, other))
    return float(np.abs(a - b).max())


ENDS = [(style, False) for style in STYLES]
LEAVES = [(style, True) for style in STYLES if style not in ("rokoko", "xsens")]


@pytest.mark.parametrize(("style", "leaf"), [*ENDS, *LEAVES])
def test_fingers_are_found_by_name(
    style: str, leaf: bool, template: HandTemplate, angles: np.ndarray, tmp_path: Path
) -> None:
    hands = [hand_node(template, angles, style, side, leaf) for side in ("left", "right")]
    path = write_bvh(tmp_path / "x.bvh", body_node(hands, np.random.default_rng(1)))
    found = _joints(path)
    assert sorted(found) == ["left", "right"]
    for joints in found.values():
        assert _apart(0.01 * joints, expected_joints(template, angles)) < 1e-5


def test_fingers_that_branch_off_anothers_palm_bone(
    template: HandTemplate, angles: np.ndarray, tmp_path: Path
) -> None:
    """As MotionBuilder's: the pinky hangs under the ring finger's palm bone, the thumb under the index's."""
    hand = hand_node(template, angles, "perception_neuron", "right", False)
    bone = {child.name: child for child in hand.children}
    for under, finger in (("RightInHandRing", "RightInHandPinky"), ("RightInHandIndex", "RightHandThumb1")):
        bone[finger].offset = bone[finger].offset - bone[under].offset
        bone[under].children.append(bone[finger])
        hand.children.remove(bone[finger])
    found = _joints(write_bvh(tmp_path / "x.bvh", body_node([hand], np.random.default_rng(2))))
    assert _apart(0.01 * found["right"], expected_joints(template, angles)) < 1e-5


@pytest.mark.parametrize("positions", ["root", "all", "deltas"])
@pytest.mark.parametrize("order", ["ZXY", "XYZ", "YXZ", "ZYX", "XZY", "YZX"])
def test_channels_in_any_order(
    order: str, positions: str, template: HandTemplate, angles: np.ndarray, tmp_path: Path
) -> None:
    hand = hand_node(template, angles, "mixamo", "right", False)
    root = body_node([hand], np.random.default_rng(2))
    found = _joints(write_bvh(tmp_path / "x.bvh", root, order=order, positions=positions))
    assert _apart(0.01 * found["right"], expected_joints(template, angles)) < 1e-5


@pytest.mark.parametrize(("unit", "name"), [(1.0, "m"), (0.01, "cm"), (0.001, "mm"), (0.0254, "inch")])
def test_units_and_sides_come_out_as_right_hands_in_metres(
    unit: float, name: str, template: HandTemplate, angles: np.ndarray, prior: AnglePrior, tmp_path: Path
) -> None:
    hands = [hand_node(template, angles, "smplx", side, False) for side in ("left", "right")]
    path = write_bvh(tmp_path / "x.bvh", body_node(hands, np.random.default_rng(1)), unit=unit)
    film = read_film(template, path, Wishes(), prior)
    assert film.came == 2 * FRAMES and f"in {name} by its size" in film.how and film.line(np.ones(1))
    expected = expected_joints(template, angles)
    for hand in film.kept:
        assert len(hand.joints) == FRAMES
        assert _apart(hand.joints, expected) < 1e-4
        for mine, ours in zip(hand.joints, expected):  # the same handedness: no mirror is left
            a, b = (np.linalg.det(joints[[5, 9, 2]] - joints[17]) for joints in (mine, ours))
            assert abs(a / b - 1) < 0.02


def test_one_side_is_taken_if_asked_for(
    template: HandTemplate, angles: np.ndarray, prior: AnglePrior, tmp_path: Path
) -> None:
    hands = [hand_node(template, angles, "rokoko", side, False) for side in ("left", "right")]
    path = write_bvh(tmp_path / "x.bvh", body_node(hands, np.random.default_rng(1)))
    film = read_film(template, path, Wishes(side="left"), prior)
    assert [hand.side for hand in film.kept] == ["left"]
    assert film.dropped == {"of the other hand": FRAMES}


def test_a_hand_without_a_side_in_its_names_is_told_by_its_shape(
    template: HandTemplate, prior: AnglePrior, tmp_path: Path
) -> None:
    angles = sample_angles(30, np.random.default_rng(8), template)
    for side in ("left", "right"):
        hand = hand_node(template, angles, "perception_neuron", side, False)
        _rename(hand, side.capitalize())
        film = read_film(template, write_bvh(tmp_path / "x.bvh", hand), Wishes(), prior)
        assert f"{side} by its shape" in film.how and film.kept[0].side == side


def _rename(node: Node, word: str) -> None:
    node.name = node.name.replace(word, "")
    for child in node.children:
        _rename(child, word)


def test_frames_that_hardly_change_are_dropped_and_fast_films_thinned(
    template: HandTemplate, angles: np.ndarray, prior: AnglePrior, tmp_path: Path
) -> None:
    slow = np.repeat(angles, 40, 0) + np.random.default_rng(1).normal(0, 1e-3, (40 * FRAMES, 24))
    slow[:, ARCH] = 0.0
    hand = hand_node(template, slow.astype(np.float32), "mixamo", "right", False)
    path = write_bvh(tmp_path / "x.bvh", body_node([hand], np.random.default_rng(1)), fps=120)
    film = read_film(template, path, Wishes(fps=30.0), prior)
    assert film.came == 40 * FRAMES
    assert film.dropped == {"beyond 30 a second": 30 * FRAMES, "in which the hand hardly moved": 9 * FRAMES}
    assert len(film.kept[0].joints) == FRAMES
    assert film.kept[0].frame.tolist() == [10 * i for i in range(FRAMES)]


def test_a_hand_of_three_fingers_and_short_thumb_has_unknown_joints(
    template: HandTemplate, angles: np.ndarray, tmp_path: Path
) -> None:
    hand = hand_node(template, angles, "poser", "right", False)
    hand.children = [
        child for child in hand.children if "Pinky" not in child.name and "Ring" not in child.name
    ]
    last = hand.children[1].children[0].children[0]
    last.end = 12 * last.end  # an importer's bone without a meaning
    joints = _joints(write_bvh(tmp_path / "x.bvh", hand))["right"]
    assert np.isnan(joints[:, 13:]).all() and np.isnan(joints[:, 8]).all()
    assert np.isfinite(joints[:, [*range(8), *range(9, 13)]]).all()


def test_a_body_without_fingers_gets_one_sentence(
    template: HandTemplate, prior: AnglePrior, angles: np.ndarray, tmp_path: Path
) -> None:
    """As CMU's files: a thumb of one joint, and one finger for four."""
    hand = hand_node(template, angles, "mixamo", "right", False)
    index = Node("RightHandIndex1", np.array([0.09, 0, 0]), hand.turn, end=np.array([0.05, 0, 0]))
    hand.children = [
        Node("RightFingerBase", np.zeros(3), hand.turn, [index]),
        Node("RThumb", np.zeros(3), hand.turn, end=np.array([0.05, 0, 0.05])),
    ]
    path = write_bvh(tmp_path / "x.bvh", body_node([hand], np.random.default_rng(1)))
    with pytest.raises(ValueError, match="has no fingers: below no joint") as caught:
        read_film(template, path, Wishes(), prior)
    assert str(caught.value).count(". ") == 0


def test_a_hand_of_no_size_wants_a_unit(
    template: HandTemplate, angles: np.ndarray, prior: AnglePrior, tmp_path: Path
) -> None:
    hand = hand_node(template, angles, "mixamo", "right", False)
    path = write_bvh(tmp_path / "x.bvh", hand, unit=0.3)
    with pytest.raises(ValueError, match=r"say --unit in metres \(0\.2") as caught:
        read_film(template, path, Wishes(), prior)
    assert "In no unit" in str(caught.value)
    film = read_film(template, path, Wishes(unit=0.3), prior)
    assert _apart(film.kept[0].joints, expected_joints(template, angles)) < 1e-5


GOOD = """HIERARCHY
ROOT Hand {
  OFFSET 0 0 0
  CHANNELS 3 Zrotation Xrotation Yrotation
  End Site {
    OFFSET 0 1 0
  }
}
MOTION
Frames: 1
Frame Time: 0.03
1 2 3
"""


def test_braces_may_stand_anywhere(tmp_path: Path) -> None:
    path = tmp_path / "x.bvh"
    path.write_text(GOOD.replace(" {", "\n{").replace("\n", "\r\n"), encoding="utf-8")
    bvh = read_bvh(path)
    assert bvh.names == ["Hand", ""] and bvh.parents == [-1, 0] and abs(bvh.rate - 33.3) < 0.1


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (("HIERARCHY", "hello"), "is no BVH"),
        (("MOTION", ""), "is no BVH"),
        (("OFFSET 0 1 0", "OFFSET 0 one 0"), "must be 3 numbers"),
        (("OFFSET 0 1 0", "OFFSET nan 0 0"), "must be 3 numbers"),
        (("CHANNELS 3", "CHANNELS 5"), "not what BVH knows"),
        (("Zrotation", "Wrotation"), "not what BVH knows"),
        (("Zrotation", "Xrotation"), "not what BVH knows"),
        (("  }\n}\n", "  }\n"), "is cut off"),
        (("  CHANNELS 3 Zrotation Xrotation Yrotation\n", ""), "has no channels"),
        (("  End Site", "  Extra line\n  End Site"), "none of BVH: 'Extra line'"),
        (("Frames: 1", "Frames: many"), "does not say 'Frames:'"),
        (("Frames: 1", "Frames: 3"), "says 3 frames and has 1"),
        (("Frames: 1", "Frames: 999999999999"), "and has 1: it is cut off"),
        (("Frames: 1", "Frames: -1"), "says -1 frames"),
        (("1 2 3", "1 2 three"), "holds what is no number"),
        (("1 2 3", "1 2"), "is cut off"),
    ],
)
def test_damaged_files_get_one_sentence(change: tuple[str, str], part: str, tmp_path: Path) -> None:
    path = tmp_path / "x.bvh"
    path.write_text(GOOD.replace(*change), encoding="utf-8")
    with pytest.raises(ValueError, match="x.bvh") as caught:
        read_bvh(path)
    assert part in str(caught.value) and "\n" not in str(caught.value)


def test_hostile_files_end_soon(tmp_path: Path) -> None:
    path = tmp_path / "x.bvh"
    path.write_text("HIERARCHY\n" + "ROOT a\n{\n" * 200000 + "MOTION\n", encoding="utf-8")
    with pytest.raises(ValueError, match="more than"):
        read_bvh(path)
    path.write_bytes(bytes(range(256)) * 100)
    with pytest.raises(ValueError, match="is no BVH"):
        read_bvh(path)
    fingers = "".join(f"JOINT index{i}\n{{\nOFFSET 0 1 0\nCHANNELS 1 Xrotation\n" for i in range(3000))
    text = (
        f"HIERARCHY\nROOT hand\n{{\nOFFSET 0 0 0\n{fingers}{'}' * 3001}\nMOTION\nFrames: 1\nFrame Time: 1\n"
    )
    path.write_text(text + "0 " * 3000, encoding="utf-8")
    assert find_hands(read_bvh(path)) == []


def test_the_styles_are_what_the_test_says() -> None:
    assert bone_name("biped", "right", 2, 3) == "Bip01 R Finger22"
    assert bone_name("rokoko", "left", 0, 1) == "LeftFinger1Metacarpal"
