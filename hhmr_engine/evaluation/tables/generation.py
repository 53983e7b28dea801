"""Hands made from nothing: variety, self-intersection and nearness to held-out hands, against two PCA priors.

The paper's Table 1 (APD and SI against sampling the PCA pose space), with measures that a sampler cannot win
by exaggerating. Held-out hands: the training mixture made of test frames and of samples of another seed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ...data.hands import StreamSettings
from ...hand.frame import palm_frame
from ...hand.template import UNIT
from ...request import MAX_COUNT, Hypotheses, Request
from .. import metrics
from ..asking import COUNT, METHODS, SEED, Asker, millimetres
from ..generation import APD_HANDS
from ..pca import PcaSettings, pca_engine
from ..testset import generator, in_palm_frame, only_held_out, stream_hands
from .contenders import Contenders
from .pictures import sheet_of, worst_of
from .table import Check, Context, Table, at_least, at_most
from .weights import training

HEAD = (
    *("", "APD, mm", "SI, %", "SI, all faces, %", "precision", "recall", "Frechet, mm"),
    *("nearest training hand, mm", "ms a hand"),
)
HELD_OUT_SEED, TUNING_SEED = "hhmr-test-held-out-1", 1000
TEMPERATURES = (0.3, 4.0)
SHOWN, WORST = 16, 8
NOT_SEPARATED = "network, fingers not separated"

# So many hands, and a seed: vertices [n,V,3] in metres, any frame.
Source = Callable[[int, int], np.ndarray]


@dataclass(frozen=True)
class Made:
    """Of n hands made from nothing."""

    apd: float  # mm, vertices, palm frame, wrists laid on each other
    crossing: float  # per cent of faces, adjacent segments left out
    crossing_all: float
    precision: float
    recall: float
    frechet: float  # mm
    nearest: float  # mm, mean joint distance to the nearest training hand
    seconds: float  # a hand

    @property
    def cells(self) -> tuple[float, ...]:
        both = (self.precision, self.recall, self.frechet, self.nearest, 1e3 * self.seconds)
        return (self.apd, self.crossing, self.crossing_all, *both)


def generation(context: Context) -> Table:
    contenders = Contenders(context)
    arrays, count = context.engine.arrays, context.size(1000, 16)
    mixture = _mixture(context)
    held = stream_hands(arrays, only_held_out(context.recordings), count, HELD_OUT_SEED, mixture)
    reference = arrays.regressor @ held
    context.engine.network()
    context.expect(4 * -(-count // COUNT))
    asker = context.asker()

    def measure(source: Source) -> Made:
        started = time.perf_counter()
        vertices = source(count, SEED)
        return _measure(context, vertices, time.perf_counter() - started, reference, contenders.reference)

    of_network, as_drawn = (measure(_asked(asker, "network", separate=s)) for s in (True, False))
    contenders.model  # noqa: B018 built before times are taken
    posed = _posed(context, contenders)
    rows: dict[str, Made] = {"network": of_network, NOT_SEPARATED: as_drawn}
    notes = []
    for name, at in (("PCA of hands' surfaces", _gaussian(context)), ("PCA of poses, skinned", posed)):
        rows[f"{name}, as it is"] = measure(at(1.0))
        same = _temperature(context, at, of_network.apd)
        rows[f"{name}, at the network's APD"] = measure(at(same))
        notes.append(
            f"{name}: temperature {same:.2f} gives the network's APD, found on draws of other seeds."
        )
    rows["held-out hands"] = _measure(
        context, held, float("nan"), _others(context, mixture), contenders.reference
    )
    rows["training hands"] = _measure(
        context, contenders.training[:count], float("nan"), reference, np.zeros((0, 21, 3))
    )
    notes += [
        f"{count} hands of each kind; precision, recall and Frechet distance (root, a joint) against as many"
        " held-out hands; those of the held-out hands themselves are against a second set of them.",
        "SI leaves adjacent segments out where not all faces are said.",
    ]
    found = asker.ask(Request("generate", count=SHOWN, seed=SEED))
    many = asker.ask(Request("generate", count=context.size(MAX_COUNT, SHOWN), seed=SEED))
    poses = in_palm_frame(arrays, many.joints)
    far = metrics.nearest_hand_distance(poses, contenders.reference)
    captions = [f"{1e3 * far[k]:.0f} mm from the nearest training hand" for k in np.argsort(-far)[:WORST]]
    pictures = {
        "generations.png": sheet_of(found),
        "generations_worst.png": worst_of(
            many, np.argsort(-far)[:WORST], f"The strangest {WORST} of {len(far)}", captions
        ),
    }
    table_rows: list[tuple[str | float, ...]] = [(name, *made.cells) for name, made in rows.items()]
    return Table("generation", "Generation", HEAD, table_rows, _checks(rows), notes, pictures)


def _checks(rows: dict[str, Made]) -> list[Check]:
    net, data = rows["network"], rows["held-out hands"]
    ratio = net.apd / data.apd
    checks = [Check("APD / held-out hands'", ratio, "0.95 to 1.05", 0.95 <= ratio <= 1.05)]
    for name in ("PCA of hands' surfaces", "PCA of poses, skinned"):
        theirs = rows[f"{name}, at the network's APD"].crossing
        what = f"SI / that of {name} at equal APD (the paper: 0.128)"
        checks.append(at_most(what, net.crossing / theirs if theirs else float("nan"), 0.10))
    return [*checks, at_least("precision", net.precision, 0.8), at_least("recall", net.recall, 0.8)]


def _measure(
    context: Context, vertices: np.ndarray, seconds: float, reference: np.ndarray, training: np.ndarray
) -> Made:
    """reference: joints of held-out hands, training: of training hands, palm frame, metres."""
    arrays, intersection = context.engine.arrays, context.engine.intersection
    vertices = _palm(context, vertices)
    poses = arrays.regressor @ vertices
    some = slice(0, APD_HANDS)
    size = min(len(poses), len(reference))
    precision, recall = metrics.precision_recall(poses[:size], reference[:size])
    near = millimetres(metrics.nearest_hand_distance(poses[some], training)) if len(training) else np.nan
    return Made(
        apd=metrics.average_pairwise_distance(millimetres(vertices[some]), millimetres(poses[some, 0])),
        crossing=float(intersection.percentage(vertices).mean()),
        crossing_all=float(intersection.percentage(vertices, adjacent=True).mean()),
        precision=precision,
        recall=recall,
        frechet=metrics.frechet_distance(millimetres(poses[:size]), millimetres(reference[:size])),
        nearest=float(np.mean(near)),
        seconds=seconds / len(vertices),
    )


def _palm(context: Context, vertices: np.ndarray) -> np.ndarray:
    """In the palm frame, metres at our hand's size."""
    points = torch.from_numpy(np.ascontiguousarray(vertices, np.float32))
    tensors = context.engine.arrays.torch()
    return palm_frame(tensors, tensors.regressor @ points).to_palm(points).numpy() * UNIT


