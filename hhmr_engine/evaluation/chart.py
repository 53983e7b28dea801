"""Line charts with pillow alone: the curves of docs/results.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from .curves import Curve

SCALE = 3  # drawn so much larger and then shrunk, for smooth lines
PANEL = (520, 360)
FRAME = (64, 44, 20, 52)  # left, top, right, bottom of the plot in a panel
PAPER, INK, GREY, GRID = (255, 255, 255), (40, 42, 46), (110, 112, 118), (225, 226, 228)
COLOURS = {"network": (196, 84, 32), "gaussian": (40, 104, 140)}
NAMES = {"network": "network", "gaussian": "Gaussian"}


@dataclass(frozen=True)
class Line:
    name: str
    colour: tuple[int, int, int]
    dashed: bool
    x: Sequence[float]
    y: Sequence[float]


def draw_curves(curves: dict[str, dict[str, Curve]], path: Path) -> None:
    """Both curves side by side as a PNG. curves: "missing" | "noise" -> method -> Curve."""
    panels = (
        ("missing", "Share of the joints missing, %", 100.0),
        ("noise", "Noise of all joints, mm", 1.0),
    )
    picture = Image.new("RGB", (2 * PANEL[0] * SCALE, PANEL[1] * SCALE), PAPER)
    for i, (key, label, unit) in enumerate(panels):
        lines = [
            Line(f"{NAMES[m]}, {what}", COLOURS[m], dashed, [unit * x for x in curve.x], values)
            for m, curve in curves[key].items()
            for what, dashed, values in (("mean of 8", False, curve.mean), ("one draw", True, curve.sample))
        ]
        _panel(ImageDraw.Draw(picture), i * PANEL[0] * SCALE, label, lines)
    picture.resize((2 * PANEL[0], PANEL[1]), Image.Resampling.LANCZOS).save(path, optimize=True)


def _panel(draw: ImageDraw.ImageDraw, shift: int, label: str, lines: list[Line]) -> None:
    left, top, right, bottom = (SCALE * v for v in FRAME)
    width, height = PANEL[0] * SCALE - left - right, PANEL[1] * SCALE - top - bottom
    finite = [v for line in lines for v in line.y if v == v]
    x_top = max(max(line.x) for line in lines) or 1.0
    step = _step(max(finite, default=1.0))
    y_top = step * -(-max(finite, default=1.0) // step)

    def place(x: float, y: float) -> tuple[float, float]:
        return shift + left + width * x / x_top, top + height * (1 - y / y_top)

    small, large = (ImageFont.load_default(size * SCALE) for size in (12, 13))
    for k in range(round(y_top / step) + 1):
        start, end = place(0, k * step), place(x_top, k * step)
        draw.line((start, end), GRID, SCALE)
        draw.text((start[0] - 8 * SCALE, start[1]), f"{k * step:g}", GREY, small, "rm")
    for x in lines[0].x:
        draw.text((place(x, 0)[0], top + height + 8 * SCALE), f"{x:.0f}", GREY, small, "mt")
    draw.text((shift + left + width / 2, top + height + 28 * SCALE), label, INK, large, "mt")
    draw.text((shift + left - 40 * SCALE, top - 30 * SCALE), "PA-MPVPE, mm", INK, large, "lt")
    for k, line in enumerate(lines):
        points = [place(x, y) for x, y in zip(line.x, line.y) if y == y]
        _stroke(draw, points, line.colour, line.dashed)
        y = top + (8 + 18 * k) * SCALE
        key = shift + left + 14 * SCALE
        _stroke(draw, [(key, y), (key + 26 * SCALE, y)], line.colour, line.dashed)
        draw.text((key + 34 * SCALE, y), line.name, INK, small, "lm")


def _stroke(
    draw: ImageDraw.ImageDraw, points: list[tuple[float, float]], colour: tuple[int, int, int], dashed: bool
) -> None:
    dash = 6 * SCALE
    for (x0, y0), (x1, y1) in zip(points, points[1:]):
        length = max(1.0, ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5)
        pieces = int(length // dash) or 1
        for k in range(pieces):
            if dashed and k % 2:
                continue
            a, b = k / pieces, (k + 1) / pieces
            draw.line(
                (x0 + a * (x1 - x0), y0 + a * (y1 - y0), x0 + b * (x1 - x0), y0 + b * (y1 - y0)),
                colour,
                2 * SCALE,
            )
    if not dashed:
        r = 3 * SCALE
        for x, y in points:
            draw.ellipse((x - r, y - r, x + r, y + r), colour)


def _step(top: float) -> float:
    """A round distance between grid lines, four to eight of them."""
    for step in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0):
        if top / step <= 8:
            return step
    return 50.0
