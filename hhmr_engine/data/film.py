"""One file of a user's recordings on its way in: its hands, their unit and side, the frames worth keeping."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ..hand.skeleton import JOINT_PARENTS
from ..hand.template import HandTemplate
from .bvh import placed, read_bvh
from .finger_chains import find_hands, nodes_of
from .joint_fit import AnglePrior, first_guess, fit_hands, neutral_calibration
from .joint_lists import SUFFIXES, read_lists
from .recording import UNITS, Recording
from .sources import changed
from .user_poses import enough

MOCAP = ".bvh"
USUAL_SIZE = 0.93  # of an average adult's hand, ours being 1 (design: hand)
SIZES = (0.5, 1.6)  # of a hand
GUESSED_BY = 24  # frames that a side is guessed by
CLEAR_SIDE = 0.8  # of the other side's energy: a guess above that is little sure
LITTLE, STILL, OTHER = (
    "of which too little is known",
    "in which the hand hardly moved",
    "of the other hand",
)


@dataclass(frozen=True)
class Wishes:
    """What the user said about the files."""

    side: str = "auto"  # "right" | "left": of lists, which hand they are of; of others, which is taken
    unit: float | None = None  # metres; None: what the file says, or a guess by the hand's size
    fps: float = 30.0  # frames a second that are taken of films which say how fast they are


@dataclass
class Film:
    """One file on its way: what is kept of it, and what was said of it."""

    path: Path
    kept: list[Recording]
    came: int  # hands in the file: frames times hands
    how: str
    dropped: dict[str, int] = field(default_factory=dict)

    def drop(self, why: str, count: int) -> None:
        if count:
            self.dropped[why] = self.dropped.get(why, 0) + count

    def line(self, residual: np.ndarray) -> str:
        """What became of it; `residual` [n] mm of what is kept."""
        dropped = [f"{count} dropped {why}" for why, count in self.dropped.items()]
        fit = f"; median residual {np.median(residual):.1f} mm" if len(residual) else ""
        kept = ", ".join([*dropped, f"{len(residual)} kept"])
        return f"{self.path.name}: {self.came} hands{self.how}; {kept}{fit}"


def read_film(template: HandTemplate, path: Path, wishes: Wishes, prior: AnglePrior) -> Film:
    """The file's hands as right ones in metres, thinned."""
    suffix = path.suffix.lower()
    if suffix == ".bvh":
        recordings, unit = _mocap(path), None
    elif suffix in SUFFIXES:
        recordings, unit = read_lists(path)
    else:
        kinds = ", ".join(("bvh", *(one[1:] for one in SUFFIXES)))
        raise ValueError(f"{path} is of no kind that can be imported: give one of {kinds}.")
    film = Film(path, [], sum(len(recording.joints) for recording in recordings), "")
    recordings = [_slower(recording, wishes.fps) for recording in recordings]
    slower = sum(len(recording.joints) for recording in recordings)
    film.drop(f"beyond {wishes.fps:g} a second", film.came - slower)
    scale, said = _scale(template, recordings, wishes.unit or unit, path)
    known: list[Recording] = []
    for recording in recordings:
        keep = enough(recording.joints)
        film.drop(LITTLE, int((~keep).sum()))
        if keep.any():
            known.append(replace(recording.rows(keep), joints=recording.joints[keep] * scale))
    sides = []
    for recording in known:
        side = said_side = recording.side or wishes.side
        if side == "auto":
            side, sure = _guessed_side(template, recording.joints, prior)
            said_side = f"{side} by its shape{'' if sure else ', little sure: say --side'}"
        if wishes.side not in ("auto", side):
            film.drop(OTHER, len(recording.joints))
            continue
        sides.append(said_side)
        mirror = [-1.0, 1.0, 1.0] if side == "left" else [1.0, 1.0, 1.0]
        recording = replace(recording, joints=recording.joints * mirror, side=side)
        moved = _moved(template, recording, prior)
        film.drop(STILL, len(recording.joints) - len(moved))
        film.kept.append(recording.rows(moved))
    if not film.kept:
        raise ValueError(f"{path} has no frame of which enough of a {wishes.side} hand is known.")
    film.how = f" ({' and '.join(dict.fromkeys(sides))}, {said})"
    return film


