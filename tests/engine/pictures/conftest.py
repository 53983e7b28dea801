import pytest
import torch

from hhmr_engine.data.sampler import sample_angles
from hhmr_engine.hand import dof
from hhmr_engine.hand.frame import palm_frame
from hhmr_engine.hand.skinning import skin
from hhmr_engine.hand.template import load_template


@pytest.fixture(scope="session")
def template():
    return load_template()


@pytest.fixture(scope="session")
def hands(template):
    """Eight posed hands [8,V,3] in the palm frame."""
    import numpy as np

    angles = sample_angles(8, np.random.default_rng(5), template)
    tensors = template.torch()
    vertices, _ = skin(tensors, dof.rotations(tensors, torch.from_numpy(angles).float()))
    return palm_frame(tensors, tensors.regressor @ vertices).to_palm(vertices)
