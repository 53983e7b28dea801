"""Surfaces that are no hand, or two of them: said in a sentence instead of a fit that means nothing."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from .articulated import Pose
from .matching import Matcher, Target
from .surface import Surface, pieces

OTHER = 0.5  # a second piece of more than this much of the first one's area ...
APART = 1.0  # ... and further from it than this much of their radii is a second hand
# Squared length of the fitted shape's ten components: 10 is what hands have on average, other projects' hands
# came to 30 at most, a foot to 100, balls and boxes to 50 and more.
ODD = 38.0
HOPELESS = 0.92  # energy (see Matcher): a ball has 0.97, the worst scan of a hand 0.87


def check_one_hand(surface: Surface) -> None:
    """Raises ValueError when the surface is two bodies of like size, side by side."""
    piece = pieces(surface)
    corners = surface.vertices[surface.triangles]
    area = np.linalg.norm(surface.cross(), axis=1)
    total = np.bincount(piece, area)
    if len(total) < 2:
        return
    first, second = np.argsort(-total, kind="stable")[:2]
    if total[second] < OTHER * total[first]:
        return
    middle, radius = [], 0.0
    for one in (first, second):
        own, weight = corners[piece == one].mean(1), area[piece == one, None] / total[one]
        middle.append((weight * own).sum(0))
        radius += 0.5 * float(np.sqrt((weight * (own - middle[-1]) ** 2).sum()))
    if np.linalg.norm(middle[0] - middle[1]) > APART * radius:
        raise ValueError("there are two separate pieces of about the same size: select only one hand.")


def check_hand(matcher: Matcher, pose: Pose, target: Target, mirror: Tensor) -> None:
    """Raises ValueError when only a hand of impossible proportions fits, or none."""
    if float((pose.beta**2).sum()) > ODD or float(matcher.energy(pose, target, mirror)) > HOPELESS:
        raise ValueError(
            "this surface does not look like a hand: select a hand with most of its palm, or give its joints."
        )