def _mocap(path: Path) -> list[Recording]:
    """Each hand of a BVH, in the axes of its own wrist."""
    bvh = read_bvh(path)
    hands = find_hands(bvh)
    if not hands:
        raise ValueError(
            f"{path} has no fingers: below no joint are three chains of two joints and more that are named "
            "as fingers are (thumb and index, or finger 1 and 2)."
        )
    rows = np.arange(len(bvh.motion))
    found = []
    for hand in hands:
        places = placed(bvh, hand.wrist, rows)
        nodes = nodes_of(hand, places)
        unknown = np.full((len(rows), 3), np.nan)
        joints = np.stack([places[node] if node >= 0 else unknown for node in nodes], 1)
        found.append(Recording(joints, hand.side, rows, bvh.rate or None))
    return found


def _slower(recording: Recording, fps: float) -> Recording:
    """No more than `fps` frames a second, where it is known how fast they are."""
    if recording.rate is None or recording.rate < 1.01 * fps:  # files round their frame time
        return recording
    moment = np.floor(recording.frame * (fps / recording.rate)).astype(int)
    first = np.append(True, np.diff(moment) > 0)
    return replace(recording.rows(first), frame=moment[first], rate=fps)


def _scale(
    template: HandTemplate, recordings: list[Recording], unit: float | None, path: Path
) -> tuple[float, str]:
    """Metres a unit, and what to say of it."""
    joints = np.concatenate([recording.joints for recording in recordings])
    size = _size(template, joints[enough(joints)])
    if unit is not None:
        name = next((name for name, metres in UNITS.items() if metres == unit), f"{unit:g} m a unit")
        return unit, f"in {name}"
    if not size > 0:  # NaN, too
        raise ValueError(f"{path} has no frame of which enough of a hand is known.")
    name = min(UNITS, key=lambda one: abs(np.log(size * UNITS[one] / USUAL_SIZE)))
    if not SIZES[0] < size * UNITS[name] < SIZES[1]:
        raise ValueError(
            f"In no unit is the hand in {path} as large as a hand: say --unit in metres "
            f"({USUAL_SIZE / size:.3g} would make it an average one)."
        )
    return UNITS[name], f"in {name} by its size"


def _size(template: HandTemplate, joints: np.ndarray) -> float:
    """Units that a hand is of a metre of ours: the median over its bones; NaN where none is known."""
    ends = np.array([[joint, parent] for joint, parent in enumerate(JOINT_PARENTS) if parent >= 0])
    ours = np.linalg.norm(np.diff(template.joints[ends], axis=1)[:, 0], axis=-1)
    theirs = np.linalg.norm(joints[:, ends[:, 0]] - joints[:, ends[:, 1]], axis=-1)
    known = ~np.isnan(theirs)
    return float(np.median((theirs / ours)[known])) if known.any() else float("nan")


def _guessed_side(template: HandTemplate, joints: np.ndarray, prior: AnglePrior) -> tuple[str, bool]:
    """The side whose fit has the lower energy, and whether it is clearly lower."""
    rows = np.unique(np.linspace(0, len(joints) - 1, min(GUESSED_BY, len(joints))).astype(int))
    neutral = replace(neutral_calibration(), scale=1.0 / _size(template, joints[rows]))
    cost = {
        side: float(fit_hands(template, joints[rows] * [sign, 1.0, 1.0], neutral, prior)[1].sum())
        for side, sign in (("right", 1.0), ("left", -1.0))
    }
    side = min(cost, key=cost.__getitem__)
    return side, cost[side] < CLEAR_SIDE * max(cost.values())


def _moved(template: HandTemplate, recording: Recording, prior: AnglePrior) -> np.ndarray:
    """Rows in which the fingers have moved since the last one; named frames are poses, and all are kept."""
    if recording.names is not None or recording.group is not None:
        return np.arange(len(recording.joints))
    scale = 1.0 / _size(template, recording.joints)
    palms = first_guess(template, recording.joints, scale, prior.mean)
    still = (recording.joints * scale - palms.translation[:, None]) @ palms.rotation
    return changed(still, np.zeros(len(still)))
