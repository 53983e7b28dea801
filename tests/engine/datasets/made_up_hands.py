"""Hands of a made-up MANO before cameras, drawn so that their outline is known: what miniatures show."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from PIL import Image
from scipy.spatial.transform import Rotation

from hhmr_engine.data.sampler import sample_angles
from hhmr_engine.hand import dof
from hhmr_engine.hand.mano import JOINT_OF_BONE, METACARPALS, ManoModel
from hhmr_engine.hand.template import load_template
from hhmr_engine.pictures.zbuffer import Fragments, rasterise
from tests.engine.hand.made_up_mano import TURN, made_up_mano

MIRROR = np.array([-1.0, 1.0, 1.0])
SIZE = 0.2  # metres that a hand takes, about
FINE = 2  # samples along a pixel


@dataclass(frozen=True)
class Hand:
    """Parameters as smplx has them, axis-angles on the flat hand, in the axes of a camera; metres."""

    side: str
    pose: np.ndarray  # [48]
    betas: np.ndarray  # [10]
    transl: np.ndarray  # [3]

    def shape(self, faulty: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Vertices [778,3] and joints [21,3] in OpenPose order."""
        model = models(faulty)[self.side]
        found = model(self.pose[None], self.betas[None], self.transl[None], flat_hand_mean=True)
        return found[0][0], found[1][0]

    def moved(self, turn: np.ndarray, shift: np.ndarray, faulty: bool = False) -> Hand:
        """The same hand in other axes: x -> turn x + shift."""
        model = models(faulty)[self.side]
        root = model.regressor[0] @ (model.vertices + np.tensordot(self.betas, model.shapes, 1))
        whole = Rotation.from_matrix(turn) * Rotation.from_rotvec(self.pose[:3])
        pose = np.concatenate([whole.as_rotvec(), self.pose[3:]])
        return replace(self, pose=pose, transl=turn @ (root + self.transl) + shift - root)

    def on_mean(self) -> np.ndarray:
        """[48] the pose as what is added to MANO's mean pose."""
        return np.concatenate([self.pose[:3], self.pose[3:] - models()[self.side].mean])

    def in_components(self) -> np.ndarray:
        """[48] the wrist's axis-angle and coefficients of MANO's 45 components."""
        pose = self.on_mean()
        return np.concatenate([pose[:3], models()[self.side].components @ pose[3:]])


@lru_cache
def arrays() -> dict[str, np.ndarray]:
    """The file's content, of the right hand."""
    return made_up_mano()


@lru_cache
def models(faulty: bool = False) -> dict[str, ManoModel]:
    """Both hands. `faulty`: as in MANO_LEFT, whose shapes are not mirrored along x."""
    data = arrays()
    right = ManoModel(
        data["v_template"],
        data["f"].astype(np.int64),
        data["shapedirs"].transpose(2, 0, 1).copy(),
        data["posedirs"].transpose(2, 0, 1).copy(),
        data["J_regressor"],
        data["weights"],
        data["hands_components"],
        data["hands_mean"],
    )
    # A rotation matrix R becomes M R M in the mirror, an axis-angle (x, y, z) becomes (x, -y, -z).
    signs = np.tile(np.outer(MIRROR, MIRROR).ravel(), 15)[:, None, None]
    turned = np.tile([1.0, -1.0, -1.0], 15)
    left = ManoModel(
        right.vertices * MIRROR,
        right.faces[:, ::-1],
        right.shapes * (1 if faulty else MIRROR),
        right.corrections * MIRROR * signs,
        right.regressor,
        right.weights,
        right.components * turned,
        right.mean * turned,
    )
    return {"right": right, "left": left}


@dataclass(frozen=True)
class Camera:
    intrinsics: np.ndarray  # [3,3] pixels
    width: int
    height: int

    def project(self, points: np.ndarray) -> np.ndarray:
        """[...,2] pixels of points [...,3]."""
        seen = points @ self.intrinsics.T
        return seen[..., :2] / seen[..., 2:]


def lens(focal: float, width: int, height: int, off: tuple[float, float] = (0, 0)) -> Camera:
    centre = width / 2 + off[0], height / 2 + off[1]
    return Camera(np.array([[focal, 0, centre[0]], [0, focal, centre[1]], [0, 0, 1]]), width, height)


@lru_cache
def poses() -> np.ndarray:
    """[64,48] sampled poses of a right hand, as axis-angles on the flat hand."""
    template = load_template()
    turns = dof.rotations(template, sample_angles(64, np.random.default_rng(3), template))
    pose = np.zeros((64, 16, 3))
    for bone, joint in enumerate(JOINT_OF_BONE):
        if bone and bone not in METACARPALS:
            pose[:, joint] = Rotation.from_matrix(TURN @ turns[:, bone] @ TURN.T).as_rotvec()
    return pose.reshape(64, 48)


