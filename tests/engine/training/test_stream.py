"""The stream of training hands: nothing held out, the same for the same seed, in the palm frame."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hhmr_engine.data.hands import CHUNK, HandStream, StreamSettings
from hhmr_engine.data.joint_fit import Calibration
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


def _recording(name: str, frames: int) -> Retargeted:
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


def _stream(template: HandTemplate, seed: int = 0, **changes: float) -> HandStream:
    settings = StreamSettings(recorded=0.5, crossed=0.0, jitter=0.0, **changes)
    return HandStream(template, [_recording("long", 60), _recording("short", 2)], settings, seed)


def test_held_out_frames_never_enter(template: HandTemplate) -> None:
    stream = _stream(template)
    assert [len(source) for source in stream.sources] == [180, 6]
    assert all((source == TRAINED).all() for source in stream.sources)
    stream.poses(1)
    recorded = stream.pool[stream.source >= 0]
    assert len(recorded) > CHUNK
    np.testing.assert_allclose(recorded, np.broadcast_to(TRAINED, recorded.shape), atol=1e-6)
    assert not np.isclose(stream.pool, HELD_OUT, atol=1e-3).all(1).any()


def test_a_short_source_counts_as_much_as_a_long_one(template: HandTemplate) -> None:
    stream = _stream(template)
    stream.poses(1)
    shares = np.bincount(stream.source[stream.source >= 0], minlength=2)
    assert 0.8 < shares[0] / shares[1] < 1.25


def test_the_same_seed_gives_the_same_hands_and_goes_on_where_it_was(template: HandTemplate) -> None:
    one, other, third = _stream(template, 3), _stream(template, 3), _stream(template, 4)
    assert torch.equal(one.next(5), other.next(5))
    assert not torch.equal(one.next(5), third.next(5))
    other.next(5)
    third.restore(other.state())
    assert torch.equal(third.next(5), one.next(5))


def test_it_goes_on_to_the_next_renewal_too(template: HandTemplate) -> None:
    """What is owed to the pool belongs to the state: both renew it after as many hands."""
    one, other = _stream(template, 3, refresh=1.0), _stream(template, 4, refresh=1.0)
    one.poses(1)
    one.poses(CHUNK - 10)
    other.restore(one.state())
    before = one.pool
    assert all(np.array_equal(a, b) for a, b in zip(one.poses(20), other.poses(20), strict=True))
    assert np.array_equal(one.pool, other.pool) and not np.array_equal(one.pool, before)


def test_the_pool_is_renewed_and_bounded(template: HandTemplate) -> None:
    stream = _stream(template, pool=2 * CHUNK + 100, refresh=1.0)
    stream.poses(1)
    before = stream.pool.copy()
    stream.poses(CHUNK)
    assert len(stream.pool) == len(stream.source) == 2 * CHUNK + 100
    assert (stream.pool != before).any()
    assert (stream.pool >= LIMITS[:, 0] - 0.2).all() and (stream.pool <= LIMITS[:, 1] + 0.2).all()


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


@pytest.mark.parametrize("settings", [{"pool": 100}, {"recorded": 0.8, "crossed": 0.5}, {"crossed": -0.1}])
def test_shares_that_cannot_be_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="stream"):
        StreamSettings(**settings)
