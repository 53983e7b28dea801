"""Bone names of the hands of known rigs, as data.

A joint is the head of the bone that is named after the phalanx which follows it; a fingertip is the head of a
leaf bone where the rig has one, else the tail of the third phalanx. In a pattern `{s}` is the side's token
(`sides`: right, left), `{S}` is Right or Left, `{f}` the finger's name and `{i}` its number, 1 (index) to 4
(pinky). Each line was read from files of that rig, or built and checked (Rigify, MPFB).
"""

from __future__ import annotations

from dataclasses import dataclass

JOINTS = (
    "wrist",
    "thumb_cmc", "thumb_mcp", "thumb_ip", "thumb_tip",
    "index_mcp", "index_pip", "index_dip", "index_tip",
    "middle_mcp", "middle_pip", "middle_dip", "middle_tip",
    "ring_mcp", "ring_pip", "ring_dip", "ring_tip",
    "pinky_mcp", "pinky_pip", "pinky_dip", "pinky_tip",
)  # fmt: skip
CHAINS = ((1, 2, 3, 4), (5, 6, 7, 8), (9, 10, 11, 12), (13, 14, 15, 16), (17, 18, 19, 20))
FINGERS = ("thumb", "index finger", "middle finger", "ring finger", "pinky")
PALM = (0, 1, 5, 9, 13, 17)
"""Wrist and the five finger roots: what a rigid palm holds."""

Phalanges = tuple[str, str, str]
FOUR = ("index", "middle", "ring", "pinky")
LITTLE = ("index", "middle", "ring", "little")


@dataclass(frozen=True)
class Rig:
    """One family of rigs: how its hand's bones are called."""

    id: str
    label: str
    sides: tuple[str, str]
    wrist: str
    thumb: Phalanges
    finger: Phalanges
    names: tuple[str, str, str, str] = FOUR
    leaf: tuple[str, str] | None = None
    """Names of the fingertip bones: the thumb's and the fingers' pattern."""
    metacarpal: str | None = None
    marks: tuple[str, ...] = ()
    """Bones without which it is another rig that has the same names otherwise."""
    write_to: str | None = None
    """Id of the rig whose bones take the pose, where the bones that are read are constrained."""

    def bones(self, side: str) -> list[str]:
        """Bone of every joint of a side ("right", "left"), [21]; a tip is "" where there is no leaf bone."""
        fill = {"s": self.sides[0 if side == "right" else 1], "S": side.capitalize()}
        found = [self.wrist.format(**fill)]
        for i in range(5):
            phalanges = self.thumb if i == 0 else self.finger
            tip = "" if self.leaf is None else self.leaf[0 if i == 0 else 1]
            name = "" if i == 0 else self.names[i - 1]
            found += [pattern.format(f=name, i=i, **fill) for pattern in (*phalanges, tip)]
        return found

    def marked(self, side: str) -> list[str]:
        """Bones that have to be there."""
        fill = {"s": self.sides[0 if side == "right" else 1], "S": side.capitalize()}
        return [pattern.format(**fill) for pattern in self.marks]

    def metacarpals(self, side: str) -> list[str]:
        """Metacarpal bones of index to pinky, or none."""
        if self.metacarpal is None:
            return []
        fill = {"s": self.sides[0 if side == "right" else 1], "S": side.capitalize()}
        return [self.metacarpal.format(f=name, i=i + 1, **fill) for i, name in enumerate(self.names)]


DOTTED = ("R", "L")
SMALL = ("r", "l")
WORDS = ("Right", "Left")
SOMA = "{s}Hand{f}"

