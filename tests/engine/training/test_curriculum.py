"""A curriculum changes evenly between its stages, and the trainer follows it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from hhmr_engine.training.curriculum import Stage, stage_at
from hhmr_engine.training.train import Trainer
from tests.engine.training.run_settings import TINY

STAGES = (Stage(at=0.2, views=0.0, masks=0.0), Stage(at=0.6, views=1.0, masks=0.5))


@pytest.mark.parametrize(
    ("done", "views", "masks"),
    [(0.0, 0.0, 0.0), (0.2, 0.0, 0.0), (0.3, 0.25, 0.125), (0.6, 1, 0.5), (1, 1, 0.5)],
)
def test_between_two_stages_shares_change_evenly(done: float, views: float, masks: float) -> None:
    stage = stage_at(STAGES, done)
    assert (stage.views, stage.masks) == pytest.approx((views, masks))
    assert stage.pictures == 1.0


def test_without_one_everything_applies() -> None:
    assert stage_at((), 0.1) == stage_at((), 1.5) == Stage()


def test_the_trainer_begins_with_full_skeletons_and_no_views() -> None:
    """All that the first stage switches off stays away; later it comes."""
    settings = replace(
        TINY, views=replace(TINY.views, share=1.0), curriculum=(Stage(0, 0, 0, 0), Stage(0.5), Stage(1))
    )
    trainer = Trainer(settings)
    told = []
    (batches,) = trainer.batches.values()
    joints = batches.joints

    def seen(*arguments: object, **options: object) -> object:
        batch = joints(*arguments, **options)  # type: ignore[arg-type]
        told.append(batch.conditions)
        return batch

    batches.joints = seen  # type: ignore[method-assign, assignment]
    kinds = []
    for _ in range(trainer.steps):
        kinds.append(trainer._kind())
        trainer.step()
    assert kinds[0] == "joints" and set(kinds[3:]) == {"view"}
    first = told[0]
    assert torch.isfinite(first.joint_sigma).all() and not first.kept.any()
