"""`hhmr reconstruct` and `hhmr fit` as a user types them: files, what is in them, and what is no hand."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps

from tests.engine.cli.running import Run, one_sentence
from tests.engine.vision.test_photo import bomb

FEW = ("--method", "gaussian", "-n", "2", "--steps", "4")
WALL = (150, 150, 152)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def load(path: Path) -> dict[str, NDArray]:
    with np.load(path) as data:
        return {name: data[name] for name in data.files}


def projected(data: dict[str, NDArray]) -> NDArray:
    """Joints `[n, 21, 2]` as a Blender camera of that focal length at the origin sees them, in pixels."""
    focal, x, y = data["camera"].astype(float)
    joints = data["joints"].astype(float)
    assert (joints[..., 2] < 0).all()
    return focal * joints[..., :2] / -joints[..., 2:] * (1, -1) + (x, y)


def off(data: dict[str, NDArray]) -> float:
    """Mean distance of the projected joints from those that are known, in parts of the hand's size."""
    known = np.isfinite(data["given2d"]).all(1)
    given = data["given2d"][known]
    return float(np.linalg.norm(projected(data)[:, known] - given, axis=-1).mean() / np.ptp(given, 0).max())


@pytest.fixture
def wide(recorded: list[Path], tmp_path: Path) -> Path:
    """A right and a smaller left hand in one picture of 640 x 480."""
    right, left = Image.open(recorded[10]), ImageOps.mirror(Image.open(recorded[4]))
    picture = Image.new("RGB", (640, 480), WALL)
    picture.paste(right.resize((260, 260)), (40, 120))
    picture.paste(left.resize((220, 220)), (360, 140))
    picture.save(tmp_path / "wide.jpg", quality=95)
    return tmp_path / "wide.jpg"


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_photo_becomes_hands_that_lie_on_what_is_seen(
    hhmr: Run, recorded: list[Path], tmp_path: Path, mirrored: bool
) -> None:
    photo, side = recorded[10], "right"
    if mirrored:
        photo, side = tmp_path / "mirrored.png", "left"
        ImageOps.mirror(Image.open(recorded[10])).save(photo)
    (tmp_path / "out").mkdir()
    code, out, err = hhmr("reconstruct", photo, "--focal", 72, *FEW, "--out", tmp_path / "out" / "x")
    assert (code, err) == (0, "")
    assert out.startswith(f"A {side} hand") and "x.npz" in out
    assert names(tmp_path / "out") == ["x.glb", "x.npz", "x.png"]
    data = load(tmp_path / "out" / "x.npz")
    assert str(data["side"]) == side and len(data["vertices"]) == 2
    assert data["camera"].tolist() == [200, 50, 50] and data["image_size"].tolist() == [100, 100]
    assert off(data) < 0.03
    assert np.abs(projected(data) - data["joints2d"]).max() < 0.05
    assert np.array_equal(data["translation"], data["joints"][:, 0])
    assert data["sigma2d"].shape == (21,) and (data["sigma2d"] > 0).all()
    x, y, width, height = data["box"]
    assert 0 <= x < x + width <= 100 and 0 <= y < y + height <= 101
    with Image.open(tmp_path / "out" / "x.png") as picture:
        picture.load()


