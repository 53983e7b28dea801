"""Those who are measured beside the network, each with its settings tuned on the validation split."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from ...data.splits import VALIDATION
from ...engine import Engine
from .. import metrics
from ..asking import COUNT, Asker, millimetres
from ..baselines import LbfgsSettings, PcaFit
from ..completions import Answer, Method, complete, drawn, fitted, looked_up, regressed
from ..deterministic import Regressor
from ..hand_model2d import PRIOR_HANDS, PosedJoints, TrainingHands, training_hands
from ..meshes import LEFT_OUT, kept_without
from ..nearest import NearestHands, NearestSettings
from ..pca import PcaSettings, pca_engine
from ..recorded import in_our_places
from ..skeleton_fit import KinematicFit, KinematicSettings
from ..skeletons import hidden_joints
from ..testset import REFERENCE_SEED, TestHands, held_out_rows, recorded_hands, stream_hands
from ..tuning import Tuned, tune
from .table import Context
from .weights import left_out

S = TypeVar("S")

WIDTHS: dict[str, tuple] = {
    "components": (16, 32, 64),
    "temperature": (0.7, 0.85, 1.2, 1.5),
    "rho": (0.5, 2.0),
}
# Where the joints of a whole skeleton lie: where our mesh has them, or where a device said, its wrist and
# thumb's root moved to ours or as they were recorded.
EXACT, CALIBRATED, RECORDED = "of the mesh", "with the calibration", "as recorded"
BELIEVED = (0.5, 2.0, 4.0)  # millimetres, beside 1
ROOTS = (4.0, 8.0, 12.0)  # the same of the wrist and the thumb's root, beside 0
REFUSED = 20.0  # millimetres: what no answer costs
NOT_LOOKED_AT = np.full(1, np.nan)  # self-intersection
POSE_COMPONENTS = 30
BY_ENERGY = "the energy score of what is missing, mm"
BY_ERROR = "PA-MPVPE of the one answer, mm"


@dataclass(frozen=True)
class Believed:
    """Millimetres of noise that joints are said to have; root: of wrist and thumb's root beside it."""

    rho: float = 1.0
    root: float = 0.0

    def __str__(self) -> str:
        return f"rho {self.rho:g}, roots' {self.root:g}"


