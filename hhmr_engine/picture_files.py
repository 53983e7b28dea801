"""A photo or a 2D skeleton to hands and their files, in pixels of the picture at its full size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from .export import glb_bytes, npz_bytes
from .faults import InputError
from .inputs import SUFFIXES, Skeleton2d
from .overlay import overlay_png
from .request import Hypotheses, Request, RequestError
from .vision.photo import Photo

Run = Callable[[Request], Hypotheses]


@dataclass(frozen=True)
class Asked:
    """What is asked of a picture beside its pixels."""

    request: Request
    skeleton: Skeleton2d | None = None
    lens: float | None = None  # focal length in parts of the picture's longer side
    hand: int | None = None  # which of those found in a photo, the largest is 1; None: all of them


def hands_in_photo(run: Run, photo: Photo, asked: Asked) -> tuple[list[Hypotheses], list[str]]:
    """Hypotheses for every hand that is asked for, the largest first, and what went wrong with others.

    RequestError, InputError: the largest, or the one that is asked for, can't be had.
    """
    request = _of_photo(photo, asked)
    first = 0 if asked.hand is None else asked.hand - 1
    found, faults = [run(replace(request, which=first))], []
    alone = asked.hand is not None or request.box is not None or asked.skeleton is not None
    for which in range(1, 1 if alone else found[0].hands or 1):
        try:
            found.append(run(replace(request, which=which)))
        except RequestError as exc:
            faults.append(str(exc))
    return [_at_full_size(hands, photo.factor) for hands in found], faults


def hands_of_skeleton(run: Run, asked: Asked, size: tuple[int, int] | None) -> Hypotheses:
    """Hypotheses for a 2D skeleton in a picture of that size, where it is known.

    InputError: a focal length in millimetres, and no size.
    """
    assert asked.skeleton is not None
    if asked.lens is not None and size is None:
        raise InputError("--focal needs the picture's size: give --size W,H, or image_size in the file.")
    request = replace(
        asked.request,
        joints2d=asked.skeleton.joints2d,
        sigma2d=asked.skeleton.sigma2d,
        size=None if size is None else np.array(size, np.float32),
        focal=_focal(asked, size),
    )
    return run(request)


def picture_size(
    said: tuple[float, float] | None, asked: Asked, photo: Photo | None
) -> tuple[int, int] | None:
    """Width and height as said, of the photo, or as the skeleton's file has them. InputError: they differ."""
    sizes = {"--size": said, "the picture": None if photo is None else photo.size}
    if asked.skeleton is not None and asked.skeleton.size is not None:
        sizes["the file"] = tuple(asked.skeleton.size)
    known = {name: (round(size[0]), round(size[1])) for name, size in sizes.items() if size is not None}
    if len(set(known.values())) > 1:
        told = ", ".join(f"{size[0]} x {size[1]} by {name}" for name, size in known.items())
        raise InputError(f"The picture is {told}: give the joints in its pixels, and one size.")
    return next(iter(known.values()), None)


def contents(
    found: Hypotheses, paths: dict[str, Path], photo: Photo | None, size: tuple[int, int] | None
) -> dict[Path, bytes]:
    """The bytes of a hand's three files."""
    made = (npz_bytes(found, size), glb_bytes(found, size=size), overlay_png(found, photo))
    return {paths[suffix]: content for suffix, content in zip(SUFFIXES, made)}


def residual_2d(found: Hypotheses) -> float:
    """Mean distance of projected joints from the given ones, over all hypotheses, in per cent of hand size.

    Hand size: the longer side of the bounding box of the given joints.
    """
    assert found.joints2d is not None and found.given2d is not None
    known = np.isfinite(found.given2d).all(1)
    given = found.given2d[known]
    distance = np.linalg.norm(found.joints2d[:, known] - given, axis=-1).mean()
    return float(100 * distance / max(np.ptp(given, axis=0).max(), 1.0))


def _of_photo(photo: Photo, asked: Asked) -> Request:
    """The request in pixels of what is held of the photo."""
    request, factor = asked.request, photo.factor
    if request.box is not None:
        _check_box(request.box, photo.size)
        request = replace(request, box=request.box / np.float32(factor))
    if asked.skeleton is not None:
        _check_size(asked.skeleton, photo.size)
        joints2d, sigma2d = asked.skeleton.joints2d, asked.skeleton.sigma2d
        request = replace(request, joints2d=joints2d / np.float32(factor))
        request = replace(request, sigma2d=None if sigma2d is None else sigma2d / np.float32(factor))
    return replace(request, photo=photo.pixels, focal=(_focal(asked, photo.size) or photo.focal) / factor)


def _focal(asked: Asked, size: tuple[int, int] | None) -> float:
    """In pixels of the picture at its full size; 0 where nothing is said of it."""
    if asked.lens is not None and size is not None:
        return asked.lens * max(size)
    return (asked.skeleton.focal if asked.skeleton is not None else None) or 0.0


def _check_box(box: np.ndarray, size: tuple[int, int]) -> None:
    x, y, width, height = (float(value) for value in box)
    if x >= size[0] or y >= size[1] or x + width <= 0 or y + height <= 0:
        raise InputError(
            f"The box lies outside the photo, which is {size[0]} x {size[1]} pixels: give X,Y,W,H in it."
        )


def _check_size(skeleton: Skeleton2d, size: tuple[int, int]) -> None:
    if skeleton.size is not None and np.abs(skeleton.size - size).max() > 1.0:
        said, found = (" x ".join(f"{value:g}" for value in pair) for pair in (skeleton.size, size))
        raise InputError(
            f"The 2D skeleton is of a picture of {said} pixels, and this one has {found}: scale its joints."
        )


def _at_full_size(found: Hypotheses, factor: int) -> Hypotheses:
    """From pixels of what is held of a photo to those of the photo."""
    names = ("camera", "joints2d", "given2d", "sigma2d", "box")
    return replace(found, **{name: getattr(found, name) * np.float32(factor) for name in names})
