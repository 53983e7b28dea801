"""Where the landmark network's joints lie: an affine mixture of ours."""

import numpy as np

from hhmr_engine.hand.template import load_template
from hhmr_engine.vision.meaning import TOWARDS, landmark_mixing


def test_a_mixture_that_moves_no_hand_as_a_whole() -> None:
    mixing = landmark_mixing()
    assert np.allclose(mixing.sum(1), 1, atol=1e-6)
    untouched = [j for j in range(21) if j not in TOWARDS]
    assert np.array_equal(mixing[untouched], np.eye(21, dtype=np.float32)[untouched])
    joints = load_template().joints
    assert np.allclose(mixing @ (joints + 3), mixing @ joints + 3, atol=1e-4)


def test_tips_lie_in_the_pads_and_knuckles_nearer_the_wrist() -> None:
    joints = load_template().joints
    theirs = landmark_mixing() @ joints

    def length(points: np.ndarray, a: int, b: int) -> float:
        return float(np.linalg.norm(points[a] - points[b]))

    for tip in (4, 8, 12, 16, 20):
        assert 0.6 < length(theirs, tip, tip - 1) / length(joints, tip, tip - 1) < 0.8
    for knuckle in (5, 9, 13, 17):
        assert length(theirs, knuckle, 0) < length(joints, knuckle, 0)
    assert np.linalg.norm(theirs - joints, axis=1).max() < 0.02  # metres
