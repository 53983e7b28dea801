"""An imported MANO is a hand like ours: posed as MANO poses it, trained, and asked for hands."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from hhmr_engine.cli import main
from hhmr_engine.data.import_hand import import_mano, neutral_angles
from hhmr_engine.engine import Engine, Request, RequestError
from hhmr_engine.hand import dof
from hhmr_engine.hand.kinematics import bone_directions, pose_skeleton
from hhmr_engine.hand.mano import JOINT_OF_BONE, METACARPALS, TIPS, ManoModel
from hhmr_engine.hand.mano_file import read_mano
from hhmr_engine.hand.skeleton import JOINT_BONE, TIP_JOINTS
from hhmr_engine.hand.skinning import skin
from hhmr_engine.hand.template import HandTemplate, load_template
from hhmr_engine.training.settings import OptimiserSettings, PathSettings, TrainSettings
from hhmr_engine.training.train import Sources, Trainer, train
from tests.engine.hand.made_up_mano import made_up_mano, write_mano
from tests.engine.small_network import SMALL

TINY = TrainSettings(
    steps=4,
    batch=4,
    network=SMALL,
    path=PathSettings(steps=2, batch=4),
    optimiser=OptimiserSettings(warmup=2),
)
JOINTS = [JOINT_BONE.index(b) if b in JOINT_BONE else 0 for b in range(20)]  # at the bones' heads
FEW = 2000  # hands that the basis is learnt from


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mano") / "MANO_RIGHT.pkl"
    write_mano(path, made_up_mano())
    return path


@pytest.fixture(scope="module")
def hand(file: Path) -> HandTemplate:
    return import_mano(file, hands=FEW)


@pytest.fixture(scope="module")
def hand_file(hand: HandTemplate, file: Path) -> Path:
    path = file.with_name("hand.npz")
    hand.save(path)
    return path


@pytest.fixture(scope="module")
def angles() -> np.ndarray:
    """[16,24] within the limits."""
    share = np.random.default_rng(2).uniform(0, 1, (16, 24))
    return (dof.LIMITS[:, 0] + share * (dof.LIMITS[:, 1] - dof.LIMITS[:, 0])).astype(np.float32)


def _as_mano(model: ManoModel, turns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """MANO's pose [n,48] of our local rotations [n,20,3,3], and the rotation [3,3] of its frame into ours."""
    rest = model.regressor @ model.vertices
    y, x = rest[4] - rest[0], rest[7] - rest[1]  # to the middle knuckle, and from the index's to the pinky's
    y /= np.linalg.norm(y)
    x -= y * (x @ y)
    x /= np.linalg.norm(x)
    frame = np.stack([x, y, np.cross(x, y)])
    pose = np.zeros((len(turns), 16, 3))
    for bone, joint in enumerate(JOINT_OF_BONE):
        if bone not in METACARPALS:
            pose[:, joint] = Rotation.from_matrix(frame.T @ turns[:, bone].astype(float) @ frame).as_rotvec()
    return pose.reshape(-1, 48), frame


def test_posed_and_shaped_it_is_mano(hand: HandTemplate, file: Path, angles: np.ndarray) -> None:
    """Vertices and bone heads, corrections and betas among them: within a micrometre."""
    model = read_mano(file)
    betas = np.random.default_rng(3).normal(0, 1, (16, 10)).astype(np.float32)
    turns = dof.rotations(hand, angles)
    ours, our_joints = skin(hand, turns, betas)
    pose, frame = _as_mano(model, turns)
    theirs, their_joints = model(pose, betas.astype(float), flat_hand_mean=True)
    theirs, their_joints = ((value - their_joints[:, :1]) @ frame.T for value in (theirs, their_joints))
    assert np.abs(ours - our_joints[:, :1] - theirs).max() < 2e-6
    inner = [j for j in range(21) if j not in TIP_JOINTS]
    assert np.abs(our_joints - our_joints[:, :1] - their_joints)[:, inner].max() < 2e-6


