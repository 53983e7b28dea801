"""What the network is trained on: sampled poses alone, recordings alone, or both."""

from __future__ import annotations

import math

import numpy as np

from ...engine import Engine
from ...request import MAX_COUNT, Request
from .. import metrics
from ..asking import COUNT, SEED, millimetres
from ..completions import complete
from ..skeletons import hidden_joints
from ..testset import TestHands, in_palm_frame, only_held_out, recorded_hands, stream_hands, synthetic_hands
from .contenders import Contenders
from .generation import HELD_OUT_SEED
from .table import Check, Context, Table, at_most

HEAD = (
    *("trained on", "hands", "3D skeleton: PA-MPVPE of one draw, mm", "three fingers hidden: energy, mm"),
    *("best of 8, mm", "visible, mm", "generation: precision", "recall", "Frechet, mm"),
)
# Name for --compare -> what the row is, and the settings of training that make such weights.
TRAINED = {
    "sampler": ("sampled poses alone", "recordings = false"),
    "recordings": ("recordings alone", "[stream] recorded = 1.0, crossed = 0.0"),
    "both": ("both", "the usual shares"),
}
SHIPPED = "the weights that are measured"


def training_data(context: Context) -> Table:
    contenders = Contenders(context)
    arrays = context.engine.arrays
    recorded = recorded_hands(arrays, context.recordings, context.size(5, 1)).first(context.size(30, 2))
    sets = {"recordings": recorded, "sampled": synthetic_hands(arrays, context.size(16, 1))}
    count = context.size(256, 16)
    held = arrays.regressor @ stream_hands(arrays, only_held_out(context.recordings), count, HELD_OUT_SEED)
    context.engine.network()
    rows: list[tuple[str | float, ...]] = []
    energies: dict[str, dict[str, float]] = {}
    for name, (what, setting) in {SHIPPED: (SHIPPED, ""), **TRAINED}.items():
        engine = context.engine if name == SHIPPED else context.other(name)
        if engine is None:
            rows.append(
                (f"{what}: --compare {name}=FILE, trained with {setting}", "not given", *[math.nan] * 7)
            )
            continue
        made = _made(context, engine, count, held)
        for kind, hands in sets.items():
            error, hidden = _judged(contenders, engine, hands)
            energies.setdefault(name, {})[kind] = hidden[0]
            rows.append((what, kind, error, *hidden, *(made if kind == "recordings" else [math.nan] * 3)))
    notes = [
        f"Generation: {count} hands against as many held-out ones of the usual mixture.",
        "Compared weights say something about each other where they were trained equally long.",
    ]
    return Table("training_data", "What it is trained on", HEAD, rows, _checks(energies), notes)


def _judged(contenders: Contenders, engine: Engine, hands: TestHands) -> tuple[float, list[float]]:
    """PA-MPVPE of a draw of whole skeletons; energy, best of 8 and visible of three hidden fingers; mm."""
    contenders.context.expect(2 * len(hands))
    method = contenders.network(engine=engine)
    errors = [
        millimetres(metrics.aligned_error(answer.vertices, hands.vertices[row])).mean()
        for row, answer in method(hands.joints)
    ]
    hidden = complete(contenders.asker, method, hands, ~hidden_joints(False))
    return float(np.mean(errors)), [hidden.mean(name) for name in ("energy", "best", "visible")]


def _made(context: Context, engine: Engine, count: int, held: np.ndarray) -> list[float]:
    """Precision, recall and Frechet distance of hands made from nothing."""
    context.expect(-(-count // COUNT))
    asker = context.asker(engine)
    parts = [
        asker.ask(Request("generate", count=min(MAX_COUNT, count - start), seed=SEED + start)).joints
        for start in range(0, count, MAX_COUNT)
    ]
    poses = in_palm_frame(engine.arrays, np.concatenate(parts))
    distance = metrics.frechet_distance(millimetres(poses), millimetres(held))
    return [*metrics.precision_recall(poses, held), distance]


def _checks(energies: dict[str, dict[str, float]]) -> list[Check]:
    """Whether both together are no worse than either alone, where all were given."""
    if not set(TRAINED) <= set(energies):
        return []
    return [
        at_most(
            f"energy score on {kind}: both / the better of the two alone",
            energies["both"][kind] / min(energies["sampler"][kind], energies["recordings"][kind]),
            1.0,
        )
        for kind in ("recordings", "sampled")
    ]
