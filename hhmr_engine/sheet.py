"""Contact sheet: every hypothesis from the palm's and from the back's side, best first, in one picture.

A condition shows: given vertices are clay, what the engine added is skin, given joints are dots that shine
through. Drawn by our own rasteriser (portrait.py); pillow writes the letters.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from .portrait import CLAY, DOT, SKIN, Colour, arrange, paint

if TYPE_CHECKING:
    from .engine import Hypotheses

_VIEWS = ((28.0, 10.0), (208.0, 10.0))  # yaw and pitch in degrees
_ONE_VIEW_ABOVE = 16  # hands
_VIEW = (232, 304)  # pixels, width and height of one view of one hand
_LABEL, _HEADER, _MARGIN = 44, 64, 20
_PAPER: Colour = (233, 232, 229)
_CARD: Colour = (245, 244, 242)
_INK: Colour = (40, 42, 46)
_GREY: Colour = (122, 124, 128)
_BAR: Colour = (214, 212, 208)


@dataclass(frozen=True)
class Given:
    """What the user gave, as the second layer: joints `[21, 3]` (NaN unknown), kept vertices `[V]` bool."""

    joints: NDArray | None = None
    kept: NDArray | None = None


def contact_sheet(found: Hypotheses, given: Given = Given()) -> Image.Image:
    """One picture of all hypotheses, best first."""
    count = len(found.vertices)
    views = _VIEWS if count <= _ONE_VIEW_ABOVE else _VIEWS[:1]
    card = (len(views) * _VIEW[0], _VIEW[1] + _LABEL)
    columns = _columns(count, card)
    rows = math.ceil(count / columns)
    width = max(columns * (card[0] + _MARGIN) + _MARGIN, 640)
    sheet = Image.new("RGB", (width, _HEADER + rows * (card[1] + _MARGIN)), _PAPER)
    draw = ImageDraw.Draw(sheet)
    _write_header(draw, found, given, width)

    mirrored = found.side == "left"
    scene = arrange(found.vertices, found.joints, found.faces, given.joints, mirrored, views, _VIEW)
    for k in range(count):
        left = _MARGIN + (k % columns) * (card[0] + _MARGIN)
        top = _HEADER + (k // columns) * (card[1] + _MARGIN)
        draw.rectangle((left, top, left + card[0] - 1, top + card[1] - 1), _CARD)
        for v in range(len(views)):
            picture = paint(scene, k, v, given.kept, _CARD)
            sheet.paste(Image.fromarray(picture), (left + v * _VIEW[0], top))
        _write_label(draw, found, k, left + 14, top + _VIEW[1], card[0] - 28)
    return sheet


def sheet_png(found: Hypotheses, given: Given = Given()) -> bytes:
    """The contact sheet as the bytes of a PNG file."""
    buffer = io.BytesIO()
    contact_sheet(found, given).save(buffer, "PNG", compress_level=4)
    return buffer.getvalue()


def _columns(count: int, card: tuple[int, int]) -> int:
    """How many cards stand side by side: few empty places, near the shape of a screen."""

    def cost(columns: int) -> float:
        rows = math.ceil(count / columns)
        shape = columns * card[0] / (rows * card[1])
        return abs(math.log(shape / 1.8)) + 3.0 * (columns * rows - count) / count

    return min(range(1, min(count, 10) + 1), key=cost)


def _write_header(draw: ImageDraw.ImageDraw, found: Hypotheses, given: Given, width: int) -> None:
    count = len(found.vertices)
    title = f"{count} {'hypothesis' if count == 1 else 'hypotheses'}"
    title_font, small = _font(24), _font(15)
    draw.text((_MARGIN, 18), title, _INK, title_font)
    start = _MARGIN + draw.textlength(title, title_font) + 14
    draw.text((start, 25), f"{found.side} hand, seed {found.seed}, best first", _GREY, small)
    entries: list[tuple[Colour, str]] = []
    if given.joints is not None:
        entries.append((DOT, "given joint"))
    if given.kept is not None:
        entries += [(CLAY, "kept"), (SKIN, "completed")]
    end = float(width - _MARGIN)
    for colour, text in reversed(entries):
        end -= draw.textlength(text, small)
        draw.text((end, 25), text, _INK, small)
        draw.ellipse((end - 20, 27, end - 7, 40), colour)
        end -= 36


def _write_label(
    draw: ImageDraw.ImageDraw, found: Hypotheses, k: int, left: int, top: int, width: int
) -> None:
    """Rank, score as a bar and a number, and the two figures behind it."""
    score = float(found.score[k])
    draw.text((left, top + 4), str(k + 1), _INK, _font(22))
    start = left + 40
    draw.rectangle((start, top + 14, start + 90, top + 19), _BAR)
    if score > 0.0:
        draw.rectangle((start, top + 14, start + 90 * min(score, 1.0), top + 19), _INK)
    draw.text((start + 100, top + 7), f"{score:.2f}", _INK, _font(15))
    facts = [f"{float(found.self_intersection[k]):.1f} % crossing"]
    residual = 1000.0 * float(found.residual[k])
    if residual > 0.0:
        facts.insert(0, f"{residual:.2f} mm off")
    text = ", ".join(facts)
    font = _font(14)
    if draw.textlength(text, font) > width - 190:
        text = facts[0]
    draw.text((left + width, top + 8), text, _GREY, font, anchor="ra")


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