def test_every_hand_of_a_photo_or_the_one_that_is_chosen(hhmr: Run, wide: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    code, out, err = hhmr("reconstruct", wide, *FEW, "--out", tmp_path / "out" / "x")
    assert (code, err) == (0, "") and out.count("hand,") == 2
    assert names(tmp_path / "out") == [f"x{k}.{s}" for k in ("", "_hand2") for s in ("glb", "npz", "png")]
    large, small = (load(tmp_path / "out" / f"x{k}.npz") for k in ("", "_hand2"))
    assert (str(large["side"]), str(small["side"])) == ("right", "left")
    assert large["given2d"][:, 0].max() < 320 < small["given2d"][:, 0].min()
    assert hhmr("reconstruct", wide, "--hand", 2, *FEW, "--out", tmp_path / "second")[0] == 0
    assert np.allclose(load(tmp_path / "second.npz")["given2d"], small["given2d"])
    assert not (tmp_path / "second_hand2.npz").exists()
    assert hhmr("reconstruct", wide, "--box", "360,140,220,220", *FEW, "--out", tmp_path / "boxed")[0] == 0
    assert str(load(tmp_path / "boxed.npz")["side"]) == "left"
    code, _, err = hhmr("reconstruct", wide, "--hand", 3, *FEW, "--out", tmp_path / "third")
    assert code == 2 and one_sentence(err) and "2 hands" in err


def test_a_large_photo_is_answered_in_its_own_pixels(hhmr: Run, recorded: list[Path], tmp_path: Path) -> None:
    """32 megapixels, of which less is held: a small hand in a box, and a lens."""
    picture = Image.new("RGB", (8000, 4000), WALL)
    picture.paste(Image.open(recorded[10]).resize((600, 600)), (700, 900))
    picture.save(tmp_path / "large.jpg")
    code, _, err = hhmr(
        "reconstruct", tmp_path / "large.jpg", "--box", "700,900,600,600", "--focal", 50, *FEW,
        "--out", tmp_path / "x",
    )  # fmt: skip
    assert (code, err) == (0, "")
    data = load(tmp_path / "x.npz")
    assert data["camera"] == pytest.approx([8000 * 50 / 36, 4000, 2000], abs=2)
    assert data["image_size"].tolist() == [8000, 4000]
    middle = data["given2d"].mean(0)
    assert np.abs(middle - (1000, 1200)).max() < 120
    assert off(data) < 0.03


def test_palm_sets_the_size_and_with_it_the_distance(hhmr: Run, recorded: list[Path], tmp_path: Path) -> None:
    sizes = {}
    for palm in (60, 120):
        hhmr("reconstruct", recorded[10], "--palm", palm, *FEW, "--out", tmp_path / str(palm))
        joints = load(tmp_path / f"{palm}.npz")["joints"]
        sizes[palm] = np.linalg.norm(joints[:, 9] - joints[:, 0], axis=-1)
        assert sizes[palm] == pytest.approx(palm / 1000, rel=0.25)
    assert np.allclose(sizes[120], 2 * sizes[60], rtol=0.02)


def test_joints_of_a_file_are_fitted_and_the_hidden_ones_completed(
    hhmr: Run, recorded: list[Path], tmp_path: Path
) -> None:
    assert hhmr("reconstruct", recorded[10], *FEW, "--out", tmp_path / "seen")[0] == 0
    given = load(tmp_path / "seen.npz")["given2d"]
    rows = [None if joint in (18, 19, 20) else row for joint, row in enumerate(given.tolist())]
    confidence = [1.0] * 21
    confidence[8] = 0.0
    file = {"joints2d": rows, "image_size": [100, 100], "confidence": confidence, "focal": 120}
    (tmp_path / "joints.json").write_text(json.dumps(file))
    for picture in ((), ("--picture", recorded[10])):
        code, out, err = hhmr(
            "fit", "--joints2d", tmp_path / "joints.json", "--side", "right", *picture, *FEW,
            "--out", tmp_path / "x",
        )  # fmt: skip
        assert (code, err) == (0, "") and out.startswith("2 right hands")
    data = load(tmp_path / "x.npz")
    assert np.flatnonzero(np.isnan(data["given2d"]).any(1)).tolist() == [8, 18, 19, 20]
    assert data["camera"].tolist() == [120, 50, 50]
    assert off(data) < 0.03 and np.isfinite(data["joints2d"]).all()
    code, _, err = hhmr(
        "reconstruct", recorded[10], "--joints2d", tmp_path / "joints.json", *FEW, "--out", tmp_path / "y"
    )
    assert (code, err) == (0, "")
    corrected = load(tmp_path / "y.npz")
    assert np.allclose(corrected["given2d"][0], rows[0]) and corrected["camera"][0] == 120


def test_joints_beside_a_photo_say_which_hand_or_that_there_is_one(
    hhmr: Run, wide: Path, tmp_path: Path
) -> None:
    assert hhmr("reconstruct", wide, "--hand", 2, *FEW, "--out", tmp_path / "second")[0] == 0
    given = load(tmp_path / "second.npz")["given2d"]
    np.savez(tmp_path / "joints.npz", joints2d=given)
    plain = tmp_path / "plain.png"
    Image.new("RGB", (640, 480), WALL).save(plain)
    sides = []
    for photo in (wide, plain):
        code, _, err = hhmr(
            "reconstruct", photo, "--joints2d", tmp_path / "joints.npz", *FEW, "--out", tmp_path / "x"
        )
        assert (code, err) == (0, "")
        data = load(tmp_path / "x.npz")
        sides.append(str(data["side"]))
        assert np.allclose(data["given2d"], given) and off(data) < 0.03
    assert sides[0] == "left"


@pytest.mark.slow
def test_a_folder_is_done_in_one_go_and_goes_on_where_it_stopped(
    hhmr: Run, recorded: list[Path], tmp_path: Path
) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    shutil.copy(recorded[4], photos / "a.jpg")
    Image.open(recorded[10]).save(photos / "a.png")
    Image.open(recorded[11]).convert("CMYK").save(photos / "b_hand2.JPG")
    (photos / "c.jpg").write_bytes(recorded[12].read_bytes()[:900])
    Image.new("RGB", (80, 80), WALL).save(photos / "d.gif")
    (photos / "notes.txt").write_text("not a picture")
    code, text, err = hhmr("reconstruct", photos, *FEW, "--out", out)
    assert code == 3 and text.startswith("3 hands in 3 photos, 2 photos could not be done")
    assert err.count("\n") == 2 and "c.jpg" in err and "damaged" in err and "d.gif: No hand" in err
    lines = [json.loads(line) for line in (out / "report.jsonl").read_text().splitlines()]
    assert [Path(line["photo"]).name for line in lines] == ["a.jpg", "a.png", "b_hand2.JPG", "c.jpg", "d.gif"]
    written = {name for line in lines for hand in line.get("hands", ()) for name in hand["files"]}
    assert written | {"report.jsonl"} == set(names(out)) and len(written) == 9
    assert {"a.npz", "a_png.npz", "b_hand2_JPG.npz"} < written
    for line in lines[:3]:
        (hand,) = line["hands"]
        assert hand["side"] == "right" and 0 < hand["residual"] < 3 and hand["seconds"] > 0
        assert 0 <= hand["box"][0] < 100 and hand["box"][2] > 10
    assert all("error" in line for line in lines[3:])

    before = {name: os.stat(out / name).st_mtime_ns for name in written}
    shutil.copy(recorded[12], photos / "c.jpg")
    (out / "a_png.glb").unlink()
    with (out / "report.jsonl").open("a") as report:
        report.write('{"photo": "half a li')  # as a run that was killed leaves it
    code, text, _ = hhmr("reconstruct", photos, *FEW, "--out", out)
    assert code == 3 and "2 hands in 2 photos, 1 photos" in text and "2 were done before" in text
    changed = {name for name in written if os.stat(out / name).st_mtime_ns != before[name]}
    assert changed == {"a_png.npz", "a_png.glb", "a_png.png"} and (out / "c.npz").exists()
    lines = [json.loads(line) for line in (out / "report.jsonl").read_text().splitlines()]
    assert sorted(Path(line["photo"]).name for line in lines) == sorted(names(photos)[:-1])

    code, text, _ = hhmr("reconstruct", photos / "a.jpg", photos / "a.png", *FEW, "--out", out, "--again")
    assert code == 0 and text.startswith("2 hands in 2 photos: ")
    assert set(names(out)) == written | {"report.jsonl", "c.npz", "c.glb", "c.png"}


def test_ctrl_c_between_photos_keeps_what_is_done(
    hhmr: Run, recorded: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hhmr_engine.engine import Engine

    run, asked = Engine.run, []

    def stop_at_the_second(*args: object) -> object:
        asked.append(args)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return run(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(Engine, "run", stop_at_the_second)
    arguments = ("reconstruct", *recorded[4:6], *FEW, "--out", tmp_path / "out")
    code, _, err = hhmr(*arguments)
    assert code == 130 and one_sentence(err)
    assert len(names(tmp_path / "out")) == 4
    code, text, _ = hhmr(*arguments)
    assert code == 0 and "1 hands in 1 photos, 1 were done before" in text


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with files of every kind that shows no hand, by the names that the tests below use."""
    folder = tmp_path_factory.mktemp("broken")
    Image.new("RGB", (120, 120), WALL).save(folder / "plain.png")
    drawing = Image.new("RGB", (300, 300), "white")
    ImageDraw.Draw(drawing).ellipse((40, 60, 250, 240), outline="black", width=4)
    drawing.save(folder / "drawing.png")
    Image.new("RGB", (1, 1)).save(folder / "dot.png")
    Image.new("L", (20_000, 1)).save(folder / "line.png")
    Image.new("1", (20_000, 20_000)).save(folder / "huge.png")
    (folder / "bomb.png").write_bytes(bomb(60_000, 60_000))
    (folder / "text.jpg").write_text("a text about hands " * 40)
    whole = folder / "truncated.jpg"
    drawing.save(whole)
    whole.write_bytes(whole.read_bytes()[:800])
    frames = [Image.new("RGB", (60, 60), colour) for colour in ("red", "blue")]
    frames[0].save(folder / "animated.gif", save_all=True, append_images=frames[1:])
    Image.new("CMYK", (90, 90)).save(folder / "cmyk.jpg")
    (folder / "empty").mkdir()
    good = [[10.0 * joint, 5.0 * joint % 60] for joint in range(21)]
    files = {
        "good": {"joints2d": good},
        "sized": {"joints2d": good, "image_size": [300, 300]},
        "short": {"joints2d": good[:20]},
        "deep": {"joints2d": [[*row, 1.0] for row in good]},
        "half": {"joints2d": [[1.0, None], *good[1:]]},
        "none": {"joints2d": [None] * 21},
        "three": {"joints2d": [*good[:3], *[None] * 18]},
        "point": {"joints2d": [[5.0, 5.0]] * 21},
        "far": {"joints2d": [[1e30, 0.0], *good[1:]]},
        "confident": {"joints2d": good, "confidence": [1.5] * 21},
        "brief": {"joints2d": good, "confidence": [1.0]},
        "doubtful": {"joints2d": good, "confidence": [0.0] * 21},
        "flat": {"joints2d": good, "image_size": [300, 0]},
        "cubic": {"joints2d": good, "image_size": [300, 300, 3]},
        "lens": {"joints2d": good, "focal": -3},
        "word": {"joints2d": good, "focal": "long"},
    }
    for name, value in files.items():
        (folder / f"{name}.json").write_text(json.dumps(value))
    return folder


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("plain.png",), "No hand"),
        (("drawing.png",), "No hand"),
        (("dot.png",), "1 x 1 pixels"),
        (("line.png",), "20000 x 1 pixels"),
        (("huge.png",), "too large"),
        (("bomb.png",), "too large"),
        (("text.jpg",), "no picture"),
        (("truncated.jpg",), "damaged"),
        (("animated.gif",), "No hand"),
        (("cmyk.jpg",), "No hand"),
        (("missing.jpg",), "no file"),
        (("empty",), "no picture in"),
        (("plain.png", "--box", "500,0,50,50"), "outside"),
        (("plain.png", "--box", "0,0,50,0"), "X,Y,W,H"),
        (("plain.png", "--box", "0,0,50"), "X,Y,W,H"),
        (("plain.png", "--box", "0,0,nan,9"), "X,Y,W,H"),
        (("plain.png", "drawing.png", "--box", "0,0,50,50"), "of one photo"),
        (("plain.png", "drawing.png", "--joints2d", "good.json"), "of one photo"),
        (("plain.png", "--hand", "0"), "1 for the largest"),
        (("plain.png", "--focal", "0"), "above 0"),
        (("plain.png", "--focal", "-35"), "above 0"),
        (("plain.png", "--focal", "inf"), "above 0"),
        (("plain.png", "--sensor", "36"), "--focal"),
        (("plain.png", "--palm", "0"), "above 0"),
        (("plain.png", "--side", "both"), "--side"),
        (("plain.png", "--no-image", "--no-skeleton"), "not allowed"),
        (("plain.png", "-n", "65"), "65 hypotheses"),
        (("plain.png", "--joints2d", "short.json"), "20 x 2"),
        (("plain.png", "--joints2d", "sized.json"), "300 x 300"),
        (("plain.png", "drawing.png", "--out", "text.jpg"), "is a file"),
        (("plain.png", "drawing.png", "--out", "away/x"), "does not exist"),
        (("plain.png", "--out", "away/x"), "does not exist"),
        (("plain.png", "--out", "plain"), "written over"),
        ((".", "--out", "."), "folder of the photos"),
        ((), "PHOTO"),
    ],
)
def test_bad_photos_are_exit_code_2_and_one_sentence(
    hhmr: Run, arguments: tuple[str, ...], says: str, broken: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(broken)
    before = names(broken)
    out = () if "--out" in arguments else ("--out", "x")
    code, text, err = hhmr("reconstruct", *FEW, *out, *arguments)
    assert code == 2, err
    assert one_sentence(err) and says in err, err
    assert text == "" and names(broken) == before


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("missing.json",), "no file"),
        (("text.jpg",), "not json"),
        (("short.json",), "20 x 2"),
        (("deep.json",), "21 x 3"),
        (("half.json",), "give all two"),
        (("none.json",), "No joint"),
        (("three.json",), "joints"),
        (("point.json",), "one point"),
        (("far.json",), "far outside"),
        (("confident.json",), "1.5"),
        (("brief.json",), "21 numbers"),
        (("doubtful.json",), "No joint"),
        (("flat.json",), "width and height"),
        (("cubic.json",), "width and height"),
        (("lens.json",), "focal length in pixels"),
        (("word.json",), "'focal'"),
        (("good.json", "--size", "0,100"), "W,H"),
        (("good.json", "--focal", "35"), "--size"),
        (("good.json", "--picture", "missing.png"), "no file"),
        (("sized.json", "--picture", "plain.png"), "120 x 120"),
        (("sized.json", "--size", "200,300"), "200 x 300"),
        (("good.json", "--picture", "plain.png", "--out", "plain"), "written over"),
    ],
)
def test_bad_skeletons_are_exit_code_2_and_one_sentence(
    hhmr: Run, arguments: tuple[str, ...], says: str, broken: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(broken)
    before = names(broken)
    out = () if "--out" in arguments else ("--out", "x")
    code, text, err = hhmr("fit", "--joints2d", *arguments, *FEW, *out)
    assert code == 2, err
    assert one_sentence(err) and says in err, err
    assert text == "" and names(broken) == before


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_that_may_not_be_read(hhmr: Run, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0)
    code, _, err = hhmr("reconstruct", tmp_path / "locked", *FEW, "--out", tmp_path / "x")
    assert code == 2 and one_sentence(err) and "rights" in err
