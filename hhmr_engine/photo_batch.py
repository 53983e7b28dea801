"""Many photos in one go: which files they are, what theirs are called, and a report by which a run goes on.

The report has a line of JSON for each photo: `photo`, `seconds` and `hands`, each with `side`, `box` (x, y,
width, height), `residual` (per cent of the hand's size), `seconds` and `files`; or `photo` and `error`.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from itertools import chain, count
from pathlib import Path
from typing import Any

from .export import write_files
from .faults import InputError
from .inputs import SUFFIXES, paths_of
from .picture_files import Asked, Run, contents, hands_in_photo, residual_2d
from .request import RequestError
from .vision.photo import open_photo

PICTURES = (
    *(".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp"),
    *(".gif", ".tga", ".ppm", ".pgm", ".jp2", ".avif"),
)
REPORT = "report.jsonl"

# Faults that another photo would meet as well.
_OF_ALL = {"no_weights", "bad_weights", "wrong_topology", "bad_request", "too_many"}

_OTHER_HAND = re.compile(r"_hand\d+$")  # in the names of files of all but a photo's largest hand

Line = dict[str, Any]


class Report:
    """A folder of results and its report.

    A line counts while the files that it names are there; of two lines of a photo the later one does.
    """

    def __init__(self, folder: Path) -> None:
        """InputError: the folder can't be made, or what is there is no report."""
        self.path = folder / REPORT
        if folder.exists() and not folder.is_dir():
            raise InputError(f"{folder} is a file: give a folder to --out, for all photos.")
        if not folder.parent.is_dir():
            raise InputError(f"The folder {folder.parent} does not exist: make it, or give another --out.")
        self.lines: dict[str, Line] = {}
        try:
            text = self.path.read_text("utf-8") if self.path.exists() else ""
        except (OSError, UnicodeDecodeError) as exc:
            raise InputError(f"{self.path} cannot be read ({exc}): give another folder to --out.") from exc
        for row in text.splitlines():
            try:
                line = json.loads(row)
                self.lines[line["photo"]] = line
            except (ValueError, TypeError, KeyError):
                continue  # what was being written when a run was stopped

    def is_done(self, photo: Path) -> bool:
        line = self.lines.get(str(photo.resolve()), {})
        files = [name for hand in line.get("hands", []) for name in hand["files"]]
        return bool(files) and all((self.path.parent / name).is_file() for name in files)

    def restart(self, photos: list[Path]) -> None:
        """Forget the lines of these photos."""
        for photo in photos:
            self.lines.pop(str(photo.resolve()), None)
        if self.path.exists():
            rows = "".join(json.dumps(line) + "\n" for line in self.lines.values())
            write_files({self.path: rows.encode()})

    def add(self, line: Line) -> None:
        self.path.parent.mkdir(exist_ok=True)
        self.lines[line["photo"]] = line
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def bases(self, photos: list[Path]) -> dict[Path, Path]:
        """What each photo's files are called: as in the report, or after it, and never as another's.

        Two photos may have one stem, and one may lie where another's picture would be written.
        """
        folder = self.path.parent
        inputs = {photo.resolve() for photo in photos}
        names = {
            photo: line["hands"][0]["files"][0].removesuffix(SUFFIXES[0])
            for photo, line in self.lines.items()
            if line.get("hands")
        }
        taken = {name.lower() for name in names.values()}

        def is_free(name: str) -> bool:
            files = paths_of(folder / name).values()
            return not (
                name.lower() in taken
                or _OTHER_HAND.search(name)
                or inputs & {file.resolve() for file in files}
            )

        result = {}
        for photo in photos:
            key, stem = str(photo.resolve()), photo.stem
            if key not in names:
                candidates = (stem, f"{stem}_{photo.suffix[1:]}", f"{photo.resolve().parent.name}_{stem}")
                numbered = (f"{stem}_{number}" for number in count(2))
                names[key] = next(name for name in chain(candidates, numbered) if is_free(name))
                taken.add(names[key].lower())
            result[photo] = folder / names[key]
        return result


def photo_files(given: list[Path]) -> list[Path]:
    """The files that are given and the pictures in the folders that are given, each once.

    InputError: a folder that may not be read, or has no picture.
    """
    files: dict[Path, Path] = {}
    for path in given:
        for file in _pictures_in(path) if path.is_dir() else [path]:
            files.setdefault(file.resolve(), file)
    return list(files.values())


def _pictures_in(folder: Path) -> list[Path]:
    try:
        found = [path for path in folder.iterdir() if path.suffix.lower() in PICTURES and path.is_file()]
    except OSError as exc:
        raise InputError(f"The folder {folder} cannot be read ({exc.strerror}): check its rights.") from exc
    if not found:
        raise InputError(f"There is no picture in {folder}: give a folder with JPEG or PNG files.")
    return sorted(found)


def reconstruct_photo(run: Run, path: Path, asked: Asked, base: Path) -> Line:
    """Write the files of all hands in a photo, all or none; the line of the report.

    Of the largest hand they are called `base`, of others `base_hand2` and so on.
    """
    started = time.perf_counter()
    photo = open_photo(path)
    found, faults = hands_in_photo(run, photo, asked)
    files: dict[Path, bytes] = {}
    hands = []
    for k, hand in enumerate(found):
        assert hand.box is not None
        paths = paths_of(base if k == 0 else base.with_name(f"{base.name}_hand{k + 1}"))
        files |= contents(hand, paths, photo, photo.size)
        hands.append(
            {
                "side": hand.side,
                "box": [round(float(value), 1) for value in hand.box],
                "residual": round(residual_2d(hand), 2),
                "seconds": round(hand.seconds, 3),
                "files": [path.name for path in paths.values()],
            }
        )
    base.parent.mkdir(exist_ok=True)
    write_files(files)
    line: Line = {"photo": str(path.resolve()), "seconds": round(time.perf_counter() - started, 3)}
    return line | {"hands": hands} | ({"failed": faults} if faults else {})


def reconstruct_photos(
    run: Run, photos: list[Path], asked: Asked, report: Report, explain: Callable[[Exception], str]
) -> Iterator[Line]:
    """Do one photo after the other and give its line of the report, where it is written already.

    A photo's fault becomes its `error`, by `explain`, and does not stop the rest. RequestError: a fault that
    all photos would have; OSError: a file can't be written.
    """
    bases = report.bases(photos)
    report.restart(photos)
    for photo in photos:
        try:
            line = reconstruct_photo(run, photo, asked, bases[photo])
        except OSError:
            raise
        except Exception as exc:  # noqa: BLE001 what is wrong with one photo is not with the next
            if isinstance(exc, RequestError) and exc.code in _OF_ALL:
                raise
            line = {"photo": str(photo.resolve()), "error": explain(exc)}
        report.add(line)
        yield line
