"""Contact sheets that the tables make: draws of one request, and cases with the truth beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageDraw

from ...portrait import CLAY, DOT, SKIN, arrange, paint
from ...request import Hypotheses
from ...sheet import CARD, GREY, INK, LABEL, MARGIN, PAPER, VIEW, Given, contact_sheet, letters, png_bytes

FRONT = ((28.0, 10.0),)
TITLE = 64
SMALLER = 0.75  # of a sheet's size: many pictures go into the document


@dataclass(frozen=True)
class Case:
    """One hand: its truth (None: not known), what of it was given, what was answered; all in one frame."""

    caption: str
    vertices: np.ndarray | None  # [V,3]
    joints: np.ndarray  # [21,3] of the truth; NaN where not known
    answers: np.ndarray  # [k,V,3]
    answer_joints: np.ndarray  # [k,21,3]
    given: np.ndarray | None = None  # [21,3] joints, NaN = unknown
    kept: np.ndarray | None = None  # [V] bool


def sheet_of(found: Hypotheses, given: Given = Given()) -> bytes:  # noqa: B008 frozen
    """The engine's own contact sheet as PNG bytes, best first."""
    order = np.argsort(-found.score, kind="stable")
    return _png(contact_sheet(_rows(found, order), given))


def _rows(found: Hypotheses, rows: np.ndarray) -> Hypotheses:
    names = ("vertices", "joints", "residual", "self_intersection", "score", "draw")
    return replace(found, **{name: getattr(found, name)[rows] for name in names})


def worst_of(found: Hypotheses, rows: np.ndarray, title: str, captions: Sequence[str]) -> bytes:
    """Some hypotheses, each with what is wrong with it."""
    chosen = _rows(found, rows)
    scene = arrange(chosen.vertices, chosen.joints, chosen.faces, None, False, FRONT, VIEW)
    cards = [[(paint(scene, k, 0, None, CARD), captions[k])] for k in range(len(rows))]
    half = -(-len(cards) // 2)
    return _png(_grid([sum(cards[:half], []), sum(cards[half:], [])], title, []))


def cases_sheet(cases: Sequence[Case], faces: np.ndarray, title: str) -> bytes:
    """A row for every case, at one scale: the truth first, then the answers."""
    keys = [(DOT, "given joint")] if any(case.given is not None for case in cases) else []
    if any(case.kept is not None for case in cases):
        keys = [*keys, (CLAY, "kept"), (SKIN, "completed")]
    return _png(_grid([_cards(case, faces) for case in cases], title, keys))


def _cards(case: Case, faces: np.ndarray) -> list[tuple[np.ndarray, str]]:
    vertices, joints = case.answers, case.answer_joints
    labels = [str(k + 1) for k in range(len(vertices))]
    if case.vertices is None:
        labels[0] = f"1; {case.caption}"
    else:
        vertices = np.concatenate([case.vertices[None], vertices])
        joints = np.concatenate([case.joints[None], joints])
        labels = [f"truth: {case.caption}", *labels]
    scene = arrange(vertices, joints, faces, case.given, False, FRONT, VIEW)
    return [(paint(scene, k, 0, case.kept, CARD), label) for k, label in enumerate(labels)]


def _grid(
    rows: list[list[tuple[np.ndarray, str]]], title: str, keys: list[tuple[tuple[int, int, int], str]]
) -> Image.Image:
    columns = max(len(row) for row in rows)
    wide, high = VIEW[0] + MARGIN, VIEW[1] + LABEL + MARGIN
    sheet = Image.new("RGB", (max(columns * wide + MARGIN, 640), TITLE + len(rows) * high), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, 18), title, INK, letters(24))
    small, end = letters(15), float(sheet.width - MARGIN)
    for colour, text in reversed(keys):
        end -= draw.textlength(text, small)
        draw.text((end, 25), text, INK, small)
        draw.ellipse((end - 20, 27, end - 7, 40), colour)
        end -= 36
    for r, row in enumerate(rows):
        for c, (picture, caption) in enumerate(row):
            left, top = MARGIN + c * wide, TITLE + r * high
            draw.rectangle((left, top, left + VIEW[0] - 1, top + VIEW[1] + LABEL - 1), CARD)
            sheet.paste(Image.fromarray(picture), (left, top))
            draw.text(
                (left + 12, top + VIEW[1] + 4), _wrapped(draw, caption, VIEW[0] - 20), GREY, letters(14)
            )
    return sheet


def _wrapped(draw: ImageDraw.ImageDraw, text: str, width: int) -> str:
    """Over two lines where one is too short."""
    words, lines = text.split(), [""]
    for word in words:
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and draw.textlength(longer, letters(14)) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return "\n".join(lines[:2])


def _png(sheet: Image.Image) -> bytes:
    size = (round(sheet.width * SMALLER), round(sheet.height * SMALLER))
    return png_bytes(sheet.resize(size, Image.Resampling.LANCZOS))
