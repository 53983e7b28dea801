"""Figures of hands made from nothing: variety, handedness, plausibility."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..hand.intersection import SelfIntersection
from ..hand.normals import vertex_normals
from ..hand.skeleton import PALM_BONES, PARENTS
from ..hand.template import HandTemplate
from ..request import MAX_COUNT, Request
from . import metrics
from .asking import METHODS, SEED, Asker, millimetres
from .testset import in_palm_frame

APD_HANDS = 300  # the pairs of so many are enough: the mean over them stands to 1 %
THUMB_CMC, THUMB_MCP, INDEX_MCP = 1, 2, 5
CLOUD = 500  # hands on either side of precision and recall


@dataclass(frozen=True)
class Generation:
    """Of hands made from nothing; `data` beside it is the same of hands as training sees them."""

    count: int
    apd: float  # mm, vertices, palm frame, wrists laid on each other
    right_way: int  # hands whose thumb, index and palm are as in a right hand
    right_way_mcp: int  # the same by the thumb's MCP, which strong opposition carries across the index
    nearest: float  # mm, mean joint distance to the nearest reference hand, palm frame
    self_intersection: float  # per cent of faces, adjacent segments left out
    precision: float
    recall: float


def generation(asker: Asker, reference: np.ndarray, method: str, count: int) -> Generation:
    """`count` hands; reference [M,V,3] plausible hands in the palm frame, metres."""
    batches = []
    for k, start in enumerate(range(0, count, MAX_COUNT)):
        size = min(MAX_COUNT, count - start)
        request = Request("generate", count=size, seed=SEED + k, **METHODS[method])
        batches.append(asker.ask(request))
    vertices = np.concatenate([found.vertices for found in batches])
    crossing = np.concatenate([found.self_intersection for found in batches])
    return _measure(asker.engine.arrays, vertices, crossing, asker.engine.arrays.regressor @ reference)


def of_data(template: HandTemplate, hands: np.ndarray, reference: np.ndarray) -> Generation:
    """The same figures of hands [N,V,3] as training sees them, beside others such, `reference` [M,V,3]."""
    crossing = SelfIntersection(template.faces, template.weights, np.array(PARENTS)).percentage(hands)
    return _measure(template, hands, crossing, template.regressor @ reference)


def chirality(template: HandTemplate, vertices: NDArray, thumb_joint: int = THUMB_CMC) -> NDArray[np.float64]:
    """[N] sign of (thumb x index) . palm normal: 1 for right hands [N,V,3], -1 for left or inside-out ones.

    thumb and index: from the wrist to the thumb's root and to the index's knuckle. The palm normal goes from
    the skin of the hand's back to that of its palm. (The faces' winding can't tell: area vectors flip with a
    mirror as the cross product does.)
    """
    joints = template.regressor @ vertices
    thumb, index = joints[:, thumb_joint] - joints[:, 0], joints[:, INDEX_MCP] - joints[:, 0]
    palm, back = palm_and_back(template)
    normal = vertices[:, palm].mean(1) - vertices[:, back].mean(1)
    return np.sign((np.cross(thumb, index) * normal).sum(1)).astype(np.float64)


def palm_and_back(template: HandTemplate) -> tuple[NDArray, NDArray]:
    """Vertex ids of the palm's skin and of the hand's back: moved by palm bones, told by rest normals."""
    z = vertex_normals(template.vertices[None], template.faces)[0, :, 2]
    palm = template.weights[:, list(PALM_BONES)].sum(1) > 0.8
    return np.flatnonzero(palm & (z < -0.7)), np.flatnonzero(palm & (z > 0.7))


def _measure(
    template: HandTemplate, vertices: np.ndarray, crossing: np.ndarray, reference: np.ndarray
) -> Generation:
    joints = template.regressor @ vertices
    poses = in_palm_frame(template, joints)
    some = slice(0, APD_HANDS)
    size = min(CLOUD, len(poses), len(reference))
    precision, recall = metrics.precision_recall(poses[:size], reference[:size])
    return Generation(
        count=len(vertices),
        apd=metrics.average_pairwise_distance(millimetres(vertices[some]), millimetres(joints[some, 0])),
        right_way=int((chirality(template, vertices) > 0).sum()),
        right_way_mcp=int((chirality(template, vertices, THUMB_MCP) > 0).sum()),
        nearest=float(millimetres(metrics.nearest_hand_distance(poses[some], reference)).mean()),
        self_intersection=float(crossing.mean()),
        precision=precision,
        recall=recall,
    )
