"""The stream of training hands: nothing held out, the same for the same seed, in the palm frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from hhmr_engine.data.hands import CHUNK, HandStream, StreamSettings
from hhmr_engine.data.joint_fit import Calibration
from hhmr_engine.data.pose_chunks import Ahead, PoseChunks
from hhmr_engine.data.retarget import Retargeted
from hhmr_engine.hand.dof import DOF_NAMES, LIMITS
from hhmr_engine.hand.frame import palm_targets
from hhmr_engine.hand.template import HandTemplate, load_template

# Two open hands: one in the frames of the training split, the other in those that are held out.
PIP = DOF_NAMES.index("index_pip_flex")
TRAINED, HELD_OUT = np.zeros((2, 24), np.float32)
TRAINED[PIP], HELD_OUT[PIP] = 0.3, -0.2


@pytest.fixture(scope="module")
def template() -> HandTemplate:
    return load_template()


def recording(name: str, frames: int) -> Retargeted:
    """Half of the frames is for training; the others are held out in every way there is."""
    split = np.array(["train", "test", "train", "validation", "train", "gap"] * frames)
    angles, count = np.where((split == "train")[:, None], TRAINED, HELD_OUT), len(split)
    return Retargeted(
        name=name,
        angles=angles,
        clear=angles,
        is_clear=np.ones(count, bool),
        calibration=Calibration(np.ones(20), np.zeros((20, 3)), np.zeros((2, 3)), 1.0),
        joints=np.full((count, 21, 3), np.nan),
        residual_mm=np.zeros(count),
        split=split,
        group=split,
    )


def _stream(template: HandTemplate, seed: int = 0, **changes: Any) -> HandStream:
    settings = StreamSettings(recorded=0.5, crossed=0.0, jitter=0.0, **changes)
    return HandStream(template, [recording("long", 60), recording("short", 2)], settings, seed)


def test_held_out_frames_never_enter(template: HandTemplate) -> None:
    stream = _stream(template)
    assert [len(source) for source in stream.make.sources] == [180, 6]
    assert all((source == TRAINED).all() for source in stream.make.sources)
    stream.poses(1)
    recorded = stream.pool[stream.source >= 0].numpy()
    assert len(recorded) >= CHUNK
    np.testing.assert_allclose(recorded, np.broadcast_to(TRAINED, recorded.shape), atol=1e-6)
    assert not np.isclose(stream.pool.numpy(), HELD_OUT, atol=1e-3).all(1).any()


def test_a_short_source_counts_as_much_as_a_long_one(template: HandTemplate) -> None:
    stream = _stream(template)
    stream.poses(1)
    shares = np.bincount(stream.source[stream.source >= 0], minlength=2)
    assert 0.8 < shares[0] / shares[1] < 1.25


def test_the_same_seed_gives_the_same_hands_and_goes_on_where_it_was(template: HandTemplate) -> None:
    one, other, third = _stream(template, 3), _stream(template, 3), _stream(template, 4)
    assert torch.equal(one.next(5), other.next(5))
    assert not torch.equal(one.next(5), third.next(5))
    again = _stream(template, 3)
    again.restore(one.state())
    assert torch.equal(again.next(5), one.next(5))


def test_it_goes_on_to_the_next_renewal_too(template: HandTemplate) -> None:
    """What is owed to the pool belongs to the state: both renew it after as many hands, by the same poses."""
    one, other = _stream(template, 3, refresh=1.0), _stream(template, 3, refresh=1.0)
    one.poses(1)
    one.poses(CHUNK - 10)
    other.restore(one.state())
    before = one.pool
    assert all(torch.equal(a, b) for a, b in zip(one.poses(20), other.poses(20), strict=True))
    assert torch.equal(one.pool, other.pool) and len(one.pool) == len(before) + CHUNK


def test_hands_with_random_numbers_of_their_own_leave_the_pool_alone(template: HandTemplate) -> None:
    """So that slices of a batch can be made in any order, by anybody."""
    stream = _stream(template)
    stream.advance(1)
    before = stream.pool

    def hands(seed: int) -> torch.Tensor:
        return stream.next(40, torch.Generator().manual_seed(seed))

    first, second = hands(1), hands(2)
    assert torch.equal(hands(1), first) and not torch.equal(first, second)
    assert stream.pool is before


def test_a_source_is_drawn_from_by_its_weight(template: HandTemplate) -> None:
    stream = _stream(template, weights={"long": 3.0})
    stream.advance(1)
    shares = np.bincount(stream.source[stream.source >= 0], minlength=2)
    assert 2.4 < shares[0] / shares[1] < 3.8
    alone = _stream(template, weights={"long": 0.0})
    assert len(alone.make.sources) == len(alone.lengths) == 1


@pytest.mark.parametrize("field", ["left_out", "weights"])
def test_a_source_that_is_not_there_is_named(template: HandTemplate, field: str) -> None:
    with pytest.raises(ValueError, match=f"stream.{field} names other; there are long, short"):
        _stream(template, **{field: {"other": 1.0}})


def test_chunks_made_in_the_background_are_the_same(template: HandTemplate) -> None:
    settings = StreamSettings(crossed=0.3)
    chunks = PoseChunks(template, [], settings, 7)
    ahead = Ahead(chunks, workers=1, stride=2)
    try:
        for number in (1, 3):
            ours, theirs = chunks(number), ahead(number)
            assert np.array_equal(ours.angles, theirs.angles)
            assert np.array_equal(ours.source, theirs.source)
    finally:
        ahead.close()
    assert not np.array_equal(chunks(0).angles[:5], chunks(1).angles[:5])


def test_the_pool_is_renewed_and_bounded(template: HandTemplate) -> None:
    stream = _stream(template, pool=2 * CHUNK + 100, refresh=1.0)
    stream.poses(3 * CHUNK)
    before = stream.pool.clone()
    stream.poses(CHUNK)
    assert len(stream.pool) == len(stream.source) == 2 * CHUNK + 100
    assert (stream.pool != before).any()
    pool = stream.pool.numpy()
    assert (pool >= LIMITS[:, 0] - 0.2).all() and (pool <= LIMITS[:, 1] + 0.2).all()


def test_hands_stand_in_the_palm_frame_with_proportions_of_their_own(template: HandTemplate) -> None:
    vertices = _stream(template).next(64).numpy()
    joints = template.regressor @ vertices
    targets = palm_targets(template)
    palm = [0, 5, 9, 13, 17]
    assert np.abs(joints[:, palm].mean(0) - targets[palm]).max() < 0.1
    index = np.linalg.norm(joints[:, 6] - joints[:, 5], axis=1)
    assert 0.05 < index.std() / index.mean() < 0.3


def test_nodes_alone_are_the_same_hands(template: HandTemplate) -> None:
    one, other = _stream(template, 5), _stream(template, 5)
    nodes, joints = one.next_nodes(6)
    vertices = other.next(6)
    whole = vertices[:, torch.from_numpy(template.nodes).long()]
    assert (nodes - whole).abs().max() < 0.02  # of 45 mm; the palm frame is found from the nodes alone
    assert (joints - torch.from_numpy(template.regressor) @ vertices).norm(dim=-1).mean() < 0.02


@pytest.mark.parametrize(
    "settings",
    [{"pool": 100}, {"recorded": 0.8, "crossed": 0.5}, {"crossed": -0.1}, {"weights": {"a": -1.0}}],
)
def test_shares_that_cannot_be_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="stream"):
        StreamSettings(**settings)
