"""Capsules follow the skin, and parting hands takes real penetrations away."""

import numpy as np
import pytest

from hhmr_engine.data.penetration import part
from hhmr_engine.data.sampler import draw_angles
from hhmr_engine.hand.capsules import MARGIN, axes, find_contacts, measure_proxies
from hhmr_engine.hand.dof import DOF_NAMES, LIMITS
from hhmr_engine.hand.kinematics import pose_skeleton
from hhmr_engine.hand.template import HandTemplate, load_template


@pytest.fixture(scope="module")
def template() -> HandTemplate:
    return load_template()


def test_capsules_lie_on_the_skin_of_the_fingers(template: HandTemplate) -> None:
    proxies = measure_proxies(template)
    for capsule, bone in enumerate(proxies.bone.tolist()):
        if bone in (0, 1, 4, 8, 12, 16):
            continue  # palm and thenar are no tubes
        skin = template.vertices[template.weights.argmax(1) == bone] - template.heads[bone]
        start, span = proxies.ends[capsule, 0], np.diff(proxies.ends[capsule], axis=0)[0]
        t = (skin - start) @ span / (span @ span)
        inside = (t > 0) & (t < 1)
        distance = np.linalg.norm(skin - start - t[:, None] * span, axis=1)[inside]
        radius = proxies.radius[capsule, 0] + t[inside] * np.diff(proxies.radius[capsule])
        assert np.sqrt(np.mean((distance - radius) ** 2)) < 0.0018, bone


def test_the_rest_hand_is_clear(template: HandTemplate) -> None:
    rest = np.zeros((1, 24), np.float32)
    angles, clear = part(template, measure_proxies(template), rest)
    assert clear.all()
    assert (angles == rest).all()


def test_closed_fingers_open_until_clear(template: HandTemplate) -> None:
    proxies = measure_proxies(template)
    raw = draw_angles(300, np.random.default_rng(0))[0]
    before = find_contacts(proxies, axes(proxies, pose_skeleton(template, raw))).depth.max(1)
    angles, clear = part(template, proxies, raw)
    after = find_contacts(proxies, axes(proxies, pose_skeleton(template, angles))).depth.max(1)
    assert (before > MARGIN).mean() > 0.2  # there is something to do
    assert clear.mean() > 0.99
    assert after[clear].max() <= 0.0005
    assert (angles >= LIMITS[:, 0] - 1e-6).all() and (angles <= LIMITS[:, 1] + 1e-6).all()
    np.testing.assert_array_equal(angles[before < 0], raw[before < 0])


def test_a_thumb_through_the_palm_comes_out_on_its_own_side(template: HandTemplate) -> None:
    raw = np.zeros((1, 24), np.float32)
    raw[0, DOF_NAMES.index("thumb_cmc_flex")] = 0.75
    angles, clear = part(template, measure_proxies(template), raw)
    assert clear.all()
    assert angles[0, DOF_NAMES.index("thumb_cmc_flex")] < 0.65


def test_another_hands_proportions_have_their_own_capsules(template: HandTemplate) -> None:
    lengths = np.full(20, 0.75)
    raw = draw_angles(100, np.random.default_rng(1))[0]
    proxies = measure_proxies(template, lengths=lengths)
    angles, clear = part(template, proxies, raw, lengths=lengths)
    hands = pose_skeleton(template, angles, lengths=lengths)
    assert clear.mean() > 0.97
    assert find_contacts(proxies, axes(proxies, hands)).depth[clear].max() <= 0.0005
