"""Those who are measured beside the network, each with its settings tuned on the validation split."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

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
from ..skeleton_fit import KinematicFit, KinematicSettings
from ..skeletons import hidden_joints
from ..testset import REFERENCE_SEED, TestHands, held_out_rows, recorded_hands, stream_hands
from ..tuning import Tuned, tune
from .table import Context

WIDTHS: dict[str, tuple] = {
    "components": (16, 32, 64),
    "temperature": (0.7, 0.85, 1.2, 1.5),
    "rho": (0.5, 2.0),
}
RECORDED: dict[str, tuple] = {"rho": (2.0, 4.0)}
REFUSED = 20.0  # millimetres: what no answer costs
NOT_LOOKED_AT = np.full(1, np.nan)  # self-intersection
POSE_COMPONENTS = 30
BY_ENERGY = "the energy score of what is missing, mm"
BY_ERROR = "PA-MPVPE of the one answer, mm"


@dataclass(frozen=True)
class Believed:
    """rho: millimetres, the noise that joints are said to have."""

    rho: float = 1.0

    def __str__(self) -> str:
        return f"rho {self.rho:g}"


@dataclass
class Contenders:
    """The tuned baselines of one context, made when they are first asked for."""

    context: Context

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

    @cached_property
    def model(self) -> PosedJoints:
        """The skinned hand whose bones turn as training's do."""
        return self.posed("rotations", POSE_COMPONENTS)

    def posed(self, pose: str, components: int) -> PosedJoints:
        """The same with another pose's components."""
        context = self.context
        return PosedJoints(
            context.engine.arrays, context.recordings, pose, components, hands=self.training_poses
        )

    @cached_property
    def training_poses(self) -> TrainingHands:
        """What fits of the skinned hand take as their prior."""
        count = self.context.size(PRIOR_HANDS, 1000)
        return training_hands(self.context.engine.arrays, self.context.recordings, count)

    @cached_property
    def nearest_hands(self) -> NearestHands:
        return NearestHands(self.context.engine.arrays, self.training)

    def pca(self, settings: PcaSettings, count: int = COUNT, engine: Engine | None = None) -> Method:
        asker = Asker(pca_engine(engine or self.context.engine, settings), self.context.bar)
        return drawn(asker, "gaussian", count, rho=settings.rho)

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

    @cached_property
    def pca_of_skeletons(self) -> Tuned[PcaSettings]:
        """For one answer to a whole skeleton: a temperature of 0 answers with the likeliest hand."""

        def cost(settings: PcaSettings) -> float:
            self.context.expect(len(self.validation))
            return self._error(self.pca(settings, 1), self.validation, self.validation.joints)

        return tune(PcaSettings(temperature=0.0), self._fewer(WIDTHS | {"temperature": (0.5,)}), cost)

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

    @cached_property
    def kinematic(self) -> Tuned[KinematicSettings]:
        """On joints as they were recorded."""

        def cost(settings: KinematicSettings) -> float:
            return self._error(fitted(self.asker, KinematicFit(self.model, settings)), *self.recorded)

        return tune(KinematicSettings(), self._fewer({"sigma": (0.5, 2.0, 4.0)}), cost)

    @cached_property
    def pca_of_recorded(self) -> Tuned[PcaSettings]:
        """The same for joints as they were recorded, which are not quite where our hand has them."""

        def cost(settings: PcaSettings) -> float:
            self.context.expect(len(self.recorded[0]))
            return self._error(self.pca(settings, 1), *self.recorded)

        return tune(PcaSettings(temperature=0.0), self._fewer(RECORDED | {"components": (32, 64)}), cost)

    @cached_property
    def rho_of_recorded(self) -> Tuned[Believed]:
        """How far the network is to believe such joints."""

        def cost(settings: Believed) -> float:
            self.context.expect(len(self.recorded[0]))
            return self._error(self.network(rho=settings.rho), *self.recorded)

        return tune(Believed(), self._fewer(RECORDED), cost)

    @cached_property
    def recorded(self) -> tuple[TestHands, np.ndarray]:
        """Validation hands and their joints as the devices gave them."""
        arrays, count = self.context.engine.arrays, self.context.size(3, 1)
        parts = self.context.recordings
        hands = recorded_hands(arrays, parts, count, VALIDATION)
        return hands, np.concatenate([r.joints[held_out_rows(r, count, VALIDATION)] for r in parts])

    def _error(self, method: Method, hands: TestHands, told: np.ndarray) -> float:
        """PA-MPVPE in mm of the mean of what a method says to skeletons; REFUSED where it says nothing."""
        each = [
            millimetres(metrics.aligned_error(answer.vertices.mean(0), hands.vertices[row]))
            for row, answer in method(told.astype(np.float64))
        ]
        return (float(np.sum(each)) + REFUSED * (len(hands) - len(each))) / len(hands)

    def _fewer(self, knobs: dict[str, tuple]) -> dict[str, tuple]:
        """With --quick one value of every knob is tried, so that all of it runs."""
        return {name: values[:1] for name, values in knobs.items()} if self.context.quick else knobs

    def network(self, count: int = COUNT, engine: Engine | None = None, **changes: object) -> Method:
        return drawn(self.context.asker(engine), "network", count, **changes)

    def nearest(self, count: int = COUNT) -> Method:
        return looked_up(self.asker, self.nearest_hands, count, self.nearest_settings.best.scale)

    def inverse_kinematics(self) -> Method:
        return fitted(self.asker, KinematicFit(self.model, self.kinematic.best))

    def deterministic(self, name: str = "deterministic") -> Method | None:
        """The network of that name among those compared; None where its weights were not given."""
        engine = self.context.other(name)
        return None if engine is None else regressed(self.asker, Regressor(engine))
