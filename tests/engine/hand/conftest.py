"""The hand that ships, as arrays and as tensors, and some posed hands of all proportions."""

from __future__ import annotations

import numpy as np
import pytest

from hhmr_engine.data.sampler import sample_angles
from hhmr_engine.hand import dof
from hhmr_engine.hand.build import random_shapes
from hhmr_engine.hand.skinning import skin
from hhmr_engine.hand.template import HandTemplate, load_template
from tests.engine.hand.posed import Posed


@pytest.fixture(scope="session")
def template() -> HandTemplate:
    return load_template()


@pytest.fixture(scope="session")
def tensors(template: HandTemplate) -> HandTemplate:
    return template.torch()


@pytest.fixture(scope="session")
def posed(template: HandTemplate) -> Posed:
    rng = np.random.default_rng(5)
    angles = sample_angles(48, rng, template)
    beta, lengths = random_shapes(rng, 48)
    return Posed(angles, beta, lengths, *skin(template, dof.rotations(template, angles), beta, lengths))
