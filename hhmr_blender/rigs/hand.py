"""A hand found in a skeleton: which bone is which joint, how sure that is, and what is not there."""

from __future__ import annotations

from dataclasses import dataclass

from .tables import CHAINS, FINGERS, Rig

SIDES = ("right", "left")
PHALANGES = tuple(joint for chain in CHAINS for joint in chain[:3])
FEWEST_FINGERS = 3
"""With two bones each, to call it a hand: of fewer, nobody knows where the rest is."""
SURE = 0.5
"""Confidence from which a hand is used without asking."""


@dataclass(frozen=True)
class Hand:
    """A hand found in a skeleton; names are the skeleton's own, "" where a bone is missing."""

    rig: Rig
    side: str
    bones: tuple[str, ...]
    controls: tuple[str, ...]
    """Bones that take the pose: the rig's controls, or the bones themselves where it has none."""
    score: int = 0
    confidence: float = 1.0
    """0 to 1; below SURE the user is asked to look at the mapping first."""
    doubt: str = ""
    """What is not sure about it, one sentence; "" where nothing is."""

    @property
    def phalanges(self) -> int:
        """How many of the 15 finger bones were found."""
        return sum(bool(self.bones[joint]) for joint in PHALANGES)

    @property
    def fingers(self) -> tuple[int, ...]:
        """Fingers with a bone, 0 (thumb) to 4 (pinky)."""
        return tuple(i for i, chain in enumerate(CHAINS) if any(self.bones[joint] for joint in chain[:3]))

    @property
    def whole(self) -> bool:
        """Whether enough is there to call it a hand: a wrist, and two bones in each of three fingers."""
        long = sum(sum(bool(self.bones[joint]) for joint in chain[:3]) >= 2 for chain in CHAINS)
        return bool(self.bones[0]) and long >= FEWEST_FINGERS

    @property
    def sure(self) -> bool:
        """Whether it may be used without asking."""
        return self.confidence >= SURE

    @property
    def remark(self) -> str:
        """What this hand lacks and what becomes of it, one sentence; "" where it has every phalanx."""
        lacking = [FINGERS[i] for i in range(5) if i not in self.fingers]
        short = [FINGERS[i] for i in self.fingers if not all(self.bones[joint] for joint in CHAINS[i][:3])]
        said = []
        if lacking:
            said.append(f"no {' and no '.join(lacking)}: neither asked for nor written")
        if short:
            where = "its fingers" if len(short) == len(self.fingers) else ", ".join(short)
            said.append(f"fewer than three bones in {where}: the joints between are left to the engine")
        return f"This hand has {'; '.join(said)}." if said else ""

    def joint_of(self, bone: str) -> int | None:
        """Joint that a bone of the hand, or its control, begins at."""
        for names in (self.bones, self.controls):
            if bone in names:
                return names.index(bone)
        return None
