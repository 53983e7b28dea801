"""MANO's file and model, on a made-up hand in MANO's format, and against the smplx package."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from hhmr_engine.hand.mano import OPENPOSE, TIPS, ManoModel
from hhmr_engine.hand.mano_file import FIELDS, read_mano
from tests.engine.hand.made_up_mano import made_up_mano, write_mano

SMPLX_JOINTS = [i for i in range(21) if OPENPOSE[i] < 16]  # those that smplx returns, in our order
BATCH = 32


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    return made_up_mano()


@pytest.fixture(scope="module")
def model(arrays: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> ManoModel:
    path = tmp_path_factory.mktemp("mano") / "MANO_RIGHT.pkl"
    write_mano(path, arrays)
    return read_mano(path)


@pytest.mark.parametrize("form", ["protocol 2", "protocol 0", "npz", "folder of smplx", "another name"])
def test_a_file_is_read_as_it_was_written(
    form: str, arrays: dict[str, np.ndarray], model: ManoModel, tmp_path: Path
) -> None:
    path = tmp_path / "MANO_RIGHT.pkl"
    if form == "npz":
        path = path.with_suffix(".npz")
        np.savez_compressed(path, **arrays)
    elif form == "folder of smplx":
        (tmp_path / "mano").mkdir()
        write_mano(tmp_path / "mano" / "MANO_RIGHT.pkl", arrays)
        path = tmp_path
    else:
        path = tmp_path / "hand" if form == "another name" else path
        write_mano(path, arrays, protocol=0 if form == "protocol 0" else 2)
    found = read_mano(path)
    for name, value in vars(model).items():
        np.testing.assert_array_equal(getattr(found, name), value)
    np.testing.assert_array_equal(found.shapes, arrays["shapedirs"].transpose(2, 0, 1))
    np.testing.assert_array_equal(found.corrections, arrays["posedirs"].transpose(2, 0, 1))
    np.testing.assert_array_equal(found.regressor, arrays["J_regressor"])


@pytest.mark.parametrize("key", FIELDS)
def test_a_field_that_is_missing_or_of_another_shape_is_named(
    key: str, arrays: dict[str, np.ndarray], tmp_path: Path
) -> None:
    path = tmp_path / "MANO_RIGHT.pkl"
    np.savez(path.with_suffix(".npz"), **{name: value for name, value in arrays.items() if name != key})
    with pytest.raises(ValueError, match=f"it has no {key}"):
        read_mano(path.with_suffix(".npz"))
    np.savez(path.with_suffix(".npz"), **(arrays | {key: arrays[key][:1]}))
    with pytest.raises(ValueError, match=f"its {key} is 1.*, not {FIELDS[key][0]}"):
        read_mano(path.with_suffix(".npz"))


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"v_template": np.full((778, 3), np.nan)}, "its v_template has numbers that are not finite"),
        ({"f": np.full((1538, 3), 778)}, "its f names vertices that are not there"),
        ({"weights": np.zeros((778, 16))}, "the rows of its weights do not sum to 1"),
        ({"J_regressor": np.zeros((16, 778))}, "the rows of its J_regressor do not sum to 1"),
        ({"kintree_table": np.zeros((2, 16))}, "its joints hang together in another way than MANO's"),
    ],
)
def test_what_is_not_mano_gets_a_sentence(
    change: dict[str, np.ndarray], part: str, arrays: dict[str, np.ndarray], tmp_path: Path
) -> None:
    path = tmp_path / "MANO_RIGHT.npz"
    np.savez(path, **(arrays | change))
    with pytest.raises(ValueError, match=rf"^MANO_RIGHT\.npz is no model of MANO \({part}\): give .*\.$"):
        read_mano(path)


def test_a_left_hand_and_a_folder_without_one_get_a_sentence(tmp_path: Path) -> None:
    write_mano(tmp_path / "MANO_LEFT.pkl", made_up_mano(mirrored=True))
    with pytest.raises(ValueError, match="it is a left hand"):
        read_mano(tmp_path / "MANO_LEFT.pkl")
    with pytest.raises(ValueError, match="has no MANO_RIGHT.pkl in it: give the file itself"):
        read_mano(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_mano(tmp_path / "nothing.pkl")


def _poses(rng: np.random.Generator, hand: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pose [B,3+hand], betas [B,10] and translation [B,3], wider than hands are."""
    pose = np.concatenate([rng.normal(0, 1.2, (BATCH, 3)), rng.normal(0, 0.8, (BATCH, hand))], 1)
    return pose, rng.normal(0, 1.5, (BATCH, 10)), rng.normal(0, 1, (BATCH, 3))


