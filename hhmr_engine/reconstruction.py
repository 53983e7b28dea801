"""Pictures to hands: a photo or a 2D skeleton -> hypotheses before the camera (paper, 4.3 and 5.3)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from .arithmetic import one_thread
from .diffusion.gaussian import Evidence
from .diffusion.samplers import ddim, dpm_solver_pp_2m
from .draws import BATCH, draw_noise
from .hand.fit import fit_skinned
from .hand.rotation import rotation_matrix
from .hand.template import UNIT
from .looking import Found, look
from .model.graph_unet import TURN, TURN_DEVIATION
from .request import AUTO, Hypotheses, Request, RequestError, check
from .selection import apart, choose, expected_error, score
from .sighting import Appearance, Sighting, sight
from .view import JointCamera, View, project
from .vision.crop import Crop, cut
from .vision.meaning import landmark_mixing
from .vision.networks import HAND_SIDE
from .vision.photo import Photo

if TYPE_CHECKING:
    from .engine import Engine, OnStep

# Log-SNR of the first and the last step. What draws.py has instead was measured too, and gains nothing here.
FIRST, LAST = -2.5, 7.0
# Of the noise that draws start from. On tuning hands a joint's true depth then lies in the central 90 % of 64
# draws nearly as often as it should, for a half per cent of the energy score.
WIDER = 1.15
CORRECTIONS = 2  # of each estimate towards the picture, in each step
ROUNDING = 0.25  # how far rounding may push an eigenvalue of evidence below zero, of the prior's 1
FARTHEST = math.pi  # that a hand is turned from its view: vectors of more than that run away, step by step
OPEN = 0.5  # by how many standard deviations of their noise joints may leave the picture for a remedy
# Right and down in parts of the side, scale, turn: the crops of test-time augmentation.
AUGMENTED = ((0, 0, 1, 0), (0.04, 0.03, 1.1, 0.2), (-0.04, 0.03, 0.92, -0.2), (0, -0.04, 1, 0.4))
TO_BLENDER = np.array([1, -1, -1], np.float32)  # camera axes of vision (y down, z away) to Blender's


def reconstruct(engine: Engine, request: Request, on_step: OnStep | None) -> Hypotheses:
    """Hypotheses in Blender's camera axes. RequestError says what is wrong with the picture."""
    check(request, len(engine.arrays.vertices))
    with one_thread():
        return _reconstruct(engine, request, on_step)


def _reconstruct(engine: Engine, request: Request, on_step: OnStep | None) -> Hypotheses:
    started = time.perf_counter()
    found = look(request, str(engine.device))
    sides = ("right", "left") if found.side == AUTO else (found.side,)
    views = None
    if found.landmarks:
        found, views = _as_our_joints(engine, found)
    choices = {side: _sighting(engine, request, replace(found, side=side), views) for side in sides}
    side = min(choices, key=lambda s: choices[s].energy)
    sampler = PictureSampler(engine, request, choices[side])
    return _finish(
        engine, request, replace(found, side=side), sampler, *sampler.draw(request.count, on_step), started
    )


def _as_our_joints(engine: Engine, found: Found) -> tuple[Found, View]:
    """The landmark network's joints, each moved by how far it lies from ours on the likeliest hand.

    And the views that explain them, of a right hand.
    """
    right = found.mirrored() if found.side == "left" else found
    target, sigma = _tangents(right, engine.device)
    prior = engine.prior.widened(TURN_DEVIATION, TURN)
    mixing = torch.from_numpy(landmark_mixing()).to(engine.device)
    theirs, ours = JointCamera(engine.template, prior, mixing), JointCamera(engine.template, prior)
    likeliest = sight(theirs, target, sigma, None, True)
    view, u = likeliest.views[:1], likeliest.u[:1]
    apart = project(view.place(ours.joints(u))) - project(view.place(theirs.joints(u)))
    moved = replace(right, joints2d=right.joints2d + apart[0].double().cpu().numpy() * right.camera[0])
    return (moved.mirrored() if found.side == "left" else moved), likeliest.views


def _tangents(found: Found, device: torch.device) -> tuple[Tensor, Tensor]:
    """Joints [21,2] in image coordinates and their noise [21]."""
    focal, *centre = found.camera
    target = torch.from_numpy(((found.joints2d - centre) / focal).astype(np.float32))
    return target.to(device), torch.from_numpy((found.sigma2d / focal).astype(np.float32)).to(device)


def _sighting(engine: Engine, request: Request, found: Found, views: View | None) -> Sighting:
    """What the picture tells of a right hand."""
    if found.side == "left":
        found = found.mirrored()
    camera = JointCamera(engine.template, engine.prior.widened(TURN_DEVIATION, TURN))
    target, sigma = _tangents(found, engine.device)
    appearance = None
    if request.image and found.photo is not None and found.crop is not None and request.method == "network":
        changes: tuple = AUGMENTED if request.augment else AUGMENTED[:1]
        if request.crops is not None:
            changes = tuple(map(tuple, request.crops.tolist()))
        appearance = _appearance(engine, found.photo, found.crop, changes)
    told = request.skeleton or appearance is None
    return sight(camera, target, sigma, appearance, told, views)


