from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from synthseg.method.masks.affinity import affinity_matrix, attention_affinity, box_mask, jensen_shannon, propagate, sinkhorn

GENERATOR = torch.Generator().manual_seed(0)


def attention(size: int = 16) -> torch.Tensor:
    return torch.rand(1, size, size, generator=torch.Generator().manual_seed(0)).softmax(dim=-1)


def test_sinkhorn_nears_doubly_stochastic() -> None:
    raw = torch.rand(2, 9, 9, generator=GENERATOR)
    balanced = sinkhorn(raw)
    torch.testing.assert_close(balanced.sum(dim=-2), torch.ones(2, 9))
    assert (balanced.sum(dim=-1) - 1).abs().max() < 0.01 < ((raw / raw.sum(dim=-2, keepdim=True)).sum(dim=-1) - 1).abs().max()


def test_attention_affinity_rows_sum_to_one() -> None:
    torch.testing.assert_close(attention_affinity([attention(), attention()]).sum(dim=-1), torch.ones(1, 16))


def test_jensen_shannon_is_zero_for_equals_and_bounded_by_ln_2() -> None:
    p = torch.tensor([[[1 - 2e-6, 1e-6, 1e-6], [1e-6, 1 - 2e-6, 1e-6], [1 - 2e-6, 1e-6, 1e-6]]])
    divergence = jensen_shannon(p)[0]
    assert divergence[0, 2] == pytest.approx(0, abs=1e-6)
    assert divergence[0, 1] == pytest.approx(0.6931, abs=1e-3)
    torch.testing.assert_close(divergence, divergence.T)


def test_class_distribution_keeps_unlike_patches_apart() -> None:
    texts = torch.eye(2, 4)
    dense = F.normalize(texts[[0, 0, 1, 1]][None] + 0.01, dim=-1)
    uniform = torch.full((1, 4, 4), 0.25)
    plain = affinity_matrix("caa", [uniform], dense, texts, 0.05)
    aware = affinity_matrix("cda", [uniform], dense, texts, 0.05)
    assert plain is not None
    assert aware is not None
    torch.testing.assert_close(plain[0, 0, 1], plain[0, 0, 2])
    assert aware[0, 0, 1] > 5 * aware[0, 0, 2]
    assert affinity_matrix("none", [uniform], dense, texts, 0.05) is None


def test_box_mask_spans_each_connected_part() -> None:
    seed = torch.zeros(5, 6)
    seed[0, 0] = seed[1, 1] = 0.9  # connected by a corner: one box of 2 x 2
    seed[4, 4:] = 1.0
    seed[2, 4] = 0.5  # below the threshold
    mask = box_mask(seed.flatten(), (5, 6), 0.8).reshape(5, 6)
    assert mask.sum() == 4 + 2
    assert mask[:2, :2].all()
    assert mask[4, 4:].all()


def test_propagation_reaches_patches_that_attend_to_the_seed() -> None:
    affinity = torch.eye(4)
    affinity[1] = torch.tensor([0.5, 0.5, 0.0, 0.0])
    cam = propagate(affinity, torch.tensor([[1.0, 0.0, 0.0, 0.2]]), (2, 2), 1, 0.79)
    assert cam[0].tolist() == [1.0, 0.5, 0.0, 0.0]  # patch 3 lies outside the box
    assert propagate(affinity, torch.zeros(0, 4), (2, 2), 1, 0.79).shape == (0, 4)