def _require_smplx() -> None:
    if importlib.util.find_spec("smplx") is None:
        sentence = "smplx, which MANO is held against, is not installed here."
        if os.environ.get("CI") == "true":
            pytest.fail(sentence)
        pytest.skip(sentence)


@pytest.mark.parametrize("flat_hand_mean", [False, True])
@pytest.mark.parametrize("components", [None, 6, 30])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_agrees_with_smplx(
    dtype: torch.dtype,
    components: int | None,
    flat_hand_mean: bool,
    arrays: dict[str, np.ndarray],
    model: ManoModel,
) -> None:
    _require_smplx()
    from smplx import MANO
    from smplx.utils import Struct

    layer = MANO(
        "",
        data_struct=Struct(**arrays),
        use_pca=components is not None,
        num_pca_comps=components or 45,
        flat_hand_mean=flat_hand_mean,
        batch_size=BATCH,
        dtype=dtype,
    )
    given = _poses(np.random.default_rng(3), components or 45)
    pose, betas, transl = (torch.tensor(value, dtype=dtype) for value in given)
    theirs = layer(betas=betas, global_orient=pose[:, :3], hand_pose=pose[:, 3:], transl=transl)
    settings = {"use_pca": components is not None, "flat_hand_mean": flat_hand_mean}
    vertices, joints = model.torch(dtype)(pose, betas, transl, **settings)
    assert (vertices - theirs.vertices).norm(dim=-1).max() < 1e-6
    their_joints = theirs.joints[:, [OPENPOSE[i] for i in SMPLX_JOINTS]]
    assert (joints[:, SMPLX_JOINTS] - their_joints).norm(dim=-1).max() < 1e-6
    in_numpy, _ = model(*given, **settings)
    assert np.abs(in_numpy - theirs.vertices.detach().numpy()).max() < 1e-5


def test_joints_are_in_openpose_order_and_tips_are_vertices(model: ManoModel) -> None:
    """Chains from the wrist outwards; the fingers lie side by side in the order thumb to pinky."""
    vertices, joints = (value[0] for value in model(np.zeros((1, 48)), flat_hand_mean=True))
    np.testing.assert_allclose(vertices, model.vertices, atol=1e-12)
    for finger, tip in enumerate(TIPS):
        chain = joints[1 + 4 * finger : 5 + 4 * finger]
        np.testing.assert_array_equal(chain[3], vertices[tip])
        reach = np.linalg.norm(chain - joints[0], axis=1)
        assert (np.diff(reach) > 0.01).all()
    across = (joints[[5, 9, 13, 17]] - joints[5]) @ (joints[17] - joints[5])
    assert (np.diff(across) > 0).all()


def test_poses_mean_and_components_are_what_they_say(model: ManoModel) -> None:
    coefficients = np.random.default_rng(0).normal(0, 1, (2, 5))
    wrist = np.zeros((2, 3))
    by_pca, _ = model(np.concatenate([wrist, coefficients], 1), use_pca=True)
    spelled_out = np.concatenate([wrist, coefficients @ model.components[:5] + model.mean], 1)
    by_angles, _ = model(spelled_out, flat_hand_mean=True)
    np.testing.assert_allclose(by_pca, by_angles, atol=1e-12)


def test_gradients_reach_pose_and_shape(model: ManoModel) -> None:
    pose = torch.zeros(1, 48, requires_grad=True)
    betas = torch.zeros(1, 10, requires_grad=True)
    vertices, _ = model.torch()(pose, betas)
    (vertices**2).sum().backward()
    for gradient in (pose.grad, betas.grad):
        assert gradient is not None and torch.isfinite(gradient).all() and (gradient != 0).any()
