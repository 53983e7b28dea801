"""Pickles as data: what numpy, scipy and chumpy wrote is read, and nothing that is hostile runs."""

from __future__ import annotations

import copyreg
import io
import pickle
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse

from hhmr_engine.hand.mano_file import read_mano
from hhmr_engine.hand.pickled import MAX_BYTES, read_pickle
from hhmr_engine.hand.pickled_arrays import array_of
from tests.engine.hand import python2_pickle
from tests.engine.hand.hostile_pickles import resting, running

NOWHERE = Path("canary")


def refused(path: Path) -> str:
    """What is said of a file: one sentence that names it and ends with what to do."""
    with pytest.raises(ValueError) as caught:
        read_mano(path)
    sentence = str(caught.value)
    assert sentence.startswith(f"{path.name} is no model of MANO (") and "\n" not in sentence
    assert sentence.endswith("): give MANO_RIGHT.pkl as its makers publish it.") and sentence.isprintable()
    assert len(sentence) < 250
    return sentence


@pytest.mark.parametrize("name", running(NOWHERE))
def test_what_would_run_does_not_run(name: str, tmp_path: Path) -> None:
    canary, path = tmp_path / "canary", tmp_path / "MANO_RIGHT.pkl"
    raw, part = running(canary)[name]
    path.write_bytes(raw)
    assert part in refused(path)
    assert not canary.exists()


@pytest.mark.parametrize("name", running(NOWHERE))
def test_it_does_run_in_the_reader_of_python(name: str, tmp_path: Path) -> None:
    """Else the test above would show nothing."""
    canary, path = tmp_path / "canary", tmp_path / "hostile.pkl"
    path.write_bytes(running(canary)[name][0])
    read = "import pickle, sys, time; pickle.load(open(sys.argv[1], 'rb'))"
    subprocess.run([sys.executable, "-c", f"{read}; time.sleep(0.2)", str(path)], capture_output=True)
    assert canary.exists()


@pytest.mark.parametrize("name", resting())
def test_what_is_too_much_or_no_pickle_gets_a_sentence(name: str, tmp_path: Path) -> None:
    path = tmp_path / "MANO_RIGHT.pkl"
    raw, part = resting()[name]
    path.write_bytes(raw)
    tracemalloc.start()
    assert part in refused(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 50e6


def test_an_extension_that_is_registered_here_is_not_used(tmp_path: Path) -> None:
    """Python's reader keeps them in a table beside its names, and asks nobody."""
    path = tmp_path / "MANO_RIGHT.pkl"
    path.write_bytes(b"\x80\x02\x82\xf0.")
    copyreg.add_extension("os", "getcwd", 0xF0)
    try:
        assert callable(pickle.loads(path.read_bytes()))
        assert "registry of extensions" in refused(path)
    finally:
        copyreg.remove_extension("os", "getcwd", 0xF0)


def test_a_file_of_a_hundred_megabytes_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "MANO_RIGHT.pkl"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    assert "larger than the 64 MB" in refused(path)


@pytest.mark.parametrize(
    ("members", "part"),
    [
        ({"../../v_template.npy": np.zeros((778, 3))}, "has no v_template"),
        ({"v_template.npy": np.array([{}], object)}, "something else than numbers"),
        ({"v_template.npy": np.zeros(3)}, "its v_template is 3, not 778x3"),
        ({"v_template.npy": b"\x93NUMPY\x01\x00\xff"}, "no model of MANO"),
        ({"v_template.npy": b"hello"}, "no model of MANO"),
    ],
)
def test_hostile_zips(members: dict[str, np.ndarray | bytes], part: str, tmp_path: Path) -> None:
    path = tmp_path / "MANO_RIGHT.npz"
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(name, content if isinstance(content, bytes) else _npy(content))
    assert part in refused(path)
    assert [p.name for p in tmp_path.iterdir()] == ["MANO_RIGHT.npz"]


def test_a_zip_cannot_claim_or_unfold_more_than_a_hand_takes(tmp_path: Path) -> None:
    path = tmp_path / "MANO_RIGHT.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("v_template.npy", bytes(MAX_BYTES + 1))
    assert path.stat().st_size < 1e5 and "larger than a hand" in refused(path)
    stream = io.BytesIO()
    claim = {"descr": "<f8", "fortran_order": False, "shape": (10**12, 3)}
    np.lib.format.write_array_header_1_0(stream, claim)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("v_template.npy", stream.getvalue() + bytes(24))
    assert "bytes do not fill its shape" in refused(path)
    path.write_bytes(b"PK\x03\x04" + bytes(100))
    assert "damaged" in refused(path)


def _npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


ARRAYS = {
    "numbers": np.linspace(-1, 1, 12).reshape(3, 4),
    "columns": np.asfortranarray(np.linspace(-1, 1, 12).reshape(3, 4)),
    "single": np.arange(6, dtype=np.float32),
    "big-endian": np.arange(6, dtype=">f8"),
    "whole": np.array([[2**32 - 1, 0], [0, 1]], np.uint32),
    "flags": np.array([True, False]),
    "empty": np.zeros((0, 3)),
}


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_of_python_3_come_back(name: str, protocol: int) -> None:
    found = read_pickle(pickle.dumps({"x": ARRAYS[name], "more": [1, "ä", None, 2.5]}, protocol))
    np.testing.assert_array_equal(array_of(found["x"]), ARRAYS[name])
    assert found["more"] == [1, "ä", None, 2.5]


@pytest.mark.parametrize("protocol", [0, 2])
@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_and_terms_of_python_2_come_back(name: str, protocol: int) -> None:
    array = ARRAYS[name]
    terms = {"x": array, "ch": python2_pickle.chumpy(array), "text": "lbs", "n": -3, "y": (None, True, 0.5)}
    found = read_pickle(python2_pickle.dumps(terms, protocol))
    for key in ("x", "ch"):
        np.testing.assert_array_equal(array_of(found[key]), array)
    assert (found["text"], found["n"], found["y"]) == ("lbs", -3, (None, True, 0.5))


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("kind", [scipy.sparse.csc_matrix, scipy.sparse.csr_matrix])
def test_sparse_matrices_come_back(kind: type, protocol: int) -> None:
    dense = np.array([[0, 1.5, 0, 2], [0, 0, 0, 0], [3, 0, 0, -1]])
    np.testing.assert_array_equal(array_of(read_pickle(pickle.dumps(kind(dense), protocol))), dense)
    old = python2_pickle.dumps(python2_pickle.csc(dense), protocol if protocol in (0, 2) else 2)
    np.testing.assert_array_equal(array_of(read_pickle(old)), dense)


def test_a_choice_of_a_term_comes_back() -> None:
    array = np.arange(24.0).reshape(2, 3, 4)
    chosen = np.arange(24).reshape(2, 3, 4)[..., :2]
    term = python2_pickle.selected(array, chosen.ravel(), (2, 3, 2))
    np.testing.assert_array_equal(array_of(read_pickle(python2_pickle.dumps(term))), array[..., :2])
