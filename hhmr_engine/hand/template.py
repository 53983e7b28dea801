"""HandTemplate: everything that is known about one hand topology, as plain arrays in one npz."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

Array = Any  # np.ndarray or torch.Tensor, alike in all fields of one template

DEFAULT_PATH = Path(__file__).with_name("anny_hand.npz")
UNIT = 0.045  # metres: a coordinate of 1 in the palm frame (design: unit variance of posed hands)


@dataclass(frozen=True)
class HandTemplate:
    """A right hand in rest pose, metres, fingers along +Y, palm towards -Z, origin at the wrist.

    V vertices, B = 20 bones, J = 21 joints, S = 10 shape components, D = 24 angles, N nodes, R basis vectors.
    `node_*` belong to the mesh hierarchy's finest level, on which the network works.
    """

    name: str
    vertices: Array  # [V,3] rest pose, mean shape
    quads: Array  # [Q,4] int; a triangle repeats its last corner
    faces: Array  # [F,3] int
    weights: Array  # [V,B] linear blend skinning, rows sum to 1
    heads: Array  # [B,3] bone heads
    tips: Array  # [5,3] fingertips
    shape_vertices: Array  # [S,V,3] metres per standard deviation of beta
    shape_heads: Array  # [S,B,3]
    shape_tips: Array  # [S,5,3]
    axes: Array  # [D,3] unit rotation axes in the rest pose; 0 where the hand has no such angle
    regressor: Array  # [J,V] joints = regressor @ vertices, rows sum to 1
    nodes: Array  # [N] int vertex ids
    decoder: Array  # [V,N] vertices = decoder @ vertices[nodes], rows sum to 1
    basis_mean: Array  # [V,3] mean posed hand in the palm frame, UNIT
    basis: Array  # [R,V,3] orthonormal on the nodes after scaling, UNIT
    basis_variance: Array  # [R]
    neutral: Array | None = None  # [D] angles from the rest pose to the neutral one; None: they are the same
    corrections: Array | None = None  # [9B,V,3] added at rest per unit of local rotation minus identity

    @property
    def joints(self) -> Array:
        """[21,3] rest joints as the regressor sees them, metres."""
        return self.regressor @ self.vertices

    def from_rest(self, angles: Array) -> Array:
        """Angles [...,D] as what they are from the rest pose; they are given from the neutral one."""
        return angles if self.neutral is None else angles + self.neutral

    def torch(self, device: str | torch.device = "cpu") -> HandTemplate:
        """The same template with tensors (float32, int64) for arrays."""

        def convert(value: Any) -> Any:
            if not isinstance(value, np.ndarray):
                return value
            dtype = torch.float32 if value.dtype.kind == "f" else torch.int64
            return torch.from_numpy(value).to(device=device, dtype=dtype)

        return replace(self, **{f.name: convert(getattr(self, f.name)) for f in fields(self)})

    def on_nodes(self) -> HandTemplate:
        """The template with its nodes for vertices: an eighth of the work where no full mesh is needed."""
        nodes = self.nodes
        return replace(
            self,
            vertices=self.vertices[nodes],
            weights=self.weights[nodes],
            shape_vertices=self.shape_vertices[:, nodes],
            corrections=None if self.corrections is None else self.corrections[:, nodes],
            regressor=self.regressor @ self.decoder,
        )

    def save(self, path: Path) -> None:
        """Write the npz beside `path` and rename it, so that a half-written file never stands there."""
        # 16 bits keep these within 0.01 mm.
        half = ("basis", "weights", "decoder", "shape_vertices", "corrections")
        arrays = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) is not None}
        arrays |= {key: arrays[key].astype(np.float16) for key in half if key in arrays}
        part = path.with_name(path.name + ".part.npz")
        np.savez_compressed(part, joints=self.joints, **arrays)
        part.replace(path)


@lru_cache(maxsize=4)
def load_template(path: Path = DEFAULT_PATH) -> HandTemplate:
    """Read a template; raises ValueError with one sentence when the file is not one."""
    try:
        with np.load(path, allow_pickle=False) as data:
            known = fields(HandTemplate)
            arrays = {f.name: data[f.name] for f in known if f.default is MISSING or f.name in data.files}
    except FileNotFoundError:
        raise
    except Exception as exc:  # zip, zlib, key and numpy header errors alike mean the same to a user
        raise ValueError(f"{path.name} is no hand template: {exc}. Build it again or reinstall.") from exc
    name = str(arrays.pop("name"))
    arrays = {k: v.astype(np.float32) if v.dtype.kind == "f" else v for k, v in arrays.items()}
    for rows in ("weights", "decoder"):  # 16 bits leave sums a little off 1, which moves far hands
        arrays[rows] /= arrays[rows].sum(1, keepdims=True)
    return HandTemplate(name=name, **arrays)