@dataclass
class Contenders:
    """The tuned baselines of one context, made when they are first asked for."""

    context: Context
    tuned: dict[tuple[str, str], Tuned[Any]] = field(default_factory=dict)
    poses: dict[tuple[str, ...], TrainingHands] = field(default_factory=dict)  # by the sources left out
    models: dict[tuple[str, ...], PosedJoints] = field(default_factory=dict)

    @cached_property
    def asker(self) -> Asker:
        return self.context.asker()

    @cached_property
    def training(self) -> np.ndarray:
        """[M,V,3] training hands, palm frame, metres: to look up in, and to be near to."""
        count = self.context.size(5000, 600)
        return stream_hands(self.context.engine.arrays, self.context.recordings, count, REFERENCE_SEED)

    @cached_property
    def reference(self) -> np.ndarray:
        """[M,21,3] their joints."""
        return self.context.engine.arrays.regressor @ self.training

    @cached_property
    def validation(self) -> TestHands:
        count = self.context.size(5, 1)
        hands = recorded_hands(self.context.engine.arrays, self.context.recordings, count, VALIDATION)
        return hands.first(self.context.size(24, 2))

    @cached_property
    def what(self) -> str:
        return f"{len(self.validation)} validation hands"

    @property
    def model(self) -> PosedJoints:
        """The skinned hand whose bones turn as training's do."""
        return self.model_without(())

    def model_without(self, sources: tuple[str, ...]) -> PosedJoints:
        """The same, its prior without these sources."""
        if sources not in self.models:
            self.models[sources] = self.posed("rotations", POSE_COMPONENTS, sources)
        return self.models[sources]

    def posed(self, pose: str, components: int, without: tuple[str, ...] = ()) -> PosedJoints:
        """The same with another pose's components."""
        context = self.context
        hands = self.training_poses(without)
        return PosedJoints(context.engine.arrays, context.recordings, pose, components, hands=hands)

    def training_poses(self, without: tuple[str, ...]) -> TrainingHands:
        """What fits of the skinned hand take as their prior: of all sources but these."""
        if without not in self.poses:
            recordings = [r for r in self.context.recordings if r.name not in without]
            count = self.context.size(PRIOR_HANDS, 1000)
            self.poses[without] = training_hands(self.context.engine.arrays, recordings, count)
        return self.poses[without]

    @cached_property
    def nearest_hands(self) -> NearestHands:
        return NearestHands(self.context.engine.arrays, self.training)

    def pca(self, settings: PcaSettings, count: int = COUNT, engine: Engine | None = None) -> Method:
        asker = Asker(pca_engine(engine or self.context.engine, settings), self.context.bar)
        return drawn(asker, "gaussian", count, rho=settings.rho, root_rho=settings.root)

    @cached_property
    def pca_of_joints(self) -> Tuned[PcaSettings]:
        """For missing joints."""
        return self._pca(~hidden_joints(False), self.validation)

    @cached_property
    def pca_of_meshes(self) -> Tuned[PcaSettings]:
        """For missing parts of a mesh."""
        kept = kept_without(self.context.engine.arrays, LEFT_OUT)
        return self._pca(kept, self.validation.first(self.context.size(8, 2)))

    def _pca(self, seen: np.ndarray, hands: TestHands) -> Tuned[PcaSettings]:
        def cost(settings: PcaSettings) -> float:
            self.context.expect(len(hands))
            return complete(self.asker, self.pca(settings), hands, seen).mean("energy")

        return tune(PcaSettings(), self._fewer(WIDTHS), cost)

    def lbfgs(self, settings: LbfgsSettings) -> Method:
        """The PCA prior fitted to joints; one answer."""
        arrays, prior = self.context.engine.arrays, self.context.engine.prior
        fit = PcaFit(arrays.torch(), prior, settings)

        def complete(told: np.ndarray) -> Iterator[tuple[int, Answer]]:
            for row, joints in enumerate(told):
                started = time.perf_counter()
                vertices = fit.fit(joints, 1)
                regressed = (arrays.regressor @ vertices).astype(np.float32)
                yield row, Answer(vertices, regressed, NOT_LOOKED_AT, None, time.perf_counter() - started)

        return complete

    @cached_property
    def lbfgs_settings(self) -> Tuned[LbfgsSettings]:
        hands = self.validation.first(self.context.size(6, 1))

        def cost(settings: LbfgsSettings) -> float:
            return self._error(self.lbfgs(settings), hands, hands.joints)

        knobs = {"start": (0.0,), "iterations": (200,), "sigma": (0.5,)}
        return tune(LbfgsSettings(), self._fewer(knobs), cost)

    @cached_property
    def nearest_settings(self) -> Tuned[NearestSettings]:
        """Of how many hands the one answer is the mean, and whether they may be resized."""

        def cost(settings: NearestSettings) -> float:
            method = looked_up(self.asker, self.nearest_hands, settings.average, settings.scale)
            return self._error(method, self.validation, self.validation.joints)

        return tune(NearestSettings(), self._fewer({"average": (1, 2, 8), "scale": (False,)}), cost)

    def pca_of_skeletons(self, kind: str) -> Tuned[PcaSettings]:
        """For one answer to a whole skeleton: a temperature of 0 answers with the likeliest hand."""
        knobs = {"root": ROOTS, "rho": BELIEVED, "components": (32, 64)}
        start = PcaSettings(temperature=0.0)
        return self._on_skeletons("pca", kind, start, knobs, lambda s: self.pca(s, 1))

    def rho(self, kind: str) -> Tuned[Believed]:
        """How far the network is to believe such joints."""
        knobs = {"root": ROOTS, "rho": BELIEVED}
        return self._on_skeletons("rho", kind, Believed(), knobs, self.believing)

    def believing(self, settings: Believed, engine: Engine | None = None) -> Method:
        """The network's draws, joints believed so far."""
        return self.network(engine=engine, rho=settings.rho, root_rho=settings.root)

    def kinematic(self, kind: str) -> Tuned[KinematicSettings]:
        def method(settings: KinematicSettings) -> Method:
            return fitted(self.asker, KinematicFit(self.model, settings))

        knobs = {"root": ROOTS, "sigma": BELIEVED}
        return self._on_skeletons("ik", kind, KinematicSettings(), knobs, method)

    def told_of(self, kind: str) -> list[str]:
        """How all that depends on where joints lie was tuned: sentences for a table's notes."""
        what = f"validation skeletons, joints {kind}, by {BY_ERROR}"
        return [
            self.rho(kind).told("The network's rho", what),
            self.pca_of_skeletons(kind).told("PCA", what),
            self.kinematic(kind).told("Inverse kinematics", what),
        ]

    def _on_skeletons(
        self, who: str, kind: str, start: S, knobs: dict[str, tuple], method: Callable[[S], Method]
    ) -> Tuned[S]:
        """Tuned once for whole skeletons of a kind: EXACT, CALIBRATED or RECORDED."""
        hands, told = self._skeletons(kind)

        def cost(settings: S) -> float:
            self.context.expect(len(hands))
            return self._error(method(settings), hands, told)

        if (who, kind) not in self.tuned:
            self.tuned[who, kind] = tune(start, self._fewer(knobs), cost)
        return self.tuned[who, kind]

    def _skeletons(self, kind: str) -> tuple[TestHands, np.ndarray]:
        """Validation hands, and their joints: the meshes' own, or the devices'."""
        if kind == EXACT:
            return self.validation, self.validation.joints
        arrays, count = self.context.engine.arrays, self.context.size(3, 1)
        parts = self.context.recordings[: self.context.size(len(self.context.recordings), 2)]
        hands = recorded_hands(arrays, parts, count, VALIDATION)
        told = [r.joints[held_out_rows(r, count, VALIDATION)] for r in parts]
        if kind == CALIBRATED:
            told = [in_our_places(arrays, r, joints) for r, joints in zip(parts, told)]
        return hands, np.concatenate(told)

    def _error(self, method: Method, hands: TestHands, told: np.ndarray) -> float:
        """PA-MPVPE in mm of the mean of what a method says to skeletons; REFUSED where it says nothing."""
        each = [
            millimetres(metrics.aligned_error(answer.vertices.mean(0), hands.vertices[row]))
            for row, answer in method(told.astype(np.float64))
        ]
        return (float(np.sum(each)) + REFUSED * (len(hands) - len(each))) / len(hands)

    def _fewer(self, knobs: dict[str, tuple]) -> dict[str, tuple]:
        """With --quick the settings to start from are the only ones."""
        return {} if self.context.quick else knobs

    def network(self, count: int = COUNT, engine: Engine | None = None, **changes: object) -> Method:
        return drawn(self.context.asker(engine), "network", count, **changes)

    def nearest(self, count: int = COUNT) -> Method:
        return looked_up(self.asker, self.nearest_hands, count, self.nearest_settings.best.scale)

    def inverse_kinematics(self, kind: str, judge: Engine | None = None) -> Method:
        """judge: the prior knows no source that its weights never saw."""
        unseen = () if judge is None else left_out(judge.weights)
        return fitted(self.asker, KinematicFit(self.model_without(unseen), self.kinematic(kind).best))

    def deterministic(self, name: str = "deterministic") -> Method | None:
        """The network of that name among those compared; None where its weights were not given."""
        engine = self.context.other(name)
        return None if engine is None else regressed(self.asker, Regressor(engine))
