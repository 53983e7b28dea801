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

from .portrait import CLAY, DOT, SKIN, Colour, Scene, arrange, paint

if TYPE_CHECKING:
    from .engine import Hypotheses

_VIEWS = ((28.0, 10.0), (208.0, 10.0))  # yaw and pitch in degrees
_ONE_VIEW_ABOVE = 16  # hands
VIEW = (232, 304)  # pixels, width and height of one view of one hand
LABEL, HEADER, MARGIN = 44, 64, 20
PAPER: Colour = (233, 232, 229)
CARD: Colour = (245, 244, 242)
INK: Colour = (40, 42, 46)
GREY: Colour = (122, 124, 128)
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
    card = (len(views) * VIEW[0], VIEW[1] + LABEL)
    columns = columns_for(count, card)
    rows = math.ceil(count / columns)
    width = max(columns * (card[0] + MARGIN) + MARGIN, 640)
    sheet = Image.new("RGB", (width, HEADER + rows * (card[1] + MARGIN)), PAPER)
    draw = ImageDraw.Draw(sheet)
    entries: list[tuple[Colour, str]] = [] if given.joints is None else [(DOT, "given joint")]
    if given.kept is not None:
        entries += [(CLAY, "kept"), (SKIN, "completed")]
    write_header(draw, found, entries, width)

    mirrored = found.side == "left"
    scene = arrange(found.vertices, found.joints, found.faces, given.joints, mirrored, views, VIEW)
    paste_cards(sheet, found, scene, given.kept, HEADER, columns)
    return sheet


def sheet_png(found: Hypotheses, given: Given = Given()) -> bytes:
    """The contact sheet as the bytes of a PNG file."""
    return png_bytes(contact_sheet(found, given))


def png_bytes(sheet: Image.Image) -> bytes:
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", compress_level=4)
    return buffer.getvalue()


def paste_cards(
    sheet: Image.Image, found: Hypotheses, scene: Scene, kept: NDArray | None, top: int, columns: int
) -> None:
    """A card for each hypothesis, of all its views in the scene, from `top` on down (in place)."""
    draw = ImageDraw.Draw(sheet)
    views = scene.points.shape[1]
    width, height = views * VIEW[0], VIEW[1] + LABEL
    for k in range(len(found.vertices)):
        left = MARGIN + (k % columns) * (width + MARGIN)
        upper = top + (k // columns) * (height + MARGIN)
        draw.rectangle((left, upper, left + width - 1, upper + height - 1), CARD)
        for v in range(views):
            picture = paint(scene, k, v, kept, CARD)
            sheet.paste(Image.fromarray(picture), (left + v * VIEW[0], upper))
        _write_label(draw, found, k, left + 14, upper + VIEW[1], width - 28)


def columns_for(count: int, card: tuple[int, int]) -> int:
    """How many cards stand side by side: few empty places, near the shape of a screen."""

    def cost(columns: int) -> float:
        rows = math.ceil(count / columns)
        shape = columns * card[0] / (rows * card[1])
        return abs(math.log(shape / 1.8)) + 3.0 * (columns * rows - count) / count

    return min(range(1, min(count, 10) + 1), key=cost)


def write_header(
    draw: ImageDraw.ImageDraw, found: Hypotheses, entries: list[tuple[Colour, str]], width: int
) -> None:
    """How many hands of which side, and at the right what each colour means."""
    count = len(found.vertices)
    title = f"{count} {'hypothesis' if count == 1 else 'hypotheses'}"
    title_font, small = letters(24), letters(15)
    draw.text((MARGIN, 18), title, INK, title_font)
    start = MARGIN + draw.textlength(title, title_font) + 14
    draw.text((start, 25), f"{found.side} hand, seed {found.seed}, best first", GREY, small)
    end = float(width - MARGIN)
    for colour, text in reversed(entries):
        end -= draw.textlength(text, small)
        draw.text((end, 25), text, INK, small)
        draw.ellipse((end - 20, 27, end - 7, 40), colour)
        end -= 36


def _write_label(
    draw: ImageDraw.ImageDraw, found: Hypotheses, k: int, left: int, top: int, width: int
) -> None:
    """Rank, score as a bar and a number, and the two figures behind it."""
    score = float(found.score[k])
    draw.text((left, top + 4), str(k + 1), INK, letters(22))
    start, bar = left + 40, 90 if width > VIEW[0] else 24
    draw.rectangle((start, top + 14, start + bar, top + 19), _BAR)
    if score > 0.0:
        draw.rectangle((start, top + 14, start + bar * min(score, 1.0), top + 19), INK)
    draw.text((start + bar + 10, top + 7), f"{score:.2f}", INK, letters(15))
    facts = [f"{float(found.self_intersection[k]):.1f} % crossing"]
    residual = 1000.0 * float(found.residual[k])
    if residual > 0.0:
        facts.insert(0, f"{residual:.2f} mm off")
    text = ", ".join(facts)
    small = letters(14)
    if draw.textlength(text, small) > width - 190:
        text = facts[0]
    draw.text((left + width, top + 8), text, GREY, small, anchor="ra")


def letters(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
