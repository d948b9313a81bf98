from __future__ import annotations

import torch
import torch.nn.functional as F

from synthseg.method.masks.seeds import flip_maps, min_max, raw_seeds, resize_maps, strongest_text


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def test_raw_seeds_by_the_formula() -> None:
    dense, pooled, texts = unit(1, 4, 8), unit(1, 8, seed=1), unit(3, 8, seed=2)
    weights = torch.softmax(2 * pooled[0] @ texts.T, dim=0)
    weights = weights / weights.mean()
    parts = weights[None, :, None] * dense[0][:, None] * texts[None]
    expected = (parts - parts.mean(dim=1, keepdim=True)).sum(dim=-1)
    torch.testing.assert_close(raw_seeds(dense, pooled, texts)[0], expected)


def test_the_patch_of_a_class_is_its_strongest() -> None:
    texts = torch.eye(3, 8)
    dense = texts[[2, 0, 1, 0]][None]
    raw = raw_seeds(dense, unit(1, 8), texts)
    assert strongest_text(raw)[0].tolist() == [2, 0, 1, 0]


def test_min_max_stretches_each_map_and_survives_constants() -> None:
    maps = min_max(torch.tensor([[2.0, 4.0, 3.0], [5.0, 5.0, 5.0]]))
    assert maps.tolist() == [[0.0, 1.0, 0.5], [0.0, 0.0, 0.0]]


def test_flip_undoes_itself_and_mirrors_columns() -> None:
    maps = torch.arange(6.0).reshape(1, 6, 1)
    assert flip_maps(maps, (2, 3)).flatten().tolist() == [2, 1, 0, 5, 4, 3]


def test_resize_keeps_constant_maps() -> None:
    resized = resize_maps(torch.full((1, 6, 2), 0.5), (2, 3), (4, 5))
    assert resized.shape == (1, 20, 2)
    assert torch.allclose(resized, torch.tensor(0.5))
