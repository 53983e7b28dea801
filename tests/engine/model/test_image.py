"""The image condition: patches know their places, masked ones say nothing, a rotation has its doubt."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from hhmr_engine.hand.rotation import rotation_matrix
from hhmr_engine.model.image import (
    GRID,
    PATCHES,
    ImageEncoder,
    PoseHead,
    RotationGuess,
    gram_schmidt,
    mask_patches,
    rotation_loss,
)


@pytest.fixture
def encoder() -> ImageEncoder:
    torch.manual_seed(0)
    return ImageEncoder(40, 64, 2).eval()


def all_seen(batch: int) -> Tensor:
    return torch.ones(batch, PATCHES, dtype=torch.bool)


def random_rotations(count: int) -> Tensor:
    """Uniform on SO(3), from unit quaternions."""
    w, x, y, z = torch.nn.functional.normalize(torch.randn(count, 4, dtype=torch.float64), dim=-1).unbind(-1)
    rows = [
        torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)], -1),
        torch.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)], -1),
        torch.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], -1),
    ]
    return torch.stack(rows, -2)


def test_global_token_and_patches(encoder: ImageEncoder) -> None:
    tokens = encoder(torch.randn(3, PATCHES, 40), all_seen(3))
    assert tokens.shape == (3, 1 + PATCHES, 64)


def test_every_patch_reaches_the_global_token(encoder: ImageEncoder) -> None:
    patches = torch.randn(1, PATCHES, 40, requires_grad=True)
    encoder(patches, all_seen(1))[0, 0].pow(2).sum().backward()
    assert patches.grad is not None
    assert (patches.grad[0].abs().sum(-1) > 0).all()


def test_what_stands_in_a_masked_patch_does_not_matter(encoder: ImageEncoder) -> None:
    seen = all_seen(2)
    seen[:, 10:20] = False
    patches = torch.randn(2, PATCHES, 40)
    other = patches.clone()
    other[:, 10:20] = torch.nan
    assert torch.equal(encoder(patches, seen), encoder(other, seen))
    other[:, 20, :20] += 1
    assert not torch.allclose(encoder(patches, seen), encoder(other, seen), atol=1e-4)


def test_all_patches_masked_is_no_fault(encoder: ImageEncoder) -> None:
    assert torch.isfinite(encoder(torch.randn(2, PATCHES, 40), ~all_seen(2))).all()


def test_patches_know_their_places(encoder: ImageEncoder) -> None:
    patches = torch.randn(1, PATCHES, 40)
    turned = encoder(patches.flip(1), all_seen(1))
    assert not torch.allclose(turned[:, 0], encoder(patches, all_seen(1))[:, 0], atol=1e-4)


def test_the_trunks_scale_does_not_matter(encoder: ImageEncoder) -> None:
    patches = torch.randn(1, PATCHES, 40)
    assert torch.allclose(encoder(patches, all_seen(1)), encoder(50 * patches, all_seen(1)), atol=1e-3)


def test_dropout_acts_in_training_only() -> None:
    encoder, patches = ImageEncoder(40, 64, 2, dropout=0.3), torch.randn(1, PATCHES, 40)
    assert not torch.equal(encoder(patches, all_seen(1)), encoder(patches, all_seen(1)))
    encoder.eval()
    assert torch.equal(encoder(patches, all_seen(1)), encoder(patches, all_seen(1)))


def test_gram_schmidt_gives_rotations() -> None:
    torch.manual_seed(1)
    rotation = gram_schmidt(torch.randn(100, 6))
    assert torch.allclose(rotation @ rotation.mT, torch.eye(3).expand(100, 3, 3), atol=1e-5)
    assert torch.allclose(torch.linalg.det(rotation), torch.ones(100), atol=1e-5)
    truth = random_rotations(10)
    assert torch.allclose(gram_schmidt(truth[..., :2].mT.flatten(1)), truth)


@pytest.mark.parametrize("columns", [[0.0] * 6, [1.0, 0, 0, 1, 0, 0]])
def test_degenerate_columns_have_a_finite_gradient(columns: list[float]) -> None:
    given = torch.tensor([columns], requires_grad=True)
    loss = rotation_loss(RotationGuess(gram_schmidt(given), torch.zeros(1)), torch.eye(3)[None])
    loss.sum().backward()
    assert given.grad is not None and torch.isfinite(given.grad).all()


@pytest.mark.parametrize("log_k", [0.0, 1.5, 3.0])
def test_the_loss_is_a_density_on_all_rotations(log_k: float) -> None:
    torch.manual_seed(2)
    rotations = random_rotations(400_000)
    guess = RotationGuess(random_rotations(1), torch.full((1,), log_k))
    density = torch.exp(-rotation_loss(guess, rotations))
    assert density.mean().item() == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("degrees", [3.0, 8.0, 16.0])
def test_the_likeliest_sigma_is_the_true_one(degrees: float) -> None:
    torch.manual_seed(3)
    sigma = math.radians(degrees)
    truth = rotation_matrix(torch.randn(20_000, 3) * sigma)
    candidates = torch.linspace(0.5, 1.6, 111) * sigma
    eye = torch.eye(3)[None]
    losses = [rotation_loss(RotationGuess(eye, -2 * s.log()[None]), truth).mean() for s in candidates]
    best = candidates[int(torch.stack(losses).argmin())]
    assert best.item() == pytest.approx(sigma, rel=0.06)
    assert RotationGuess(eye, -2 * best.log()[None]).sigma.item() == pytest.approx(best.item())


def test_the_loss_has_a_gradient_half_a_turn_away() -> None:
    """A smooth maximum: no infinity there, and the way back anywhere near it."""
    vector = torch.tensor([[math.pi, 0, 0], [math.pi - 0.1, 0, 0]], requires_grad=True)
    guess = RotationGuess(rotation_matrix(vector), torch.zeros(2))
    rotation_loss(guess, torch.eye(3).expand(2, 3, 3)).sum().backward()
    assert vector.grad is not None and torch.isfinite(vector.grad).all()
    assert vector.grad[1, 0] > 0.01


def test_a_rotation_is_learnt_from_patches() -> None:
    """Encoder and head together find a rotation that is written into every other patch."""
    torch.manual_seed(4)
    encoder, head = ImageEncoder(16, 32, 1, dropout=0.0), PoseHead(32)
    optimiser = torch.optim.AdamW([*encoder.parameters(), *head.parameters()], lr=3e-3)
    for _ in range(200):
        truth = rotation_matrix(torch.randn(16, 3) * 0.5)
        patches = torch.zeros(16, PATCHES, 16)
        patches[:, ::2, :9] = truth.flatten(1)[:, None]
        guess = head(encoder(patches, all_seen(16))[:, 0])
        loss = rotation_loss(guess, truth).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    angle = torch.arccos((((guess.rotation * truth).sum((-1, -2)) - 1) / 2).clamp(-1, 1))
    assert angle.mean() < 0.4  # 0.8 radians are their mean angle from the identity
    assert guess.sigma.mean() < 0.4


def test_masks_are_a_share_and_sometimes_a_block() -> None:
    seen = mask_patches(4000, torch.Generator().manual_seed(5))
    assert seen.shape == (4000, PATCHES) and seen.dtype == torch.bool
    assert 0.25 < 1 - seen.double().mean().item() < 0.32  # a quarter, and the blocks
    assert (~seen).any(0).all()
    grid = (~mask_patches(4000, torch.Generator().manual_seed(5), 0.0)).view(-1, GRID, GRID)
    blocks = grid[grid.flatten(1).any(1)]
    assert 0.25 < len(blocks) / 4000 < 0.35
    area = blocks.any(1).sum(1) * blocks.any(2).sum(1)
    assert (blocks.sum((1, 2)) == area).all()  # rectangles without holes
    again = mask_patches(4000, torch.Generator().manual_seed(5))
    assert torch.equal(seen, again)