def hands_before(
    cameras: list[Camera], sides: list[str], seed: int, share: float = 0.6, betas: np.ndarray | None = None
) -> list[Hand]:
    """Sampled poses of random shapes, each seen from anywhere and whole in the picture of its camera.

    share: of the picture's shorter side that a hand takes; betas [10]: of all of them.
    """
    rng = np.random.default_rng([seed, len(sides)])
    hands = []
    for camera, side in zip(cameras, sides, strict=True):
        pose = poses()[rng.integers(64)] * np.tile([1.0, -1.0, -1.0] if side == "left" else [1.0] * 3, 16)
        pose[:3] = Rotation.random(random_state=rng.integers(2**31)).as_rotvec()
        shape = rng.normal(0, 0.8, 10) if betas is None else betas
        hands.append(_placed(Hand(side, pose, shape, np.zeros(3)), camera, share, rng))
    return hands


def _placed(hand: Hand, camera: Camera, share: float, rng: np.random.Generator) -> Hand:
    focal, side = camera.intrinsics[0, 0], min(camera.width, camera.height)
    depth = focal * SIZE / (share * side) * rng.uniform(0.9, 1.15)
    vertices = hand.shape()[0]
    middle = (vertices.min(0) + vertices.max(0)) / 2
    ray = np.linalg.inv(camera.intrinsics) @ [camera.width / 2, camera.height / 2, 1]
    # Somewhere in the picture, with a margin.
    seen = camera.project(vertices - middle + ray * depth)
    room = np.minimum(seen.min(0) - 6, np.array([camera.width, camera.height]) - 6 - seen.max(0)).clip(0)
    shift = rng.uniform(-0.7, 0.7, 2) * room * depth / focal
    return replace(hand, transl=ray * depth - middle + [*shift, 0])


def draw(meshes: list[np.ndarray], camera: Camera, rng: np.random.Generator) -> np.ndarray:
    """[H,W,3] uint8: meshes [778,3] in skin colours (red > blue) before something blue."""
    ground = (rng.uniform(0, 1, (7, 7, 3)) * [50, 90, 90] + [10, 40, 140]).astype(np.uint8)
    picture = Image.fromarray(ground).resize((camera.width, camera.height), Image.Resampling.BILINEAR)
    canvas = np.asarray(picture).repeat(FINE, 0).repeat(FINE, 1).reshape(-1, 3)
    faces = models()["right"].faces
    far = np.full(len(canvas), np.inf, np.float32)
    for mesh in meshes:
        found = _fragments(mesh, camera)
        sample, depth = found.sample.numpy(), found.depth.numpy()
        corners = mesh[faces]
        normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        lit = np.abs(normal @ [0.35, -0.45, -0.82]) / np.maximum(np.linalg.norm(normal, axis=1), 1e-12)
        colour = np.array([225, 170, 135]) * rng.uniform(0.75, 1.05) * (0.5 + 0.5 * lit[:, None])
        nearer = depth < far[sample]
        sample = sample[nearer]
        far[sample] = depth[nearer]
        canvas[sample] = colour.astype(np.uint8)[found.face.numpy()[nearer] % len(faces)]
    fine = canvas.reshape(camera.height, FINE, camera.width, FINE, 3)
    return (
        sum(fine[:, i, :, j].astype(np.uint16) for i in range(FINE) for j in range(FINE)) // FINE**2
    ).astype(np.uint8)


def coverage(mesh: np.ndarray, camera: Camera) -> np.ndarray:
    """[H,W] how much of each pixel the mesh covers."""
    covered = np.zeros(FINE * camera.height * FINE * camera.width)
    covered[_fragments(mesh, camera).sample.numpy()] = 1
    return covered.reshape(camera.height, FINE, camera.width, FINE).mean((1, 3))


def _fragments(mesh: np.ndarray, camera: Camera) -> Fragments:
    """Both sides of the mesh: the wrist is open."""
    points = np.concatenate([FINE * camera.project(mesh), mesh[:, 2:]], 1)
    faces = models()["right"].faces
    both = torch.from_numpy(np.concatenate([faces, faces[:, ::-1]]))
    height, width = FINE * camera.height, FINE * camera.width
    return rasterise(torch.from_numpy(points).float()[None], both, height, width)


def skin(image: np.ndarray) -> np.ndarray:
    """[H,W] bool: where a drawn picture shows a hand."""
    return image[..., 0].astype(int) - image[..., 2] > -25
