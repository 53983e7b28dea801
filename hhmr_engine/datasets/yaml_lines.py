"""The little of YAML that DexYCB's calibrations and descriptions use: nested names, lists, scalars."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .annotated import damaged


def read_yaml(path: Path) -> dict[str, Any]:
    """Names -> scalars, lists or such again; ValueError with one sentence for anything else."""
    try:
        lines = _joined([line.rstrip() for line in path.read_text().splitlines()])
        value, rest = _block(lines, 0)
    except OSError as exc:
        raise ValueError(f"{path} cannot be read ({exc.strerror or exc}): unpack the dataset again.") from exc
    except (UnicodeDecodeError, IndexError, ValueError) as exc:
        raise damaged(path) from exc
    if rest or not isinstance(value, dict):
        raise damaged(path)
    return value


def _joined(lines: list[str]) -> list[str]:
    """Without blank lines and comments, and lists in brackets on one line."""
    joined: list[str] = []
    for line in lines:
        if not line.strip() or line.lstrip().startswith("#") or line.strip() == "---":
            continue
        if joined and joined[-1].count("[") > joined[-1].count("]"):
            joined[-1] += " " + line.strip()
        else:
            joined.append(line)
    return joined


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _block(lines: list[str], indent: int) -> tuple[Any, list[str]]:
    """What the lines from here on with at least this indent are, and the lines behind them."""
    if lines and lines[0].lstrip().startswith("- "):
        items = []
        while lines and _indent(lines[0]) == indent and lines[0].lstrip().startswith("- "):
            items.append(_scalar(lines[0].lstrip()[2:]))
            lines = lines[1:]
        return items, lines
    names: dict[str, Any] = {}
    while lines and _indent(lines[0]) == indent and not lines[0].lstrip().startswith("- "):
        name, colon, text = lines[0].strip().partition(":")
        if not colon:
            raise ValueError(lines[0])
        lines = lines[1:]
        if text.strip():
            names[name] = _scalar(text)
        elif lines and (_indent(lines[0]) > indent or lines[0].lstrip().startswith("- ")):
            names[name], lines = _block(lines, _indent(lines[0]))
        else:
            names[name] = None
    return names, lines


def _scalar(text: str) -> Any:
    text = text.strip()
    if text.startswith("["):
        if not text.endswith("]"):
            raise ValueError(text)
        return [_scalar(part) for part in text[1:-1].split(",") if part.strip()]
    if text[:1] in "'\"" and len(text) > 1:
        return text[1:-1]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
