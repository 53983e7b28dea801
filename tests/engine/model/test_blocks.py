"""Attention sees what its mask lets it see, and one set of tokens serves a batch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from hhmr_engine.model.blocks import Attention, GraphBlock, sinusoid


def _draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_attention_is_softmax_of_products() -> None:
    layer = Attention(8, 5, 4).requires_grad_(False)
    x, tokens = _draw(2, 7, 8), _draw(2, 3, 5, seed=1)
    key, value = layer.key_value(tokens).chunk(2, -1)
    query = layer.query(x)
    heads = []
    for part in (slice(0, 4), slice(4, 8)):
        weights = F.softmax(query[..., part] @ key[..., part].mT / 2, -1)
        heads.append(weights @ value[..., part])
    torch.testing.assert_close(layer(x, layer.memory(tokens)), layer.out(torch.cat(heads, -1)))


def test_masked_tokens_say_nothing() -> None:
    layer = Attention(8, 5, 4).requires_grad_(False)
    x, tokens = _draw(2, 7, 8), _draw(2, 6, 5, seed=1)
    mask = torch.tensor([[True, True, False, True, False, False], [True, False, False, False, False, True]])
    changed = torch.where(mask[..., None], tokens, 100.0)
    out = layer(x, layer.memory(tokens), mask)
    assert torch.equal(out, layer(x, layer.memory(changed), mask))
    alone = layer(x[:1], layer.memory(tokens[:1, [0, 1, 3]]))
    torch.testing.assert_close(out[:1], alone)


def test_one_set_of_tokens_serves_a_batch() -> None:
    layer = Attention(8, 5, 4).requires_grad_(False)
    x, tokens = _draw(3, 7, 8), _draw(1, 6, 5, seed=1)
    mask = torch.tensor([[True, False, True, True, False, True]])
    one = layer(x, layer.memory(tokens), mask)
    torch.testing.assert_close(one, layer(x, layer.memory(tokens.expand(3, -1, -1)), mask.expand(3, -1)))


def test_a_block_works_with_and_without_a_graph() -> None:
    """The paper's ablation: self-attention in the convolution's place."""
    for laplacian in (-torch.eye(7).roll(1, 0) / 2 - torch.eye(7).roll(-1, 0) / 2, None):
        block = GraphBlock(7, 8, 6, 5, laplacian, 3, 4).requires_grad_(False)
        memory = block.attend_cross.memory(_draw(1, 3, 5))
        out = block(_draw(2, 7, 8), _draw(2, 6), memory, torch.ones(1, 3, dtype=torch.bool))
        assert out.shape == (2, 7, 8) and torch.isfinite(out).all()


def test_parts_of_a_block_in_series_and_in_parallel() -> None:
    """Weights are the same; in parallel attention does not hear of what the convolution has made."""
    shape = {"nodes": 7, "channels": 8, "time_channels": 6, "token_channels": 5, "laplacian": None}
    series, parallel = (GraphBlock(**shape, order=3, head=4, parallel=p) for p in (False, True))
    parallel.load_state_dict(series.state_dict())
    x, time, memory = _draw(2, 7, 8), _draw(2, 6), series.attend_cross.memory(_draw(1, 3, 5))
    mask = torch.ones(1, 3, dtype=torch.bool)
    assert not torch.allclose(series(x, time, memory, mask), parallel(x, time, memory, mask))
    added = []
    for part in ("mix", "attend_self.out", "attend_cross.out"):
        alone = GraphBlock(**shape, order=3, head=4, parallel=True)
        alone.load_state_dict(series.state_dict())
        for name in {"mix", "attend_self.out", "attend_cross.out"} - {part}:
            torch.nn.init.zeros_(alone.get_submodule(name).weight)
            torch.nn.init.zeros_(alone.get_submodule(name).bias)
        added.append(alone(x, time, memory, mask) - x)
    torch.testing.assert_close(parallel(x, time, memory, mask), x + sum(added))


def test_noise_levels_are_told_apart() -> None:
    """Neighbouring steps of a ten-step schedule have embeddings that differ."""
    embedding = sinusoid(torch.linspace(-15, 10, 26), 32)
    apart = torch.cdist(embedding, embedding) + 10 * torch.eye(26)
    assert float(apart.min()) > 0.3