def _asked(asker: Asker, method: str, **changes: Any) -> Source:
    return lambda count, seed: np.concatenate(
        [found.vertices for found in _batches(asker, count, seed, METHODS[method] | changes)]
    )


def _batches(asker: Asker, count: int, seed: int, options: dict[str, Any]) -> Iterator[Hypotheses]:
    for k, start in enumerate(range(0, count, MAX_COUNT)):
        size = min(MAX_COUNT, count - start)
        yield asker.ask(Request("generate", count=size, seed=seed + k, **options))


def _gaussian(context: Context) -> Callable[[float], Source]:
    """The Gaussian on the hands' surfaces at a temperature."""

    def at(temperature: float) -> Source:
        engine = pca_engine(context.engine, PcaSettings(temperature=temperature))
        return _asked(context.asker(engine), "gaussian")

    return at


def _posed(context: Context, contenders: Contenders) -> Callable[[float], Source]:
    """What the paper samples: principal components of the pose, on the skinned hand, at a temperature."""

    def at(temperature: float) -> Source:
        def make(count: int, seed: int) -> np.ndarray:
            model = contenders.model
            z = generator(f"hhmr-test-poses-{seed}").standard_normal((count, model.size))
            return model.skinned(torch.from_numpy(temperature * z))[0]

        return make

    return at


def _temperature(context: Context, at: Callable[[float], Source], apd: float) -> float:
    """At which a source's hands have this APD, by bisection."""
    low, high = TEMPERATURES
    count, rounds = context.size(128, 16), context.size(8, 2)
    context.expect(rounds * -(-count // COUNT))
    for _ in range(rounds):
        middle = (low + high) / 2
        vertices = _palm(context, at(middle)(count, TUNING_SEED))
        wrists = (context.engine.arrays.regressor @ vertices)[:, 0]
        own = metrics.average_pairwise_distance(millimetres(vertices), millimetres(wrists))
        low, high = (middle, high) if own < apd else (low, middle)
    return (low + high) / 2


def _mixture(context: Context) -> StreamSettings:
    """Shares of recorded and crossed poses as in the weights' training; the usual where they don't say."""
    stream = training(context.engine.weights).get("stream", {})
    return StreamSettings(**{name: stream[name] for name in ("recorded", "crossed") if name in stream})


def _others(context: Context, mixture: StreamSettings) -> np.ndarray:
    """Joints of a second set of held-out hands."""
    arrays, count = context.engine.arrays, context.size(1000, 16)
    again = stream_hands(arrays, only_held_out(context.recordings), count, f"{HELD_OUT_SEED}-2", mixture)
    return arrays.regressor @ again