# In the order of detection: of two rigs that fit a skeleton equally well, the first one wins.
RIGS: tuple[Rig, ...] = (
    Rig("soma77", "NVIDIA SOMA", WORDS, "{s}Hand",
        ("{s}HandThumb1", "{s}HandThumb2", "{s}HandThumb3"), (SOMA + "2", SOMA + "3", SOMA + "4"),
        ("Index", "Middle", "Ring", "Pinky"), ("{s}HandThumbEnd", SOMA + "End"), SOMA + "1",
        marks=("{s}HandIndex4", "{s}HandIndexEnd")),
    Rig("rigify_deform", "Rigify", DOTTED, "DEF-hand.{s}",
        ("DEF-thumb.01.{s}", "DEF-thumb.02.{s}", "DEF-thumb.03.{s}"),
        ("DEF-f_{f}.01.{s}", "DEF-f_{f}.02.{s}", "DEF-f_{f}.03.{s}"),
        metacarpal="DEF-palm.0{i}.{s}", write_to="rigify_control"),
    Rig("rigify_legacy_deform", "Rigify (old)", DOTTED, "DEF-hand.{s}",
        ("DEF-thumb.01.{s}.01", "DEF-thumb.02.{s}", "DEF-thumb.03.{s}"),
        ("DEF-f_{f}.01.{s}.01", "DEF-f_{f}.02.{s}", "DEF-f_{f}.03.{s}"), metacarpal="DEF-palm.0{i}.{s}"),
    Rig("rigify_metarig", "Rigify metarig", DOTTED, "hand.{s}",
        ("thumb.01.{s}", "thumb.02.{s}", "thumb.03.{s}"), ("f_{f}.01.{s}", "f_{f}.02.{s}", "f_{f}.03.{s}"),
        metacarpal="palm.0{i}.{s}"),
    Rig("auto_rig_pro_deform", "Auto-Rig Pro", SMALL, "hand.{s}",
        ("thumb1.{s}", "c_thumb2.{s}", "c_thumb3.{s}"), ("{f}1.{s}", "c_{f}2.{s}", "c_{f}3.{s}"),
        metacarpal="c_{f}1_base.{s}", write_to="auto_rig_pro_control"),
    Rig("cloudrig_fk", "CloudRig", DOTTED, "FK-Hand.{s}",
        ("FK-Finger_Thumb1.{s}", "FK-Finger_Thumb2.{s}", "FK-Finger_Thumb3.{s}"),
        ("FK-Finger_{f}1.{s}", "FK-Finger_{f}2.{s}", "FK-Finger_{f}3.{s}"),
        ("Index", "Middle", "Ring", "Pinky"), metacarpal="FK-Finger_{f}_Carpal.{s}"),
    Rig("mixamo", "Mixamo", WORDS, "mixamorig:{s}Hand",
        ("mixamorig:{s}HandThumb1", "mixamorig:{s}HandThumb2", "mixamorig:{s}HandThumb3"),
        ("mixamorig:{s}Hand{f}1", "mixamorig:{s}Hand{f}2", "mixamorig:{s}Hand{f}3"),
        ("Index", "Middle", "Ring", "Pinky"), ("mixamorig:{s}HandThumb4", "mixamorig:{s}Hand{f}4")),
    Rig("ready_player_me", "Ready Player Me", WORDS, "{s}Hand",
        ("{s}HandThumb1", "{s}HandThumb2", "{s}HandThumb3"), (SOMA + "1", SOMA + "2", SOMA + "3"),
        ("Index", "Middle", "Ring", "Pinky"), ("{s}HandThumb4", SOMA + "4")),
    Rig("human_ik", "HumanIK", WORDS, "{s}Hand",
        ("{s}HandThumb1", "{s}HandThumb2", "{s}HandThumb3"), (SOMA + "1", SOMA + "2", SOMA + "3"),
        ("Index", "Middle", "Ring", "Pinky"), ("{s}HandThumbEnd", SOMA + "End"), "{s}InHand{f}",
        marks=("{s}HandIndexEnd",)),
    Rig("ue5_metahuman", "Unreal 5 Manny / MetaHuman", SMALL, "hand_{s}",
        ("thumb_01_{s}", "thumb_02_{s}", "thumb_03_{s}"), ("{f}_01_{s}", "{f}_02_{s}", "{f}_03_{s}"),
        metacarpal="{f}_metacarpal_{s}", marks=("index_metacarpal_{s}",)),
    Rig("ue4_mannequin", "Unreal 4 mannequin", SMALL, "hand_{s}",
        ("thumb_01_{s}", "thumb_02_{s}", "thumb_03_{s}"), ("{f}_01_{s}", "{f}_02_{s}", "{f}_03_{s}")),
    Rig("vroid", "VRoid Studio", DOTTED, "J_Bip_{s}_Hand",
        ("J_Bip_{s}_Thumb1", "J_Bip_{s}_Thumb2", "J_Bip_{s}_Thumb3"),
        ("J_Bip_{s}_{f}1", "J_Bip_{s}_{f}2", "J_Bip_{s}_{f}3"),
        ("Index", "Middle", "Ring", "Little"), ("J_Bip_{s}_Thumb3_end", "J_Bip_{s}_{f}3_end")),
    Rig("vrm_addon", "VRM", DOTTED, "hand.{s}",
        ("thumb.metacarpal.{s}", "thumb.proximal.{s}", "thumb.distal.{s}"),
        ("{f}.proximal.{s}", "{f}.intermediate.{s}", "{f}.distal.{s}"), LITTLE),
    Rig("character_creator", "Character Creator", DOTTED, "CC_Base_{s}_Hand",
        ("CC_Base_{s}_Thumb1", "CC_Base_{s}_Thumb2", "CC_Base_{s}_Thumb3"),
        ("CC_Base_{s}_{f}1", "CC_Base_{s}_{f}2", "CC_Base_{s}_{f}3"),
        ("Index", "Mid", "Ring", "Pinky"), ("CC_Base_{s}_Thumb3_end", "CC_Base_{s}_{f}3_end")),
    Rig("character_creator_old", "Character Creator (old)", DOTTED, "CC_Base_{s}_Hand",
        ("CC_Base_{s}_Finger00", "CC_Base_{s}_Finger01", "CC_Base_{s}_Finger02"),
        ("CC_Base_{s}_Finger{i}0", "CC_Base_{s}_Finger{i}1", "CC_Base_{s}_Finger{i}2")),
    Rig("daz_genesis9", "Daz Genesis 9", SMALL, "{s}_hand",
        ("{s}_thumb1", "{s}_thumb2", "{s}_thumb3"), ("{s}_{f}1", "{s}_{f}2", "{s}_{f}3"),
        ("index", "mid", "ring", "pinky"), metacarpal="{s}_{f}metacarpal"),
    Rig("daz_genesis8", "Daz Genesis 3 and 8", SMALL, "{s}Hand",
        ("{s}Thumb1", "{s}Thumb2", "{s}Thumb3"), ("{s}{f}1", "{s}{f}2", "{s}{f}3"),
        ("Index", "Mid", "Ring", "Pinky"), metacarpal="{s}Carpal{i}"),
    Rig("mpfb_default", "MakeHuman / MPFB", DOTTED, "wrist.{s}",
        ("finger1-1.{s}", "finger1-2.{s}", "finger1-3.{s}"),
        ("finger{f}-1.{s}", "finger{f}-2.{s}", "finger{f}-3.{s}"),
        ("2", "3", "4", "5"), metacarpal="metacarpal{i}.{s}"),
    Rig("mb_lab", "MB-Lab", DOTTED, "hand_{s}",
        ("thumb01_{s}", "thumb02_{s}", "thumb03_{s}"), ("{f}01_{s}", "{f}02_{s}", "{f}03_{s}"),
        metacarpal="{f}00_{s}"),
    Rig("smplx", "SMPL-X", ("right", "left"), "{s}_wrist",
        ("{s}_thumb1", "{s}_thumb2", "{s}_thumb3"), ("{s}_{f}1", "{s}_{f}2", "{s}_{f}3")),
    Rig("mmd", "MikuMikuDance", ("右", "左"), "{s}手首",
        ("{s}親指０", "{s}親指１", "{s}親指２"), ("{s}{f}１", "{s}{f}２", "{s}{f}３"),
        ("人指", "中指", "薬指", "小指"), ("{s}親指先", "{s}{f}先")),
    Rig("biped", "3ds Max Biped", DOTTED, "Bip001 {s} Hand",
        ("Bip001 {s} Finger0", "Bip001 {s} Finger01", "Bip001 {s} Finger02"),
        ("Bip001 {s} Finger{i}", "Bip001 {s} Finger{i}1", "Bip001 {s} Finger{i}2"),
        leaf=("Bip001 {s} Finger0Nub", "Bip001 {s} Finger{i}Nub")),
    Rig("advanced_skeleton", "Advanced Skeleton", DOTTED, "Wrist_{s}",
        ("ThumbFinger1_{s}", "ThumbFinger2_{s}", "ThumbFinger3_{s}"),
        ("{f}Finger1_{s}", "{f}Finger2_{s}", "{f}Finger3_{s}"),
        ("Index", "Middle", "Ring", "Pinky"), ("ThumbFinger4_{s}", "{f}Finger4_{s}")),
    Rig("cats_fixed", "Cats (VRChat)", DOTTED, "{S} wrist",
        ("Thumb0_{s}", "Thumb1_{s}", "Thumb2_{s}"), ("{f}Finger1_{s}", "{f}Finger2_{s}", "{f}Finger3_{s}"),
        ("Index", "Middle", "Ring", "Little")),
    Rig("rokoko", "Rokoko", WORDS, "{s}Hand",
        ("{s}Finger1Metacarpal", "{s}Finger1Proximal", "{s}Finger1Distal"),
        ("{s}Finger{f}Proximal", "{s}Finger{f}Medial", "{s}Finger{f}Distal"),
        ("2", "3", "4", "5"), ("{s}Finger1Tip", "{s}Finger{f}Tip"), "{s}Finger{f}Metacarpal"),
    Rig("unity_xr_hands", "Unity XR Hands", DOTTED, "{s}_Wrist",
        ("{s}_ThumbMetacarpal", "{s}_ThumbProximal", "{s}_ThumbDistal"),
        ("{s}_{f}Proximal", "{s}_{f}Intermediate", "{s}_{f}Distal"),
        ("Index", "Middle", "Ring", "Little"), ("{s}_ThumbTip", "{s}_{f}Tip"), "{s}_{f}Metacarpal"),
    Rig("unity_humanoid", "Unity humanoid", WORDS, "{s}Hand",
        ("{s}ThumbProximal", "{s}ThumbIntermediate", "{s}ThumbDistal"),
        ("{s}{f}Proximal", "{s}{f}Intermediate", "{s}{f}Distal"), ("Index", "Middle", "Ring", "Little")),
)  # fmt: skip

