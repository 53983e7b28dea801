"""The measuring itself: hands with known answers through the very functions that write docs/results.md."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tqdm import tqdm

from hhmr_engine.data.retarget import Retargeted, load_poses
from hhmr_engine.data.splits import TEST
from hhmr_engine.engine import Engine
from hhmr_engine.evaluation import metrics
from hhmr_engine.evaluation.asking import Asker
from hhmr_engine.evaluation.baselines import PcaFit
from hhmr_engine.evaluation.chart import COLOURS, draw_curves
from hhmr_engine.evaluation.curves import Curve, missing_joints, noisy_joints
from hhmr_engine.evaluation.figures import ratio_error
from hhmr_engine.evaluation.generation import chirality, generation, of_data
from hhmr_engine.evaluation.meshes import LEFT_OUT, Seam, kept_without, mesh_inpainting, random_cuts
from hhmr_engine.evaluation.report import Row, as_markdown, number, summary, write_between
from hhmr_engine.evaluation.skeletons import full_skeleton, hidden_fingers, hidden_joints, rank_correlation
from hhmr_engine.evaluation.testset import (
    TestHands,
    generator,
    in_palm_frame,
    recorded_hands,
    stream_hands,
    synthetic_hands,
)
from hhmr_engine.hand.skeleton import FINGER_JOINTS
from hhmr_engine.hand.template import HandTemplate, load_template
from hhmr_engine.model.checkpoint import save_network
from hhmr_engine.model.graph_unet import GraphDenoiser, NetworkSettings
from hhmr_engine.observation import node_prior
from hhmr_engine.request import Request
from hhmr_engine.training.train import data_cache

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def template() -> HandTemplate:
    return load_template()


@pytest.fixture(scope="module")
def hands(template: HandTemplate) -> TestHands:
    return synthetic_hands(template, 4)


@pytest.fixture(scope="module")
def reference(template: HandTemplate) -> np.ndarray:
    return stream_hands(template, [], 300, "a test")


@pytest.fixture(scope="module")
def recordings(template: HandTemplate, data_root: Path) -> list[Retargeted]:
    return load_poses(template, data_root, data_cache())


@pytest.fixture
def asker(engine: Engine) -> Asker:
    return Asker(engine, tqdm(disable=True))


def test_synthetic_hands_are_the_same_every_time_and_carry_their_joints(
    template: HandTemplate, hands: TestHands
) -> None:
    again = synthetic_hands(template, 4)
    assert np.array_equal(hands.vertices, again.vertices)
    assert np.allclose(template.regressor @ hands.vertices, hands.joints, atol=1e-6)
    assert np.isnan(hands.raw_residual).all()
    assert (chirality(template, hands.vertices) == 1).all()
    # Placed at random, so that nothing measured depends on a frame.
    assert np.linalg.norm(hands.joints[:, 0], axis=1).std() > 0.05


def test_recorded_hands_are_held_out_balanced_and_near_what_was_recorded(
    template: HandTemplate, recordings: list[Retargeted]
) -> None:
    chosen = recorded_hands(template, recordings, 5)
    names, counts = np.unique(chosen.source, return_counts=True)
    assert set(names) == {r.name for r in recordings} and (counts == 5).all()
    assert (chosen.raw_residual < 8).all()
    for recording in recordings:
        rows = recording.split == TEST
        assert not (recording.group[rows] == "gap").any()
        raw = recording.joints[rows] * recording.calibration.scale
        pose = in_palm_frame(template, chosen.joints[chosen.source == recording.name])
        # Each mesh is one of the test frames: the joints that every source marks alike lie on the raw ones.
        tips = [4, 5, 8, 9, 12, 13, 16, 17, 20]
        apart = metrics.aligned_error(pose[:, None, tips], np.nan_to_num(raw)[None, :, tips])
        assert 1e3 * np.median(apart.min(1)) < 6


def test_first_keeps_every_source(template: HandTemplate, recordings: list[Retargeted]) -> None:
    chosen = recorded_hands(template, recordings, 10).first(12)
    assert len(chosen) == 12 and set(chosen.source) == {r.name for r in recordings}


def test_the_palm_frame_forgets_place_turn_and_size(template: HandTemplate, hands: TestHands) -> None:
    turn = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]], np.float32)
    moved = 3 * hands.joints @ turn.T + np.float32(0.5)
    assert np.allclose(in_palm_frame(template, moved), in_palm_frame(template, hands.joints), atol=2e-6)


def test_draws_come_in_their_own_order(asker: Asker, hands: TestHands) -> None:
    part = np.where(hidden_joints(False)[:, None], np.nan, hands.joints[0])
    found = asker.ask(Request("inpaint", joints=part, method="gaussian", diverse=True))
    assert found.draw.tolist() == list(range(8))
    assert not np.array_equal(found.score, np.sort(found.score)[::-1])


def test_a_refused_request_is_counted_and_left_out(asker: Asker, hands: TestHands) -> None:
    seen = np.ones((4, 21), bool)
    seen[2] = False
    rows = [row for row, _ in asker.joints(hands, seen, "gaussian")]
    assert rows == [0, 1, 3] and asker.refused == 1


def test_a_full_skeleton_gives_the_hand(asker: Asker, hands: TestHands) -> None:
    found = full_skeleton(asker, hands, "gaussian")
    assert found.best <= found.first and found.mean < found.sample < 4
    # The baseline of design/engine.md stays well below the 10 mm between a hand and the mean hand.
    assert found.mean < 2.5 and found.joints < 2.5


def test_hidden_fingers_are_hidden_and_the_rest_is_kept(
    asker: Asker, hands: TestHands, template: HandTemplate, reference: np.ndarray
) -> None:
    assert hidden_joints(False).sum() == 12 and hidden_joints(True).sum() == 9
    assert not hidden_joints(True)[[FINGER_JOINTS[f][0] for f in FINGER_JOINTS]].any()
    all_four = hidden_fingers(asker, hands, template.regressor @ reference, "gaussian")
    knuckles = hidden_fingers(asker, hands, template.regressor @ reference, "gaussian", knuckles_seen=True)
    assert all_four.visible < 3 and knuckles.visible < 3
    assert all_four.apd > 10  # eight different hands, not one eight times
    assert all_four.best < all_four.sample and all_four.best <= all_four.first
    # No ensemble is better than its nearest member by more than its own spread allows.
    assert 0 < all_four.energy < all_four.sample and len(all_four.energies) == 4


def test_the_error_of_a_ratio_counts_hands_that_go_together() -> None:
    rng = np.random.default_rng(0)
    base = rng.uniform(5, 20, 400)
    assert ratio_error(tuple(0.9 * base), tuple(base)) == pytest.approx(0, abs=1e-12)
    noisy = 0.9 * base + rng.normal(0, 2, 400)
    assert ratio_error(tuple(noisy), tuple(base)) == pytest.approx(2 / 20 / base.mean(), rel=0.1)
    assert np.isnan(ratio_error((1.0,), (1.0, 2.0)))


def test_rank_correlation() -> None:
    a = np.array([0.1, 0.4, 0.2, 0.9])
    assert rank_correlation(a, a**3) == pytest.approx(1) and rank_correlation(a, -a) == pytest.approx(-1)
    assert np.isnan(rank_correlation(a, np.ones(4)))


def test_a_cut_hand_lacks_its_fingers_and_nothing_else(template: HandTemplate) -> None:
    kept = kept_without(template, LEFT_OUT)
    tips = template.regressor[[4, 8, 12, 16, 20]].argmax(1)
    assert kept[tips].tolist() == [False, False, False, True, True]
    palm = template.weights[:, 0] > 0.9
    assert kept[palm].all()
    cuts = random_cuts(template, 20, generator("cuts"))
    assert ((~cuts[:, tips]).sum(1) == 3).all() and len({c.tobytes() for c in cuts}) == 20


def test_the_seam_sees_a_tear_and_only_there(template: HandTemplate, hands: TestHands) -> None:
    kept = kept_without(template, LEFT_OUT)
    seam, truth = Seam(template, kept), hands.vertices[0]
    assert seam.edge_error(truth[None], truth) == (0, 0)
    torn = truth + np.where(kept[:, None], 0, np.float32(0.004))
    near, across = seam.edge_error(torn[None], truth)
    assert near > 8 and across > 40
    assert seam.angle(torn) > 1.1 * seam.angle(truth)
    far = truth.copy()
    tip = template.regressor[8].argmax()
    far[tip] += 0.01
    assert seam.edge_error(far[None], truth) == (0, 0)


def test_mesh_inpainting_keeps_what_is_given(asker: Asker, hands: TestHands, template: HandTemplate) -> None:
    found = mesh_inpainting(asker, hands.first(2), kept_without(template, LEFT_OUT), "gaussian")
    assert found.kept < 2 and found.edges < found.across < 30 and found.apd > 5
    assert np.isnan(found.unguided_apd)


def test_chirality_tells_a_right_hand_from_its_mirror(template: HandTemplate, reference: np.ndarray) -> None:
    assert (chirality(template, reference) == 1).all()
    assert (chirality(template, reference * [-1, 1, 1]) == -1).all()


def test_generation_beside_the_data(asker: Asker, template: HandTemplate, reference: np.ndarray) -> None:
    made = generation(asker, reference, "gaussian", 20)
    data = of_data(template, stream_hands(template, [], 40, "other hands"), reference)
    assert made.count == made.right_way == 20
    assert 0.6 < made.apd / data.apd < 1.5
    assert data.nearest < made.nearest * 1.2 and 0 < made.precision <= 1


def test_precision_and_recall_of_known_sets() -> None:
    rng = np.random.default_rng(0)
    cloud = rng.normal(size=(60, 21, 3))
    assert metrics.precision_recall(cloud, cloud) == (1.0, 1.0)
    assert metrics.precision_recall(cloud, cloud + 100) == (0.0, 0.0)
    two = np.concatenate([cloud[:30], cloud[:30] + 100])  # the reference has two kinds, one is never made
    precision, recall = metrics.precision_recall(cloud[:30].repeat(2, 0) + 1e-9, two)
    assert precision == 1.0 and recall == 0.5
    with pytest.raises(ValueError, match="3 neighbours need more than 3 hands"):
        metrics.precision_recall(cloud[:3], cloud)


def test_the_curves_rise(asker: Asker, hands: TestHands) -> None:
    noise = noisy_joints(asker, hands.first(2), "gaussian")
    assert noise.mean[-1] > 2 * noise.mean[0]
    missing = missing_joints(asker, hands.first(2), "gaussian")
    assert missing.mean[0] < missing.mean[2] and len(missing.x) == len(missing.sample)
    assert asker.refused == 0  # a curve takes its refusals with it


def test_the_chart_shows_both_methods(tmp_path: Path) -> None:
    curve = Curve((0.0, 0.5, 0.8), (1.0, 4.0, 9.0), (0.8, float("nan"), 7.0), refused=1)
    curves = {key: {"network": curve, "gaussian": curve} for key in ("missing", "noise")}
    draw_curves(curves, tmp_path / "curves.png")
    colours = {c for _, c in Image.open(tmp_path / "curves.png").convert("RGB").getcolors(1 << 20) or []}
    assert COLOURS["network"] in colours or COLOURS["gaussian"] in colours


def test_the_pca_fit_finds_the_hand(engine: Engine, hands: TestHands) -> None:
    fit = PcaFit(engine.template, engine.prior)
    found = fit.fit(hands.joints[0], restarts=2)
    assert found.shape == (2, len(engine.arrays.vertices), 3)
    assert 1e3 * metrics.aligned_error(found, hands.vertices[0]).max() < 4
    part = np.where(hidden_joints(False)[:, None], np.nan, hands.joints[0])
    visible = ~hidden_joints(False)
    joints = engine.arrays.regressor @ fit.fit(part, restarts=1)[0]
    assert 1e3 * metrics.mean_point_error(joints[visible], hands.joints[0][visible]) < 2


def test_a_table_says_what_holds(tmp_path: Path) -> None:
    rows = [
        Row("A", "error, mm", "<= 1", 0.5, 2.0, holds=True),
        Row("A", "score", network=123.4, holds=False),
    ]
    text = as_markdown(rows)
    assert "| error, mm | <= 1 | 0.50 | 2.00 | 0.25 |  | yes |" in text
    assert "| score |  | 123 |  |  |  | **no** |" in text
    assert summary(rows).startswith("1 of 2 figures hold.") and "- A: score: 123 " in summary(rows)
    assert [number(v) for v in (float("nan"), 1000.0, 9.999, 0.0)] == ["", "1,000", "10.0", "0.00"]
    document = tmp_path / "results.md"
    document.write_text("above\n<!-- figures -->\nold\n<!-- end figures -->\nbelow\n")
    write_between(document, "figures", text)
    write_between(document, "figures", text)  # again and again
    assert document.read_text() == f"above\n<!-- figures -->\n{text}\n<!-- end figures -->\nbelow\n"
    with pytest.raises(ValueError, match="no place for 'times'"):
        write_between(document, "times", text)


def test_results_have_a_place_for_every_benchmark() -> None:
    document = (REPOSITORY / "docs" / "results.md").read_text(encoding="utf-8")
    for name in ("figures", "latency", "blender"):
        assert f"<!-- {name} -->" in document and f"<!-- end {name} -->" in document


@pytest.mark.slow
def test_the_command_measures_every_figure(template: HandTemplate, data_root: Path, tmp_path: Path) -> None:
    """With a network that has learnt nothing, which has to do no worse than to be measured."""
    tensors = template.torch()
    torch.manual_seed(0)
    network = GraphDenoiser(tensors, node_prior(tensors), NetworkSettings())
    weights = tmp_path / "weights.safetensors"
    save_network(weights, network, template, 3.0, steps="0")
    command = [sys.executable, "-m", "benchmarks.figures", "--quick", "--weights", str(weights)]
    command += ["--data", str(data_root), "--out", str(tmp_path / "figures.json")]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    assert "### Generation" in done.stdout and "(0 training steps)" in done.stdout
    report = json.loads((tmp_path / "figures.json").read_text())
    assert all(np.isfinite(row["network"]) for row in report["rows"] if row["wanted"])
    assert (tmp_path / "figures.png").is_file()
