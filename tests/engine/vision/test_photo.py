"""Photos of every kind come in upright and in 8 bit RGB; broken ones say why in one sentence."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from hhmr_engine.inputs import InputError
from hhmr_engine.vision.photo import MAX_PIXELS, Photo, open_photo


def gradient(width: int, height: int) -> NDArray[np.uint8]:
    """RGB that differs in every corner: red grows to the right, green downwards."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return np.stack((x, y, np.full_like(x, 60)), -1).astype(np.uint8)


def close(photo: Photo, expected: NDArray, tolerance: int = 6) -> bool:
    difference = np.abs(photo.pixels.astype(int) - expected.astype(int))
    return photo.pixels.shape == expected.shape and bool(difference.max() <= tolerance)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    upright = gradient(64, 40)
    stored = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: np.rot90(a.transpose(1, 0, 2), 2),
        8: lambda a: np.rot90(a, -1),
    }[orientation](upright)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "a.png", exif=exif)
    photo = open_photo(tmp_path / "a.png")
    assert photo.size == (64, 40)
    assert close(photo, upright, 0)


def test_transparent_parts_become_white(tmp_path: Path) -> None:
    rgba = np.dstack((gradient(32, 32), np.full((32, 32), 255, np.uint8)))
    rgba[:16, :, 3] = 0
    Image.fromarray(rgba).save(tmp_path / "a.png")
    pixels = open_photo(tmp_path / "a.png").pixels
    assert (pixels[:16] == 255).all()
    assert (pixels[16:] == rgba[16:, :, :3]).all()


@pytest.mark.parametrize("mode", ["L", "1", "P", "LA", "CMYK", "YCbCr"])
def test_modes(tmp_path: Path, mode: str) -> None:
    """What is light stays light, in every mode that files have."""
    picture = np.full((40, 40, 3), 20, np.uint8)
    picture[:, 20:] = 230
    suffix = {"CMYK": "jpg", "YCbCr": "tif"}.get(mode, "png")
    image = Image.fromarray(picture).convert("RGB").convert(mode)
    image.save(tmp_path / f"a.{suffix}")
    pixels = open_photo(tmp_path / f"a.{suffix}").pixels
    assert pixels.shape == (40, 40, 3)
    assert pixels[:, 2:16].mean() < 40 and pixels[:, 24:].mean() > 210


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bit_grey_is_scaled(tmp_path: Path, suffix: str) -> None:
    deep = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / f"a.{suffix}")
    assert close(open_photo(tmp_path / f"a.{suffix}"), np.repeat((deep // 257)[..., None], 3, 2), 1)


def test_floating_point_grey_is_scaled(tmp_path: Path) -> None:
    Image.fromarray(np.full((20, 20), 0.5, np.float32)).save(tmp_path / "a.tif")
    assert close(open_photo(tmp_path / "a.tif"), np.full((20, 20, 3), 128), 1)


def test_an_animation_gives_its_first_frame(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (30, 30), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert close(open_photo(tmp_path / "a.gif"), np.full((30, 30, 3), (255, 0, 0)), 2)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_a_large_photo_is_held_smaller_and_keeps_its_size(tmp_path: Path, suffix: str) -> None:
    """40 megapixels: a mark lies at the same place of the picture, whatever is held."""
    image = Image.new("L", (8000, 5000), 30)
    image.paste(220, (4000, 3000, 4400, 3400))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / f"a.{suffix}", exif=exif, **({"compress_level": 1} if suffix == "png" else {}))
    photo = open_photo(tmp_path / f"a.{suffix}")
    assert photo.size == (5000, 8000)
    assert photo.pixels.size < 3 * 16_000_000 and photo.factor > 1
    row, column = np.argwhere(photo.pixels[..., 0] > 125).mean(0) * photo.factor
    assert abs(column - (5000 - 3200)) < 2 * photo.factor
    assert abs(row - 4200) < 2 * photo.factor


def test_a_hundred_megapixels(tmp_path: Path) -> None:
    Image.new("RGB", (11648, 8736), (90, 120, 200)).save(tmp_path / "a.jpg")
    photo = open_photo(tmp_path / "a.jpg")
    assert photo.size == (11648, 8736)
    assert np.abs(photo.pixels.astype(int) - (90, 120, 200)).max() < 5


def test_pixels_from_elsewhere() -> None:
    assert Photo.from_pixels(gradient(20, 30)).size == (20, 30)
    with pytest.raises(InputError, match="5 x 30 pixels"):
        Photo.from_pixels(gradient(5, 30))


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it is enormous."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + rows + chunk(b"IEND", b"")


def faulty(folder: Path) -> dict[str, tuple[Path, str]]:
    """Files that are wrong in one way each, and a word of the sentence that must say so."""
    whole = folder / "whole.jpg"
    Image.fromarray(gradient(300, 300)).save(whole)
    contents = {
        "truncated.jpg": (whole.read_bytes()[:2000], "damaged"),
        "text.jpg": (b"This is a text about hands.\n" * 50, "no picture"),
        "empty.png": (b"", "no picture"),
        "movie.mp4": (b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom" + bytes(200), "no picture"),
        "page.ps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\nshowpage\n", "no picture"),
        "bomb.png": (bomb(20_000, 20_000), "too large"),
        "large.png": (bomb(13_000, 10_000), f"below {MAX_PIXELS // 10**6}"),
        "few rows.png": (bomb(500, 500), "damaged"),
    }
    for name, (data, _) in contents.items():
        (folder / name).write_bytes(data)
    Image.new("RGB", (1, 1)).save(folder / "dot.png")
    Image.new("L", (20_000, 1)).save(folder / "line.png")
    files = {name: (folder / name, word) for name, (_, word) in contents.items()}
    return files | {
        "dot.png": (folder / "dot.png", "1 x 1"),
        "line.png": (folder / "line.png", "20000 x 1 "),
        "missing.png": (folder / "missing.png", "no file"),
        "a folder": (folder, "folder"),
    }


@pytest.mark.parametrize(
    "name",
    [
        "truncated.jpg",
        "text.jpg",
        "empty.png",
        "movie.mp4",
        "page.ps",
        "bomb.png",
        "large.png",
        "few rows.png",
    ]
    + ["dot.png", "line.png", "missing.png", "a folder"],
)
def test_bad_files_get_one_sentence(tmp_path: Path, name: str) -> None:
    path, word = faulty(tmp_path)[name]
    with pytest.raises(InputError) as caught:
        open_photo(path)
    sentence = str(caught.value)
    assert str(path) in sentence and word in sentence
    assert sentence.endswith(".") and "\n" not in sentence and ": " in sentence.removeprefix(str(path))


@pytest.mark.parametrize(("written", "degrees"), [(26, 79.5), (85, 28.6), (0, None), (None, None)])
def test_a_phones_lens_is_read_from_its_file(
    tmp_path: Path, written: int | None, degrees: float | None
) -> None:
    """As an angle over the picture's diagonal, in whatever direction it was held."""
    exif = Image.Exif()
    exif[0x0112] = 6
    if written is not None:
        exif.get_ifd(0x8769)[0xA405] = written
    Image.new("RGB", (400, 300)).save(tmp_path / "a.jpg", exif=exif)
    focal = open_photo(tmp_path / "a.jpg").focal
    if degrees is None:
        assert focal == 0
    else:
        assert 2 * np.degrees(np.arctan(250 / focal)) == pytest.approx(degrees, abs=0.1)