# Skeletons of one hand, whose names tell no side.
ONE_HANDED: tuple[Rig, ...] = (
    Rig("webxr", "WebXR", ("", ""), "wrist",
        ("thumb-metacarpal", "thumb-phalanx-proximal", "thumb-phalanx-distal"),
        ("{f}-finger-phalanx-proximal", "{f}-finger-phalanx-intermediate", "{f}-finger-phalanx-distal"),
        leaf=("thumb-tip", "{f}-finger-tip"), metacarpal="{f}-finger-metacarpal"),
)  # fmt: skip

UNKNOWN = Rig("structure", "unknown names", ("", ""), "", ("", "", ""), ("", "", ""))
"""A hand that was found by how its bones hang and lie."""
MAPPED = Rig("mapping", "own mapping", ("", ""), "", ("", "", ""), ("", "", ""))
"""A hand that the user named bone by bone."""

# Controls of the rigs above whose deforming bones are constrained: written to, never detected.
CONTROLS: tuple[Rig, ...] = (
    Rig("rigify_control", "Rigify FK fingers", DOTTED, "hand_fk.{s}",
        ("thumb.01.{s}", "thumb.02.{s}", "thumb.03.{s}"), ("f_{f}.01.{s}", "f_{f}.02.{s}", "f_{f}.03.{s}")),
    Rig("auto_rig_pro_control", "Auto-Rig Pro controls", SMALL, "c_hand_fk.{s}",
        ("c_thumb1.{s}", "c_thumb2.{s}", "c_thumb3.{s}"), ("c_{f}1.{s}", "c_{f}2.{s}", "c_{f}3.{s}")),
)  # fmt: skip
