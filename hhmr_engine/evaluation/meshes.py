"""Figures of hands completed from a part of their mesh: what is kept, the seam, the variety of the rest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..hand.hierarchy import geodesic_distance
from ..hand.skeleton import FINGER_BONES, FINGERS
from ..hand.template import HandTemplate
from . import metrics
from .asking import Asker, millimetres
from .testset import TestHands

SEAM = 0.010  # metres along the surface from the seam
CUT = 0.5  # a vertex goes when its finger's bones have more than this share in moving it
LEFT_OUT = ("thumb", "index", "middle")  # the paper's Figure 3


@dataclass(frozen=True)
class MeshInpainting:
    """Means over hands and draws."""

    kept: float  # mm: given vertices before they are put back exactly
    edges: float  # per cent: edge length error within SEAM of the seam, afterwards
    across: float  # per cent: the same of the edges that cross the seam
    dihedral: float  # 99th percentile of dihedral angles there / the template's
    dihedral_of_true: float  # the same / the true hand's own: a bent finger creases its root
    apd: float  # mm: of the vertices that were cut off
    unguided_apd: float  # mm: without guidance; NaN where there is no such thing
    self_intersection: float  # per cent, adjacent segments left out


class Seam:
    """Where kept and new surface meet, on one cut of the template."""

    def __init__(self, template: HandTemplate, kept: np.ndarray) -> None:
        """kept [V] bool; template as arrays."""
        edges = metrics.unique_edges(template.faces)
        ends = kept[edges]
        border = np.unique(edges[ends[:, 0] != ends[:, 1]])
        near = geodesic_distance(template.vertices, edges, border) < SEAM
        self.edges = edges[near[edges].all(1)]
        self.across = np.flatnonzero(kept[self.edges[:, 0]] != kept[self.edges[:, 1]])
        inner, pairs = metrics.interior_edges(template.faces)
        self.pairs = pairs[near[inner].all(1)]
        self.faces = template.faces
        self.rest_angle = self.angle(template.vertices)

    def edge_error(self, vertices: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
        """Per cent: mean over the edges near the seam, and over those that cross it."""
        error = 100 * metrics.edge_length_error(vertices, truth, self.edges)
        return float(error.mean()), float(error[..., self.across].mean())

    def angle(self, vertices: np.ndarray) -> float:
        """99th percentile of the dihedral angles near the seam, radians."""
        return float(np.percentile(metrics.dihedral_angles(vertices, self.faces, self.pairs), 99))


def kept_without(template: HandTemplate, fingers: tuple[str, ...], cut: float = CUT) -> np.ndarray:
    """[V] bool: the mesh after cutting fingers off at their roots (the thumb with its metacarpal)."""
    bones = [bone for f in fingers for bone in FINGER_BONES[f][f != "thumb" :]]
    return template.weights[:, bones].sum(1) <= cut


def random_cuts(template: HandTemplate, count: int, rng: np.random.Generator) -> np.ndarray:
    """[count,V] bool: three fingers gone, any three, each at a place of its own along the root."""
    return np.stack(
        [
            kept_without(template, tuple(rng.choice(FINGERS, 3, replace=False)), rng.uniform(0.25, 0.75))
            for _ in range(count)
        ]
    )


def mesh_inpainting(asker: Asker, hands: TestHands, kept: np.ndarray, method: str) -> MeshInpainting:
    """`kept` [V] or [N,V] bool. Unguided draws are asked for with the network only."""
    template = asker.engine.arrays
    kept = np.broadcast_to(kept, hands.vertices.shape[:2])
    seams: dict[bytes, Seam] = {}
    rows = []
    for i, found in asker.meshes(hands, kept, method):
        seam = seams.setdefault(kept[i].tobytes(), Seam(template, kept[i]))
        truth = hands.vertices[i]
        angle = np.mean([seam.angle(v) for v in found.vertices])
        rows.append(
            (
                millimetres(found.residual).mean(),
                *seam.edge_error(found.vertices, truth),
                angle / seam.rest_angle,
                angle / seam.angle(truth),
                _hidden_apd(found.vertices, found.joints, kept[i]),
                found.self_intersection.mean(),
            )
        )
    free = [float("nan")]
    if method == "network":
        unguided = asker.meshes(hands, kept, method, guidance="none")
        free = [_hidden_apd(found.vertices, found.joints, kept[i]) for i, found in unguided]
    *means, crossing = np.mean(np.array(rows, np.float64), 0).tolist()
    return MeshInpainting(*[*means, float(np.mean(free)), crossing])


def _hidden_apd(vertices: np.ndarray, joints: np.ndarray, kept: np.ndarray) -> float:
    """Average pairwise distance of the vertices that were cut off, mm, wrists laid on each other."""
    return metrics.average_pairwise_distance(millimetres(vertices[:, ~kept]), millimetres(joints[:, 0]))
