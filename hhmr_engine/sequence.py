"""Frames of joints -> one coherent motion of a whole hand for each hypothesis.

All frames of a hypothesis are denoised together, from the same noise. After every step the estimates of x0
are made smooth over time; each frame holds on to its own as far as it has seen something
(diffusion/temporal.py). At the end fingertips that snap backwards are straightened (hinges.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from .diffusion.gaussian import solve
from .diffusion.samplers import ddim, dpm_solver_pp_2m
from .diffusion.temporal import Smoother, smooth_columns
from .draws import draw_noise
from .hand.frame import PalmFrame
from .hand.template import UNIT
from .model.conditions import Conditions
from .observation import joint_noise
from .request import Hypotheses, Request, RequestError, check
from .selection import apart, expected_error, score
from .tracking import COARSE, Track, chunks, coarse_weights, pose_jerk, track_joints

if TYPE_CHECKING:
    from .engine import Engine, OnStep

FIRST, LAST = -2.5, 7.0  # log-SNR of the first and the last step
BATCH = 32  # frames that go through the network at once; between two batches on_step may stop
ASKED = 5  # frames of which it is asked whether they are a hand
LOOKS = 8  # frames of a motion that are looked at for fingers that run into each other


@torch.no_grad()
def complete_motion(
    engine: Engine, request: Request, on_step: OnStep | None = None, meshes: bool = False
) -> Hypotheses:
    """request.frames [T,21,3] completed: `motion` [n,T,21,3], with `meshes` also `moving` [n,T,V,3].

    The other arrays are of the frame in the middle, or of the whole motion where they have no hand to be of.
    Draw k is the same however many are asked for. Raises RequestError, and what on_step raises (Cancelled).
    """
    started = time.perf_counter()
    check(request, len(engine.arrays.vertices))
    assert request.frames is not None
    flip = np.array([-1, 1, 1], np.float32) if request.side == "left" else np.ones(3, np.float32)
    told = np.asarray(request.frames, np.float32) * flip
    told[~np.isfinite(told).all(-1)] = np.nan
    _check_is_hand(engine, request, flip)
    centre = np.nanmean(told, (0, 1), dtype=np.float64).astype(np.float32)  # far away, float32 is coarse
    batches = len(chunks(len(told), BATCH)) * (request.steps if request.method == "network" else 1)

    def report(done: int) -> None:
        if on_step is not None:
            on_step(done, request.count * batches, None)

    track = _track(engine, request, torch.from_numpy(told - centre).to(engine.device), report)
    sampler = MotionSampler(engine, track, request)
    results = []
    for draw in range(request.count):
        x = sampler.draw(draw, report, draw * batches)
        results.append(_finish(engine, track, x, meshes))
    residual, crossing = np.array([r[2] for r in results]), np.array([r[3] for r in results])
    size = UNIT * 1e3 / float(track.frame.scale.median())
    joints = np.stack([r[0] for r in results]).reshape(request.count, -1, 3) * size
    errors = expected_error(apart(joints, request.count), residual * UNIT * 1e3, request.rho, crossing)
    scores = score(errors)
    best = np.argsort(-scores, kind="stable")

    def placed(part: int) -> np.ndarray:
        return ((np.stack([results[k][part] for k in best]) + centre) * flip).astype(np.float32)

    motion, shown = placed(0), placed(1)
    middle = shown.shape[1] // 2
    return Hypotheses(
        vertices=shown[:, middle],
        joints=motion[:, len(told) // 2],
        faces=engine.arrays.faces if request.side == "right" else engine.arrays.faces[:, ::-1].copy(),
        residual=(residual * float(track.frame.scale.median()))[best].astype(np.float32),
        self_intersection=crossing[best].astype(np.float32),
        score=scores[best],
        draw=best.astype(np.int32),
        spread=np.linalg.norm(motion.std(0), axis=-1).mean(0).astype(np.float32),
        seed=request.seed,
        side=request.side,
        seconds=time.perf_counter() - started,
        motion=motion,
        moving=shown if meshes else None,
    )


class MotionSampler:
    """Everything the draws of a motion share: what every frame knows, and the factor that couples them."""

    def __init__(self, engine: Engine, track: Track, request: Request) -> None:
        self.prior, self.track, self.request = engine.prior, track, request
        self.network = engine.network() if request.method == "network" else None
        self.rows = chunks(len(track), BATCH)
        self.kept = torch.zeros(1, len(engine.template.nodes), dtype=torch.bool, device=engine.device)
        self.unit = pose_jerk(track)
        self.weights = self.unit**2 * coarse_weights(track)
        self.smoother = Smoother(self.weights)
        self.hinges = engine.hinges
        # A joint that is given now and then counts as given all the time: else its finger would jump.
        self.known = torch.stack([track.evidence(rows).precision.sum(0) for rows in self.rows]).sum(0)

    def draw(self, index: int, report: Callable[[int], None], done: int) -> Tensor:
        """Node states [T,3N] of one motion; report(batches of frames done), of which there were `done`."""
        size, rank = len(self.prior.mean), self.prior.rank
        noise = draw_noise(self.request.seed, index, size + rank).to(self.prior.mean.device)
        white, coefficients = noise.split([size, rank])
        start = self.smooth(torch.cat([self._start(rows, coefficients) for rows in self.rows]))
        if self.network is None:
            report(done + len(self.rows))
            return start

        def denoise(x: Tensor, level: Tensor) -> Tensor:
            nonlocal done
            parts = []
            for rows in self.rows:
                parts.append(self._denoise(rows, x[rows], level))
                done += 1
                report(done)
            return self.smooth(torch.cat(parts))

        levels = self.network[1].grid(self.request.steps, FIRST, LAST).to(white.device)
        x = levels[0].sqrt() * start + (1 - levels[0]).sqrt() * white
        solver = ddim if self.request.sampler == "ddim" else dpm_solver_pp_2m
        return self.hinges(solver(denoise, x, levels), self.prior, self.known)

    def smooth(self, x: Tensor) -> Tensor:
        """States [T,3N] made smooth: leading coefficients by what a frame knows of them, the rest alike."""
        leading = self.prior.scaled[:COARSE]
        u = self.prior.coefficients(x)[:, :COARSE] / self.prior.variance[:COARSE]
        rest = x - self.prior.mean - u @ leading
        v = self.smoother.solve((self.weights @ u[..., None])[..., 0])
        return self.prior.mean + v @ leading + smooth_columns(rest, self.unit**2)

    def _start(self, rows: slice, coefficients: Tensor) -> Tensor:
        """One hand drawn from the prior, moved by what each frame shows of the true one (Matheron's rule).

        What no frame has seen stays as drawn, and what each has seen may change from frame to frame. The
        observations' errors are not drawn: they differ from frame to frame, and smoothing averages them out.
        """
        seen = self.track.evidence(rows)
        factor = self.prior.factor(self.prior.variance.new_zeros(()), seen)
        return self.prior.expand(
            coefficients + solve(factor, seen.information - seen.precision @ coefficients)
        )

    def _denoise(self, rows: slice, x: Tensor, level: Tensor) -> Tensor:
        assert self.network is not None
        network, count = self.network[0], len(x)
        told = Conditions(
            joints=self.track.joints[rows],
            joint_sigma=self.track.sigma[rows],
            kept=self.kept.expand(count, -1),
        )
        seen = self.track.evidence(rows)
        x0 = network(x, level, network.encode(told, count), seen)
        if self.request.guidance == "none":
            return x0
        return self.prior.correct(x0, seen, self.prior.factor(level.clamp_max(1 - 1e-5), seen))


def _check_is_hand(engine: Engine, request: Request, flip: np.ndarray) -> None:
    """Raise RequestError unless most of some frames are a hand of this side; one may be badly recorded."""
    assert request.frames is not None
    seen = np.isfinite(request.frames).all(-1).sum(1)
    most = np.flatnonzero(seen == seen.max())
    asked = most[np.linspace(0, len(most) - 1, min(ASKED, len(most))).round().astype(int)]
    refused = []
    for frame in asked:
        try:
            engine.observe(replace(request, task="inpaint", joints=request.frames[frame], frames=None), flip)
        except RequestError as exc:
            refused.append(exc)
    if 2 * len(refused) > len(asked):
        raise refused[0]


def _track(engine: Engine, request: Request, frames: Tensor, report: Callable[[int], None]) -> Track:
    try:
        noise = joint_noise(request.rho, request.root_rho)
        return track_joints(engine.template, frames, noise, request.jerk, lambda: report(0))
    except ValueError as exc:
        hint = "Keep more of the hand, at least a part of the palm."
        raise RequestError("degenerate", f"This fixes no hand: {exc}", hint) from exc


def _finish(
    engine: Engine, track: Track, x: Tensor, meshes: bool
) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Joints [T,21,3], vertices of all frames or of some, residual (UNIT), self-intersection (%) of x."""
    if not torch.isfinite(x).all():
        raise RequestError("bad_weights", "The network gave no numbers.", "Reinstall its weights.")
    place = track.place(x)
    joints = place.to_world(track.points.of_nodes(x))
    gap = (joints - track.frame.to_world(track.target)).norm(dim=-1)[torch.isfinite(track.sigma)]
    residual = float(gap.mean() / track.frame.scale.median())
    some = _looks(len(track))
    rows = np.arange(len(track)) if meshes else some
    where = PalmFrame(place.scale[rows], place.rotation[rows], place.origin[rows])
    nodes = where.to_world(x[rows].unflatten(1, (-1, 3)))
    vertices = (engine.template.decoder @ nodes).cpu().numpy()
    crossing = float(engine.intersection.percentage(vertices[some] if meshes else vertices).mean())
    return joints.cpu().numpy(), vertices, residual, crossing


def _looks(count: int) -> np.ndarray:
    """Up to LOOKS frames, evenly over `count` of them; the one in their middle is the motion's."""
    half = min(LOOKS, count) // 2
    middle = count // 2
    before = np.linspace(0, middle, half, endpoint=False).round().astype(int)
    after = np.linspace(middle, count - 1, max(min(LOOKS, count) - half, 1)).round().astype(int)
    return np.concatenate([before, after])
