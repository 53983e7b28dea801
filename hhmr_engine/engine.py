"""The one door to everything below: Engine.run(request, on_step) -> Hypotheses."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from .arithmetic import flush_denormals
from .diffusion.schedule import Schedule
from .draws import BATCH, Draws, Remedy, Sampler
from .hand.build import at_resolution
from .hand.fit import fit_skinned
from .hand.frame import PalmFrame
from .hand.intersection import SelfIntersection
from .hand.seam import SeamBlend
from .hand.skeleton import PARENTS
from .hand.template import DEFAULT_PATH, UNIT, load_template
from .hinges import Hinges
from .model.checkpoint import level_sizes, load_network
from .model.graph_unet import GraphDenoiser
from .observation import Observation, node_prior, observe_joints, observe_nothing, observe_vertices
from .request import Cancelled, Hypotheses, Request, RequestError, check
from .selection import choose, expected_error, score
from .separation import Separation
from .version import VERSION

if TYPE_CHECKING:
    from .foreign import ForeignHand
    from .vision.trunks import Trunk

__all__ = ["Cancelled", "Engine", "Hypotheses", "Request", "RequestError"]

TRUNK = "trunk.safetensors"
DEFAULT_WEIGHTS = Path(__file__).with_name("weights") / "hhmr.safetensors"
POOL = 2  # draws per hypothesis that is asked for, when the most different ones are kept
# Millimetres at hand size: what the prior explains worse is no hand. Other rigs have other joints in a hand.
STRANGE = {"bad_joints": 14.0, "bad_mesh": 6.0}

OnStep = Callable[[int, int, np.ndarray | None], None]


class Engine:
    """Loads the hand at once and the network at the first request that needs it (or with `warm_up`)."""

    def __init__(
        self,
        device: str = "cpu",
        weights: Path | None = None,
        threads: int | None = None,
        template: Path | None = None,
        trunk: Path | None = None,
    ) -> None:
        """weights, template None: those that ship. threads None: torch's own choice.

        trunk: of a ResNet-50; None: what lies beside the weights, where one was trained with them.

        ValueError for a bad device or template.
        """
        if threads:
            torch.set_num_threads(threads)
        flush_denormals()
        self.device = _device(device)
        self.weights, self.template_file = weights or DEFAULT_WEIGHTS, template
        hand = load_template(template or DEFAULT_PATH)
        sizes = level_sizes(self.weights)
        every_vertex = sizes is not None and sizes[0] == len(hand.vertices)
        self.arrays = at_resolution(hand, sizes) if sizes and every_vertex else hand
        self.template = self.arrays.torch(self.device)
        self.prior = node_prior(self.template)
        self.intersection = SelfIntersection(self.arrays.faces, self.arrays.weights, np.array(PARENTS))
        self.hinges = Hinges(self.arrays, self.device)
        self.separation = Separation(self.arrays, self.intersection, self.device)
        beside = self.weights.with_name(TRUNK)
        self.trunk_file = trunk or (beside if beside.is_file() else None)
        self._trunk: Trunk | None = None
        self._network: tuple[GraphDenoiser, Schedule] | None = None

    def info(self) -> dict[str, object]:
        """What runs here: for hello, status and `hhmr doctor`."""
        exists = self.weights.is_file()
        digest = hashlib.sha256(self.weights.read_bytes()).hexdigest()[:16] if exists else None
        return {
            "name": "HHMR",
            "version": VERSION,
            "device": str(self.device),
            "weights": self.weights.name if exists else None,
            "weights_sha256": digest,
            "template": self.arrays.name,
            "vertices": len(self.arrays.vertices),
        }

    def warm_up(self) -> None:
        """Load the weights and run one step, so that the first request is as fast as the second."""
        self.run(Request("generate", count=1, steps=1, diverse=False))

    @torch.no_grad()
    def run(self, request: Request, on_step: OnStep | None = None) -> Hypotheses:
        """Hypotheses for a request. Raises RequestError, or between steps what on_step raises (Cancelled)."""
        started = time.perf_counter()
        if request.task == "motion":
            from .sequence import complete_motion  # with scipy, which nothing else here needs

            return complete_motion(self, request, on_step)
        if request.task == "reconstruct":
            from .reconstruction import reconstruct  # with the vision front, which nothing else here needs

            return reconstruct(self, request, on_step)
        check(request, len(self.arrays.vertices))
        foreign = None
        if request.surface is not None:
            from .foreign import ForeignHand  # with scipy, which nothing else here needs

            foreign = ForeignHand(self.arrays, request)
            request = replace(request, side=foreign.side)
        flip = np.array([-1, 1, 1], np.float32) if request.side == "left" else np.ones(3, np.float32)
        if foreign is not None:
            observation = foreign.observation(self.template, request.rho)
        else:
            observation = self.observe(request, flip)
        network = self.network() if request.method == "network" else None
        remedies = self.remedies(request)
        sampler = Sampler(self.template, self.prior, network, observation, request, remedies)
        pool = max(POOL * request.count, BATCH) if request.diverse else request.count

        def report(done: int, total: int, x: Tensor) -> None:
            if on_step is not None:
                shown = self._world(observation, x[:1])[0] * flip if request.preview else None
                on_step(done, total, shown)

        draws = sampler.draw(pool, report)
        return self._finish(request, observation, foreign, draws, flip, started)

    def remedies(self, request: Request) -> list[Remedy]:
        """What mends a request's draws, in turn. The baseline's hinges stay as they are."""
        separation: list[Remedy] = [self.separation] if request.separate else []
        return [*separation, self.hinges] if request.method == "network" else separation

    def network(self) -> tuple[GraphDenoiser, Schedule]:
        """The network and its schedule; raises RequestError when the weights are missing or don't fit."""
        if self._network is None:
            try:
                model, schedule = load_network(self.weights, self.arrays, self.prior)
            except FileNotFoundError:
                text = f"There are no weights at {self.weights}."
                raise RequestError("no_weights", text, "Reinstall, or choose the Gaussian method.") from None
            except ValueError as exc:
                code = "wrong_topology" if "topology" in str(exc) else "bad_weights"
                raise RequestError(code, f"The weights can't be used: {exc}") from exc
            self._network = model.to(self.device), schedule
        return self._network

    def trunk(self) -> Trunk:
        """What the weights look at photos through; RequestError when it is a ResNet-50 that is not there."""
        if self._trunk is None:
            from .vision.trunks import HandTrunk, load_trunk

            name = "hand" if self.network()[0].settings.image_features == HandTrunk.width else "resnet50"
            try:
                self._trunk = load_trunk(name, self.trunk_file, str(self.device))
            except (ValueError, OSError) as exc:
                raise RequestError(
                    "bad_weights", f"The photo can't be looked at: {exc}", "Or leave its look out."
                ) from exc
        return self._trunk

    def observe(self, request: Request, flip: np.ndarray) -> Observation:
        """What a request says of the hand, `flip` [3] making it a right one; RequestError if it is none."""
        if request.task == "generate":
            return observe_nothing(self.template)
        given = request.joints if request.joints is not None else request.vertices
        assert given is not None
        points = torch.from_numpy(np.asarray(given, np.float32) * flip).to(self.device)
        if request.joints is not None:
            observe = partial(observe_joints, rho=request.rho, root_rho=request.root_rho)
        else:
            observe = partial(observe_vertices, rho=request.rho)
        try:
            observation = observe(self.template, points)
            mirrored = observe(self.template, points * points.new_tensor([-1, 1, 1]))
        except ValueError as exc:
            hint = "Select more of the hand, at least a part of the palm."
            raise RequestError("degenerate", f"This fixes no hand: {exc}", hint) from exc
        self._check_is_hand(request, observation, mirrored)
        return observation

    def _check_is_hand(self, request: Request, observation: Observation, mirrored: Observation) -> None:
        """The Gaussian must explain what is given within millimetres, and better than its mirror image."""
        code = "bad_joints" if request.joints is not None else "bad_mesh"
        energy, distance = observation.energy(self.prior)
        other, _ = mirrored.energy(self.prior)
        if energy > 1.2 * other + 10:
            side = "left" if request.side == "right" else "right"
            text = f"This looks like a {side} hand, not a {request.side} one."
            raise RequestError(code, text, f"Choose the {side} side.")
        millimetres = distance * UNIT * 1e3
        if not millimetres < STRANGE[code] + 3 * request.rho:
            text = f"This does not look like a hand ({millimetres:.0f} mm off at its best)."
            raise RequestError(code, text, "Check the order of what was given, or allow it more noise.")

    def _world(self, observation: Observation, x: Tensor) -> np.ndarray:
        """Vertices [n,V,3] of node states in the user's frame (of a right hand)."""
        palm = self.template.decoder @ x.unflatten(-1, (-1, 3))
        frame = observation.frame
        size = len(x)
        frame = PalmFrame(
            frame.scale.expand(size), frame.rotation.expand(size, 3, 3), frame.origin.expand(size, 3)
        )
        return frame.to_world(observation.aligned(x, palm)).cpu().numpy()

    def _finish(
        self,
        request: Request,
        observation: Observation,
        foreign: ForeignHand | None,
        draws: Draws,
        flip: np.ndarray,
        started: float,
    ) -> Hypotheses:
        x = draws.x
        if not torch.isfinite(x).all():
            raise RequestError("bad_weights", "The network gave no numbers.", "Reinstall its weights.")
        rotations = None
        if request.fit:
            nodes = observation.aligned(x, x.unflatten(-1, (-1, 3)))
            rows = observation.points.rows if observation.points else x.new_zeros(0, nodes.shape[1])
            fitted = fit_skinned(self.template, nodes, rows, observation.target, observation.sigma)
            x = fitted.vertices[:, self.template.nodes].flatten(1)
            rotations = fitted.rotations.cpu().numpy()
        unit = float(observation.frame.scale[0])  # metres in the user's space per UNIT
        residual = observation.residual(x).cpu().numpy()
        vertices = self._world(observation, x)
        if foreign is not None:
            motions = foreign.motions(vertices)
            vertices = foreign.template_like(motions)
        elif observation.kept.any():
            given = np.asarray(request.vertices, np.float32) * flip
            vertices = SeamBlend(self.arrays, observation.kept.cpu().numpy())(vertices, given)
        crossing = self.intersection.percentage(vertices)
        # What the given part does to itself is in all of them, and none of their faults.
        own = crossing.min() if observation.kept.any() else 0.0
        errors = expected_error(draws.apart, residual * UNIT * 1e3, request.rho, crossing - own)
        scores = score(errors)
        joints = (self.arrays.regressor @ vertices).astype(np.float32)
        best = choose(scores, joints / unit, request.count, request.diverse)
        followed = {} if foreign is None else foreign.follow(motions[best])
        return Hypotheses(
            vertices=(vertices * flip)[best].astype(np.float32),
            joints=(joints * flip)[best],
            faces=self.arrays.faces if request.side == "right" else self.arrays.faces[:, ::-1].copy(),
            residual=(residual * unit)[best].astype(np.float32),
            self_intersection=crossing[best],
            score=scores[best],
            draw=best.astype(np.int32),
            spread=np.linalg.norm(joints[best].std(0), axis=-1).astype(np.float32),
            seed=request.seed,
            side=request.side,
            seconds=time.perf_counter() - started,
            rotations=None if rotations is None else rotations[best].astype(np.float32),
            **followed,
        )


def _device(name: str) -> torch.device:
    """'auto', 'cpu', 'cuda', 'cuda:1', 'mps'; ValueError says when this machine has no such device."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    kind = name.split(":")[0]
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there.get(kind, False):
        raise ValueError(f"This machine has no device '{name}'; use cpu.")
    return torch.device(name)
