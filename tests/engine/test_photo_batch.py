"""Which photos are done, and what their files are called: never as another's, and never over a photo."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hhmr_engine.faults import InputError
from hhmr_engine.inputs import paths_of
from hhmr_engine.photo_batch import Report, photo_files


def touch(*paths: Path) -> list[Path]:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return list(paths)


def test_folders_give_their_pictures_and_no_photo_comes_twice(tmp_path: Path) -> None:
    touch(*(tmp_path / name for name in ("b.JPG", "a.png", "notes.txt", "c.mp4", "deeper/d.jpg")))
    odd = touch(tmp_path / "photo.dat")[0]
    given = [tmp_path, odd, tmp_path / "a.png", tmp_path / "deeper", tmp_path / "missing.jpg"]
    names = [path.name for path in photo_files(given)]
    assert names == ["a.png", "b.JPG", "photo.dat", "d.jpg", "missing.jpg"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no picture"):
        photo_files([tmp_path / "empty"])


def test_no_two_photos_share_a_file(tmp_path: Path) -> None:
    photos = touch(
        *(
            tmp_path / name
            for name in ("x/a.jpg", "x/a.png", "y/a.jpg", "y/A.jpg", "z/y/a.jpg", "x/a_hand2.jpg")
        )
    )
    bases = Report(tmp_path / "out").bases(photos)
    assert [bases[photo].name for photo in photos[:3]] == ["a", "a_png", "a_jpg"]
    assert len({base.name.lower() for base in bases.values()}) == len(photos)
    assert bases[photos[-1]].name != "a_hand2"  # which are the files of the second hand in a.jpg
    assert {base.parent for base in bases.values()} == {tmp_path / "out"}


def test_no_photo_is_written_over(tmp_path: Path) -> None:
    photos = touch(tmp_path / "a.png", tmp_path / "b.jpg", tmp_path / "b_jpg.png")
    bases = Report(tmp_path).bases(photos)
    written = {path for base in bases.values() for path in paths_of(base).values()}
    assert not written & set(photos)


def test_names_stay_as_the_report_has_them(tmp_path: Path) -> None:
    first, second = touch(tmp_path / "x" / "a.jpg", tmp_path / "w" / "a.jpg")
    report = Report(tmp_path / "out")
    files = [f"{report.bases([first])[first].name}{suffix}" for suffix in (".npz", ".glb", ".png")]
    report.add({"photo": str(first), "hands": [{"files": files}]})
    assert not report.is_done(first)
    touch(*(tmp_path / "out" / name for name in files))
    again = Report(tmp_path / "out")
    assert again.is_done(first) and not again.is_done(second)
    bases = again.bases([second, first])
    assert bases[first].name == "a" and bases[second].name != "a"


def test_a_photo_has_one_line_however_often_it_is_done(tmp_path: Path) -> None:
    photo = tmp_path / "a.jpg"
    for seconds in (1, 2, 3):
        report = Report(tmp_path)
        report.restart([photo])
        report.add({"photo": str(photo), "seconds": seconds, "hands": []})
    (line,) = (tmp_path / "report.jsonl").read_text().splitlines()
    assert json.loads(line)["seconds"] == 3


def test_lines_that_are_none_are_passed_over(tmp_path: Path) -> None:
    lines = ('{"photo": "/a.jpg", "error": "x"}', "[1]", '"word"', "{}", '{"photo": 3', "")
    (tmp_path / "report.jsonl").write_text("\n".join(lines))
    assert list(Report(tmp_path).lines) == ["/a.jpg"]
