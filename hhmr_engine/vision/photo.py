"""Photos as people have them: files of any size, turned, transparent, grey, deep or broken -> upright RGB."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from ..faults import InputError

# Formats that Pillow decodes by itself: no PostScript, no movies.
FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "BMP", "GIF", "TGA", "PPM", "JPEG2000", "AVIF")
MAX_PIXELS = 120_000_000
MIN_SIDE = 16
_HELD = 16_000_000  # pixels; more are averaged down while reading: joints need no more


# EXIF's orientation -> what makes the picture upright.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SWAP_SIDES = {_UPRIGHT[number] for number in (5, 6, 7, 8)}
_ORIENTATION = 0x0112
_EXIF, _FOCAL_35MM = 0x8769, 0xA405
_DIAGONAL_35MM = math.hypot(36, 24)  # millimetres: what CIPA's 35 mm equivalent is in proportion to


@dataclass(frozen=True)
class Photo:
    """An upright RGB picture. Points in it are pixels of the *upright* picture at its full size.

    x right, y down, the corner of the first pixel is (0, 0). EXIF rotation is applied already.
    """

    pixels: NDArray[np.uint8]  # [h, w, 3], what is held
    size: tuple[int, int]  # width and height of the picture
    factor: int = 1  # pixels of the picture for each pixel held, along one side
    focal: float = 0.0  # pixels of the picture, as its camera wrote into the file; 0: it did not

    @cached_property
    def levels(self) -> list[NDArray[np.uint8]]:
        """What is held, and again with 1/2, 1/4... of its side, so that sampling skips no pixel."""
        levels = [self.pixels]
        while min(levels[-1].shape[:2]) >= 2 and max(levels[-1].shape[:2]) > 256:
            levels.append(np.asarray(Image.fromarray(levels[-1]).reduce(2)))
        return levels

    @staticmethod
    def from_pixels(pixels: NDArray[np.uint8], name: str = "The picture") -> Photo:
        """From RGB `[h, w, 3]`. InputError: too small, or too large."""
        height, width = pixels.shape[:2]
        _check_size(name, width, height)
        return _hold(Image.fromarray(np.ascontiguousarray(pixels)), (width, height))


def open_photo(path: Path) -> Photo:
    """Read a photo file; an animated one gives its first frame. InputError: what is wrong, and what to do."""
    if path.is_dir():
        raise InputError(f"{path} is a folder: give the photos in it.")
    try:
        with warnings.catch_warnings():
            # Pillow warns from 89 megapixels on and about odd metadata; what matters is checked here.
            warnings.simplefilter("ignore")
            with Image.open(path, formats=FORMATS) as image:
                _check_size(str(path), *image.size)
                return _read(image)
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"There is no file {path}: check the name.") from None
    except UnidentifiedImageError:
        raise InputError(f"{path} is no picture that can be read: save it as PNG or JPEG.") from None
    except Image.DecompressionBombError:
        raise InputError(f"{path} is too large: shrink it below {MAX_PIXELS // 10**6} megapixels.") from None
    except PermissionError:
        raise InputError(f"{path} may not be read: check its rights.") from None
    except MemoryError:
        raise InputError(f"There is too little memory for {path}: shrink it.") from None
    except Exception as exc:  # noqa: BLE001 every decoder of Pillow has its own faults for damaged files
        reason = " ".join(str(exc).split())[:120] or type(exc).__name__
        raise InputError(f"{path} is damaged ({reason}): save it again as PNG or JPEG.") from exc


def _check_size(name: str, width: int, height: int) -> None:
    if min(width, height) < MIN_SIDE:
        raise InputError(f"{name} has only {width} x {height} pixels: give a larger one.")
    if width * height > MAX_PIXELS:
        raise InputError(
            f"{name} has {width * height / 1e6:.0f} megapixels: shrink it below {MAX_PIXELS // 10**6}."
        )


def _factor(width: int, height: int) -> int:
    return math.ceil(math.sqrt(width * height / _HELD))


def _read(image: Image.Image) -> Photo:
    size = image.size
    if _factor(*size) > 1 and image.format in ("JPEG", "MPO"):
        # Decode at 1/2, 1/4 or 1/8 of the side, no smaller than what is held.
        image.draft(None, (size[0] // _factor(*size), size[1] // _factor(*size)))
    exif = image.getexif()
    orientation = int(exif.get(_ORIENTATION) or 1)
    return replace(_hold(_rgb(image), size, _UPRIGHT.get(orientation)), focal=_focal(exif, size))


def _focal(exif: Image.Exif, size: tuple[int, int]) -> float:
    """Pixels, by the 35 mm equivalent that phones write; 0 where there is none, or no sense in it."""
    try:
        millimetres = float(exif.get_ifd(_EXIF).get(_FOCAL_35MM) or 0)
    except (TypeError, ValueError, ZeroDivisionError):
        return 0.0
    return millimetres / _DIAGONAL_35MM * math.hypot(*size) if 4 <= millimetres <= 1200 else 0.0


def _hold(image: Image.Image, size: tuple[int, int], turn: Image.Transpose | None = None) -> Photo:
    """Average down to what is held, then make upright. `size`: of the picture, before it is turned."""
    decoded = round(size[0] / image.width)
    factor = _factor(*image.size)
    if factor > 1:
        image = image.reduce(factor)
    if turn is not None:
        image = image.transpose(turn)
        if turn in _SWAP_SIDES:
            size = (size[1], size[0])
    return Photo(np.asarray(image), size, decoded * factor)


def _rgb(image: Image.Image) -> Image.Image:
    """8 bit RGB; what is transparent becomes white, deep grey is scaled, not clipped."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _deep_grey(image)
    if image.has_transparency_data:
        colour = image.convert("RGBA")
        white = Image.new("RGBA", colour.size, "white")
        return Image.alpha_composite(white, colour).convert("RGB")
    return image.convert("RGB")


def _deep_grey(image: Image.Image) -> Image.Image:
    """16 and 32 bit: whole numbers above 255 are taken as 16 bit, fractions up to 1 as parts of white."""
    grey = np.nan_to_num(np.asarray(image, np.float32))
    top = float(grey.max())
    if image.mode == "F":
        white = 1.0 if top <= 1 else 255.0 if top <= 255 else 65535.0
    else:
        white = 255.0 if image.mode == "I" and top <= 255 else 65535.0
    grey = np.clip(grey * (255 / white), 0, 255)
    return Image.fromarray(grey.round().astype(np.uint8)).convert("RGB")
