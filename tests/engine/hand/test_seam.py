"""What was given comes back exactly, its surroundings move along, what is far does not."""

from __future__ import annotations

import numpy as np

from hhmr_engine.hand.hierarchy import geodesic_distance, mesh_edges
from hhmr_engine.hand.seam import BLEND, SeamBlend
from hhmr_engine.hand.template import HandTemplate
from tests.engine.hand.posed import Posed


def _cut(template: HandTemplate) -> tuple[np.ndarray, np.ndarray]:
    """The hand without its index finger, and the distance from what is left."""
    kept = template.weights[:, [5, 6, 7]].sum(1) < 0.5
    return kept, geodesic_distance(template.vertices, mesh_edges(template.faces), np.flatnonzero(kept))


def test_kept_exactly_and_far_untouched(template: HandTemplate, posed: Posed) -> None:
    kept, distance = _cut(template)
    given = np.where(kept[:, None], template.vertices, np.nan).astype(np.float32)
    generated = posed.vertices[:3] + np.float32(0.002)
    blended = SeamBlend(template, kept)(generated, given)
    assert (blended[:, kept] == given[kept]).all()
    far = distance >= BLEND
    assert far.any() and (blended[:, far] == generated[:, far]).all()
    assert np.isfinite(blended).all()
    assert (generated[:, kept] != given[kept]).any()  # the caller's arrays stay as they were


def test_a_part_that_is_off_by_a_shift_takes_its_rim_along(template: HandTemplate) -> None:
    """Next to the seam nearly the whole shift, fading with distance, so no edge is torn."""
    kept, distance = _cut(template)
    shift = np.array([0.0, 0.003, 0.0], np.float32)
    moved = SeamBlend(template, kept)(template.vertices[None] + shift, template.vertices)[0]
    left = (moved - template.vertices)[:, 1] / shift[1]
    order = np.argsort(distance[~kept])
    assert (np.diff(left[~kept][order]) > -1e-3).all()
    assert left[~kept][order][0] < 0.15
    pasted = np.where(kept[:, None], template.vertices, template.vertices + shift)
    assert _torn(template, pasted) > 0.9 * shift[1]
    assert _torn(template, moved) < 0.65 * shift[1]


def _torn(template: HandTemplate, vertices: np.ndarray) -> float:
    """The worst change of an edge's length."""
    a, b = mesh_edges(template.faces).T
    before, after = (np.linalg.norm(v[a] - v[b], axis=1) for v in (template.vertices, vertices))
    return float(np.abs(after - before).max())


def test_a_whole_hand_is_given_back_as_it_is(template: HandTemplate, posed: Posed) -> None:
    blend = SeamBlend(template, np.ones(len(template.vertices), bool))
    assert (blend(posed.vertices[:2], template.vertices) == template.vertices).all()


def test_one_vertex_is_enough(template: HandTemplate, posed: Posed) -> None:
    kept = np.zeros(len(template.vertices), bool)
    kept[100] = True
    blended = SeamBlend(template, kept)(posed.vertices[:1], template.vertices)
    assert (blended[0, 100] == template.vertices[100]).all() and np.isfinite(blended).all()
