"""`hhmr import-poses`: mocap files and joint lists as one npz of poses, and what was done to each file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..hand.template import HandTemplate
from .film import Film, Wishes, read_film
from .joint_fit import residuals, stiffness
from .recording import Recording
from .retarget import lay, usual_prior
from .sources import GAP, PoseSet, blocks
from .splits import split_groups
from .user_poses import save_poses

MANY_FILES = 10  # of so many films, and more, each is one group of the split, as a glove's episodes are
HARDLY = 4.0  # mm: recordings of known devices have medians of 0.5 to 2.4
NO_HAND = 15.0  # mm, and four times the median: the device had lost the hand
ODD = 65.0  # stiffness of a calibration: theirs are 23 to 59, and of mirrored or mixed up joints 71 to 530
LOST = "that are no hand"
DOUBT = (
    "Our hand hardly fits these joints: check their order and side, and import what is of another person or "
    "device by itself."
)


@dataclass(frozen=True)
class Imported:
    """What to say: of each file that was read, then of all of them; and of those that could not be read."""

    lines: list[str]
    failed: list[str]


def import_poses(template: HandTemplate, files: list[Path], out: Path, name: str, wishes: Wishes) -> Imported:
    """Write `out`, the poses of all files as one source of that name.

    Raises ValueError with one sentence where none is left, OSError where `out` cannot be written.
    """
    prior = usual_prior(template)
    films: list[Film] = []
    failed: list[str] = []
    for path in files:
        try:
            films.append(read_film(template, path, wishes, prior))
        except OSError as exc:
            failed.append(f"{path} cannot be read ({exc.strerror or exc}): check the name.")
        except ValueError as exc:
            failed.append(str(exc))
    if not films:
        more = f" Nor could the other {len(files) - 1} files be imported." if len(files) > 1 else ""
        raise ValueError(failed[0] + more)
    poses = _gathered(films, name)
    side = np.concatenate([[hand.side] * len(hand.joints) for film in films for hand in film.kept])
    owner = np.repeat(np.arange(len(films)), [sum(len(hand.joints) for hand in film.kept) for film in films])
    hands, joints, calibration = lay(template, poses, prior)
    residual = 1000.0 * np.nanmean(residuals(template, hands, calibration, joints), axis=1)
    good = residual <= max(NO_HAND, 4 * float(np.median(residual)))
    lines = []
    for number, film in enumerate(films):
        film.drop(LOST, int((~good & (owner == number)).sum()))
        lines.append(film.line(residual[good & (owner == number)]))
    poses = PoseSet(name, poses.joints[good], poses.group[good], poses.names[good])
    save_poses(out, poses, side[good], lines)
    lines.append(_summary(out, poses, residual[good]))
    if np.median(residual) > HARDLY or stiffness(calibration) > ODD:
        lines.append(DOUBT)
    return Imported(lines, failed)


def _gathered(films: list[Film], name: str) -> PoseSet:
    """All that is kept of all films, as one source."""
    kept = [(film, recording) for film in films for recording in film.kept]
    many = len(films) >= MANY_FILES
    return PoseSet(
        name,
        np.concatenate([recording.joints for _, recording in kept]),
        np.concatenate([_group(film, recording, many) for film, recording in kept]),
        np.concatenate([_names(film, recording) for film, recording in kept]),
    )


def _summary(out: Path, poses: PoseSet, residual: np.ndarray) -> str:
    split = split_groups(poses.name, poses.group)
    counts = [int((split == part).sum()) for part in ("train", "validation", "test", GAP)]
    return (
        f"{out}: {len(poses)} poses of the source '{poses.name}' ({counts[0]} to train on, {counts[1]} to "
        f"validate, {counts[2]} held out, {counts[3]} between blocks); "
        f"median residual {np.median(residual):.1f} mm"
    )


def _group(film: Film, recording: Recording, many: bool) -> np.ndarray:
    """The unit of the split: the file's own, else a name's, else a film or its blocks."""
    own = recording.names if recording.group is None else recording.group
    if own is not None:
        return np.where(own == GAP, f"{GAP} pose", own)
    if many:
        return np.full(len(recording.joints), f"film {film.path.stem}")
    return blocks(recording.frame, f"{film.path.stem} ")


def _names(film: Film, recording: Recording) -> np.ndarray:
    if recording.names is not None:
        return recording.names
    return np.char.add(f"{film.path.stem} ", recording.frame.astype(str))
