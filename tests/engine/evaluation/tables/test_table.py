"""What every table shares: how it reads, what was asked of it, and who may judge which source."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tqdm import tqdm

from hhmr_engine.engine import Engine
from hhmr_engine.evaluation.pca import PcaSettings, pca_engine
from hhmr_engine.evaluation.tables.catalogue import POSES, TABLES
from hhmr_engine.evaluation.tables.contenders import EXACT, Contenders
from hhmr_engine.evaluation.tables.table import Check, Context, Table, as_markdown, at_least, at_most
from hhmr_engine.evaluation.tables.weights import left_out, parameters
from hhmr_engine.faults import InputError
from hhmr_engine.hand.template import load_template
from hhmr_engine.model.checkpoint import save_network
from hhmr_engine.training.settings import TrainSettings, from_dict, to_json
from hhmr_engine.training.sources import data_cache
from tests.engine.small_network import small_network


def weights_without(folder: Path, *sources: str) -> Path:
    """A weight file whose training left these sources out."""
    settings = from_dict(TrainSettings, {"stream": {"left_out": list(sources)}})
    path = folder / f"{'_'.join(sources) or 'all'}.safetensors"
    save_network(path, small_network(), load_template(), shift=3.0, training=to_json(settings))
    return path


def context(engine: Engine, **others: Path) -> Context:
    return Context(engine, Path(), None, True, tqdm(disable=True), others)


def test_a_table_reads_as_markdown() -> None:
    checks = [at_most("error", 1.5, 2.0), at_least("recall", 0.7, 0.8), at_most("unknown", math.nan, 1.0)]
    assert [c.holds for c in checks] == [True, False, None]
    made = Table("t", "A title", ("", "hands", "mm"), [("ours", "12", 1.234), ("none", "", math.nan)], checks)
    lines = as_markdown(made).splitlines()
    assert lines[0] == "### A title" and "| ours | 12 | 1.23 |" in lines and "| none |  |  |" in lines
    assert "| error | <= 2 | 1.50 | yes |" in lines and "| recall | >= 0.8 | 0.70 | **no** |" in lines
    assert "| unknown | <= 1 |  |  |" in lines and not any(line.startswith("-") for line in lines)
    shown = Table("t", "A title", ("",), [("x",)], [], ["a note"], {"a.png": b""})
    assert as_markdown(shown, "folder/").endswith("- a note\n\n![A title](folder/a.png)")


def test_a_source_is_judged_only_by_weights_that_left_it_out(engine: Engine, tmp_path: Path) -> None:
    fold, seen = weights_without(tmp_path, "dex", "glove"), weights_without(tmp_path)
    assert left_out(fold) == ("dex", "glove") and left_out(seen) == ()
    made = context(engine, fold_a=fold, fold_b=seen)  # whatever it is called: its header decides
    assert set(made.judges) == {"dex", "glove"} and made.judges["dex"].weights == fold
    assert context(engine, both=seen).judges == {}


def test_other_weights_come_with_the_hand_beside_them(engine: Engine, tmp_path: Path) -> None:
    """A source is judged by a network and a Gaussian that both never saw it."""
    hand = load_template()
    hand = replace(hand, basis_variance=1.5 * hand.basis_variance)
    path = tmp_path / "fold.safetensors"
    hand.save(path.with_suffix(".npz"))
    save_network(path, small_network(), load_template(path.with_suffix(".npz")), shift=3.0)
    other = context(engine, fold=path).other("fold")
    assert other is not None
    other.network()  # which would refuse another hand's weights
    ratio = pca_engine(other, PcaSettings()).prior.variance / pca_engine(engine, PcaSettings()).prior.variance
    torch.testing.assert_close(ratio, torch.full_like(ratio, 1.5), atol=1e-3, rtol=0)


def test_kinematics_know_no_more_sources_than_the_judge(
    engine: Engine, tmp_path: Path, data_root: Path
) -> None:
    """Bones of recorded hands turn about other axes: a prior without recordings has heard of none."""
    made = replace(context(engine), data=data_root, cache=data_cache())
    names = [recording.name for recording in made.recordings]
    judge = Engine(weights=weights_without(tmp_path, *names), threads=1)
    contenders = Contenders(made)
    contenders.inverse_kinematics(EXACT, judge)
    offsets = {sources: hands[1] for sources, hands in contenders.poses.items()}
    assert not offsets[tuple(names)].any() and offsets[()].any()


def test_other_weights_are_loaded_once_and_no_weights_are_a_sentence(engine: Engine, tmp_path: Path) -> None:
    path = weights_without(tmp_path)
    made = context(engine, graph=path)
    assert made.other("graph") is made.other("graph") and made.other("attention") is None
    assert parameters(path) == sum(p.numel() for p in small_network().state_dict().values())
    (tmp_path / "bad.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError, match="holds no weights"):
        left_out(tmp_path / "bad.safetensors")
    with pytest.raises(InputError, match="no recordings"):
        _ = made.recordings


def test_every_table_has_its_place_in_the_results() -> None:
    document = (Path(__file__).parents[4] / "docs" / "results.md").read_text(encoding="utf-8")
    for name in TABLES:
        markers = f"<!-- table {name} -->", f"<!-- end table {name} -->"
        assert all(document.count(marker) == 1 for marker in markers), name
    assert set(POSES) == {"poses"}


def test_a_check_of_numpys_numbers_holds_as_one_of_pythons() -> None:
    assert at_most("x", float(np.float64(1)), 1.0) == Check("x", 1.0, "<= 1", True)


def test_a_share_of_the_hands_is_between_few_and_all(engine: Engine) -> None:
    some = context(engine)
    assert some.size(100, 4) == 4  # quick
    some.quick = False
    assert some.size(100, 4) == 100
    some.share = 0.125
    assert some.size(100, 4) == 13
    assert some.size(10, 4) == 4
