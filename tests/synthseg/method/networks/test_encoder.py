from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from synthseg.errors import UsageProblem
from synthseg.method.networks.encoder import CLIP_MEAN, CLIP_STD, FrozenClipEncoder, softmax_attention


def images(size: int = 32) -> torch.Tensor:
    return torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(1))


def test_pooled_is_the_models_own_embedding(clip: nn.Module) -> None:
    x = images()
    own = clip.encode_image((x - torch.tensor(CLIP_MEAN).view(3, 1, 1)) / torch.tensor(CLIP_STD).view(3, 1, 1), normalize=True)
    torch.testing.assert_close(FrozenClipEncoder(clip).encode(x).pooled, own, atol=1e-5, rtol=1e-4)


def test_shapes_leave_prefix_tokens_out(clip: nn.Module) -> None:
    encoded = FrozenClipEncoder(clip, affinity_blocks=2).encode(images())
    assert encoded.grid == (4, 4)
    assert [t.shape for t in encoded.tokens] == [(2, 16, 64)] * 4
    assert [a.shape for a in encoded.attention] == [(2, 16, 16)] * 2
    assert encoded.dense.shape == (2, 16, 32)
    torch.testing.assert_close(encoded.dense.norm(dim=-1), torch.ones(2, 16))


def test_layers_equal_the_tokens_of_encode(clip: nn.Module) -> None:
    encoder = FrozenClipEncoder(clip)
    tokens, grid = encoder.layers(images())
    assert grid == (4, 4)
    for fast, full in zip(tokens, encoder.encode(images()).tokens, strict=True):
        torch.testing.assert_close(fast, full, atol=1e-4, rtol=1e-4)


def test_attention_is_left_out_where_nobody_asks_for_it(clip: nn.Module) -> None:
    encoder = FrozenClipEncoder(clip, affinity_blocks=2)
    assert encoder.encode(images(), attention=False).attention == []
    tower, (hidden, _) = encoder.tower, encoder.tower.embed((images() - encoder.mean) / encoder.std)
    for block in tower.blocks[:-1]:
        hidden = hidden + block.merge(F.scaled_dot_product_attention(*block.qkv(hidden)))
        hidden = hidden + block.feed_forward(hidden)
    q, k, _ = tower.blocks[-1].qkv(hidden)
    own = softmax_attention(q, k).mean(dim=1)[:, tower.num_prefix :, tower.num_prefix :]
    torch.testing.assert_close(encoder.encode(images()).attention[-1], own, atol=1e-5, rtol=1e-4)


def test_any_multiple_of_the_stride_works_and_others_are_refused(clip: nn.Module) -> None:
    encoder = FrozenClipEncoder(clip)
    assert encoder.encode(images(48)[..., :40]).grid == (6, 5)
    with pytest.raises(UsageProblem, match="stride 8"):
        encoder.encode(images(36))


def test_second_path_of_one_block_by_the_formula(clip: nn.Module) -> None:
    encoder = FrozenClipEncoder(clip, seed_blocks=1)
    tower, x = encoder.tower, images()
    hidden, _ = tower.embed((x - encoder.mean) / encoder.std)
    for block in tower.blocks[:-1]:
        q, k, v = block.qkv(hidden)
        hidden = hidden + block.merge(softmax_attention(q, k) @ v)
        hidden = hidden + block.feed_forward(hidden)
    q, k, v = tower.blocks[-1].qkv(hidden)
    mixed = sum(F.softmax(t @ t.transpose(-1, -2) / t.shape[-1] ** 0.5, dim=-1) for t in (q, k, v)) / 3
    dense = F.normalize(tower.project((hidden + tower.blocks[-1].merge(mixed @ v))[:, tower.num_prefix :]), dim=-1)
    torch.testing.assert_close(encoder.encode(x).dense, dense, atol=1e-5, rtol=1e-4)


def test_without_second_path_average_pooling_is_the_mean_of_the_patches(average_pooled_clip: Any) -> None:
    clip = average_pooled_clip
    clip.visual.trunk.norm, clip.visual.trunk.fc_norm = clip.visual.trunk.fc_norm, nn.Identity()
    encoder = FrozenClipEncoder(clip, seed_blocks=0)
    hidden = encoder.encode(images()).tokens[-1]
    mean = F.normalize(encoder.tower.project(hidden).mean(dim=1), dim=-1)
    torch.testing.assert_close(encoder.encode(images()).pooled, mean, atol=1e-5, rtol=1e-4)


def test_no_gradients_reach_the_tower_even_in_training_mode(clip: nn.Module) -> None:
    encoder = FrozenClipEncoder(clip).train()
    assert not encoder.training
    assert not any(p.requires_grad for p in clip.visual.parameters())
    assert not encoder.encode(images().requires_grad_()).dense.requires_grad


def test_imagenet_statistics_change_the_embedding(clip: nn.Module) -> None:
    own, other = FrozenClipEncoder(clip).encode(images()), FrozenClipEncoder(clip, normalization="imagenet").encode(images())
    assert not torch.allclose(own.pooled, other.pooled)


def test_towers_without_patch_tokens_are_refused(clip: nn.Module) -> None:
    clip.visual = nn.Conv2d(3, 3, 1)
    with pytest.raises(UsageProblem, match="Conv2d"):
        FrozenClipEncoder(clip)
