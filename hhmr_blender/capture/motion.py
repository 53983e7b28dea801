"""Joints of an armature's hands over a range of frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import bpy
import numpy as np
from numpy.typing import NDArray

from ..problems import Problem
from .armature import ArmatureHand, posed_joints

Array = NDArray[np.float64]

MOST_FRAMES = 2000


@dataclass(frozen=True)
class MotionHand:
    """A hand of an armature, and what is kept of it in every frame."""

    found: ArmatureHand
    frames: NDArray[np.float32]
    """[T, 21, 3] metres from `origin`, NaN = unknown."""
    origin: Array
    """[3] in world space: numbers stay small."""


def frame_range(scene: bpy.types.Scene) -> range:
    """Frames that the HHMR tab says: the preview range or the scene's, or its own. Raises Problem."""
    chosen = scene.hhmr
    if chosen.motion_range == "SCENE":
        preview = scene.use_preview_range
        start = scene.frame_preview_start if preview else scene.frame_start
        end = scene.frame_preview_end if preview else scene.frame_end
    else:
        start, end = chosen.motion_start, chosen.motion_end
    if end < start:
        raise Problem("no_frames", f"The range ends (frame {end}) before it starts (frame {start}).")
    if end - start + 1 > MOST_FRAMES:
        raise Problem(
            "no_frames",
            f"{end - start + 1} frames are too many at once: choose a range of {MOST_FRAMES} at most.",
        )
    return range(start, end + 1)


def capture(
    scene: bpy.types.Scene, ob: bpy.types.Object, hands: Sequence[ArmatureHand], frames: range
) -> list[MotionHand]:
    """Joints of hands in every frame, kept where they are kept now. The scene is back at its frame then.

    Raises Problem where nothing of a hand is left to make.
    """
    for found in hands:
        if np.isfinite(found.joints).all():
            raise Problem(
                "all_kept",
                f"Every finger of the {found.side} hand is kept, so there is nothing to make: set Keep to "
                "Fingers or Selected.",
            )
    joints = np.empty((len(hands), len(frames), 21, 3))
    with staying(scene):
        for t, frame in enumerate(frames):
            scene.frame_set(frame)
            for k, found in enumerate(hands):
                joints[k, t] = posed_joints(ob, found.hand)
    captured = []
    for found, each in zip(hands, joints):
        each[:, ~np.isfinite(found.joints).all(axis=1)] = np.nan
        if not np.isfinite(each).any(axis=(1, 2)).all():
            raise Problem("nan", f"The pose of '{ob.name}' holds values that are no numbers in some frames.")
        origin = np.nanmean(each, axis=(0, 1))
        captured.append(MotionHand(found, (each - origin).astype(np.float32), origin))
    return captured


@contextmanager
def staying(scene: bpy.types.Scene) -> Iterator[None]:
    """The scene is at its frame again afterwards."""
    frame, subframe = scene.frame_current, scene.frame_subframe
    try:
        yield
    finally:
        scene.frame_set(frame, subframe=subframe)
