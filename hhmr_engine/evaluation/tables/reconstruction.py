"""Whole skeletons and ambiguous conditions to meshes: how many hypotheses and steps, against regression.

The paper's Tables 2 and 4. Best of n picks with the truth; mean of 8, likeliest by score and one draw do not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np

from ...engine import Request, RequestError
from .. import metrics
from ..asking import SEED, millimetres
from ..completions import Answer, Method, of_hypotheses
from ..fitting2d import SeenHands, camera_errors, seen_hands
from ..pictured import CAMERA, average, request_of
from ..rendered import Render, rendered_hands
from ..skeletons import hidden_joints
from ..testset import TestHands, recorded_hands
from .contenders import BY_ENERGY, BY_ERROR, EXACT, Contenders
from .pictures import Case, cases_sheet
from .table import Check, Context, Table, at_most

HEAD = ("", "T", "hands", "PA-MPJPE, mm", "PA-MPVPE, mm", "MPVPE, mm", "F@5", "F@15", "s a hand")
MANY, FEW = 32, 8
STEPS = (4, 25, 50)  # beside the usual 10, of which there are MANY draws
BEST_OF = {8: 0.75, 16: 0.70, 32: 0.65}
FULL, FINGERS, FLAT, PHOTO = "3D skeleton", "three fingers hidden", "2D skeleton", "photo and 2D skeleton"
ONE, MEAN, FIRST = "one draw", "mean of 8", "first of 8 by score"
LIKELIEST = "the draw without noise"
REGRESSED = "deterministic network"


@dataclass
class Errors:
    """Of every hand [N,5]: PA-MPJPE, PA-MPVPE, MPVPE in mm, F@5, F@15; seconds of its answer."""

    rows: list[np.ndarray] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def add(self, errors: np.ndarray, seconds: float = math.nan) -> None:
        self.rows.append(errors)
        self.seconds.append(seconds)

    @property
    def means(self) -> np.ndarray:
        return np.mean(self.rows, 0) if self.rows else np.full(5, np.nan)

    @property
    def mpvpe(self) -> float:
        """PA-MPVPE: what the ratios are of."""
        return float(self.means[1])

    def cells(self, what: str, steps: str) -> tuple[str | float, ...]:
        took = float(np.mean(self.seconds)) if self.seconds else math.nan
        return (what, steps, str(len(self.rows)), *(float(v) for v in self.means), took)


@dataclass(frozen=True)
class Truth:
    """One hand; in_camera: size and depth, which no picture shows, are taken out of MPVPE."""

    vertices: np.ndarray
    joints: np.ndarray
    in_camera: bool = False

    def errors(self, vertices: np.ndarray, joints: np.ndarray, f: bool = True) -> np.ndarray:
        """[n,5] of answers [n,V,3] and [n,21,3]; F-scores of aligned meshes, NaN where not wanted."""
        result = np.full((len(vertices), 5), np.nan)
        result[:, 0] = millimetres(metrics.aligned_error(joints, self.joints))
        laid = metrics.procrustes_align(vertices, self.vertices)
        result[:, 1] = millimetres(metrics.mean_point_error(laid, self.vertices))
        if self.in_camera:
            result[:, 2] = millimetres(camera_errors(vertices, joints, self.vertices, self.joints)[0])
        else:
            result[:, 2] = millimetres(metrics.mean_point_error(vertices, self.vertices))
        if f:
            result[:, 3:] = metrics.f_scores(laid, self.vertices, (0.005, 0.015))
        return result


@dataclass
class Measured:
    """Of one condition: what is shown as rows, by name and steps."""

    name: str
    of: dict[tuple[str, str], Errors] = field(default_factory=dict)

    def at(self, what: str, steps: str = "") -> Errors:
        return self.of.setdefault((what, steps), Errors())

    def add_draws(self, answer: Answer, truth: Truth, steps: str) -> None:
        """The likeliest and the next draw, mean and first of eight, and the best of as many as there are."""
        each = truth.errors(answer.vertices, answer.joints, f=False)
        few = slice(0, FEW)
        for what, draw, seconds in ((ONE, 1, answer.seconds), (LIKELIEST, 0, math.nan)):
            own = truth.errors(answer.vertices[[draw]], answer.joints[[draw]])[0]
            self.at(what, steps).add(own, seconds)
        vertices, joints = answer.vertices[few].mean(0), answer.joints[few].mean(0)
        if truth.in_camera:
            vertices, joints = average(answer.vertices[few], answer.joints[few])
        self.at(MEAN, steps).add(truth.errors(vertices[None], joints[None])[0])
        assert answer.score is not None
        chosen = [int(answer.score[few].argmax())]
        self.at(FIRST, steps).add(truth.errors(answer.vertices[chosen], answer.joints[chosen])[0])
        for n in BEST_OF:
            if n <= len(each):
                best = [int(each[:n, 1].argmin())]
                own = truth.errors(answer.vertices[best], answer.joints[best])[0]
                own[[0, 2]] = each[:n, [0, 2]].min(0)
                self.at(f"best of {n}", steps).add(own)

    def ratio(self, what: str, base: str, steps: str = "10") -> float:
        """Of PA-MPVPE; NaN where there is nothing to compare with."""
        other = self.of.get((base, steps if base != REGRESSED else ""))
        return self.at(what, steps).mpvpe / other.mpvpe if other and other.rows else math.nan

    def rows(self) -> list[tuple[str | float, ...]]:
        return [errors.cells(f"{self.name}: {what}", steps) for (what, steps), errors in self.of.items()]


def reconstruction(context: Context) -> Table:
    contenders = Contenders(context)
    context.engine.network()
    hands = recorded_hands(context.engine.arrays, context.recordings, context.size(4, 1))
    hands = hands.first(context.size(20, 1))
    full, case = _in_space(context, contenders, hands, FULL, np.ones(21, bool))
    fingers, worst = _in_space(context, contenders, hands, FINGERS, ~hidden_joints(False))
    flat = _flat(context)
    photo = _photos(context)
    parts = [full, fingers, flat, *photo]
    notes = [
        "MPVPE in space is in the frame of what was given; before a camera, size and depth are taken out, and"
        " rotation stays in. F-scores are of aligned meshes. Best of n picks with the truth: its F-scores are"
        " those of the draw with the lowest PA-MPVPE.",
        *contenders.told_of(EXACT)[1:],
        contenders.pca_of_joints.told("PCA, hidden fingers", f"{contenders.what}, by {BY_ENERGY}"),
        contenders.nearest_settings.told("Training hands looked up", contenders.what),
        contenders.lbfgs_settings.told("PCA fitted by L-BFGS", f"the first of them, by {BY_ERROR}"),
    ]
    if REGRESSED.split()[0] not in context.others:
        notes.append("The deterministic network's rows need its weights: --compare deterministic=FILE.")
    if not photo:
        notes.append("Photos: these weights look at them through a ResNet-50, which --trunk names.")
    pictures = {
        "reconstruction_skeleton_worst.png": cases_sheet(
            case, context.engine.arrays.faces, "3D skeleton: where one draw is furthest from the truth"
        ),
        "reconstruction_fingers_worst.png": cases_sheet(
            worst, context.engine.arrays.faces, "Three fingers hidden: where the best of 8 is worst"
        ),
    }
    rows = [row for part in parts for row in part.rows()]
    return Table("reconstruction", "Reconstruction", HEAD, rows, _checks(full, parts[1:]), notes, pictures)


def _in_space(
    context: Context, contenders: Contenders, hands: TestHands, name: str, seen: np.ndarray
) -> tuple[Measured, list[Case]]:
    """Joints `seen` [21] given. The figures, and the cases in which the network does worst."""
    measured = Measured(name)
    told = np.where(seen[:, None], hands.joints, np.nan)
    truths = [Truth(v, j) for v, j in zip(hands.vertices, hands.joints)]
    context.expect(len(hands) * (MANY // FEW + len(STEPS)))
    answers = {}
    for steps, count in ((4, FEW), (10, MANY), (25, FEW), (50, FEW)):
        for row, answer in contenders.network(count, steps=steps)(told):
            measured.add_draws(answer, truths[row], str(steps))
            if steps == 10:
                answers[row] = answer
    for what, method in _others(contenders, name).items():
        for row, answer in method(told):
            mean = answer.vertices.mean(0)[None], answer.joints.mean(0)[None]
            measured.at(what).add(truths[row].errors(*mean)[0], answer.seconds)
    which = ONE if name == FULL else "best of 8"
    errors = np.array([row[1] for row in measured.at(which, "10").rows])
    worst = [list(answers)[k] for k in np.argsort(-errors)[: context.size(3, 1)]]
    cases = [
        Case(
            f"{hands.source[row]}; {which} {errors[list(answers).index(row)]:.1f} mm",
            hands.vertices[row],
            hands.joints[row],
            answers[row].vertices[:6],
            answers[row].joints[:6],
            given=told[row],
        )
        for row in worst
    ]
    return measured, cases


def _others(contenders: Contenders, name: str) -> dict[str, Method]:
    """The baselines' one answer: of those that draw, the mean."""
    average = contenders.nearest_settings.best.average
    tuned = contenders.pca_of_skeletons(EXACT).best
    if name != FULL:
        tuned = replace(contenders.pca_of_joints.best, temperature=0.0)
    methods = {
        "PCA, its mean": contenders.pca(tuned, 1),
        "PCA fitted by L-BFGS": contenders.lbfgs(contenders.lbfgs_settings.best),
        f"mean of the {average} nearest training hands": contenders.nearest(average),
        "inverse kinematics": contenders.inverse_kinematics(EXACT),
    }
    regressor = contenders.deterministic()
    return methods | ({REGRESSED: regressor} if regressor is not None else {})


