"""A posed hand, and what is asked about it."""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from hhmr_engine.engine import Hypotheses, Request
from hhmr_engine.hand import dof
from hhmr_engine.hand.rotation import rotation_matrix
from hhmr_engine.hand.skinning import skin
from hhmr_engine.hand.template import load_template

TEMPLATE = load_template()
FLIP = np.array([-1, 1, 1], np.float32)
# The wire's own codes: what happens around a request, not to it.
NOT_THE_ENGINES = {"out_of_memory", "cancelled_by_unload", "internal"}


def posed() -> np.ndarray:
    """A right hand [V,3], half closed, somewhere."""
    angles = np.zeros((1, 24), np.float32)
    angles[0, 6:22] = [0.05, 0.5, 0.6, 0.3] * 4
    vertices = skin(TEMPLATE, dof.rotations(TEMPLATE, angles))[0][0]
    return (vertices @ rotation_matrix(np.array([0.5, -0.2, 1.0])).T + [0.3, 1.2, -0.1]).astype(np.float32)


HAND = posed()
JOINTS = (TEMPLATE.regressor @ HAND).astype(np.float32)
# The hand without thumb and index.
CUT = np.where((TEMPLATE.weights[:, [2, 3, 5, 6, 7]].sum(1) > 0.5)[:, None], np.nan, HAND).astype(np.float32)
VISIBLE = np.where(np.arange(21)[:, None] < 13, JOINTS, np.nan).astype(np.float32)
ASK = Request("inpaint", joints=VISIBLE, count=3, steps=4, seed=5)


def same(one: Hypotheses, other: Hypotheses) -> bool:
    """To the last byte, but for the time it took."""
    values = [
        (getattr(one, f.name), getattr(other, f.name)) for f in fields(Hypotheses) if f.name != "seconds"
    ]
    return all(a.tobytes() == b.tobytes() if isinstance(a, np.ndarray) else a == b for a, b in values)