def test_its_corrections_matter(hand: HandTemplate, angles: np.ndarray) -> None:
    turns = dof.rotations(hand, angles)
    without = skin(replace(hand, corrections=None), turns)[0]
    assert np.linalg.norm(skin(hand, turns)[0] - without, axis=2).max() > 2e-3
    tensors = hand.torch()
    in_torch = skin(tensors, torch.from_numpy(turns))[0].numpy()
    np.testing.assert_allclose(in_torch, skin(hand, turns)[0], atol=1e-6)
    small = hand.on_nodes()
    np.testing.assert_allclose(skin(small, turns)[0], skin(hand, turns)[0][:, hand.nodes], atol=1e-6)


def test_it_has_the_usual_joints_and_tips(hand: HandTemplate, angles: np.ndarray) -> None:
    assert hand.vertices.shape == (778, 3) and hand.faces.shape == (1538, 3)
    vertices, joints = skin(hand, dof.rotations(hand, angles))
    found = hand.regressor @ vertices
    np.testing.assert_allclose(found[:, list(TIP_JOINTS)], vertices[:, list(TIPS)], atol=1e-6)
    assert np.linalg.norm(found - joints, axis=2).mean() < 1e-3
    decoded = hand.decoder @ vertices[:, hand.nodes]
    assert np.linalg.norm(decoded - vertices, axis=2).mean() < 0.3e-3


def test_the_palm_stays_one_piece_and_can_be_stretched(hand: HandTemplate) -> None:
    arch = [i for i, d in enumerate(dof.DOFS) if d.bone in METACARPALS]
    angles = np.zeros((1, 24), np.float32)
    angles[:, arch] = 0.5
    rest = skin(hand, dof.rotations(hand, np.zeros_like(angles)))[0]
    np.testing.assert_array_equal(skin(hand, dof.rotations(hand, angles))[0], rest)
    longer = np.ones((1, 20), np.float32)
    longer[:, list(METACARPALS)] = 1.1
    stretched, joints = skin(hand, dof.rotations(hand, np.zeros_like(angles)), lengths=longer)
    edges = np.unique(np.sort(hand.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), 1), axis=0)
    before, after = (np.linalg.norm(v[edges[:, 0]] - v[edges[:, 1]], axis=1) for v in (rest[0], stretched[0]))
    assert after.max() < 1.15 * before.max() and 1.02 < joints[0, 9, 1] / hand.heads[9, 1] < 1.1


def test_angles_are_counted_from_our_rest_pose(hand: HandTemplate) -> None:
    """A hand at rest with stretched fingers stands as ours does when all angles are 0."""
    ours = load_template()
    bent = skin(ours, dof.rotations(ours, np.full((1, 24), 0.25, np.float32)))[1][0]
    bones = [5, 6, 9, 10, 13, 14, 17, 18]
    other = replace(
        ours,
        heads=np.where(np.isin(np.arange(20), METACARPALS)[:, None], ours.heads, bent[list(JOINTS)]),
        tips=bent[list(TIP_JOINTS)],
    )
    other = replace(other, axes=dof.derive_axes(other.heads, other.tips))
    other = replace(other, neutral=neutral_angles(other, ours))
    turn = pose_skeleton(other, np.zeros((1, 24))).turn[0]
    along = (turn @ bone_directions(other)[..., None])[bones, :, 0]
    assert (along * bone_directions(ours)[bones]).sum(1).min() > np.cos(np.radians(4))
    assert (bone_directions(other) * bone_directions(ours)).sum(1)[bones].min() < np.cos(np.radians(12))
    rest = dof.rotations(other, np.zeros((1, 24), np.float32))
    np.testing.assert_allclose(rest[0, 6], turn[5].T @ turn[6], atol=1e-5)
    assert np.abs(neutral_angles(ours, ours)).max() < 1e-4
    assert hand.neutral is not None and np.abs(hand.neutral).max() < np.radians(10)


def test_it_is_saved_and_read_back(hand: HandTemplate, hand_file: Path, angles: np.ndarray) -> None:
    again = load_template(hand_file)
    assert again.name == "mano" and again.corrections is not None and again.neutral is not None
    before, after = (skin(h, dof.rotations(h, angles))[0] for h in (hand, again))
    assert np.abs(before - after).max() < 3e-5