def _flat(context: Context) -> Measured:
    """2D skeletons of recordings, a third of the joints hidden."""
    hands: SeenHands = seen_hands(
        context.engine.arrays, context.data, context.cache, "recordings", "third"
    ).first(context.size(16, 1))
    measured = Measured(FLAT)
    context.expect(len(hands) * MANY // FEW)
    for row in range(len(hands)):
        truth = Truth(hands.vertices[row], hands.joints[row], in_camera=True)
        measured.add_draws(_seen(context, request_of(hands, row, count=MANY, seed=SEED)), truth, "10")
    return measured


def _photos(context: Context) -> list[Measured]:
    """Renders of held-out hands, half of each covered; none where the weights cannot look at them here."""
    try:
        context.engine.trunk()
    except RequestError:
        return []
    renders = rendered_hands(context.engine.arrays, context.data, context.cache, context.size(10, 2))
    measured = Measured(PHOTO)
    context.expect(len(renders) * MANY // FEW)
    for _, render in renders:
        truth = Truth(render.vertices, render.joints, in_camera=True)
        measured.add_draws(_seen(context, _request(render)), truth, "10")
    return [measured]


def _request(render: Render) -> Request:
    return Request(
        "reconstruct",
        side="right",
        photo=render.pixels,
        focal=render.focal,
        joints2d=render.joints2d,
        sigma2d=render.sigma2d,
        count=MANY,
        seed=SEED,
    )


def _seen(context: Context, request: Request) -> Answer:
    """In the axes of the truth before a camera."""
    answer = of_hypotheses(context.asker().ask(request))
    return replace(answer, vertices=answer.vertices * CAMERA, joints=answer.joints * CAMERA)


def _checks(full: Measured, ambiguous: list[Measured]) -> list[Check]:
    against = "deterministic network's, PA-MPVPE"
    checks = [at_most(f"{FULL}: one draw / the {against}", full.ratio(ONE, REGRESSED), 1.02)]
    for part in ambiguous:
        if (REGRESSED, "") in part.of:
            likeliest = min(part.ratio(what, REGRESSED) for what in (MEAN, FIRST))
            checks += [
                at_most(f"{part.name}: mean or first of 8 / the {against}", likeliest, 1.02),
                at_most(f"{part.name}: one draw / the {against}", part.ratio(ONE, REGRESSED), 1.4),
            ]
        for n, limit in BEST_OF.items():
            value = part.ratio(f"best of {n}", ONE)
            absolute = part.at(f"best of {n}", "10").mpvpe
            checks.append(at_most(f"{part.name}: best of {n} / one draw ({absolute:.1f} mm)", value, limit))
    return checks
