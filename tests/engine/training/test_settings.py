"""Settings: TOML in, JSON in the checkpoint, one sentence for every mistake."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import hhmr_engine.training.settings as module
from hhmr_engine.training.curriculum import Stage
from hhmr_engine.training.settings import TrainSettings, from_dict, load_settings, to_json


def test_the_settings_that_ship_are_valid() -> None:
    settings = load_settings(Path(module.__file__).with_name("hhmr.toml"))
    assert settings.network.sizes[0] == 208 and settings.steps > 0


def test_a_checkpoint_gives_back_its_settings() -> None:
    settings = from_dict(
        TrainSettings, {"batch": 7, "network": {"widths": [16, 32, 64]}, "masks": {"noise": [1, 2]}}
    )
    assert (
        settings.batch == 7 and settings.network.widths == (16, 32, 64) and settings.masks.noise == (1.0, 2.0)
    )
    assert from_dict(TrainSettings, json.loads(to_json(settings))) == settings


def test_tables_of_names_and_lists_of_tables(tmp_path: Path) -> None:
    text = "[stream.weights]\nglove = 2\n[[curriculum]]\nat = 0.1\nmasks = 0\n[[curriculum]]\nat = 0.5\n"
    (tmp_path / "a.toml").write_text(text)
    settings = load_settings(tmp_path / "a.toml")
    assert settings.stream.weights == {"glove": 2.0}
    assert settings.curriculum == (Stage(at=0.1, masks=0.0), Stage(at=0.5))
    assert from_dict(TrainSettings, json.loads(to_json(settings))) == settings


def test_what_is_left_out_keeps_its_default(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("[optimiser]\nrate = 1\n")
    settings = load_settings(tmp_path / "a.toml")
    assert settings.optimiser.rate == 1.0 and isinstance(settings.optimiser.rate, float)
    assert settings.network == TrainSettings().network


@pytest.mark.parametrize(
    ("toml", "sentence"),
    [
        ("steps = = 3", "is not TOML"),
        ("\x00", "is not TOML"),
        ("speed = 3", "there is no setting 'speed'; known are batch"),
        ("[network]\ndepth = 3", "there is no setting 'network.depth'"),
        ("steps = 'many'", "'steps' must be a int, not 'many'"),
        ("steps = 1.5", "'steps' must be a int"),
        ("steps = true", "'steps' must be a int"),
        ("recordings = 1", "'recordings' must be a bool"),
        ("[optimiser]\nrate = 'fast'", "'optimiser.rate' must be a float"),
        ("network = 3", "'network' must be a table"),
        ("[network]\nsizes = 208", "'network.sizes' must be a list"),
        ("[network]\nsizes = 'many'", "'network.sizes' must be a list"),
        ("[network]\nsizes = [208.5, 52, 13]", "'network.sizes' must be a int"),
        ("[network]\nsizes = [208, 52]", "for every level"),
        ("[network]\npath = 0", "path.steps must be 0"),
        ("[masks]\nnoise = [1.0]", "'masks.noise' must be a list of 2"),
        ("[losses]\ndata_norm = 'l7'", "use huber, l1, l2"),
        ("[losses]\nunit = 'mile'", "use open, one"),
        ("[stream]\nweights = 3", "'stream.weights' must be a table"),
        ("[stream.weights]\nglove = 'much'", "'stream.weights.glove' must be a float"),
        ("[trunk]\nname = 'resnet18'", "trunk.name is 'resnet18'"),
        ("[trunk]\ntrain = true", "trunk.train is for a trunk.name of 'resnet50'"),
        ("[[curriculum]]\nat = 0.5\nviews = 2", "'views' must be from 0 to 1"),
        ("[[curriculum]]\nat = 0.5\n[[curriculum]]\nat = 0.1", "must rise from table to table"),
        ("curriculum = [3]", "'curriculum' must be a table"),
        ("[[curriculum]]\nwhen = 1", "there is no setting 'curriculum.when'"),
        ("[stream]\npool = 10", "stream.pool must be at least 2048"),
        ("[stream]\nrecorded = 0.9\ncrossed = 0.2", "together no more than 1"),
        ("batch = 0", "'batch' must be at least 1"),
        ("steps = -1", "'steps' must be at least 0"),
    ],
)
def test_every_mistake_gets_a_sentence(tmp_path: Path, toml: str, sentence: str) -> None:
    (tmp_path / "a.toml").write_text(toml)
    with pytest.raises(ValueError, match=sentence) as caught:
        load_settings(tmp_path / "a.toml")
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)
