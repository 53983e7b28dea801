"""How the error falls with the hands seen: what `hhmr train --evaluate` notes, drawn and in a table.

    python -m benchmarks.scaling runs/hhmr [MORE ...] [--write]

A folder may be followed by +N: the hands that the weights it began with had seen before. With --write the
picture goes to docs/scaling.png and the table into docs/results.md.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from hhmr_engine.evaluation.report import number, table, write_between
from hhmr_engine.training.progress import LINES

DOCS = Path(__file__).resolve().parents[1] / "docs"
KEY_ROOM = 1.8  # above the curves, for what they are
SCALE = 3  # drawn so much larger and then shrunk, for smooth lines
PANEL, FRAME = (520, 380), (64, 48, 24, 56)  # FRAME: left, top, right, bottom of the plot in a panel
PAPER, INK, GREY, GRID = (255, 255, 255), (40, 42, 46), (110, 112, 118), (225, 226, 228)
COLOURS = ((196, 84, 32), (40, 104, 140), (120, 120, 126))


@dataclass(frozen=True)
class Point:
    """A line of progress.jsonl: hands seen in all, and what was measured."""

    run: str
    hands: int
    line: dict[str, Any]

    def loss(self, kind: str) -> float:
        """Geometric mean over the noise levels."""
        values = list(self.line["loss"][kind].values())
        return math.exp(sum(map(math.log, values)) / len(values))


@dataclass(frozen=True)
class Curve:
    name: str
    points: list[tuple[float, float]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("runs", nargs="+", metavar="RUN[+N]", help="folders of runs, in their order")
    parser.add_argument("--out", type=Path, default=Path("scaling.png"), help="default scaling.png")
    parser.add_argument("--write", action="store_true", help="write into docs/")
    arguments = parser.parse_args()
    points = [point for run in arguments.runs for point in read(run)]
    if not points:
        parser.error(f"no line of {LINES} in these folders: train with --evaluate.")
    draw(points, DOCS / "scaling.png" if arguments.write else arguments.out)
    text = as_markdown(points)
    print(text)
    if arguments.write:
        write_between(DOCS / "results.md", "scaling", f"{text}\n\n![Error against hands seen](scaling.png)")


def read(run: str) -> list[Point]:
    folder, _, before = run.partition("+")
    path = Path(folder) / LINES
    if not path.exists():
        return []
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    seen = int(before or 0)
    return [Point(Path(folder).name, seen + sum(line["hands"].values()), line) for line in lines]


def as_markdown(points: Sequence[Point]) -> str:
    head = (
        *("run", "million hands", "hours", "loss, 3D", "loss, 2D", "PA-MPVPE of the first draw, mm"),
        *("energy score, three fingers hidden, mm", "of the Gaussian's"),
    )
    rows = [
        (
            point.run,
            f"{point.hands / 1e6:.2f}",
            f"{point.line['seconds'] / 3600:.1f}",
            f"{point.loss('joints'):.4f}",
            f"{point.loss('view'):.4f}",
            number(point.line["pa_mpvpe_mm"]),
            number(point.line["energy_mm"]),
            f"{point.line['energy_ratio']:.3f}",
        )
        for point in points
    ]
    slopes = [
        f"{what} {_slope(curve):+.3f}"
        for what, curve in (("3D", _loss(points, "joints")), ("2D", _loss(points, "view")))
        if len(curve.points) > 1
    ]
    said = f"Exponent of the loss in the number of hands: {', '.join(slopes)}.\n\n" if slopes else ""
    return said + table(head, rows)


def _loss(points: Sequence[Point], kind: str) -> Curve:
    name = {"joints": "3D skeletons and meshes", "view": "2D skeletons"}[kind]
    return Curve(name, [(float(point.hands), point.loss(kind)) for point in points])


def _slope(curve: Curve) -> float:
    """Of the straight line through log y against log x."""
    x, y = ([math.log(point[i]) for point in curve.points] for i in (0, 1))
    mx, my = sum(x) / len(x), sum(y) / len(y)
    spread = sum((a - mx) ** 2 for a in x)
    return sum((a - mx) * (b - my) for a, b in zip(x, y)) / spread if spread else math.nan


def draw(points: Sequence[Point], path: Path) -> None:
    """Losses, and errors of whole hands: two panels, both axes logarithmic."""

    def errors(name: str, field: str) -> Curve:
        return Curve(name, [(float(point.hands), point.line[field]) for point in points])

    panels = (
        ("Loss, parts of what the Gaussian leaves open", [_loss(points, "joints"), _loss(points, "view")]),
        (
            "Error on validation hands, mm",
            [
                errors("energy score, three fingers hidden", "energy_mm"),
                errors("PA-MPVPE of the first draw, full skeleton", "pa_mpvpe_mm"),
                errors("energy score of the Gaussian", "gaussian_energy_mm"),
            ],
        ),
    )
    picture = Image.new("RGB", (2 * PANEL[0] * SCALE, PANEL[1] * SCALE), PAPER)
    for i, (title, curves) in enumerate(panels):
        _panel(ImageDraw.Draw(picture), i * PANEL[0] * SCALE, title, curves)
    picture.resize((2 * PANEL[0], PANEL[1]), Image.Resampling.LANCZOS).save(path, optimize=True)


def _panel(draw: ImageDraw.ImageDraw, shift: int, title: str, curves: list[Curve]) -> None:
    left, top, right, bottom = (SCALE * v for v in FRAME)
    width, height = PANEL[0] * SCALE - left - right, PANEL[1] * SCALE - top - bottom
    x_range, y_range = (
        _range([p[i] for c in curves for p in c.points], room) for i, room in ((0, 1.1), (1, KEY_ROOM))
    )

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            shift + left + width * _share(x, x_range),
            top + height * (1 - _share(y, y_range)),
        )

    small, large = (ImageFont.load_default(size * SCALE) for size in (12, 13))
    for y in _marks(*y_range):
        draw.line((place(x_range[0], y), place(x_range[1], y)), GRID, SCALE)
        draw.text((shift + left - 8 * SCALE, place(x_range[0], y)[1]), f"{y:g}", GREY, small, "rm")
    for x in _marks(*x_range):
        draw.line((place(x, y_range[0]), place(x, y_range[1])), GRID, SCALE)
        draw.text((place(x, y_range[0])[0], top + height + 8 * SCALE), f"{x / 1e6:g}", GREY, small, "mt")
    middle = shift + left + width / 2
    draw.text((middle, top + height + 30 * SCALE), "Hands seen, million", INK, large, "mt")
    draw.text((shift + left - 44 * SCALE, top - 32 * SCALE), title, INK, large, "lt")
    for k, (curve, colour) in enumerate(zip(curves, COLOURS)):
        at = [place(*point) for point in curve.points]
        draw.line(at, colour, 2 * SCALE)
        for x, y in at:
            draw.ellipse((x - 3 * SCALE, y - 3 * SCALE, x + 3 * SCALE, y + 3 * SCALE), colour)
        y = top + (8 + 18 * k) * SCALE
        key = shift + left + width - 260 * SCALE
        draw.line((key, y, key + 26 * SCALE, y), colour, 2 * SCALE)
        draw.text((key + 34 * SCALE, y), curve.name, INK, small, "lm")


def _range(values: list[float], room: float) -> tuple[float, float]:
    """With room above, a quarter of the axis at least where there is any (for the key); never empty."""
    low, high = min(values) / 1.1, max(values)
    return low, high * (room if room < KEY_ROOM else max(room, (high / low) ** (1 / 3)))


def _share(value: float, bounds: tuple[float, float]) -> float:
    low, high = map(math.log, bounds)
    return (math.log(value) - low) / (high - low)


def _marks(low: float, high: float) -> list[float]:
    """Round numbers between, evenly spread where the axis is logarithmic."""
    many = high / low < 12
    steps = (1, 1.5, 2, 3, 4, 5, 6, 8) if many else (1, 2, 5)
    first = math.floor(math.log10(low))
    found = [m * 10.0**e for e in range(first, first + 12) for m in steps]
    return [v for v in found if low <= v <= high]


if __name__ == "__main__":
    main()