@pytest.mark.slow
def test_it_is_trained_and_resumed_and_then_generates_and_completes(hand_file: Path, tmp_path: Path) -> None:
    weights = train(TINY, tmp_path, Sources(), template=hand_file)
    engine = Engine(weights=weights, threads=1, template=hand_file)
    made = engine.run(Request("generate", count=2, steps=2))
    assert made.vertices.shape == (2, 778, 3) and made.joints.shape == (2, 21, 3)
    assert engine.info()["template"] == "mano" and engine.info()["vertices"] == 778
    truth = engine.run(Request("generate", count=1, seed=4, method="gaussian"))
    joints = truth.joints[0].copy()
    joints[9:] = np.nan
    found = engine.run(Request("inpaint", joints=joints, count=2, steps=2))
    assert np.linalg.norm(found.joints[:, :9] - joints[:9], axis=-1).mean() < 3e-3
    vertices = truth.vertices[0].copy()
    vertices[vertices[:, 1] > np.quantile(vertices[:, 1], 0.6)] = np.nan
    found = engine.run(Request("inpaint", vertices=vertices, count=2, steps=2))
    kept = np.isfinite(vertices).all(1)
    assert np.abs(found.vertices[:, kept] - vertices[kept]).max() < 1e-5
    fitted = engine.run(Request("inpaint", joints=truth.joints[0], count=1, method="gaussian", fit=True))
    assert np.linalg.norm(fitted.joints[0] - truth.joints[0], axis=-1).mean() < 3e-3
    assert fitted.rotations is not None and fitted.rotations.shape == (1, 20, 3, 3)
    with pytest.raises(ValueError, match="is a run of another hand"):
        Trainer(TINY).resume(tmp_path)
    with pytest.raises(RequestError, match="trained for another hand topology"):
        Engine(weights=weights, threads=1).run(Request("generate", count=1, steps=1))


@pytest.mark.slow
def test_a_whole_scan_is_laid_under_it(hand_file: Path) -> None:
    """Registration with another template than the one it was tuned on: the shipped hand, posed."""
    ours = load_template()
    angles = np.zeros((1, 24), np.float32)
    angles[0, 8:20] = 0.3
    scan = skin(ours, dof.rotations(ours, angles))[0][0]
    keep = scan[:, 1] < np.quantile(scan[:, 1], 0.75)
    request = Request(
        "inpaint", surface=scan, triangles=ours.faces, keep=keep, count=2, method="gaussian", side="right"
    )
    found = Engine(threads=1, template=hand_file).run(request)
    assert found.vertices.shape == (2, 778, 3)
    assert found.bound is not None and np.abs(found.bound[:, keep] - scan[keep]).max() < 1e-6


@pytest.mark.slow
def test_the_command(file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "hand.npz"
    assert main(["import-hand", "--mano", str(file), "--out", str(tmp_path / "hand")]) == 0
    assert capfd.readouterr().out.startswith("A hand of 778 vertices: ")
    assert load_template(out).vertices.shape == (778, 3)
    options = ["--template", str(out), "--method", "gaussian", "-n", "2", "--out", str(tmp_path / "x")]
    assert main(["generate", *options]) == 0
    with np.load(tmp_path / "x.npz") as data:
        assert data["vertices"].shape == (2, 778, 3)


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("import-hand", "--mano", "nothing.pkl", "--out", "hand"), "nothing.pkl cannot be read"),
        (("import-hand", "--mano", "evil.pkl", "--out", "hand"), "wants os.system"),
        (("import-hand", "--mano", "evil.pkl", "--out", "no/hand"), "There is no folder"),
        (("generate", "--template", "evil.pkl", "--out", "x"), "evil.pkl is no hand"),
        (("train", "--template", "nothing.npz", "--out", "x"), "nothing.npz cannot be read"),
    ],
)
def test_bad_files_get_a_sentence_and_leave_nothing(
    arguments: tuple[str, ...],
    part: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.pkl").write_bytes(b"cos\nsystem\n(S'touch canary'\ntR.")
    assert main(list(arguments)) == 2
    err = capfd.readouterr().err
    assert part in err and err.count("\n") == 1 and err.startswith("hhmr: ")
    assert [p.name for p in tmp_path.iterdir()] == ["evil.pkl"]
