"""Hands completed from a part: of their mesh, of their fingers, of their joints; against the tuned PCA prior.

The paper's inpainting (APD and SI against PCA), and whether the right hand is among the answers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..asking import Asker
from ..completions import Completions, complete
from ..figures import ratio_error
from ..meshes import LEFT_OUT, kept_without
from ..pca import PcaSettings
from ..skeletons import hidden_joints
from ..testset import TestHands, generator, recorded_hands, synthetic_hands
from .contenders import BY_ENERGY, Contenders
from .pictures import Case, cases_sheet
from .table import Check, Context, Table, at_most

HEAD = (
    *("", "hands", "APD, mm", "SI, %", "energy score, mm", "what is given, off by mm", "best of 8, mm"),
    *("one draw, mm", "mean of 8, mm", "nearest training hand, mm", "s a hand"),
)
NETWORK, PCA, PLAIN = "network", "PCA", "PCA as it is"
NOT_SEPARATED = "network, fingers not separated"
LOOKED_UP, REGRESSED = "8 nearest training hands", "deterministic network"
JOINTS_HIDDEN, JOINTS_SEED = 10, "hhmr-test-hidden-joints-1"
CASES = 4  # shown, of either end


@dataclass(frozen=True)
class Condition:
    """seen: joints [21] or [N,21], or vertices [V]; what it is called."""

    name: str
    hands: TestHands
    seen: np.ndarray


def inpainting(context: Context) -> Table:
    contenders = Contenders(context)
    conditions = _conditions(context)
    context.engine.network()
    rows: list[tuple[str | float, ...]] = []
    checks: list[Check] = []
    pictures: dict[str, bytes] = {}
    for condition in conditions:
        of_mesh = condition.seen.shape[-1] != 21
        tuned = contenders.pca_of_meshes if of_mesh else contenders.pca_of_joints
        methods = {
            NETWORK: contenders.network(),
            NOT_SEPARATED: contenders.network(separate=False),
            PCA: contenders.pca(tuned.best),
            PLAIN: contenders.pca(PcaSettings()),
            LOOKED_UP: contenders.nearest(),
            REGRESSED: contenders.deterministic(),
        }
        context.expect(4 * len(condition.hands))
        made = {
            name: complete(contenders.asker, method, condition.hands, condition.seen, contenders.reference)
            for name, method in methods.items()
            if method is not None
        }
        rows += [_row(f"{condition.name}: {name}", values) for name, values in made.items()]
        if not of_mesh:
            rows += _by_source(condition.name, made)
        checks += _checks(condition.name, made)
        pictures |= _pictures(context, contenders.asker, condition, made[NETWORK])
    of_joints = contenders.pca_of_joints.told("PCA, joints", f"{contenders.what}, by {BY_ENERGY}")
    of_meshes = contenders.pca_of_meshes.told("PCA, meshes", f"the first of them, by {BY_ENERGY}")
    nearest = contenders.nearest_settings.told("Training hands looked up", contenders.what)
    own = float(context.engine.intersection.percentage(conditions[0].hands.vertices).mean())
    notes = [of_joints, of_meshes, nearest]
    notes.append(f"The true hands intersect themselves in {own:.2f} % of their faces: what is given is kept.")
    if "deterministic" not in context.others:
        notes.append("The deterministic network's rows need its weights: --compare deterministic=FILE.")
    return Table("inpainting", "Inpainting", HEAD, rows, checks, notes, pictures)


def _conditions(context: Context) -> list[Condition]:
    arrays = context.engine.arrays
    recorded = recorded_hands(arrays, context.recordings, context.size(12, 1))
    sampled = synthetic_hands(arrays, context.size(20, 1))
    hands = TestHands(*(np.concatenate([getattr(h, n) for h in (recorded, sampled)]) for n in _FIELDS))
    hands = hands.first(context.size(len(hands), 3))
    rng = generator(JOINTS_SEED)
    some = np.stack([rng.permutation(21) >= JOINTS_HIDDEN for _ in range(len(hands))])
    some[:, 0] = True  # without the wrist there is hardly a hand
    return [
        Condition("middle, ring and pinky hidden", hands, ~hidden_joints(False)),
        Condition(f"about {JOINTS_HIDDEN} of 21 joints hidden", hands, some),
        Condition(
            "thumb, index and middle cut off a mesh",
            hands.first(context.size(36, 2)),
            kept_without(arrays, LEFT_OUT),
        ),
    ]


_FIELDS = ("vertices", "joints", "source", "raw_residual")


def _row(name: str, values: Completions) -> tuple[str | float, ...]:
    names = ("apd", "crossing", "energy", "visible", "best", "one", "middle", "nearest", "seconds")
    return (name, str(len(values)), *(values.mean(n) for n in names))


def _by_source(name: str, made: dict[str, Completions]) -> list[tuple[str | float, ...]]:
    sources = dict.fromkeys(made[NETWORK].source.tolist())
    return [_row(f"{name}, {s}: {m}", made[m].of(s)) for s in sources for m in (NETWORK, PCA)]


def ratio_of(made: dict[str, Completions], name: str, to: str = PCA) -> float:
    theirs = made[to].mean(name)
    return made[NETWORK].mean(name) / theirs if theirs else math.nan


def _checks(name: str, made: dict[str, Completions]) -> list[Check]:
    net, others = made[NETWORK], made[LOOKED_UP]
    variety, data = ratio_of(made, "apd", PLAIN), net.mean("apd") / others.mean("apd")
    energies = tuple(net.energy), tuple(made[PCA].energy)
    return [
        Check(
            f"{name}: APD / that of PCA as it is (the paper: 1.107); / looked-up hands' {data:.2f}",
            variety,
            ">= 1.10 or theirs",
            variety >= 1.10 or data >= 1.0,
        ),
        at_most(
            f"{name}: SI / that of PCA as it is (the paper: 0.167)", ratio_of(made, "crossing", PLAIN), 0.15
        ),
        at_most(
            f"{name}: energy score / PCA's (+- {ratio_error(*energies):.3f})", ratio_of(made, "energy"), 0.85
        ),
        at_most(f"{name}: best of 8 / PCA's", ratio_of(made, "best"), 0.80),
        at_most(f"{name}: nearest training hand / PCA's", ratio_of(made, "nearest"), 1.0),
        at_most(f"{name}: what is given, off by mm", net.mean("visible"), 0.5),
    ]


def _pictures(context: Context, asker: Asker, condition: Condition, found: Completions) -> dict[str, bytes]:
    """Hands out of the middle, and those whose best answer is worst: the truth, then eight answers."""
    kind = "meshes" if condition.seen.shape[-1] != 21 else f"joints{len(condition.seen.shape)}"
    names = {"meshes": "mesh", "joints1": "fingers", "joints2": "joints"}
    order = np.argsort(found.best)
    count = context.size(CASES, 1)
    middle = order[np.linspace(0.2 * len(order), 0.8 * len(order) - 1, count).round().astype(int)]
    result = {}
    for label, rows, title in (
        ("", middle, f"Completed: {condition.name}"),
        ("_worst", order[::-1][:count], f"Worst cases: {condition.name}"),
    ):
        cases = [_case(asker, condition, int(row), found) for row in rows]
        name = f"inpainting_{names[kind]}{label}.png"
        result[name] = cases_sheet(cases, context.engine.arrays.faces, title)
    return result


def _case(asker: Asker, condition: Condition, row: int, found: Completions) -> Case:
    hands, size = condition.hands, condition.seen.shape[-1]
    seen = np.broadcast_to(condition.seen, (len(hands), size))
    of_mesh = seen.shape[-1] != 21
    points = hands.vertices if of_mesh else hands.joints
    told = np.where(seen[row][:, None], points[row], np.nan)
    _, answer = next(iter(asker.told(told[None], "network")))
    return Case(
        caption=f"{hands.source[row]}; best of 8 {found.best[row]:.1f} mm",
        vertices=hands.vertices[row],
        joints=hands.joints[row],
        answers=answer.vertices,
        answer_joints=answer.joints,
        given=None if of_mesh else told,
        kept=seen[row] if of_mesh else None,
    )