def _appearance(engine: Engine, photo: Photo, crop: Crop, changes: tuple) -> Appearance:
    crops = [crop.moved(*change) for change in changes]
    patches = engine.trunk().features(cut(photo, crops, HAND_SIDE, "border").to(engine.device))
    model = engine.network()[0]
    axes = torch.eye(3).repeat(len(crops), 1, 1)
    axes[:, :2, :2] = torch.from_numpy(np.stack([c.rotation.T for c in crops])).float()
    return Appearance(patches, axes.to(engine.device), model.encoder.read_rotation(patches))


class PictureSampler:
    """Draws of hand and rotation together, brought onto the picture in every step."""

    def __init__(self, engine: Engine, request: Request, sighting: Sighting) -> None:
        self.engine, self.request, self.sighting = engine, request, sighting
        self.camera = sighting.camera
        self.prior = self.camera.prior
        self.rows = engine.template.regressor @ engine.template.decoder
        self.network = engine.network() if request.method == "network" else None
        self.guided = request.guidance == "preconditioned"
        self.margin = ROUNDING * torch.eye(self.prior.rank).to(self.prior.mean)

    def draw(self, count: int, on_step: OnStep | None) -> tuple[Tensor, View]:
        """States [count,3N+3] and the views they stand in."""
        batches = -(-count // BATCH)
        total = batches * self.request.steps
        states, views = [], []
        for index in range(batches):

            def report(k: int, x: Tensor, before: int = index * self.request.steps) -> None:
                if on_step is not None:
                    on_step(before + k + 1, total, None)

            state, view = self._batch(range(index * BATCH, (index + 1) * BATCH), report)
            states.append(state)
            views.append(view)
        state = torch.cat(states)[:count]
        view = View(
            torch.cat([v.rotation for v in views])[:count], torch.cat([v.position for v in views])[:count]
        )
        return state, view

    def _batch(self, draws: range, report: Callable[[int, Tensor], None]) -> tuple[Tensor, View]:
        sighting, prior = self.sighting, self.prior
        size, rank = len(prior.mean), prior.rank
        noise = torch.stack([draw_noise(self.request.seed, k, size + rank) for k in draws]).to(
            prior.mean.device
        )
        noise = WIDER * noise
        modes = sighting.pick(self.request.seed, draws)
        if draws[0] == 0:  # the first draw is the one answer: it starts from the middle of what is likely
            noise[0], modes[0] = 0, 0
        evidence = sighting.evidence(modes)
        views = sighting.views[modes]
        start = prior.sample(evidence, noise[:, size:])
        if self.network is None:
            x = self._onto_picture(start, views, torch.ones(()).to(start))
            report(self.request.steps - 1, x)
            return x, self._placed(x, views)
        model, schedule = self.network
        encoded = model.encode(sighting.conditions(modes, draws), len(modes))

        def denoise(x: Tensor, level: Tensor) -> Tensor:
            x0 = model(x, level, encoded, evidence)
            return self._onto_picture(x0, views, level) if self.guided else x0

        levels = schedule.grid(self.request.steps, FIRST, LAST).to(noise.device)
        x = levels[0].sqrt() * start + (1 - levels[0]).sqrt() * noise[:, :size]
        solver = ddim if self.request.sampler == "ddim" else dpm_solver_pp_2m
        x = self._mend(solver(denoise, x, levels, on_step=report), views)
        return x, self._placed(x, views)

    def _mend(self, x: Tensor, views: View) -> Tensor:
        """States after every remedy that the picture leaves open for them."""
        for remedy in self.engine.remedies(self.request):
            mended = remedy(x, self.prior, self._evidence(x, views).precision)
            farther = self._off(mended, views) - self._off(x, views)
            x = torch.where((farther > OPEN)[:, None], x, mended)
        return x

    def _off(self, x: Tensor, views: View) -> Tensor:
        """Mean distance [n] of the joints from those in the picture, in deviations of their noise."""
        target, sigma = self.sighting.many(len(x))
        seen = project(self._placed(x, views).place(self._joints(x)))
        return ((seen - target).norm(dim=-1) / sigma).nanmean(1)

    def _onto_picture(self, x0: Tensor, views: View, level: Tensor) -> Tensor:
        """Gauss-Newton steps of hand and rotation towards the joints in the picture, as far as noise allows.

        The operator M_J Pi J is linearised anew at every estimate; the position is found in closed form.
        """
        for _ in range(CORRECTIONS):
            evidence = self._evidence(x0, views)
            x0 = self.prior.correct(x0, evidence, self.prior.factor(level.clamp_max(1 - 1e-5), evidence))
            turn = x0[:, -TURN:]
            turn *= FARTHEST / turn.norm(dim=1, keepdim=True).clamp_min(FARTHEST)
        return x0

    def _evidence(self, x0: Tensor, views: View) -> Evidence:
        """What the joints in the picture say about hands near x0.

        Nothing of a hand that an early step has thrown into the camera: so near, it is all rounding.
        """
        target, sigma = self.sighting.many(len(x0))
        joints = self._joints(x0)
        view = self.camera.settle(self._turned(x0, views), joints, target, sigma)
        u = self.prior.coefficients(x0) / self.prior.variance
        evidence = self.camera.evidence(view, joints, u, target, sigma)
        lost = torch.linalg.cholesky_ex(evidence.precision + self.margin).info > 0
        return Evidence(
            evidence.precision.masked_fill(lost[:, None, None], 0),
            evidence.information.masked_fill(lost[:, None], 0),
        )

    def _joints(self, x0: Tensor) -> Tensor:
        return self.rows @ x0[:, :-TURN].unflatten(-1, (-1, 3))

    def _turned(self, x0: Tensor, views: View) -> View:
        return View(views.rotation @ rotation_matrix(x0[:, -TURN:]), views.position)

    def _placed(self, x0: Tensor, views: View) -> View:
        return self.camera.settle(self._turned(x0, views), self._joints(x0), *self.sighting.many(len(x0)))


def _finish(
    engine: Engine,
    request: Request,
    found: Found,
    sampler: PictureSampler,
    x: Tensor,
    view: View,
    started: float,
) -> Hypotheses:
    if not torch.isfinite(x).all():
        raise RequestError("bad_weights", "The network gave no numbers.", "Reinstall its weights.")
    target, sigma = sampler.sighting.many(len(x))
    nodes = x[:, :-TURN].unflatten(-1, (-1, 3))
    rotations = None
    if request.fit:
        none = x.new_zeros(0)
        fitted = fit_skinned(
            engine.template, nodes, nodes.new_zeros(0, nodes.shape[1]), none.reshape(0, 3), none
        )
        nodes, rotations = fitted.vertices[:, engine.template.nodes], fitted.rotations.cpu().numpy()
        view = sampler.camera.settle(view, sampler.rows @ nodes, target, sigma)
    placed = view.place(engine.template.decoder @ nodes)
    joints = engine.template.regressor @ placed
    seen = project(joints)
    known = torch.isfinite(target).all(-1)
    residual = ((torch.nan_to_num(target) - seen).norm(dim=-1) * joints[..., 2] * known).sum(1) / known.sum(1)
    millimetres = residual.cpu().numpy() * UNIT * 1e3
    noise = float((sigma[0] * joints[0, :, 2])[known[0]].mean()) * UNIT * 1e3
    unit = request.palm / palm_length(engine) if request.palm else UNIT
    vertices = placed.cpu().numpy() * (unit * TO_BLENDER)
    crossing = engine.intersection.percentage(vertices)
    points = joints.cpu().numpy() * TO_BLENDER
    scores = score(expected_error(apart(_pose(points) * UNIT * 1e3, BATCH), millimetres, noise, crossing))
    best = choose(scores, points, request.count, request.diverse)
    left = found.side == "left"
    flip = np.array([-1, 1, 1] if left else [1, 1, 1], np.float32)
    mirrored = found.mirrored() if left else found
    focal, *centre = mirrored.camera
    joints2d = seen.cpu().numpy()[best] * focal + centre
    if left:
        joints2d = joints2d * (-1, 1) + (found.width, 0)
    faces = engine.arrays.faces
    return Hypotheses(
        vertices=(vertices * flip)[best].astype(np.float32),
        joints=(points * (unit * flip))[best].astype(np.float32),
        faces=faces[:, ::-1].copy() if left else faces,
        residual=(residual.cpu().numpy() * unit)[best].astype(np.float32),
        self_intersection=crossing[best],
        score=scores[best],
        draw=best.astype(np.int32),
        spread=(np.linalg.norm(points[best].std(0), axis=-1) * unit).astype(np.float32),
        seed=request.seed,
        side=found.side,
        seconds=time.perf_counter() - started,
        rotations=None if rotations is None else rotations[best].astype(np.float32),
        camera=found.camera,
        joints2d=joints2d.astype(np.float32),
        given2d=found.joints2d.astype(np.float32),
        sigma2d=found.sigma2d.astype(np.float32),
        box=found.box,
        hands=found.hands,
    )


def _pose(joints: np.ndarray) -> np.ndarray:
    """Hands [n,21,3] about their middles, all of one size: without depth and size, which no picture shows."""
    centred = joints - joints.mean(1, keepdims=True)
    size = np.linalg.norm(centred, axis=(1, 2), keepdims=True)
    return centred * (size.mean() / size)


def palm_length(engine: Engine) -> float:
    """From wrist to middle knuckle in the palm frame's UNIT."""
    joints = engine.arrays.joints
    return float(np.linalg.norm(joints[9] - joints[0])) / UNIT
