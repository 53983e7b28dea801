"""JSON files that are too large to be held as Python objects: read row by row, or item by item."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from .annotated import damaged

CHUNK = 1 << 22
_OPEN, _CLOSE = b"[]"
_BLANK = " \t\r\n"


class JsonRows:
    """A list of arrays of numbers, such as FreiHAND's vertices, of which only single rows are decoded.

    Holds 16 bytes a row. ValueError, one sentence: the file is missing, or no such list.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        begins, ends, depth, low, at = [], [], 0, 0, 0
        for chunk in _chunks(path):
            brackets = np.flatnonzero((chunk == _OPEN) | (chunk == _CLOSE))
            opens = chunk[brackets] == _OPEN
            level = depth + np.cumsum(np.where(opens, 1, -1))
            begins.append(at + brackets[opens & (level == 2)])
            ends.append(at + brackets[~opens & (level == 1)] + 1)
            if len(level):
                depth, low = int(level[-1]), min(low, int(level.min()))
            at += len(chunk)
        self._begin, self._end = np.concatenate([[], *begins]), np.concatenate([[], *ends])
        if depth or low < 0 or not at or len(self._begin) != len(self._end):
            raise damaged(path)

    def __len__(self) -> int:
        return len(self._begin)

    def raw(self, row: int) -> bytes:
        with self.path.open("rb") as file:
            file.seek(int(self._begin[row]))
            return file.read(int(self._end[row] - self._begin[row]))

    def __getitem__(self, row: int) -> np.ndarray:
        """The row's numbers, float64."""
        try:
            return np.array(json.loads(self.raw(row)), np.float64)
        except (ValueError, TypeError) as exc:
            raise damaged(self.path) from exc

    def holds(self, count: int) -> np.ndarray:
        """[rows] bool: which have `count` numbers, all finite, as far as is seen without decoding."""
        good = np.zeros(len(self), bool)
        with self.path.open("rb") as file:
            for row, (begin, end) in enumerate(zip(self._begin, self._end)):
                file.seek(int(begin))
                raw = file.read(int(end - begin))
                # NaN, Infinity and null have an n, and numbers have none.
                good[row] = raw.count(b",") == count - 1 and b"n" not in raw and b"N" not in raw
        return good


def _chunks(path: Path) -> Iterator[np.ndarray]:
    try:
        with path.open("rb") as file:
            while data := file.read(CHUNK):
                yield np.frombuffer(data, np.uint8)
    except OSError as exc:
        raise ValueError(f"{path} cannot be read ({exc.strerror or exc}): unpack the dataset again.") from exc


def stream_lists(path: Path) -> Iterator[tuple[str, Any]]:
    """(name, item) of every item of every list in a JSON object, one item held at a time.

    ValueError, one sentence: the file is missing or damaged. What is no list is left out.
    """
    try:
        with path.open(encoding="utf-8") as file:
            yield from _Reader(file).lists()
    except OSError as exc:
        raise ValueError(f"{path} cannot be read ({exc.strerror or exc}): unpack the dataset again.") from exc
    except (ValueError, IndexError) as exc:
        raise damaged(path) from exc


class _Reader:
    """A window of text that moves along a file."""

    def __init__(self, file: TextIO) -> None:
        self.file, self.text, self.at = file, "", 0
        self.decoder = json.JSONDecoder()

    def lists(self) -> Iterator[tuple[str, Any]]:
        self._take("{")
        while self._peek() != "}":
            name = self._value()
            self._take(":")
            if self._peek() == "[":
                self._take("[")
                if self._peek() != "]":
                    yield name, self._value()
                while self._peek() == ",":
                    self._take(",")
                    yield name, self._value()
                self._take("]")
            else:
                self._value()
            if self._peek() == ",":
                self._take(",")

    def _more(self) -> bool:
        """Another chunk behind what is left of the window."""
        chunk = self.file.read(CHUNK)
        self.text, self.at = self.text[self.at :] + chunk, 0
        return bool(chunk)

    def _peek(self) -> str:
        """The next character that is no blank; IndexError at the end of the file."""
        while True:
            while self.at < len(self.text) and self.text[self.at] in _BLANK:
                self.at += 1
            if self.at < len(self.text) or not self._more():
                return self.text[self.at]

    def _take(self, character: str) -> None:
        if self._peek() != character:
            raise ValueError
        self.at += 1

    def _value(self) -> Any:
        self._peek()
        while True:
            try:
                value, end = self.decoder.raw_decode(self.text, self.at)
                # What ends with the window may go on behind it.
                if end < len(self.text) or not self._more():
                    self.at = end
                    return value
            except json.JSONDecodeError:
                if not self._more():
                    raise
